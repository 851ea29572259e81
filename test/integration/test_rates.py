"""Rates of lanes and of their account: exact, shared, and kept over reload,
stop and kill -9. POSTLANE_LONG=1 takes more mail. Figures go to stdout."""
import os
import time

import pytest

from harness import messages, paths
from harness.load import Load
from harness.pace import ahead, excess
from harness.simulator import DelayProxy, Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
PROVIDERS = os.path.join(paths.ROOT, "providers")
WIDE = {f"{lane}_{name}": "400" for lane in ("fast", "slow") for name in (
    "destination_concurrency_limit", "initial_destination_concurrency")}
# How far apart two messages that left one after the other may arrive: this
# machine's scheduling, and 10 ms by which a timer may have been late.
JITTER_S = 0.1


def events(times_us):
    """For ahead()."""
    return [(at / 1e6, 1) for at in times_us]


def times(sim, prefix=""):
    return sorted(e.time_us for e in sim.ledger() if e.id.startswith(prefix))


def two_lanes(base, certs, origin, started, sim=None, **main):
    sim = started(Simulator(base, certs, max_connections=20, **(sim or {})))
    link = started(DelayProxy(base, sim.port, delay_ms=20))
    for lane in ("fast", "slow"):
        origin.agent("lane", lane, f"class={lane}", {
            "lane_message_rate_limit": "none", "lane_connection_limit": 10,
            "lane_connection_reserve": 4, "lane_log_name": f"postfix/{lane}",
            "lane_provider_directory": PROVIDERS})
    urgent = origin.map("transport", {"urgent.example": "fast:"})
    origin.relay_to(sim, transport="slow", port=link.port, transport_maps=urgent,
                    **WIDE, **main)
    started(origin)
    return sim


def time_urgent(origin, sim, count, prefix, pause_s, at_once=1):
    """Seconds from queueing to acceptance, sorted, of each message."""
    made = messages.generate(count, domain="urgent.example", prefix=prefix)
    queued = {}
    for n in range(0, count, at_once):
        some = made[n:n + at_once]
        began = time.monotonic()
        origin.inject(some, connections=len(some))
        queued.update({m.id: time.time_ns() // 1000 for m in some})
        # spread over the account's tokens, not in step with them
        wait_until(lambda: time.monotonic() - began >= pause_s, 10, "a pause")
    wait_until(lambda: len(times(sim, prefix)) >= count, 60, "urgent mail")
    return sorted((e.time_us - queued[e.id]) / 1e6 for e in sim.ledger()
                  if e.id in queued)


def queue_backlog(origin, count):
    """Bulk mail that is in the queue before the first of it may leave: on a
    busy machine it would else be gone by the time the last is in."""
    backlog = messages.generate(count, prefix="bulk", size=500)
    origin.hold_transports("slow")
    origin.inject(backlog, connections=8)
    origin.release_transports()
    return backlog


def p95(values):
    return values[int(len(values) * 0.95)]


def test_backlog_of_one_lane_does_not_delay_the_other(
        base, certs, origin, started):
    rate, burst = 100, 20   # 200 ms: other programs run here too
    sim = two_lanes(base, certs, origin, started,
                    lane_account_message_rate_limit=f"{rate}/1s:{burst}")
    began = time.time()
    time_urgent(origin, sim, 3, "warm", 0.1)
    empty = time_urgent(origin, sim, 20, "empty", 0.23)
    backlog = queue_backlog(origin, 1800)
    wait_until(lambda: len(times(sim, "bulk")) > 20, 30, "bulk under way")
    busy = time_urgent(origin, sim, 25, "busy", 0.23)
    assert len(times(sim, "bulk")) < len(backlog), "the backlog was too small"
    last = times(sim, "busy")[-1]
    first = times(sim, "busy")[0]
    during = [t for t in times(sim) if first < t <= last]
    used = len(during) / (rate * (last - first) / 1e6)
    above = excess(during, rate)    # without the work of queueing
    print(f"\nurgent, from queued to accepted, p95: {p95(empty) * 1e3:.0f} ms "
          f"in an empty system, {p95(busy) * 1e3:.0f} ms beside a backlog; "
          f"{used:.1%} of the account's rate used, at most {above:.1f} "
          f"above it")
    if LONG:    # on a machine with nothing else to do
        assert p95(busy) <= 2 * p95(empty) + 1 / rate
        assert used >= 0.98
        assert above <= burst + rate * JITTER_S
    assert ahead(events(times(sim)), rate, began) <= burst + 0.1
    # it did not stand in line: the backlog lasts 18 s
    assert busy[len(busy) // 2] <= len(backlog) / rate / 4


def test_bulk_is_cut_before_urgent(base, certs, origin, started):
    """An unannounced rate, which the bulk lane alone would use up, and urgent
    mail that comes eight at a time: the provider stores ten."""
    rate, count, at_once = 50, 400 if LONG else 96, 8
    sim = two_lanes(base, certs, origin, started,
                    {"rate": f"{rate}/1s:10", "sync": False})
    time_urgent(origin, sim, 3, "warm", 0.1)
    empty = time_urgent(origin, sim, 48, "empty", 0.53, at_once)
    backlog = queue_backlog(origin, rate * (60 if LONG else 30))
    wait_until(lambda: len(times(sim, "bulk")) > 200, 30, "bulk under way")
    refused = sim.stats()["throttled"]
    busy = time_urgent(origin, sim, count, "busy", 0.53, at_once)
    bulk = times(sim, "bulk")
    assert len(bulk) < len(backlog), "the backlog was too small"
    refused = sim.stats()["throttled"] - refused
    both = [t for t in times(sim) if t > bulk[-1] - 10e6]
    used = (len(both) - 1) / (both[-1] - both[0]) * 1e6
    gave_way = len(origin.log.lines("postfix/slow.* reason=more-urgent"))
    cut = origin.log.lines("postfix/fast.* pace=slower")
    print(f"\nurgent, from queued to accepted, p95: {p95(empty) * 1e3:.0f} ms "
          f"in an empty system, {p95(busy) * 1e3:.0f} ms beside bulk; "
          f"{used:.1f}/s of {rate}/s used, {refused} refused, bulk gave way "
          f"{gave_way} times, urgent {len(cut)} times")
    # where urgent mail was refused: on a slow machine it may not have been
    assert gave_way >= len(cut)
    if LONG:    # on a machine with nothing else to do
        assert not cut
        assert p95(busy) <= 2 * p95(empty) + 0.25
        assert used >= rate * 0.9
    assert not origin.log.statuses("/fast")["deferred"]
    assert not origin.log.statuses("/slow")["deferred"]


def test_pause_of_one_lane_is_kept_by_the_other(base, certs, origin, started):
    sim = two_lanes(base, certs, origin, started, {"transcript": True})
    time_urgent(origin, sim, 1, "warm", 0.1)
    sim.script('mail times 1 reply "454 4.7.0 Too many messages, try again '
               'in 4 seconds"\n')
    origin.inject(messages.generate(1, prefix="bulk"))
    origin.log.wait("postfix/slow.*try again in 4 seconds")
    refused = time.time_ns() // 1000
    [waited] = time_urgent(origin, sim, 1, "urgent", 0.1)
    wait_until(lambda: times(sim, "bulk"), 30, "bulk mail")
    first = min(times(sim, "urgent") + times(sim, "bulk"))
    print(f"\nasked for 4 s: urgent mail waited {waited:.2f} s, the first "
          f"went {(first - refused) / 1e6:.2f} s after the reply")
    assert first - refused >= 3.5e6
    assert sim.stats()["throttled"] == 0 and waited < 10


@pytest.mark.parametrize("limit", ["lane_message_rate_limit",
                                   "lane_account_message_rate_limit"])
def test_rate_goes_on_over_reload_and_kill(
        base, certs, origin, started, limit):
    """The bucket holds 20: forgetting it would show each time."""
    rate, burst = 20, 20
    sim = started(Simulator(base, certs, max_connections=20, latency=10))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast", **WIDE,
                    **{limit: f"{rate}/1s:{burst}"})
    started(origin)
    with Load(origin, per_s=40):
        for disturb in (origin.reload,
                        lambda: origin.kill9(origin.wait_pids("lane")[0]),
                        origin.reload):
            seen = len(times(sim))
            sim.wait_taken(max(seen + 30, 60))
            disturb()
        sim.wait_taken(len(times(sim)) + 50)
    origin.stop()
    origin.start()
    sim.wait_taken(len(times(sim)) + 30)
    taken = times(sim)
    above = excess(taken, rate)
    pauses = sorted(b - a for a, b in zip(taken, taken[1:]))[-4:]
    print(f"\n{len(taken)} messages, at most {above:.1f} above the rate; "
          f"longest pauses {[round(p / 1e6, 2) for p in pauses]} s")
    assert above <= burst + rate * JITTER_S


@pytest.mark.parametrize("limit", ["lane_message_rate_limit",
                                   "lane_account_recipient_rate_limit"])
def test_quota_is_never_exceeded(base, certs, origin, started, limit):
    sim = started(Simulator(base, certs, max_connections=20))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast", lane_wait_limit="5s",
                    minimal_backoff_time="1s", maximal_backoff_time="1s",
                    queue_run_delay="1s", **WIDE, **{limit: "60/1h!"})
    started(origin)
    origin.inject(messages.generate(90))
    sim.wait_taken(60)
    for disturb in (origin.reload,
                    lambda: origin.kill9(origin.wait_pids("lane")[0]),
                    lambda: (origin.stop(), origin.start())):
        disturb()
        mark = origin.log.mark()
        origin.flush()
        origin.log.wait(rf"{limit} = 60/1h! is used up", 30, since=mark)
    assert len(sim.ledger()) == 60
    # one that changes its queue meanwhile may be missed once
    wait_until(lambda: origin.queue_count() == 30, 10, "30 in the queue")


def test_new_connections_are_counted(base, certs, origin, started):
    rate = 4
    sim = started(Simulator(base, certs, max_connections=20,
                            max_messages=2))
    origin.agent("lane", "fast", "class=fast",
                 {"lane_messages_per_connection": 2})
    origin.relay_to(sim, transport="fast", **WIDE,
                    lane_connection_rate_limit=f"{rate}/1s:2")
    started(origin)
    sent = messages.generate(40)
    began = time.time()
    origin.inject(sent)
    origin.wait_empty()
    begun = {}
    for e in sim.ledger():
        begun.setdefault(e.connection, e.time_us)
    above = excess(sorted(begun.values()), rate)
    span = (times(sim)[-1] - times(sim)[0]) / 1e6
    print(f"\n{len(begun)} connections in {span:.1f} s, at most {above:.1f} "
          f"above the rate")
    assert messages.compare(sent, sim.taken()).is_clean()
    assert ahead(events(sorted(begun.values())), rate, began) <= 2 + 0.1
    if LONG:    # on a machine with nothing else to do
        assert above <= 2 + rate * JITTER_S + 0.5
        assert span < len(sent) / 2 / rate * 1.2
