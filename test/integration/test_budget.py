"""All lanes of an account together stay within its limits, whatever happens
to them. POSTLANE_LONG=1 takes ten minutes; figures go to stdout."""
import os
import random
import statistics
import time

import pytest

from harness import messages
from harness.load import Load, wait_clock, wait_taken_by_all_means
from harness.simulator import Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
LOAD_S = 600 if LONG else 20
LIMIT = 20
FAST, SLOW = "fast.example", "rcpt.example"
SATURATING = {"lane_connection_limit": LIMIT,
              "lane_message_rate_limit": "none"}
# A session is soon busy. Meanwhile the simulator does not see that a client
# is gone, and counts it for two messages more: that has to be well below the
# second that the slot of a killed lane rests.
TARDY_S = 0.25
TARDY = f"bdat delay {int(TARDY_S * 1000)} normal\n"
# more than slow can send beside a reserve of four
TOO_MUCH_PER_S = 1.2 * (LIMIT - 4) / TARDY_S


def two_lanes(base, certs, origin, started, fast=None, slow=None,
              **sim_options):
    """fast for one domain, slow for the rest; one account."""
    sim = started(Simulator(base, certs, **sim_options))
    origin.agent("lane", "fast", "class=fast", fast)
    origin.agent("lane", "slow", "class=slow",
                 {**SATURATING, **(slow or {})})
    windows = {f"{lane}_{name}": "400" for lane in ("fast", "slow")
               for name in ("destination_concurrency_limit",
                            "initial_destination_concurrency")}
    origin.relay_to(sim, transport="slow", transport_maps=origin.map(
        "transport", {FAST: "fast:"}), **windows)
    started(origin)
    return sim


def kill_one(origin, rng):
    """True when a lane was killed; one that has delivered, since master
    takes any other for one that cannot start."""
    proven = {d.pid for d in origin.log.deliveries("/smtp", "sent")}
    pids = [pid for pid in origin.pids("lane") if pid in proven]
    return bool(pids) and origin.kill9(rng.choice(pids))


def settle(origin, sim, sent, timeout_s=60):
    wait_taken_by_all_means(origin, sim, sent, timeout_s)
    return messages.compare(sent, sim.taken())


def accepted_at(sim):
    """Time of the first acceptance of each message, s."""
    first = {}
    for e in sim.ledger():
        first[e.id] = min(first.get(e.id, e.time_us / 1e6), e.time_us / 1e6)
    return first


def send_one(origin, prefix):
    [m] = messages.generate(1, FAST, prefix=prefix)
    began = time.time()
    origin.inject([m])
    return m, began


def test_never_more_connections_than_the_account_has(
        base, certs, origin, started):
    """Reloads and kills of both lanes under load that wants more."""
    seed = random.randrange(1 << 32)
    print(f"\nseed {seed}")
    rng = random.Random(seed)
    sim = two_lanes(base, certs, origin, started,
                    {"lane_connection_reserve": 4}, script=TARDY)
    singles, kills, reloads = [], 0, 0
    with Load(origin, domain=SLOW, per_s=TOO_MUCH_PER_S) as load:
        wait_until(lambda: sim.stats()["connections"] >= 16, 30,
                   "slow has what it may")
        end = time.monotonic() + LOAD_S
        while time.monotonic() < end:
            singles.append(send_one(origin, f"single{len(singles)}"))
            what = rng.random()
            if what < 0.25:
                origin.reload()
                reloads += 1
            elif what < 0.5:
                kills += kill_one(origin, rng)
            wait_clock(rng.uniform(0.2, 1.5))
    sent = load.sent + [m for m, _ in singles]
    most = sim.stats()["connections_max"]
    print(f"{LOAD_S} s, {len(sent)} messages, {reloads} reloads, {kills} "
          f"kills: connections at most {most}")
    assert most <= LIMIT
    verdict = settle(origin, sim, sent, 120 + LOAD_S)
    stats = sim.stats()
    print(f"lost {len(verdict.lost)}, duplicates {len(verdict.duplicates)}")
    assert stats["connections_max"] <= LIMIT
    assert not verdict.lost and not verdict.mixed_up, verdict
    # what one window of every session may hold
    assert len(verdict.duplicates) <= kills * LIMIT * 10
    assert not origin.log.lines("bad command startup|throttling")


def test_fast_message_gets_a_session_within_one_dial(
        base, certs, origin, started):
    """Replies take 50 ms, a dial five of them; slow holds all it may get."""
    latency_s = 0.05
    sim = two_lanes(base, certs, origin, started,
                    {"lane_connection_reserve": 4,
                     "lane_connection_idle_limit": "1s"},
                    script=f'bdat if rcpt "{SLOW}" delay 500 normal\n',
                    latency=50)
    # fast has been there, so that its reserve is known
    first, _ = send_one(origin, "first")
    sim.wait_taken(1)
    with Load(origin, domain=SLOW, per_s=45) as load:
        wait_until(lambda: sim.stats()["connections"] >= 16, 30,
                   "slow has what it may")
        wait_clock(1.5)         # and fast has no session left
        assert sim.stats()["connections_max"] <= 17
        singles = [send_one(origin, f"single{n}") for n in range(4)]
        sim.wait_taken(1)
        wait_until(lambda: {m.id for m, _ in singles} <=
                   {e.id for e in sim.ledger()}, 20, "fast messages taken")
    at = accepted_at(sim)
    waits = [at[m.id] - began for m, began in singles]
    # greeting, EHLO, STARTTLS, EHLO, AUTH; MAIL to BDAT in one group
    dial_s = 5 * latency_s
    print(f"\nfast beside a saturated slow: {waits[0]:.2f} s for the first, "
          f"{statistics.median(waits):.2f} s median; a dial is {dial_s} s")
    if LONG:    # on a machine with nothing else to do
        assert max(waits) <= dial_s + latency_s + 0.4
    verdict = settle(origin, sim, load.sent + [first]
                     + [m for m, _ in singles], 120)
    assert verdict.is_clean(), verdict
    assert sim.stats()["connections_max"] <= LIMIT
    assert not origin.log.statuses("/smtp")["deferred"]


@pytest.mark.parametrize("reserve", [0, 3])
def test_fast_alone_uses_all_but_the_reserve_of_slow(
        base, certs, origin, started, reserve):
    """Also those that slow holds idle: they are closed for it."""
    sim = two_lanes(base, certs, origin, started,
                    # else ten sessions may take all of it at once
                    fast={"lane_pipeline_depth": "4"},
                    slow={"lane_connection_reserve": reserve}, script=TARDY)
    early = messages.generate(10, SLOW, prefix="early")
    origin.inject(early)
    sim.wait_taken(10)
    idle = sim.stats()["connections"]
    assert idle > reserve
    sent = messages.generate(200, FAST, prefix="fast")
    origin.inject(sent)
    ports = set()

    def busy():
        recent = [e for e in sim.ledger() if e.id.startswith("fast")]
        ports.update(e.client_port for e in recent)
        return len(recent) >= len(sent)
    wait_until(busy, 60, "fast's mail taken")
    origin.wait_empty()
    verdict = messages.compare(early + sent, sim.taken())
    assert verdict.is_clean(), verdict
    stats = sim.stats()
    assert stats["connections_max"] <= LIMIT
    # each of fast's sessions took less than its 50: none was replaced
    assert len(ports) == LIMIT - reserve
    assert not origin.log.statuses("/smtp")["deferred"]


def test_refused_connections_lower_the_limit(base, certs, origin, started):
    """The provider allows three, whatever we were told."""
    sim = two_lanes(base, certs, origin, started, max_connections=3,
                    script="bdat delay 100 normal\n")
    sent = messages.generate(80, FAST)
    origin.inject(sent)
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert origin.log.statuses("/smtp") == {"sent": 80}
    stats = sim.stats()
    line = origin.log.lines(r"refused a connection beyond \d+; limit now")
    print(f"\n{stats['connections_refused']} connections refused; "
          f"{line[-1].partition(': account')[2]}")
    assert line and "limit now 3 of 20" in line[-1]
    assert stats["connections_refused"] <= 2 * LIMIT


def test_421_after_five_messages_defers_nothing(
        base, certs, origin, started):
    sim = two_lanes(base, certs, origin, started, max_messages=5)
    sent = messages.generate(200, FAST)
    origin.inject(sent)
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    stats = sim.stats()
    print(f"\n421 after 5: {dict(origin.log.statuses('/smtp'))}, "
          f"{stats['connections_total']} connections")
    assert verdict.is_clean(), verdict
    assert origin.log.statuses("/smtp") == {"sent": 200}
    assert max(sim.per_connection().values()) <= 5


def test_close_after_five_messages_is_learned(base, certs, origin, started):
    """Without a word: what was on its way may have been taken, so it waits
    in the queue; after the first sessions nothing is behind the fifth."""
    sim = two_lanes(base, certs, origin, started, max_messages_close=5)
    sent = messages.generate(200, FAST)
    origin.inject(sent)
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    deferred = origin.log.deliveries("/smtp", "deferred")
    print(f"\nclosed after 5: {dict(origin.log.statuses('/smtp'))}, "
          f"{sim.stats()['connections_total']} connections")
    assert verdict.is_clean(), verdict
    assert all("message may be sent more than once" in d.reason
               for d in deferred)
    assert len(deferred) <= 2 * LIMIT
    assert not origin.log.statuses("/smtp")["bounced"]
    assert origin.log.lines("closes a session after 5 messages")


def wait_closed(sim):
    wait_until(lambda: sim.stats()["connections"] == 0, 10, "all closed")
    return sim.stats()


@pytest.mark.parametrize("how", ["max_messages", "max_messages_close"])
def test_quota_of_sessions_is_known_to_the_next_process(
        base, certs, origin, started, how):
    """One that keeps to it ends with QUIT before the server ends it."""
    sim = two_lanes(base, certs, origin, started,
                    {"lane_connection_idle_limit": "1s"}, **{how: 5})
    sent = messages.generate(200, FAST)
    origin.inject(sent)
    origin.wait_empty()
    assert origin.log.lines("closes a session after 5 messages")
    for n, disturb in enumerate((
            origin.reload,
            lambda: origin.kill9(origin.wait_pids("lane")[0]),
            lambda: (origin.stop(), origin.start()))):
        before = wait_closed(sim)
        disturb()
        mark = origin.log.mark()
        later = messages.generate(100, FAST, prefix=f"later{n}")
        origin.inject(later)
        origin.wait_empty()
        after = wait_closed(sim)
        opened = after["connections_total"] - before["connections_total"]
        assert opened >= 100 / 5
        assert after["quits"] - before["quits"] == opened
        assert not origin.log.lines(
            "end=(lost|timeout)|closes a session|status=deferred", since=mark)
        sent += later
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict


def test_idle_sessions_end_with_quit(base, certs, origin, started):
    sim = two_lanes(base, certs, origin, started,
                    {"lane_connection_idle_limit": "2s"})
    origin.inject(messages.generate(5, FAST))
    origin.wait_empty()
    assert sim.stats()["connections"] >= 1
    # "2s" and not the default of 30 s
    wait_until(lambda: sim.stats()["connections"] == 0, 25, "all closed")
    stats = sim.stats()
    assert stats["quits"] == stats["connections_total"]
    assert stats["violations"] == 0
