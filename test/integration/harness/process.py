"""Processes of one instance, found by session, never by name alone.

master(8) makes itself a session leader and its children stay in that
session, also those whose parent is gone, so the session is the instance.
"""
import os
import signal
from dataclasses import dataclass

from .wait import wait_until


@dataclass(frozen=True)
class Process:
    pid: int
    ppid: int
    name: str
    session: int
    state: str


def read_process(pid):
    """The process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8",
                  errors="replace") as f:
            text = f.read()
    except OSError:
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split()
    return Process(int(pid), int(rest[1]), name, int(rest[3]), rest[0])


def session_processes(session):
    """Living processes (no zombies) of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _session(int(entry)) == session:
            process = read_process(entry)
            if process and process.session == session \
                    and process.state not in "ZX":
                found.append(process)
    return found


def _session(pid):
    try:
        return os.getsid(pid)
    except OSError:
        return None


def awaits_events(pid):
    """Has it done all that it was told, and sleeps in epoll(7)? So has one that
    is stopped, or gone."""
    process = read_process(pid)
    if process is None or process.state in "TtZX":
        return True
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as f:
            where = f.read()
    except OSError:
        where = ""
    # "0": this kernel does not tell
    return process.state == "S" and (where in ("", "0") or "ep_poll" in where
                                     or "epoll" in where)


def kill_session(session, timeout_s=10):
    """SIGKILL every process of a session and wait until it is empty."""
    def gone():
        left = session_processes(session)
        for process in left:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left
    wait_until(gone, timeout_s, f"session {session} gone")


def memory_kb(pid):
    """Proportional set size in kB, 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def cpu_s(pid):
    """User and system time used so far in seconds, 0 when gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8",
                  errors="replace") as f:
            rest = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")
