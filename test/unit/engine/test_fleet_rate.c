/* Parts of a rate, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/engine/fleet_rate.h"
#include "common/base/clock.h"

#define T0 (1000 * US_PER_S)

static const struct rate whole = {100000, US_PER_S, 20, false};
static const struct rate daily = {50000000, 86400 * US_PER_S, 0, true};

static uint64_t
burst_now(struct limiter *l, int64_t now_us)
{
	uint64_t n = 0;

	while (limiter_take(l, 1, now_us))
		n++;
	return n;
}

static void
parts_are_no_more_than_the_whole(void **state)
{
	struct rate a, b;

	(void)state;
	assert_int_equal(fleet_rate_limit(&whole, 2), 99998);
	fleet_rate_part(&whole, 40000, &a);
	fleet_rate_part(&whole, 59998, &b);
	assert_int_equal(a.count_milli + b.count_milli, whole.count_milli);
	assert_int_equal(a.burst, 8);
	assert_int_equal(b.burst, 11);
	fleet_rate_part(&whole, 0, &a);
	assert_true(a.count_milli == 1 && a.burst == 1);
	assert_int_equal(fleet_rate_limit(&daily, 2), 50000);
	fleet_rate_part(&daily, 20000, &a);
	assert_true(a.is_quota && a.count_milli == 20000000);
	/* The greatest there is. */
	b = (struct rate){RATE_COUNT_MAX * 1000, 1000, RATE_COUNT_MAX, false};
	fleet_rate_part(&b, b.count_milli / 2, &a);
	assert_true(a.burst == RATE_COUNT_MAX / 2);
}

/* The other host may have used its burst a moment ago. */
static void
burst_that_grows_is_earned(void **state)
{
	struct limiter l = {0};
	struct rate some, all;

	(void)state;
	fleet_rate_part(&whole, 50000, &some);
	fleet_rate_part(&whole, 99998, &all);
	fleet_rate_apply(&l, &some, T0);
	assert_int_equal(burst_now(&l, T0), 0);
	assert_int_equal(burst_now(&l, T0 + US_PER_S), 10);
	fleet_rate_apply(&l, &some, T0 + 2 * US_PER_S);
	fleet_rate_apply(&l, &all, T0 + 2 * US_PER_S);
	assert_int_equal(burst_now(&l, T0 + 2 * US_PER_S), 10);
	assert_int_equal(burst_now(&l, T0 + 3 * US_PER_S), 19);
}

static void
burst_that_shrinks_is_lost(void **state)
{
	struct limiter l = {0};
	struct rate some, all;

	(void)state;
	fleet_rate_part(&whole, 50000, &some);
	fleet_rate_part(&whole, 99998, &all);
	fleet_rate_apply(&l, &all, T0);
	fleet_rate_apply(&l, &some, T0 + US_PER_S);
	assert_int_equal(burst_now(&l, T0 + US_PER_S), 10);
	/* And does not come back with the share. */
	fleet_rate_apply(&l, &all, T0 + US_PER_S);
	assert_int_equal(burst_now(&l, T0 + US_PER_S), 0);
}

static void
quota_keeps_what_was_used(void **state)
{
	struct limiter l = {0};
	struct rate ten, four, none;

	(void)state;
	fleet_rate_part(&daily, 10, &ten);
	fleet_rate_part(&daily, 4, &four);
	fleet_rate_part(&daily, 0, &none);
	fleet_rate_apply(&l, &four, T0);
	assert_int_equal(burst_now(&l, T0), 4);
	fleet_rate_apply(&l, &ten, T0 + US_PER_S);
	assert_int_equal(burst_now(&l, T0 + US_PER_S), 6);
	fleet_rate_apply(&l, &four, T0 + 2 * US_PER_S);
	assert_int_equal(burst_now(&l, T0 + 2 * US_PER_S), 0);
	fleet_rate_apply(&l, &none, T0 + 86400 * 3 * US_PER_S);
	assert_int_equal(burst_now(&l, T0 + 86400 * 3 * US_PER_S), 0);
}

/* As of a host that has no lease yet. */
static void
quota_may_begin_with_nothing(void **state)
{
	struct limiter l = {0};
	struct rate ten, none;

	(void)state;
	fleet_rate_part(&daily, 0, &none);
	fleet_rate_part(&daily, 10, &ten);
	fleet_rate_apply(&l, &none, T0);
	assert_true(limiter_is_valid(&l));
	assert_int_equal(burst_now(&l, T0), 0);
	fleet_rate_apply(&l, &ten, T0 + US_PER_S);
	assert_int_equal(burst_now(&l, T0 + US_PER_S), 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_are_no_more_than_the_whole),
	    cmocka_unit_test(burst_that_grows_is_earned),
	    cmocka_unit_test(burst_that_shrinks_is_lost),
	    cmocka_unit_test(quota_keeps_what_was_used),
	    cmocka_unit_test(quota_may_begin_with_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
