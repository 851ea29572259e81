#!/usr/bin/python3
"""Many logins, chosen by sender: messages/s, sessions and how long a login had
to wait. See README.md, "Many logins".

  LOGINS='1 20 100'   so many (1 5 20 100 1500)
  RTTS='0 20'         milliseconds
  WINDOW=400          the queue manager's window (2 x logins x depth, 400 at
                      least)
  RUNS=1              rounds
"""
import os
import random
import sys
import tempfile
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import inject                              # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402
from harness.wait import wait_until                     # noqa: E402

from cases import Group, PER_SESSION, Variant           # noqa: E402
from home import bench_home                             # noqa: E402
from side import Side, TRANSPORT                        # noqa: E402

SESSIONS, DEPTH = 20, 10
# Messages of each login: all of a small login's mail fits one session.
EACH = {1: 5000, 5: 1000, 20: 250, 100: 20, 1500: 3}
LANE = Variant("lane", "lane", DEPTH)
BODY = "Subject: load\r\n\r\n" + ("x" * 70 + "\r\n") * 12


def sender(login):
    return f"s{login}@sender.example"


class Logins(Side):
    def __init__(self, base, logins, group, upstream, proxy):
        super().__init__(base, LANE, group, upstream, proxy)
        self.logins = logins
        window = os.environ.get("WINDOW") or str(max(
            2 * SESSIONS * DEPTH, min(20000, 2 * logins * DEPTH)))
        self.postfix.set(
            smtp_sender_dependent_authentication="yes",
            smtp_sasl_auth_enable="yes",
            smtp_sasl_security_options="noanonymous",
            smtp_sasl_password_maps=self.postfix.map("relay_auth", {
                sender(n): f"user{n}:secret" for n in range(logins)},
                mode=0o600),
            **{f"{TRANSPORT}_destination_concurrency_limit": window,
               f"{TRANSPORT}_initial_destination_concurrency": window})

    def prepare(self, count):
        self._close_gate()
        self.postfix.start()
        numbers = [n % self.logins for n in range(count)]
        random.Random(1).shuffle(numbers)
        inject.by_smtp(self.postfix.port, [
            SimpleNamespace(sender=sender(n), data=BODY,
                            recipients=["load@rcpt.example"])
            for n in numbers], 8)
        wait_until(lambda: self._files("active") == count, 120,
                   lambda: f"{count} active: {self._files('active')}")


def longest_wait_ms(entries, begin_us):
    """Of any login, from one of its messages taken to the next."""
    last, longest = {}, 0
    for e in sorted(entries, key=lambda e: e.time_us):
        wait = e.time_us - last.get(e.login, begin_us)
        longest = max(longest, wait)
        last[e.login] = e.time_us
    return longest / 1000


def drain(home, certs, logins, rtt_ms):
    base = tempfile.mkdtemp(dir=home)
    os.chmod(base, 0o755)
    count = logins * EACH.get(logins, max(1, 2000 // logins))
    group = Group(1000, rtt_ms, SESSIONS, count, count)
    sim = Simulator(base, certs, sync=False, login=None, require_auth=True,
                    max_connections=SESSIONS, max_messages=PER_SESSION,
                    quickack=True)
    sim.start()
    proxy = None
    if rtt_ms:
        proxy = DelayProxy(base, sim.port, rtt_ms / 2)
        proxy.start()
    side = Logins(base, logins, group, sim, proxy)
    try:
        side.prepare(count)
        side.open_gate()
        side.wait_drained()
        side.stop()
        stats, entries = sim.stats(), sim.ledger()
    finally:
        side.stop()
        side.destroy()
        if proxy:
            proxy.stop()
        sim.stop()
    assert len(entries) == count, f"{len(entries)} of {count} taken"
    assert len({e.login for e in entries}) == logins
    begin_us = stats["first_connection_us"] - rtt_ms * 1500
    took_s = (max(e.time_us for e in entries) - begin_us) / 1e6
    return (count, count / took_s, len({e.connection for e in entries}),
            longest_wait_ms(entries, begin_us))


def run(base):
    certs = Certs(os.path.join(base, "certs"))
    print("logins rtt messages messages/s sessions longest-wait-ms")
    for _ in range(int(os.environ.get("RUNS") or 1)):
        for rtt in os.environ.get("RTTS", "0 20").split():
            for logins in os.environ.get("LOGINS",
                                         "1 5 20 100 1500").split():
                count, rate, sessions, wait = drain(
                    base, certs, int(logins), int(rtt))
                print(f"{logins:>6} {rtt:>3} {count:>8} {rate:>10.0f} "
                      f"{sessions:>8} {wait:>15.0f}", flush=True)


with bench_home("logins") as directory:
    run(directory)
