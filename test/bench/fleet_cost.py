#!/usr/bin/python3
"""What a fleet's questions cost its engine: microseconds of EVALSHA, as the
server counts them, and octets of memory for a limit. See README.md, "A fleet's
engine".

  HOSTS='2 10 50'
  SECONDS=20          questions of each host, in each of ROUNDS=10; the least
                      counts, since other programs take the processor, too
"""
import os
import random
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.fleet import PASSWORD, Engine              # noqa: E402

from home import bench_home                             # noqa: E402

LIMIT, TTL_US = 1000, 30_000_000
ROUNDS = int(os.environ.get("ROUNDS") or 10)
SECONDS = int(os.environ.get("SECONDS") or 20)


class Client:
    """Asks in RESP2, one reply at a time."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        data = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(data) + b"".join(
            b"$%d\r\n%s\r\n" % (len(d), d) for d in data))
        return self._read()

    def _read(self):
        line = self.file.readline().decode().rstrip()
        kind, text = line[0], line[1:]
        if kind == "*":
            return [self._read() for _ in range(int(text))]
        if kind == "$":
            return self.file.read(int(text) + 2)[:-2].decode()
        if kind == "-":
            raise RuntimeError(text)
        return int(text) if kind == ":" else text


class Host:
    def __init__(self, n):
        self.name = f"mx{n}.example.com"
        self.nonce = f"{random.getrandbits(64):x}"
        self.number = self.cap = self.echo = self.seen = 0
        self.life = ""

    def ask(self, client, sha, size, unit, lessons):
        self.number += 1
        want = random.choice([1, LIMIT // size, LIMIT])
        self.cap = min(self.cap, want)
        keys = [f"pl:{{0123456789abcdef}}:{unit}:{name}"
                for name in ("hosts", "state", "lessons")]
        if unit != "connections":
            keys.pop()
        answer = client.ask(
            "EVALSHA", sha, len(keys), *keys, self.name, self.nonce, 1,
            self.number, size, LIMIT, LIMIT // size // 10, TTL_US, 0, 0, want,
            self.cap, self.cap, self.echo, TTL_US if self.echo else 0,
            self.seen, 0, self.life, lessons)
        assert answer[0] == "OK", answer
        self.cap, self.echo, self.seen, self.life = (
            answer[1], answer[2], answer[3], answer[6])


def measure(client, engine, sha, size, unit, lessons):
    """(microseconds a question, octets of memory)"""
    client.ask("FLUSHALL")
    hosts = [Host(n) for n in range(1, size + 1)]
    for _ in range(3):      # until all have told
        for host in hosts:
            host.ask(client, sha, size, unit, lessons)
    costs = []
    for _ in range(ROUNDS):
        calls, usec = engine.cost()
        for _ in range(SECONDS):
            for host in hosts:
                host.ask(client, sha, size, unit, lessons)
        calls_now, usec_now = engine.cost()
        costs.append((usec_now - usec) / (calls_now - calls))
    octets = sum(client.ask("MEMORY", "USAGE", key)
                 for key in client.ask("KEYS", "pl:*"))
    return min(costs), octets


def main():
    sizes = [int(n) for n in os.environ.get("HOSTS", "2 10 50").split()]
    told = "1 60000000 0 2 600000000 17 3 60000000 554571"
    with open(os.path.join(paths.ROOT, "share/fleet/renew.lua"),
              encoding="ascii") as f:
        script = f.read()
    with bench_home("cost") as base:
        engine = Engine(base, rules="~* &* +@all")
        engine.start()
        try:
            client = Client(engine.socket)
            client.ask("AUTH", PASSWORD)
            sha = client.ask("SCRIPT", "LOAD", script)
            print("hosts  unit         lessons    us  octets")
            for size in sizes:
                for unit, lessons in (("messages/1s", ""),
                                      ("connections", ""),
                                      ("connections", told)):
                    us, octets = measure(client, engine, sha, size, unit,
                                         lessons)
                    print(f"{size:5}  {unit:11}  {'all' if lessons else '-':7}"
                          f"  {us:4.0f}  {octets:6}", flush=True)
        finally:
            engine.destroy()


if __name__ == "__main__":
    main()
