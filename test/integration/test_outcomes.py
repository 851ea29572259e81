"""What becomes of a message is told as smtp(8) tells it.

Each case is run with lane and with smtp(8). Compared are, without ids, ports
and times: all log lines of the agent, what postqueue -j shows, the messages
that Postfix makes of it (bounces, delivery reports), and what the smarthost
took with which parameters.
"""
import os
import smtplib

import pytest

from harness.sidebyside import Pair, QUEUE_FILES, place
from harness.wait import wait_until

PATIENT = {"minimal_backoff_time": "300s", "maximal_backoff_time": "300s",
           "queue_run_delay": "300s", "enable_long_queue_ids": "yes"}
DATA = b"From: <from@sender.example>\r\nSubject: outcome\r\n" \
    b"Message-Id: <one@sender.example>\r\n" \
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nbody\r\n"


def addresses(*names):
    return [f"{n}@rcpt.example" for n in names]


pytestmark = pytest.mark.sanitized


def pair_of(base, certs, started, script="", main=None, **how):
    return Pair(base, certs, started, main={**PATIENT, **(main or {})},
                script=script, **how)


def check_same(pair):
    """All that is to be equal; returns the delivery lines."""
    lines = pair.same(lambda side: side.lines())
    pair.same(lambda side: side.mailq())
    pair.same(lambda side: side.mailbox())
    pair.same(lambda side: side.ledger())
    return [line for line in lines if " status=" in line]


def statuses(lines):
    return sorted(line.split(" status=")[1].split()[0] for line in lines)


def run(pair, recipients, data=DATA, mails=0, count=None, **how):
    pair.submit(data, recipients, **how)
    pair.wait(r"/smtp\[.* status=", count or len(recipients))
    pair.wait_mailbox(mails)
    return check_same(pair)


def test_one_refused_one_deferred_one_delivered(base, certs, started):
    pair = pair_of(base, certs, started,
                   'rcpt if rcpt "refuse" reply "550 5.1.1 no such user"\n'
                   'rcpt if rcpt "later" reply "450 4.2.0 try later"\n')
    lines = run(pair, addresses("refuse", "later", "fine"), mails=0)
    assert statuses(lines) == ["bounced", "deferred", "sent"]
    assert "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user " \
        "(in reply to RCPT TO command)" in lines[1] + lines[2] + lines[0]
    (queued,) = pair.sides[0].mailq()
    assert queued[2] == "later@rcpt.example" and "450 4.2.0" in queued[3]
    assert pair.sides[0].ledger()[0][1] == ("fine@rcpt.example",)


# name: (script, recipients, statuses, bounce messages)
REFUSALS = {
    "mail_5xx": ('mail reply "550 5.7.1 not you"', 2, "bounced", 1),
    "mail_4xx": ('mail reply "451 4.3.1 no space"', 2, "deferred", 0),
    "mail_no_status": ('mail reply "554 no"', 1, "bounced", 1),
    "rcpt_all_5xx": ('rcpt reply "550 5.1.1 unknown"', 3, "bounced", 1),
    "rcpt_all_4xx": ('rcpt reply "450 4.2.1 busy"', 3, "deferred", 0),
    "rcpt_552": ('rcpt reply "552 5.2.2 full"', 1, "bounced", 1),
    "rcpt_no_status": ('rcpt reply "553 no"', 1, "bounced", 1),
    "rcpt_other_class": ('rcpt reply "550 4.1.1 odd"', 1, "bounced", 1),
    "rcpt_multi_line": ('rcpt reply "550 5.1.1 one\\n5.1.1 two\\nthree"',
                        1, "bounced", 1),
    "rcpt_long": ('rcpt reply "550 5.1.1 ' + "long " * 300 + '"',
                  1, "bounced", 1),
    "rcpt_8bit": ('rcpt reply "550 5.1.1 \\xc3\\xa4\\xff\\t"', 1, "bounced",
                  1),
    "rcpt_empty": ('rcpt reply "550"', 1, "bounced", 1),
    "data_5xx": ('data reply "554 5.6.0 no data"', 2, "bounced", 1),
    "data_4xx": ('data reply "451 4.6.0 not now"', 2, "deferred", 0),
    "eod_5xx": ('eod reply "554 5.7.1 spam"', 2, "bounced", 1),
    "eod_4xx": ('eod reply "451 4.7.1 greylisted"', 2, "deferred", 0),
    "eod_552": ('eod reply "552 5.3.4 too big"', 1, "bounced", 1),
    "eod_multi_line": ('eod reply "554-5.7.1 a\\n5.7.1 b"', 1, "bounced", 1),
    "eod_no_status": ('eod reply "550 no"', 1, "bounced", 1),
    "eod_success_multi_line": ('eod reply "250 2.6.0 queued\\nas 17"',
                               1, "sent", 0),
    "eod_success_no_status": ('eod reply "250 fine"', 1, "sent", 0),
    "eod_success_other_class": ('eod reply "250 5.0.0 fine"', 1, "sent", 0),
}


@pytest.mark.parametrize("chunking", [True, False], ids=["bdat", "data"])
def test_refusals(base, certs, started, chunking):
    """One message after the other; each case is known by its sender."""
    cases = {name: case for name, case in REFUSALS.items()
             if not chunking or not name.startswith("data")}
    rules = []
    for name, (script, *_) in cases.items():
        stage, order = script.split(" ", 1)
        rules.append(f'{stage} if sender "{name}@" {order}\n')
    pair = pair_of(base, certs, started, "".join(rules),
                   agent_options={"lane_messages_per_connection": 1},
                   no_chunking=not chunking)
    wanted, mails = {}, 0
    for name, (_, count, status, bounces) in cases.items():
        recipients = [f"{name}-{n}@rcpt.example" for n in range(count)]
        pair.submit(DATA, recipients, f"{name}@sender.example")
        for recipient in recipients:
            pair.wait(rf"/smtp\[.* to=<{recipient}>.* status=")
            wanted[recipient] = status
        mails += bounces
    pair.wait_mailbox(mails)
    found = {line.split("to=<")[1].split(">")[0]:
             line.split(" status=")[1].split()[0]
             for line in check_same(pair)}
    assert found == wanted


@pytest.mark.parametrize("stage", ["mail", "rcpt", "eod"])
def test_soft_bounce(base, certs, started, stage):
    pair = pair_of(base, certs, started,
                   f'{stage} reply "550 5.7.1 no"\n',
                   main={"soft_bounce": "yes"})
    lines = run(pair, addresses("a", "b"))
    assert statuses(lines) == ["SOFTBOUNCE"] * 2


def test_size_limit_is_exceeded(base, certs, started):
    pair = pair_of(base, certs, started, size=2000)
    lines = run(pair, addresses("a", "b"), DATA + b"x" * 70 * 50 + b"\r\n",
                mails=1)
    assert statuses(lines) == ["bounced"] * 2
    assert "dsn=5.3.4" in lines[0] and "exceeds size limit 2000" in lines[0]


def test_smtputf8_is_needed_and_not_offered(base, certs, started):
    pair = pair_of(base, certs, started, no_smtputf8=True)
    lines = run(pair, ["gr\xfc\xdfe@rcpt.example"], mails=1,
                options=["SMTPUTF8"])
    assert statuses(lines) == ["bounced"] and "dsn=5.6.7" in lines[0]


def test_smtputf8_is_passed_on(base, certs, started):
    pair = pair_of(base, certs, started)
    lines = run(pair, ["gr\xfc\xdfe@rcpt.example", "b@rcpt.example"],
                options=["SMTPUTF8", "BODY=8BITMIME"])
    assert statuses(lines) == ["sent"] * 2
    assert "SMTPUTF8" in pair.sides[0].ledger()[0][2]


def test_null_sender(base, certs, started):
    pair = pair_of(base, certs, started,
                   'rcpt if rcpt "refuse" reply "550 5.1.1 no"\n')
    lines = run(pair, addresses("refuse", "fine"), sender="")
    assert statuses(lines) == ["bounced", "sent"]
    pair.wait_empty()


def test_double_bounce(base, certs, started):
    """The sender is foreign: its bounce goes to the smarthost, is refused
    there, and what then goes to the postmaster is refused too."""
    pair = pair_of(base, certs, started,
                   'rcpt reply "550 5.1.1 nobody here"\n',
                   main={"notify_classes": "bounce, 2bounce, resource"})
    pair.submit(DATA, addresses("gone"), sender="who@foreign.example")
    pair.wait_empty()
    check_same(pair)


# --- DSN ---

def test_dsn_parameters_are_passed_on(base, certs, started):
    pair = pair_of(base, certs, started)
    run(pair, [("a@rcpt.example", ["NOTIFY=SUCCESS,DELAY",
                                   "ORCPT=rfc822;orig+2Btag@rcpt.example"]),
               ("b@rcpt.example", ["NOTIFY=NEVER"]), "c@rcpt.example"],
        options=["RET=HDRS", "ENVID=id+2B1+3D"])
    (entry,) = pair.sides[0].ledger()
    assert "RET=HDRS" in entry[2] and "ENVID=id+2B1+3D" in entry[2]
    assert "ORCPT=rfc822;orig+2Btag@rcpt.example" in entry[3][0]
    assert "NOTIFY=NEVER" in entry[3][1]


@pytest.mark.parametrize("offered", [True, False])
def test_notify_success(base, certs, started, offered):
    """Without DSN at the smarthost a `relayed` report is made here."""
    pair = pair_of(base, certs, started, no_dsn=not offered)
    run(pair, [("a@rcpt.example", ["NOTIFY=SUCCESS"]),
               ("b@rcpt.example", ["NOTIFY=SUCCESS,FAILURE"]),
               "c@rcpt.example"],
        mails=0 if offered else 1, options=["ENVID=abc"])
    pair.wait_empty()
    reports = pair.same(lambda side: side.mailbox())
    assert len(reports) == (0 if offered else 1)
    assert offered or reports[0].count("Action: relayed") == 2


def test_notify_never(base, certs, started):
    pair = pair_of(base, certs, started, 'rcpt reply "550 5.1.1 no"\n',
                   no_dsn=True)
    run(pair, [("a@rcpt.example", ["NOTIFY=NEVER"]),
               ("b@rcpt.example", ["NOTIFY=DELAY"])])
    pair.wait_empty()
    assert pair.same(lambda side: side.mailbox()) == []


# --- probes ---

PROBE = 'rcpt if rcpt "refuse" reply "550 5.1.1 no such user"\n' \
    'rcpt if rcpt "later" reply "450 4.2.0 try later"\n'


def sendmail(pair, option, recipients, mails):
    for side in pair.sides:
        side.origin.command("sendmail", "-f", "from@sender.example", option,
                            "--", *recipients, input=DATA.decode())
    pair.wait(r"/smtp\[.* status=", len(recipients))
    pair.wait_mailbox(mails)


def test_sendmail_bv_reports_without_sending(base, certs, started):
    pair = pair_of(base, certs, started, PROBE)
    sendmail(pair, "-bv", addresses("refuse", "later", "fine"), 1)
    pair.wait_empty()
    lines = check_same(pair)
    assert statuses(lines) == ["deliverable", "undeliverable",
                               "undeliverable"]
    assert pair.sides[0].ledger() == []


def test_sendmail_v_reports_and_sends(base, certs, started):
    pair = pair_of(base, certs, started, PROBE)
    sendmail(pair, "-v", addresses("refuse", "later", "fine"), 1)
    lines = check_same(pair)
    assert statuses(lines) == ["bounced", "deferred", "sent"]


@pytest.mark.parametrize("target", ["rcpt", "data"])
@pytest.mark.parametrize("chunking", [True, False], ids=["bdat", "data"])
def test_verify_probes(base, certs, started, target, chunking):
    """What smtpd(8) tells its client, and that no content was sent."""
    pair = pair_of(base, certs, started, PROBE, no_chunking=not chunking,
                   main={"smtp_address_verify_target": target,
                         "unverified_recipient_reject_code": "550",
                         "address_verify_map": "",
                         "address_verify_poll_count": "30",
                         "address_verify_poll_delay": "1s",
                         "smtpd_recipient_restrictions":
                         "reject_unverified_recipient, permit_mynetworks"})

    def ask(side):
        with smtplib.SMTP("127.0.0.1", side.origin.port) as client:
            client.ehlo("client.example")
            client.mail("from@sender.example")
            return [client.rcpt(r) for r in addresses(
                "refuse", "later", "fine")]
    replies = pair.same(ask)
    assert [code for code, _ in replies] == [550, 450, 250]
    pair.wait_empty()
    lines = check_same(pair)
    assert statuses(lines) == ["deliverable", "undeliverable",
                               "undeliverable"]
    assert pair.sides[0].ledger() == []


# --- connections that end ---

def test_connection_is_lost(base, certs, started):
    """lane tries a message that was never sent on other sessions, a bounded
    number of times, before it says what smtp(8) says at once."""
    pair = pair_of(base, certs, started, "rcpt close\n",
                   no_chunking=True, no_pipelining=True)
    lines = run(pair, addresses("a", "b"))
    assert statuses(lines) == ["deferred"] * 2


def test_connection_is_lost_in_doubt(base, certs, started):
    """The host stays away: lane calls such a message back when it is there
    again, and smtp(8) comes with the next queue run."""
    pair = pair_of(base, certs, started,
                   "connect if conn-nr >=2 close\neod accept-then-close\n")
    lines = run(pair, addresses("a", "b"))
    assert statuses(lines) == ["deferred"] * 2
    assert "message may be sent more than once" in lines[0]


# --- queue files ---

def spoil(path):
    """A queue file whose last content record is of no known type. qmgr(8)
    itself jumps over the content and finds nothing wrong."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    at, last = int(data[2:97].split()[1]), None
    while data[at:at + 1] != b"X":
        last, length, shift, at = at, 0, 0, at + 1
        while True:
            length |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        at += length
    data[last:last + 1] = b"Z"
    return bytes(data)


@pytest.mark.parametrize("chunking", [True, False], ids=["bdat", "data"])
@pytest.mark.parametrize("name", ["dsn-3rcpt", "body-100k"])
def test_corrupt_queue_file_is_never_sent(
        base, certs, started, name, chunking):
    """It is bounced, and what is left of it goes to corrupt/."""
    pair = pair_of(base, certs, started, no_chunking=not chunking)
    spoiled = os.path.join(base, "spoiled.qf")
    with open(spoiled, "wb") as f:
        f.write(spoil(os.path.join(QUEUE_FILES, name + ".qf")))
    for side in pair.sides:
        place(side.origin, spoiled, "A0000FEDC0")
        side.origin.flush()
    pair.wait(r"/smtp\[.* status=bounced", 3 if name == "dsn-3rcpt" else 1)
    for side in pair.sides:
        wait_until(lambda: os.listdir(os.path.join(
            side.origin.queue_directory, "corrupt")), 10,
            lambda: side.origin.log.text()[-2500:])
    lines = check_same(pair)
    assert "unreadable mail queue entry" in lines[0]


def test_long_lines_are_noted(base, certs, started):
    pair = pair_of(base, certs, started)
    run(pair, addresses("a"), DATA + b"x" * 5000 + b"\r\n")
    (note,) = [l for l in pair.same(lambda side: side.lines())
               if "status=" not in l]
    assert note.endswith("breaking line > 998 bytes with <CR><LF>SPACE")
