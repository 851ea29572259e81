"""Hosts of a fleet: what they share, and the way each of them has to it.

    engine = started(Engine(base))              a redis-server of its own
    link = started(Link(engine.port))           one for each host
"""
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading

from . import paths
from .daemon import Daemon

ADMIN = ("admin", "admin secret")
PASSWORD = "fleet-secret"
# What a lane needs, and no more; doc/fleet.md has the same line.
RULES = ("resetkeys ~pl:* resetchannels -@all +auth +hello +ping +evalsha "
         "+script|load +info +time +hgetall +hmget +hset +del")


class Engine(Daemon):
    """By TCP at `port`, by `socket`; who comes has to know PASSWORD. It keeps
    nothing: start() after stop() or kill9() begins empty, at the same place.
    settings: of redis.conf, in Python's spelling."""

    def __init__(self, base, name="engine", rules=RULES, **settings):
        super().__init__(base, name)
        self.port = paths.free_port()
        self.socket = self.path("redis.sock")
        self._write("redis.conf", "".join(
            f"{key.replace('_', '-')} {value}\n" for key, value in {
                "port": self.port, "bind": "127.0.0.1",
                "unixsocket": self.socket, "unixsocketperm": 777,
                "dir": self.home, "save": '""', "appendonly": "no",
                "maxmemory_policy": "noeviction",
                "aclfile": self.path("users.acl"),
                # or harness.guard could not tell whose it is
                "set_proc_title": "no", **settings}.items()))
        self._write("users.acl", "".join(
            f"user {user} on #{_digest(password)} {what}\n"
            for user, password, what in (
                (*ADMIN, "~* &* +@all"), ("default", PASSWORD, rules))))

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as f:
            f.write(text)

    def command(self):
        return ["redis-server", self.path("redis.conf")]

    def is_ready(self):
        return os.path.exists(self.socket) and self._run("PING") == "PONG"

    def start(self, timeout_s=20):
        if os.path.exists(self.socket):     # of one that was killed
            os.unlink(self.socket)
        return super().start(timeout_s)

    def _run(self, *words):
        done = subprocess.run(
            ["redis-cli", "-s", self.socket, "--user", ADMIN[0], "--pass",
             ADMIN[1], "--no-auth-warning", "--json", *map(str, words)],
            check=False, capture_output=True, text=True, timeout=300)
        try:
            return json.loads(done.stdout)
        except ValueError:      # an error, or it is not there
            return done.stdout.strip() + done.stderr.strip()

    def ask(self, *words):
        """What the engine answers its administrator."""
        return self._run(*words)

    def product(self):
        """redis or valkey"""
        return ("valkey" if "valkey_version:" in self.ask("INFO", "server")
                else "redis")

    def rows(self):
        """{key: {host: row}} of every limit that is shared."""
        return {key: self.ask("HGETALL", key)
                for key in self.ask("KEYS", "pl:*:hosts")}

    def cost(self):
        """Of EVALSHA so far: (calls, microseconds)."""
        for line in self.ask("INFO", "commandstats").splitlines():
            name, _, values = line.partition(":")
            if name == "cmdstat_evalsha":
                of = dict(v.split("=") for v in values.split(","))
                return int(of["calls"]), int(of["usec"])
        return 0, 0

    def pause(self):
        """Stands still, as a machine does that swaps."""
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def stopped(self):
        self.pause()
        try:
            yield
        finally:
            self.go_on()


def _digest(password):
    return subprocess.run(["sha256sum"], input=password.encode(), check=True,
                          capture_output=True).stdout.split()[0].decode()


class Link:
    """The way of one host to what listens at `to_port`: a proxy at `port`,
    which passes everything on until it is told otherwise. It runs in this
    process, and ends with it."""

    def __init__(self, to_port, name="link"):
        self.name, self.to_port = name, to_port
        self.home = ""      # it has no log
        self.port = paths.free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever,
                                        daemon=True)
        self._server = None
        self._writers = set()
        self._passes = asyncio.Event()
        self._octet_s = self._delay_s = 0
        self.accepted = 0

    def start(self):
        self._passes.set()
        self._thread.start()
        self._do(self._listen())
        return self

    def destroy(self):
        if self._thread.is_alive():
            self._do(self._cut())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    # what may happen to it

    def cut(self):
        """What is open is reset, what comes is refused."""
        self._do(self._cut())

    def stall(self):
        """Nothing passes, nobody is told: as if every packet was dropped."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def drip(self, octet_s):
        """So long for each octet."""
        self._octet_s = octet_s

    def slow(self, delay_s):
        """What comes at once arrives so much later."""
        self._delay_s = delay_s

    def heal(self):
        """As at first; what was held back by a stall arrives now."""
        self._octet_s = self._delay_s = 0
        self._loop.call_soon_threadsafe(self._passes.set)
        self._do(self._listen())

    # in the thread

    async def _listen(self):
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accepted, "127.0.0.1", self.port)

    async def _cut(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accepted(self, reader, writer):
        self.accepted += 1
        self._writers.add(writer)
        there = None
        try:
            there_reads, there = await asyncio.open_connection(
                "127.0.0.1", self.to_port)
            self._writers.add(there)
            await asyncio.gather(self._pump(reader, there),
                                 self._pump(there_reads, writer))
        except OSError:
            pass
        finally:
            for end in filter(None, (writer, there)):
                end.transport.abort()
                self._writers.discard(end)

    async def _pump(self, reader, writer):
        while data := await reader.read(1 << 16):
            await asyncio.sleep(self._delay_s)
            step = 1 if self._octet_s else len(data)
            for at in range(0, len(data), step):
                await asyncio.sleep(self._octet_s)
                await self._passes.wait()
                writer.write(data[at:at + step])
                await writer.drain()
        await self._passes.wait()
        writer.write_eof()
