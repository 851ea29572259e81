#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/limits/limiter.h"

static const int64_t second = 1000000;

static struct rate
rate_of(const char *text)
{
	struct rate r;
	char error[256];

	assert_true(rate_parse(slice_str(text), &r, error, sizeof error));
	return r;
}

static void
limiter_of_zeros_is_no_limit(void **state)
{
	struct limiter l;

	(void)state;
	memset(&l, 0, sizeof l);
	assert_true(limiter_is_valid(&l));
	assert_true(limiter_matches(&l, NULL));
	assert_true(limiter_take(&l, UINT64_MAX, 0));
	assert_int_equal(limiter_wait_us(&l, UINT64_MAX, 0), 0);
	limiter_give_back(&l, 1, 0);
	limiter_shift(&l, 1);
}

static void
limiter_follows_the_kind_of_its_rate(void **state)
{
	struct rate fast = rate_of("10/1s:1"), day = rate_of("10/1d!");
	struct limiter l;

	(void)state;
	limiter_init(&l, &fast, 0);
	assert_true(limiter_matches(&l, &fast));
	assert_false(limiter_matches(&l, &day));
	assert_true(limiter_take(&l, 1, 0));
	assert_int_equal(limiter_wait_us(&l, 1, 0), second / 10);
	limiter_give_back(&l, 1, 0);
	assert_int_equal(limiter_wait_us(&l, 1, 0), 0);

	limiter_init(&l, &day, 0);
	assert_true(limiter_matches(&l, &day));
	assert_false(limiter_matches(&l, NULL));
	assert_true(limiter_take(&l, 10, 0));
	assert_true(limiter_wait_us(&l, 1, 0) > 86400 * second);
	limiter_give_back(&l, 10, 0);
	assert_int_equal(limiter_wait_us(&l, 10, 0), 0);
}

static void
limiter_set_rate_keeps_what_was_used(void **state)
{
	struct rate day = rate_of("10/1d!"), more = rate_of("15/1d!");
	struct rate less = rate_of("5/1d!"), fast = rate_of("10/1s:4");
	struct rate slow = rate_of("1/1s:4");
	struct limiter l;

	(void)state;
	limiter_init(&l, &day, 0);
	assert_true(limiter_take(&l, 10, 0));
	limiter_set_rate(&l, &more, 0);
	assert_false(limiter_take(&l, 6, 0));
	assert_true(limiter_take(&l, 5, 0));
	limiter_set_rate(&l, &less, 0);
	assert_false(limiter_take(&l, 1, second));
	assert_true(limiter_wait_us(&l, 1, second) > 86000 * second);

	limiter_set_rate(&l, &fast, 0);
	assert_true(limiter_take(&l, 4, 0));
	limiter_set_rate(&l, &slow, 0);
	assert_false(limiter_take(&l, 1, 0));
	limiter_set_rate(&l, NULL, 0);
	assert_true(limiter_take(&l, 1000, 0));
}

static void
limiter_shift_moves_its_clock(void **state)
{
	static const char *const rates[] = {"10/1s:1", "10/59s!"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rate r = rate_of(rates[i]);
		struct limiter l;
		int64_t wait, at = 500000 * second;

		limiter_init(&l, &r, at - second);
		while (limiter_take(&l, 1, at))
			continue;
		wait = limiter_wait_us(&l, 1, at);
		/* A reboot: the clock is at 3 s. */
		limiter_shift(&l, 3 * second - at);
		assert_true(limiter_is_valid(&l));
		assert_int_equal(limiter_wait_us(&l, 1, 3 * second), wait);
		assert_true(limiter_take(&l, 1, 3 * second + wait));
	}
}

static void
limiter_in_use_stays_valid(void **state)
{
	static const char *const rates[] = {
	    "10/1s:1", "10/59s!", "0.1/400d:2", "3/1ms!"};
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	for (size_t i = 0; i < 4; i++) {
		struct rate r = rate_of(rates[i]);
		struct limiter l;
		int64_t now = random();

		limiter_init(&l, &r, now);
		for (int k = 0; k < 1000; k++) {
			uint64_t cost = (uint64_t)random() % 8;

			if (limiter_take(&l, cost, now) && random() % 3 == 0)
				limiter_give_back(&l, cost, now);
			now += random() % (2 * second) - 100;
			assert_true(limiter_is_valid(&l));
		}
	}
}

static void
limiter_damaged_in_a_file_is_noticed(void **state)
{
	struct rate fast = rate_of("10/1s:1"), day = rate_of("10/1d!");
	struct limiter good, l;

	(void)state;
	limiter_init(&good, &fast, second);
	l = good, l.kind = 3;
	assert_false(limiter_is_valid(&l));
	l = good, l.bucket.count_milli = 0;
	assert_false(limiter_is_valid(&l));
	l = good, l.bucket.tat_rest = l.bucket.count_milli;
	assert_false(limiter_is_valid(&l));
	l = good, l.bucket.tat_ns = INT64_MAX;
	assert_false(limiter_is_valid(&l));
	l = good, l.bucket.last_us = INT64_MIN;
	assert_false(limiter_is_valid(&l));
	limiter_init(&good, &day, second);
	assert_true(limiter_is_valid(&good));
	l = good, l.quota.slot_us = 0;
	assert_false(limiter_is_valid(&l));
	l = good, l.quota.newest = -1;
	assert_false(limiter_is_valid(&l));
	l = good, l.quota.slots[7] = -1;
	assert_false(limiter_is_valid(&l));
	l = good, l.quota.period_us = INT64_MAX;
	assert_false(limiter_is_valid(&l));
	l = good, l.quota.base_us = INT64_MIN;
	assert_false(limiter_is_valid(&l));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(limiter_of_zeros_is_no_limit),
	    cmocka_unit_test(limiter_follows_the_kind_of_its_rate),
	    cmocka_unit_test(limiter_set_rate_keeps_what_was_used),
	    cmocka_unit_test(limiter_shift_moves_its_clock),
	    cmocka_unit_test(limiter_in_use_stays_valid),
	    cmocka_unit_test(limiter_damaged_in_a_file_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
