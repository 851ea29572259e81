/* What an engine says of hosts: texts of a peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "monitor/fleetview.h"

#define NOW_US INT64_C(1700000000000000)

static void
row_is_a_host(void **state)
{
	struct fleetview_host h = {.share = 0};

	(void)state;
	assert_true(fleetview_read_row(
	    "9f03 4 17 1 12 1700000020000000 1700000010000000 15 "
	    "1699999999000000",
	    NOW_US, &h));
	assert_int_equal(h.state, FLEETVIEW_ALIVE);
	assert_int_equal(h.share, 12);
	assert_int_equal(h.want, 15);
	assert_int_equal(h.left_us, 20000000);
	assert_int_equal(h.heard_us, 1000000);
	/* Its lease is over, and it asks no more. */
	assert_true(fleetview_read_row(
	    "9f03 4 17 1 12 1699999990000000 0 15 1699999980000000", NOW_US,
	    &h));
	assert_int_equal(h.state, FLEETVIEW_SILENT);
	assert_int_equal(h.left_us, 0);
	assert_true(fleetview_read_row("gone", NOW_US, &h));
	assert_int_equal(h.state, FLEETVIEW_GONE);
	assert_int_equal(h.heard_us, -1);
}

static void
what_is_no_row_is_none(void **state)
{
	static const char *const texts[] = {"", "replaced", "gone ", "9f03",
	    "9f03 4 17 1 12 5 5 15", "9f03 4 17 1 12 5 5 15 6 7",
	    "9f03 4 17 1 -12 5 5 15 6", "9f03 4 17 1 12 5 5 15 6 ",
	    "9f03  4 17 1 12 5 5 15 6", "xyz 4 17 1 12 5 5 15 6",
	    "9f03 4 17 1 99999999999999999999 5 5 15 6"};
	struct fleetview_host h = {.share = 0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(fleetview_read_row(texts[i], NOW_US, &h));
}

static void
terms_are_six_numbers(void **state)
{
	struct fleet_terms t;

	(void)state;
	assert_true(fleetview_read_terms("2 20 1 30000000 0 600000000", &t));
	assert_int_equal(t.size, 2);
	assert_int_equal(t.limit, 20);
	assert_int_equal(t.minimum, 1);
	assert_int_equal(t.ttl_us, 30000000);
	assert_int_equal(t.forget_us, 600000000);
	assert_false(fleetview_read_terms("0 20 1 30000000 0 0", &t));
	assert_false(fleetview_read_terms("2 20 1 30000000 0", &t));
	assert_false(fleetview_read_terms("2 20 1 30000000 0 0 0", &t));
}

static void
info_has_names_and_values(void **state)
{
	static const char info[] = "# Server\r\nredis_version:7.0.15\r\n"
				   "run_id:abc\r\nodd:a\x1b[31mb\r\nlast:9";
	char text[8];

	(void)state;
	assert_string_equal(
	    fleetview_info(info, "redis_version", text, sizeof(text)),
	    "7.0.15");
	assert_string_equal(
	    fleetview_info(info, "version", text, sizeof(text)), "");
	assert_string_equal(
	    fleetview_info(info, "last", text, sizeof(text)), "9");
	/* cut, and printable */
	assert_string_equal(
	    fleetview_info(info, "odd", text, sizeof(text)), "a?[31mb");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(row_is_a_host),
	    cmocka_unit_test(what_is_no_row_is_none),
	    cmocka_unit_test(terms_are_six_numbers),
	    cmocka_unit_test(info_has_names_and_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
