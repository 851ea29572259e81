"""One private Postfix: its own configuration, queue, data directory, log
and port. Nothing of the system's Postfix is read or written.

  base/NAME/etc       main.cf, master.cf, maps    (config_directory)
  base/NAME/q         queue; base/NAME/q/mail.log is the log
  base/NAME/data      data_directory
  base/NAME/libexec   daemon_directory: Postfix's own programs and build/lane
  base/NAME/mail      Maildirs of domains that are delivered here
"""
import contextlib
import glob
import grp
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field

from . import described, inject, paths
from .maillog import MailLog
from .process import awaits_events, kill_session, session_processes
from .wait import Stopwatch, wait_until

MAIL_OWNER = "postfix"
SETGID_GROUP = "postdrop"
SYSTEM_DAEMONS = "/usr/lib/postfix/sbin"
# Mail to these stays here: senders of the tests, so that bounces end up in
# a mailbox, and a domain that stands for the site's own users.
LOCAL_DOMAINS = ("sender.example", "local.example")

# process names are cut after 15 octets
DECIDING = ("qmgr", "trivial-rewrite")
SHOWN_S = 3             # for a lane to show what it has done

# What postfix(1) and its script leave of the environment, as far as master
# hands it on.
MASTER_ENVIRONMENT = {"LANG": "C", "PATH": "/bin:/usr/bin:/sbin:/usr/sbin"}

_programs = None        # directory of the copy

# What the start-up script makes when it checks everything, which is slow.
QUEUE_DIRECTORIES = dict.fromkeys(
    ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
     "incoming", "private", "saved", "trace"), 0o700)
QUEUE_DIRECTORIES.update(maildrop=0o730, public=0o710, pid=0o755)


@dataclass
class Service:
    """One master.cf entry; options become -o name=value."""
    name: str
    type: str
    command: str
    private: str = "-"
    unpriv: str = "-"
    chroot: str = "n"
    wakeup: str = "-"
    limit: str = "-"
    options: dict = field(default_factory=dict)

    def line(self):
        words = [self.name, self.type, self.private, self.unpriv,
                 self.chroot, self.wakeup, str(self.limit), self.command]
        for name, value in self.options.items():
            text = f"{name}={value}"
            if any(c.isspace() for c in text):
                text = f"{{ {name} = {value} }}"
            words += ["\n    -o", text]
        return " ".join(words)


def _base_services():
    return [
        Service("pickup", "unix", "pickup", private="n", wakeup="60?",
                limit=1),
        Service("cleanup", "unix", "cleanup", private="n", limit=0),
        Service("qmgr", "unix", "qmgr", private="n", wakeup="300", limit=1),
        Service("tlsmgr", "unix", "tlsmgr", wakeup="1000?", limit=1),
        Service("rewrite", "unix", "trivial-rewrite"),
        Service("bounce", "unix", "bounce", limit=0),
        Service("defer", "unix", "bounce", limit=0),
        Service("trace", "unix", "bounce", limit=0),
        Service("verify", "unix", "verify", limit=1),
        Service("flush", "unix", "flush", private="n", wakeup="1000?",
                limit=0),
        Service("proxymap", "unix", "proxymap"),
        Service("proxywrite", "unix", "proxymap", limit=1),
        Service("smtp", "unix", "smtp"),
        Service("relay", "unix", "smtp"),
        Service("showq", "unix", "showq", private="n"),
        Service("error", "unix", "error"),
        Service("retry", "unix", "error"),
        Service("discard", "unix", "discard"),
        Service("virtual", "unix", "virtual", unpriv="n"),
        Service("anvil", "unix", "anvil", limit=1),
        Service("scache", "unix", "scache", limit=1),
        Service("tlsproxy", "unix", "tlsproxy", limit=0),
        Service("postlog", "unix-dgram", "postlogd", private="n", limit=1),
    ]


def _link_programs(folder):
    """Postfix's own into a folder: hard links to one copy for all instances of
    this process, where they are on one file system."""
    global _programs
    if _programs is None:
        _programs = paths.make_base()
        for program in glob.glob(SYSTEM_DAEMONS + "/*"):
            shutil.copy2(program, _programs)
    for program in os.listdir(_programs):
        whole = os.path.join(_programs, program)
        try:
            os.link(whole, os.path.join(folder, program))
        except OSError:
            shutil.copy2(whole, folder)


class Postfix:
    """start() and stop() it, or let the `postfix_factory` fixture do that."""

    def __init__(self, base, name="origin", **main):
        self.name = name
        self.home = os.path.join(base, name)
        self.etc = os.path.join(self.home, "etc")
        self.queue_directory = os.path.join(self.home, "q")
        self.data_directory = os.path.join(self.home, "data")
        self.libexec = os.path.join(self.home, "libexec")
        self.mail = os.path.join(self.home, "mail")
        self.log = MailLog(
            os.path.join(self.queue_directory, "mail.log"),
            os.path.join(self.queue_directory, "public/postlog"))
        self._passed_over = self.log.follow(
            "skipped, still being delivered")
        self.port = paths.free_port()
        self.session = None
        self.services = {}
        self.environment = {}   # lane's
        self._resolv_conf = ""
        for service in _base_services():
            self.services[service.name, service.type] = service
        self.service("smtpd", self.smtp_endpoint(), "inet", private="n")
        self._make_directories()
        self._run_delay = None  # while transports are held
        self.tail = ""      # text behind what `main` has
        self.main = self._base_main()
        self.main.update(main)
        self.write()

    # configuration

    def smtp_endpoint(self):
        return f"127.0.0.1:{self.port}"

    def _make_directories(self):
        owner = pwd.getpwnam(MAIL_OWNER)
        for path in (self.home, self.etc, self.queue_directory,
                     self.libexec):
            os.makedirs(path)
            os.chmod(path, 0o755)
        os.makedirs(self.data_directory, 0o700)
        os.chown(self.data_directory, owner.pw_uid, owner.pw_gid)
        group = grp.getgrnam(SETGID_GROUP).gr_gid
        for name, mode in QUEUE_DIRECTORIES.items():
            path = os.path.join(self.queue_directory, name)
            os.mkdir(path)
            os.chmod(path, mode)
            if name != "pid":
                os.chown(path, owner.pw_uid, group if mode & 0o070 else -1)
        os.makedirs(self.mail)
        os.chown(self.mail, owner.pw_uid, owner.pw_gid)
        # copies: `postfix check` warns of links that leave the directory
        _link_programs(self.libexec)
        if os.path.exists(paths.LANE):
            shutil.copy2(paths.LANE, self.libexec)
            os.chmod(os.path.join(self.libexec, "lane"), 0o755)
            if paths.is_sanitized():
                self._watch_sanitizers()
        if os.path.exists(paths.built("lanestat")):
            shutil.copy2(paths.built("lanestat"), self.libexec)

    def lane_environment(self, limits="", **variables):
        """lane runs with these variables from its next start on; limits:
        options of ulimit ("-n 40"). Nothing of it is seen by Postfix's own
        programs, which clean their environment."""
        lane = os.path.join(self.libexec, "lane")
        real = os.path.join(self.libexec, "real/lane")
        if not os.path.exists(real):
            os.mkdir(os.path.dirname(real))
            os.rename(lane, real)
        self.environment.update(variables)
        words = [shlex.quote(f"{name}={value}")
                 for name, value in self.environment.items()]
        inside = "" if not self._resolv_conf else (
            "unshare -m sh -c 'mount --bind \"$0\" /etc/resolv.conf && "
            f"exec \"$@\"' {self._resolv_conf} ")
        with open(lane + ".new", "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o755)
            f.write("#!/bin/sh\n" + (f"ulimit {limits}\n" if limits else "")
                    + f"exec {inside}env {' '.join(words)} {real} \"$@\"\n")
        os.rename(lane + ".new", lane)

    def lane_resolves_by(self, conf):
        """lane, from its next start on, sees this file as resolv.conf."""
        self._resolv_conf = conf
        self.lane_environment()

    def lane_faults(self, orders, limits="", once=False):
        """Make calls of lane fail: test/faults/faults.c. What failed is
        told by faults(). once: those of the next process alone."""
        path = os.path.join(self.queue_directory, "faults.txt")
        mark = path + ".once"
        if os.path.exists(mark):
            os.unlink(mark)
        with open(path, "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o666)
        self.lane_environment(
            limits, LD_PRELOAD=paths.built("faults.so"), FAULTS=orders,
            FAULTS_PROGRAM="lane", FAULTS_LOG=path,
            **({"FAULTS_ONCE": mark} if once else {}))

    def faults(self, kind="fault"):
        """[pid, kind, call, number, error] of what lane_faults() ordered;
        kind "count": [pid, kind, call, number] of each class."""
        path = os.path.join(self.queue_directory, "faults.txt")
        with open(path, encoding="ascii") as f:
            whole = f.read().rpartition("\n")[0]
        lines = [line.split() for line in whole.splitlines()]
        wrong = [line for line in lines if line[1] == "wrong"]
        assert not wrong, wrong
        return [line for line in lines if line[1] == kind]

    def _watch_sanitizers(self):
        """Reports go to files in the queue directory, where a lane also is
        after chroot. Leaks: lane does not let itself be traced."""
        where = os.path.join(self.queue_directory, "sanitizer")
        os.mkdir(where)
        os.chmod(where, 0o777)
        options = "log_path=sanitizer/lane:exitcode=77"
        # link order: scripts/slow-disk preloads a library for everybody
        self.lane_environment(
            ASAN_OPTIONS=options + ":detect_leaks=0:abort_on_error=0"
            ":verify_asan_link_order=0",
            UBSAN_OPTIONS=options + ":print_stacktrace=1")

    def sanitizer_reports(self):
        """What the sanitizers found in lanes of this instance."""
        where = os.path.join(self.queue_directory, "sanitizer")
        found = self.log.lines("exit status 77")
        for name in sorted(glob.glob(where + "/*")):
            with open(name, encoding="utf-8", errors="replace") as f:
                found.append(f.read())
        return found

    def _base_main(self):
        owner = pwd.getpwnam(MAIL_OWNER)
        return {
            # reports are files of their own
            **({"lane_sandbox": "log"} if paths.is_sanitized() else {}),
            "compatibility_level": "3.6",
            "queue_directory": self.queue_directory,
            "data_directory": self.data_directory,
            "daemon_directory": self.libexec,
            "mail_owner": MAIL_OWNER,
            "setgid_group": grp.getgrnam(SETGID_GROUP).gr_name,
            "maillog_file": self.log.path,
            "maillog_file_prefixes": self.home,
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": f"{self.name}.example",
            "mynetworks": "127.0.0.0/8",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "virtual_mailbox_domains": ", ".join(LOCAL_DOMAINS),
            "virtual_mailbox_base": self.mail,
            "virtual_mailbox_maps": "static:Maildir/",
            "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}",
            "virtual_minimum_uid": "1",
            "smtpd_recipient_restrictions":
                "permit_mynetworks, reject_unauth_destination",
            "smtpd_peername_lookup": "no",
            "smtpd_client_connection_count_limit": "0",
            "default_process_limit": "100",
            # a failed delivery is tried again soon
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "queue_run_delay": "1s",
            "transport_retry_time": "1s",
            "biff": "no",
        }

    def write(self):
        """Write main.cf and master.cf from `main` and `services`."""
        self._write_file("main.cf", "".join(
            f"{name} = {value}\n" for name, value in self.main.items())
            + self.tail)
        self._write_file("master.cf", "".join(
            service.line() + "\n" for service in self.services.values()))

    def _write_file(self, name, text, mode=0o644):
        """Whole or not at all: a reload may read it at any time."""
        path = os.path.join(self.etc, name)
        with open(path + ".new", "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)
        # Postfix programs wait up to 2 s for a main.cf to be at rest
        rested = time.time() - 10
        os.utime(path + ".new", (rested, rested))
        os.rename(path + ".new", path)
        return path

    def set(self, reload=False, **main):
        """Change main.cf; None removes a name."""
        for name, value in main.items():
            if value is None:
                self.main.pop(name, None)
            else:
                self.main[name] = value
        self.write()
        if reload:
            self.reload()

    def service(self, command, name, type="unix", options=None, **fields):
        """Add or replace a master.cf entry. fields: chroot, unpriv, limit,
        wakeup, private."""
        self.services[name, type] = Service(
            name, type, command, options=dict(options or {}), **fields)
        if os.path.exists(os.path.join(self.etc, "main.cf")):
            self.write()

    def drop_service(self, name, type="unix"):
        del self.services[name, type]
        self.write()

    def agent(self, agent, name, words="", options=None, **fields):
        """A transport `name` served by agent "lane" or "smtp".

        words     behind the command, for lane only: "class=fast"
        options   -o; lane_* are left out for smtp(8), which has no such
                  parameters
        """
        options = dict(options or {})
        if agent == "lane":
            fields.setdefault("limit", 1)
            command = f"lane {words}".strip()
        else:
            command = agent
            options = {k: v for k, v in options.items()
                       if not k.startswith("lane_")}
        self.service(command, name, options=options, **fields)

    def map(self, name, entries, type="hash", mode=0o644):
        """Make a look-up table below etc/; returns "type:/path"."""
        path = self._write_file(name, "".join(
            f"{key} {value}\n" for key, value in entries.items()), mode)
        if type in ("hash", "btree", "lmdb", "cdb"):
            self.command("postmap", f"{type}:{path}")
        return f"{type}:{path}"

    def relay_to(self, upstream, transport=None, wrapped=False, port=None,
                 **main):
        """Send everything foreign to an upstream, with its login and trust
        anchor, through `transport` (default smtp). wrapped: implicit TLS;
        port: of a proxy in front of the upstream."""
        self.main.update(upstream.client_settings(self, wrapped, port))
        if transport:
            self.main["default_transport"] = transport
        self.main.update(main)
        self.write()

    def _wait_shown(self):
        """Until each lane has gone to sleep once: it shows what it has done
        before, but after it has told the queue manager and the log. One that
        is busy all the time has shown it too, by then."""
        left = set(self.pids("lane"))

        def asleep():
            left.difference_update([p for p in left if awaits_events(p)])
            return not left
        watch = Stopwatch()
        wait_until(lambda: asleep() or watch.seconds() >= SHOWN_S)

    @contextlib.contextmanager
    def held_still(self, name):
        """What processes of this program show stays so meanwhile."""
        self._wait_shown()
        pids = self.pids(name)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield pids
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def postlane(self, *words, user=None):
        """A run of postlane(1) for this instance."""
        self._wait_shown()
        program = os.path.join(self.home, "postlane")
        if not os.path.exists(program):     # where every user may run it
            shutil.copy2(paths.built("postlane"), program)
        done = subprocess.run(
            [program, "-c", self.etc, *words], check=False, user=user,
            capture_output=True, text=True, timeout=300)
        described.check(words, done.stdout)
        return done

    def lanestat(self, **fields):
        """A master.cf entry of lanestat(8); returns its port."""
        port = paths.free_port()
        fields.setdefault("wakeup", "60")
        self.service("lanestat", f"127.0.0.1:{port}", "inet", private="n",
                     limit=1, **fields)
        return port

    def lanes(self):
        """What postlane shows: accounts, lanes, boards."""
        return json.loads(self.postlane("-j", "status").stdout)

    def lane(self, name):
        [lane] = (e for e in self.lanes()["lanes"] if e["name"] == name)
        return lane

    # commands

    def command(self, program, *args, check=True, input=None):
        """Run a Postfix command on this instance."""
        flag = "-C" if program == "sendmail" else "-c"
        done = subprocess.run(
            [program, flag, self.etc, *args], input=input,
            capture_output=True, text=True, check=False, timeout=300)
        if check and done.returncode != 0:
            raise AssertionError(
                f"{program} {' '.join(args)}: status {done.returncode}\n"
                f"{done.stdout}{done.stderr}")
        return done

    def postconf(self, *names):
        """Effective value of one parameter (with -x), or list of several."""
        out = self.command("postconf", "-xh", *names).stdout.splitlines()
        return out[0] if len(names) == 1 else out

    def start(self, timeout_s=30, checked=False):
        """As `postfix start`, whose script takes as long as master itself;
        checked: with it and its integrity checks."""
        mark = self.log.mark()
        if checked:
            self.command("postfix", "start")
        else:
            self._start_master()
        self.session = wait_until(self._master_pid, timeout_s, "master pid")
        self.log.wait(r"daemon started", timeout_s, since=mark)
        return self

    def _start_master(self):
        # returns once it serves
        done = subprocess.run(
            [os.path.join(self.libexec, "master"), "-c", self.etc, "-w"],
            env=MASTER_ENVIRONMENT, cwd=self.queue_directory, check=False,
            capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise AssertionError(f"master: status {done.returncode}\n"
                                 f"{done.stderr}{self.log.text()}")

    def _master_pid(self):
        path = os.path.join(self.queue_directory, "pid/master.pid")
        try:
            with open(path, encoding="ascii") as f:
                return int(f.read().strip() or 0)
        except FileNotFoundError:
            return 0

    def stop(self, timeout_s=30):
        """Orderly stop; waits until no process of the instance is left."""
        if self.session is None:
            return
        # as `postfix stop`, which kills what is there after five seconds
        os.kill(self.session, signal.SIGTERM)
        wait_until(lambda: not self.processes(), timeout_s,
                   lambda: f"no process left of {self.processes()}")
        self.session = None

    def reload(self, timeout_s=30, checked=False):
        """checked: with `postfix reload`, which looks through the queue. What
        decides where mail goes has gone with the old settings."""
        mark = self.log.mark()
        decide = [p for p in self.processes() if p.name in DECIDING]
        old = {p.pid for p in decide}
        if checked:
            self.command("postfix", "reload")
        else:
            os.kill(self.session, signal.SIGHUP)
        self.log.wait(r"reload -- version", timeout_s, since=mark)
        # it reads main.cf only now, as soon as that is at rest
        wait_until(lambda: awaits_events(self.session), timeout_s,
                   "master has read its configuration")
        wait_until(lambda: not old & {p.pid for p in self.processes()},
                   timeout_s, lambda: f"none left of {old}: "
                   f"{self.processes()}")
        if "qmgr" in [p.name for p in decide]:
            wait_until(self._has_queue_manager, timeout_s, "a queue manager")

    def _has_queue_manager(self):
        """master wakes it at a reload, and the old one, on its way out, may be
        who hears that: the next time is in five minutes."""
        if self.pids("qmgr"):
            return True
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.queue_directory, "public/qmgr"))
            s.sendall(b"W")
        return False

    def flush(self):
        self.command("postqueue", "-f")

    def destroy(self):
        """Whatever state it is in, leave no process behind."""
        session = self.session or self._master_pid()
        if session:
            kill_session(session)
        self.session = None

    # what is going on

    def queue(self, queue_name=None):
        """postqueue -j as a list of dictionaries, one per message: one that
        changes its queue meanwhile is listed in both."""
        out = self.command("postqueue", "-j").stdout
        entries = {}
        for line in out.splitlines():
            entry = json.loads(line)
            entries[entry["queue_id"]] = entry
        return [e for e in entries.values()
                if queue_name in (None, e["queue_name"])]

    def queued(self, *names):
        """Files in these queues, counted without asking a daemon."""
        return len({file for name in names for _, _, files in os.walk(
            os.path.join(self.queue_directory, name)) for file in files})

    def queue_count(self):
        """What is between active and deferred goes both ways: one of three
        looks finds a file that is moved meanwhile."""
        return self.queued("maildrop", "incoming", "active", "deferred",
                           "active", "hold")

    def wait_empty(self, timeout_s=60):
        """A queue manager that has just started passes over what a process
        from before still delivers, and comes back to it in five minutes:
        sooner, when it is asked."""
        due = 0

        def empty():
            nonlocal due
            if self.queue_count() == 0:
                return True
            if self._passed_over.read() and time.monotonic() >= due:
                self._passed_over.found.clear()
                due = time.monotonic() + 1
                self.flush()
            return False
        wait_until(empty, timeout_s,
                   lambda: f"queue empty; {self.queue_count()} left; log:\n"
                   + "\n".join(self.log.text().splitlines()[-10:]))
        self.log.wait_written()

    def processes(self, name=None):
        """Living processes of this instance, all or of one program."""
        if self.session is None:
            return []
        return [p for p in session_processes(self.session)
                if name in (None, p.name)]

    def pids(self, name):
        return [p.pid for p in self.processes(name)]

    def wait_pids(self, name, timeout_s=30):
        """Pids of a program, at least one."""
        return wait_until(lambda: self.pids(name), timeout_s,
                          f"a {name} process")

    def kill9(self, pid):
        """SIGKILL one process of this instance; True when it was there."""
        if pid not in [p.pid for p in self.processes()]:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def mailbox(self):
        """Messages delivered here (bounces, local mail), as bytes."""
        found = []
        for path in sorted(glob.glob(self.mail + "/Maildir/new/*")):
            with open(path, "rb") as f:
                found.append(f.read())
        return found

    # mail in

    def inject(self, messages, connections=None, options=()):
        inject.by_smtp(self.port, messages, connections, options)

    def sendmail(self, message, *options):
        inject.by_sendmail(self.etc, message, *options)

    def smtp_source(self, count, sender="load@sender.example",
                    recipient="load@rcpt.example", **options):
        inject.by_smtp_source(self.port, count, sender, recipient,
                              **options)

    def hold_transports(self, *names):
        """Queue mail for these transports without trying it: a prepared
        queue. release_transports() lets it go."""
        # Tried once each: thousands that come back every second would never
        # be at rest.
        self._run_delay = self.main["queue_run_delay"]
        self.set(defer_transports=" ".join(names), queue_run_delay="1h",
                 reload=True)

    def release_transports(self, timeout_s=60):
        # What error(8) has in hand at the reload is passed over by the new
        # queue manager, which comes back to it in five minutes.
        wait_until(lambda: not self.queued("incoming", "active"), timeout_s,
                   "what is held is out of the way")
        self.set(defer_transports=None, queue_run_delay=self._run_delay,
                 reload=True)
        self.flush()


def remove_instance(instance):
    """Take one down and delete its files."""
    instance.destroy()
    shutil.rmtree(instance.home, ignore_errors=True)
