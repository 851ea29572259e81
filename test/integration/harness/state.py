"""What the instances of a test are doing, in words: a hang has to be
understood from the report of the test alone.

For a Postfix: its queues, how long its log has been silent, its processes
with the kernel function they sleep in, octets that lie in sockets, the board
of its lanes. For any other daemon the end of its log.
"""
import os
import shutil
import subprocess
import time

from .process import session_processes

QUEUES = ("maildrop", "incoming", "active", "deferred", "corrupt", "hold")
LOG_LINES = 12
PROCESSES_MAX = 60
# Others are many and alike; these decide whether mail moves.
OF_INTEREST = ("master", "qmgr", "lane", "postlogd")


def describe(instances, stacks=False):
    """stacks: also where lanes are, by gdb when there is one."""
    return "\n".join(_guarded(_describe, i, stacks) for i in instances)


def _guarded(fn, *args):
    """A report must not become a failure of its own."""
    try:
        return fn(*args)
    except Exception as e:      # whatever it is
        return f"({fn.__name__}: {e!r})"


def _describe(instance, stacks):
    if hasattr(instance, "queue_directory"):
        return _postfix(instance, stacks)
    log = os.path.join(instance.home, instance.name + ".log")
    return f"--- {instance.name}\n{_tail(log)}"


def _postfix(postfix, stacks):
    parts = [f"--- {postfix.name}: {_queues(postfix)}; log silent for "
             f"{_age_s(postfix.log.path):.1f} s"]
    session = postfix.session or postfix._master_pid()
    for process in session_processes(session)[:PROCESSES_MAX]:
        parts.append(f"{process.pid} {process.name} {process.state} "
                     f"{_read(f'/proc/{process.pid}/wchan')}")
        if process.name in OF_INTEREST:
            parts.append(_guarded(_sockets, process.pid))
        if stacks and process.name == "lane":
            parts.append(_guarded(_stack, process.pid))
    parts.append(_guarded(_lanes, postfix))
    return "\n".join(filter(None, parts + [_tail(postfix.log.path)]))


def _queues(postfix):
    return ", ".join(f"{name} {postfix.queued(name)}" for name in QUEUES)


def _age_s(path):
    return time.time() - os.stat(path).st_mtime


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError as e:
        return f"({e.strerror})"


def _tail(path):
    return "\n".join(_read(path).splitlines()[-LOG_LINES:])


def _sockets(pid):
    """TCP connections of a process with octets that nobody has fetched."""
    mine = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        mine.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    lines = []
    for line in _read(f"/proc/{pid}/net/tcp").splitlines()[1:]:
        f = line.split()
        if f"socket:[{f[9]}]" not in mine:
            continue
        ports = [int(a.rpartition(":")[2], 16) for a in f[1:3]]
        sent, come = (int(n, 16) for n in f[4].split(":"))
        lines.append(f"    tcp {ports[0]} -> {ports[1]} state {f[3]}, "
                     f"unsent {sent}, unread {come}")
    return "\n".join(lines)


def _stack(pid):
    if not shutil.which("gdb"):
        return "    (no gdb)"
    done = subprocess.run(
        ["gdb", "-batch", "-p", str(pid), "-ex", "bt"], check=False,
        capture_output=True, text=True, timeout=300)
    return "\n".join("    " + line[:160] for line in done.stdout.splitlines()
                     if line.startswith("#"))


def _lanes(postfix):
    return (postfix.postlane("status").stdout
            + postfix.postlane("sessions").stdout
            + postfix.postlane("-j", "status").stdout)
