"""System calls that fail once, or for a while: nothing is lost, no process ends
for it, and what could not be done is done later."""
import pytest

from harness import messages
from harness.simulator import Simulator

ORDERS = [
    "epoll:10-14:ENOMEM",
    "socket:2-4:EMFILE",
    "accept:1-2:EMFILE",
    "write@rates.:1-:ENOSPC",
    "write@slots.:1-3:ENOSPC",
    "allocate:1-:ENOSPC",
    "mmap@board:1:ENOMEM",
    "recv:20:ECONNRESET",
]


@pytest.mark.parametrize("orders", ORDERS)
def test_mail_outlives_a_failing_call(base, certs, origin, started, orders):
    sim = started(Simulator(
        base, certs, script='rcpt if rcpt "no-*" reply "550 5.1.1 nobody"\n'))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast",
                    fast_destination_concurrency_limit="50",
                    fast_initial_destination_concurrency="50")
    origin.lane_faults(orders)
    started(origin)
    sent = messages.generate(20)
    refused = messages.generate(2, prefix="no")
    origin.inject(sent + refused)
    origin.wait_empty()
    assert origin.faults(), "nothing failed"
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert len(origin.mailbox()) == len(refused)
    assert not origin.log.problems()
    assert not origin.log.lines(r": Success\b")


@pytest.mark.parametrize("orders", [
    "fork:1:EAGAIN", "pipe:1:EMFILE", "open@postlane:1:EMFILE",
    "open@postlane:2:ENFILE"])
def test_lane_waits_for_what_it_needs_to_start(
        base, certs, origin, started, orders):
    """No settings and no part of the state are left out because the system
    was short of something for a moment."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.lane_faults(orders)
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    warnings = origin.log.lines(r"/smtp\[\d+\]: warning: ")
    assert len(warnings) == 1, warnings
    assert "-- cannot start, trying again" in warnings[0]
    assert not origin.log.lines("going on without|alone|are forgotten")


@pytest.mark.parametrize("step", [1, 2, 3], ids=["group", "groups", "user"])
def test_lane_that_keeps_its_privileges_takes_no_mail(
        base, certs, origin, started, step):
    """setgid(), initgroups(), setuid(): when one of them fails it ends with a
    line that says so, and the mail waits for the next."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.lane_faults(f"drop:{step}:EAGAIN")
    origin.set(service_throttle_time="1s")
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    origin.log.wait(r"/smtp\[\d+\]: fatal: cannot become postfix: "
                    r"Resource temporarily unavailable")
    assert not sim.ledger()
    origin.lane_faults("drop:9:EAGAIN")
    origin.reload()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    assert not origin.log.statuses("/smtp")["deferred"]
