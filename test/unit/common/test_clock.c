#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"

static void
milliseconds_are_the_first_that_are_not_earlier(void **state)
{
	static const struct {
		int64_t us, ms;
	} cases[] = {
	    {0, 0},
	    {1, 1},
	    {999, 1},
	    {1000, 1},
	    {1001, 2},
	    {-1, 0},
	    {-999, 0},
	    {-1000, -1},
	    {-1001, -1},
	    {INT64_MAX - 1, INT64_MAX / 1000 + 1},
	    {INT64_MAX, INT64_MAX},
	    {INT64_MIN, INT64_MIN / 1000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(clock_ms_from_us(cases[i].us), cases[i].ms);
}

static void
microseconds_of_never_are_never(void **state)
{
	static const struct {
		int64_t ms, us;
	} cases[] = {
	    {0, 0},
	    {7, 7000},
	    {-7, -7000},
	    {INT64_MAX / 1000, INT64_MAX / 1000 * 1000},
	    {INT64_MAX / 1000 + 1, INT64_MAX},
	    {INT64_MAX, INT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(clock_us_from_ms(cases[i].ms), cases[i].us);
}

static void
moment_is_the_clock_of_microseconds(void **state)
{
	int64_t from_us = clock_mono_us();
	struct moment now = clock_moment();

	(void)state;
	assert_in_range(now.us, from_us, clock_mono_us());
	assert_in_range(
	    clock_mono_ms(), now.us / US_PER_MS, clock_mono_us() / US_PER_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(milliseconds_are_the_first_that_are_not_earlier),
	    cmocka_unit_test(microseconds_of_never_are_never),
	    cmocka_unit_test(moment_is_the_clock_of_microseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
