/* lane-sim: hours of a lane's life with a model provider, in seconds.
 *
 *   lane-sim MODEL [HOURS [SECONDS-PER-LINE]]
 *   lane-sim fleet [HOSTS]
 *
 * CSV on stdout: second, accepted/s, refused/s, rate allowed (0: none),
 * ceiling, sessions, and accepted and refused of the urgent lane where there
 * are two. The totals go to stderr. Run in the top directory, where providers/
 * is.
 *
 * fleet: ten minutes of hosts that share 1,000 units, which all of them want,
 * then only half of them, then all again; and hosts and engine fail
 * (sim_fleet.h). CSV of second, what could be used, what is allowed to hosts,
 * what they use, and how many have no lease. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "tools/lane-sim/sim_fleet.h"
#include "tools/lane-sim/sim_models.h"

struct printer {
	int64_t every;
	uint64_t accepted[SIM_LANES], refused[SIM_LANES]; /* told of */
};

/* Log lines would drown the figures. */
static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_ERROR)
		(void)fprintf(stderr, "%s\n", line);
}

static double
since(uint64_t now, uint64_t *told)
{
	uint64_t n = now - *told;

	*told = now;
	return (double)n;
}

static void
on_second(void *ctx, struct sim_world *w, int64_t second)
{
	struct printer *p = ctx;
	int bulk = w->lane_count - 1;
	const struct sim_lane *l = &w->lanes[bulk];
	double rate = lane_learned_rate(l->lane), n = (double)p->every;

	if (second % p->every != 0)
		return;
	(void)printf("%lld,%g,%g,%g,%g,%zu", (long long)second,
	    since(l->mail.accepted, &p->accepted[bulk]) / n,
	    since(l->refused, &p->refused[bulk]) / n, isinf(rate) ? 0 : rate,
	    (double)sim_learned(l).ceiling_micro / 1e6, lane_sessions(l->lane));
	if (bulk > 0)
		(void)printf(",%g,%g",
		    since(w->lanes[0].mail.accepted, &p->accepted[0]) / n,
		    since(w->lanes[0].refused, &p->refused[0]) / n);
	(void)printf("\n");
}

static void
sum_up_lane(struct sim_lane *l, double s)
{
	struct sim_mail *m = &l->mail;
	const struct lane_figures *f = lane_figures(l->lane);

	(void)fprintf(stderr,
	    "lane %d: %llu accepted in %.0f s (%.3f/s), %llu refused (%.2f "
	    "%%), %llu deferred, %llu bounced, %llu in doubt; %llu sessions, "
	    "%llu by 421, %llu dials refused; took p50 %.3f s p95 %.3f s at "
	    "most %.1f s\n",
	    l->me, (unsigned long long)m->accepted, s, (double)m->accepted / s,
	    (unsigned long long)l->refused,
	    100.0 * (double)l->refused /
		(double)(m->accepted > 0 ? m->accepted : 1),
	    (unsigned long long)m->deferrals, (unsigned long long)m->bounced,
	    (unsigned long long)f->in_doubt, (unsigned long long)f->sessions,
	    (unsigned long long)l->ended[SESSION_END_421],
	    (unsigned long long)l->dials_refused, sim_mail_quantile_s(m, 0.5),
	    sim_mail_quantile_s(m, 0.95), (double)m->longest_ms / 1000);
}

static void
sum_up(struct sim_world *w, double s)
{
	double cpu = (double)clock() / CLOCKS_PER_SEC;
	const struct sim_provider *p = &w->provider;
	uint64_t kicks = 0;

	for (int i = 0; i < w->lane_count; i++) {
		sum_up_lane(&w->lanes[i], s);
		kicks += w->lanes[i].kicks;
	}
	for (size_t i = 0; i < p->meter_count; i++) {
		const struct sim_meter *m = &p->meters[i];
		char rate[RATE_TEXT_SIZE];

		rate_to_text(&m->rate, rate, sizeof(rate));
		(void)fprintf(stderr,
		    "provider: %s: %.0f in all, at most %.3f above it", rate,
		    m->total, m->burst);
		if (m->rate.is_quota)
			(void)fprintf(stderr, ", %.0f in a window", m->most);
		(void)fprintf(stderr, "; %s\n",
		    sim_meter_is_kept(m, 1000) ? "kept" : "NOT KEPT");
	}
	(void)fprintf(stderr,
	    "provider: %llu accepted, at most %d connections, %llu malformed "
	    "commands; %.1f s of CPU, %.1f us and %.1f looks a message\n",
	    (unsigned long long)p->accepted, p->live_most,
	    (unsigned long long)p->malformed, cpu,
	    cpu * 1e6 / (double)p->accepted,
	    (double)kicks / (double)p->accepted);
}

static void
on_fleet_second(void *ctx, const struct sim_fleet_second *now)
{
	(void)ctx;
	(void)printf("%lld,%lld,%lld,%lld,%lld\n", (long long)now->second,
	    (long long)now->possible, (long long)now->allowed,
	    (long long)now->used, (long long)now->alone);
}

/* The status: 0 when the limit was kept. */
static int
run_fleet(int hosts)
{
	const struct sim_fleet_turn turns[] = {
	    {0, SIM_FLEET_WANT, hosts, 0},
	    {60 * US_PER_S, SIM_FLEET_WANT, (hosts + 1) / 2, 0},
	    {120 * US_PER_S, SIM_FLEET_CUT, 1, 60 * US_PER_S},
	    {240 * US_PER_S, SIM_FLEET_AWAY, 0, 60 * US_PER_S},
	    {360 * US_PER_S, SIM_FLEET_EMPTY, 0, 0},
	    {420 * US_PER_S, SIM_FLEET_CLOCK, 0, 3600 * US_PER_S},
	    {450 * US_PER_S, SIM_FLEET_WANT, hosts, 0},
	    {480 * US_PER_S, SIM_FLEET_DEAD, 1, 600 * US_PER_S},
	    {540 * US_PER_S, SIM_FLEET_FORGET, 1, 0},
	};
	const struct sim_fleet_ops ops = {.on_second = on_fleet_second};
	struct sim_fleet_plan plan = {
	    .hosts = hosts,
	    .limit = 1000,
	    .span_us = 600 * US_PER_S,
	    .ttl_us = 30 * US_PER_S,
	    .turns = turns,
	    .turn_count = sizeof(turns) / sizeof(turns[0]),
	    .ops = &ops,
	};
	struct sim_fleet_result r;

	sim_fleet_run(&plan, &r);
	(void)fprintf(stderr,
	    "fleet: %d hosts, limit %lld: over it in %lld of %lld ticks; %.1f "
	    "%% of what could be was used; %.2f questions a second\n",
	    hosts, (long long)r.terms.limit, (long long)r.over,
	    (long long)r.ticks, 100 * r.used / r.possible,
	    (double)r.questions * US_PER_S / (double)plan.span_us);
	return r.over == 0 ? 0 : 1;
}

/* 0: not a number of hosts. */
static int
hosts_of(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return *end == '\0' && n >= 2 && n <= FLEET_HOSTS_MAX ? (int)n : 0;
}

static int
usage(void)
{
	struct buf models;

	buf_init(&models, 65536);
	sim_models_list(&models);
	(void)fprintf(stderr,
	    "usage: lane-sim MODEL [HOURS [SECONDS-PER-LINE]]\n"
	    "       lane-sim fleet [HOSTS], 2 to 64\n%s",
	    buf_str(&models));
	buf_fini(&models);
	return 2;
}

int
main(int argc, char **argv)
{
	static struct sim_world w;
	struct printer printer = {.every = 1};
	double hours = argc > 2 ? strtod(argv[2], NULL) : 1;

	if (argc > 1 && strcmp(argv[1], "fleet") == 0) {
		int hosts = argc > 2 ? hosts_of(argv[2]) : 2;

		return hosts > 0 ? run_fleet(hosts) : usage();
	}
	if (argc > 3)
		printer.every = strtol(argv[3], NULL, 10);
	sim_init(&w);
	if (argc < 2 || !sim_model_set(&w, argv[1]) || hours <= 0 ||
	    printer.every < 1)
		return usage();
	if (getenv("SIM_LOG") == NULL)
		log_set_sink(swallow, NULL);
	w.on_second = on_second;
	w.ctx = &printer;
	sim_begin(&w);
	sum_up(&w, sim_run(&w, (int64_t)(hours * 3600)));
	sim_fini(&w);
	return 0;
}
