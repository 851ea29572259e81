#!/usr/bin/python3
"""One message alone: how long from the queue to the smarthost's 250, where no
session is open (cold) and where one is (warm). See README.md, "One message".

  RTTS='0 20 100'     milliseconds
  COUNT=11            messages of each kind
"""
import math
import os
import statistics
import sys
import tempfile
import time
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import inject                              # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402
from harness.wait import wait_until                     # noqa: E402

from cases import Group, PER_SESSION, Variant           # noqa: E402
from home import bench_home                             # noqa: E402
from side import Side                                   # noqa: E402

WAYS = (Variant("smtp", "smtp", 0), Variant("lane", "lane"),
        Variant("lane465", "lane", is_wrapped=True))
BODY = "Subject: one\r\n\r\n" + ("x" * 70 + "\r\n") * 12


class One:
    """A site that is asked to send one message after the other."""

    def __init__(self, base, certs, variant, rtt_ms):
        self.half_us = rtt_ms * 500
        self.sim = Simulator(base, certs, max_connections=4,
                             max_messages=PER_SESSION, quickack=True)
        self.sim.start()
        self.proxy = None
        if rtt_ms:
            port = (self.sim.tls_port if variant.is_wrapped
                    else self.sim.port)
            self.proxy = DelayProxy(base, port, rtt_ms / 2)
            self.proxy.start()
        self.side = Side(base, variant, Group(1000, rtt_ms, 4, 1, 1),
                         self.sim, self.proxy)
        # how long a session waits for mail
        self.side.postfix.set(lane_connection_idle_limit="2s",
                              smtp_connection_cache_time_limit="2s")
        self.side.start_without_gate()
        self.taken = 0

    def send_us(self):
        begin_us = time.time_ns() // 1000
        inject.by_smtp(self.side.postfix.port, [SimpleNamespace(
            sender="one@sender.example", data=BODY,
            recipients=["one@rcpt.example"])], 1)
        self.taken += 1
        self.sim.wait_taken(self.taken)
        self.side.postfix.wait_empty()
        return self.sim.ledger()[-1].time_us + self.half_us - begin_us

    def wait_cold(self):
        wait_until(lambda: not self.sim.stats()["connections"], 30,
                   "no session")

    def end(self):
        self.side.stop()
        self.side.destroy()
        if self.proxy:
            self.proxy.stop()
        self.sim.destroy()


def figures(times_us):
    times = sorted(times_us)
    return (f"{statistics.median(times) / 1000:>9.1f} "
            f"{times[math.ceil(0.95 * len(times)) - 1] / 1000:>9.1f}")


def measure(home, certs, variant, rtt_ms, count):
    base = tempfile.mkdtemp(dir=home)
    os.chmod(base, 0o755)
    one = One(base, certs, variant, rtt_ms)
    cold, warm = [], []
    try:
        one.send_us()           # names, tables and daemons are there
        for _ in range(count):
            one.wait_cold()
            cold.append(one.send_us())
            warm.append(one.send_us())
    finally:
        one.end()
    return figures(cold), figures(warm)


def run(base):
    certs = Certs(os.path.join(base, "certs"))
    count = int(os.environ.get("COUNT") or 11)
    print("rtt program  cold: p50   p95 ms  warm: p50   p95 ms")
    for rtt in os.environ.get("RTTS", "0 20 100").split():
        for variant in WAYS:
            cold, warm = measure(base, certs, variant, int(rtt), count)
            print(f"{rtt:>3} {variant.name:<8}{cold} {warm}", flush=True)


with bench_home("first") as directory:
    run(directory)
