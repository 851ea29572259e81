#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/shared/board_rates.h"

enum { ROWS = 8 };

static const struct moment now = {
    .us = 1000000000, .wall = {.tv_sec = 1700000000, .tv_usec = 500000}};

static struct limitset_rate
rate_of(int unit, const char *text)
{
	struct limitset_rate r = {.unit = unit};
	char error[256];

	assert_true(rate_parse(slice_str(text), &r.rate, error, sizeof(error)));
	return r;
}

/* An account with two limits, of which one was just used up. */
static struct limitset *
used_limits(void)
{
	const struct limitset_cost cost = {{1, 3, 0}};
	struct limitset *s = mem_zalloc(sizeof(*s));
	struct limitset_rate rates[] = {
	    rate_of(0, "2/1s"), rate_of(1, "50/1d!")};

	assert_true(limitset_configure(
	    s->limits, LIMITSET_MAX, 1, 0, rates, 2, now.us));
	assert_true(limitset_take(s->limits, LIMITSET_MAX, &cost, now.us));
	return s;
}

static void
board_rates_say_what_is_used_and_when_more_may_go(void **state)
{
	struct board_rate rows[ROWS] = {{0}};
	struct limitset *s = used_limits();

	(void)state;
	assert_int_equal(
	    board_rates_fill(s, BOARD_RATE_MESSAGES, rows, ROWS, now), 2);
	assert_int_equal(rows[0].unit, BOARD_RATE_MESSAGES);
	assert_int_equal(rows[0].count_milli, 2000);
	assert_int_equal(rows[0].period_us, 1000000);
	assert_int_equal(rows[0].burst, 1);
	assert_int_equal(rows[0].next_wall_ms, INT64_C(1700000000500) + 500);
	assert_int_equal(rows[1].unit, BOARD_RATE_RECIPIENTS);
	assert_int_equal(rows[1].count_milli, 50000);
	assert_int_equal(rows[1].burst, 0);
	assert_int_equal(rows[1].used, 3);
	assert_int_equal(rows[1].next_wall_ms, 0);
	mem_free(s);
}

static void
board_rates_are_bounded_and_may_be_none(void **state)
{
	struct board_rate rows[ROWS] = {{0}};
	struct limitset *s = used_limits();

	(void)state;
	assert_int_equal(
	    board_rates_fill(NULL, BOARD_RATE_MESSAGES, rows, ROWS, now), 0);
	assert_int_equal(
	    board_rates_fill(s, BOARD_RATE_MESSAGES, rows, 1, now), 1);
	assert_int_equal(rows[1].unit, BOARD_RATE_FREE);
	memset(s, 0, sizeof(*s));
	assert_int_equal(
	    board_rates_fill(s, BOARD_RATE_MESSAGES, rows, ROWS, now), 0);
	mem_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(board_rates_say_what_is_used_and_when_more_may_go),
	    cmocka_unit_test(board_rates_are_bounded_and_may_be_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
