#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/controller.h"

static const int64_t second = 1000000;
static const struct controller_config config = {0.001, INFINITY, 200};

static struct controller a;
static int64_t now;

static int
setup(void **state)
{
	(void)state;
	now = 1000 * second;
	controller_init(&a, &config, now);
	return 0;
}

/* One message there and back, after whatever wait. */
static void
accept_one(int64_t latency_us)
{
	int64_t wait = controller_wait_us(&a, now), sent;

	assert_true(wait < INT64_MAX);
	now += wait;
	assert_int_equal(controller_wait_us(&a, now), 0);
	controller_take(&a, now);
	sent = now;
	now += latency_us;
	controller_on_accepted(&a, sent, now);
}

static void
refuse_one(int64_t latency_us, int64_t wait_us)
{
	int64_t wait = controller_wait_us(&a, now), sent;

	assert_true(wait < INT64_MAX);
	now += wait;
	controller_take(&a, now);
	sent = now;
	now += latency_us;
	controller_on_throttled(&a, sent, wait_us, false, now);
}

static void
adapt_without_throttle_has_no_rate(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		accept_one(1000);
	assert_true(isinf(controller_rate(&a)));
	assert_int_equal(controller_wait_us(&a, now), 0);
}

/* In the air at any time: not much more than was accepted by then. */
static void
adapt_window_grows_with_what_was_accepted(void **state)
{
	(void)state;
	for (int flight = 0; flight < 20; flight++) {
		int n = 0, before = controller_window(&a);

		for (; controller_wait_us(&a, now) == 0; n++)
			controller_take(&a, now);
		assert_int_equal(n, before);
		for (int i = 0; i < n; i++)
			controller_on_accepted(&a, now, now + 50000);
		now += 50000;
		assert_true(controller_window(&a) <= before + before / 2 + 1);
	}
	assert_int_equal(controller_window(&a), 200);
}

static void
adapt_full_window_waits_for_an_answer(void **state)
{
	(void)state;
	while (controller_wait_us(&a, now) == 0)
		controller_take(&a, now);
	assert_true(controller_wait_us(&a, now) == INT64_MAX);
	controller_on_other(&a);
	assert_int_equal(controller_wait_us(&a, now), 0);
}

static void
adapt_first_throttle_starts_from_own_throughput(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		accept_one(50000); /* 20 a second */
	refuse_one(50000, 0);
	assert_true(controller_rate(&a) > 14 && controller_rate(&a) <= 20);
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
		controller_take(&a, now);
	sent = now;
	now += 50000;
	controller_on_throttled(&a, sent, 0, false, now);
	rate = controller_rate(&a);
	for (int i = 1; i < 10; i++)
		controller_on_throttled(&a, sent, 0, false, ++now);
	assert_int_equal(a.events, 1);
	assert_int_equal(a.throttled, 10);
	assert_true(controller_rate(&a) == rate);
}

static void
adapt_pause_of_the_reply_is_obeyed(void **state)
{
	(void)state;
	accept_one(1000);
	refuse_one(1000, 92 * second);
	assert_int_equal(controller_wait_us(&a, now), 92 * second);
	now += 92 * second;
	assert_true(controller_wait_us(&a, now) < 2 * second);
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
		assert_int_equal(controller_window(&a), 1);
		waits[i] = controller_wait_us(&a, now);
	}
	for (int i = 3; i < 20; i++)
		assert_true(
		    waits[i] == 2 * waits[i - 1] || waits[i] == 600 * second);
	assert_int_equal(waits[19], 600 * second);
	accept_one(10000);
	assert_true(controller_window(&a) > 1);
	assert_true(controller_wait_us(&a, now) < second);
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
	assert_true(controller_rate(&a) < 1.5);
	assert_true(controller_rate(&a) > 0.3);
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
	before = controller_rate(&a);
	/* A message a minute for a day: neither more nor much less. */
	for (int i = 0; i < 1440; i++) {
		now += 60 * second;
		accept_one(50000);
	}
	assert_true(controller_rate(&a) == before);
	refuse_one(50000, 0);
	assert_true(controller_rate(&a) > 0.7 * before);
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
	for (; controller_wait_us(&a, now) == 0; n++)
		controller_take(&a, now);
	assert_true(n <= 2);
}

static void
adapt_urgent_lane_is_not_cut_while_others_yield(void **state)
{
	double rate;

	(void)state;
	for (int i = 0; i < 100; i++)
		accept_one(50000);
	controller_take(&a, now);
	controller_on_throttled(&a, now, 0, true, now + 50000);
	now += 50000;
	assert_true(isinf(controller_rate(&a)));
	assert_true(controller_wait_us(&a, now) <= second / 4);
	/* and the one that yields is cut at once */
	for (int i = 0; i < 100; i++)
		accept_one(50000);
	controller_yield(&a, now, now);
	rate = controller_rate(&a);
	assert_true(rate < 20);
	assert_true(controller_wait_us(&a, now) > 0);
	controller_yield(&a, now, now); /* told twice of the same */
	assert_true(controller_rate(&a) == rate);
	/* What was refused was sent before that cut. */
	controller_take(&a, now);
	controller_on_accepted(&a, now, now + 50000);
	assert_false(controller_is_news(&a, now));
	controller_yield(&a, now, now + 50000);
	assert_int_equal(a.yields, 1);
	assert_true(controller_is_news(&a, now + 1));
	controller_yield(&a, now + 1, now + 50000);
	assert_int_equal(a.yields, 2);
}

static void
adapt_pause_until_ends_by_time(void **state)
{
	(void)state;
	controller_pause_until(&a, now + 100 * second);
	controller_pause_until(&a, now + 50 * second);
	assert_int_equal(controller_paused_until(&a), now + 100 * second);
	assert_int_equal(controller_wait_us(&a, now), 100 * second);
	assert_int_equal(controller_wait_us(&a, now + 100 * second), 0);
}

/* ---- memory ------------------------------------------------------------ */

static const int64_t wall = INT64_C(1800000000000);

static void
adapt_state_survives_a_restart(void **state)
{
	struct controller_stored stored, again;
	struct controller b, again_b;
	double rate;

	(void)state;
	for (int i = 0; i < 300; i++)
		accept_one(50000);
	refuse_one(50000, 0);
	controller_pause_until(&a, now + 1000 * second);
	rate = controller_rate(&a);
	controller_save(&a, &stored, now, wall);
	/* another clock, ten seconds later */
	controller_init(&b, &config, 5 * second);
	controller_load(&b, &stored, 5 * second, wall + 10000);
	assert_true(fabs(controller_rate(&b) / rate - 1) < 0.1);
	assert_int_equal(controller_paused_until(&b), 995 * second);
	controller_take(&b, 995 * second);
	assert_true(controller_wait_us(&b, 995 * second) > 0);
	/* or with the clock set back by hours */
	controller_init(&again_b, &config, 5 * second);
	controller_load(&again_b, &stored, 5 * second, wall - 5 * 3600000);
	assert_in_range(
	    controller_paused_until(&again_b), second, 2005 * second);
	/* and its next life, for as long as that was young enough */
	controller_save(&b, &again, 5 * second, wall + 10000);
	assert_int_equal(again.learned_wall_ms, stored.learned_wall_ms);
	assert_int_equal(again.ceiling_micro, stored.ceiling_micro);
}

static void
adapt_state_that_is_old_or_damaged_is_not_used(void **state)
{
	static const struct controller_stored bad[] = {
	    {0, 0, 0, 0},
	    {14000000, 0, 0, 0},
	    {14000000, 0, 0, INT64_C(1800000000000) - 8 * 86400000},
	    {-1, 0, 0, INT64_C(1800000000000)},
	    {INT64_MAX, 0, 0, INT64_C(1800000000000)},
	    {14000000, 99, 0, INT64_C(1800000000000)},
	    {14000000, 0, 0, INT64_MIN},
	    {14000000, 0, INT64_MIN, INT64_C(1800000000000)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		controller_init(&a, &config, now);
		controller_load(&a, &bad[i], now, wall);
		assert_true(isinf(controller_rate(&a)));
		assert_int_equal(controller_wait_us(&a, now), 0);
	}
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
	    T(adapt_pause_until_ends_by_time),
	    T(adapt_state_survives_a_restart),
	    T(adapt_state_that_is_old_or_damaged_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
