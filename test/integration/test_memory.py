"""Memory that cannot be had, once, at any place of a lane's start and of its
first delivery: the lane goes on, or ends with a line that says so and is
started again. Nothing is lost, and nothing bounces or is called sent for it.
POSTLANE_LONG=1: at 300 places, else at a few.
"""
import os
import signal
from collections import Counter

from harness import messages
from harness.simulator import Simulator
from harness.wait import wait_until

# Of the start, most of which are of patterns and certificates; of the delivery.
PLACES = {"malloc": 60, "memory": 240} if os.environ.get("POSTLANE_LONG") \
    else {"malloc": 2, "memory": 4}
COUNT = 3
DIED = r"exit status 1$|bad command startup -- throttling"


def end_lane(origin):
    """So that the next request starts one."""
    for pid in origin.pids("lane"):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not origin.pids("lane"), 20, "lane gone")


def deliver(origin, sim, prefix):
    """A lane that starts for it delivers a few; the number of times that each
    was taken."""
    sent = messages.generate(COUNT, prefix=prefix, size=70000)
    mark = origin.log.mark()
    origin.inject(sent)

    def is_over():
        return origin.queue_count() == 0 or origin.log.lines(
            "throttling", since=mark)
    wait_until(is_over, 60, f"{prefix} delivered, or lane has died")
    if origin.log.lines("throttling", since=mark):
        origin.stop()       # master waits a minute before it tries again
        origin.start()
    origin.wait_empty()
    taken = Counter(e.id for e in sim.ledger())
    return mark, [taken[m.id] for m in sent]


def judge(origin, mark, taken):
    """What is wrong since the mark, if anything is."""
    status = origin.log.statuses("/smtp", since=mark)
    died = bool(origin.log.lines(DIED, since=mark))
    fatal = origin.log.lines(r"/smtp\[\d+\]: fatal: .*(out of|allocate) memory",
                             since=mark)
    # one that dies between the reply and the mark in the file sends again;
    # between the mark and the log, nobody tells
    if min(taken) < 1 or max(taken) > (2 if died else 1):
        return f"taken {taken}"
    if status["bounced"] or status["sent"] > COUNT or (
            status["sent"] < COUNT and not died):
        return f"said {status}"
    if died and not fatal:
        return "died without a reason"
    return "; ".join(origin.log.lines(
        r"panic: |killed by signal|/smtp\[\d+\]: fatal: (?!.*memory)",
        since=mark))


def places(origin):
    """(call, number) all over the life of the lane that has just ended."""
    counts = {call: int(n) for _, _, call, n in origin.faults("count")}
    return [(call, (2 * i + 1) * counts[call] // (2 * n))
            for call, n in PLACES.items() for i in range(n)]


def test_mail_outlives_a_shortage_of_memory(base, certs, origin, started):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.lane_faults("memory:1000000000:ENOMEM")
    started(origin)
    deliver(origin, sim, "none")
    end_lane(origin)
    wrong, died = {}, 0
    for call, number in places(origin):
        name = f"{call}{number}"
        origin.lane_faults(f"{call}:{number}:ENOMEM", once=True)
        mark, taken = deliver(origin, sim, name)
        end_lane(origin)
        if not origin.faults():     # one allocates more than another
            continue
        has_died = bool(origin.log.lines(DIED, since=mark))
        died += has_died
        wrong[name] = judge(origin, mark, taken)
        print(name, "died" if has_died else "", wrong[name])
    print(f"{len(wrong)} failures, {died} times it died of one")
    assert len(wrong) > sum(PLACES.values()) / 2
    assert not any(wrong.values()), {p: w for p, w in wrong.items() if w}
