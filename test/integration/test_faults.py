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
