"""The dialogue of a lane as it happens, for an operator who listens."""
import base64
import json
import os
import re
import subprocess

import pytest
from harness import messages
from harness.simulator import Simulator
from harness.upstream import PASSWORD, USER


class Trace:
    """postlane -j trace LANE, in the background."""

    def __init__(self, origin, *words):
        build = os.environ.get("POSTLANE_BUILD", "build")
        self.process = subprocess.Popen(
            [os.path.join(build, "postlane"), "-c", origin.etc, "-j", "trace",
             *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)

    def __enter__(self):
        """The lane has taken the connection: what comes now is heard."""
        first = self.line()
        assert (first["way"], first["text"]) == (
            "remark", "what follows is live")
        return self

    def line(self):
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self):
        """All of its lines."""
        out, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def lane(origin, base, certs, started):
    """A lane that logs in, and whose process is there."""
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast", {"lane_connection_limit": "1"})
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(1)
    origin.wait_empty()
    return origin, sim


def test_dialogue_of_a_message(lane):
    origin, sim = lane
    with Trace(origin, "fast", "--count", "2") as trace:
        origin.inject(messages.generate(2), connections=1)
        lines = trace.end()
    sim.wait_taken(3)
    assert {line["schema"] for line in lines} == {1}
    assert all(line["lane"] == "fast" for line in lines)
    words = [(line["way"], line["text"]) for line in lines]
    sent = [text for way, text in words if way == "sent"]
    assert sum(t.startswith("MAIL FROM:<") for t in sent) == 2
    assert sum(t.startswith("RCPT TO:<") for t in sent) == 2
    assert any(t.endswith(" octets of content>") for t in sent)
    # Content and secrets are not in it.
    assert not any("Subject" in t or "m-0" in t and "@" not in t
                   for _, t in words)
    assert [t for way, t in words if way == "received" and
            t.startswith("250 ")]
    ends = [line for line in lines if line["way"] == "decided"]
    assert len({line["queue_id"] for line in ends}) == 2
    assert all("dsn=2.0.0, status=sent (250 " in line["text"]
               for line in ends)
    mail = [line for line in lines if line["text"].startswith("MAIL")]
    assert all(line["queue_id"] in {e["queue_id"] for e in ends}
               and line["session"] for line in mail)


def test_login_is_hidden_and_filter_holds(origin, base, certs, started):
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "1", "lane_messages_per_connection": "1"})
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(1)
    with Trace(origin, "fast", "--count", "2") as every, \
            Trace(origin, "fast", "--to", "WANTED@rcpt.example",
                  "--count", "1") as one:
        origin.sendmail(messages.make(
            "other", "s@sender.example", ["other@rcpt.example"], b"x"))
        sim.wait_taken(2)
        origin.sendmail(messages.make(
            "wanted", "s@sender.example", ["wanted@rcpt.example"], b"x"))
        every, one = every.end(), one.end()
    text = "\n".join(line["text"] for line in every)
    assert "EHLO" in text and "RCPT TO:<other@rcpt.example>" in text
    sent = [line["text"] for line in every if line["way"] == "sent"]
    assert [t for t in sent if t.endswith(" octets of login, hidden>")]
    assert not [t for t in sent if t.startswith("AUTH")]
    assert re.search(r"^235 ", text, re.M)
    assert {line["queue_id"] for line in one} == {one[0]["queue_id"]} != {""}
    text = "\n".join(line["text"] for line in one)
    assert "RCPT TO:<wanted@rcpt.example>" in text
    assert "other@" not in text and "EHLO" not in text


def test_dials_that_fail_say_why(origin, base, certs, started):
    """What the server says to a login, but for what is secret in it; and a
    connection that nobody takes."""
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "1", "lane_messages_per_connection": "1",
        "lane_pipeline_auth": "no"})
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(1)
    origin.wait_empty()
    encoded = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    sim.script(f'auth reply "535 5.7.8 no {encoded} such {PASSWORD} login"\n')
    with Trace(origin, "fast") as trace:
        def heard(begin):
            lines = []
            while not (lines and begin in lines[-1]["text"]):
                lines.append(trace.line())
            return lines
        origin.inject(messages.generate(1, prefix="refused"))
        lines = heard("next dial in ")
        sim.stop()
        origin.postlane("retry")
        lines += heard("Connection refused")
    text = "\n".join(f"{line['way']} {line['text']}" for line in lines)
    assert re.search(r"^received 535 5\.7\.8 no \.+=* such \.\.$", text, re.M)
    assert PASSWORD not in text and encoded not in text
    assert f"remark connecting to 127.0.0.1[127.0.0.1]:{sim.port}" in text


def test_next_process_is_heard_as_well(lane):
    origin, sim = lane
    with Trace(origin, "fast", "--count", "1") as trace:
        origin.reload()
        while trace.line()["text"] != "the process ends":
            pass        # the goodbye of its session
        # master(8) starts it with the next message.
        origin.inject(messages.generate(1))
        while trace.line()["text"] != "what follows is live":
            pass
        origin.inject(messages.generate(1, prefix="then"))
        lines = trace.end()
    assert lines[-1]["way"] == "decided"
    # the first of them, when it was heard from the start
    assert re.match("to=<(m|then)-0-r0@rcpt.example>, ", lines[-1]["text"])


def test_who_may_listen(lane):
    origin, _ = lane
    found = origin.postlane("trace", "fast", user="nobody")
    assert found.returncode == 77
    assert "only root and postfix may" in found.stderr
