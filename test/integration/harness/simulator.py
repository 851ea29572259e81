"""build/smarthost (the provider simulator) and build/delayproxy."""
import glob
import json
import os
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass

from . import paths
from .daemon import Daemon
from .messages import Taken, examine
from .upstream import PASSWORD, USER, client_settings
from .wait import wait_until


@dataclass(frozen=True)
class Entry:
    """One ledger line: one accepted message."""
    run: int            # of the program, from 1: counts its starts
    time_us: int
    connection: int
    number: int         # on its connection, from 1
    sender: str
    recipients: tuple
    mail_parameters: str
    rcpt_parameters: tuple
    size: int
    sha256: str         # of the content as received
    id: str             # X-Lane-Id
    verb: str           # DATA or BDAT
    client_port: int
    login: str


def _unescape(text):
    raw = re.sub(r"\\x([0-9A-Fa-f]{2})",
                 lambda m: chr(int(m[1], 16)), text)
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def _entry(run, line):
    f = line.rstrip("\n").split("\t")
    return Entry(run, int(f[0]), int(f[1]), int(f[2]), _unescape(f[3]),
                 tuple(_unescape(r) for r in f[4].split(",")), f[5],
                 # not where ORCPT=rfc822;address has one
                 tuple(re.split(r"(?<!=rfc822)(?<!=utf-8);", f[6])),
                 int(f[7]), f[8], _unescape(f[9]), f[10], int(f[11]), f[12])


def _ready_ports(path):
    """{"tcp": port, "tls": port} once the file is whole, else None."""
    try:
        with open(path, encoding="ascii") as f:
            lines = f.read().splitlines()
    except FileNotFoundError:
        return None
    return {line.split()[0]: int(line.rpartition(":")[2]) for line in lines}


class Simulator(Daemon):
    """Options are those of tools/smarthost/README.md in Python spelling:
    Simulator(base, certs, max_connections=20, no_chunking=True).

    script    rules of the scripted replies and faults
    store     keep contents, so that taken() judges bodies too
    sync      ledger line on disk before the 250 (False: every 100 ms)
    login     (user, password), required; None: no AUTH needed
    demands   mail only after a login (False: without one, too)
    """

    def __init__(self, base, certs, name="simulator", pair=None, script="",
                 store=False, sync=True, login=(USER, PASSWORD),
                 demands=True, transcript=False, **options):
        super().__init__(base, name)
        self.certs = certs
        self.pair = pair or certs.good
        self.login = login
        self.options = options
        self.port = self.tls_port = None
        self.run = 0
        self.stores = store
        self.syncs = sync
        self.keeps_transcript = transcript
        self.demands = demands
        self._write_script(script)

    def command(self):
        # not the kernel's choice: while it is down an outgoing connection
        # may take one of those
        self.port = self.port or paths.free_port()
        self.tls_port = self.tls_port or paths.free_port()
        args = [paths.built("smarthost"),
                "--listen", f"127.0.0.1:{self.port}",
                "--listen-tls", f"127.0.0.1:{self.tls_port}",
                "--cert", self.pair.cert, "--key", self.pair.key,
                "--script", self.path("script.txt"),
                "--ledger", self._ledger_path(self.run),
                "--stats", self.path("stats.txt"),
                "--ready-file", self.path("ready")]
        if self.login:
            args += ["--user", ":".join(self.login)]
            if self.demands:
                args.append("--require-auth")
        if self.syncs:
            args.append("--ledger-sync")
        if self.stores:
            os.makedirs(self._store_path(self.run), exist_ok=True)
            args += ["--store", self._store_path(self.run)]
        if self.keeps_transcript:
            args += ["--transcript", self.path("transcript.txt")]
        for name, value in self.options.items():
            if value is False or value is None:
                continue
            args.append("--" + name.replace("_", "-"))
            if value is not True:
                args.append(str(value))
        return args

    def start(self, timeout_s=20):
        """Also after stop() or kill9(): same ports, a further ledger."""
        self.run += 1
        if os.path.exists(self.path("ready")):
            os.unlink(self.path("ready"))
        return super().start(timeout_s)

    def is_ready(self):
        ports = _ready_ports(self.path("ready"))
        if not ports or len(ports) < 2:
            return False
        self.port, self.tls_port = ports["tcp"], ports["tls"]
        return True

    def client_settings(self, origin, wrapped=False, port=None):
        return client_settings(
            origin, port or (self.tls_port if wrapped else self.port),
            self.certs.ca.cert, wrapped, self.login)

    def _write_script(self, text):
        with open(self.path("script.new"), "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(self.path("script.new"), self.path("script.txt"))

    def script(self, text, timeout_s=10):
        """New rules from now on."""
        before = self.stats()["scripts_read"]
        self._write_script(text)
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.stats()["scripts_read"] > before, timeout_s,
                   "script read; is there an error in it?")

    def stats(self, timeout_s=10):
        """Statistics as of now."""
        path = self.path("stats.txt")
        if self.process is not None:
            before = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
            asked = time.monotonic() - 1

            def written():
                nonlocal asked
                # once more when the file system's clock did not move on
                if time.monotonic() - asked >= 1:
                    self.signal(signal.SIGUSR1)
                    asked = time.monotonic()
                return (os.path.exists(path)
                        and os.stat(path).st_mtime_ns > before)
            wait_until(written, timeout_s, "statistics written")
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def _ledger_path(self, run):
        return self.path(f"ledger{run}.txt")

    def _store_path(self, run):
        return self.path(f"store{run}")

    def ledger(self):
        """Entries of all runs so far."""
        entries = []
        for run in range(1, self.run + 1):
            try:
                with open(self._ledger_path(run), encoding="latin-1",
                          newline="\n") as f:
                    # in one piece: the simulator writes meanwhile
                    whole = f.read().rpartition("\n")[0]
                entries += [_entry(run, line)
                            for line in whole.split("\n") if line]
            except FileNotFoundError:
                pass
        return entries

    def taken(self):
        """With store: judged by content; without: by envelope and id."""
        if not self.stores:
            return [Taken(e.id, e.sender, e.recipients, "")
                    for e in self.ledger()]
        return [examine(content, e.sender, e.recipients)
                for e, content in zip(self.ledger(), self.contents())]

    def contents(self):
        """Stored octets of each ledger line, in its order."""
        found = []
        for run in range(1, self.run + 1):
            names = glob.glob(self._store_path(run) + "/*.eml")
            for name in sorted(names, key=lambda n: int(
                    os.path.basename(n)[:-4])):
                with open(name, "rb") as f:
                    found.append(f.read())
        return found

    def wait_taken(self, count, timeout_s=60):
        """Wait until so many messages were accepted."""
        return wait_until(
            lambda: len(self.ledger()) >= count, timeout_s,
            lambda: f"{count} messages taken, {len(self.ledger())} were")

    def per_connection(self):
        """Accepted messages of each (run, connection) that had any."""
        return Counter((e.run, e.connection) for e in self.ledger())

    def transcript(self):
        with open(self.path("transcript.txt"), encoding="latin-1") as f:
            return f.read()


class DelayProxy(Daemon):
    """A long link: delay_ms one way (RTT is twice that), octets per second
    in each direction; initial_window and loss as its README.md says. Started
    after its upstream."""

    def __init__(self, base, to_port, delay_ms, bandwidth=None,
                 name="delayproxy", initial_window=None, loss=None):
        super().__init__(base, name)
        self.to_port, self.delay_ms = to_port, delay_ms
        self.options = {"--bandwidth": bandwidth, "--loss": loss,
                        "--initial-window": initial_window}
        self.port = None

    def command(self):
        args = [paths.built("delayproxy"), "--listen", "127.0.0.1:0",
                "--to", f"127.0.0.1:{self.to_port}",
                "--delay", str(self.delay_ms),
                "--ready-file", self.path("ready")]
        for name, value in self.options.items():
            if value:
                args += [name, str(value)]
        return args

    def is_ready(self):
        ports = _ready_ports(self.path("ready"))
        self.port = ports["tcp"] if ports else None
        return self.port is not None
