"""Why does this message wait: the answer of postlane(1), wherever it is."""
import json
import os
import re
import signal

from harness import messages
from harness.simulator import Simulator
from harness.wait import wait_until

LATER = 600     # nothing comes back from the deferred queue by itself


def start(base, certs, origin, started, options=None, **how):
    sim = started(Simulator(base, certs, store=True, **how))
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "1", "lane_pipeline_depth": "1",
        **(options or {})})
    origin.relay_to(sim, transport="fast")
    origin.set(minimal_backoff_time=f"{LATER}s",
               maximal_backoff_time=f"{LATER}s", queue_run_delay=f"{LATER}s")
    return sim


def ids_in(origin, queue):
    """Queue ids by recipient."""
    return {entry["recipients"][0]["address"]: entry["queue_id"]
            for entry in origin.queue() if entry["queue_name"] == queue}


def why(origin, *words):
    found = origin.postlane("-j", "why", *words)
    assert found.returncode in (0, 1), found
    return json.loads(found.stdout)


def parts(origin, ids):
    """The part of each message that is in the lane, by its recipient."""
    answers = {rcpt: why(origin, ids[rcpt]) for rcpt in ids}
    return {rcpt: a["parts"][0] for rcpt, a in answers.items()
            if a["where"] == "lane"}


def waiting(origin, reason):
    """Of all that is active, those that wait for that."""
    found = parts(origin, ids_in(origin, "active"))
    return {rcpt: p for rcpt, p in found.items()
            if p["state"] == "waiting" and p["waits"] == reason}


def test_for_a_rate_with_its_place_and_time(origin, base, certs, started):
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": "1/100s:1"})
    origin.set(fast_destination_concurrency_limit="3",
               fast_initial_destination_concurrency="3")
    started(origin)
    origin.inject(messages.generate(7), connections=1)
    sim.wait_taken(1)

    def two():
        found = waiting(origin, "rate")
        return len(found) >= 2 and found
    found = wait_until(two, 60, "two wait")
    part = max(found.values(), key=lambda p: p["place"])
    place = part["place"]
    assert 2 <= place == part["of"]
    assert part["because"] == "lane_message_rate_limit = 1/100s:1"
    assert part["parameter"] == "lane_message_rate_limit"
    path, _, line = part["set_in"].rpartition(":")
    assert path == os.path.join(origin.etc, "master.cf")
    with open(path, encoding="utf-8") as f:
        assert "lane_message_rate_limit" in f.readlines()[int(line) - 1]
    # Those before it go 100 s apart; and what is left of the first 100.
    assert 0 <= part["expected_s"] - 100 * (place - 1) <= 101
    [rcpt] = part["recipients"]
    text = origin.postlane("why", ids_in(origin, "active")[rcpt], rcpt).stdout
    assert f"\n  {rcpt}\n    state      waiting\n" in text
    assert "    waits for  rate: lane_message_rate_limit = 1/100s:1\n" in text
    assert f"    place      {place} of {place}, its turn is expected in " in text
    # Three are in the lane; of others it tells how it is, and when.
    behind = [a["goes_to"] for a in map(
        lambda name: why(origin, name), ids_in(origin, "active").values())
        if a["where"] == "active"]
    assert len(behind) >= 3
    for turn in behind:
        assert (turn["lane"], turn["limit"]) == ("fast", "1/100s:1 messages")
        assert turn["sentence"].endswith(
            "lane_message_rate_limit = 1/100s:1"), turn
        assert turn["turn_least_s"] == 100 * (turn["before"] + 1)
    assert 1 <= max(turn["before"] for turn in behind) <= 5
    # Somebody else's recipient is not in it.
    other = why(origin, ids_in(origin, "active")[rcpt], "nobody@else.example")
    assert other["where"] == "active"


def test_on_the_wire_and_behind_it(origin, base, certs, started):
    start(base, certs, origin, started,
          script='eod nth 1 delay 100000\n')
    started(origin)
    origin.inject(messages.generate(2), connections=1)

    def found():
        states = {p["state"]: p for p in
                  parts(origin, ids_in(origin, "active")).values()}
        # Nobody knows yet what the smarthost takes; while the first was still
        # to be sent the second waited for the connection.
        return set(states) == {"on the wire", "waiting"} and \
            states["waiting"]["waits"] == "connection-limit" and states
    states = wait_until(found, 60, "one is on the wire, one behind it")
    assert states["on the wire"]["smarthost"].startswith("127.0.0.1")
    assert states["waiting"]["parameter"] == "lane_connection_limit"
    assert states["waiting"]["because"] == (
        "lane_connection_limit = 1: as many are in use")
    assert states["waiting"]["place"] == 1


def test_for_the_operator(origin, base, certs, started):
    sim = start(base, certs, origin, started)
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    sim.wait_taken(1)
    assert origin.postlane(
        "pause", "fast", "--for", "4m").returncode == 0
    origin.inject(messages.generate(1, prefix="held"))
    [part] = wait_until(lambda: list(waiting(origin, "operator").values()),
                        30, "it waits")
    assert part["because"].startswith("paused by root")
    assert 0 < part["expected_s"] <= 240


def test_for_a_host_that_cannot_be_reached(origin, base, certs, started):
    start(base, certs, origin, started)
    origin.set(lane_smarthost="[127.0.0.1]:1")
    started(origin)
    origin.inject(messages.generate(1))
    wait_until(lambda: origin.queued("deferred") == 1, 60, "deferred")
    [(rcpt, name)] = ids_in(origin, "deferred").items()
    answer = why(origin, name)
    assert answer["where"] == "deferred"
    assert answer["transport"] == "fast"
    [shown] = answer["recipients"]
    assert shown["address"] == rcpt
    assert "connect to 127.0.0.1[127.0.0.1]:1: Connection refused" in (
        shown["reason"])
    left_s = (answer["next_try_wall_ms"] - answer["arrival_wall_ms"]) / 1000
    assert left_s >= LATER
    text = origin.postlane("why", name).stdout
    assert text.startswith(f"{name}: deferred, tried again later\n  {rcpt}: ")
    assert f"; at once: postqueue -i {name}\n" in text
    # Nobody knows when it is gone.
    [lane] = json.loads(origin.postlane("-j", "forecast").stdout)["lanes"]
    assert (lane["messages"], lane["deferred"], lane["empty_s"]) == (0, 1, -1)
    assert lane["end"].startswith("unknown: ") and "refused" in lane["end"]
    assert "  forecast     unknown: " in origin.postlane("status").stdout


def test_of_deferred_mail_under_a_pause(origin, base, certs, started):
    """The next attempt would end as the last one did: who holds it, until
    when, and what ends that."""
    sim = start(base, certs, origin, started)
    started(origin)
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(1)
    origin.wait_empty()
    assert origin.postlane("pause", "example.net", "--for",
                           "1h").returncode == 0
    origin.inject(messages.generate(1, domain="example.net"))
    wait_until(lambda: origin.queued("deferred") == 1, 60, "deferred")
    name = ids_in(origin, "deferred").popitem()[1]
    held = why(origin, name)["goes_to"]["held"]
    assert (held["verb"], held["domain"], held["resume"]) == (
        "pause", "example.net", "postlane resume example.net")
    text = origin.postlane("why", name).stdout
    assert re.search(r"\n  mail to example.net is paused by root.* until "
                     r"[-0-9: ]+; before that: postlane resume example.net\n",
                     text), text
    assert "postqueue -i" not in text
    assert origin.postlane("pause", "fast").returncode == 0
    text = origin.postlane("why", name).stdout
    assert origin.postlane("forecast").stdout.rstrip().endswith(
        'not before "postlane resume fast"')
    # whichever holds it is said
    assert "postlane resume " in text and "postqueue -i" not in text


def test_elsewhere_in_the_queue(origin, base, certs, started):
    """Held, with the queue manager, and nowhere."""
    start(base, certs, origin, started)
    origin.service("smtp", "quiet")
    origin.set(transport_maps=origin.map(
        "transport", {"else.example": "quiet:[127.0.0.1]:1"}),
        smtpd_client_restrictions="static:HOLD")
    started(origin)
    origin.inject(messages.generate(1))
    wait_until(lambda: origin.queued("hold") == 1, 30, "held")
    [(rcpt, name)] = ids_in(origin, "hold").items()
    answer = why(origin, name)
    assert (answer["where"], answer["transport"]) == ("hold", "fast")
    assert [r["address"] for r in answer["recipients"]] == [rcpt]
    found = origin.postlane("why", "4ABCDEFGHIJKLMN")
    assert found.returncode == 1
    assert found.stdout.startswith("4ABCDEFGHIJKLMN: not in the queue: ")
    found = origin.postlane("why", "../hold/" + name)
    assert (found.returncode, found.stdout) == (64, "")
    assert "bad queue id: " in found.stderr


def test_what_an_operator_set_is_not_the_files(origin, base, certs, started):
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": "100/1s"})
    started(origin)
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(1)
    assert origin.postlane("rate", "fast", "1/100s").returncode == 0
    origin.inject(messages.generate(3), connections=1)
    [part, *_] = wait_until(lambda: list(waiting(origin, "rate").values()),
                            30, "it waits")
    assert part["because"] == "lane_message_rate_limit = 1/100s:1"
    assert part["set_in"].startswith("postlane rate 1/100s, by root")


def test_of_a_lane_that_is_stopped_and_one_that_is_killed(
        origin, base, certs, started):
    """What cannot be known is said to be so."""
    start(base, certs, origin, started,
          {"lane_message_rate_limit": "1/100s:1"})
    started(origin)
    origin.inject(messages.generate(3), connections=1)
    wait_until(lambda: waiting(origin, "rate"), 30, "one waits")
    name = ids_in(origin, "active").popitem()[1]
    with origin.held_still("lane") as [pid]:
        found = origin.postlane("why", name)
        assert found.returncode == 75, found
        assert found.stdout.startswith(
            f"{name}: with the queue manager, or in the lane that does not "
            "answer\n")
        assert f"lane fast: its process ({pid}) does not answer" in (
            found.stderr)
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: origin.queued("deferred"), 30, "given back")
    name = ids_in(origin, "deferred").popitem()[1]
    found = origin.postlane("why", name)
    assert found.returncode == 0
    assert (": no reason was recorded, as when the process that had it is "
            "killed\n") in found.stdout
    assert "\n  lane fast: " in found.stdout
