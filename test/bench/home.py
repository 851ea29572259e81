"""Where a bench has its instances, and when it may begin."""
import contextlib
import fcntl
import os
import tempfile

from harness import guard, paths

CLAIM = "/run/postlane-bench.lock"


@contextlib.contextmanager
def processors():
    """No other bench of this machine runs meanwhile: two would measure each
    other."""
    fd = os.open(CLAIM, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another bench to end", flush=True)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def bench_home(name, measures=True):
    """A directory that ends with this process, and what runs from it, too. It
    is had when the processors are, where something is measured."""
    base = os.environ.get("BASE") or paths.memory()
    os.makedirs(base, exist_ok=True)
    with processors() if measures else contextlib.nullcontext(), \
            tempfile.TemporaryDirectory(prefix=name + "-", dir=base) as path:
        os.chmod(path, 0o755)
        guard.watch(path)
        yield path
