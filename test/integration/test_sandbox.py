"""A lane, its runner, lanestat and the service of tokens have the rights that
they need, and no others. What each right is for is tried in
test/unit/confine/test_confine.c; here it is real processes at work. That nothing
was refused to them is looked at after every test (conftest.py)."""
import os
import pwd

import pytest

from harness import messages, paths
from harness.load import wait_clock
from harness.simulator import Simulator
from harness.wait import wait_until
from test_secrets import LOGIN, teller

pytestmark = pytest.mark.skipif(paths.is_sanitized(), reason="as a user has it")
FILTERED = "2"      # Seccomp: in /proc/PID/status


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f
                    if ":\t" in line)


def has_no_rights(pid):
    owner = pwd.getpwnam("postfix")
    s = status(pid)
    assert s["Uid"].split() == [str(owner.pw_uid)] * 4
    assert s["Gid"].split() == [str(owner.pw_gid)] * 4
    assert s["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[kind], 16) == 0, kind
    return s


def start(base, certs, origin, started, **main):
    sim = started(Simulator(base, certs, login=LOGIN, mechs="PLAIN"))
    origin.agent("lane", "fast", "class=fast", {"lane_alert_retry": "1s"})
    login = {f"[127.0.0.1]:{sim.port}": ":".join(LOGIN)}
    origin.map("relay_auth", login, mode=0o600)
    origin.relay_to(sim, transport="fast", **main)
    started(origin)
    return sim, login


def send(origin, sim, count, prefix):
    sent = messages.generate(count, prefix=prefix)
    before = len(sim.taken())
    origin.inject(sent)
    sim.wait_taken(before + count)
    origin.wait_empty()


def test_lane_works_without_rights(base, certs, origin, started, hook):
    """Mail, an alarm by command and by POST, reload, changed table."""
    command, told = teller(base)
    sim, login = start(
        base, certs, origin, started, lane_alert_url=hook.url,
        lane_alert_command=command)
    send(origin, sim, 20, "first")
    lane, = origin.pids("lane")
    assert has_no_rights(lane)["Seccomp"] == FILTERED
    runner, = origin.pids("lane-runner")
    assert has_no_rights(runner)["Seccomp"] != FILTERED
    assert sorted(os.listdir(f"/proc/{runner}/fd")) == ["0", "1", "2", "3"]
    with open(f"/proc/{runner}/maps", encoding="ascii") as f:
        heap = [line.split()[0] for line in f if line.rstrip().endswith("[heap]")]
    with open(f"/proc/{runner}/mem", "rb") as f:
        for region in heap:
            first, last = (int(n, 16) for n in region.split("-"))
            f.seek(first)
            assert LOGIN[1].encode() not in f.read(last - first)

    sim.script('auth reply "535 5.7.8 wrong"\n')
    origin.reload()
    origin.inject(messages.generate(1, prefix="alarm"))
    origin.log.wait(r"alarm: login")
    wait_until(lambda: hook.got and os.listdir(told), 30, "an alarm")
    sim.script("")
    origin.log.wait(r"alarm cleared: login", 60)
    origin.wait_empty()
    # the first lane's runner has ended with it
    wait_until(lambda: len(origin.pids("lane-runner")) == 1, 30, "one runner")
    assert origin.pids("lane-runner") != [runner]

    old = origin.pids("lane")
    wait_clock(1.1)     # until the lane looks at its tables again
    origin.map("relay_auth", login, mode=0o600)
    send(origin, sim, 5, "table")
    assert origin.pids("lane") != old
    assert origin.log.lines("has changed -- restarting")


def test_refused_call_is_told(base, certs, origin, started):
    """The parameter is obeyed: what it says, the kernel says, too."""
    origin.set(lane_sandbox="no")
    sim, _ = start(base, certs, origin, started)
    for mode, filtered in (("no", "0"), ("log", FILTERED), ("yes", FILTERED)):
        origin.set(lane_sandbox=mode)
        origin.reload()
        send(origin, sim, 2, mode)
        # the one before may still be on its way out
        wait_until(lambda: len(origin.pids("lane")) == 1, 30, "one lane")
        lane, = origin.pids("lane")
        assert has_no_rights(lane)["Seccomp"] == filtered
