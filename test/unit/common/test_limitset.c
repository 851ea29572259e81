#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/limits/limitset.h"

enum { SMALL = 2, ME = 1, OTHER = 2 };

static const int64_t start_us = INT64_C(1000000000);
static const int64_t second = 1000000;
static const struct limitset_cost one = {{1, 1, 1}};

static struct limitset_rate
rate_of(int unit, const char *text)
{
	struct limitset_rate r = {.unit = unit};
	char error[256];

	assert_true(rate_parse(slice_str(text), &r.rate, error, sizeof(error)));
	return r;
}

static void
ask(struct limitset_limit *limits, int64_t bit, const char *text)
{
	struct limitset_rate rate = rate_of(0, text);

	assert_true(limitset_configure(
	    limits, SMALL, bit, ME | OTHER, &rate, 1, start_us));
}

static void
limitset_of_two_has_no_room_for_a_third(void **state)
{
	struct limitset_limit limits[SMALL + 1] = {{0}};
	const struct limitset_limit untouched = {0};
	struct limitset_rate rates[] = {
	    rate_of(0, "1/1s"), rate_of(1, "1/1s"), rate_of(2, "1/1s")};

	(void)state;
	assert_true(
	    limitset_configure(limits, SMALL, ME, 0, rates, SMALL, start_us));
	assert_false(limitset_configure(
	    limits, SMALL, ME, 0, rates, SMALL + 1, start_us));
	assert_memory_equal(&limits[SMALL], &untouched, sizeof(untouched));
}

static void
limitset_takes_of_all_or_says_which_holds_back(void **state)
{
	struct limitset_limit limits[SMALL] = {{0}};
	const struct limitset_limit *why = NULL;

	(void)state;
	ask(limits, ME, "10/1s:10");
	ask(limits, OTHER, "3/1d!");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(limitset_wait_us(limits, SMALL, &one, false,
				     start_us, NULL),
		    0);
		assert_true(limitset_take(limits, SMALL, &one, start_us));
	}
	assert_true(limitset_wait_us(
			limits, SMALL, &one, false, start_us, &why) > second);
	assert_ptr_equal(why, &limits[1]);
	assert_false(limitset_take(limits, SMALL, &one, start_us));
	limitset_give_back(limits, SMALL, &one, start_us);
	assert_int_equal(
	    limitset_wait_us(limits, SMALL, &one, false, start_us, NULL), 0);
}

static void
limitset_that_nobody_asks_for_lets_go_and_keeps_its_count(void **state)
{
	struct limitset_limit limits[SMALL] = {{0}};

	(void)state;
	ask(limits, ME, "1/1d!");
	assert_true(limitset_take(limits, SMALL, &one, start_us));
	assert_true(
	    limitset_configure(limits, SMALL, ME, 0, NULL, 0, start_us));
	assert_false(limitset_is_limited(limits, SMALL));
	assert_int_equal(limitset_ready(limits, SMALL, &one, 99, start_us), 99);
	assert_false(limitset_is_full(limits, SMALL, start_us));
	ask(limits, ME, "1/1d!");
	assert_int_equal(limitset_ready(limits, SMALL, &one, 99, start_us), 0);
}

static void
limitset_leaves_a_quarter_of_a_bucket_to_others(void **state)
{
	struct limitset_limit limits[SMALL] = {{0}};
	int went = 0;

	(void)state;
	ask(limits, ME, "8/1s:8");
	while (
	    limitset_wait_us(limits, SMALL, &one, true, start_us, NULL) == 0) {
		assert_true(limitset_take(limits, SMALL, &one, start_us));
		went++;
	}
	assert_int_equal(went, 6);
	assert_int_equal(limitset_ready(limits, SMALL, &one, 99, start_us), 2);
}

static void
limitset_takes_a_moment_late_as_of_the_time_it_told(void **state)
{
	struct limitset_limit limits[SMALL] = {{0}};
	int64_t due = start_us + second;

	(void)state;
	ask(limits, ME, "1/1s:1");
	assert_true(limitset_take(limits, SMALL, &one, start_us));
	assert_int_equal(
	    limitset_time_of_take(limits, SMALL, &one, false, due, due + 10000),
	    due);
	assert_int_equal(
	    limitset_time_of_take(limits, SMALL, &one, false, due, due + 10001),
	    due + 10001);
	/* told too early: it could not have gone then */
	assert_int_equal(limitset_time_of_take(limits, SMALL, &one, false,
			     due - 5000, due + 1000),
	    due + 1000);
	assert_int_equal(
	    limitset_time_of_take(limits, SMALL, &one, false, 0, due), due);
}

static void
limitset_forgets_damage_and_users_that_cannot_be(void **state)
{
	struct limitset_limit limits[SMALL] = {{0}};

	(void)state;
	ask(limits, ME, "5/1s");
	assert_false(limitset_repair(limits, SMALL, ME, start_us));
	limits[0].users = OTHER;
	assert_true(limitset_repair(limits, SMALL, ME, start_us));
	assert_int_equal(limits[0].limiter.kind, LIMITER_NONE);
	ask(limits, ME, "5/1s");
	assert_true(limitset_take(limits, SMALL, &one, start_us));
	assert_true(limitset_repair(limits, SMALL, ME, start_us - second));
	assert_int_equal(
	    limiter_latest_us(&limits[0].limiter), start_us - second);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(limitset_of_two_has_no_room_for_a_third),
	    cmocka_unit_test(limitset_takes_of_all_or_says_which_holds_back),
	    cmocka_unit_test(
		limitset_that_nobody_asks_for_lets_go_and_keeps_its_count),
	    cmocka_unit_test(limitset_leaves_a_quarter_of_a_bucket_to_others),
	    cmocka_unit_test(
		limitset_takes_a_moment_late_as_of_the_time_it_told),
	    cmocka_unit_test(limitset_forgets_damage_and_users_that_cannot_be),
	};

	return cmocka_run_group_tests_name("limitset", tests, NULL, NULL);
}
