"""Mail that keeps coming while a test does something to the instance."""
import threading
import time

from . import messages
from .wait import wait_until


class Background:
    """What a thread does until the block ends; its failure is the block's."""

    def __init__(self):
        self.is_over = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run)

    def work(self):
        """Until is_over is set."""
        raise NotImplementedError

    def _run(self):
        try:
            self.work()
        except Exception as e:      # to be raised in the test's thread
            self._failure = e

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self._thread.join()
        if self._failure:
            raise self._failure


class Load(Background):
    """with Load(origin) as load: ... Injects batches from a thread until the
    block ends; `sent` is what was queued, complete after the block, and
    `began_s` when its injection began, by id, in seconds since the epoch."""

    def __init__(self, origin, batch=20, connections=2, per_s=None,
                 prefix="load", **how):
        super().__init__()
        self.origin = origin
        self.batch, self.connections = batch, connections
        self.per_s = per_s      # messages; None: as fast as it takes them
        self.prefix, self.how = prefix, how
        self.sent, self.began_s = [], {}

    def work(self):
        began = time.monotonic()
        while not self.is_over.is_set():
            made = messages.generate(
                self.batch, prefix=f"{self.prefix}{len(self.sent)}",
                **self.how)
            now = time.time()
            self.began_s.update((m.id, now) for m in made)
            # accepted or not is unknown when the injection fails
            self.origin.inject(made, connections=self.connections)
            self.sent += made
            if self.per_s:
                due = began + len(self.sent) / self.per_s
                self.is_over.wait(max(0, due - time.monotonic()))


def wait_flushed(origin, condition, timeout_s, what):
    """Wait for a condition while all that is queued is tried again and again.
    The queue manager passes over a file that a delivery agent has locked, and
    comes back to it at its next scan: without new mail in five minutes."""
    last = time.monotonic()

    def check():
        nonlocal last
        if condition():
            return True
        if time.monotonic() - last > 1:
            origin.flush()
            last = time.monotonic()
        return False
    wait_until(check, timeout_s, what)


def wait_taken_by_all_means(origin, sim, sent, timeout_s=60):
    """Everything accepted, then a new start, so that recipients that are
    marked as done prove themselves."""
    ids = {m.id for m in sent}

    def missing():
        return ids - {e.id for e in sim.ledger()}
    wait_flushed(origin, lambda: not missing(), timeout_s,
                 lambda: f"{len(missing())} of {len(ids)} not taken")
    origin.stop()
    origin.start()
    origin.flush()
    origin.wait_empty()


def wait_clock(seconds, since=None):
    """The length of a phase, where time itself is what is asked for."""
    end = (since or time.monotonic()) + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 10, "the time")
