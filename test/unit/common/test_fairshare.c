#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/limits/fairshare.h"
#include "test/support/fixture.h"

#define SECOND INT64_C(1000000)
#define MS INT64_C(1000)

static const int64_t start_us = 1000 * SECOND;

static struct limitset_rate
rate_of(int unit, const char *text)
{
	struct limitset_rate r = {.unit = unit};
	char error[256];

	assert_true(rate_parse(slice_str(text), &r.rate, error, sizeof(error)));
	return r;
}

/* An account of lanes with these weights, all of which ask for one limit. */
static struct fairshare *
account_of(const char *text, const int *weights, int lanes)
{
	struct fairshare *s = mem_zalloc(sizeof(*s));
	struct limitset_rate r = rate_of(0, text);
	bool in_use[FAIRSHARE_LANES] = {false};

	for (int i = 0; i < lanes; i++) {
		assert_int_equal(fairshare_find(s, i + 1, in_use), i);
		in_use[i] = true;
		fairshare_join(s, i, i + 1, weights[i], true, start_us);
		assert_true(fairshare_configure(s, i, &r, 1, in_use, start_us));
	}
	return s;
}

static const struct limitset_cost one = {{1, 1, 1}};

static void
share_without_limits_lets_all_go(void **state)
{
	struct fairshare *s = mem_zalloc(sizeof(*s));
	struct limitset_cost huge = {{1, 1000000, UINT64_MAX / 4096}};

	(void)state;
	assert_false(fairshare_is_limited(s));
	assert_false(fairshare_repair(s, start_us));
	fairshare_join(s, 0, 1, 1, true, start_us);
	assert_int_equal(fairshare_wait_us(s, 0, &huge, start_us, NULL), 0);
	assert_true(fairshare_take(s, 0, &huge, start_us));
	assert_int_equal(
	    limitset_ready(s->set.limits, LIMITSET_MAX, &huge, 99, start_us),
	    99);
	assert_int_equal(
	    limitset_expected(s->set.limits, LIMITSET_MAX, &huge, SECOND, 99),
	    99);
	assert_true(limitset_per_s(s->set.limits, LIMITSET_MAX, 0, start_us) ==
		    INT64_MAX);
	mem_free(s);
}

static void
share_waiting_lane_keeps_its_place(void **state)
{
	const int weights[] = {1, 1};
	struct fairshare *s = account_of("10/1s:1", weights, 2);
	const struct limitset_limit *why = NULL;
	int64_t now = start_us;

	(void)state;
	/* Lane 0 has all of it while nobody else comes. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(fairshare_wait_us(s, 0, &one, now, NULL), 0);
		assert_true(fairshare_take(s, 0, &one, now));
		assert_int_equal(
		    fairshare_wait_us(s, 0, &one, now, NULL), SECOND / 10);
		now += SECOND / 10;
	}
	now -= SECOND / 10;
	assert_int_equal(
	    fairshare_wait_us(s, 1, &one, now + 50 * MS, NULL), 50 * MS);
	now += SECOND / 10;
	/* Now it is lane 1's turn, and lane 0 waits until that was used ... */
	assert_int_equal(fairshare_wait_us(s, 0, &one, now, &why), 2 * MS);
	assert_ptr_equal(why, &s->set.limits[0]);
	assert_false(fairshare_take(s, 0, &one, now));
	assert_int_equal(fairshare_wait_us(s, 1, &one, now + MS, NULL), 0);
	assert_true(fairshare_take(s, 1, &one, now + MS));
	/* ... as of the time it was due. */
	assert_int_equal(
	    fairshare_wait_us(s, 0, &one, now + MS, NULL), SECOND / 10 - MS);
	/* A lane that does not come loses its place. */
	now += SECOND / 10;
	assert_true(fairshare_take(s, 0, &one, now));
	assert_int_equal(fairshare_wait_us(s, 1, &one, now, NULL), SECOND / 10);
	now += SECOND / 10;
	assert_false(fairshare_take(s, 0, &one, now));
	assert_true(fairshare_take(s, 0, &one, now + 20 * MS));
	/* So does one that says so. */
	assert_int_equal(
	    fairshare_wait_us(s, 1, &one, now + 20 * MS, NULL), SECOND / 10);
	assert_true(fairshare_quit(s, 1));
	assert_false(fairshare_quit(s, 1));
	now += 20 * MS + SECOND / 10;
	assert_true(fairshare_take(s, 0, &one, now));
	mem_free(s);
}

static void
share_limits_count_together(void **state)
{
	struct limitset_rate rates[3];
	struct fairshare *s = mem_zalloc(sizeof(*s));
	struct limitset_cost c = {{1, 10, 0}}, many = {{1, 101, 0}};
	const struct limitset_limit *why = NULL;

	(void)state;
	rates[0] = rate_of(0, "10/1s:10");
	rates[1] = rate_of(1, "20/1s:20");
	rates[2] = rate_of(1, "100/1d!");
	fairshare_join(s, 3, 7, 1, true, start_us);
	assert_true(fairshare_configure(s, 3, rates, 3, NULL, start_us));
	assert_int_equal(
	    limitset_ready(s->set.limits, LIMITSET_MAX, &c, 99, start_us), 2);
	assert_int_equal(
	    limitset_expected(s->set.limits, LIMITSET_MAX, &c, SECOND, 99), 2);
	assert_int_equal(
	    limitset_per_s(s->set.limits, LIMITSET_MAX, 0, start_us), 10);
	assert_int_equal(
	    limitset_per_s(s->set.limits, LIMITSET_MAX, 1, start_us), 20);
	assert_true(fairshare_take(s, 3, &c, start_us));
	assert_true(fairshare_take(s, 3, &c, start_us));
	assert_int_equal(
	    fairshare_wait_us(s, 3, &c, start_us, &why), SECOND / 2);
	assert_int_equal(why->unit, 1);
	assert_int_equal(why->limiter.kind, LIMITER_BUCKET);
	for (int i = 1; i <= 8; i++)
		assert_true(fairshare_take(s, 3, &c, start_us + i * SECOND));
	assert_int_equal(limitset_per_s(s->set.limits, LIMITSET_MAX, 1,
			     start_us + 9 * SECOND),
	    0);
	assert_true(fairshare_wait_us(s, 3, &c, start_us + 9 * SECOND, &why) >
		    3600 * SECOND);
	assert_int_equal(why->limiter.kind, LIMITER_QUOTA);
	assert_true(
	    fairshare_wait_us(s, 3, &many, start_us, NULL) == RATE_NEVER);
	/* Nobody is held up for one that waits so long. */
	fairshare_join(s, 4, 8, 1, true, start_us);
	c.units[1] = 0;
	assert_true(fairshare_take(s, 4, &c, start_us + 9 * SECOND));
	mem_free(s);
}

static void
share_new_value_keeps_what_is_used(void **state)
{
	const int weights[] = {1, 1};
	struct fairshare *s = account_of("100/1h!", weights, 2);
	struct limitset_rate more = rate_of(0, "120/1h!");
	struct limitset_rate both[2];
	bool in_use[FAIRSHARE_LANES] = {true, true};
	int64_t now = start_us;

	(void)state;
	both[0] = rate_of(0, "120/1h!");
	both[1] = rate_of(0, "14/1s");
	for (int i = 0; i < 100; i++)
		assert_true(fairshare_take(s, i % 2, &one, now));
	assert_true(fairshare_agrees(s, 0, in_use));
	/* One lane has the new value, the other still the old one. */
	assert_true(fairshare_configure(s, 0, &more, 1, in_use, now));
	assert_false(fairshare_agrees(s, 0, in_use));
	assert_false(fairshare_take(s, 0, &one, now));
	assert_true(fairshare_configure(s, 1, both, 2, in_use, now));
	assert_int_equal(
	    limitset_per_s(s->set.limits, LIMITSET_MAX, 0, now), 14);
	/* 14/1s: as full as new; of 120 there are 20 left. */
	for (int i = 0; i < 20; i++) {
		now += SECOND;
		assert_true(fairshare_take(s, 0, &one, now));
	}
	assert_false(fairshare_take(s, 0, &one, now + SECOND));
	/* Both are gone and come back: the first to come has no limits of its
	 * own, yet what it takes counts. */
	assert_true(fairshare_configure(s, 0, NULL, 0, NULL, now));
	assert_false(fairshare_is_limited(s));
	assert_true(fairshare_configure(s, 1, &more, 1, in_use, now));
	assert_int_equal(
	    limitset_per_s(s->set.limits, LIMITSET_MAX, 0, now), 0);
	mem_free(s);
}

static void
share_room_for_limits_is_bounded(void **state)
{
	struct fairshare *s = mem_zalloc(sizeof(*s));
	struct limitset_rate rates[LIMITSET_MAX + 1];
	bool in_use[FAIRSHARE_LANES] = {true, true};
	char text[32];

	(void)state;
	for (int i = 0; i <= LIMITSET_MAX; i++) {
		(void)snprintf(text, sizeof(text), "%d/%dh!", i + 1, i + 1);
		rates[i] = rate_of(0, text);
	}
	assert_true(
	    fairshare_configure(s, 0, rates, LIMITSET_MAX, in_use, start_us));
	assert_true(
	    fairshare_configure(s, 1, rates, LIMITSET_MAX, in_use, start_us));
	assert_false(fairshare_configure(
	    s, 1, rates + LIMITSET_MAX, 1, in_use, start_us));
	assert_false(fairshare_configure(
	    s, 1, rates, LIMITSET_MAX + 1, in_use, start_us));
	in_use[0] = false;
	assert_true(fairshare_configure(
	    s, 1, rates + LIMITSET_MAX, 1, in_use, start_us));
	mem_free(s);
}

static void
share_row_of_a_lane_is_found_again(void **state)
{
	struct fairshare *s = mem_zalloc(sizeof(*s));
	bool in_use[FAIRSHARE_LANES] = {false};

	(void)state;
	for (int i = 0; i < FAIRSHARE_LANES; i++) {
		assert_int_equal(fairshare_find(s, 100 + i, in_use), i);
		fairshare_join(s, i, 100 + i, 1, true, start_us - i);
	}
	assert_int_equal(fairshare_find(s, 105, in_use), 5);
	in_use[5] = true;
	assert_int_equal(fairshare_find(s, 105, in_use), FAIRSHARE_LANES - 1);
	memset(in_use, true, sizeof(in_use));
	assert_int_equal(fairshare_find(s, 7, in_use), -1);
	mem_free(s);
}

static void
share_damage_is_repaired(void **state)
{
	const int weights[] = {1, 1};
	struct fairshare *s = account_of("10/1s:1", weights, 2);
	struct fixture_random random;
	struct fairshare whole;

	(void)state;
	assert_true(fairshare_take(s, 0, &one, start_us));
	assert_false(fairshare_repair(s, start_us));
	whole = *s;
	/* Times to come: the bucket would stand still until then. */
	assert_true(fairshare_repair(s, start_us - 3600 * SECOND));
	assert_true(fairshare_wait_us(s, 1, &one, start_us - 3600 * SECOND,
			NULL) <= SECOND / 10);
	fixture_random_init(&random);
	for (int round = 0; round < 20000; round++) {
		int64_t *words = (int64_t *)s;

		*s = whole;
		for (int i = 0; i < 3; i++)
			words[fixture_random_below(
			    &random, sizeof(*s) / sizeof(int64_t))] =
			    (int64_t)(random.state >>
				      fixture_random_below(&random, 64));
		(void)fairshare_repair(s, start_us);
		fairshare_join(s, 0, 1, 1, true, start_us);
		(void)fairshare_wait_us(s, 0, &one, start_us, NULL);
		if (fairshare_take(s, 0, &one, start_us + 60 * SECOND))
			assert_int_equal(s->lanes[0].until_us, 0);
		assert_false(fairshare_repair(s, start_us + 60 * SECOND));
	}
	mem_free(s);
}

static void
share_takes_any_octets_for_a_file(void **state)
{
	struct fairshare *s = mem_zalloc(sizeof(*s));
	struct limitset_rate rates[] = {
	    rate_of(0, "10/1s"), rate_of(1, "9/1h!")};
	struct fixture_random random;
	bool in_use[FAIRSHARE_LANES];

	(void)state;
	fixture_random_init(&random);
	for (int round = 0; round < 20000; round++) {
		uint64_t *words = (uint64_t *)(void *)s;
		int64_t now = start_us + (int64_t)fixture_random_below(
					     &random, 1000 * SECOND);
		const struct limitset_limit *why = NULL;
		int me = (int)fixture_random_below(&random, FAIRSHARE_LANES);

		for (size_t i = 0; i < sizeof(*s) / sizeof(*words); i++) {
			size_t shift = fixture_random_below(&random, 64);

			/* small numbers too, which are kinds and bits */
			words[i] = random.state >> shift;
		}
		for (size_t i = 0; i < LIMITSET_MAX; i++)
			s->set.limits[i].limiter.kind =
			    (int64_t)fixture_random_below(&random, 4);
		for (int i = 0; i < FAIRSHARE_LANES; i++)
			in_use[i] = fixture_random_below(&random, 2) > 0;
		fairshare_shift(s, (int64_t)random.state);
		(void)fairshare_repair(s, now);
		assert_false(fairshare_repair(s, now));
		me = fairshare_find(s, 7, round % 2 == 0 ? NULL : in_use);
		if (me < 0)
			continue;
		fairshare_join(s, me, 7, 5, true, now);
		(void)fairshare_configure(s, me, rates, 2, in_use, now);
		(void)fairshare_agrees(s, me, in_use);
		(void)fairshare_wait_us(s, me, &one, now, &why);
		(void)!fairshare_take(s, me, &one, now + SECOND);
		fairshare_charge(s, &one, now, now + SECOND);
		(void)fairshare_is_use_news(s, me, now);
		fairshare_note_use(s, me, now);
		(void)fairshare_tell(s, me, in_use, now, now);
		(void)fairshare_pause(s, now + SECOND);
		(void)limitset_ready(
		    s->set.limits, LIMITSET_MAX, &one, 99, now);
		(void)limitset_expected(
		    s->set.limits, LIMITSET_MAX, &one, SECOND, 99);
		(void)limitset_per_s(s->set.limits, LIMITSET_MAX, 0, now);
		(void)fairshare_quit(s, me);
	}
	mem_free(s);
}

static void
share_reboot_shifts_its_times(void **state)
{
	const int weights[] = {1};
	struct fairshare *s = account_of("10/1d!", weights, 1);

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(fairshare_take(s, 0, &one, start_us));
	fairshare_shift(s, -start_us - 3600 * SECOND);
	assert_false(fairshare_take(s, 0, &one, 20 * 3600 * SECOND));
	assert_true(fairshare_take(s, 0, &one, 24 * 3600 * SECOND));
	mem_free(s);
}

/* ---- lanes at work ------------------------------------------------------ */

enum { LANES = 4, TAKES_MAX = 200000 };

struct worker {
	double arrivals_per_s; /* 0: a backlog without end */
	int64_t next_us; /* comes to ask */
	int64_t arrival_us; /* of the message in hand; 0: none */
	int64_t at_us; /* the next arrival */
	int64_t taken, waited_max_us;
	double waited_sum_us;
};

struct scene {
	const char *rate;
	int lanes;
	int weights[LANES];
	double arrivals[LANES]; /* per second */
	int lateness_ms; /* of timers, at most */
	int64_t length_us;
};

static struct worker workers[LANES];
static double worst_excess; /* above rate * time, in units */

/* Never more than burst + rate * window in any window: with x(n) = n - rate *
 * t(n), no x may be more than burst above any that came before. */
static void
watch(double per_s, int64_t at_us, int64_t count, double *least)
{
	double x = (double)count - per_s * (double)(at_us - start_us) / 1e6;

	if (x < *least)
		*least = x;
	if (x + 1 - *least > worst_excess)
		worst_excess = x + 1 - *least;
}

static void
run(struct fairshare *s, const struct scene *scene,
    struct fixture_random *random)
{
	double per_s = (double)s->set.limits[0].limiter.bucket.count_milli *
		       1e3 / (double)s->set.limits[0].limiter.bucket.period_us;
	double least = 1e18;
	int64_t count = 0, end = start_us + scene->length_us;

	memset(workers, 0, sizeof(workers));
	worst_excess = 0;
	for (int i = 0; i < scene->lanes; i++) {
		workers[i].arrivals_per_s = scene->arrivals[i];
		workers[i].next_us = workers[i].at_us = start_us;
	}
	for (;;) {
		struct worker *w = &workers[0];
		int64_t now, wait;
		int i;

		for (i = 1; i < scene->lanes; i++)
			if (workers[i].next_us < w->next_us)
				w = &workers[i];
		i = (int)(w - workers);
		now = w->next_us;
		if (now >= end)
			break;
		if (w->arrival_us == 0) {
			w->arrival_us = w->arrivals_per_s > 0 ? w->at_us : now;
			if (w->arrivals_per_s > 0)
				w->at_us +=
				    (int64_t)((double)(1 +
						       fixture_random_below(
							   random, 2000000)) /
					      w->arrivals_per_s);
		}
		if (w->arrival_us > now) {
			(void)fairshare_quit(s, i);
			w->next_us = w->arrival_us;
			w->arrival_us = w->next_us;
			continue;
		}
		wait = fairshare_wait_us(s, i, &one, now, NULL);
		if (wait > 0) {
			w->next_us = (now + wait + MS - 1) / MS * MS +
				     (int64_t)fixture_random_below(random,
					 (size_t)scene->lateness_ms + 1) *
					 MS;
			continue;
		}
		assert_true(fairshare_take(s, i, &one, now));
		watch(per_s, now, count++, &least);
		w->taken++;
		w->waited_sum_us += (double)(now - w->arrival_us);
		if (now - w->arrival_us > w->waited_max_us)
			w->waited_max_us = now - w->arrival_us;
		w->arrival_us = 0;
	}
}

static int64_t
taken_by_all(const struct scene *scene)
{
	int64_t sum = 0;

	for (int i = 0; i < scene->lanes; i++)
		sum += workers[i].taken;
	return sum;
}

static const struct scene scenes[] = {
    {"100/1s", 2, {1, 16}, {0, 1}, 3, 200 * SECOND},
    {"100/1s", 2, {1, 16}, {0, 50}, 3, 200 * SECOND},
    {"100/1s:1", 2, {1, 16}, {0, 20}, 2, 200 * SECOND},
    {"14/1s", 2, {1, 16}, {0, 2}, 5, 1000 * SECOND},
    {"30/1m", 2, {1, 16}, {0, 0.1}, 5, 20000 * SECOND},
    {"30/1m:5", 3, {1, 4, 16}, {0, 0, 0.1}, 5, 20000 * SECOND},
    {"1000/1s", 4, {1, 1, 4, 16}, {0, 0, 0, 100}, 5, 60 * SECOND},
    {"0.5/1s", 2, {1, 1}, {0, 0}, 5, 20000 * SECOND},
    {"23/1s", 4, {1, 1, 4, 16}, {0, 0, 0, 0}, 3, 1000 * SECOND},
    {"100/1s", 1, {1}, {0}, 5, 200 * SECOND},
};

static void
share_is_never_above_the_limit_and_wastes_nothing(void **state)
{
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		const struct scene *c = &scenes[i];
		struct fairshare *s = account_of(c->rate, c->weights, c->lanes);
		const struct bucket *b = &s->set.limits[0].limiter.bucket;
		double per_s =
		    (double)b->count_milli * 1e3 / (double)b->period_us;
		double due = per_s * (double)c->length_us / 1e6;
		double used;

		run(s, c, &random);
		used = (double)taken_by_all(c) / due;
		if (used < 0.98)
			fail_msg("%s: %.4f of the rate", c->rate, used);
		if (worst_excess > (double)b->burst + per_s * 0.010 + 1e-6)
			fail_msg("%s: %.3f above the rate, burst %d", c->rate,
			    worst_excess, (int)b->burst);
		mem_free(s);
	}
}

static void
share_urgent_lane_waits_for_a_token_not_for_a_backlog(void **state)
{
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (size_t i = 0; i < 5; i++) {
		const struct scene *c = &scenes[i];
		struct fairshare *s = account_of(c->rate, c->weights, c->lanes);
		const struct bucket *b = &s->set.limits[0].limiter.bucket;
		double interval =
		    (double)b->period_us * 1e3 / (double)b->count_milli;
		double mean;

		run(s, c, &random);
		mean = workers[1].waited_sum_us / (double)workers[1].taken;
		/* Until the next token, on average half of the time; its own
		 * messages before it come on top. */
		if (mean > interval + (double)c->lateness_ms * 1e3)
			fail_msg("%s: %.1f ms on average, interval %.1f ms",
			    c->rate, mean / 1e3, interval / 1e3);
		/* A bucket of several tokens has one left for it. */
		if (i == 0 && mean > 1e3)
			fail_msg("%.1f ms on average", mean / 1e3);
		assert_true(
		    workers[1].waited_max_us < (int64_t)interval * 8 + 40 * MS);
		mem_free(s);
	}
}

static void
share_follows_the_weights(void **state)
{
	const struct scene c = {
	    "100/1s", 3, {1, 4, 16}, {0, 0, 0}, 3, 210 * SECOND};
	struct fairshare *s = account_of(c.rate, c.weights, c.lanes);
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	run(s, &c, &random);
	for (int i = 0; i < 3; i++) {
		double share = (double)workers[i].taken * 21 /
			       (double)(c.weights[i] * taken_by_all(&c));

		if (share < 0.9 || share > 1.1)
			fail_msg("weight %d: %.3f of its share", c.weights[i],
			    share);
	}
	mem_free(s);
}

/* ---- giving way --------------------------------------------------------- */

static void
share_less_urgent_and_busy_lanes_are_told(void **state)
{
	const int weights[] = {50, 1, 10, 50, 10, 1};
	struct fairshare *s = account_of("1000/1s:100", weights, 6);
	bool in_use[FAIRSHARE_LANES] = {true, true, true, true, true, true};
	int64_t now = start_us + 60 * SECOND;

	(void)state;
	assert_false(fairshare_tell(s, 0, in_use, now, now)); /* all silent */
	for (int i = 1; i < 6; i++)
		fairshare_note_use(s, i, now);
	in_use[4] = false; /* gone */
	s->lanes[5].gives_way = 0;
	assert_true(fairshare_tell(s, 0, in_use, now - 5, now + 1));
	for (int i = 0; i < 6; i++) {
		bool is_told = i == 1 || i == 2;

		assert_int_equal(s->lanes[i].told_us, is_told ? now + 1 : 0);
		assert_int_equal(s->lanes[i].refused_us, is_told ? now - 5 : 0);
	}
	assert_false(fairshare_tell(s, 0, in_use, now, now + 2));
	assert_true(fairshare_is_use_news(s, 2, now + 2));
	fairshare_note_use(s, 2, now + 2);
	assert_false(fairshare_is_use_news(s, 2, now + 3));
	assert_true(fairshare_is_use_news(s, 2, now + SECOND));
	/* A take is noted as well. */
	assert_true(fairshare_take(s, 1, &one, now + 2));
	assert_true(fairshare_tell(s, 2, in_use, now, now + 3));
	assert_int_equal(s->lanes[1].told_us, now + 3);
	assert_true(fairshare_tell(s, 0, in_use, now, now + 10 * SECOND));
	assert_int_equal(s->lanes[2].told_us, now + 10 * SECOND);
	fairshare_note_use(s, 2, now + 10 * SECOND + 1);
	assert_false(fairshare_tell(s, 0, in_use, now, now + 21 * SECOND));
	mem_free(s);
}

static void
share_pause_only_grows_and_is_bounded(void **state)
{
	struct fairshare *s = mem_zalloc(sizeof(*s));

	(void)state;
	assert_true(fairshare_pause(s, start_us + 100));
	assert_false(fairshare_pause(s, start_us + 100));
	assert_false(fairshare_pause(s, start_us + 50));
	assert_false(fairshare_repair(s, start_us));
	fairshare_shift(s, 7);
	assert_int_equal(s->pause_until_us, start_us + 107);
	assert_true(fairshare_pause(s, start_us + 200000 * SECOND));
	assert_true(fairshare_repair(s, start_us));
	assert_int_equal(s->pause_until_us, 0);
	mem_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(share_without_limits_lets_all_go),
	    cmocka_unit_test(share_waiting_lane_keeps_its_place),
	    cmocka_unit_test(share_limits_count_together),
	    cmocka_unit_test(share_new_value_keeps_what_is_used),
	    cmocka_unit_test(share_room_for_limits_is_bounded),
	    cmocka_unit_test(share_row_of_a_lane_is_found_again),
	    cmocka_unit_test(share_damage_is_repaired),
	    cmocka_unit_test(share_takes_any_octets_for_a_file),
	    cmocka_unit_test(share_reboot_shifts_its_times),
	    cmocka_unit_test(share_is_never_above_the_limit_and_wastes_nothing),
	    cmocka_unit_test(
		share_urgent_lane_waits_for_a_token_not_for_a_backlog),
	    cmocka_unit_test(share_follows_the_weights),
	    cmocka_unit_test(share_less_urgent_and_busy_lanes_are_told),
	    cmocka_unit_test(share_pause_only_grows_and_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
