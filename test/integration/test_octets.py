"""Content and envelope reach the smarthost as smtp(8) would send them.

Every message is delivered by lane and by smtp(8), to simulators that store
what they take; sender, recipients, parameters of MAIL and RCPT and all octets
must be equal. What differs, and why:

- lane sends BDAT where CHUNKING is offered: the octets of DATA without dots
  doubled. Compared is what the smarthost files.
- A bare CR, which Postfix up to 3.5.23 left in queue files, is a blank in
  what lane sends: a smarthost that takes it for a line end could be made to
  see another message in it (SMTP smuggling). smtp(8) sends it as it is.
"""
import dataclasses
import glob
import os
import re

import pytest

from harness import messages
from harness.milter import Milter
from harness.sidebyside import Both, Pair, QUEUE_FILES, place


def good_queue_files():
    """Without those cut by hand, and without REQUIRETLS, whose bit a 3.7
    queue manager cannot have written and its smtp(8) does not know."""
    return [p for p in sorted(glob.glob(QUEUE_FILES + "/*.qf"))
            if not os.path.basename(p).startswith(
                ("truncated", "requiretls"))]


def violations(upstream):
    kinds = upstream.stats()["violation_kinds"]
    return {kind: count for kind, count in kinds.items() if count}


def took(side, bare_cr=b" "):
    """All but the reports that Postfix made of it."""
    found = []
    for e, content in zip(side.upstream.ledger(), side.upstream.contents()):
        if b"\r\nAuto-Submitted: auto-replied\r\n" in content:
            continue
        assert len(content) == e.size
        found.append((e.sender, e.recipients, e.mail_parameters,
                      e.rcpt_parameters,
                      re.sub(rb"\r(?!\n)", bare_cr, content)))
    return sorted(found)


@pytest.mark.parametrize("extensions", [
    {}, {"no_chunking": True},
    {"no_pipelining": True, "no_chunking": True, "enforce_lockstep": True},
    {"no_dsn": True, "no_size": True}],
    ids=["chunking", "data", "lockstep", "no_dsn_no_size"])
def test_captured_queue_files_give_smtps_octets(
        base, certs, started, extensions):
    files = good_queue_files()
    assert len(files) > 30
    pair = Pair(base, certs, started, main={"enable_long_queue_ids": "yes"},
                **extensions)
    for side in pair.sides:
        for n, path in enumerate(files):
            place(side.origin, path, f"{0xA0000 + n:05X}FEDC{n:03X}")
        side.origin.command("postqueue", "-f")
        side.origin.wait_empty()
    entries = pair.same(took)
    assert len(entries) >= len(files)
    verbs = {e.verb for e in pair.sides[0].upstream.ledger()}
    if pair.sides[0].agent == "lane":
        assert verbs == {"DATA" if "no_chunking" in extensions else "BDAT"}
    for side in pair.sides:
        assert violations(side.upstream) == (
            {} if side.agent == "lane" else {"content_bare_cr_lf": 1})


# Header and body as they are put on the wire; dots are doubled on the way.
HEAD = b"From: <a@sender.example>\r\nSubject: octets\r\nX-Lane-Id: %s\r\n"
BODIES = {
    "dots": b".\r\n..\r\n.a\r\n...b\r\n\r\n.\r\n",
    "empty_lines": b"\r\n\r\n\r\na\r\n\r\n\r\n",
    "empty": b"",
    "line_997": b"a" * 997 + b"\r\n",
    "line_998": b"b" * 998 + b"\r\n." + b"b" * 997 + b"\r\n",
    "line_999": b"c" * 999 + b"\r\n." + b"c" * 998 + b"\r\n",
    "line_1995": b"d" * 1995 + b"\r\n" + b"d" * 1996 + b"\r\n",
    "line_2047": b"e" * 2047 + b"\r\n",
    "line_2048": b"f" * 2048 + b"\r\n.\r\n",
    "line_2049": b"g" * 2049 + b"\r\nshort\r\n",
    "dots_behind_folds": (b"h" * 997 + b".") * 5 + b"\r\n",
    "line_20000_of_dots": b"." * 20000 + b"\r\n",
    "nul": b"a\0b\r\n\0\r\n.\0\r\n",
    "eight_bit": bytes(range(128, 256)) + b"\r\n" + b"\xff" * 3000 + b"\r\n",
    "kilobytes_100": (b"0123456789" * 7 + b"\r\n") * 1423,
    "kilobytes_300": (b".123456789" * 7 + b"\r\n") * 4269,
}


def raw(name):
    head = HEAD % name.encode()
    if name == "dots":
        head += b"X-Long: " + b"l" * 3000 + b"\r\n folded " + b"m" * 1200 \
            + b"\r\n"
    return messages.Message(name, f"{name}@sender.example",
                            (f"{name}@rcpt.example",),
                            head + b"\r\n" + BODIES[name], "")


def body(content):
    return content.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("chunking", [True, False], ids=["bdat", "data"])
@pytest.mark.parametrize("submission", ["smtp", "sendmail"])
def test_submitted_octets_are_smtps(
        base, certs, started, submission, chunking):
    """One queue file, two recipients, a transport for each agent. sendmail(1)
    gets the same message without a final newline too."""
    pair = Both(base, certs, started, no_chunking=not chunking)
    for name in BODIES:
        m = raw(name)
        m = dataclasses.replace(m, recipients=(
            f"{name}@lane.example", f"{name}@smtp.example"))
        if submission == "sendmail" and name != "empty":
            for data, sender in ((m.data, m.sender),
                                 (m.data[:-2], "cut-" + m.sender)):
                pair.origin.sendmail(
                    dataclasses.replace(m, data=data, sender=sender))
        else:
            pair.origin.inject([m])
    pair.origin.wait_empty()
    by_lane, by_smtp = pair.took("lane.example"), pair.took("smtp.example")
    twice = len(BODIES) - 1 if submission == "sendmail" else 0
    assert len(by_lane) == len(BODIES) + twice
    assert by_lane == by_smtp
    # nobody said BODY=8BITMIME when it was submitted
    assert violations(pair.upstream) == {
        "content_8bit": 4 if submission == "sendmail" else 2}


@pytest.mark.parametrize("chunking", [True, False], ids=["bdat", "data"])
def test_milter_edits_are_followed(base, certs, started, chunking):
    """Headers added, changed, deleted, body replaced by a live milter."""
    with Milter() as milter:
        pair = Both(base, certs, started, no_chunking=not chunking, main={
            "smtpd_milters": f"inet:127.0.0.1:{milter.port}",
            "milter_default_action": "tempfail"})
        for n in range(3):
            m = messages.make(f"edit-{n}", "a@sender.example",
                              ("r@lane.example", "r@smtp.example"),
                              b"old\r\n.\r\n" * 30 * n + b"end\r\n",
                              ["X-Old: to be changed", "X-Gone: away"])
            pair.origin.inject([m])
        pair.origin.wait_empty()
    by_lane = pair.took("lane.example")
    assert by_lane == pair.took("smtp.example") and len(by_lane) == 3
    for entry in by_lane:
        head, _, text = entry[-1].partition(b"\r\n\r\n")
        assert b"X-Gone" not in head and b"X-Old: changed" in head
        assert b"\r\nX-First: one" in b"\r\n" + head
        assert text.replace(b"\r\n ", b"") == Milter.BODY
