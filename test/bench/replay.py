#!/usr/bin/python3
"""What postlane replay says of a day's log, against what happened: README.md,
"Replay".

  COUNT=5000    messages that a lane sends, in bursts that its rate holds back
  COPIES=40     of that part of the log, an even time apart: the day
  RATE=100      messages a second
  BASE=folder   where the instance lives
"""
import datetime
import json
import os
import re
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import messages                            # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.postfix import Postfix                     # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402

from home import bench_home                             # noqa: E402

COUNT = int(os.environ.get("COUNT", "5000"))
COPIES = int(os.environ.get("COPIES", "40"))
RATE = int(os.environ.get("RATE", "100"))
BURSTS = 5
DAY_S = 86400
DATE = "%Y %b %d %H:%M:%S"
WITHIN = 0.1


def send(postfix, sim):
    """In bursts, each when the one before has gone; with a start of its own,
    as the start of a process is nothing that a replay knows of."""
    postfix.inject(messages.generate(1, size=500))
    sim.wait_taken(1)
    for burst in range(BURSTS):
        postfix.inject(messages.generate(
            COUNT // BURSTS, prefix=f"b{burst}", size=500), connections=8)
        sim.wait_taken(1 + (burst + 1) * (COUNT // BURSTS), 1200)
    postfix.wait_empty(120)


def moved(line, by_s, copy):
    """A line of another part of the day. A queue ID is the microseconds and
    the number of a file, which is another one then."""
    when = datetime.datetime.strptime(f"2026 {line[:15]}", DATE)
    when += datetime.timedelta(seconds=by_s)
    rest = re.sub(r"(?<=\]: )([0-9A-F]{5})([0-9A-F]{4,})(?=: )",
                  lambda m: f"{m[1]}{copy + 16:X}{m[2]}", line[15:])
    return f"{when:%b} {when.day:2d} {when:%H:%M:%S}{rest}"


def write_day(lines, path):
    step_s = DAY_S // (COPIES + 1)
    with open(path, "w", encoding="utf-8") as f:
        for copy in range(COPIES):
            f.writelines(moved(line, copy * step_s, copy) + "\n"
                         for line in lines)


def replayed(postfix, log, *words):
    """The lane's figures, and what they cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    found = postfix.postlane("-j", "replay", log, *words)
    took_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found.returncode == 0, found
    [lane] = json.loads(found.stdout)["lanes"]
    cpu_s = (after.ru_utime + after.ru_stime
             - before.ru_utime - before.ru_stime)
    return lane, took_s, cpu_s


def tell(lane):
    """Whether all of it is within a tenth."""
    was, is_good = lane["by_the_log"], True
    for name in ("messages", "p50_s", "p95_s", "most_s", "backlog",
                 "sessions"):
        would, did = lane[name], was[name]
        share = would / did if did else float(would == did) or float("inf")
        print(f"{name:10} replayed {would:12.3f}  was {did:12.3f}  "
              f"ratio {share:.3f}")
        if name != "sessions":      # doc/watching.md says why
            is_good &= abs(share - 1) <= WITHIN
    return is_good


def main():
    with bench_home("replay", measures=False) as base:
        sim = Simulator(base, Certs(os.path.join(base, "certs")),
                        sync=False).start()
        proxy = DelayProxy(base, sim.port, 20).start()
        postfix = Postfix(base, "mail")
        postfix.agent("lane", "bench", "class=slow", {
            "lane_connection_limit": "5",
            "lane_message_rate_limit": f"{RATE}/1s:10"})
        postfix.relay_to(sim, transport="bench", port=proxy.port)
        postfix.start()
        try:
            send(postfix, sim)
            log = os.path.join(base, "day.log")
            write_day(postfix.log.lines(r"^\w{3} "), log)
            print(f"log: {os.path.getsize(log) / 1e6:.1f} MB, "
                  f"{COPIES * (COUNT + 1)} deliveries")
            lane, took_s, cpu_s = replayed(postfix, log)
            print(f"replay: {took_s:.1f} s, of the processor {cpu_s:.1f} s")
            is_good = tell(lane)
            lane, took_s, _ = replayed(
                postfix, log, "-o",
                f"lane_message_rate_limit={2 * RATE}/1s:10")
            print(f"twice the rate: p95 {lane['p95_s']:.3f} s, "
                  f"{took_s:.1f} s")
        finally:
            postfix.destroy()
            proxy.destroy()
            sim.destroy()
    return 0 if is_good else 1


sys.exit(main())
