#!/usr/bin/python3
"""What it costs to change content: lane and smtp(8) with smtp_generic_maps and
fifty rules of smtp_header_checks, beside the same without. See README.md.

  COUNT=10000   messages of a drain
  RUNS=3        rounds; in each every variant drains one queue, in turn
  MAPS=proxy    generic maps that only proxymap(8) can ask, instead of texthash
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import paths                               # noqa: E402
from harness.certs import Certs                         # noqa: E402

from bench import Bench, HEADER, row, summary           # noqa: E402
from cases import Group, Variant                        # noqa: E402
from home import processors                             # noqa: E402

COUNT = int(os.environ.get("COUNT") or 10000)
RUNS = int(os.environ.get("RUNS") or 3)
WARMUP = 1000
GROUP = Group(5000, 0, 20, COUNT, COUNT, acks_at_once=True)
VARIANTS = (Variant("smtp", "smtp"), Variant("lane", "lane", 10),
            Variant("smtp-rules", "smtp"), Variant("lane-rules", "lane", 10))
RULES = "".join(f"/^X-Rule-{i}: .*(foo|bar){i}/ IGNORE\n"
                for i in range(46)) + """\
/^Received: .*client\\.invalid/ IGNORE
/^Subject: (.*)/ REPLACE Subject: [site] $1
/^User-Agent:/ IGNORE
/^X-Mailer:/ IGNORE
"""
GENERIC = "load@sender.example other@out.example\n" \
    "@sender.example @out.example\n"


def write(side, name, text):
    path = os.path.join(side.postfix.etc, name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def change_content(side):
    generic = "texthash:" + write(side, "generic", GENERIC)
    if os.environ.get("MAPS") == "proxy":
        generic = f"proxy:unionmap:{{{generic}}}"
        side.postfix.set(proxy_read_maps=generic)
    side.postfix.set(
        smtp_generic_maps=generic,
        smtp_header_checks="regexp:" + write(side, "rules", RULES))


def begun():
    """Processes that were begun on this machine, by whomever."""
    with open("/proc/stat", encoding="ascii") as f:
        return int(next(line for line in f
                        if line.startswith("processes")).split()[1])


def drain(bench, variant):
    before = begun()
    run = bench.drain(variant, COUNT)
    run["begun"] = begun() - before
    return run


@processors()
def main():
    certs_base, base = paths.make_base(), paths.make_base()
    bench = Bench(base, Certs(certs_base), GROUP, VARIANTS)
    try:
        for side in bench.sides.values():
            if side.variant.name.endswith("-rules"):
                change_content(side)
        for variant in VARIANTS:
            bench.drain(variant, min(COUNT, WARMUP))
        taken = {v.name: [] for v in VARIANTS}
        for _ in range(RUNS):
            for variant in VARIANTS:
                taken[variant.name].append(drain(bench, variant))
    finally:
        bench.destroy()
        paths.drop_base(base)
        paths.drop_base(certs_base)
    print(HEADER)
    for variant in VARIANTS:
        print(row(summary(taken[variant.name], taken["smtp"], variant,
                          GROUP)))
    for agent in ("smtp", "lane"):
        ratios = sorted(a["rate"] / b["rate"] for a, b in
                        zip(taken[agent + "-rules"], taken[agent]))
        more = sorted(a["begun"] - b["begun"] for a, b in
                      zip(taken[agent + "-rules"], taken[agent]))
        print(f"{agent}: {ratios[len(ratios) // 2]:.2f} of the messages/s "
              f"without ({ratios[0]:.2f} to {ratios[-1]:.2f}); processes "
              f"begun beside those without: {more[len(more) // 2]} for "
              f"{COUNT} messages, by anybody on this machine")


if __name__ == "__main__":
    main()
