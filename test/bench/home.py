"""Where a bench has its instances: below BASE, or in memory."""
import contextlib
import os
import tempfile

from harness import guard, paths


@contextlib.contextmanager
def bench_home(name):
    """A directory that ends with this process, and what runs from it, too."""
    base = os.environ.get("BASE") or paths.memory()
    os.makedirs(base, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=name + "-", dir=base) as path:
        os.chmod(path, 0o755)
        guard.watch(path)
        yield path
