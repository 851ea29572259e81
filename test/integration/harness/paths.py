"""Where things are: the build directory and the short-lived base directories.

A base directory is named /dev/shm/pl-XXXXXXXX (or /tmp/...), because a UNIX
socket path may not exceed 107 octets and because mail_owner must be able to
walk down to it.
"""
import fcntl
import functools
import os
import random
import shutil
import socket
import tempfile

from . import guard

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, os.environ.get("POSTLANE_BUILD", "build"))
# The program to be tested, where it is another one.
LANE = os.path.join(ROOT, os.environ.get("POSTLANE_LANE")
                    or os.path.join(BUILD, "lane"))
ROOM = 1 << 30      # octets that the largest test may need
# Unpacked by scripts/setup, whatever the build directory is called.
PROMETHEUS = os.path.join(ROOT, "build/prometheus/usr/bin/prometheus")
PROMTOOL = os.path.join(ROOT, "build/prometheus/usr/bin/promtool")
EXIM = os.path.join(ROOT, "build/exim/usr/sbin/exim4")


def built(name):
    """Path of a program in the build directory."""
    return os.path.join(BUILD, name)


@functools.cache
def is_sanitized():
    """Was lane built with SAN=address?"""
    with open(LANE, "rb") as f:
        return b"__asan_init" in f.read()


def agents():
    """Delivery agents to test: lane as soon as its source is there."""
    if os.path.exists(os.path.join(ROOT, "agent/main.c")):
        return ("lane", "smtp")
    return ("smtp",)


def memory():
    """Where instances live: in memory if there is room and programs may run
    there, so that no disk decides how long a test takes; else /tmp."""
    try:
        shm = os.statvfs("/dev/shm")
    except OSError:
        return "/tmp"
    may_run = not shm.f_flag & os.ST_NOEXEC
    free = shm.f_bavail * shm.f_frsize
    return "/dev/shm" if may_run and free >= ROOM else "/tmp"


def make_base(root=None):
    """A new directory that everybody may walk through. What runs from it ends
    with this process, and it is removed."""
    base = tempfile.mkdtemp(prefix="pl-", dir=root or memory())
    guard.watch(base)
    os.chmod(base, 0o755)
    return base


def drop_base(base, keep_as=None):
    """Remove a base directory; with keep_as, first copy its logs there."""
    if keep_as:
        shutil.rmtree(keep_as, ignore_errors=True)
        shutil.copytree(base, keep_as, ignore=_only_small_logs)
    shutil.rmtree(base, ignore_errors=True)


def _only_small_logs(folder, names):
    def wanted(name):
        path = os.path.join(folder, name)
        if os.path.islink(path):
            return False
        if os.path.isdir(path):
            return name not in ("libexec", "Maildir", "mail", "data")
        return name.endswith((".log", ".cf", ".conf", ".txt", ".ledger"))
    return [n for n in names if not wanted(n)]


_port_locks = None      # descriptor of a file, of which each octet is a port
_ports_given = set()


def _reserve(port):
    """True: no other process's tests have it, from now until this one ends."""
    global _port_locks
    if _port_locks is None:
        _port_locks = os.open(os.path.join(memory(), "postlane-ports"),
                              os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(_port_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    """A loopback port nobody listens on, and that nobody else is given.

    Taken from below the kernel's ephemeral range, so that no outgoing
    connection can sit on it by the time the server binds it.
    """
    for _ in range(2000):
        port = random.randint(20000, 32000)
        if port not in _ports_given and _reserve(port) and _is_free(port):
            _ports_given.add(port)
            return port
    raise RuntimeError("no free port below the ephemeral range")
