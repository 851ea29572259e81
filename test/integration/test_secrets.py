"""A password and the login's dialogue: where they may be, which is the table
and the memory of a lane, and where they are not, which is everywhere else."""
import base64
import os
import socket
import subprocess
import threading

import pytest

from harness import messages
from harness.fleet import Engine
from harness.process import session_processes
from harness.simulator import Simulator
from harness.wait import wait_until
from test_throttle import PROVIDERS

LOGIN = ("planted-login-7Qz", "planted.Pass-9Xw4")


def forms(login=LOGIN):
    """All that a password looks like on its way."""
    user, password = (word.encode() for word in login)
    plain = b"\0" + user + b"\0" + password
    # the middle of a Base64 text is the same wherever it begins
    return [password, base64.b64encode(password), base64.b64encode(plain),
            base64.b64encode(user + b"\0" + plain), plain]


def shown(octets, login=LOGIN):
    return [form for form in forms(login) if form in octets]


class Watcher(threading.Thread):
    """Reads arguments and environments of all processes of an instance for as
    long as it lives, those of its shortest children too."""

    def __init__(self, origin):
        super().__init__(daemon=True)
        self.origin, self.over = origin, threading.Event()
        self.seen, self.found = set(), []

    def run(self):
        while not self.over.is_set():
            for process in session_processes(self.origin.session or 0):
                for name in ("cmdline", "environ"):
                    self._look(process.pid, name)

    def _look(self, pid, name):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as f:
                octets = f.read()
        except OSError:
            return
        if name == "cmdline":
            self.seen.update(map(os.path.basename, octets.split(b"\0")))
        if shown(octets):
            self.found.append((name, octets))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def files_with_secret(*tops, but=()):
    found = []
    for top in tops:
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.isfile(path) or path in but:
                    continue
                with open(path, "rb") as f:
                    if shown(f.read()):
                        found.append(path)
    return found


def teller(base):
    """A command for alarms that writes down all that it is given."""
    path, out = os.path.join(base, "teller"), os.path.join(base, "told")
    os.mkdir(out)
    os.chmod(out, 0o777)
    with open(path, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\n{{ echo "$@"; env; cat; }} >{out}/$$.tmp 2>&1\n'
                f"mv {out}/$$.tmp {out}/$$\n")
    os.chmod(path, 0o755)
    return path, out


def memory(pid):
    """What is in the writable memory of a process, region by region."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as f:
        regions = [line.split() for line in f]
    with open(f"/proc/{pid}/mem", "rb") as f:
        for region in regions:
            first, last = (int(n, 16) for n in region[0].split("-"))
            if region[1].startswith("rw"):
                f.seek(first)
                yield f.read(last - first)


def effective_values(origin):
    return subprocess.run(
        [os.path.join(origin.libexec, "lane"), "-P"], check=False,
        env={**os.environ, "MAIL_CONFIG": origin.etc}, capture_output=True)


TABLES = {
    "hash": None,
    "union": "unionmap:{{inline:{{ {{{host} = {login}}} }}}}",
    "pipe": "pipemap:{{inline:{{ {{{host} = key}} }}, "
            "inline:{{ {{key = {login}}} }}}}",
    "random": "randmap:{{{login}}}",
    "static": "static:{{{login}}}",
    "network": "cidr:{{{{0.0.0.0/0 {login}}}}}, static:{login}",
}


def start(base, certs, origin, started, table, words="class=fast -v",
          options=None, script="", mechs="PLAIN", **main):
    sim = started(Simulator(base, certs, login=LOGIN, script=script,
                            mechs=mechs))
    origin.agent("lane", "fast", words, {
        "lane_provider_directory": PROVIDERS, "lane_alert_retry": "1s",
        **(options or {})})
    origin.relay_to(sim, transport="fast", **main)
    if table:
        origin.set(smtp_sasl_password_maps=table.format(
            host=f"[127.0.0.1]:{sim.port}", login=":".join(LOGIN)))
    os.chmod(os.path.join(origin.etc, "main.cf"), 0o640)
    started(origin)
    return sim


@pytest.mark.parametrize("kind", TABLES)
def test_password_is_shown_nowhere(base, certs, origin, started, hook, kind):
    command, told = teller(base)
    sim = start(base, certs, origin, started, TABLES[kind], options={
        "lane_alert_url": hook.url, "lane_alert_command": command,
        # a queue manager that is slow to see the end of one attempt would
        # put the next one off by a minute
        }, minimal_backoff_time="5s", script='auth reply "535 5.7.8 wrong"\n')
    with Watcher(origin) as watcher:
        origin.inject(messages.generate(3))
        origin.log.wait(r"alarm: login")
        sim.script("")
        origin.wait_empty()
        origin.log.wait(r"alarm cleared: login")
        # once more, for all that is done at start
        origin.reload()
        origin.inject(messages.generate(3, prefix="again"))
        origin.wait_empty()
        said = effective_values(origin)
    assert b"lane" in watcher.seen and b"teller" in watcher.seen
    assert not watcher.found
    assert said.returncode == 0 and said.stdout
    assert not shown(said.stdout + said.stderr)
    assert hook.got and not shown(repr(hook.got).encode())
    assert os.listdir(told)
    tables = [os.path.join(origin.etc, name) for name in os.listdir(origin.etc)]
    assert not files_with_secret(
        told, origin.queue_directory, origin.data_directory, but=tables)


@pytest.mark.parametrize("table", [
    "inline:{{ {{h = {login}}}, b }}", "static:{{{login}}} x",
    "randmap:{{{login}", "unionmap:{{static:{login}, hash:/nonexistent}}",
    "pipemap:{{inline:{{a={login}}}", "regexp:{{ {{/x(/ {login}}} }}",
    "memcache:{{ {login} }}", "nothing:{{{login}}}", "{login}"])
def test_wrong_table_is_told_without_its_values(
        base, certs, origin, started, table):
    start(base, certs, origin, started, table)
    with Watcher(origin) as watcher:
        origin.inject(messages.generate(1))
        origin.log.wait(r"bad parameter: smtp_sasl_password_maps = ")
        origin.log.wait(r"status=(deferred|sent)")
    assert not watcher.found
    assert not files_with_secret(origin.queue_directory,
                                 origin.data_directory)


@pytest.mark.parametrize("mechs", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_login_leaves_nothing_in_memory_but_the_table(
        base, certs, origin, started, mechs):
    """The table is needed for the next login. What the dialogue was made of,
    in the buffers of SASL, OpenSSL and ours, is not."""
    start(base, certs, origin, started, None, words="class=fast", mechs=mechs,
          options={"lane_connection_idle_limit": "300s"})
    origin.inject(messages.generate(5))
    origin.wait_empty()
    pid, = origin.pids("lane")
    octets = list(memory(pid))
    counts = {form: sum(part.count(form) for part in octets)
              for form in forms()}
    print(f"\nin memory: {counts}")
    assert counts.pop(LOGIN[1].encode()) == 1
    assert not any(counts.values()), counts


def test_password_of_a_fleet_is_shown_nowhere(base, certs, origin, started):
    """It is in memory once, and nowhere else, though the engine is asked, and
    though one that knows no AUTH repeats it in its complaint."""
    engine = started(Engine(base))
    engine.ask("ACL", "SETUSER", "default", "resetpass", ">" + LOGIN[1])
    path = os.path.join(origin.etc, "fleet")
    with open(path, "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(LOGIN[1] + "\n")
    with Watcher(origin) as watcher:
        start(base, certs, origin, started, None, options={
            "lane_fleet": f"127.0.0.1:{engine.port}",
            "lane_fleet_password_file": path}, smtp_sasl_auth_enable="no",
            smtp_sasl_password_maps=None)
        origin.inject(messages.generate(1))
        wait_until(engine.rows, 30, "the engine was asked")
        pid, = origin.pids("lane")
        assert sum(part.count(LOGIN[1].encode())
                   for part in memory(pid)) == 1
        with socket.create_server(("127.0.0.1", 0)) as parrot:
            parrot.settimeout(60)
            origin.agent("lane", "fast", "class=fast -v", {
                "lane_fleet": f"127.0.0.1:{parrot.getsockname()[1]}",
                "lane_fleet_password_file": path})
            origin.reload()
            origin.inject(messages.generate(1, prefix="again"))
            with parrot.accept()[0] as client:
                client.recv(4096)
                client.sendall(
                    b"-ERR unknown command 'AUTH', with args beginning with:"
                    b" '" + LOGIN[1].encode() + b"'\r\n")
                origin.log.wait(r"no answer: AUTH: ERR unknown command", 60)
        said = origin.postlane("status"), origin.postlane("-j", "status")
    assert not watcher.found
    assert not any(shown((s.stdout + s.stderr).encode()) for s in said)
    assert not files_with_secret(origin.queue_directory,
                                 origin.data_directory)
