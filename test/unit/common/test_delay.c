#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/postfix/delay.h"

static void
delay_format_table(void **state)
{
	static const struct {
		long sec, usec;
		int decimals;
		const char *text;
	} t[] = {
	    {0, 0, 2, "0"},
	    {0, 4000, 2, "0"},
	    {0, 4999, 2, "0"},
	    {0, 5000, 2, "0.01"},
	    {0, 12000, 2, "0.01"},
	    {0, 15000, 2, "0.02"},
	    {0, 300000, 2, "0.3"},
	    {0, 994999, 2, "0.99"},
	    {0, 995000, 2, "1"},
	    {1, 40000, 2, "1"},
	    {1, 50000, 2, "1.1"},
	    {3, 750000, 2, "3.8"},
	    {9, 949999, 2, "9.9"},
	    {9, 950000, 2, "10"},
	    {12, 499999, 2, "12"},
	    {12, 600000, 2, "13"},
	    {86399, 500000, 2, "86400"},
	    {1000000, 0, 2, "1000000"},
	    {-1, 0, 2, "0"},
	    {0, -5, 2, "0"},
	    /* Other limits. */
	    {0, 499999, 0, "0"},
	    {0, 500000, 0, "1"},
	    {1, 500000, 0, "2"},
	    {0, 123456, 1, "0.1"},
	    {0, 123456, 3, "0.12"},
	    {0, 12345, 3, "0.012"},
	    {0, 1234, 6, "0.0012"},
	    {0, 7, 6, "0.000007"},
	    {0, 99, 6, "0.000099"},
	    {0, 995, 6, "0.001"},
	    {1, 234567, 6, "1.2"},
	    {0, 7, 9, "0.000007"},
	    {0, 999999, -1, "1"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct timeval d = {t[i].sec, t[i].usec};

		delay_format(out, sizeof out, d, t[i].decimals);
		assert_string_equal(out, t[i].text);
	}
}

static void
delay_line_of_a_delivery(void **state)
{
	struct delay_times times = {
	    .arrival = {1000, 900000},
	    .active = {1000, 910000},
	    .handoff = {1000, 922000},
	    .conn_done = {1000, 960000},
	    .deliver_done = {1001, 20000},
	};
	struct timeval now = {2000, 0};
	char out[DELAY_TEXT_SIZE];

	(void)state;
	delay_to_text(&times, now, DELAY_DECIMALS, out, sizeof out);
	assert_string_equal(out, "delay=0.12, delays=0.01/0.01/0.04/0.06");
}

static void
delay_line_of_stages_not_reached(void **state)
{
	struct delay_times times = {
	    .arrival = {1000, 0}, .active = {1001, 0}, .handoff = {1003, 0}};
	struct timeval now = {1007, 0};
	char out[DELAY_TEXT_SIZE];

	(void)state;
	delay_to_text(&times, now, DELAY_DECIMALS, out, sizeof out);
	assert_string_equal(out, "delay=7, delays=1/2/0/4");
	times.handoff.tv_sec = 0;
	delay_to_text(&times, now, DELAY_DECIMALS, out, sizeof out);
	assert_string_equal(out, "delay=7, delays=1/6/0/0");
	times.active.tv_sec = 0;
	delay_to_text(&times, now, DELAY_DECIMALS, out, sizeof out);
	assert_string_equal(out, "delay=7, delays=7/0/0/0");
}

static void
delay_of_clocks_that_disagree_is_zero(void **state)
{
	struct delay_times times = {
	    .arrival = {2000, 0}, .active = {1000, 0}, .handoff = {1001, 0}};
	struct timeval now = {1001, 0};
	char out[DELAY_TEXT_SIZE];

	(void)state;
	delay_to_text(&times, now, DELAY_DECIMALS, out, sizeof out);
	assert_string_equal(out, "delay=0, delays=0/1/0/0");
}

static void
delay_to_text_keeps_to_its_room(void **state)
{
	struct delay_times times = {.arrival = {1, 0}};
	struct timeval now = {INT64_C(9000000000000), 999999};
	char out[DELAY_TEXT_SIZE], small[10];

	(void)state;
	delay_to_text(&times, now, 6, out, sizeof out);
	assert_string_equal(
	    out, "delay=9000000000000, delays=9000000000000/0/0/0");
	delay_to_text(&times, now, 6, small, sizeof small);
	assert_string_equal(small, "delay=900");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(delay_format_table),
	    cmocka_unit_test(delay_line_of_a_delivery),
	    cmocka_unit_test(delay_line_of_stages_not_reached),
	    cmocka_unit_test(delay_of_clocks_that_disagree_is_zero),
	    cmocka_unit_test(delay_to_text_keeps_to_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
