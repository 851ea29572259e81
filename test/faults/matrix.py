#!/usr/bin/python3
"""The fault matrix: whatever goes wrong while mail is on its way, nothing is
lost, sent falsely, bounced wrongly or mixed up, and nothing is sent twice that
nobody doubted.

    test/faults/matrix.py [--seed N] [--rounds N | --seconds N] [--only TEXT]
                          [--workers N]

Deeds (deeds.py, surroundings.py) x manners of talking x one lane, or two lanes
of one account; a site whose smarthost has a name, and one of a fleet. So many
sites run at a time as there are --workers. The seed, which is printed, decides
the order, and which of many calls fails; with the same seed, rounds and names a
run is the same one again. A
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
from mailsite import MANNERS, Site, site_name               # noqa: E402
from surroundings import own_deeds                          # noqa: E402

SITES = [(manner, lanes, "") for manner in MANNERS for lanes in (1, 2)] \
    + [("overlap", 1, "names"), ("bdat", 2, "fleet")]
WORKERS = 2
SHOWN_WRONG = 6
SLOW_S = 10             # a recovery that is told
FAILURES_MAX = 3        # of the harness, each of which costs minutes


def choose(rng, only, name, kind):
    """The deeds for this site, in an order of its own: in turn one that only
    this kind of site has, as long as there are any, and one that all have."""
    def chosen(deeds):
        found = [d for d in deeds if only in f"{name} {d.name}"]
        rng.shuffle(found)
        return found
    own, common = chosen(own_deeds(kind)), chosen(all_deeds(rng))
    return [d for pair in zip(own, common) for d in pair] \
        + own[len(common):] + common[len(own):]


def one_round(site, deed):
    site.has_happened = True
    deed.begin(site)
    done = site.inject(deed.name, deed.size)
    done.kills = deed.kills
    deed.act(site)
    deed.end(site)
    done.has_happened = site.has_happened
    site.settle(done)
    site.judge(done)
    deed.after(site)
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


def row_of(done):
    """(name, recovery, wrong, doubles, has happened): what crosses from one
    process to the other."""
    return (done.name, done.recovery_s, [str(w) for w in done.wrong],
            done.doubles, done.has_happened)


def row_of_error(name, text):
    """The harness failed: the round is wrong, whatever happened in it."""
    return name, 0.0, [text], 0, True


def run_rounds(at, deeds, results, goes_on):
    """Rounds of one site, from the deed behind the last one on, while
    goes_on(). False: the harness failed, and the site is of no more use."""
    base = paths.make_base()
    site, doing = None, "start"
    try:
        site = Site(base, Certs(base), *at)
        site.start()
        while goes_on():
            deed = deeds[len(results) % len(deeds)]
            doing = deed.name
            done = one_round(site, deed)
            results.append(row_of(done))
            if done.recovery_s > SLOW_S:
                print(f"{site.name}  {done.name}: {done.recovery_s:.1f} s")
            if done.wrong:
                told(site, done)
                keep(site, base)
        return True
    except Exception:
        text = traceback.format_exc()
        print(f"{site_name(*at)}: {doing}: {text}")
        results.append(row_of_error(doing, text))
        if site:
            keep(site, base)
        return False
    finally:
        if site:
            site.destroy()
        paths.drop_base(base)
        sys.stdout.flush()


def run_site(at, seed, limits):
    """The row_of() each round."""
    rounds, seconds, only = limits
    name = site_name(*at)
    rng = random.Random(f"{seed} {name}")
    deeds = choose(rng, only, name, at[-1])
    results, began, failures = [], time.monotonic(), 0

    def goes_on():
        return len(results) < rounds if rounds \
            else time.monotonic() - began < seconds
    while deeds and goes_on() and failures < FAILURES_MAX:
        failures += not run_rounds(at, deeds, results, goes_on)
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
    parser.add_argument("--workers", type=int, default=WORKERS,
                        help="sites at a time")
    return parser.parse_args()


def main():
    chosen = options()
    print(f"seed {chosen.seed}")
    sys.stdout.flush()
    limits = (chosen.rounds, chosen.seconds, chosen.only)
    results = []
    with ProcessPoolExecutor(
            chosen.workers, initializer=guard.end_with_parent) as pool:
        runs = {pool.submit(run_site, site, chosen.seed, limits):
                site_name(*site) for site in SITES}
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
