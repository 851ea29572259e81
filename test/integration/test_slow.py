"""A paced lane keeps its pace to the message. POSTLANE_LONG=1 takes 300
messages; figures go to stdout."""
import os
import re
import time

import pytest

from harness import messages
from harness.pace import ahead
from harness.simulator import Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 300 if LONG else 60
PER_S = 10
WIDE = {"slow_destination_concurrency_limit": "400",
        "slow_initial_destination_concurrency": "400"}


def start(base, certs, origin, started, options, **sim_options):
    sim = started(Simulator(base, certs, **{"max_connections": 20,
                                            **sim_options}))
    origin.agent("lane", "slow", "class=slow", options)
    origin.relay_to(sim, transport="slow", **WIDE)
    started(origin)
    return sim


def times_s(sim):
    return sorted(e.time_us / 1e6 for e in sim.ledger())


def most_in_window(times, length_s):
    """Largest number of messages in any half-open window."""
    most, first = 0, 0
    for i, t in enumerate(times):
        while t - times[first] >= length_s:
            first += 1
        most = max(most, i - first + 1)
    return most


def delivery_sockets(pid):
    """Connections of the queue manager that the process holds."""
    inodes = set()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:   # a lane that starts has a child for a moment
        return 0
    for name in names:
        try:
            m = re.match(r"socket:\[(\d+)\]",
                         os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
        if m:
            inodes.add(m[1])
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        rows = [line.split() for line in f]
    return sum(1 for row in rows if len(row) > 7 and row[6] in inodes
               and row[5] == "03" and row[7].startswith("private/slow"))


@pytest.mark.parametrize("rate,burst", [(f"{PER_S}/1s", 1),
                                        (f"{PER_S}/1s:5", 5)])
def test_rate_is_kept(base, certs, origin, started, rate, burst):
    count = COUNT if burst == 1 else 60
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": rate})
    sent = messages.generate(count)
    began = time.time()
    origin.inject(sent)
    most_inside = 0

    def done():
        nonlocal most_inside
        for pid in origin.pids("lane"):
            most_inside = max(most_inside, delivery_sockets(pid))
        return len(sim.ledger()) >= count
    wait_until(done, count / PER_S + 30, "everything sent")
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    times = times_s(sim)
    # the burst goes at once, at its end the pace begins
    paced = times[burst - 1:]
    per_s = (len(paced) - 1) / (paced[-1] - paced[0])
    window = most_in_window(times, 1.0)
    print(f"\n{rate}: {count} messages at {per_s:.3f}/s, at most {window} in "
          f"one second, {most_inside} deliveries of the queue manager inside,"
          f" {sim.stats()['connections_max']} connections")
    assert ahead([(at, 1) for at in times], PER_S, began) <= burst + 0.1
    if LONG:    # on a machine with nothing else to do
        assert abs(per_s - PER_S) <= PER_S * 0.01
        assert window <= PER_S + burst
    assert sim.stats()["connections_max"] <= 2
    # two seconds' worth, one in flight on each session, two not greeted yet
    assert most_inside <= 2 * PER_S + 2 + 2 + burst
    assert origin.log.statuses("/smtp") == {"sent": count}
    assert not origin.log.problems()


@pytest.mark.parametrize("rate,per_s", [("120/1m", 2), ("0.5/1s", 0.5)])
def test_other_spellings_of_a_rate(base, certs, origin, started, rate, per_s):
    count = 9 if per_s == 2 else 4
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": rate})
    began = time.time()
    origin.inject(messages.generate(count))
    sim.wait_taken(count)
    times = times_s(sim)
    assert ahead([(at, 1) for at in times], per_s, began) <= 1.1


def test_what_is_held_too_long_says_why(base, certs, origin, started):
    """More wait inside than can go in time: they are deferred for the rate,
    with its name and value, and go later."""
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": "1/1s", "lane_wait_limit": "1s"})
    sent = messages.generate(8)
    began = time.time()
    origin.inject(sent)
    reason = (r"not sent within 1s: lane_message_rate_limit = 1/1s")
    origin.log.wait(rf"dsn=4\.4\.5, status=deferred \({reason}")
    wait_until(lambda: any(
        re.search(reason, r.get("delay_reason", ""))
        for entry in origin.queue() for r in entry["recipients"]), 10,
        "the reason in the queue")
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert ahead([(at, 1) for at in times_s(sim)], 1, began) <= 1.1


def test_recipients_are_counted_where_they_are_limited(
        base, certs, origin, started):
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": "none",
                 "lane_recipient_rate_limit": "20/1s:5"})
    sent = messages.generate(10, recipients=5)
    began = time.time()
    origin.inject(sent)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    times = times_s(sim)
    assert ahead([(at, 5) for at in times], 20, began) <= 5.1
    if LONG:    # nine after the burst, on a machine with nothing else to do
        assert times[-1] - times[0] <= 2.6
