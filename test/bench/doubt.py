#!/usr/bin/python3
"""What is in doubt when the way to a smarthost breaks in the middle of a drain:
sent in full, and whether it was taken nobody knows. See README.md, "In doubt".

  RTTS='0 20 100'     milliseconds
  RUNS=3              rounds
"""
import os
import random
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness.certs import Certs                         # noqa: E402
from harness.load import wait_clock                     # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402
from harness.wait import wait_until                     # noqa: E402

from cases import Group, PER_SESSION, Variant           # noqa: E402
from home import bench_home                             # noqa: E402
from side import Side, TRANSPORT                        # noqa: E402

SESSIONS, COUNT = 20, 8000
END = re.compile(r"session=\S+ end=(?!spent|stop)\S+ .* in_doubt=(\d+) ")


def has_sessions(postfix, since_ms):
    """As the lane says later than that."""
    lane = postfix.lane(TRANSPORT)
    return lane["beat_wall_ms"] <= since_ms or any(
        lane["gauges"][f"sessions_{state}"]
        for state in ("idle", "busy", "closing"))


def cut(home, certs, rtt_ms):
    """Of each session that ended so: messages in doubt; and how many a second
    the smarthost had taken until then."""
    base = tempfile.mkdtemp(dir=home)
    os.chmod(base, 0o755)
    sim = Simulator(base, certs, max_connections=SESSIONS,
                    max_messages=PER_SESSION, quickack=True)
    sim.start()
    proxy = None
    if rtt_ms:
        proxy = DelayProxy(base, sim.port, rtt_ms / 2)
        proxy.start()
    side = Side(base, Variant("lane", "lane"),
                Group(1000, rtt_ms, SESSIONS, COUNT, COUNT), sim, proxy)
    log = side.postfix.log
    try:
        side.prepare(COUNT)
        side.open_gate()
        # each of the first sessions is over, and its depth found out
        wait_until(lambda: sim.stats()["messages"] >= COUNT // 2, 120,
                   "half of it taken")
        # at any moment of a session's life, dial and all
        wait_clock(random.uniform(0, 8 * rtt_ms / 1000))
        mark = log.mark()
        (proxy or sim).kill9()
        killed_ms = time.time_ns() // 1_000_000
        entries = sim.ledger()
        wait_until(lambda: not has_sessions(
            side.postfix, killed_ms + 2 * rtt_ms), 60, "all sessions lost")
        side.stop()
        log.wait_written()
    finally:
        side.stop()
        side.destroy()
        if proxy:
            proxy.stop()
        sim.destroy()
    times = sorted(e.time_us for e in entries)
    last = [t for t in times if t > times[-1] - 500_000]
    return ([int(n) for n in END.findall(log.text(mark))],
            len(last) / max(0.001, (last[-1] - last[0]) / 1e6))


def run(base):
    certs = Certs(os.path.join(base, "certs"))
    print("rtt sessions in-doubt most-of-one on-the-way-in-one-rtt")
    for _ in range(int(os.environ.get("RUNS") or 3)):
        for rtt in os.environ.get("RTTS", "0 20 100").split():
            doubts, rate = cut(base, certs, int(rtt))
            print(f"{rtt:>3} {len(doubts):>8} {sum(doubts):>8} "
                  f"{max(doubts, default=0):>11} "
                  f"{rate * int(rtt) / 1000:>21.0f}", flush=True)


with bench_home("doubt") as directory:
    run(directory)
