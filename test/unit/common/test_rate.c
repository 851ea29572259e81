#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/limits/rate.h"

static const int64_t second = 1000000;

static void
rate_forms(void **state)
{
	static const struct {
		const char *in;
		int64_t count_milli, period_us, burst;
		bool is_quota;
		const char *text;
	} t[] = {
	    {"14/1s", 14000, 1000000, 1, false, "14/1s:1"},
	    {"14/s", 14000, 1000000, 1, false, "14/1s:1"},
	    {" 30/1m:5 ", 30000, 60000000, 5, false, "30/1m:5"},
	    {"1000/1s", 1000000, 1000000, 50, false, "1000/1s:50"},
	    {"0.5/1s", 500, 1000000, 1, false, "0.5/1s:1"},
	    {"0.125/500ms", 125, 500000, 1, false, "0.125/500ms:1"},
	    {"12.50/2m", 12500, 120000000, 1, false, "12.5/2m:1"},
	    {"50000/1d!", 50000000, 86400000000, 0, true, "50000/1d!"},
	    {"50000/1d", 50000000, 86400000000, 0, true, "50000/1d!"},
	    {"50000/24h", 50000000, 86400000000, 0, true, "50000/1d!"},
	    {"100/1h", 100000, 3600000000, 0, true, "100/1h!"},
	    {"100/60m", 100000, 3600000000, 0, true, "100/1h!"},
	    {"100/59m", 100000, 3540000000, 1, false, "100/59m:1"},
	    {"100/1h:10", 100000, 3600000000, 10, false, "100/1h:10"},
	    {"0.5/1h", 500, 3600000000, 1, false, "0.5/1h:1"},
	    {"100/10s!", 100000, 10000000, 0, true, "100/10s!"},
	    {"999999999999.999/400d:1000000000000", 999999999999999,
		INT64_C(34560000000000), 1000000000000, false,
		"999999999999.999/400d:1000000000000"},
	    {"1048576/1s", 1048576000, 1000000, 52428, false,
		"1048576/1s:52428"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct rate r, again;
		char error[256] = "", text[RATE_TEXT_SIZE];

		assert_true(
		    rate_parse(slice_str(t[i].in), &r, error, sizeof error));
		assert_int_equal(r.count_milli, t[i].count_milli);
		assert_int_equal(r.period_us, t[i].period_us);
		assert_int_equal(r.burst, t[i].burst);
		assert_int_equal(r.is_quota, t[i].is_quota);
		rate_to_text(&r, text, sizeof text);
		assert_string_equal(text, t[i].text);
		assert_true(
		    rate_parse(slice_str(text), &again, error, sizeof error));
		assert_memory_equal(&again, &r, sizeof r);
	}
}

static void
rate_malformed_is_told_with_what_is_allowed(void **state)
{
	static const char *const t[] = {"", "14", "14/", "/1s", "0/1s", "-1/1s",
	    "1/0s", "1/-1s", "1/1x", "1/1", "1/1S", "1/1us", "1.2345/1s",
	    "1./1s", ".5/1s", "1/1s:", "1/1s:0", "1/1s:x", "1/1s:-1", "1/1s!5",
	    "1/1s:5!", "0.5/1d!", "1.5/1s!", "1/401d",
	    "1/9999999999999999999999s", "9999999999999999999999/1s",
	    "1000000000000/1s", "1/1s:1000000000001", "14 /1s", "1e3/1s",
	    "none/1s", "0.000/1s", "0.1/400d:3", "0.001/400d"};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct rate r;
		char error[320] = "", tiny[4];

		assert_false(
		    rate_parse(slice_str(t[i]), &r, error, sizeof error));
		assert_non_null(strstr(error, "must be none, N/period"));
		assert_non_null(strstr(error, "up to 400d)"));
		assert_false(
		    rate_parse(slice_str(t[i]), &r, tiny, sizeof tiny));
		assert_string_equal(tiny, "bad");
	}
}

static void
rate_list_forms(void **state)
{
	static const struct {
		const char *in;
		size_t count;
	} t[] = {{"", 0}, {"none", 0}, {" None ", 0}, {"14/1s", 1},
	    {"14/1s,50000/1d!", 2}, {"14/1s 50000/1d!, 5/m,1/h", 4},
	    {",, 14/1s ,", 1}};
	struct rate r[RATE_LIST_MAX];
	char error[256];
	size_t count;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		assert_true(rate_list_parse(slice_str(t[i].in), r,
		    RATE_LIST_MAX, &count, error, sizeof error));
		assert_int_equal(count, t[i].count);
	}
	assert_true(rate_list_parse(
	    slice_of(NULL, 0), r, RATE_LIST_MAX, &count, error, sizeof error));
	assert_false(rate_parse(slice_of(NULL, 0), r, error, sizeof error));
	assert_false(rate_list_parse(slice_str("1/s 1/m 1/h 1/d 2/d"), r,
	    RATE_LIST_MAX, &count, error, sizeof error));
	assert_string_equal(error, "must be a list of up to 4 rates");
	assert_false(rate_list_parse(slice_str("1/s 1/q"), r, RATE_LIST_MAX,
	    &count, error, sizeof error));
	assert_non_null(strstr(error, "\"1/q\""));
}

static void
rate_default_burst_is_fifty_ms_worth(void **state)
{
	(void)state;
	assert_int_equal(rate_default_burst(14000, second), 1);
	assert_int_equal(rate_default_burst(39999, second), 1);
	assert_int_equal(rate_default_burst(40000, second), 2);
	assert_int_equal(rate_default_burst(1, RATE_PERIOD_MAX_US), 1);
	assert_int_equal(
	    rate_default_burst(RATE_COUNT_MAX * 1000, 1000), RATE_COUNT_MAX);
}

static void
rate_scale_is_a_part_of_it(void **state)
{
	static const struct {
		const char *in, *out;
		int percent;
	} t[] = {{"5/1s", "2.5/1s:1", 50}, {"5/1s:4", "2.5/1s:4", 50},
	    {"100/1s", "50/1s:2", 50}, {"100/1s:5", "200/1s:10", 200},
	    {"0.001/1s", "0.001/1s:1", 1}, {"7/1m", "4.9/1m:1", 70},
	    {"100000/1s", "1000000/1s:50000", 1000},
	    {"999999999999/1s:7", "999999999999.999/1s:7", 101}};
	char text[RATE_TEXT_SIZE], error[128];
	struct rate r;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		assert_true(
		    rate_parse(slice_str(t[i].in), &r, error, sizeof error));
		rate_scale(&r, t[i].percent);
		rate_to_text(&r, text, sizeof text);
		assert_string_equal(text, t[i].out);
		assert_true(
		    rate_parse(slice_str(text), &r, error, sizeof error));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rate_forms),
	    cmocka_unit_test(rate_malformed_is_told_with_what_is_allowed),
	    cmocka_unit_test(rate_list_forms),
	    cmocka_unit_test(rate_default_burst_is_fifty_ms_worth),
	    cmocka_unit_test(rate_scale_is_a_part_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
