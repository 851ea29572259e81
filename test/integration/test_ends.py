"""Each way in which a lane's process ends is in order: status 0, no panic, no
report of a sanitizer (fixture `started`), and the mail is delivered later."""
import os
import signal
import subprocess

import pytest

from harness import messages, paths
from harness.load import wait_clock
from harness.simulator import Simulator
from harness.wait import wait_until

pytestmark = pytest.mark.sanitized

SLOW = 'bdat if sender "slow*" delay 1500 normal\n'


def start(base, certs, origin, started, script="", options=None, **main):
    sim = started(Simulator(base, certs, script=script))
    origin.agent("lane", "fast", "class=fast", options)
    origin.relay_to(sim, transport="fast", **main)
    started(origin)
    return sim


def end(origin, sent_signal=signal.SIGTERM):
    """To the process itself: `postfix stop` closes its channel as well."""
    def alone():
        """One that runs a command is two for a moment."""
        pids = origin.pids("lane")
        return pids if len(pids) == 1 else None
    [pid] = wait_until(alone, 20, lambda: f"one lane: {origin.pids('lane')}")
    os.kill(pid, sent_signal)
    wait_until(lambda: pid not in origin.pids("lane"), 20, "lane gone")
    return pid


def check(origin, sim, sent):
    """Nothing is wrong with the end, nothing lost or doubled by it."""
    origin.flush()
    sim.wait_taken(len(sent))
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert not origin.log.problems()


def test_with_an_idle_session(base, certs, origin, started):
    sim = start(base, certs, origin, started)
    sent = messages.generate(3)
    origin.inject(sent)
    origin.wait_empty()
    end(origin)
    more = messages.generate(2, prefix="more")
    origin.inject(more)
    check(origin, sim, sent + more)
    end(origin)
    assert not origin.log.problems()


def test_amid_a_delivery(base, certs, origin, started):
    sim = start(base, certs, origin, started, SLOW)
    sent = messages.generate(3, prefix="slow")
    origin.inject(sent)
    wait_until(lambda: sim.stats()["connections"] >= 1, 20, "a session")
    end(origin)
    check(origin, sim, sent)


def test_while_it_connects_in_vain(base, certs, origin, started):
    """Messages wait, a dial and its timers are under way."""
    sim = start(base, certs, origin, started, "connect times 2 stall\n")
    sent = messages.generate(3)
    origin.inject(sent)
    wait_until(lambda: sim.stats()["connections"] >= 1, 20, "a dial")
    end(origin)
    check(origin, sim, sent)


def test_as_a_draining_child(base, certs, origin, started):
    sim = start(base, certs, origin, started, "bdat times 1 stall\n")
    sent = messages.generate(1)
    origin.inject(sent)
    wait_until(lambda: sim.stats()["scripted"] >= 1, 20, "a delivery")
    old = origin.pids("lane")
    origin.reload()
    child = wait_until(
        lambda: [p for p in origin.pids("lane") if p not in old], 30, "a child")
    os.kill(child[0], signal.SIGTERM)
    wait_until(lambda: child[0] not in origin.pids("lane"), 30, "child gone")
    check(origin, sim, sent)


def test_with_a_wrong_parameter_and_an_alarm(base, certs, origin, started):
    """Nothing but the queue manager's side is there; then all of it."""
    start(base, certs, origin, started,
          options={"lane_pipeline_depth": "nonsense"})
    origin.inject(messages.generate(1))
    origin.log.wait(r"dsn=4\.3\.5")
    end(origin)
    origin.agent("lane", "fast", "class=fast",
                 {"lane_alert_command": "/bin/true"})
    origin.map("relay_auth", {origin.main["relayhost"]: "wrong:wrong"},
               mode=0o600)
    origin.reload()
    origin.flush()
    origin.log.wait(r"alarm: ")
    end(origin)
    assert not origin.log.lines(r"panic|exit status|killed by signal")


def test_on_a_changed_table(base, certs, origin, started):
    """Nothing in flight: it leaves without a child."""
    sim = start(base, certs, origin, started)
    sent = messages.generate(1)
    origin.inject(sent)
    origin.wait_empty()
    old = origin.pids("lane")
    wait_clock(1.1)     # until the lane looks at its tables again
    origin.map("relay_auth", {origin.main["relayhost"]: ":".join(sim.login)},
               mode=0o600)
    more = messages.generate(2, prefix="more")
    origin.inject(more)
    sim.wait_taken(3)
    check(origin, sim, sent + more)
    assert origin.pids("lane") != old


def test_all_at_once(base, certs, origin, started):
    """The end of the channel and SIGTERM in one turn, as at a stop."""
    sim = start(base, certs, origin, started, SLOW)
    sent = messages.generate(3, prefix="slow")
    origin.inject(sent)
    wait_until(lambda: sim.stats()["connections"] >= 1, 20, "a session")
    [pid] = origin.pids("lane")
    os.kill(pid, signal.SIGSTOP)
    origin.command("postfix", "reload")
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: pid not in origin.pids("lane"), 20, "lane gone")
    check(origin, sim, sent)


def test_fatal_start(base, certs, origin, started):
    """Without master there is nothing to do; it says so and leaves."""
    done = subprocess.run(
        [paths.LANE], capture_output=True, text=True, check=False, timeout=300,
        # scripts/slow-disk preloads a library for everybody
        env={**os.environ, "ASAN_OPTIONS": "verify_asan_link_order=0"})
    assert done.returncode == 1
    assert "must be run by master(8)" in done.stderr
    assert "Sanitizer" not in done.stderr
