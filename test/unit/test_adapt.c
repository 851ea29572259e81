#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/adapt.h"
#include "test/unit/pace_world.h"

static const int64_t second = 1000000;
static const struct adapt_config config = {0.001, INFINITY, 200};

static struct adapt a;
static int64_t now;

static int
setup(void **state)
{
	(void)state;
	now = 1000 * second;
	adapt_init(&a, &config, now);
	return 0;
}

/* One message there and back, after whatever wait. */
static void
accept_one(int64_t latency_us)
{
	int64_t wait = adapt_wait_us(&a, now), sent;

	assert_true(wait < INT64_MAX);
	now += wait;
	assert_int_equal(adapt_wait_us(&a, now), 0);
	adapt_take(&a, now);
	sent = now;
	now += latency_us;
	adapt_on_accepted(&a, sent, now);
}

static void
refuse_one(int64_t latency_us, int64_t wait_us)
{
	int64_t wait = adapt_wait_us(&a, now), sent;

	assert_true(wait < INT64_MAX);
	now += wait;
	adapt_take(&a, now);
	sent = now;
	now += latency_us;
	adapt_on_throttled(&a, sent, wait_us, false, now);
}

static void
adapt_without_throttle_has_no_rate(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		accept_one(1000);
	assert_true(isinf(adapt_rate(&a)));
	assert_int_equal(adapt_wait_us(&a, now), 0);
	assert_int_equal(adapt_connections(&a, now), INT32_MAX);
}

/* In the air at any time: not much more than was accepted by then. */
static void
adapt_window_grows_with_what_was_accepted(void **state)
{
	(void)state;
	for (int flight = 0; flight < 20; flight++) {
		int n = 0, before = adapt_window(&a);

		for (; adapt_wait_us(&a, now) == 0; n++)
			adapt_take(&a, now);
		assert_int_equal(n, before);
		for (int i = 0; i < n; i++)
			adapt_on_accepted(&a, now, now + 50000);
		now += 50000;
		assert_true(adapt_window(&a) <= before + before / 2 + 1);
	}
	assert_int_equal(adapt_window(&a), 200);
}

static void
adapt_full_window_waits_for_an_answer(void **state)
{
	(void)state;
	while (adapt_wait_us(&a, now) == 0)
		adapt_take(&a, now);
	assert_true(adapt_wait_us(&a, now) == INT64_MAX);
	adapt_on_other(&a);
	assert_int_equal(adapt_wait_us(&a, now), 0);
}

static void
adapt_first_throttle_starts_from_own_throughput(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		accept_one(50000); /* 20 a second */
	refuse_one(50000, 0);
	assert_true(adapt_rate(&a) > 14 && adapt_rate(&a) <= 20);
}

static void
adapt_throttles_of_one_flight_are_one_event(void **state)
{
	double rate;
	int64_t sent;

	(void)state;
	for (int i = 0; i < 100; i++)
		accept_one(50000);
	for (int i = 0; i < 10; i++)
		adapt_take(&a, now);
	sent = now;
	now += 50000;
	adapt_on_throttled(&a, sent, 0, false, now);
	rate = adapt_rate(&a);
	for (int i = 1; i < 10; i++)
		adapt_on_throttled(&a, sent, 0, false, ++now);
	assert_int_equal(a.events, 1);
	assert_int_equal(a.throttled, 10);
	assert_true(adapt_rate(&a) == rate);
}

static void
adapt_pause_of_the_reply_is_obeyed(void **state)
{
	(void)state;
	accept_one(1000);
	refuse_one(1000, 92 * second);
	assert_int_equal(adapt_wait_us(&a, now), 92 * second);
	now += 92 * second;
	assert_true(adapt_wait_us(&a, now) < 2 * second);
}

static void
adapt_refusals_in_a_row_wait_longer_and_alone(void **state)
{
	int64_t waits[20];

	(void)state;
	for (int i = 0; i < 100; i++)
		accept_one(10000);
	for (int i = 0; i < 20; i++) {
		refuse_one(10000, 0);
		assert_int_equal(adapt_window(&a), 1);
		waits[i] = adapt_wait_us(&a, now);
	}
	for (int i = 3; i < 20; i++)
		assert_true(
		    waits[i] == 2 * waits[i - 1] || waits[i] == 600 * second);
	assert_int_equal(waits[19], 600 * second);
	accept_one(10000);
	assert_true(adapt_window(&a) > 1);
	assert_true(adapt_wait_us(&a, now) < second);
}

/* Thirty at once, then nothing for the rest of a minute: the rate is not what
 * the thirty went at. */
static void
adapt_refusals_of_a_minute_tell_the_rate(void **state)
{
	int64_t window;

	(void)state;
	for (int minute = 0; minute < 3; minute++) {
		window = now + 60 * second;
		for (int i = 0; i < 30; i++)
			accept_one(10000);
		while (now < window)
			refuse_one(10000, 0);
	}
	assert_true(adapt_rate(&a) < 1.5);
	assert_true(adapt_rate(&a) > 0.3);
}

static void
adapt_idle_time_teaches_nothing(void **state)
{
	double before;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++)
			accept_one(50000);
		refuse_one(50000, 0);
	}
	before = adapt_rate(&a);
	/* A message a minute for a day: neither more nor much less. */
	for (int i = 0; i < 1440; i++) {
		now += 60 * second;
		accept_one(50000);
	}
	assert_true(adapt_rate(&a) == before);
	refuse_one(50000, 0);
	assert_true(adapt_rate(&a) > 0.7 * before);
}

static void
adapt_idle_time_saves_up_no_burst(void **state)
{
	int n = 0;

	(void)state;
	for (int i = 0; i < 300; i++)
		accept_one(50000);
	refuse_one(50000, 0);
	now += 3600 * second;
	for (; adapt_wait_us(&a, now) == 0; n++)
		adapt_take(&a, now);
	assert_true(n <= 2);
}

static void
adapt_urgent_lane_is_not_cut_while_others_yield(void **state)
{
	double rate;

	(void)state;
	for (int i = 0; i < 100; i++)
		accept_one(50000);
	adapt_take(&a, now);
	adapt_on_throttled(&a, now, 0, true, now + 50000);
	now += 50000;
	assert_true(isinf(adapt_rate(&a)));
	assert_true(adapt_wait_us(&a, now) <= second / 4);
	/* and the one that yields is cut at once */
	for (int i = 0; i < 100; i++)
		accept_one(50000);
	adapt_yield(&a, now, now);
	rate = adapt_rate(&a);
	assert_true(rate < 20);
	assert_true(adapt_wait_us(&a, now) > 0);
	adapt_yield(&a, now, now); /* told twice of the same */
	assert_true(adapt_rate(&a) == rate);
	/* What was refused was sent before that cut. */
	adapt_take(&a, now);
	adapt_on_accepted(&a, now, now + 50000);
	assert_false(adapt_is_news(&a, now));
	adapt_yield(&a, now, now + 50000);
	assert_int_equal(a.yields, 1);
	assert_true(adapt_is_news(&a, now + 1));
	adapt_yield(&a, now + 1, now + 50000);
	assert_int_equal(a.yields, 2);
}

static void
adapt_pause_until_ends_by_time_or_by_hand(void **state)
{
	(void)state;
	adapt_pause_until(&a, now + 100 * second);
	adapt_pause_until(&a, now + 50 * second);
	assert_int_equal(adapt_paused_until(&a), now + 100 * second);
	assert_int_equal(adapt_wait_us(&a, now), 100 * second);
	adapt_resume(&a, now);
	assert_int_equal(adapt_wait_us(&a, now), 0);
}

static void
adapt_connections_are_learned_and_tried_again(void **state)
{
	(void)state;
	adapt_on_too_many_connections(&a, 3, 0, now);
	assert_int_equal(adapt_connections(&a, now), 3);
	now += 599 * second;
	assert_int_equal(adapt_connections(&a, now), 3);
	now += second;
	assert_int_equal(adapt_connections(&a, now), 4);
	adapt_on_too_many_connections(&a, 3, 0, now); /* in vain */
	now += 600 * second;
	assert_int_equal(adapt_connections(&a, now), 3);
	now += 600 * second;
	assert_int_equal(adapt_connections(&a, now), 4);
	adapt_on_connected(&a, 4, now); /* not in vain */
	assert_int_equal(adapt_connections(&a, now), 4);
	now += 600 * second;
	assert_int_equal(adapt_connections(&a, now), 5);
	adapt_on_too_many_connections(&a, 0, 0, now);
	assert_int_equal(adapt_connections(&a, now), 1);
}

/* ---- memory ------------------------------------------------------------ */

static const int64_t wall = INT64_C(1800000000000);

static void
adapt_state_survives_a_restart(void **state)
{
	struct adapt_stored stored;
	struct adapt b;
	double rate;

	(void)state;
	for (int i = 0; i < 300; i++)
		accept_one(50000);
	refuse_one(50000, 0);
	adapt_on_too_many_connections(&a, 3, 0, now);
	adapt_pause_until(&a, now + 1000 * second);
	rate = adapt_rate(&a);
	adapt_save(&a, &stored, now, wall);
	/* another clock, ten seconds later */
	adapt_init(&b, &config, 5 * second);
	adapt_load(&b, &stored, 5 * second, wall + 10000);
	assert_true(fabs(adapt_rate(&b) / rate - 1) < 0.1);
	assert_int_equal(adapt_connections(&b, 5 * second), 3);
	assert_int_equal(adapt_paused_until(&b), 995 * second);
	adapt_take(&b, 995 * second);
	assert_true(adapt_wait_us(&b, 995 * second) > 0);
}

static void
adapt_state_that_is_old_or_damaged_is_not_used(void **state)
{
	static const struct adapt_stored bad[] = {
	    {0, 0, 0, 0, 0},
	    {14000000, 0, 3, 0, 0},
	    {14000000, 0, 3, 0, INT64_C(1800000000000) - 8 * 86400000},
	    {-1, 0, 3, 0, INT64_C(1800000000000)},
	    {INT64_MAX, 0, 3, 0, INT64_C(1800000000000)},
	    {14000000, 99, 3, 0, INT64_C(1800000000000)},
	    {14000000, 0, -3, 0, INT64_C(1800000000000)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		adapt_init(&a, &config, now);
		adapt_load(&a, &bad[i], now, wall);
		assert_true(isinf(adapt_rate(&a)));
		assert_int_equal(adapt_connections(&a, now), INT32_MAX);
		assert_int_equal(adapt_wait_us(&a, now), 0);
	}
}

/* ---- against providers ------------------------------------------------- */

static struct pace_world w;

struct watch {
	uint64_t accepted_first; /* in the first minute */
	double least, most; /* the rate, from `from` seconds on */
	int64_t from_s;
};

static void
watch(void *ctx, struct pace_world *world, int64_t s)
{
	struct watch *seen = ctx;
	double rate = adapt_rate(&world->lanes[0].adapt);

	if (s == 60)
		seen->accepted_first = world->lanes[0].accepted;
	if (s < seen->from_s || isinf(rate))
		return;
	if (rate < seen->least || seen->least == 0)
		seen->least = rate;
	if (rate > seen->most)
		seen->most = rate;
}

static void
begin_world(struct watch *seen)
{
	w.on_second = watch;
	w.ctx = seen;
	pace_begin(&w);
}

static void
init_world(void)
{
	pace_init(&w);
	assert_true(pace_read_rules(&w, "providers/general.conf"));
}

/* The provider's rate used after the first minute, refused attempts, deferred
 * mail: over rates, stores and round trips. */
static void
adapt_finds_a_rate_nobody_told(void **state)
{
	static const struct {
		double rate_per_s, burst;
		int rtt_ms, depth;
		size_t messages;
	} t[] = {
	    {14, 14, 50, 1, 5000},
	    {14, 14, 50, 10, 5000},
	    {14, 14, 1, 10, 5000},
	    {14, 14, 400, 10, 5000},
	    {14, 2, 50, 1, 5000},
	    {14, 28, 100, 10, 5000},
	    {14, 140, 20, 1, 5000},
	    {2, 2, 100, 1, 5000},
	    {2, 20, 100, 10, 5000},
	    {0.5, 30, 100, 1, 5000},
	    {100, 10, 20, 1, 50000},
	    {100, 100, 100, 10, 50000},
	    {100, 1000, 20, 10, 50000},
	    {1000, 1000, 1, 1, 500000},
	    {1000, 1000, 20, 10, 500000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct watch seen = {.from_s = 60};
		struct pace_lane *l = &w.lanes[0];
		double s, used;

		init_world();
		w.provider.rate_per_s = t[i].rate_per_s;
		w.provider.burst = t[i].burst;
		w.provider.rtt_us = t[i].rtt_ms * 1000;
		l->depth = t[i].depth;
		l->messages = t[i].messages;
		begin_world(&seen);
		s = (double)pace_run(&w, 86400) / 1e6;
		assert_int_equal(l->accepted, t[i].messages);
		used = (double)(l->accepted - seen.accepted_first) / (s - 60) /
		       t[i].rate_per_s;
		if (used < 0.9 || l->refused * 50 > l->accepted ||
		    l->held_long > 0)
			fail_msg("%g/s, burst %g, %d ms: used %.3f, refused "
				 "%llu, held %llu",
			    t[i].rate_per_s, t[i].burst, t[i].rtt_ms, used,
			    (unsigned long long)l->refused,
			    (unsigned long long)l->held_long);
		pace_fini(&w);
	}
}

/* Within a tenth of the provider's rate for a day, once it is found. */
static void
adapt_stays_at_the_rate_for_a_day(void **state)
{
	static const struct {
		double rate_per_s; /* of a bucket of one second, or */
		int count, window_s; /* of a fixed window */
		bool says_when;
	} t[] = {
	    {14, 0, 0, false},
	    {0, 30, 60, false},
	    {0, 100, 20, true},
	    {0, 100, 20, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct watch seen = {.from_s = 3600};
		struct pace_lane *l = &w.lanes[0];
		double rate = t[i].rate_per_s;

		init_world();
		w.provider.rate_per_s = w.provider.burst = t[i].rate_per_s;
		w.provider.window_count = t[i].count;
		w.provider.window_us = t[i].window_s * second;
		w.provider.window_says_when = t[i].says_when;
		if (rate <= 0)
			rate = (double)t[i].count / t[i].window_s;
		begin_world(&seen);
		(void)pace_run(&w, 86400);
		if (seen.least < 0.9 * rate || seen.most > 1.1 * rate ||
		    (double)l->accepted < 0.94 * rate * 86400 ||
		    l->refused * 50 > l->accepted || l->held_long > 0)
			fail_msg("model %zu: rate %.3f..%.3f, accepted %llu, "
				 "refused %llu, held %llu",
			    i, seen.least / rate, seen.most / rate,
			    (unsigned long long)l->accepted,
			    (unsigned long long)l->refused,
			    (unsigned long long)l->held_long);
		pace_fini(&w);
	}
}

/* Drained within 1.2 of the ideal time. */
static void
adapt_loses_little_time_to_peculiar_providers(void **state)
{
	static const struct {
		int closes_after, connections, count;
		double ideal_per_s;
	} t[] = {
	    /* 20 sessions: 4 round trips to dial, 5 messages of one, half
	     * until the end is seen */
	    {5, 0, 0, 20 * 5 / (9.5 * 0.05)},
	    {0, 3, 0, 3 * 50 / (54.5 * 0.05)},
	    {0, 0, 100, 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct watch seen = {.from_s = 60};
		struct pace_lane *l = &w.lanes[0];
		double s;

		init_world();
		w.provider.closes_after = t[i].closes_after;
		w.provider.connections = t[i].connections;
		w.provider.window_count = t[i].count;
		w.provider.window_us = 20 * second;
		w.provider.window_says_when = true;
		l->messages = 5000;
		begin_world(&seen);
		s = (double)pace_run(&w, 86400) / 1e6;
		assert_int_equal(l->accepted, 5000);
		assert_int_equal(l->held_long, 0);
		if (s > 1.2 * 5000 / t[i].ideal_per_s)
			fail_msg("model %zu: %.1f s, ideal %.1f s", i, s,
			    5000 / t[i].ideal_per_s);
		pace_fini(&w);
	}
}

/* 14 a second, 5, 14 again. */
static void
adapt_follows_a_rate_that_changes(void **state)
{
	static const struct {
		double rate_per_s;
		int64_t until_s;
	} t[] = {{14, 3600}, {5, 7200}, {14, 4 * 3600}};
	struct watch seen = {.from_s = 0};
	struct pace_lane *l = &w.lanes[0];

	(void)state;
	init_world();
	w.provider.rate_per_s = w.provider.burst = t[0].rate_per_s;
	begin_world(&seen);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t refused = l->refused, accepted = l->accepted;

		w.provider.rate_per_s = t[i].rate_per_s;
		(void)pace_run(&w, t[i].until_s - 600);
		seen.least = seen.most = 0;
		(void)pace_run(&w, t[i].until_s);
		if (seen.least < 0.85 * t[i].rate_per_s ||
		    seen.most > 1.1 * t[i].rate_per_s)
			fail_msg("at %g/s: %.2f..%.2f", t[i].rate_per_s,
			    seen.least, seen.most);
		refused = l->refused - refused;
		accepted = l->accepted - accepted;
		if (refused * 50 > accepted)
			fail_msg("at %g/s: %llu refused of %llu",
			    t[i].rate_per_s, (unsigned long long)refused,
			    (unsigned long long)accepted);
	}
	pace_fini(&w);
}

/* A trickle of urgent mail beside a bulk lane that takes all it can. */
static void
adapt_bulk_does_not_delay_the_urgent(void **state)
{
	struct watch seen = {.from_s = 0};
	struct pace_lane *urgent = &w.lanes[0], *bulk = &w.lanes[1];
	int64_t alone, beside;

	(void)state;
	init_world();
	w.provider.rate_per_s = w.provider.burst = 14;
	urgent->arrivals_per_s = 1;
	begin_world(&seen);
	(void)pace_run(&w, 3600);
	alone = pace_quantile_us(urgent, 0.95);
	pace_fini(&w);

	init_world();
	w.provider.rate_per_s = w.provider.burst = 14;
	urgent->arrivals_per_s = 1;
	bulk->is_used = true;
	begin_world(&seen);
	(void)pace_run(&w, 3600);
	beside = pace_quantile_us(urgent, 0.95);
	assert_true(beside <= 2 * alone);
	assert_true(
	    (double)(urgent->accepted + bulk->accepted) > 0.9 * 14 * 3600);
	assert_true(isinf(adapt_rate(&urgent->adapt)));
	pace_fini(&w);
}

/* Explicit limits stay in force beside what is found. */
static void
adapt_configured_rate_is_not_exceeded(void **state)
{
	struct watch seen = {.from_s = 0};

	(void)state;
	init_world();
	w.provider.rate_per_s = w.provider.burst = 14;
	w.lanes[0].rate_limit = "10/1s 500/1m!";
	begin_world(&seen);
	(void)pace_run(&w, 3600);
	assert_true(w.lanes[0].accepted <= 500 * 61);
	assert_true(w.lanes[0].accepted >= 500 * 58);
	assert_int_equal(w.lanes[0].refused, 0);
	pace_fini(&w);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
	    T(adapt_without_throttle_has_no_rate),
	    T(adapt_window_grows_with_what_was_accepted),
	    T(adapt_full_window_waits_for_an_answer),
	    T(adapt_first_throttle_starts_from_own_throughput),
	    T(adapt_throttles_of_one_flight_are_one_event),
	    T(adapt_pause_of_the_reply_is_obeyed),
	    T(adapt_refusals_in_a_row_wait_longer_and_alone),
	    T(adapt_refusals_of_a_minute_tell_the_rate),
	    T(adapt_idle_time_teaches_nothing),
	    T(adapt_idle_time_saves_up_no_burst),
	    T(adapt_urgent_lane_is_not_cut_while_others_yield),
	    T(adapt_pause_until_ends_by_time_or_by_hand),
	    T(adapt_connections_are_learned_and_tried_again),
	    T(adapt_state_survives_a_restart),
	    T(adapt_state_that_is_old_or_damaged_is_not_used),
	    T(adapt_finds_a_rate_nobody_told),
	    T(adapt_stays_at_the_rate_for_a_day),
	    T(adapt_loses_little_time_to_peculiar_providers),
	    T(adapt_follows_a_rate_that_changes),
	    T(adapt_bulk_does_not_delay_the_urgent),
	    T(adapt_configured_rate_is_not_exceeded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
