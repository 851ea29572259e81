#!/usr/bin/python3
"""What those who look cost the lane and its mail: README.md, "Readers".

  PACE=100      messages a second the lane is limited to, of 1000 octets each
  ROUNDS=20     of three spans, in any order
  SPAN=4        seconds of each
  CALLS=1000    looks a second, each what `postlane status` reads
  SCRAPES=100   requests for /metrics a second
"""
import contextlib
import json
import os
import random
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
from rounds import median_of                            # noqa: E402

PACE = int(os.environ.get("PACE") or 100)
ROUNDS = int(os.environ.get("ROUNDS") or 20)
SPAN = float(os.environ.get("SPAN") or 4)
CALLS = os.environ.get("CALLS") or "1000"
SCRAPES = int(os.environ.get("SCRAPES") or 100)
SESSIONS, DEPTH = 20, 10
WINDOW = str(2 * SESSIONS * DEPTH)
LEAD = 1        # seconds between a change of readers and the span
KINDS = ("alone", "elsewhere", "looked at")


class Site:
    """A Postfix without a queue manager, one lane, and lanestat."""

    def __init__(self, base, name, sim):
        self.postfix = Postfix(base, name)
        self.postfix.drop_service("qmgr")
        self.postfix.agent("lane", "bench", "class=fast", {
            "lane_connection_limit": str(SESSIONS),
            "lane_pipeline_depth": str(DEPTH),
            "lane_message_rate_limit": f"{PACE}/1s"})
        # all of the mail is in the active queue: it is not to be crowded
        self.postfix.relay_to(sim, transport="bench",
                              qmgr_message_active_limit="1000000")
        port = self.postfix.lanestat()
        self.metrics = f"http://127.0.0.1:{port}/metrics"
        self.nexthop = f"[127.0.0.1]:{sim.port}"
        self.postfix.start()

    @contextlib.contextmanager
    def mail(self, count):
        """So many messages are on their way meanwhile."""
        with subprocess.Popen(
                [paths.built("queuemanager"), self.postfix.queue_directory,
                 "bench", self.nexthop, str(count), WINDOW, "1000"],
                stdout=subprocess.DEVNULL) as manager:
            try:
                yield
            finally:
                manager.terminate()

    def processor_s(self, program):
        return sum(self._used(pid) for pid in self.postfix.pids(program))

    @staticmethod
    def _used(pid):
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9

    def sent(self):
        """How many, and when that was."""
        found = subprocess.run(
            [paths.built("postlane"), "-c", self.postfix.etc, "-j",
             "status"], check=False, capture_output=True, text=True).stdout
        found = json.loads(found)
        [lane] = found["lanes"]
        return (lane["counters"]["messages_sent"],
                found["now_wall_ms"] / 1000)


class Readers:
    """Looks and scrapes at their pace, until they are told to end."""

    def __init__(self, site):
        self.site = site
        self.over = threading.Event()
        self.scrapes, self.looks, self.began = 0, None, 0.0
        self.lanestat_s = 0.0

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
        self.lanestat_s = self.site.processor_s("lanestat")
        self.looks = subprocess.Popen(
            [paths.built("look_bench"), self.site.postfix.etc,
             CALLS, "3600"], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.scrape, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.looks.terminate()
        said = self.looks.communicate()[0].partition("status: ")[2].split()
        took = time.monotonic() - self.began
        lanestat_s = self.site.processor_s("lanestat") - self.lanestat_s
        READ.append((int(said[0]) / took, float(said[2]),
                     self.scrapes / took,
                     lanestat_s / max(1, self.scrapes) * 1e6))


READ = []       # looks/s, us of one, scrapes/s, us of one


def span(site, readers):
    """Messages/s, and the lane's processor time for each."""
    with readers:
        time.sleep(LEAD)
        sent, began_wall = site.sent()
        used, began = site.processor_s("lane"), time.monotonic()
        time.sleep(SPAN)
        used = site.processor_s("lane") - used
        took = time.monotonic() - began
        last, ended_wall = site.sent()
    rate = (last - sent) / (ended_wall - began_wall)
    return rate, used / took / rate


def measure(site, other):
    rounds = []
    for number in range(ROUNDS):
        found = {}
        for kind in random.sample(KINDS, len(KINDS)):
            found[kind] = span(site, {
                "alone": contextlib.nullcontext(),
                "elsewhere": Readers(other),
                "looked at": Readers(site)}[kind])
        rounds.append(found)
        print(f"{number + 1}: " + "; ".join(
            f"{kind} {found[kind][0]:.1f}/s {found[kind][1] * 1e6:.0f} us"
            for kind in KINDS), flush=True)
    return rounds


def tell(rounds, kind, other):
    for k, what in enumerate(("messages/s", "processor time a message")):
        ratios = [found[kind][k] / found[other][k] for found in rounds]
        print(f"{kind} / {other}, {what}: {median_of(ratios)}")


def run(base):
    sim = Simulator(base, Certs(os.path.join(base, "certs")), sync=False,
                    quickack=True, max_connections=4 * SESSIONS)
    sim.start()
    sites = []
    # a second for each change of readers, and as much for looks at it
    count = int(PACE * ROUNDS * len(KINDS) * (SPAN + LEAD + 3))
    try:
        for name in ("site", "other"):
            sites.append(Site(base, name, sim))
        with sites[1].mail(PACE), sites[0].mail(count):
            time.sleep(3)
            rounds = measure(*sites)
        for pair in (("looked at", "elsewhere"), ("elsewhere", "alone"),
                     ("looked at", "alone")):
            tell(rounds, *pair)
        looks, look_us, scrapes, scrape_us = (
            statistics.median(column) for column in zip(*READ))
        print(f"read meanwhile: {looks:.0f} looks/s of {look_us:.0f} us each, "
              f"{scrapes:.0f} scrapes/s of {scrape_us:.0f} us of lanestat "
              "each")
    finally:
        for site in sites:
            site.postfix.stop()
            site.postfix.destroy()
        sim.stop()


with bench_home("readers") as directory:
    run(directory)
