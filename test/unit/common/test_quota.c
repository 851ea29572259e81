#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/limits/quota.h"

static const int64_t second = 1000000;

static struct quota
quota_of(const char *text, int64_t now_us)
{
	struct rate r;
	struct quota q;
	char error[256];

	assert_true(rate_parse(slice_str(text), &r, error, sizeof error));
	quota_init(&q, &r, now_us);
	return q;
}

static void
quota_counts_up_to_its_limit(void **state)
{
	struct quota q = quota_of("100/59s!", 0);

	(void)state;
	assert_true(quota_take(&q, 60, 0));
	assert_true(quota_take(&q, 40, 30 * second));
	assert_false(quota_take(&q, 1, 30 * second));
	assert_true(quota_take(&q, 0, 30 * second));
	assert_int_equal(quota_used(&q, 30 * second), 100);
	/* The first slot, of a second, counts until all of it has left. */
	assert_int_equal(quota_wait_us(&q, 1, 30 * second), 30 * second);
	assert_int_equal(quota_wait_us(&q, 60, 30 * second), 30 * second);
	assert_int_equal(quota_wait_us(&q, 61, 30 * second), 60 * second);
	assert_false(quota_take(&q, 1, 60 * second - 1));
	assert_true(quota_take(&q, 60, 60 * second));
	assert_int_equal(quota_used(&q, 1000 * second), 0);
	assert_true(quota_take(&q, 100, 1000 * second));
}

static void
quota_cost_above_the_limit_never_goes(void **state)
{
	struct quota q = quota_of("100/1d!", 0);

	(void)state;
	assert_false(quota_take(&q, 101, 0));
	assert_false(quota_take(&q, UINT64_MAX, 0));
	assert_true(quota_wait_us(&q, 101, 0) == RATE_NEVER);
	assert_true(quota_wait_us(&q, UINT64_MAX, 0) == RATE_NEVER);
	assert_true(quota_take(&q, 100, 0));
}

static void
quota_clock_going_backwards_stands_still(void **state)
{
	struct quota q = quota_of("10/59s!", 1000 * second);

	(void)state;
	assert_true(quota_take(&q, 10, 1000 * second));
	assert_false(quota_take(&q, 1, 0));
	assert_int_equal(quota_wait_us(&q, 1, 900 * second), 160 * second);
	assert_true(quota_take(&q, 1, 1060 * second));
}

static void
quota_of_a_tiny_period_works(void **state)
{
	struct quota q = quota_of("5/1ms!", 7);
	int64_t taken = 0;

	(void)state;
	for (int64_t now = 7; now < 7 + second; now++)
		while (quota_take(&q, 1, now))
			taken++;
	/* 60 slots of 17 us are 1020 us for each window of 1000. */
	assert_in_range(taken, 5 * 960, 5 * 1001);
}

enum { EVENTS = 600 };

static void
quota_never_exceeds_its_limit_in_any_window(void **state)
{
	static const char *const rates[] = {
	    "100/1s!", "17/59s!", "5/7s!", "1000/1h!", "50/1d!", "3/1ms!"};
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < 300; round++) {
		int64_t at[EVENTS], now = random() % 1000000;
		uint64_t cost[EVENTS];
		struct quota q = quota_of(rates[(size_t)random() % 6], now);
		int64_t gap = q.period_us / q.limit * 2 + 1;
		size_t n = 0;

		for (int i = 0; i < 5000 && n < EVENTS; i++) {
			uint64_t c = 1 + (uint64_t)random() % 3;
			int64_t wait = quota_wait_us(&q, c, now);
			bool took = quota_take(&q, c, now);

			assert_int_equal(took, wait == 0);
			if (took) {
				at[n] = now;
				cost[n++] = c;
			} else if (random() % 2 == 0) {
				struct quota copy = q;

				assert_false(
				    quota_take(&copy, c, now + wait - 1));
				now += wait;
				assert_int_equal(quota_wait_us(&q, c, now), 0);
				continue;
			}
			if (n > 0 && random() % 5 == 0) {
				size_t k =
				    n - 1 - (size_t)random() % (n < 9 ? n : 9);

				quota_give_back(&q, cost[k], at[k]);
				for (n--; k < n; k++) {
					at[k] = at[k + 1];
					cost[k] = cost[k + 1];
				}
			}
			now += random() % 30 == 0 ? random() % (2 * q.period_us)
						  : random() % gap;
		}
		for (size_t first = 0; first < n; first++) {
			uint64_t sum = 0;

			for (size_t k = first;
			     k < n && at[k] - at[first] <= q.period_us; k++)
				sum += cost[k];
			assert_true(sum <= (uint64_t)q.limit);
		}
	}
}

/* The price of counting the oldest slot in full. */
static void
quota_uses_nearly_all_it_may(void **state)
{
	struct quota q = quota_of("1000/1h!", 0);
	int64_t now = 0, taken = 0;

	(void)state;
	while (now < 100 * 3600 * second) {
		while (quota_take(&q, 1, now))
			taken++;
		now += quota_wait_us(&q, 1, now);
	}
	assert_in_range(taken, 98000, 100000);
}

static void
quota_give_back_reaches_its_own_slot_only(void **state)
{
	struct quota q = quota_of("10/59s!", 0);

	(void)state;
	assert_true(quota_take(&q, 4, 0));
	assert_true(quota_take(&q, 6, 10 * second));
	quota_give_back(&q, 4, 0);
	assert_int_equal(quota_used(&q, 10 * second), 6);
	/* Nothing there any more, or never was. */
	quota_give_back(&q, 4, 0);
	quota_give_back(&q, 4, 500 * second);
	quota_give_back(&q, 4, -5);
	assert_int_equal(quota_used(&q, 10 * second), 6);
	assert_true(quota_take(&q, 4, 400 * second));
	quota_give_back(&q, 6, 10 * second);
	assert_int_equal(quota_used(&q, 400 * second), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(quota_counts_up_to_its_limit),
	    cmocka_unit_test(quota_cost_above_the_limit_never_goes),
	    cmocka_unit_test(quota_clock_going_backwards_stands_still),
	    cmocka_unit_test(quota_of_a_tiny_period_works),
	    cmocka_unit_test(quota_never_exceeds_its_limit_in_any_window),
	    cmocka_unit_test(quota_uses_nearly_all_it_may),
	    cmocka_unit_test(quota_give_back_reaches_its_own_slot_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
