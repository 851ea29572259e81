"""What may go wrong in a round of the fault matrix.

A deed has a name, and three parts that are done in this order around the mail:
begin() before it is injected, act() while it is on its way, end() when all is
to be well again, or as well as has to do for mail to flow; after() when it
has. `kills`: what a process had in hand may be sent again though nobody logged a
doubt. `size`: octets of each message; 0: few.
"""
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import Callable

from harness.paths import built
from harness.wait import wait_until

# Longer than the smarthost's time for an answer (mailsite.TIMEOUTS).
AWAY_S = 3
LARGE = 3 << 20         # octets: more than buffers hold


def nothing(site):
    del site


@dataclass
class Deed:
    name: str
    begin: Callable = nothing
    act: Callable = nothing
    end: Callable = nothing
    kills: bool = False
    size: int = 0
    after: Callable = nothing


def while_mail_goes(site, seconds, condition=lambda: False):
    """Until there is no more, it is so, or so much time has passed."""
    end = time.monotonic() + seconds
    wait_until(lambda: condition() or site.origin.queue_count() == 0
               or time.monotonic() >= end, 60, "mail goes")


def pass_time(seconds):
    """Which is what the deed is about: nothing is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, 60, "time passes")


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
            new_sessions(site)
        site.script(f"{_stage(site, stage)} nth 2 times 1 {ACTIONS[action]}\n"
                    f"{_stage(site, stage)} nth 3 times 1 {ACTIONS[action]}\n"
                    if stage not in DIALS else
                    f"{stage} nth 1 times 1 {ACTIONS[action]}\n")

    def end(site):
        site.script()
    return Deed(f"{stage}: {action}", begin, nothing, end)


def new_sessions(site):
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
    for kind in ("alert", "broken", "truncated"):
        for stage in ("mail", "rcpt", "content", "eod"):
            yield _scripted_rules(
                f"{stage}: last record is {kind}",
                lambda site, stage=stage, kind=kind:
                f"{_stage(site, stage)} nth 2 times 1 flood {kind} 1\n")
    yield Deed("tls 1.2: asked to renegotiate", _only_tls12, nothing,
               _all_tls)
    for stage in ("content", "eod"):
        yield _window_closed(stage)
    yield Deed("smarthost: killed", act=_restart_smarthost)
    yield Deed("smarthost: gone for some seconds", act=_smarthost_gone)
    yield Deed("smarthost: stands still", act=_smarthost_still)


def _scripted_rules(name, rules, is_dial=False, size=0):
    """rules: a text, or what makes one for a site."""
    def begin(site):
        if is_dial:
            new_sessions(site)
        site.script(rules(site) if callable(rules) else rules)
    return Deed(name, begin, nothing, lambda site: site.script(), size=size)


def _window_closed(stage):
    """A server that does not read never hears that the client has gone: to it
    the connection is there until it ends itself."""
    deed = _scripted_rules(
        f"{stage}: window closed", lambda site:
        f"{_stage(site, stage)} nth 2 times 1 freeze\n", size=LARGE)

    def act(site):
        while_mail_goes(site, AWAY_S)

    def end(site):
        _restart_smarthost(site)
        site.script()
    deed.act, deed.end = act, end
    return deed


def _restart_smarthost(site):
    site.sim.kill9()
    site.sim.start()


def _smarthost_gone(site):
    """Nobody listens: connections are refused."""
    site.sim.kill9()
    pass_time(AWAY_S)
    site.sim.start()


def _smarthost_still(site):
    """The system takes what is sent, as long as there is room, and says that it
    did; nothing else does."""
    site.sim.signal(signal.SIGSTOP)
    pass_time(AWAY_S)
    site.sim.signal(signal.SIGCONT)


def _only_tls12(site):
    site.sim.stop()
    site.sim.options["tls12"] = True
    site.sim.start()
    site.script("rcpt nth 2 times 1 flood hellorequest 100\n")


def _all_tls(site):
    site.script()
    site.sim.stop()
    site.sim.options["tls12"] = False
    site.sim.start()


# ---- processes ------------------------------------------------------------

POINTS = ("greeting", "starttls", "auth", "mail", "rcpt", "content", "eod", "rset")


def _held(stage, name, deed, kills=False):
    """deed(site) while a session waits for its reply at the stage."""
    def begin(site):
        if stage in DIALS:
            new_sessions(site)
        site.before = site.scripted()
        site.script(f"{_stage(site, stage)} nth 1 times 1 stall\n")

    def act(site):
        site.wait_hit(site.before)
        deed(site)
    return Deed(f"{name} at {stage}", begin, act,
                lambda site: site.script(), kills)


def _send(pid, number):
    """To one that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_all(program, number):
    def act(site):
        for pid in site.origin.pids(program):
            _send(pid, number)
    return act


def _pause(program, seconds):
    """Stopped for a while."""
    def act(site):
        pids = site.origin.pids(program)
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        pass_time(seconds)
        for pid in pids:
            _send(pid, signal.SIGCONT)
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


def _unfinished(site):
    """Queue files that a cleanup(8) has begun: not yet executable."""
    found = set()
    folder = os.path.join(site.origin.queue_directory, "incoming")
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            if not os.stat(os.path.join(folder, name)).st_mode & 0o100:
                found.add(os.path.join(folder, name))
    return found


def _kill_cleanup(site):
    """What it had begun is sent again by who gave it that, and stays there
    until a queue manager removes it, which takes days."""
    _signal_all("cleanup", signal.SIGKILL)(site)
    begun = _unfinished(site)
    pass_time(1)
    for path in begun & _unfinished(site):
        os.unlink(path)


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
        yield _held(stage, "master stopped for a second",
                    _pause("master", 1))
    yield _held("rcpt", "master killed", _kill_master)
    for program in ("bounce", "postlogd", "proxymap", "trivial-rewrite",
                    "qmgr", "cleanup", "tlsmgr"):
        yield _held("eod", f"{program} stopped for a second",
                    _pause(program, 1))
    yield _held("rcpt", "cleanup killed", _kill_cleanup)
    for program in ("bounce", "postlogd", "proxymap", "tlsmgr",
                    "trivial-rewrite"):
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
    # a disk that is full, or broken, until the next process
    "write@active:1-:ENOSPC", "write@active:1-:EIO", "read@active:9-:EIO",
    "open@postlane:1-:ENOSPC", "open:150-:ENOSPC", "fsync:1:EIO",
    "write@board:1:EIO", "read@slots.:1:EIO", "read@rates.:1:EIO",
    "stat@active:3:EIO", "rename:1-:EACCES", "unlink:1-:EACCES",
    "open@active:1-20:ENFILE", "socket:1-12:ENFILE", "dup:1-:EMFILE",
)
KILLING = ("recv:25:KILL", "send:20:KILL", "write@active:2:KILL",
           "write@slots.:4:KILL", "open@active:4:KILL", "lock@slots.:9:KILL",
           "connect:2:KILL", "fork:2:KILL", "memory:3000:ENOMEM",
           "memory:9000:ENOMEM")


def _failing(orders, kills):
    def begin(site):
        site.origin.lane_faults(orders, once=True)
        site.origin.reload()

    def act(site):
        while_mail_goes(site, AWAY_S, site.origin.faults)

    def end(site):
        site.has_happened = bool(site.origin.faults())
        site.origin.lane_faults("drop:99:EAGAIN")
        site.origin.reload()
    return Deed(f"call {orders}", begin, act, end, kills)


# One of so many fails once, or half of it is done.
ONCE = (("read", 60, "EIO EINTR SHORT"), ("write", 60, "EIO EINTR SHORT"),
        ("recv", 200, "ECONNRESET EINTR ETIMEDOUT EOF SHORT"),
        ("send", 200, "EPIPE ECONNRESET EINTR SHORT"),
        ("connect", 8, "ETIMEDOUT EHOSTUNREACH EADDRNOTAVAIL EMFILE"),
        ("socket", 8, "EMFILE ENOBUFS ENOMEM"), ("accept", 20, "ECONNABORTED"),
        ("open", 60, "EMFILE EACCES EIO ENOENT"), ("lock", 60, "ENOLCK EAGAIN"),
        ("stat", 60, "EIO"), ("mmap", 8, "ENOMEM"), ("epoll", 60, "ENOMEM"),
        ("pipe", 4, "EMFILE"), ("fork", 2, "EAGAIN ENOMEM"),
        ("fsync", 4, "EIO ENOSPC"), ("allocate", 6, "ENOSPC EIO"))
MEMORY = (("malloc", 4000), ("memory", 500), ("memory", 5000),
          ("memory", 20000))
SAMPLES = 4


def _drawn(rng):
    """Orders that this run has, of those that there could be."""
    for call, most, errors in ONCE:
        for error in errors.split():
            yield _failing(f"{call}:{rng.randint(1, most)}:{error}", False)
        yield _failing(f"{call}:{rng.randint(1, most)}:KILL", True)
    for call, most in MEMORY:
        for _ in range(SAMPLES):
            yield _failing(f"{call}:{rng.randint(1, most)}:ENOMEM", True)


def calls(rng):
    for orders in ORDERS:
        yield _failing(orders, False)
    for orders in KILLING:
        yield _failing(orders, True)
    yield from _drawn(rng)


# ---- clocks ---------------------------------------------------------------

def _clock(ahead_s):
    """Of a lane that starts now, until there is another one."""
    def begin(site):
        site.origin.lane_environment(
            LD_PRELOAD=built("clock.so"), CLOCK_AHEAD_S=ahead_s,
            CLOCK_WORD="unix")
        site.origin.reload()

    def act(site):
        # where it finds the certificate not valid nothing goes
        while_mail_goes(site, 1)

    def end(site):
        site.origin.lane_environment(CLOCK_AHEAD_S=0)
        site.origin.reload()
    return Deed(f"clock: {ahead_s:+} s", begin, act, end)


def clocks():
    for hours in (1, 5, 24, 24 * 400):
        for ahead_s in (hours * 3600, -hours * 3600):
            yield _clock(ahead_s)


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


def _append(path):
    with open(path, "ab") as f:
        f.write(bytes(100000))


def _a_directory(path):
    os.unlink(path)
    os.mkdir(path)


def _a_link(path):
    """To what a lane may read, and must not take for its own."""
    os.unlink(path)
    os.symlink("/etc/passwd", path)


def _damage(how, also_reload, kind=""):
    def act(site):
        for path in site.state_files(kind):
            with contextlib.suppress(FileNotFoundError):
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


def _no_longer_odd(site):
    for path in site.state_files():
        if os.path.islink(path):
            os.unlink(path)
        elif os.path.isdir(path):
            os.rmdir(path)
    site.origin.reload()


def _closed_directory(site):
    wait_until(site.state_files, 30, "a lane has begun")
    os.chmod(site.state_directory(), 0)
    site.origin.reload()


def _open_directory(site):
    os.chmod(site.state_directory(), 0o700)
    site.origin.reload()


DAMAGES = (_cut, _cut_short, _zero, _noise, _remove, _another_version, _append)
KINDS = ("board", "slots.", "rates.", "connects.", "pace.", "domains.",
         "alarms.", "fleet.", "steer")


def files():
    for kind in KINDS:
        for how in DAMAGES:
            name = how.__name__.strip("_").replace("_", " ")
            yield Deed(f"state file {kind}: {name}, and a reload",
                       act=_damage(how, True, kind))
    for how in (_a_directory, _a_link):
        name = how.__name__.strip("_").replace("_", " ")
        yield Deed(f"state files: {name}", act=_damage(how, True),
                   end=_no_longer_odd)
    yield Deed("state directory: closed", act=_closed_directory,
               end=_open_directory)
    for how in DAMAGES:
        name = how.__name__.strip("_").replace("_", " ")
        yield Deed(f"state files: {name}", act=_damage(how, False))
        yield Deed(f"state files: {name}, and a reload",
                   act=_damage(how, True))
    yield Deed("state files: another's", act=_foreign_owner, end=_own_again)


# ---- settings -------------------------------------------------------------

def _set(name, value):
    return lambda site: site.origin.set(reload=True, **{name: value})


def _set_table(name, value):
    def begin(site):
        with open(os.path.join(site.origin.etc, "broken"), "w",
                  encoding="ascii") as f:
            f.write("/a(b/ nothing\nno pattern at all\n/[/ x\n")
        site.origin.set(reload=True, **{name: value})
    return begin


def _wrong_password(site):
    site.give_password("another")
    site.origin.reload()


def _right_password(site):
    site.give_password(site.sim.login[1])
    site.origin.reload()


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
        yield Deed(f"main.cf: {name} = {value}", _set(name, value), nothing,
                   _set(name, good))
    yield Deed("password table: another password", _wrong_password, nothing,
               _right_password)
    for name, value in (
            ("smtp_tls_policy_maps", "regexp:$config_directory/broken"),
            ("smtp_tls_policy_maps", "hash:$config_directory/nothing"),
            ("smtp_generic_maps", "pcre:$config_directory/broken"),
            ("smtp_header_checks", "regexp:$config_directory/broken"),
            ("smtp_delivery_status_filter", "nonsense:x")):
        yield Deed(f"main.cf: {name} = {value}", _set_table(name, value),
                   nothing, _set(name, None))
    yield Deed("password table: gone", _without_table, nothing, _with_table)
    yield Deed("password table: half", _cut_table, nothing, _whole_table)


def all_deeds(rng):
    return [*smarthost(), *processes(), *calls(rng), *clocks(), *files(),
            *settings()]
