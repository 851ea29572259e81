#!/usr/bin/python3
"""Ends what a test process has started when that process is gone, whatever
killed it: its instances would deliver and defer for ever.

The first base directory starts the guard. Its standard input is a pipe of
which the test process alone has the other end; each line is a base directory.
At the end of it every process is killed that runs from one of them, as all of
an instance of Postfix do, or that inherited MARK from the test process, and
the directories are removed.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

MARK = "POSTLANE_GUARD"
SECONDS = 60        # until nothing is left

_pipe = None        # to the guard of this process


def watch(base):
    """From now on `base` does not outlive this process."""
    global _pipe
    if _pipe is None:
        _start()
    os.write(_pipe, base.encode() + b"\n")


def _start():
    global _pipe
    # to be inherited by all but Postfix's processes
    os.environ[MARK] = f"{os.getpid()}.{time.monotonic_ns()}"
    # CLOEXEC: nobody else holds it
    end, _pipe = os.pipe()
    subprocess.Popen([sys.executable, "-I", "-S", "-B", __file__], stdin=end,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     cwd="/", start_new_session=True)
    os.close(end)


def _forked():
    """A child without a program of its own has a guard of its own."""
    global _pipe
    if _pipe is not None:
        os.close(_pipe)
    _pipe = None


os.register_at_fork(after_in_child=_forked)


def end_with_parent():
    """For a child without a program of its own, from its first step on."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _is_ours(pid, bases, mark):
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        with open(f"/proc/{pid}/environ", "rb") as f:
            environment = f.read().split(b"\0")
    except OSError:
        return False
    return mark in environment or any(
        program.startswith(base + "/") for base in bases)


def _kill(bases, mark):
    """Once around; whether there was anybody."""
    found = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()
             and int(pid) != os.getpid() and _is_ours(pid, bases, mark)]
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(found)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    mark = f"{MARK}={os.environ[MARK]}".encode()
    bases = [line.rstrip("\n") for line in sys.stdin]
    deadline = time.monotonic() + SECONDS
    while _kill(bases, mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    for base in bases:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
