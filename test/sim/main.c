/* lane-sim: hours of pacing against a model provider, in seconds.
 *
 *   lane-sim MODEL [HOURS [SECONDS-PER-LINE]]
 *
 * CSV on stdout: second, accepted/s, refused/s, rate allowed (0: none),
 * ceiling, sessions, and the same accepted and refused of the urgent lane where
 * there are two. The totals go to stderr. MODEL: see below. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "test/unit/pace_world.h"

struct printer {
	int64_t every;
	double accepted, refused, urgent, urgent_refused;
	int bulk;
};

static void
bucket14(struct pace_world *w)
{
	w->provider.rate_per_s = 14;
	w->provider.burst = 14;
}

/* 30 a minute, 10,000 a day. */
static void
minute30(struct pace_world *w)
{
	w->provider.window_count = 30;
	w->provider.window_us = 60 * 1000000;
	w->provider.day_quota = 10000;
}

static void
closes5(struct pace_world *w)
{
	w->provider.closes_after = 5;
	w->lanes[0].arrivals_per_s = 20;
}

static void
three(struct pace_world *w)
{
	w->provider.connections = 3;
	w->lanes[0].arrivals_per_s = 30;
}

/* 100 in 20 s; beyond, a 5xx that says when. */
static void
says20s(struct pace_world *w)
{
	w->provider.window_count = 100;
	w->provider.window_us = 20 * 1000000;
	w->provider.window_says_when = true;
}

/* An urgent lane beside a bulk one on an account of 14 a second. */
static void
urgent(struct pace_world *w)
{
	bucket14(w);
	w->lanes[0].arrivals_per_s = 1;
	w->lanes[1].is_used = true;
}

static const struct {
	const char *name;
	void (*set)(struct pace_world *w);
} models[] = {
    {"bucket14", bucket14},
    {"minute30", minute30},
    {"closes5", closes5},
    {"three", three},
    {"says20s", says20s},
    {"urgent", urgent},
};

static void
on_second(void *ctx, struct pace_world *w, int64_t second)
{
	struct printer *p = ctx;
	const struct pace_lane *l = &w->lanes[p->bulk];
	double n = (double)p->every;

	p->accepted += (double)l->in_second_accepted;
	p->refused += (double)l->in_second_refused;
	p->urgent += (double)w->lanes[0].in_second_accepted;
	p->urgent_refused += (double)w->lanes[0].in_second_refused;
	if (second % p->every != 0)
		return;
	(void)printf("%lld,%g,%g,%g,%g,%d", (long long)second, p->accepted / n,
	    p->refused / n,
	    isinf(adapt_rate(&l->adapt)) ? 0 : adapt_rate(&l->adapt),
	    l->adapt.ceiling, pace_sessions(l));
	if (p->bulk > 0)
		(void)printf(",%g,%g", p->urgent / n, p->urgent_refused / n);
	(void)printf("\n");
	p->accepted = p->refused = p->urgent = p->urgent_refused = 0;
}

static void
summarize(struct pace_world *w, int64_t us)
{
	for (int i = 0; i < PACE_LANES; i++) {
		struct pace_lane *l = &w->lanes[i];

		if (!l->is_used)
			continue;
		(void)fprintf(stderr,
		    "lane %d: %llu accepted in %.0f s (%.3f/s), %llu refused "
		    "(%.2f %%), %llu throttles, %llu sessions used up, %llu "
		    "dials refused, %llu held too long, waited p50 %.2f s p95 "
		    "%.2f s\n",
		    i, (unsigned long long)l->accepted, (double)us / 1e6,
		    (double)l->accepted * 1e6 / (double)us,
		    (unsigned long long)l->refused,
		    100.0 * (double)l->refused / (double)l->accepted,
		    (unsigned long long)l->adapt.events,
		    (unsigned long long)l->reconnects,
		    (unsigned long long)l->dials_refused,
		    (unsigned long long)l->held_long,
		    (double)pace_quantile_us(l, 0.5) / 1e6,
		    (double)pace_quantile_us(l, 0.95) / 1e6);
	}
}

int
main(int argc, char **argv)
{
	struct printer printer = {.every = 1};
	struct pace_world w;
	double hours = argc > 2 ? strtod(argv[2], NULL) : 1;
	size_t i = 0;

	if (argc > 3)
		printer.every = strtol(argv[3], NULL, 10);
	while (argc > 1 && i < sizeof(models) / sizeof(models[0]) &&
	       strcmp(models[i].name, argv[1]) != 0)
		i++;
	if (argc < 2 || i == sizeof(models) / sizeof(models[0]) || hours <= 0 ||
	    printer.every < 1) {
		(void)fprintf(stderr,
		    "usage: lane-sim MODEL [HOURS [SECONDS-PER-LINE]]\n"
		    "models: bucket14 minute30 closes5 three says20s urgent\n");
		return 2;
	}
	pace_init(&w);
	if (!pace_read_rules(&w, "providers/general.conf"))
		log_fatal("providers/general.conf cannot be read");
	models[i].set(&w);
	printer.bulk = w.lanes[1].is_used ? 1 : 0;
	w.on_second = on_second;
	w.ctx = &printer;
	pace_begin(&w);
	summarize(&w, pace_run(&w, (int64_t)(hours * 3600)));
	pace_fini(&w);
	return 0;
}
