"""Limits by recipient domain: mail to others goes past, in both nexthop modes;
a request for several domains comes apart and ends once."""
import time

import pytest

from harness import messages
from harness.pace import ahead
from harness.simulator import Simulator
from harness.wait import wait_until

PER_S = 4
SLOW, OTHERS, MIXED = 12, 60, 3
WINDOW = {"bulk_destination_concurrency_limit": "400",
          "bulk_initial_destination_concurrency": "400"}


def start(base, certs, origin, started, how, options):
    sim = started(Simulator(base, certs, max_connections=20, store=True))
    origin.relay_to(sim, transport="bulk", **WINDOW)
    if how == "nexthop is the domain":
        options["lane_smarthost"] = origin.main["relayhost"]
        origin.set(relayhost=None)
    origin.agent("lane", "bulk", "class=fast", options)
    started(origin)
    return sim


def times_s(sim, domain):
    """When messages to the domain were taken."""
    return sorted(e.time_us / 1e6 for e in sim.ledger()
                  if any(r.endswith("@" + domain) for r in e.recipients))


@pytest.mark.parametrize("how", ["one nexthop", "nexthop is the domain"])
def test_limited_domain_delays_nobody_else(base, certs, origin, started, how):
    table = origin.map("rates", {"slow.example": f"{PER_S}/1s"})
    sim = start(base, certs, origin, started, how,
                {"lane_domain_rate_limits": f".other.example=1/1m {table}"})
    slow = messages.generate(SLOW, domain="slow.example", prefix="s")
    others = messages.generate(OTHERS, domain="rcpt.example", prefix="o")
    mixed = messages.generate(MIXED, prefix="x", recipients=lambda n: [
        f"a{n}@Slow.example", f"b{n}@rcpt.example", f"c{n}@slow.example"])
    sent = slow + mixed + others
    began = time.time()
    origin.inject(sent)
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    limited = sorted(times_s(sim, "slow.example") +
                     times_s(sim, "Slow.example"))
    limited = sorted(set(limited))  # a0 and c0 travel together
    early = ahead([(at, 1) for at in limited], PER_S, began)
    assert len(limited) == SLOW + MIXED
    gaps = [b - a for a, b in zip(limited, limited[1:])]
    per_s = len(gaps) / (limited[-1] - limited[0])
    free = times_s(sim, "rcpt.example")
    print(f"\n{how}: slow.example at {per_s:.3f}/s; of {len(free)} others "
          f"the last {free[-1] - limited[0]:.2f} s after the first of these, "
          f"whose last came after {limited[-1] - limited[0]:.2f} s")
    assert early <= 1.1
    assert free[-1] < limited[-1]
    assert origin.log.statuses("/smtp") == {
        "sent": SLOW + OTHERS + 3 * MIXED}
    assert not origin.log.problems()


def test_more_than_is_parked_comes_back_later(base, certs, origin, started):
    sim = start(base, certs, origin, started, "one nexthop",
                {"lane_domain_rate_limits": "slow.example=5/1s",
                 "lane_parked_limit": "2"})
    sent = messages.generate(8, domain="slow.example")
    origin.inject(sent)
    origin.log.wait(r"dsn=4\.4\.5, status=deferred \(lane_parked_limit = 2 "
                    r"messages wait already; lane_domain_rate_limits: "
                    r"slow\.example=5/1s:1\)")
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict


@pytest.mark.parametrize("value", ["slow.example=fast", "regexp:/dev/null"])
def test_wrong_limit_keeps_the_mail(base, certs, origin, started, value):
    start(base, certs, origin, started, "one nexthop",
          {"lane_domain_rate_limits": value})
    origin.inject(messages.generate(1))
    origin.log.wait(r"fatal: bad parameter: lane_domain_rate_limits")
    origin.log.wait(r"dsn=4\.3\.5, status=deferred \(mail system "
                    r"configuration error: bad parameter: "
                    r"lane_domain_rate_limits")


def test_changed_table_is_used_though_mail_waits(
        base, certs, origin, started):
    """The new limit; the process that waits for the old one ends at once."""
    table = origin.map("rates", {"slow.example": "1/1h:1"})
    sim = start(base, certs, origin, started, "one nexthop",
                {"lane_domain_rate_limits": table,
                 "lane_wait_limit": "3600s"})
    sent = messages.generate(3, domain="slow.example")
    origin.inject(sent)
    sim.wait_taken(1)
    origin.map("rates", {"slow.example": "5/1s:5"})
    others = messages.generate(1, prefix="o")
    # tables are looked at when a request comes, every five seconds
    wait_until(lambda: origin.inject(messages.generate(1, prefix="p")) or
               origin.log.lines(r"table .* has changed -- restarting"),
               30, "the change was noticed")
    mark = origin.log.mark()
    origin.inject(others)
    origin.log.wait(r"to=<o-0-r0@rcpt\.example>.*status=sent", 20,
                    since=mark)
    origin.wait_empty()
    assert not messages.compare(sent + others, sim.taken()).lost


def test_quota_of_a_domain_goes_on_over_reload_and_kill(
        base, certs, origin, started):
    sim = start(base, certs, origin, started, "one nexthop",
                {"lane_domain_rate_limits": "slow.example=6/1h!"})
    origin.inject(messages.generate(9, domain="slow.example"))
    sim.wait_taken(6)
    for disturb in (origin.reload,
                    lambda: origin.kill9(origin.wait_pids("lane")[0]),
                    lambda: (origin.stop(), origin.start())):
        disturb()
        mark = origin.log.mark()
        origin.flush()
        origin.log.wait(r"lane_domain_rate_limits: slow\.example=6/1h! is "
                        r"used up", 30, since=mark)
    assert len(sim.ledger()) == 6
