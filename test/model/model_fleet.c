/* model-fleet: hosts that share an account, while all goes wrong that can.
 *
 *   model-fleet [--long] [--runs N] [--only SEED]
 *
 * Runs of five minutes of fake time, each with a fleet, wants and troubles of
 * its own (tools/lane-sim/sim_fleet.h). At no tick more than the limit may be
 * allowed to hosts, or in use by them; of what others learned each obeys what
 * one of them has told, and nothing else. Every other run has two to four hosts
 * or up to fifty; each tenth has no trouble, and there most of what could be
 * used has to be.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/clock.h"
#include "tools/lane-sim/sim_fleet.h"

enum {
	RUNS = 1000,
	RUNS_LONG = 10000,
	SPAN_S = 300,
	HOSTS_MOST = 50,
	WRONG_MAX = 5,
};

struct totals {
	long runs, wrong;
	long long ticks, over, questions, heard, untold, unheard;
	double possible[2], used[2]; /* without faults, with */
};

static void
run_one(unsigned long seed, struct totals *t)
{
	struct sim_fleet_plan plan = {
	    .seed = seed,
	    .hosts_most = HOSTS_MOST,
	    .span_us = SPAN_S * US_PER_S,
	    .has_faults = seed % 10 != 0,
	};
	struct sim_fleet_result r;

	sim_fleet_run(&plan, &r);
	t->runs++;
	t->ticks += r.ticks;
	t->over += r.over;
	t->questions += r.questions;
	t->heard += r.heard;
	t->untold += r.untold;
	t->unheard += r.unheard;
	t->possible[plan.has_faults] += r.possible;
	t->used[plan.has_faults] += r.used;
	if (r.untold + r.unheard > 0) {
		t->wrong++;
		(void)printf(
		    "--only %lu: %lld lessons obeyed that nobody told, "
		    "%lld not obeyed\n",
		    seed, (long long)r.untold, (long long)r.unheard);
	}
	if (r.over == 0)
		return;
	t->wrong++;
	(void)printf("--only %lu: %lld hosts, limit %lld, linger %lld s, "
		     "forget %lld s: over in %lld ticks, by %lld, first "
		     "after %.2f s\n",
	    seed, (long long)r.terms.size, (long long)r.terms.limit,
	    (long long)(r.terms.linger_us / US_PER_S),
	    (long long)(r.terms.forget_us / US_PER_S), (long long)r.over,
	    (long long)r.worst, (double)r.first_over_us / US_PER_S);
}

static double
part(const struct totals *t, bool has_faults)
{
	return t->possible[has_faults] > 0
		   ? t->used[has_faults] / t->possible[has_faults]
		   : 1;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"long", no_argument, NULL, 'l'},
	    {"runs", required_argument, NULL, 'n'},
	    {"only", required_argument, NULL, 'o'},
	    {NULL, 0, NULL, 0},
	};
	const char *env = getenv("POSTLANE_LONG");
	unsigned long first = 0;
	unsigned long runs = env != NULL && *env != '\0' ? RUNS_LONG : RUNS;
	static struct totals t;
	bool is_right;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l') {
			runs = RUNS_LONG;
		} else if (c == 'n') {
			runs = strtoul(optarg, NULL, 10);
		} else if (c == 'o') {
			first = strtoul(optarg, NULL, 10);
			runs = 1;
		} else {
			return 2;
		}
	}
	for (unsigned long i = 0; i < runs && t.wrong < WRONG_MAX; i++)
		run_one(first + i, &t);
	is_right =
	    t.runs > 0 && t.wrong == 0 && t.heard > 0 && part(&t, false) > 0.9;
	(void)printf("model-fleet: %ld runs, %lld ticks, %lld questions, over "
		     "the limit in %lld ticks; used of what could be %.1f %%, "
		     "without faults %.1f %%; of %lld lessons %lld untold, "
		     "%lld unheard, %.1f s%s\n",
	    t.runs, t.ticks, t.questions, t.over, 100 * part(&t, true),
	    100 * part(&t, false), t.heard, t.untold, t.unheard,
	    (double)clock() / CLOCKS_PER_SEC, is_right ? "" : ", WRONG");
	return is_right ? 0 : 1;
}
