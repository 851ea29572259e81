/* A fleet's account on the board: the one that is named, all of it, and nothing
 * of a lane that drains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/state/board_writer.h"
#include "test/support/statedir.h"

static const struct board_fleet fleet = {
    .size = 2,
    .ttl_ms = 30000,
    .forget_ms = 600000,
    .is_up = 1,
    .since_wall_ms = 1000,
    .alone_ms = 7,
    .epoch = 3,
    .name = "relay-a",
    .engine = "unix:/run/redis.sock",
    .trouble = "",
    .limits = {{.unit = "connections",
		   .word = BOARD_FLEET_OK,
		   .limit = 20,
		   .base = 10,
		   .share = 17,
		   .want = 20,
		   .target = 17,
		   .in_use = 16,
		   .until_wall_ms = 5000,
		   .answered_wall_ms = 4000,
		   .known = 2,
		   .renewals = 100,
		   .failures = 1,
		   .over_us = 12},
	{.unit = "octets/1d!", .word = BOARD_FLEET_STALE, .limit = 1000}},
    .heard = {{.until_wall_ms = 9, .value = 17, .host = "relay-b"}},
};

static struct board_writer *
board_of(void **state)
{
	char error[256] = "";
	struct board_writer *w =
	    board_writer_open(*state, "fast", "fast", error, sizeof(error));

	assert_string_equal(error, "");
	assert_non_null(w);
	return w;
}

static const struct board_account *
account_of(struct board_writer *w, const char *name)
{
	assert_true(board_writer_set_account(w, name));
	return board_writer_account(w);
}

static void
fleet_stands_at_the_account_that_is_named(void **state)
{
	struct board_writer *w = board_of(state);
	const struct board_account *one, *other;
	const struct board_fleet *f;

	one = account_of(w, "one.example joe");
	other = account_of(w, "other.example");
	board_writer_set_fleet(w, "one.example joe", &fleet);
	board_writer_set_fleet(w, "nobody.example", &fleet);
	f = &one->fleet;
	assert_true(f->told_wall_ms > 0);
	assert_int_equal(f->size, 2);
	assert_int_equal(f->ttl_ms, 30000);
	assert_int_equal(f->forget_ms, 600000);
	assert_int_equal(f->is_up, 1);
	assert_int_equal(f->since_wall_ms, 1000);
	assert_int_equal(f->alone_ms, 7);
	assert_int_equal(f->epoch, 3);
	assert_int_equal(f->lane, 1); /* the first entry */
	assert_string_equal(f->name, "relay-a");
	assert_string_equal(f->engine, "unix:/run/redis.sock");
	assert_string_equal(f->trouble, "");
	assert_memory_equal(f->limits, fleet.limits, sizeof(fleet.limits));
	assert_memory_equal(f->heard, fleet.heard, sizeof(fleet.heard));
	assert_int_equal(other->fleet.size, 0);
	board_writer_close(&w);
}

static void
fleet_of_the_next_process_is_left_alone(void **state)
{
	struct board_writer *w = board_of(state);
	const struct board_account *a = account_of(w, "one.example");

	board_writer_drain(w);
	board_writer_set_fleet(w, "one.example", &fleet);
	assert_int_equal(a->fleet.size, 0);
	board_writer_set_fleet(NULL, "one.example", &fleet);
	board_writer_close(&w);
}

static void
fleet_words_have_names(void **state)
{
	(void)state;
	assert_string_equal(board_fleet_word_name(BOARD_FLEET_FREE), "");
	assert_string_equal(board_fleet_word_name(BOARD_FLEET_FULL), "full");
	assert_string_equal(
	    board_fleet_word_name(BOARD_FLEET_WORD_COUNT), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(fleet_stands_at_the_account_that_is_named),
	    IN_STATEDIR(fleet_of_the_next_process_is_left_alone),
	    cmocka_unit_test(fleet_words_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
