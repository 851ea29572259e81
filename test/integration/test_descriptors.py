"""Few descriptors make a lane slow, never still."""
import os

import pytest

from harness import messages
from harness.simulator import Simulator

WIDE = {"fast_destination_concurrency_limit": "400",
        "fast_initial_destination_concurrency": "400"}


def start(base, certs, origin, started, limit, script=""):
    sim = started(Simulator(base, certs, script=script))
    origin.agent("lane", "fast", "class=fast")
    origin.lane_environment(limits=f"-n {limit}")
    origin.relay_to(sim, transport="fast", **WIDE)
    started(origin)
    return sim


@pytest.mark.parametrize("limit", [30, 40, 64])
def test_everything_is_delivered_or_reported(
        base, certs, origin, started, limit):
    """More messages than descriptors; a part of them bounces, for which
    bounce(8) and a mailbox are needed at the same time."""
    sim = start(base, certs, origin, started, limit,
                'rcpt if rcpt "no-*" reply "550 5.1.1 nobody"\n')
    sent = messages.generate(150)
    refused = messages.generate(30, prefix="no")
    origin.inject([m for pair in zip(sent, refused) for m in pair]
                  + sent[30:])
    origin.wait_empty()
    fds = os.listdir(f"/proc/{origin.pids('lane')[0]}/fd")
    print(f"\n{limit}: {len(fds)} open at the end, at most "
          f"{sim.stats()['connections_max']} sessions")
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert len(origin.mailbox()) == len(refused)
    assert len(origin.log.lines(r"the limit of open files, \d+, allows")) == 1
    assert not origin.log.problems()
    assert not origin.log.lines("oo many open files|requests have to wait")


@pytest.mark.parametrize("limit,told", [
    # not enough for the programs that are run at start: said, and tried again
    (20, r"warning: .*Too many open files -- cannot start, trying again"),
    (26, r"dsn=4\.3\.5.*the limit of open files is 26 and \d+ are in use; "
         r"\d+ are needed for one session")])
def test_too_few_are_told_and_nothing_is_lost(
        base, certs, origin, started, limit, told):
    sim = start(base, certs, origin, started, limit)
    sent = messages.generate(3)
    origin.inject(sent)
    origin.log.wait(told)
    origin.lane_environment()
    origin.reload()
    origin.flush()
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
