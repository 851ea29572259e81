"""Mail gets through: the same tests with lane and with smtp(8)."""
import pytest

from harness import messages
from harness.simulator import Simulator


def start_origin(origin, upstream, agent, started, **options):
    origin.agent(agent, "fast", "class=fast", options)
    origin.relay_to(upstream, transport="fast")
    return started(origin)


def test_postfix_smarthost_gets_every_message_once(
        agent, origin, smarthost, started):
    start_origin(origin, smarthost, agent, started)
    sent = messages.generate(50, recipients=2)
    origin.inject(sent)
    origin.wait_empty()
    smarthost.wait_empty()
    verdict = messages.compare(sent, smarthost.taken())
    assert verdict.is_clean(), verdict
    assert origin.log.statuses("/smtp") == {"sent": 100}
    assert not origin.log.problems()


@pytest.mark.parametrize("extension", ["chunking", "no_chunking",
                                       "no_pipelining"])
def test_simulator_gets_every_message_once(
        agent, base, certs, origin, started, extension):
    offered = {} if extension == "chunking" else {"no_chunking": True}
    if extension == "no_pipelining":
        offered.update(no_pipelining=True, enforce_lockstep=True)
    sim = started(Simulator(base, certs, store=True, max_connections=20,
                            max_messages=50, **offered))
    start_origin(origin, sim, agent, started)
    sent = messages.generate(60, recipients=2, size=5000)
    origin.inject(sent)
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert sim.stats()["violations"] == 0
    assert max(sim.per_connection().values()) <= 50
