#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "monitor/steerfile.h"
#include "test/support/statedir.h"

static bool
add_pause(void *ctx, struct steer *s)
{
	struct steer_order order = {.verb = STEER_PAUSE, .at_s = 1};

	(void)snprintf(order.lane, sizeof(order.lane), "%s", (const char *)ctx);
	(void)snprintf(order.who, sizeof(order.who), "root");
	return steer_set(s, &order);
}

static bool
leave(void *ctx, struct steer *s)
{
	(void)ctx;
	(void)s;
	return false;
}

static void
steerfile_keeps_orders_from_one_run_to_the_next(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s));
	char fast[] = "fast", slow[] = "slow", error[200] = "";

	assert_true(
	    steerfile_change(*state, add_pause, fast, s, error, sizeof(error)));
	assert_int_equal(s->serial, 1);
	assert_true(
	    steerfile_change(*state, add_pause, slow, s, error, sizeof(error)));
	assert_true(
	    steerfile_change(*state, leave, NULL, s, error, sizeof(error)));
	assert_true(steerfile_read(*state, s, error, sizeof(error)));
	assert_int_equal(s->serial, 2);
	assert_int_equal(s->count, 2);
	assert_string_equal(s->orders[1].lane, "slow");
	mem_free(s);
}

static void
steerfile_never_stores_what_it_could_not_read(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s));
	char fast[] = "fast", odd[] = "in two", note[] = "#fast",
	     error[200] = "";

	assert_true(
	    steerfile_change(*state, add_pause, fast, s, error, sizeof(error)));
	assert_false(
	    steerfile_change(*state, add_pause, odd, s, error, sizeof(error)));
	assert_string_equal(
	    error, "steer: an order that cannot be written in it");
	assert_false(
	    steerfile_change(*state, add_pause, note, s, error, sizeof(error)));
	assert_true(steerfile_read(*state, s, error, sizeof(error)));
	assert_int_equal(s->serial, 1);
	assert_int_equal(s->count, 1);
	mem_free(s);
}

static void
steerfile_says_who_makes_its_directory(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s));
	char fast[] = "fast", error[300] = "", directory[200];

	(void)snprintf(
	    directory, sizeof(directory), "%s/none", (const char *)*state);
	assert_false(steerfile_change(
	    directory, add_pause, fast, s, error, sizeof(error)));
	assert_non_null(strstr(error, "no lane has run yet"));
	assert_int_equal(access(directory, F_OK), -1);
	mem_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(steerfile_keeps_orders_from_one_run_to_the_next),
	    IN_STATEDIR(steerfile_never_stores_what_it_could_not_read),
	    IN_STATEDIR(steerfile_says_who_makes_its_directory),
	};

	return cmocka_run_group_tests_name("steerfile", tests, NULL, NULL);
}
