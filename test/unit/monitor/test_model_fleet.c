#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/limits/rate.h"
#include "monitor/model_fleet.h"

#define NOW_MS INT64_C(1700000000000)

static struct board_fleet board;
static struct model_fleet fleet;

static struct board_fleet_limit *
add(int i, const char *unit, enum board_fleet_word word, uint64_t share)
{
	struct board_fleet_limit *l = &board.limits[i];

	(void)snprintf(l->unit, sizeof(l->unit), "%s", unit);
	l->word = word;
	l->share = share;
	return l;
}

static int
set_up(void **state)
{
	(void)state;
	memset(&board, 0, sizeof(board));
	board.size = 2;
	board.told_wall_ms = (uint64_t)NOW_MS - 900;
	board.is_up = 1;
	(void)snprintf(board.name, sizeof(board.name), "mx1");
	return 0;
}

static void
shared_rate_is_as_one_would_write_it(void **state)
{
	static const struct {
		const char *unit, *kept, *shown;
		bool is_shared;
	} rows[] = {
	    {"messages", "2.001/1s:1", "2/1s:1", true},
	    {"messages", "33.333/1s:6", "33.3/1s:6", true},
	    {"messages", "99.999/1s:20", "100/1s:20", true},
	    {"messages", "0.168/1s:1", "0.2/1s:1", true},
	    {"messages", "0.001/1s:1", "0.001/1s:1", true},
	    {"messages", "25000/1d!", "25000/1d!", true},
	    {"connections", "1.001/1s:1", "1/1s:1", true},
	    {"octets", "2.001/1s:1", "2.001/1s:1", false},
	};
	char text[RATE_TEXT_SIZE];

	(void)state;
	add(0, "connections", BOARD_FLEET_OK, 12);
	add(1, "messages/1s", BOARD_FLEET_OK, 2000);
	add(2, "dials/1s", BOARD_FLEET_OK, 1000);
	model_fleet_fill(&fleet, &board);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s", rows[i].kept);
		assert_true(model_fleet_round(&fleet, rows[i].unit, text,
				sizeof(text)) == rows[i].is_shared);
		assert_string_equal(text, rows[i].shown);
	}
}

static void
what_was_heard_is_told_until_its_end(void **state)
{
	const struct model_fleet_lesson *l;
	char text[MODEL_FLEET_LESSON_SIZE];

	(void)state;
	board.heard[FLEET_FEWER] =
	    (struct board_fleet_lesson){(uint64_t)NOW_MS + 100, 17, "mx2"};
	board.heard[FLEET_BLOCKED] = (struct board_fleet_lesson){
	    (uint64_t)NOW_MS, UINT64_C(5505007001), "mx3"};
	model_fleet_fill(&fleet, &board);
	assert_int_equal(fleet.heard_count, 2);
	l = &fleet.heard[0];
	assert_string_equal(model_fleet_lesson_name(l->kind), "fewer");
	assert_string_equal(model_fleet_lesson_say(l, text, sizeof(text)),
	    "mx2 was refused a connection and keeps to 17");
	assert_true(model_fleet_lesson_is_lasting(l));
	assert_true(model_fleet_lesson_holds(&fleet, l, NOW_MS));
	assert_false(model_fleet_lesson_holds(&fleet, l, NOW_MS + 100));
	l = &fleet.heard[1];
	assert_string_equal(model_fleet_lesson_say(l, text, sizeof(text)),
	    "the mail of mx3 is refused: 550 5.7.1");
	/* This host's own may be taken, and nothing is obeyed. */
	assert_false(model_fleet_lesson_is_lasting(l));
	assert_false(model_fleet_lesson_holds(&fleet, l, NOW_MS));
}

static void
a_board_without_a_fleet_has_none(void **state)
{
	(void)state;
	memset(&board, 0, sizeof(board));
	model_fleet_fill(&fleet, &board);
	assert_int_equal(fleet.size, 0);
	assert_int_equal(fleet.count, 0);
	assert_false(model_fleet_is_told(&fleet, NOW_MS));
}

static void
limits_in_use_are_taken(void **state)
{
	const struct model_fleet_limit *l;

	(void)state;
	add(0, "connections", BOARD_FLEET_OK, 12)->limit = 20;
	add(1, "free", BOARD_FLEET_FREE, 1);
	add(2, "damaged", BOARD_FLEET_WORD_COUNT, 1);
	add(16, "octets/1d!", BOARD_FLEET_FULL, 5000);
	model_fleet_fill(&fleet, &board);
	assert_int_equal(fleet.count, 2);
	l = model_fleet_limit(&fleet, "connections");
	assert_ptr_equal(l, &fleet.limits[0]);
	assert_int_equal(l->share, 12);
	assert_int_equal(l->limit, 20);
	assert_false(l->is_milli);
	assert_int_equal(fleet.limits[1].word, BOARD_FLEET_FULL);
	assert_false(fleet.limits[1].is_milli);
	assert_null(model_fleet_limit(&fleet, "free"));
	assert_string_equal(fleet.name, "mx1");
}

static void
what_is_not_told_each_second_is_old(void **state)
{
	(void)state;
	model_fleet_fill(&fleet, &board);
	assert_true(model_fleet_is_told(&fleet, NOW_MS));
	assert_true(model_fleet_is_told(&fleet, NOW_MS + 9000));
	assert_false(model_fleet_is_told(&fleet, NOW_MS + 9100));
	board.told_wall_ms = 0;
	model_fleet_fill(&fleet, &board);
	assert_false(model_fleet_is_told(&fleet, NOW_MS));
}

static void
what_no_clock_says_is_0(void **state)
{
	(void)state;
	board.told_wall_ms = UINT64_MAX;
	add(0, "connections", BOARD_FLEET_OK, UINT64_MAX);
	model_fleet_fill(&fleet, &board);
	assert_int_equal(fleet.told_wall_ms, 0);
	assert_int_equal(fleet.limits[0].share, 0);
}

static void
amounts_of_rates_are_in_thousandths(void **state)
{
	static const struct {
		const char *unit;
		int64_t amount;
		const char *text;
	} rows[] = {{"connections", 12, "12"}, {"messages/1s", 40000, "40"},
	    /* of 100/1s, shared by two hosts and by sixty-four */
	    {"messages/1s", 99998, "100"}, {"messages/1s", 99936, "100"},
	    {"messages/1s", 2500, "2.5"}, {"messages/1s", 500, "0.5"},
	    {"messages/1s", 0, "0"}, {"octets/1d!", 5000, "5000"}};
	char text[MODEL_FLEET_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(board.limits, 0, sizeof(board.limits));
		add(0, rows[i].unit, BOARD_FLEET_OK, 1);
		model_fleet_fill(&fleet, &board);
		assert_string_equal(model_fleet_say(&fleet.limits[0],
					rows[i].amount, text, sizeof(text)),
		    rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(
		shared_rate_is_as_one_would_write_it, set_up),
	    cmocka_unit_test_setup(
		what_was_heard_is_told_until_its_end, set_up),
	    cmocka_unit_test_setup(a_board_without_a_fleet_has_none, set_up),
	    cmocka_unit_test_setup(limits_in_use_are_taken, set_up),
	    cmocka_unit_test_setup(what_is_not_told_each_second_is_old, set_up),
	    cmocka_unit_test_setup(what_no_clock_says_is_0, set_up),
	    cmocka_unit_test_setup(amounts_of_rates_are_in_thousandths, set_up),
	};

	return cmocka_run_group_tests_name("model_fleet", tests, NULL, NULL);
}
