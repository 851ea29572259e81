/* The engine as a whole, in fake time, against modelled providers: it finds
 * their pace and stays there, keeps limits, defers nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "tools/lane-sim/sim_models.h"

static struct sim_world w;

enum { SLICE_S = 600 };

struct watch {
	int64_t from_s; /* converged by then */
	uint64_t accepted; /* by all lanes, until then, */
	uint64_t in_slice; /* ... and until the slice began */
	double slowest, fastest; /* slice from then on, per second */
	/* The rate allowed to the lane with the backlog. */
	double least, most;
};

static void
note(double value, double *least, double *most)
{
	if (value < *least || *least <= 0)
		*least = value;
	if (value > *most)
		*most = value;
}

static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_ERROR)
		print_error("%s\n", line);
}

static int
setup(void **state)
{
	(void)state;
	log_set_sink(swallow, NULL);
	sim_init(&w);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sim_fini(&w);
	log_set_sink(NULL, NULL);
	return 0;
}

/* make check takes some hours, POSTLANE_LONG=1 a day. */
static int64_t
span_s(int64_t hours)
{
	return getenv("POSTLANE_LONG") != NULL ? 86400 : hours * 3600;
}

static void
watch(void *ctx, struct sim_world *world, int64_t s)
{
	struct watch *seen = ctx;
	double rate =
	    lane_learned_rate(world->lanes[world->lane_count - 1].lane);

	if (s == seen->from_s)
		seen->accepted = seen->in_slice = world->provider.accepted;
	if (s < seen->from_s)
		return;
	if (s > seen->from_s && (s - seen->from_s) % SLICE_S == 0) {
		note((double)(world->provider.accepted - seen->in_slice) /
			 (double)SLICE_S,
		    &seen->slowest, &seen->fastest);
		seen->in_slice = world->provider.accepted;
	}
	if (isfinite(rate))
		note(rate, &seen->least, &seen->most);
}

static void
begin(struct watch *seen)
{
	w.on_second = watch;
	w.ctx = seen;
	sim_begin(&w);
}

static void
check_meter(const struct sim_meter *m)
{
	char rate[RATE_TEXT_SIZE];

	rate_to_text(&m->rate, rate, sizeof(rate));
	/* The engine's clock is one of milliseconds. */
	if (!sim_meter_is_kept(m, 1000))
		fail_msg("%s: a burst of %.6f, %.0f in a window", rate,
		    m->burst, m->most);
}

/* What must hold whatever the provider does. */
static void
check_world(void)
{
	uint64_t accepted = 0, inside = 0;

	for (int i = 0; i < w.lane_count; i++) {
		const struct sim_lane *l = &w.lanes[i];

		accepted += l->mail.accepted;
		inside += lane_in_flight(l->lane);
		assert_int_equal(l->mail.deferrals, 0);
		assert_int_equal(l->mail.bounced, 0);
		assert_true(l->refused * 50 <= l->mail.accepted);
	}
	/* Each once; the last replies are under way. */
	assert_in_range(w.provider.accepted, accepted, accepted + inside);
	assert_int_equal(w.provider.malformed, 0);
	assert_true(w.provider.live_most <= 20);
	for (size_t i = 0; i < w.provider.meter_count; i++)
		check_meter(&w.provider.meters[i]);
}

/* Within a tenth of what the provider takes, in each ten minutes; just after a
 * throttle the rate is that much below the ceiling, which may be one off. */
static void
check_pace(const struct watch *seen, double per_s)
{
	if (seen->slowest < 0.9 * per_s || seen->fastest > 1.1 * per_s ||
	    seen->least < 0.85 * per_s || seen->most > 1.15 * per_s)
		fail_msg("of %g/s: accepted %.3f to %.3f, rate %.3f to %.3f",
		    per_s, seen->slowest / per_s, seen->fastest / per_s,
		    seen->least / per_s, seen->most / per_s);
}

static void
find_pace(const char *model, double per_s, int64_t from_s, int64_t hours)
{
	struct watch seen = {.from_s = from_s};

	assert_true(sim_model_set(&w, model));
	begin(&seen);
	(void)sim_run(&w, span_s(hours));
	check_pace(&seen, per_s);
	check_world();
}

static void
sim_bucket_of_14_a_second_is_found(void **state)
{
	(void)state;
	find_pace("bucket14", 14, 120, 1);
}

static void
sim_bucket_is_found_on_an_uneven_line(void **state)
{
	(void)state;
	w.jitter_ms = 20;
	w.lanes[0].mail.rcpts_most = 5;
	w.lanes[0].mail.octets_most = 20000;
	find_pace("bucket14", 14, 120, 1);
}

static void
sim_bucket_is_found_without_chunking(void **state)
{
	(void)state;
	w.ehlo.chunking = false;
	find_pace("bucket14", 14, 120, 1);
}

static void
sim_windows_that_say_when_are_found(void **state)
{
	(void)state;
	find_pace("says20s", 5, 600, 1);
}

/* Without the day's quota. Its two or three first windows cost some forty
 * refusals. */
static void
sim_windows_of_a_minute_are_found(void **state)
{
	(void)state;
	assert_true(sim_model_set(&w, "minute30"));
	w.provider.limits.day_quota = 0;
	find_pace("minute30", 0.5, 1800, 3);
}

static void
drain(const char *model)
{
	assert_true(sim_model_set(&w, model));
	sim_begin(&w);
	(void)sim_run(&w, span_s(1));
	check_world();
	/* What comes is gone at once. */
	assert_true(sim_mail_quantile_s(&w.lanes[0].mail, 0.95) < 1);
	assert_true(w.lanes[0].mail.longest_ms < 5000);
}

static void
sim_sessions_of_five_are_replaced_in_time(void **state)
{
	(void)state;
	drain("closes5");
}

static void
sim_three_connections_do(void **state)
{
	(void)state;
	drain("three");
	assert_int_equal(w.provider.live_most, 3);
}

/* A trickle of urgent mail beside bulk that takes all it can. */
static void
sim_bulk_does_not_delay_the_urgent(void **state)
{
	struct watch seen = {.from_s = 120};
	double alone, used;

	(void)state;
	assert_true(sim_model_set(&w, "urgent"));
	w.lane_count = 1;
	sim_begin(&w);
	(void)sim_run(&w, span_s(1));
	check_world();
	alone = sim_mail_quantile_s(&w.lanes[0].mail, 0.95);
	sim_fini(&w);
	sim_init(&w);
	assert_true(sim_model_set(&w, "urgent"));
	begin(&seen);
	used = sim_run(&w, span_s(1)) - (double)seen.from_s;
	used = (double)(w.provider.accepted - seen.accepted) / used / 14;
	assert_true(used > 0.95);
	check_world();
	assert_true(sim_mail_quantile_s(&w.lanes[0].mail, 0.95) <= 2 * alone);
}

/* What is used of the rate after the first minute, and refused: over rates,
 * stores and round trips. A store of one message is a throttle for any jitter,
 * and gets the least. */
static void
sim_rates_of_all_sizes_are_found(void **state)
{
	static const struct {
		double per_s, burst;
		int rtt_ms, depth;
		uint64_t messages;
		double least;
	} t[] = {
	    {14, 14, 50, 1, 5000, 0.9},
	    {14, 14, 50, 10, 5000, 0.9},
	    {14, 14, 2, 10, 5000, 0.9},
	    {14, 14, 400, 10, 5000, 0.9},
	    {14, 2, 50, 10, 5000, 0.9},
	    {14, 1, 50, 10, 5000, 0.8},
	    {14, 28, 100, 10, 5000, 0.9},
	    {14, 140, 20, 10, 5000, 0.9},
	    {2, 2, 100, 10, 5000, 0.9},
	    {2, 20, 100, 10, 5000, 0.9},
	    {0.5, 30, 100, 10, 5000, 0.9},
	    {100, 10, 20, 10, 30000, 0.9},
	    {100, 100, 100, 10, 30000, 0.9},
	    {100, 1000, 20, 10, 30000, 0.9},
	    {1000, 1000, 2, 10, 150000, 0.9},
	    {1000, 1000, 20, 10, 150000, 0.9},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct watch seen = {.from_s = 60};
		double s, used;

		assert_true(sim_model_set(&w, "bucket14"));
		w.provider.limits.rate_per_s = t[i].per_s;
		w.provider.limits.burst = t[i].burst;
		w.rtt_ms = t[i].rtt_ms;
		w.lanes[0].set.lane_pipeline_depth = t[i].depth;
		w.lanes[0].mail.count = t[i].messages;
		begin(&seen);
		s = sim_run(&w, 86400);
		used = (double)(t[i].messages - seen.accepted) / (s - 60) /
		       t[i].per_s;
		if (used < t[i].least ||
		    w.lanes[0].refused * 50 > t[i].messages ||
		    w.lanes[0].mail.deferrals > 0)
			fail_msg("%g/s, burst %g, %d ms: used %.3f, refused "
				 "%llu, deferred %llu",
			    t[i].per_s, t[i].burst, t[i].rtt_ms, used,
			    (unsigned long long)w.lanes[0].refused,
			    (unsigned long long)w.lanes[0].mail.deferrals);
		check_world();
		(void)teardown(state);
		(void)setup(state);
	}
	sim_begin(&w);
}

/* 14 a second, 5, 14 again: what holds in the last ten minutes of each. */
static void
sim_rate_that_changes_is_followed(void **state)
{
	static const struct {
		double per_s;
		int64_t until_s;
	} t[] = {{14, 3600}, {5, 7200}, {14, 4 * 3600}};
	struct watch seen = {.from_s = 0};
	const struct sim_lane *l = &w.lanes[0];

	(void)state;
	assert_true(sim_model_set(&w, "bucket14"));
	begin(&seen);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t refused = l->refused, accepted = l->mail.accepted;

		w.provider.limits.rate_per_s = t[i].per_s;
		(void)sim_run(&w, t[i].until_s - 600);
		seen.least = seen.most = 0;
		(void)sim_run(&w, t[i].until_s);
		if (seen.least < 0.85 * t[i].per_s ||
		    seen.most > 1.1 * t[i].per_s)
			fail_msg("at %g/s: %.2f..%.2f", t[i].per_s, seen.least,
			    seen.most);
		refused = l->refused - refused;
		accepted = l->mail.accepted - accepted;
		assert_true(refused * 50 <= accepted);
	}
	check_world();
}

/* 5,000 messages in at most 1.2 of the ideal time. */
static void
sim_peculiar_providers_cost_little_time(void **state)
{
	static const struct {
		const char *model;
		double ideal_per_s;
	} t[] = {
	    /* 20 sessions: 7 round trips to dial, 5 messages in at least one
	     * more, and one until the end is seen */
	    {"closes5", 20 * 5 / (9 * 0.05)},
	    /* ... 50 messages in 5 round trips */
	    {"three", 3 * 50 / (13 * 0.05)},
	    {"says20s", 5},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		double s;

		assert_true(sim_model_set(&w, t[i].model));
		w.lanes[0].mail.per_s = 0;
		w.lanes[0].mail.count = 5000;
		sim_begin(&w);
		s = sim_run(&w, 86400);
		check_world();
		if (s > 1.2 * 5000 / t[i].ideal_per_s)
			fail_msg("%s: %.1f s, ideal %.1f s", t[i].model, s,
			    5000 / t[i].ideal_per_s);
		(void)teardown(state);
		(void)setup(state);
	}
	sim_begin(&w);
}

/* ---- limits that were told --------------------------------------------- */

static void
keep_limit(const char *rate, double per_s, int64_t s)
{
	struct watch seen = {.from_s = s / 10};
	char text[64];
	double used;

	(void)snprintf(text, sizeof(text), "%s", rate);
	w.lanes[0].set.lane_message_rate_limit = text;
	sim_provider_add_meter(&w.provider, SIM_MESSAGES, rate);
	begin(&seen);
	(void)sim_run(&w, s);
	used = (double)(w.provider.accepted - seen.accepted) /
	       (double)(s - seen.from_s) / per_s;
	check_world();
	if (fabs(used - 1) > 0.01)
		fail_msg("%s: used %.4f", rate, used);
}

static void
sim_set_rates_are_used_and_kept(void **state)
{
	static const struct {
		const char *rate;
		double per_s;
		int64_t s;
	} t[] = {
	    {"0.5/1s", 0.5, 3600},
	    {"14/1s", 14, 1800},
	    {"100/1s", 100, 600},
	    {"1000/1s", 1000, 60},
	    {"30/1m", 0.5, 3600},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		keep_limit(t[i].rate, t[i].per_s, t[i].s);
		(void)teardown(state);
		(void)setup(state);
	}
	sim_begin(&w);
}

/* An hour's 500 in 1000 s, and no more for the rest of it. */
static void
sim_quota_is_used_and_kept(void **state)
{
	const struct sim_meter *quota = &w.provider.meters[1];

	(void)state;
	assert_true(sim_model_set(&w, "quota500"));
	sim_begin(&w);
	(void)sim_run(&w, 4 * 3600);
	check_meter(&w.provider.meters[0]);
	check_meter(quota);
	assert_true(quota->total >= 4 * 0.98 * 500);
	assert_int_equal(w.lanes[0].mail.bounced, 0);
	assert_int_equal(w.lanes[0].refused, 0);
}

static void
sim_account_is_shared_and_kept(void **state)
{
	struct watch seen = {.from_s = 60};
	double used;

	(void)state;
	assert_true(sim_model_set(&w, "account100"));
	begin(&seen);
	(void)sim_run(&w, 600);
	check_world();
	used = (double)(w.provider.accepted - seen.accepted) / 540 / 100;
	assert_true(used > 0.98);
	/* As in an empty system: a round trip and a dial now and then. */
	assert_true(sim_mail_quantile_s(&w.lanes[0].mail, 0.95) < 0.1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(sim_bucket_of_14_a_second_is_found),
	    T(sim_bucket_is_found_on_an_uneven_line),
	    T(sim_bucket_is_found_without_chunking),
	    T(sim_rates_of_all_sizes_are_found),
	    T(sim_rate_that_changes_is_followed),
	    T(sim_peculiar_providers_cost_little_time),
	    T(sim_windows_that_say_when_are_found),
	    T(sim_windows_of_a_minute_are_found),
	    T(sim_sessions_of_five_are_replaced_in_time),
	    T(sim_three_connections_do),
	    T(sim_bulk_does_not_delay_the_urgent),
	    T(sim_set_rates_are_used_and_kept),
	    T(sim_quota_is_used_and_kept),
	    T(sim_account_is_shared_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
