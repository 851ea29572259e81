"""What may go wrong in a round of the fault matrix.

A deed has a name, and three parts that are done in this order around the mail:
begin() before it is injected, act() while it is on its way, end() when all is
to be well again. `kills`: what a process had in hand may be sent again though
nobody logged a doubt.
"""
import os
import signal
import time
from dataclasses import dataclass
from typing import Callable

from harness.wait import wait_until


def _nothing(site):
    del site


@dataclass
class Deed:
    name: str
    begin: Callable = _nothing
    act: Callable = _nothing
    end: Callable = _nothing
    kills: bool = False


# ---- the smarthost --------------------------------------------------------

ACTIONS = {
    "close": "close",
    "reset": "reset",
    "half-close": "half-close",
    "stall": "stall",
    "freeze": "freeze",
    "garbage": "garbage",
    "garbage-line": r'raw "what is this\r\n"',
    "missing": "missing",
    "extra": "extra",
    "merged": "merged",
    "drip": "drip 20",
    "delay": "delay 700",
    "cut": "cut 150",
    "cut-hard": "cut-hard 150",
    "half-reply": r'raw "250-2.0.0 hal" close',
    "450": 'reply "450 4.2.0 not now"',
    "421": 'reply "421 4.3.2 going down" close',
    "421-goes-on": 'reply "421 4.3.2 busy"',
    "354": 'reply "354 go ahead"',
    "221": 'reply "221 2.0.0 bye"',
}
STAGES = ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "content",
          "eod", "rset", "quit")
DIALS = ("greeting", "ehlo", "starttls", "auth")
# Replies to stages where they are not possible, or are no fault.
SENSELESS = {("quit", "221"), ("content", "354"), ("greeting", "cut"),
             ("greeting", "cut-hard"), ("auth", "354"), ("auth", "221"),
             ("ehlo", "merged"), ("greeting", "merged"),
             ("starttls", "merged"), ("auth", "merged")}


def _stage(site, stage):
    if stage != "content":
        return stage
    return "bdat" if site.manner == "bdat" else "data"


def _scripted(stage, action):
    """One, and the one after next."""
    def begin(site):
        if stage in DIALS:
            _new_sessions(site)
        site.script(f"{_stage(site, stage)} nth 2 times 1 {ACTIONS[action]}\n"
                    f"{_stage(site, stage)} nth 3 times 1 {ACTIONS[action]}\n"
                    if stage not in DIALS else
                    f"{stage} nth 1 times 1 {ACTIONS[action]}\n")

    def end(site):
        site.script()
    return Deed(f"{stage}: {action}", begin, _nothing, end)


def _new_sessions(site):
    """What is open is closed, so that the next mail needs a dial."""
    site.origin.reload()


def smarthost():
    for stage in STAGES:
        for action in ACTIONS:
            if (stage, action) not in SENSELESS:
                yield _scripted(stage, action)
    yield _scripted_rules("eod: taken, and closed",
                          "eod nth 2 times 1 accept-then-close\n")
    yield _scripted_rules("eod: each fifth taken, and closed",
                          "eod every 5 accept-then-close\n")
    yield _scripted_rules("any: closed now and then",
                          "any prob 0.03 close\n")
    yield _scripted_rules("tls: reset", "tls nth 1 times 1 reset\n", True)
    for kind in ("keyupdate", "ticket", "warning", "empty", "mixed"):
        yield _scripted_rules(f"rcpt: flood of {kind}",
                              f"rcpt nth 2 times 1 flood {kind} 2M\n")
    yield Deed("smarthost: killed", act=_restart_smarthost)


def _scripted_rules(name, rules, is_dial=False):
    def begin(site):
        if is_dial:
            _new_sessions(site)
        site.script(rules)
    return Deed(name, begin, _nothing, lambda site: site.script())


def _restart_smarthost(site):
    site.sim.kill9()
    site.sim.start()


# ---- processes ------------------------------------------------------------

POINTS = ("greeting", "auth", "mail", "rcpt", "content", "eod", "rset")


def _held(stage, name, deed, kills=False):
    """deed(site) while a session waits for its reply at the stage."""
    def begin(site):
        if stage in DIALS:
            _new_sessions(site)
        site.before = site.scripted()
        site.script(f"{_stage(site, stage)} nth 1 times 1 stall\n")

    def act(site):
        site.wait_hit(site.before)
        deed(site)
    return Deed(f"{name} at {stage}", begin, act,
                lambda site: site.script(), kills)


def _signal_all(program, number):
    def act(site):
        for pid in site.origin.pids(program):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    return act


def _pause(program, seconds):
    """Stopped for a while."""
    def act(site):
        pids = site.origin.pids(program)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= end, 60, "the pause")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    return act


def _reload(site):
    site.origin.reload()


def _reload_twice(site):
    site.origin.reload()
    site.origin.reload()


def _stop(site):
    site.origin.stop()
    site.origin.start()


def _kill_master(site):
    os.kill(site.origin.session, signal.SIGKILL)
    # its children see the end of their channels
    wait_until(lambda: not site.origin.processes(), 60,
               lambda: f"no process left of {site.origin.processes()}")
    site.origin.session = None
    site.origin.start()


def processes():
    for stage in POINTS:
        yield _held(stage, "lane killed", _signal_all("lane", signal.SIGKILL),
                    kills=True)
        yield _held(stage, "lane terminated",
                    _signal_all("lane", signal.SIGTERM))
        yield _held(stage, "lane stopped for a second", _pause("lane", 1))
        yield _held(stage, "reload", _reload)
        yield _held(stage, "two reloads", _reload_twice)
        yield _held(stage, "stop and start", _stop)
        yield _held(stage, "qmgr killed",
                    _signal_all("qmgr", signal.SIGKILL))
    yield _held("rcpt", "master killed", _kill_master)
    for program in ("bounce", "postlogd", "proxymap", "trivial-rewrite",
                    "qmgr"):
        yield _held("eod", f"{program} stopped for a second",
                    _pause(program, 1))
    for program in ("bounce", "postlogd", "cleanup", "proxymap"):
        yield _held("rcpt", f"{program} killed",
                    _signal_all(program, signal.SIGKILL))


# ---- system calls ---------------------------------------------------------

ORDERS = (
    "connect:1-2:ENETUNREACH", "socket:2-4:EMFILE", "accept:1-3:EMFILE",
    "epoll:10-14:ENOMEM", "recv:20:ECONNRESET", "send:15:EPIPE",
    "recv:30-60:SHORT", "send:5-200:SHORT", "write@rates.:1-:ENOSPC",
    "write@slots.:1-:ENOSPC", "write@board:1-:ENOSPC", "allocate:1-:ENOSPC",
    "mmap@board:1:ENOMEM", "write@active:2-4:ENOSPC", "write@active:3:EIO",
    "lock@active:2-4:EAGAIN", "open@active:2-3:EMFILE",
    "read@active:8:EIO", "fsync:1-:EIO", "lock@slots.:1-5:EAGAIN",
    "open@postlane:2:ENFILE", "fork:1:EAGAIN", "pipe:1:EMFILE",
    "write@private:2-6:EPIPE", "connect@private:2-4:ECONNREFUSED",
    "read@private:3:EOF",
)
KILLING = ("recv:25:KILL", "send:20:KILL", "write@active:2:KILL",
           "write@slots.:4:KILL", "open@active:4:KILL", "lock@slots.:9:KILL",
           "connect:2:KILL", "fork:2:KILL", "memory:3000:ENOMEM",
           "memory:9000:ENOMEM")


def _failing(orders, kills):
    def begin(site):
        site.origin.lane_faults(orders, once=True)
        site.origin.reload()

    def end(site):
        site.has_happened = bool(site.origin.faults())
        site.origin.lane_faults("drop:99:EAGAIN")
        site.origin.reload()
    return Deed(f"call {orders}", begin, _nothing, end, kills)


def calls():
    for orders in ORDERS:
        yield _failing(orders, False)
    for orders in KILLING:
        yield _failing(orders, True)


# ---- files ----------------------------------------------------------------

def _cut(path):
    os.truncate(path, 0)


def _cut_short(path):
    os.truncate(path, min(100, os.path.getsize(path)))


def _zero(path):
    with open(path, "r+b") as f:
        f.write(bytes(os.path.getsize(path)))


def _noise(path):
    with open(path, "r+b") as f:
        f.write(os.urandom(os.path.getsize(path)))


def _remove(path):
    os.unlink(path)


def _another_version(path):
    with open(path, "r+b") as f:
        head = f.read(12)
        if len(head) == 12:
            f.seek(8)
            f.write(bytes([head[8] ^ 0x55]))


def _damage(how, also_reload):
    def act(site):
        for path in site.state_files():
            how(path)
        if also_reload:
            site.origin.reload()
    return act


def _foreign_owner(site):
    for path in site.state_files():
        os.chown(path, 1, 1)
    site.origin.reload()


def _own_again(site):
    st = os.stat(site.origin.data_directory)
    for path in site.state_files():
        os.chown(path, st.st_uid, st.st_gid)
    site.origin.reload()


def files():
    for how in (_cut, _cut_short, _zero, _noise, _remove, _another_version):
        name = how.__name__.strip("_").replace("_", " ")
        yield Deed(f"state files: {name}", act=_damage(how, False))
        yield Deed(f"state files: {name}, and a reload",
                   act=_damage(how, True))
    yield Deed("state files: another's", act=_foreign_owner, end=_own_again)


# ---- settings -------------------------------------------------------------

def _set(name, value):
    return lambda site: site.origin.set(reload=True, **{name: value})


def _without_table(site):
    path = os.path.join(site.origin.etc, "relay_auth.db")
    os.rename(path, path + ".away")
    site.origin.reload()


def _with_table(site):
    path = os.path.join(site.origin.etc, "relay_auth.db")
    os.rename(path + ".away", path)
    site.origin.reload()


def _cut_table(site):
    path = os.path.join(site.origin.etc, "relay_auth.db")
    with open(path, "rb") as f:
        site.table = f.read()
    with open(path, "wb") as f:
        f.write(site.table[:len(site.table) // 2])
    site.origin.reload()


def _whole_table(site):
    path = os.path.join(site.origin.etc, "relay_auth.db")
    with open(path, "wb") as f:
        f.write(site.table)
    site.origin.reload()


def settings():
    for name, value, good in (
            ("lane_wait_limit", "soon", None), ("lane_nonsense", "yes", None),
            ("smtp_tls_security_level", "some", "secure"),
            ("smtp_connect_timeout", "$nothing_there", "2s")):
        yield Deed(f"main.cf: {name} = {value}", _set(name, value), _nothing,
                   _set(name, good))
    yield Deed("password table: gone", _without_table, _nothing, _with_table)
    yield Deed("password table: half", _cut_table, _nothing, _whole_table)


def all_deeds():
    return [*smarthost(), *processes(), *calls(), *files(), *settings()]
