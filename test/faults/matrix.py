#!/usr/bin/python3
"""The fault matrix: whatever goes wrong while mail is on its way, nothing is
lost, sent falsely, bounced wrongly or mixed up, and nothing is sent twice that
nobody doubted.

    test/faults/matrix.py [--seed N] [--rounds N | --seconds N] [--only TEXT]

Deeds (deeds.py) x manners of talking x one lane, or two lanes of one
account. Two sites run at a time. The seed, which is printed, decides the
order; with the same seed, rounds and names a run is the same one again. A
round that went wrong is told with its evidence, and the log of its site stays
below build/log/matrix. The last lines are a table and a count; the status is 0
only when nothing was wrong.
"""
import argparse
import os
import random
import shutil
import sys
import time
import traceback
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test/integration"))

from harness import guard, paths                            # noqa: E402
from harness.certs import Certs                             # noqa: E402

from deeds import all_deeds                                 # noqa: E402
from mailsite import MANNERS, Site                    # noqa: E402

SITES = [(manner, lanes) for manner in MANNERS for lanes in (1, 2)]
WORKERS = 2
SHOWN_WRONG = 6


def choose(rng, only, manner, lanes):
    """The deeds for this site, in an order of its own."""
    found = [d for d in all_deeds()
             if not only or only in f"{manner}-{lanes} {d.name}"]
    rng.shuffle(found)
    return found


def one_round(site, deed):
    site.has_happened = True
    deed.begin(site)
    done = site.inject(deed.name)
    done.kills = deed.kills
    deed.act(site)
    deed.end(site)
    done.has_happened = site.has_happened
    site.settle(done)
    site.judge(done)
    return done


def told(site, done):
    print(f"{site.name}  {done.name}: WRONG: {len(done.wrong)}")
    for item in done.wrong[:SHOWN_WRONG]:
        print(f"    {item}")
    print("\n".join("    " + line for line in
                    site.evidence().splitlines()[-40:]))
    sys.stdout.flush()


def keep(site, base):
    """What there is to look at, before it is removed."""
    to = os.path.join(paths.BUILD, "log/matrix", site.name)
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copytree(base, to, ignore=lambda folder, names: [
        n for n in names if n in ("libexec", "Maildir", "mail") or not (
            os.path.isdir(os.path.join(folder, n))
            or os.path.isfile(os.path.join(folder, n)))])


def run_site(manner, lanes, seed, limits):
    """(name, recovery, wrong, doubles, has happened) of each round."""
    rounds, seconds, only = limits
    rng = random.Random(f"{seed} {manner} {lanes}")
    deeds = choose(rng, only, manner, lanes)
    base = paths.make_base()
    results, began = [], time.monotonic()
    site = None
    try:
        site = Site(base, Certs(base), manner, lanes)
        site.start()
        while deeds and (len(results) < rounds if rounds else
                         time.monotonic() - began < seconds):
            deed = deeds[len(results) % len(deeds)]
            done = one_round(site, deed)
            results.append((deed.name, done.recovery_s,
                            [str(w) for w in done.wrong], done.doubles,
                            done.has_happened))
            if done.wrong:
                told(site, done)
                keep(site, base)
    except Exception:       # of the harness: the site's rounds end here
        text = traceback.format_exc()
        print(f"{manner}-{lanes}: {deed.name if results or site else ''}: "
              f"{text}")
        results.append((deed.name if site else "start", 0.0, [text], 0))
        if site:
            keep(site, base)
    finally:
        if site:
            site.destroy()
        paths.drop_base(base)
    return results


def table(results):
    """Rounds of each kind of deed, those in which nothing came of it, doubles
    and recovery."""
    kinds = defaultdict(list)
    for _, name, *row in results:
        kinds[name.partition(":")[0].split(" at ")[0]].append(row)
    print(f"{'deed':34} rounds  idle wrong doubled   median    worst")
    for kind in sorted(kinds):
        rows = kinds[kind]
        times = sorted(r[0] for r in rows)
        print(f"{kind[:34]:34} {len(rows):6} {sum(not r[3] for r in rows):5}"
              f" {sum(bool(r[1]) for r in rows):5}"
              f" {sum(r[2] for r in rows):7} {times[len(times) // 2]:8.1f}"
              f" {times[-1]:8.1f} s")


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int,
                        default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--rounds", type=int, default=0,
                        help="of each site")
    parser.add_argument("--seconds", type=float, default=60,
                        help="of each site")
    parser.add_argument("--only", default="",
                        help="part of 'MANNER-LANES NAME'")
    return parser.parse_args()


def main():
    chosen = options()
    print(f"seed {chosen.seed}")
    sys.stdout.flush()
    limits = (chosen.rounds, chosen.seconds, chosen.only)
    results = []
    with ProcessPoolExecutor(
            WORKERS, initializer=guard.end_with_parent) as pool:
        runs = {pool.submit(run_site, manner, lanes, chosen.seed, limits):
                f"{manner}-{lanes}" for manner, lanes in SITES}
        for run in as_completed(runs):
            results += [(runs[run], *row) for row in run.result()]
    table(results)
    wrong = sum(bool(r[3]) for r in results)
    print(f"matrix: {len(results)} rounds, {wrong} wrong, "
          f"{sum(r[4] for r in results)} doubled in doubt, "
          f"seed {chosen.seed}")
    return 0 if results and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
