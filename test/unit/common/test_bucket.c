#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/limits/bucket.h"

__extension__ typedef __int128 wide;

static const int64_t second = 1000000;

static struct rate
rate_of(const char *text)
{
	struct rate r;
	char error[256];

	assert_true(rate_parse(slice_str(text), &r, error, sizeof error));
	return r;
}

static struct bucket
bucket_of(const char *text, int64_t now_us)
{
	struct rate r = rate_of(text);
	struct bucket b;

	bucket_init(&b, &r, now_us);
	return b;
}

static void
bucket_lets_its_burst_go_at_once(void **state)
{
	struct bucket b = bucket_of("10/1s:15", 0);

	(void)state;
	assert_true(bucket_take(&b, 15, 0));
	assert_false(bucket_take(&b, 1, 0));
	assert_int_equal(bucket_wait_us(&b, 1, 0), second / 10);
	assert_false(bucket_take(&b, 1, second / 10 - 1));
	assert_true(bucket_take(&b, 1, second / 10));
	assert_int_equal(bucket_wait_us(&b, 15, second / 10), 15 * second / 10);
}

static void
bucket_does_not_save_beyond_its_burst(void **state)
{
	struct bucket b = bucket_of("10/1s:2", 0);

	(void)state;
	assert_true(bucket_take(&b, 2, 1000 * second));
	assert_false(bucket_take(&b, 1, 1000 * second));
}

static void
bucket_cost_above_burst_goes_into_debt(void **state)
{
	struct bucket b = bucket_of("10/1s:2", 0);

	(void)state;
	assert_true(bucket_take(&b, 12, 0));
	/* Level is -10: out of debt after one second. */
	assert_int_equal(bucket_wait_us(&b, 3, 0), second);
	assert_int_equal(bucket_wait_us(&b, 1, 0), second + second / 10);
	assert_int_equal(bucket_wait_us(&b, 0, 0), 0);
	assert_false(bucket_take(&b, 3, second - 1));
	assert_true(bucket_take(&b, 3, second));
}

static void
bucket_cost_of_nothing_always_goes(void **state)
{
	struct bucket b = bucket_of("1/1s", 0);

	(void)state;
	assert_true(bucket_take(&b, 1000, 0));
	assert_true(bucket_take(&b, 0, 0));
}

static void
bucket_clock_going_backwards_stands_still(void **state)
{
	struct bucket b = bucket_of("10/1s:1", 100 * second);

	(void)state;
	assert_true(bucket_take(&b, 1, 100 * second));
	assert_false(bucket_take(&b, 1, 0));
	assert_int_equal(
	    bucket_wait_us(&b, 1, 99 * second), second + second / 10);
	assert_true(bucket_take(&b, 1, 100 * second + second / 10));
}

/* Taking whatever goes, at any rate, for a long time: the count is that of
 * the rate to the last unit. */
static void
bucket_does_not_drift(void **state)
{
	static const struct {
		const char *rate;
		int64_t run_us;
		int64_t expected; /* burst + rate * run, rounded down */
	} t[] = {
	    {"14/1s:1", INT64_C(100000000000), 1400001},
	    {"7/3s:1", INT64_C(300000000000), 700001},
	    {"0.333/1s:1", INT64_C(1000000000000), 333001},
	    {"3333.333/7ms:5", INT64_C(7000000), 3333338},
	    {"50000/1d:1", INT64_C(864000000000), 500001},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct bucket b = bucket_of(t[i].rate, 5);
		int64_t now = 5, end = now + t[i].run_us, taken = 0;

		for (;;) {
			int64_t wait;

			while (bucket_take(&b, 1, now))
				taken++;
			wait = bucket_wait_us(&b, 1, now);
			assert_true(wait > 0);
			if (now + wait > end)
				break;
			now += wait;
		}
		/* A wait in whole microseconds may be one unit late. */
		assert_in_range(
		    taken, t[i].expected * 999 / 1000 - 1, t[i].expected);
	}
}

static void
bucket_loses_nothing_when_polled_late(void **state)
{
	struct bucket b = bucket_of("1000/1s:50", 0);
	int64_t taken = 0;

	(void)state;
	for (int64_t now = 0; now <= 1000 * second; now += 7919)
		while (bucket_take(&b, 1, now))
			taken++;
	assert_in_range(taken, 1000000 + 50 - 8, 1000000 + 50);
}

enum { EVENTS = 400 };

struct event {
	int64_t at_us;
	uint64_t cost;
};

/* Every window between two takes: at most burst + rate * length, and what
 * costs above the burst exceed it by. */
static void
check_windows(const struct rate *r, const struct event *e, size_t n)
{
	for (size_t first = 0; first < n; first++) {
		wide sum = 0, allowed;
		uint64_t largest = 0;

		for (size_t last = first; last < n; last++) {
			sum += e[last].cost;
			if (e[last].cost > largest)
				largest = e[last].cost;
			/* In units * period_us * 1000. */
			allowed = (wide)(e[last].at_us - e[first].at_us) *
				  r->count_milli;
			allowed += (wide)r->burst * r->period_us * 1000;
			/* The last one may be what went into debt. */
			if (largest > (uint64_t)r->burst)
				allowed += (wide)largest * r->period_us * 1000;
			assert_true(sum * r->period_us * 1000 <= allowed);
		}
	}
}

static void
bucket_never_exceeds_its_rate_in_any_window(void **state)
{
	static const char *const rates[] = {"14/1s", "10/1s:15", "0.5/1s",
	    "1000/1s", "7/3s:2", "3333.333/7ms:3", "30/1m:5"};
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < 100; round++) {
		struct rate r = rate_of(
		    rates[(size_t)random() % (sizeof rates / sizeof rates[0])]);
		struct event events[EVENTS];
		int64_t now = random() % 1000000;
		int64_t gap = r.period_us * 1000 / r.count_milli * 2 + 1;
		uint64_t cost_max =
		    (uint64_t)(random() % 3 == 0 ? r.burst * 3 : r.burst);
		struct bucket b;
		size_t n = 0;

		bucket_init(&b, &r, now);
		for (int i = 0; i < 5000 && n < EVENTS; i++) {
			uint64_t cost = 1 + (uint64_t)random() % cost_max;
			int64_t wait = bucket_wait_us(&b, cost, now);
			bool took = bucket_take(&b, cost, now);

			/* The two must agree, and the wait be exact. */
			assert_int_equal(took, wait == 0);
			if (took)
				events[n++] = (struct event){now, cost};
			if (!took && random() % 2 == 0) {
				struct bucket copy = b;

				assert_false(
				    bucket_take(&copy, cost, now + wait - 1));
				now += wait;
				assert_int_equal(
				    bucket_wait_us(&b, cost, now), 0);
			} else if (random() % 50 == 0) {
				now += gap * (random() % 100);
			} else {
				now += random() % gap;
			}
		}
		check_windows(&r, events, n);
	}
}

static void
bucket_give_back_undoes_a_take(void **state)
{
	struct bucket b = bucket_of("7/3s:5", 0), before;

	(void)state;
	assert_true(bucket_take(&b, 3, 0));
	before = b;
	assert_true(bucket_take(&b, 2, 0));
	bucket_give_back(&b, 2, 0);
	assert_memory_equal(&b, &before, sizeof b);
	bucket_give_back(&b, 3, 0);
	assert_true(bucket_take(&b, 5, 0));
	assert_false(bucket_take(&b, 1, 0));
}

static void
bucket_give_back_never_makes_more_than_full(void **state)
{
	struct bucket b = bucket_of("10/1s:5", 0);

	(void)state;
	bucket_give_back(&b, 1000, 0);
	assert_true(bucket_take(&b, 5, second));
	assert_false(bucket_take(&b, 1, second));
	/* What was refilled meanwhile is not given back once more. */
	b = bucket_of("10/1s:5", 0);
	assert_true(bucket_take(&b, 2, 0));
	assert_true(bucket_take(&b, 5, second));
	bucket_give_back(&b, 2, 0);
	assert_false(bucket_take(&b, 1, second));
}

/* With takes given back at random times, what was kept still keeps to the
 * rate. */
static void
bucket_with_give_backs_never_exceeds_its_rate(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct rate r = rate_of("10/1s:4");

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < 200; round++) {
		struct event events[EVENTS];
		struct bucket b;
		int64_t now = 0;
		size_t n = 0;

		bucket_init(&b, &r, now);
		for (int i = 0; i < 2000 && n < EVENTS; i++) {
			uint64_t cost = 1 + (uint64_t)random() % 4;

			if (bucket_take(&b, cost, now))
				events[n++] = (struct event){now, cost};
			if (n > 0 && random() % 4 == 0) {
				size_t k =
				    n - 1 - (size_t)random() % (n < 5 ? n : 5);

				bucket_give_back(
				    &b, events[k].cost, events[k].at_us);
				events[k] = events[--n];
				/* Keep them in order of time. */
				for (; k + 1 < n &&
				       events[k].at_us > events[k + 1].at_us;
				     k++) {
					struct event e = events[k];

					events[k] = events[k + 1];
					events[k + 1] = e;
				}
			}
			now += random() % (second / 5);
		}
		check_windows(&r, events, n);
	}
}

static void
bucket_set_rate_keeps_what_was_taken(void **state)
{
	struct bucket b = bucket_of("10/1s:5", 0);
	struct rate faster = rate_of("100/1s:5"), slow = rate_of("1/1s:5");

	(void)state;
	assert_true(bucket_take(&b, 4, 0));
	bucket_set_rate(&b, &faster, 0);
	assert_true(bucket_take(&b, 1, 0));
	assert_false(bucket_take(&b, 1, 0));
	assert_int_equal(bucket_wait_us(&b, 1, 0), 10000);
	bucket_set_rate(&b, &slow, 0);
	assert_int_equal(bucket_wait_us(&b, 1, 0), second);
}

static void
bucket_of_absurd_size_stays_defined(void **state)
{
	struct bucket b = bucket_of("0.1/400d:2", 0);

	(void)state;
	assert_true(bucket_take(&b, UINT64_MAX, 0));
	assert_true(bucket_wait_us(&b, UINT64_MAX, 0) > 0);
	assert_true(bucket_wait_us(&b, 1, INT64_MIN / 2) > 0);
	assert_true(bucket_take(&b, UINT64_MAX, INT64_MAX));
	assert_true(bucket_wait_us(&b, UINT64_MAX, INT64_MAX) > 0);
	bucket_give_back(&b, UINT64_MAX, 0);
	b = bucket_of("999999999999.999/1ms:1000000000000", INT64_MAX);
	assert_true(bucket_take(&b, 1000000000000, INT64_MAX));
	assert_true(bucket_wait_us(&b, 1, INT64_MAX) > 0);
}

static void
bucket_set_rate_of_absurd_size_stays_defined(void **state)
{
	struct bucket b = bucket_of("999999999999/1ms:1000000000000", 0);
	struct rate slow = rate_of("0.1/400d:1");

	(void)state;
	assert_true(bucket_take(&b, 1000000000000, 0));
	bucket_set_rate(&b, &slow, 0);
	assert_false(bucket_take(&b, 1, 0));
	assert_true(bucket_wait_us(&b, 1, 0) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bucket_lets_its_burst_go_at_once),
	    cmocka_unit_test(bucket_does_not_save_beyond_its_burst),
	    cmocka_unit_test(bucket_cost_above_burst_goes_into_debt),
	    cmocka_unit_test(bucket_cost_of_nothing_always_goes),
	    cmocka_unit_test(bucket_clock_going_backwards_stands_still),
	    cmocka_unit_test(bucket_does_not_drift),
	    cmocka_unit_test(bucket_loses_nothing_when_polled_late),
	    cmocka_unit_test(bucket_never_exceeds_its_rate_in_any_window),
	    cmocka_unit_test(bucket_give_back_undoes_a_take),
	    cmocka_unit_test(bucket_give_back_never_makes_more_than_full),
	    cmocka_unit_test(bucket_with_give_backs_never_exceeds_its_rate),
	    cmocka_unit_test(bucket_set_rate_keeps_what_was_taken),
	    cmocka_unit_test(bucket_of_absurd_size_stays_defined),
	    cmocka_unit_test(bucket_set_rate_of_absurd_size_stays_defined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
