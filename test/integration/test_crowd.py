"""A bulk backlog beyond what the active queue holds: urgent mail is not
delayed, the account's rate is used to the full, nothing is lost.

POSTLANE_LONG=1 takes 30,000 messages, again 30,000 after four minutes, at
100/s with Postfix's own limits, which is ten minutes. Figures go to stdout."""
import os
import threading
import time

import pytest

from harness import messages
from harness.backlog import Backlog, files_in
from harness.load import Load, wait_clock
from harness.simulator import Simulator
from harness.wait import Stopwatch, wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT, PER_S, TIMES = (30000, 100, 2) if LONG else (1500, 50, 1)
# a burst, for machines that have other things to do
RATE = f"{PER_S}/1s" if LONG else f"{PER_S}/1s:{PER_S // 2}"
INJECT_S = 20 if LONG else 5
AGAIN_AFTER_S = 240
EMPTY_S = 60 if LONG else 5
STRETCH_S = 30 if LONG else 10
URGENT_PER_S = 2
# Postfix's own, where the harness has shorter ones
BACKOFF = {"minimal_backoff_time": "300s", "maximal_backoff_time": "4000s",
           "queue_run_delay": "300s", "delay_logging_resolution_limit": "6"}


class Urgent(Load):
    """A message to the fast lane now and then, from a thread."""

    def __init__(self, origin):
        super().__init__(origin, batch=1, per_s=URGENT_PER_S, prefix="u",
                         domain="urgent.example")

    def delays_s(self, since=0.0, until=float("inf")):
        """From the arrival in the queue to the 250, by the log."""
        took = {d.to: d.delay for d in self.origin.log.deliveries(
            "/smtp", status="sent")}
        return sorted(
            took[m.recipients[0]] for m in self.sent
            if since <= self.began_s[m.id] < until and m.recipients[0] in took)


def share(values, q):
    return values[min(len(values) - 1, int(len(values) * q))]


def told(values):
    return (f"n={len(values)} p50 {share(values, .5):.3f} p95 "
            f"{share(values, .95):.3f} max {values[-1]:.3f} s")


class Filler(threading.Thread):
    """Adds to a backlog evenly."""

    def __init__(self, backlog, count, seconds):
        super().__init__()
        self.backlog, self.count, self.seconds = backlog, count, seconds
        self.start()

    def run(self):
        began, steps = time.monotonic(), int(self.seconds * 5)
        end = self.backlog.count + self.count
        for n in range(1, steps + 1):
            self.backlog.add(
                self.count // steps if n < steps else end - self.backlog.count)
            time.sleep(max(
                0, began + self.seconds * n / steps - time.monotonic()))


def start(base, certs, origin, started, **main):
    sim = started(Simulator(base, certs, sync=False, latency=10,
                            max_connections=20))
    origin.agent("lane", "fast", "class=fast", {"lane_connection_reserve": 4})
    origin.agent("lane", "slow", "class=slow", {
        "lane_connection_limit": 2, "lane_message_rate_limit": "none",
        "lane_log_name": "slow"})
    windows = {f"{lane}_{name}": size
               for lane, size in (("fast", "400"), ("slow", "40"))
               for name in ("destination_concurrency_limit",
                            "initial_destination_concurrency")}
    origin.relay_to(
        sim, transport="slow", transport_maps=origin.map(
            "transport", {"urgent.example": "fast:"}),
        lane_account_message_rate_limit=RATE,
        **windows, **BACKOFF, **main)
    return sim


def per_s_of_stretches(sim, began, end):
    """Messages a second of each stretch of the time with a backlog."""
    times = [e.time_us / 1e6 for e in sim.ledger()]
    edges = [began + STRETCH_S * n
             for n in range(int((end - began) / STRETCH_S) + 1)]
    return [sum(a <= t < b for t in times) / STRETCH_S
            for a, b in zip(edges, edges[1:])]


def watch(origin, sim, backlog, filler, began):
    """Until the backlog is gone; returns the most files of each queue."""
    most = dict.fromkeys(("incoming", "active", "deferred"), 0)
    fills, watch = 1, Stopwatch()
    while True:
        wait_clock(2)
        for name in most:
            most[name] = max(most[name], files_in(origin, name))
        late = watch.seconds() > 2 * TIMES * COUNT / PER_S + 60
        if filler.is_alive():
            continue
        if fills < TIMES and time.time() - began > AGAIN_AFTER_S:
            filler = Filler(backlog, COUNT, INJECT_S)
            fills += 1
        done = sum(e.id.startswith("bulk") for e in sim.ledger())
        if fills == TIMES and done == backlog.count:
            return most
        assert not late, (
            f"{done} of {backlog.count} after {time.time() - began:.0f} s")


def test_backlog_of_bulk_delays_no_urgent_mail(base, certs, origin, started):
    sim = start(base, certs, origin, started,
                **({} if LONG else {"qmgr_message_active_limit": "1000"}))
    backlog = Backlog(origin, "bulk.example")
    started(origin)
    backlog.prepare()
    with Urgent(origin) as urgent:
        wait_clock(EMPTY_S)
        began = time.time()
        most = watch(origin, sim, backlog,
                     Filler(backlog, COUNT, INJECT_S), began)
    wait_until(lambda: len(urgent.delays_s()) == len(urgent.sent), 30,
               "all urgent mail sent")
    account, = origin.lanes()["accounts"]
    assert [r["limit"] for r in account["rates"]][0].startswith(f"{PER_S}/1s")
    bulk = [e for e in sim.ledger() if e.id.startswith("bulk")]
    rates = per_s_of_stretches(
        sim, bulk[0].time_us / 1e6 + 2, bulk[-1].time_us / 1e6)
    empty = urgent.delays_s(until=began)
    busy = urgent.delays_s(began)
    given_back = len(origin.log.lines(r"the active queue is crowded and"))
    print(f"\nempty: {told(empty)}\nbusy:  {told(busy)}"
          f"\nfirst minute: {told(urgent.delays_s(began, began + 60))}"
          f"\naccount: {min(rates):.1f} to {max(rates):.1f}/s of {PER_S}/s "
          f"in stretches of {STRETCH_S} s; given back {given_back} times; "
          f"most files: {most}; bulk done after "
          f"{bulk[-1].time_us / 1e6 - began:.0f} s")
    assert len(bulk) == len({e.id for e in bulk}) == TIMES * COUNT
    assert given_back > 0
    assert sim.stats()["connections_refused"] == 0
    assert not origin.log.problems()
    assert origin.log.statuses("/slow").get("bounced", 0) == 0
    assert origin.log.statuses("/smtp") == {"sent": len(urgent.sent)}
    if LONG:    # on a machine with nothing else to do
        assert min(rates) >= PER_S * 0.98
        assert share(busy, .95) <= max(2 * share(empty, .95), 0.1)
    # it did not stand in line: the backlog lasts COUNT / PER_S seconds
    assert share(busy, .5) <= COUNT / PER_S / 4


def test_surplus_of_a_slow_lane_leaves_the_active_queue(
        base, certs, origin, started):
    """With the queue manager's windows as they are by default."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast", {})
    origin.agent("lane", "slow", "class=slow",
                 {"lane_message_rate_limit": "2/1s"})
    origin.relay_to(sim, transport="slow",
                    qmgr_message_active_limit="200",
                    minimal_backoff_time="1000s",
                    maximal_backoff_time="1000s")
    origin.set(transport_maps=origin.map("transport", {"urgent.example":
                                                       "fast:"}))
    started(origin)
    origin.inject(messages.generate(400, domain="bulk.example", prefix="bulk"))
    origin.log.wait(r"giving back its surplus", 30)
    origin.log.wait(r"status=deferred \(the active queue is crowded", 30)
    # the board is written a few times a second
    slow = wait_until(
        lambda: (now := origin.lane("slow"))["gauges"]["crowd_given_back"] > 0
        and now, 30, "crowd_given_back on the board")
    assert [r["limit"] for r in slow["rates"]] == ["2/1s:1"]
    assert slow["counters"]["crowd_deferred"] > 0
    assert slow["gauges"]["crowd_given_back"] \
        <= slow["counters"]["crowd_deferred"]
    assert slow["gauges"]["messages_active"] > 0
    urgent = messages.generate(5, domain="urgent.example", prefix="urgent")
    origin.inject(urgent)
    for message in urgent:
        origin.log.wait(rf"to=<{message.id}\S*@urgent.example>.*status=sent",
                        10)
    # What was given back is in the queue, nothing is lost.
    assert origin.log.statuses("/smtp").get("bounced", 0) == 0


@pytest.mark.parametrize("how", ["one nexthop", "nexthop is the domain"])
def test_parked_mail_leaves_room_in_the_example_s_window(
        base, certs, origin, started, how):
    """More mail for a limited domain than the window has places."""
    sim = started(Simulator(base, certs))
    options = {"lane_connection_limit": 2, "lane_message_rate_limit": "5/1s",
               "lane_domain_rate_limits": "limited.example=1/1m"}
    origin.relay_to(sim, transport="slow", **BACKOFF,
                    slow_destination_concurrency_limit="40",
                    slow_initial_destination_concurrency="40")
    if how == "nexthop is the domain":
        options["lane_smarthost"] = origin.main["relayhost"]
        origin.set(relayhost=None)
    origin.agent("lane", "slow", "class=slow", options)
    started(origin)
    origin.inject(messages.generate(60, domain="limited.example", prefix="l"))
    others = messages.generate(20, domain="free.example", prefix="f")
    origin.inject(others)
    origin.log.wait(r"@free\.example>.* status=sent", 30, count=len(others))
    statuses = [d.reason for d in origin.log.deliveries(status="deferred")]
    if how == "one nexthop":
        assert statuses and all(
            "half of the window, 20 messages wait already" in reason
            for reason in statuses)
    else:
        assert not statuses
