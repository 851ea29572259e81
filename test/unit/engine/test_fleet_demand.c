/* What a lane asks its fleet for: twice of what it took, all when something
 * waits, a little always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/engine/fleet_demand.h"
#include "common/base/clock.h"

static const struct fleet_terms terms = {.size = 2, .limit = 100000};
static const struct rate per_s = {
    .count_milli = 100002, .period_us = US_PER_S, .burst = 5};
static const struct rate per_min = {
    .count_milli = 100002, .period_us = 60 * US_PER_S, .burst = 5};

enum { BEGIN_S = 1000 };

static int64_t
at(int64_t s)
{
	return (BEGIN_S + s) * US_PER_S;
}

static void
demand_is_twice_the_busiest_second(void **state)
{
	struct fleet_demand d = {.second = 0};

	(void)state;
	fleet_demand_take(&d, 3, at(0));
	fleet_demand_take(&d, 4, at(0) + 999999);
	fleet_demand_take(&d, 1, at(1));
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(1)), 14000);
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(9)), 14000);
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(10)), 2000);
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(11)), 250);
	/* Of a minute sixty times as much, but not more than there is. */
	assert_int_equal(
	    fleet_demand_rate(&d, &terms, &per_min, at(9)), 100000);
	assert_int_equal(fleet_demand_quota(&d, &terms, at(9)), 1000);
	fleet_demand_take(&d, 40, at(9));
	assert_int_equal(fleet_demand_quota(&d, &terms, at(9)), 2400);
}

static void
demand_is_all_when_something_waits(void **state)
{
	struct fleet_demand d = {.second = 0};

	(void)state;
	fleet_demand_short(&d, at(0));
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(9)), 100000);
	assert_int_equal(fleet_demand_quota(&d, &terms, at(9)), 100000);
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(10)), 250);
	assert_int_equal(fleet_demand_quota(&d, &terms, at(10)), 1000);
}

static void
demand_of_what_was_never_used_is_a_little(void **state)
{
	struct fleet_demand d = {.second = 0};
	const struct fleet_terms few = {.size = 3, .limit = 20};

	(void)state;
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(0)), 250);
	assert_int_equal(fleet_demand_quota(&d, &few, at(0)), 1);
	assert_int_equal(fleet_demand_connections(&d, &few, 0, 0, at(0)), 0);
}

static void
demand_of_connections_is_what_is_had_and_wanted(void **state)
{
	struct fleet_demand d = {.second = 0};
	const struct fleet_terms few = {.size = 3, .limit = 20};

	(void)state;
	assert_int_equal(fleet_demand_connections(&d, &few, 3, 2, at(0)), 5);
	assert_int_equal(fleet_demand_connections(&d, &few, 19, 9, at(1)), 20);
	assert_int_equal(fleet_demand_connections(&d, &few, 0, 0, at(60)), 1);
	assert_int_equal(fleet_demand_connections(&d, &few, 0, 0, at(61)), 0);
}

/* The clock of a turn may be behind the one of a take before. */
static void
demand_stands_still_when_time_goes_back(void **state)
{
	struct fleet_demand d = {.second = 0};

	(void)state;
	fleet_demand_take(&d, 5, at(3));
	fleet_demand_take(&d, 5, at(2));
	assert_int_equal(fleet_demand_rate(&d, &terms, &per_s, at(2)), 20000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(demand_is_twice_the_busiest_second),
	    cmocka_unit_test(demand_is_all_when_something_waits),
	    cmocka_unit_test(demand_of_what_was_never_used_is_a_little),
	    cmocka_unit_test(demand_of_connections_is_what_is_had_and_wanted),
	    cmocka_unit_test(demand_stands_still_when_time_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
