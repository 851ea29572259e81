#!/usr/bin/python3
"""Measure lane beside smtp(8): see README.md.

  RUNS=3        rounds; in each every variant drains one queue, in turn
  QUICK=1       one round of fewer groups and messages
  CASES=words   only GROUP:VARIANT that contain one of the words
  LIMIT=25      minutes after which no further group is begun
  OUT=file      where the figures go (build/bench.json)
  BASE=folder   where the instances live (/dev/shm if programs may run there,
                else /tmp): memory, so that no disk is measured
"""
import json
import os
import signal
import platform
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402

from account import Account                             # noqa: E402
from cases import (PER_SESSION, middle_rate, select,    # noqa: E402
                   spread, upstream_name, warmup_count)
from home import processors                             # noqa: E402
from side import Side, lane_is_built                    # noqa: E402

CONNECTIONS = 20
# The proxy connects its upstream three delays after the accept.
ACCEPT_AFTER_RTT = 1.5


def root():
    """Where instances live."""
    return os.environ.get("BASE") or paths.memory()


class Bench:
    """One group: upstreams, proxies and one Side per variant."""

    def __init__(self, base, certs, group, variants):
        self.base, self.certs, self.group = base, certs, group
        self.upstreams, self.proxies, self.sides = {}, {}, {}
        self.running = []
        for variant in variants:
            upstream = self._upstream(variant.has_chunking)
            proxy = self._proxy(upstream, variant)
            side = Side(base, variant, group, upstream, proxy)
            self.sides[variant.name] = side
            self.running.append(side)

    def _upstream(self, has_chunking):
        if has_chunking not in self.upstreams:
            sim = Simulator(
                self.base, self.certs, upstream_name(has_chunking), sync=False,
                max_connections=CONNECTIONS, max_messages=PER_SESSION,
                mechs="PLAIN",
                quickack=self.group.acks_at_once, no_chunking=not has_chunking)
            self.running.append(sim)
            sim.start()
            self.upstreams[has_chunking] = sim
        return self.upstreams[has_chunking]

    def _proxy(self, sim, variant):
        """None without a distance."""
        port = sim.tls_port if variant.is_wrapped else sim.port
        if self.group.rtt_ms and port not in self.proxies:
            proxy = DelayProxy(self.base, port, self.group.rtt_ms / 2,
                               name=f"proxy-{port}", **self.group.link)
            self.running.append(proxy)
            self.proxies[port] = proxy.start()
        return self.proxies.get(port)

    def drain(self, variant, count):
        """Send `count` messages; the figures of this run."""
        side = self.sides[variant.name]
        sim = self.upstreams[variant.has_chunking]
        sim.stop()
        sim.start()                     # a ledger of its own, same port
        side.prepare(count)
        account = Account(side.postfix.session, variant.agent)
        account.start()
        load = os.getloadavg()[0]
        side.open_gate()
        side.wait_drained()
        account.finish()
        side.stop()
        sim.stop()
        run = figures(sim, variant, self.group, count)
        run.update(cpu_us=account.cpu_s / count * 1e6,
                   pss_kb=account.peak_kb,
                   processes=account.peak_processes, load=load)
        return run

    def destroy(self):
        for what in reversed(self.running):
            what.destroy()


def figures(sim, variant, group, count):
    """What ledger and statistics of the finished simulator say.

    span_s reaches from the moment the first connection was begun to the last
    acceptance, so the first dial counts like every other.
    """
    entries = [e for e in sim.ledger() if e.run == sim.run]
    stats = sim.stats()
    recipients = {r for e in entries for r in e.recipients}
    if len(entries) != count or len(recipients) != count:
        raise SystemExit(
            f"bench: {group.name} {variant.name}: {len(entries)} messages "
            f"for {len(recipients)} recipients taken, {count} were sent")
    if stats["violations"]:
        raise SystemExit(f"bench: {group.name} {variant.name}: "
                         f"{stats['violation_last']}")
    begun_us = stats["first_connection_us"]
    if group.rtt_ms:
        begun_us -= ACCEPT_AFTER_RTT * group.rtt_ms * 1000
    times_us = sorted(e.time_us for e in entries)
    first_us, last_us = times_us[0], times_us[-1]
    span_s = (last_us - begun_us) / 1e6
    rate = count / span_s
    bound = variant.bound(group, count)
    return {
        "rate": rate,
        "span_s": span_s,
        "rate_first_to_last": (count - 1) / ((last_us - first_us) / 1e6),
        "rate_middle": middle_rate(times_us),
        "first_ms": (first_us - begun_us) / 1e3,
        "bound": bound,
        "share": rate / bound if bound else None,
        "sessions_used": stats["connections_total"],
        "sessions_max": stats["connections_max"],
        "refused": stats["connections_refused"],
        "resumed": stats["tls_resumed"],
        "most_per_session": stats["messages_per_connection_max"],
    }


def summary(runs, smtp_runs, variant, group):
    """Spread of each figure, and of the ratios of runs of one round."""
    out = {"group": group.name, "acks_at_once": group.acks_at_once,
           "variant": variant.name,
           "agent": variant.agent, "depth": variant.most,
           "wrapped": variant.is_wrapped, "honest": group.is_honest,
           "loses": group.loses,
           "chunking": variant.has_chunking, "size": group.size,
           "rtt_ms": group.rtt_ms, "sessions": group.sessions,
           "bound": runs[0]["bound"],
           "bound_warm": variant.warm_bound(group),
           "runs": runs}
    for key in ("rate", "rate_middle", "cpu_us", "pss_kb", "share"):
        values = [r[key] for r in runs if r[key] is not None]
        out[key] = spread(values) if values else None
    if variant.agent != "smtp":
        for key, name in (("rate", "times"), ("cpu_us", "cpu_ratio"),
                          ("pss_kb", "pss_ratio")):
            out[name] = spread([a[key] / b[key]
                                for a, b in zip(runs, smtp_runs) if b[key]])
    return out


HEADER = (f"{'case':<24}{'msg/s':>9}{'middle':>9}{'times smtp(8)':>22}{'CPU us':>9}"
          f"{'ratio':>7}{'PSS MB':>8}{'ratio':>7}{'of bound':>10}"
          f"{'sessions':>9}")


def row(s):
    def ratio(name):
        return f"{s[name]['median']:.2f}" if name in s else ""
    times = ""
    if "times" in s:
        t = s["times"]
        times = f"{t['median']:.1f} ({t['min']:.1f}..{t['max']:.1f})"
    share = f"{s['share']['median'] * 100:.0f} %" if s["share"] else ""
    used = s["runs"][-1]["sessions_used"]
    name = f"{s['group']} {s['variant']}"
    middle = f"{s['rate_middle']['median']:.1f}" if s["rate_middle"] else ""
    return (f"{name:<24}{s['rate']['median']:>9.1f}{middle:>9}{times:>22}"
            f"{s['cpu_us']['median']:>9.0f}{ratio('cpu_ratio'):>7}"
            f"{s['pss_kb']['median'] / 1024:>8.1f}{ratio('pss_ratio'):>7}"
            f"{share:>10}{used:>9}")


def measure(group, variants, runs, count, certs):
    base = paths.make_base(root())
    bench = None
    try:
        bench = Bench(base, certs, group, variants)
        for variant in variants:
            bench.drain(variant, min(count, warmup_count(variant, group)))
        taken = {v.name: [] for v in variants}
        for _ in range(runs):
            for variant in variants:
                run = bench.drain(variant, count)
                taken[variant.name].append(run)
                if os.environ.get("VERBOSE"):
                    print(f"  {variant.name}: {run}", flush=True)
    except BaseException:
        keep = os.path.join(paths.BUILD, "log/bench")
        if bench:
            bench.destroy()
        paths.drop_base(base, keep)
        print(f"bench: logs are in {keep}", file=sys.stderr)
        raise
    bench.destroy()
    paths.drop_base(base)
    return [summary(taken[v.name], taken["smtp"], v, group)
            for v in variants]


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True,
                          check=False)
    return done.stdout.strip().splitlines()[0] if done.stdout else ""


def machine():
    cpu = ""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as f:
        memory_kb = int(f.readline().split()[1])
    return {
        "cpu": cpu, "cpus": os.cpu_count(), "memory_mb": memory_kb // 1024,
        "kernel": platform.release(),
        "postfix": said("postconf", "-dh", "mail_version"),
        "openssl": said("openssl", "version"),
        "compiler": said("cc", "--version"),
        "instances": said("stat", "-f", "-c", "%T", root()),
        "load_before": os.getloadavg()[0],
    }


def on_term(signum, frame):
    raise SystemExit(128 + signum)


@processors()
def main():
    signal.signal(signal.SIGTERM, on_term)      # instances are taken down
    if os.geteuid() != 0:
        raise SystemExit("bench: starts Postfix: run it as root")
    if not lane_is_built():
        raise SystemExit("bench: build/lane is not there: make all tools")
    quick = os.environ.get("QUICK", "") not in ("", "0")
    runs = int(os.environ.get("RUNS") or (1 if quick else 3))
    chosen = select(os.environ.get("CASES", ""), quick)
    out = os.environ.get("OUT") or os.path.join(paths.BUILD, "bench.json")
    begun = time.monotonic()
    result = {"machine": machine(), "runs": runs, "quick": quick,
              "when": time.strftime("%Y-%m-%d"), "cases": [],
              "left_out": [],
              "asked": {k: os.environ[k] for k in
                        ("QUICK", "RUNS", "CASES", "BASE", "LIMIT")
                        if os.environ.get(k)}}
    limit_s = 60 * float(os.environ.get("LIMIT") or 25)
    certs_base = paths.make_base()
    try:
        certs = Certs(certs_base)
        print(HEADER, flush=True)
        for group, variants in chosen:
            if time.monotonic() - begun > limit_s:
                result["left_out"].append(group.name)
                print(f"{group.name}: left out, time is up", flush=True)
                continue
            count = group.quick_count if quick and group.quick_count \
                else group.count
            for s in measure(group, variants, runs, count, certs):
                s["count"] = count
                result["cases"].append(s)
                print(row(s), flush=True)
    finally:
        paths.drop_base(certs_base)
    result["took_s"] = round(time.monotonic() - begun)
    with open(out + ".new", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
    os.rename(out + ".new", out)
    loads = [r["load"] for c in result["cases"] for r in c["runs"]]
    print(f"{result['took_s']} s; load average {min(loads, default=0):.1f} "
          f"to {max(loads, default=0):.1f} at the beginning of runs; "
          f"figures in {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
