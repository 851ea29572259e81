#!/usr/bin/python3
"""What a message costs the lane: behind tools/queuemanager in the place of the
queue manager, in front of the simulator. See README.md, "The lane alone".

  COUNT=20000   messages of a round, each of OCTETS=1000
  ROUNDS=3      after one that is not measured
  LANES='A B'   lane programs that take turns (build/lane)
  FLEET=1       each has a turn in a fleet, too, by a redis-server
  STRACE=1      the system calls of one more round of 2000, counted
"""
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.fleet import PASSWORD, Engine              # noqa: E402
from harness.postfix import Postfix                     # noqa: E402
from harness.simulator import Simulator                 # noqa: E402
from harness.wait import wait_until                     # noqa: E402

from home import bench_home                             # noqa: E402
from rounds import median_of                            # noqa: E402

COUNT = int(os.environ.get("COUNT") or 20000)
ROUNDS = int(os.environ.get("ROUNDS") or 3)
OCTETS = os.environ.get("OCTETS") or "1000"
SESSIONS, DEPTH = 20, 10
WINDOW = str(2 * SESSIONS * DEPTH)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Alone:
    """A Postfix without a queue manager, and one lane."""

    def __init__(self, base, name, program, sim, options=None, **main):
        self.postfix = Postfix(base, name)
        self.postfix.drop_service("qmgr")
        if program:
            place = os.path.join(self.postfix.libexec, "lane")
            os.unlink(place)
            shutil.copy(program, place)
        self.postfix.agent("lane", "bench", "class=fast", options or {
            "lane_connection_limit": str(SESSIONS),
            "lane_pipeline_depth": str(DEPTH)})
        self.postfix.relay_to(sim, transport="bench", **main)
        self.nexthop = f"[127.0.0.1]:{sim.port}"
        self.postfix.start()

    def run(self, count, window=WINDOW, octets=OCTETS):
        found = subprocess.run(
            [paths.built("queuemanager"), self.postfix.queue_directory,
             "bench", self.nexthop, str(count), window, octets],
            check=True, capture_output=True, text=True).stdout
        return float(found.split()[4])

    def pid(self):
        return self.postfix.pids("lane")[0]

    def cpu(self):
        """Seconds in all, and of them in the kernel, as its clock ticks."""
        with open(f"/proc/{self.pid()}/schedstat", encoding="ascii") as f:
            whole = int(f.read().split()[0]) / 1e9
        with open(f"/proc/{self.pid()}/stat", encoding="utf-8") as f:
            rest = f.read().rpartition(")")[2].split()
        return whole, int(rest[11]) * TICK_S, int(rest[12]) * TICK_S

    def measure(self, count):
        before = self.cpu()
        rate = self.run(count)
        whole, user, kernel = (b - a for a, b in zip(before, self.cpu()))
        return rate, whole, kernel / max(user + kernel, TICK_S)

    def stop(self):
        self.postfix.stop()
        self.postfix.destroy()


def is_traced(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return "\nTracerPid:\t0\n" not in f.read()


def system_calls(lane, base, count, **how):
    """{name: how often a message} of a run of so many."""
    out = os.path.join(base, "strace")
    with subprocess.Popen(
            ["strace", "-c", "-f", "-o", out, "-p", str(lane.pid())],
            stderr=subprocess.DEVNULL) as tracer:
        wait_until(lambda: is_traced(lane.pid()), 30, "strace")
        lane.run(count, **how)
        tracer.terminate()
    with open(out, encoding="ascii") as f:
        rows = [line.split() for line in f if line[:1] == " "]
    return {row[-1]: int(row[3]) / count for row in rows
            if row[3].isdigit() and row[-1] != "total"}


def tell_calls(calls):
    print(f"{sum(calls.values()):.2f} system calls a message: "
          + ", ".join(f"{name} {n:.2f}" for name, n in sorted(
              calls.items(), key=lambda pair: -pair[1]) if n > 0.01))


def settings(base):
    """{what is behind the program's name: what it is set to}"""
    if not os.environ.get("FLEET"):
        return {"": {}}, None
    engine = Engine(base)
    engine.start()
    secret = os.path.join(base, "fleet-secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write(PASSWORD + "\n")
    os.chmod(secret, 0o600)
    limits = {"lane_account_connection_limit": str(SESSIONS),
              "lane_account_message_rate_limit": "1000000/1s"}
    return {"": limits, " in a fleet": {
        # all of it is its base: it has that before others have asked
        "lane_fleet": f"unix:{engine.socket}", "lane_fleet_size": "1",
        "lane_fleet_password_file": secret, **limits}}, engine


def run(base):
    ways, engine = settings(base)
    sim = Simulator(base, Certs(os.path.join(base, "certs")), sync=False,
                    quickack=True, max_connections=2 * SESSIONS)
    sim.start()
    lanes = {}
    try:
        for program in (os.environ.get("LANES") or "").split() or [""]:
            for way, main in ways.items():
                lane = Alone(base, f"lane{len(lanes)}", program, sim, **main)
                lanes[(program or "lane") + way] = lane
                lane.run(2000)
        costs = {name: [] for name in lanes}
        rates = {name: [] for name in lanes}
        for _ in range(ROUNDS):
            # what the one before leaves behind is each one's burden alike
            for name in random.sample(list(lanes), len(lanes)):
                rate, cpu, kernel = lanes[name].measure(COUNT)
                costs[name].append(cpu / COUNT)
                rates[name].append(rate)
                print(f"{name}: {rate:.0f} messages/s, "
                      f"{cpu * 1e6 / COUNT:.1f} us of CPU a message "
                      f"({COUNT / cpu:.0f} messages/s of one core), "
                      f"{kernel:.0%} in the kernel", flush=True)
        first = next(iter(costs))
        for name in list(costs)[1:]:
            cost, rate = (
                median_of([b / a for a, b in zip(of[first], of[name])])
                for of in (costs, rates))
            print(f"{name} / {first}: {cost} of the CPU time, "
                  f"{rate} of the messages/s")
        for name, lane in lanes.items():
            if os.environ.get("STRACE"):
                print(name, end=": ")
                tell_calls(system_calls(lane, base, 2000))
    finally:
        for lane in lanes.values():
            lane.stop()
        sim.stop()
        if engine:
            engine.destroy()


if __name__ == "__main__":
    with bench_home("alone") as directory:
        run(directory)
