"""Waiting for a condition, with a deadline and never for a fixed time.

Deadlines are meant for a machine with nothing else to do. Where many want its
processors or wait for its disk, time counts only for the share of it that one
of them had: a second in which eight run on two processors is a quarter of one.
"""
import os
import threading
import time

POLL_S = 0.01
# A look that starts programs takes the processor from what it waits for: the
# pause behind it is so many times what it took, but at most this long.
POLL_SHARE = 3
POLL_MOST_S = 0.5
LEAST_S = 30        # any shorter deadline would be an assertion of how fast
STEP_S = 1.0        # a look at the clock stands for at most so long
CPUS = len(os.sched_getaffinity(0))


class Timeout(AssertionError):
    """What was waited for did not come true in time."""


def share():
    """The part of a processor that one of those who want one has now."""
    try:
        with open("/proc/loadavg", encoding="ascii") as f:
            words = f.read().split()
    except OSError:
        return 1.0
    # those who run now, or over the last minute with those who await a disk
    wanting = max(int(words[3].partition("/")[0]), float(words[0]))
    return min(1.0, CPUS / max(wanting, 1))


def stretched_ms(ms, most=40000):
    """A delay in which something else is to happen: longer on a busy machine,
    but within `most`."""
    return int(max(ms, min(ms / share(), most)))


class Stopwatch:
    """Seconds since it was made, as far as the machine gave them."""

    def __init__(self):
        self._last = time.monotonic()
        self._passed = 0.0

    def seconds(self):
        """To be asked every now and then: a stretch in which nobody asked
        is one in which this process did not run."""
        now = time.monotonic()
        self._passed += min(now - self._last, STEP_S) * share()
        self._last = now
        return self._passed


def wait_until(condition, timeout_s=30, what="condition"):
    """Return condition()'s first true value; Timeout after timeout_s of a
    Stopwatch, or LEAST_S.

    `what` is a string, or a function that makes one when it is needed.
    """
    watch = Stopwatch()
    timeout_s = max(timeout_s, LEAST_S)
    pause = threading.Event()
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        if watch.seconds() >= timeout_s:
            text = what() if callable(what) else what
            raise Timeout(f"not within {timeout_s} s: {text}")
        took = time.monotonic() - began
        pause.wait(max(POLL_S, min(POLL_SHARE * took, POLL_MOST_S)))
