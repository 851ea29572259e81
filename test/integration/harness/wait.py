"""Waiting for a condition, with a deadline and never for a fixed time."""
import threading
import time

POLL_S = 0.01


class Timeout(AssertionError):
    """What was waited for did not come true in time."""


def wait_until(condition, timeout_s=30, what="condition"):
    """Return condition()'s first true value; Timeout after timeout_s.

    `what` is a string, or a function that makes one when it is needed.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise Timeout(f"not within {timeout_s} s: {text}")
        pause.wait(POLL_S)
