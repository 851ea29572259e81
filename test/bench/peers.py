#!/usr/bin/python3
"""lane beside smtp(8) and other programs that send: see README.md.

  PEERS=words    only those whose names contain one of the words
  RTT=100        milliseconds
  COUNT=2000     messages of 5 kB
  RUNS=1         rounds; in each all take turns
  HONEST=1       a link with TCP's windows
  OUT=file       the figures, too, as JSON

Status 1 when a message was lost or taken twice.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402

from bench import ACCEPT_AFTER_RTT, Bench, root         # noqa: E402
from cases import PER_SESSION, SMTP, VARIANTS, Group, median    # noqa: E402
from home import processors                             # noqa: E402
from senders import (CONNECTIONS, PASSWORD, PEERS, USER,    # noqa: E402
                     wait_sent)

LIMIT_S = 600
# Some come back to a message that a session's end left over much later.
MOST_PERCENT = 95
OURS = (SMTP, VARIANTS[1])
ROW = "{:<18}{:>9}{:>9}{:>10}{:>9}{:>7}{:>7}"


def figures(sim, group, count):
    """Of the finished simulator: messages/s until most of them were taken."""
    entries = [e for e in sim.ledger() if e.run == sim.run]
    stats = sim.stats()
    begun_us = stats["first_connection_us"] \
        - ACCEPT_AFTER_RTT * group.rtt_ms * 1000
    times_us = sorted(e.time_us for e in entries) or [begun_us + 1]
    most = -(-len(times_us) * MOST_PERCENT // 100)
    recipients = {r for e in entries for r in e.recipients}
    return {"rate": most / ((times_us[most - 1] - begun_us) / 1e6),
            "sessions_used": stats["connections_total"],
            "sessions_max": stats["connections_max"],
            "refused": stats["connections_refused"],
            "lost": count - len(recipients),
            "twice": len(entries) - len(recipients)}


def peer_drain(peer, certs, group, count):
    base = paths.make_base(root())
    running, keep = [], None
    try:
        sim = Simulator(base, certs, "upstream", sync=False, mechs="PLAIN",
                        login=(USER, PASSWORD), max_connections=CONNECTIONS,
                        max_messages=PER_SESSION)
        running.append(sim.start())
        proxy = DelayProxy(base, sim.port, group.rtt_ms / 2, **group.link)
        running.append(proxy.start())
        sender = peer(base, certs, proxy.port, group.size)
        sender.prepare(count)
        sender.go()
        try:
            wait_sent(sim, count, LIMIT_S)
        finally:
            sender.stop()
        sim.stop()
        return figures(sim, group, count)
    except BaseException:
        keep = os.path.join(paths.BUILD, "log/peers")
        print(f"peers: logs are in {keep}", file=sys.stderr)
        raise
    finally:
        for what in reversed(running):
            what.destroy()
        paths.drop_base(base, keep)


def our_drains(certs, group, count):
    """{name: figures} of smtp(8) and lane, as `make bench` measures them."""
    base = paths.make_base(root())
    bench = Bench(base, certs, group, OURS)
    try:
        found = {}
        for variant in OURS:
            bench.drain(variant, min(count, 1000))      # it learns
            bench.drain(variant, count)
            found["smtp(8)" if variant is SMTP else "lane"] = figures(
                bench.upstreams[variant.has_chunking], group, count)
        return found
    finally:
        bench.destroy()
        paths.drop_base(base)


@processors()
def main():
    words = os.environ.get("PEERS", "").split()
    count = int(os.environ.get("COUNT") or 2000)
    group = Group(5000, int(os.environ.get("RTT") or 100), CONNECTIONS, count,
                  0, is_honest=os.environ.get("HONEST", "0") != "0")
    chosen = [p for p in PEERS if not words or any(w in p.name for w in words)]
    rounds = []
    certs_base = paths.make_base()
    try:
        certs = Certs(certs_base)
        for _ in range(int(os.environ.get("RUNS") or 1)):
            found = our_drains(certs, group, count)
            for peer in chosen:
                if peer.is_there():
                    found[peer.name] = peer_drain(peer, certs, group, count)
                else:
                    print(f"{peer.name}: not there (scripts/foreign, "
                          "scripts/setup)")
            rounds.append(found)
    finally:
        paths.drop_base(certs_base)
    print(f"{count} messages of 5 kB, RTT {group.rtt_ms} ms"
          f"{' with TCP windows' if group.is_honest else ''}, {CONNECTIONS} "
          f"sessions of {PER_SESSION}; load {os.getloadavg()[0]:.1f}")
    print(ROW.format("", "msg/s", "lane is", "sessions", "refused", "lost",
                     "twice"))
    for name in rounds[0]:
        rate = median([r[name]["rate"] for r in rounds])
        times = median([r["lane"]["rate"] / r[name]["rate"] for r in rounds])
        worst = {k: max(r[name][k] for r in rounds)
                 for k in ("sessions_used", "refused", "lost", "twice")}
        print(ROW.format(name, f"{rate:.1f}", f"{times:.1f}x",
                         worst["sessions_used"], worst["refused"],
                         worst["lost"], worst["twice"]))
    if os.environ.get("OUT"):
        with open(os.environ["OUT"], "w", encoding="utf-8") as f:
            json.dump(rounds, f, indent=1)
    return int(any(r[n]["lost"] or r[n]["twice"] for r in rounds for n in r))


if __name__ == "__main__":
    sys.exit(main())
