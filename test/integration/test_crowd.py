"""A backlog of slow mail does not keep urgent mail out of the active queue."""
from harness import messages
from harness.simulator import Simulator


def test_surplus_of_a_slow_lane_leaves_the_active_queue(
        base, certs, origin, started):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast", {})
    origin.agent("lane", "slow", "class=slow",
                 {"lane_message_rate_limit": "2/1s", "lane_hold_limit": "20s"})
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
    urgent = messages.generate(5, domain="urgent.example", prefix="urgent")
    origin.inject(urgent)
    for message in urgent:
        origin.log.wait(rf"to=<{message.id}\S*@urgent.example>.*status=sent",
                        10)
    # What was given back is in the queue, nothing is lost.
    assert origin.log.statuses("/smtp").get("bounced", 0) == 0
