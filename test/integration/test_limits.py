"""Published limits, kept to the message by a real queue manager and a real
lane, whatever happens to them. Judged by what the provider took: every window,
of any length and beginning. POSTLANE_LONG=1 takes 500 messages and more of
each; figures go to stdout. Hours of it, in fake time: test_lane_lives.c."""
import os
import time

import pytest

from harness import messages
from harness.load import wait_flushed
from harness.pace import ahead
from harness.sidebyside import submit
from harness.simulator import Simulator
from test_outcomes import DATA

LONG = bool(os.environ.get("POSTLANE_LONG"))
WIDE = {f"{lane}_{name}": "1000" for lane in ("fast", "slow") for name in (
    "destination_concurrency_limit", "initial_destination_concurrency")}
# How far apart two messages that left one after the other may arrive: this
# machine's scheduling. The lane's own timers are late by 10 ms at most.
JITTER_S = 0.1 if LONG else 0.2
STALL_S = 10


def excess(events, per_s):
    """The most in any window, beyond what the rate gives in it. events:
    (seconds, units), in order of time."""
    most = least = total = 0.0
    for at, units in events:
        x = total - per_s * (at - events[0][0])
        least = min(least, x)
        most = max(most, x + units - least)
        total += units
    return most


def taken_at(sim, units=lambda entry: 1, prefix=""):
    """(seconds, units) of what the provider accepted, in order of time."""
    return sorted((e.time_us / 1e6, units(e)) for e in sim.ledger()
                  if e.id.startswith(prefix))


class Pace:
    """How long the pauses around restarts were, and how fast it was between
    them, apart from the burst that a pause has saved up."""

    def __init__(self, events, per_s, burst, pause_s):
        times = [at for at, _ in events]
        self.count = len(times)
        self.above = excess(events, per_s)
        self.pauses, spans, since = [], [], 0
        for n, (a, b) in enumerate(zip(times, times[1:])):
            if b - a > pause_s:
                self.pauses.append(b - a)
                since = n + 1
            elif n >= since + burst:
                spans.append(b - a)
        self.per_s = len(spans) / sum(spans)
        self.overall = (self.count - burst) / (times[-1] - times[0])

    def __str__(self):
        return (f"{self.count} messages, {self.per_s:.3f}/s, at most "
                f"{self.above:.2f} above the rate, pauses "
                f"{[round(p, 2) for p in self.pauses]} s")


def start(base, certs, origin, started, **main):
    sim = started(Simulator(base, certs, max_connections=20, latency=5))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast", **WIDE, **main)
    started(origin)
    return sim


def queue_up(origin, count, **how):
    """Mail that waits for release_transports()."""
    origin.hold_transports("fast", "slow")
    sent = messages.generate(count, size=300, **how)
    origin.inject(sent, connections=8)
    return sent


def stop_and_start(origin):
    origin.stop()
    origin.start()


def kill(origin):
    """One that has delivered: master takes any other for one that cannot
    start, and waits a minute."""
    mark = origin.log.mark()
    origin.log.wait("status=sent", since=mark)
    origin.kill9(origin.wait_pids("lane")[0])


EVENTS = {"plain": None, "reload": lambda origin: origin.reload(),
          "stop and start": stop_and_start, "kill -9": kill}
# rate, default burst, messages, messages between two events
RATES = [("14/1s", 14, 1, 500 if LONG else 60, 60),
         ("100/1s", 100, 5, 2000 if LONG else 500, 250),
         ("1000/1s", 1000, 50, 6000 if LONG else 1500, 1500)]
CASES = [(rate, event) for rate in RATES for event in EVENTS
         if LONG or event == "plain" or rate[0] == "100/1s"]


@pytest.mark.parametrize(
    "rate,event", CASES, ids=[f"{r[0]}-{e}" for r, e in CASES])
def test_rate_is_kept_whatever_happens(
        base, certs, origin, started, rate, event):
    text, per_s, burst, count, between = rate
    if EVENTS[event]:   # a bucket forgotten would show above all jitter
        burst = per_s // 2
        text = f"{text}:{burst}"
    sim = start(base, certs, origin, started, lane_message_rate_limit=text)
    sent = queue_up(origin, count)
    began = time.time()
    origin.release_transports()
    due = between
    while EVENTS[event] and due < count:
        wait_flushed(origin, lambda: len(sim.ledger()) >= due, 120, "mail")
        EVENTS[event](origin)
        due = len(sim.ledger()) + between
    wait_flushed(origin, lambda: len({e.id for e in sim.ledger()}) >= count,
                 count / per_s * 3 + 60, "all of it")
    origin.wait_empty()
    pace = Pace(taken_at(sim), per_s, burst,
                max(0.05, 1.5 / per_s) if EVENTS[event] else STALL_S)
    print(f"\n{text}, {event}: {pace}")
    assert not messages.compare(sent, sim.taken()).lost
    assert ahead(taken_at(sim), per_s, began) <= burst + 0.1
    if LONG:    # on a machine with nothing else to do
        assert pace.above <= burst + per_s * JITTER_S
        assert max(pace.pauses, default=0) <= STALL_S
        if per_s < 1000:    # what this machine queues and logs in a second
            assert pace.per_s >= per_s * 0.99
    if event == "plain":
        assert origin.log.statuses("/smtp") == {"sent": count}
        assert not origin.log.problems()


# ---- other units, and two lanes of an account -------------------------------

def two_lanes(base, certs, origin, started, options=None, **main):
    """fast for fast.example, with four times the weight of slow, which has
    the rest. No rates of their own."""
    sim = started(Simulator(base, certs, max_connections=20, latency=5))
    for lane, priority in (("fast", "normal"), ("slow", "bulk")):
        origin.agent("lane", lane, f"class={lane}", {
            "lane_message_rate_limit": "none", "lane_connection_limit": 8,
            "lane_priority": priority, **(options or {})})
    origin.relay_to(sim, transport="slow", transport_maps=origin.map(
        "transport", {"fast.example": "fast:"}), **WIDE, **main)
    started(origin)
    return sim


def recipients_of(number):
    return 1 + number % 3


UNITS = {
    "recipients": ("lane_account_recipient_rate_limit", 150, 9,
                   lambda e: len(e.recipients), 3),
    "octets": ("lane_account_byte_rate_limit", 120000, 6000,
               lambda e: e.size, 1800),
}


@pytest.mark.parametrize("unit", UNITS)
def test_account_is_shared_by_weight_in_every_unit(
        base, certs, origin, started, unit):
    parameter, per_s, burst, units, largest = UNITS[unit]
    count = 900 if LONG else 300
    sim = two_lanes(base, certs, origin, started,
                    **{parameter: f"{per_s}/1s:{burst}"})
    origin.hold_transports("fast", "slow")
    sent = []
    for prefix, domain in (("f", "fast.example"), ("s", "rcpt.example")):
        for size in (300, 700, 1100):
            sent += messages.generate(
                count // 3, prefix=f"{prefix}{size}", size=size,
                recipients=lambda n, d=domain, p=prefix: [
                    f"{p}{n}-{i}@{d}" for i in range(recipients_of(n))])
    origin.inject(sent, connections=8)
    began = time.time()
    origin.release_transports()
    wait_flushed(origin, lambda: len(sim.ledger()) >= len(sent), 120, "mail")
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    everything = taken_at(sim, units)
    fast = taken_at(sim, units, "f")
    slow = taken_at(sim, units, "s")
    # while both had a backlog; the lanes do not begin at one moment
    begin, end = max(fast[0][0], slow[0][0]) + 0.5, fast[-1][0] - 0.5
    shares = [sum(n for at, n in lane if begin <= at < end)
              for lane in (fast, slow)]
    per_s_found = sum(shares) / (end - begin)
    above = excess(everything, per_s)
    print(f"\n{unit}: {per_s_found:.1f}/s of {per_s}, at most {above:.1f} "
          f"above the rate (burst {burst}); {shares[0]} for the lane of "
          f"weight 4, {shares[1]} for the one of weight 1")
    assert ahead(everything, per_s, began) <= burst + largest
    assert shares[0] > 2 * shares[1]
    if LONG:    # on a machine with nothing else to do
        assert 4 * 0.7 <= shares[0] / shares[1] <= 4 * 1.4
        assert above <= burst + largest + per_s * JITTER_S
        assert per_s * 0.9 <= per_s_found <= per_s * 1.03


def test_lanes_share_new_connections(base, certs, origin, started):
    per_s, burst = 6, 2
    sim = two_lanes(base, certs, origin, started,
                    {"lane_messages_per_connection": 2},
                    lane_connection_rate_limit=f"{per_s}/1s:{burst}")
    sent = messages.generate(40, domain="fast.example", prefix="f") \
        + messages.generate(40, prefix="s")
    before = time.time()
    origin.inject(sent, connections=8)
    origin.wait_empty()
    first = {}
    for at, connection in sorted((e.time_us / 1e6, e.connection)
                                 for e in sim.ledger()):
        first.setdefault(connection, at)
    begun = sorted((at, 1) for at in first.values())
    span = begun[-1][0] - begun[0][0]
    above = excess(begun, per_s)
    print(f"\n{len(begun)} connections of two lanes in {span:.1f} s, at most "
          f"{above:.1f} above the rate")
    assert messages.compare(sent, sim.taken()).is_clean()
    # known by their first message. Two lanes that count alone would be 30
    # ahead.
    assert ahead(begun, per_s, before) <= burst + 0.1


def test_recipients_of_a_message_under_different_limits(
        base, certs, origin, started):
    """Two limits, no limit, all in one message: each part is charged to its
    own, and the one without comes first."""
    limits = {"one.example": (40, 4), "two.example": (20, 2)}
    sim = start(base, certs, origin, started, lane_domain_rate_limits=" ".join(
        f"{d}=recipients:{r}/1s:{b}" for d, (r, b) in limits.items()))
    sent = queue_up(origin, 40, recipients=lambda n: [
        f"a{n}@one.example", f"b{n}@one.example", f"a{n}@two.example",
        f"c{n}@rcpt.example"])
    began = time.time()
    origin.release_transports()
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    ledger = sim.ledger()
    assert all(len({r.partition("@")[2] for r in e.recipients}) == 1
               for e in ledger)
    free = max(e.time_us for e in ledger
               if e.recipients[0].endswith("@rcpt.example")) / 1e6
    for domain, (per_s, burst) in limits.items():
        events = sorted((e.time_us / 1e6, len(e.recipients)) for e in ledger
                        if e.recipients[0].endswith("@" + domain))
        total = sum(n for _, n in events)
        span = events[-1][0] - events[0][0]
        print(f"\n{domain}: {total} recipients in {span:.2f} s, at most "
              f"{excess(events, per_s):.2f} above the rate of {per_s}/s")
        assert ahead(events, per_s, began) <= burst + 0.1
        assert free < events[-1][0]


def test_the_priority_is_told_where_it_can_be(base, certs, origin, started):
    """MT-PRIORITY to the host that offers it, and not to the one that takes
    the message from there."""
    first = started(Simulator(base, certs, name="first", mt_priority="MIXER",
                              script='rcpt if rcpt "later" reply '
                              '"450 4.2.0 not now"\n'))
    second = started(Simulator(base, certs, name="second"))
    for name, value in (("fast", "yes"), ("slow", "-9"), ("plain", "no")):
        origin.agent("lane", name, "class=fast", {"lane_mt_priority": value})
    origin.relay_to(first, transport="fast")
    hosts = f"[127.0.0.1]:{first.port}, [127.0.0.1]:{second.port}"
    origin.set(relayhost=hosts, transport_maps="inline:{"
               f"{{slow@rcpt.example = slow:{hosts}}},"
               f"{{plain@rcpt.example = plain:{hosts}}}}}",
               smtp_sasl_password_maps=origin.map("passwords", {
                   f"[127.0.0.1]:{sim.port}": ":".join(sim.login)
                   for sim in (first, second)}, mode=0o600))
    started(origin)
    for who in ("fast", "slow", "plain", "later"):
        submit(origin.port, DATA, [(f"{who}@rcpt.example", ())],
               "from@sender.example")
    origin.wait_empty()
    told = {e.recipients[0].split("@")[0]: e.mail_parameters
            for e in first.ledger()}
    assert sorted(told) == ["fast", "plain", "slow"]
    assert told["fast"].endswith(" MT-PRIORITY=4"), told
    assert told["slow"].endswith(" MT-PRIORITY=-9"), told
    assert "MT-PRIORITY" not in told["plain"]
    (later,) = second.ledger()
    assert later.recipients == ("later@rcpt.example",)
    assert "MT-PRIORITY" not in later.mail_parameters
    found = origin.postlane("probe", "fast").stdout
    assert "MT-PRIORITY  offered, profile MIXER" in found, found


def test_announced_limits_are_kept_to(base, certs, origin, started):
    sim = started(Simulator(base, certs, max_connections=4, max_messages=5,
                            max_rcpts=3, announce_limits=True))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    started(origin)
    sent = messages.generate(6, recipients=7, size=300)
    origin.inject(sent)
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert sorted(len(e.recipients) for e in sim.ledger()) == [1] * 6 + [3] * 12
    assert max(sim.per_connection().values()) <= 5
    assert origin.log.statuses("/smtp") == {"sent": 42}
    assert not origin.log.problems()
