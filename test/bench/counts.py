#!/usr/bin/python3
"""What a message costs the lane in counts, which depend little on who else uses
the machine: its system calls, by name, and its instructions. Behind
tools/queuemanager, in front of the simulator, at the default depth. See
README.md, "Counts".

  COUNT=4000    messages of OCTETS=5000, for the system calls
  INSTRUCTIONS=1000   messages that valgrind counts the instructions of; 0: none
  LANES='A B'   lane programs (build/lane)
  PROFILE=file  where callgrind_annotate(1) finds what was counted, functions
                and all
"""
import os
import re
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.simulator import Simulator                 # noqa: E402

from alone import SESSIONS, Alone, system_calls, tell_calls     # noqa: E402
from home import bench_home                             # noqa: E402

COUNT = int(os.environ.get("COUNT") or 4000)
INSTRUCTIONS = int(os.environ.get("INSTRUCTIONS") or 1000)
DEPTH = 50
HOW = {"octets": os.environ.get("OCTETS") or "5000",
       "window": str(2 * SESSIONS * DEPTH)}
OPTIONS = {"lane_connection_limit": str(SESSIONS)}
# Enough for each session to come to its depth.
WARM = 2 * SESSIONS * DEPTH
VALGRIND = """#!/bin/sh
exec valgrind --tool=callgrind --log-file=%(log)s --callgrind-out-file=%(out)s \\
    %(program)s "$@"
"""


def wrapped(base, program):
    """A program that is this one, its instructions counted, and the log."""
    out = os.environ.get("PROFILE")
    where = {"log": os.path.join(base, "valgrind-%p.log"), "program": program,
             "out": os.path.abspath(out) if out else "/dev/null"}
    if out:     # which the lane opens as mail_owner
        with open(out, "wb"):
            os.chmod(out, 0o666)
    path = os.path.join(base, "counted-lane")
    with open(path, "w", encoding="ascii") as f:
        f.write(VALGRIND % where)
        os.fchmod(f.fileno(), stat.S_IRWXU | 0o055)
    return path


def instructions(base, sim, program, name, count):
    """Of a process that sends so many, its start and its end included."""
    folder = os.path.join(base, name)
    os.makedirs(folder)
    os.chmod(folder, 0o755)
    # what valgrind does is not what the sandbox allows
    lane = Alone(base, name + "-site", wrapped(folder, program), sim,
                 {**OPTIONS, "lane_sandbox": "no"})
    try:
        lane.run(count, **HOW)
    finally:
        lane.stop()
    found = 0
    for log in os.listdir(folder):
        with open(os.path.join(folder, log), encoding="utf-8",
                  errors="replace") as f:
            for n in re.findall(r"Collected : (\d+)", f.read()):
                found = max(found, int(n))
    assert found, f"valgrind counted nothing; see {folder}"
    return found


def measure(base, sim, number, program):
    lane = Alone(base, f"lane{number}", program, sim, OPTIONS)
    try:
        lane.run(WARM, **HOW)
        tell_calls(system_calls(lane, base, COUNT, **HOW))
    finally:
        lane.stop()
    if not INSTRUCTIONS:
        return
    few, many = (instructions(base, sim, program or paths.built("lane"),
                              f"n{number}-{n}", WARM + n)
                 for n in (0, INSTRUCTIONS))
    print(f"{(many - few) / INSTRUCTIONS:.0f} instructions a message")


def run(base):
    sim = Simulator(base, Certs(os.path.join(base, "certs")), sync=False,
                    quickack=True, max_connections=2 * SESSIONS)
    sim.start()
    try:
        for number, program in enumerate(
                (os.environ.get("LANES") or "").split() or [""]):
            print(f"{program or 'lane'}:", flush=True)
            measure(base, sim, number, program)
    finally:
        sim.stop()


with bench_home("counts", measures=False) as directory:
    run(directory)
