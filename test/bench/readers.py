#!/usr/bin/python3
"""What those who look cost the lane and its mail: README.md, "Readers".

  COUNT=20000   messages of a drain, each of 1000 octets
  ROUNDS=8      of two drains of each kind, in the order ABCCBA
  CALLS=1000    looks a second, each what `postlane status` reads
  SCRAPES=100   requests for /metrics a second
  PACE=0        messages a second the lane is limited to (0: as fast as it can)
"""
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.postfix import Postfix                     # noqa: E402
from harness.simulator import Simulator                 # noqa: E402

from home import bench_home                             # noqa: E402

COUNT = int(os.environ.get("COUNT") or 20000)
ROUNDS = int(os.environ.get("ROUNDS") or 8)
CALLS = os.environ.get("CALLS") or "1000"
SCRAPES = int(os.environ.get("SCRAPES") or 100)
PACE = int(os.environ.get("PACE") or 0)
SESSIONS, DEPTH = 20, 10
WINDOW = str(2 * SESSIONS * DEPTH)


class Site:
    """A Postfix without a queue manager, one lane, and lanestat."""

    def __init__(self, base, name, sim):
        self.postfix = Postfix(base, name)
        self.postfix.drop_service("qmgr")
        options = {"lane_connection_limit": str(SESSIONS),
                   "lane_pipeline_depth": str(DEPTH)}
        if PACE:
            options["lane_message_rate_limit"] = f"{PACE}/1s"
        self.postfix.agent("lane", "bench", "class=fast", options)
        self.postfix.relay_to(sim, transport="bench")
        self.metrics = f"http://127.0.0.1:{self.postfix.lanestat()}/metrics"
        self.nexthop = f"[127.0.0.1]:{sim.port}"
        self.postfix.start()

    def drain(self, count):
        """Messages/s, and seconds of the processor the lane took a message."""
        before = self.cpu() if self.postfix.pids("lane") else 0
        found = subprocess.run(
            [paths.built("queuemanager"), self.postfix.queue_directory,
             "bench", self.nexthop, str(count), WINDOW, "1000"],
            check=True, capture_output=True, text=True).stdout
        return float(found.split()[4]), (self.cpu() - before) / count

    def cpu(self):
        [pid] = self.postfix.pids("lane")
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9


class Readers:
    """Looks and scrapes at their pace, until they are told to end."""

    def __init__(self, site):
        self.site = site
        self.over = threading.Event()
        self.scrapes, self.looks, self.began = 0, None, 0.0

    def scrape(self):
        due = time.monotonic()
        while not self.over.is_set():
            with urllib.request.urlopen(self.site.metrics) as answer:
                assert b"postlane_" in answer.read()
            self.scrapes += 1
            due += 1 / SCRAPES
            time.sleep(max(0, due - time.monotonic()))

    def __enter__(self):
        self.began = time.monotonic()
        self.looks = subprocess.Popen(
            [os.path.join(paths.BUILD, "look_bench"), self.site.postfix.etc,
             CALLS, "3600"], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.scrape, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.looks.terminate()
        said = self.looks.communicate()[0]
        took = time.monotonic() - self.began
        calls = int(said.partition("status: ")[2].split()[0])
        print(f"  read meanwhile: {calls / took:.0f} looks/s, "
              f"{self.scrapes / took:.0f} scrapes/s", flush=True)


KINDS = ("alone", "elsewhere", "looked at")


def measure(site, other):
    """Sums of messages/s and of processor time for each kind."""
    sums = {kind: [0.0, 0.0] for kind in KINDS}
    for kind in KINDS + KINDS[::-1]:
        if kind == "alone":
            run = site.drain(COUNT)
        else:
            with Readers(other if kind == "elsewhere" else site):
                run = site.drain(COUNT)
        sums[kind] = [a + b for a, b in zip(sums[kind], run)]
        print(f"{kind}: {run[0]:.0f} messages/s, {run[1] * 1e6:.2f} us "
              "of the lane's processor time a message", flush=True)
    return sums


def tell(rounds, kind, other):
    for k, what in enumerate(("messages/s", "processor time a message")):
        ratios = sorted(sums[kind][k] / sums[other][k] for sums in rounds)
        print(f"{kind} / {other}, {what}: median "
              f"{statistics.median(ratios):.4f} "
              f"({ratios[0]:.4f} to {ratios[-1]:.4f})")


def run(base):
    sim = Simulator(base, Certs(os.path.join(base, "certs")), sync=False,
                    quickack=True, max_connections=4 * SESSIONS)
    sim.start()
    sites = []
    try:
        for name in ("site", "other"):
            sites.append(Site(base, name, sim))
            sites[-1].drain(2000)
        rounds = [measure(*sites) for _ in range(ROUNDS)]
        tell(rounds, "looked at", "elsewhere")
        tell(rounds, "elsewhere", "alone")
        tell(rounds, "looked at", "alone")
    finally:
        for site in sites:
            site.postfix.stop()
            site.postfix.destroy()
        sim.stop()


with bench_home("readers") as directory:
    run(directory)
