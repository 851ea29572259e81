#!/usr/bin/python3
"""lane beside smtp(8) at servers that are not ours: see README.md.

  SERVERS=words  only those whose names contain one of the words
  RUNS=1         rounds; in each both agents drain one queue, in turn
  COUNT=500      messages of 3 kB
  LANE=file      another lane program, to compare with
  BASE=folder    where the instances live (/dev/shm)

Status 1 when a message was lost or taken twice, or when lane needed more than
five connections more than smtp(8).
"""
import json
import os
import shutil
import signal
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import foreign, paths                      # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.wait import Timeout, wait_until            # noqa: E402

from bench import root                                  # noqa: E402
from cases import Group, Variant, median                # noqa: E402
from home import processors                             # noqa: E402
from side import Side                                   # noqa: E402
from wire import Wire                                   # noqa: E402

CONNECTIONS = 20
SPARE_CONNECTIONS = 5
SERVERS = {
    "Haraka 3.3.4": foreign.Haraka,
    "Haraka 3.0": foreign.OlderHaraka,
    "nodemailer smtp-server": foreign.SmtpServer,
    "aiosmtpd": foreign.Aiosmtpd,
    "OpenSMTPD": foreign.OpenSmtpd,
    "sendmail": foreign.Sendmail,
    "Dovecot submission": foreign.Dovecot,
    "Exim": foreign.PlainExim,
    "Postfix": foreign.PlainPostfix,
}
WITH_CERTS = (foreign.Dovecot, foreign.PlainExim)
VARIANTS = (Variant("lane", "lane", 10), Variant("smtp", "smtp"))


class ForeignSide(Side):
    """No TLS, so no proxy of it: smtp(8) caches its connections itself."""

    def __init__(self, base, variant, group, upstream):
        super().__init__(base, variant, group, upstream, None)
        other = os.environ.get("LANE")
        if variant.agent == "lane" and other:
            shutil.copy(other, self.real)
        if variant.agent == "smtp":
            self.postfix.set(smtp_tls_connection_reuse=None)


def make_server(cls, base, certs):
    return cls(base, certs) if cls in WITH_CERTS else cls(base)


def drain(side, server, count):
    """The figures of one drain."""
    side.prepare(count)
    with Wire(server.port) as wire:
        side.open_gate()
        side.wait_drained()
        side.stop()
    try:        # what it took in it may file later
        wait_until(lambda: len(set(server.recipients())) >= count, 30,
                   "everything is filed")
    except Timeout:
        pass        # the table shows it
    server.stop()
    taken = Counter(server.recipients())
    return {"rate": count / wire.span_s(), "connections": wire.connections(),
            "manners": dict(wire.manners()),
            "duplicates": sum(taken.values()) - len(taken),
            "lost": count - len(taken)}


def measure(cls, certs, runs, count):
    """For each agent a server of its own: neither meets what the other did
    to it. {agent: [figures of each round]}"""
    group = Group(3000, 0, CONNECTIONS, count, 0, acks_at_once=True)
    rounds = {v.name: [] for v in VARIANTS}
    for _ in range(runs):
        for variant in VARIANTS:
            base = paths.make_base(root())
            running, keep = [], None
            try:
                server = make_server(cls, base, certs)
                running.append(server)
                server.start()
                side = ForeignSide(base, variant, group, server)
                running.append(side)
                rounds[variant.name].append(drain(side, server, count))
            except BaseException:
                keep = os.path.join(paths.BUILD, "log/foreign")
                print(f"foreign: logs are in {keep}", file=sys.stderr)
                raise
            finally:
                for what in reversed(running):
                    what.destroy()
                paths.drop_base(base, keep)
    return rounds


def said(manners):
    return ", ".join(f"{name} {n}" for name, n in sorted(
        manners.items(), key=lambda item: -item[1]))


HEADER = (f"{'server':<24}{'lane: manner (messages of the last round)':<44}"
          f"{'msg/s':>8}{'conn':>6}{'dup':>5}{'lost':>5}"
          f"{'smtp(8)':>10}{'conn':>6}{'dup':>5}{'lost':>5}{'times':>7}")


def row(name, rounds):
    def figure(agent, key):
        return median([r[key] for r in rounds[agent]])
    cells = f"{name:<24}{said(rounds['lane'][-1]['manners']):<44}"
    for agent, width in (("lane", 8), ("smtp", 10)):
        cells += (f"{figure(agent, 'rate'):>{width}.0f}"
                  f"{figure(agent, 'connections'):>6.0f}"
                  f"{sum(r['duplicates'] for r in rounds[agent]):>5}"
                  f"{sum(r['lost'] for r in rounds[agent]):>5}")
    return cells + f"{figure('lane', 'rate') / figure('smtp', 'rate'):>7.2f}"


def is_good(rounds):
    return not any(r["duplicates"] or r["lost"] for r in rounds["lane"]) \
        and all(a["connections"] <= b["connections"] + SPARE_CONNECTIONS
                for a, b in zip(rounds["lane"], rounds["smtp"]))


@processors()
def main():
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if os.geteuid() != 0:
        raise SystemExit("foreign: starts Postfix: run it as root")
    words = os.environ.get("SERVERS", "").split()
    runs = int(os.environ.get("RUNS") or 1)
    count = int(os.environ.get("COUNT") or 500)
    certs_base = paths.make_base()
    good, results = True, {}
    try:
        certs = Certs(certs_base)
        print(HEADER, flush=True)
        for name, cls in SERVERS.items():
            if words and not any(w in name for w in words):
                continue
            if not cls.is_there():
                script = "setup" if cls is foreign.PlainExim else "foreign"
                print(f"{name}: not there, see scripts/{script}", flush=True)
                continue
            try:
                rounds = measure(cls, certs, runs, count)
            except Exception as e:      # pylint: disable=broad-except
                print(f"{name}: {type(e).__name__}: "
                      + str(e).replace("\n", "\n    "), flush=True)
                good = False
                continue
            results[name] = rounds
            good = good and is_good(rounds)
            print(row(name, rounds), flush=True)
    finally:
        paths.drop_base(certs_base)
    with open(os.path.join(paths.BUILD, "foreign.json"), "w",
              encoding="utf-8") as f:
        json.dump(results, f, indent=1)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
