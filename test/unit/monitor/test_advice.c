#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "agent/engine/bdp.h"
#include "agent/settings/params.h"
#include "monitor/advice.h"

static void
set(struct site_lane *lane, const char *name, const char *value)
{
	assert_true(params_set(&lane->set, params_find(name), value, NULL));
}

static void
begin(struct site_lane *lane)
{
	static char fast[] = "fast";

	memset(lane, 0, sizeof(*lane));
	params_init(&lane->set);
	lane->opt.service_name = fast;
	set(lane, "lane_connection_limit", "20");
	set(lane, "lane_account_connection_limit", "20");
	set(lane, "lane_pipeline_depth", "10");
	set(lane, "default_destination_concurrency_limit", "20");
}

/* "name=value ..." */
static void
expect(const struct site_lane *lane, int rtt_ms, bool pipelining,
    const char *expected)
{
	json_t *report =
	    json_pack("{s:b, s:I, s:{s:b}}", "is_ready", 1, "rtt_us",
		(json_int_t)rtt_ms * 1000, "offers", "pipelining", pipelining);
	json_t *list = advice_of(lane, report);
	const json_t *one;
	char text[500] = "";
	size_t i;

	json_array_foreach(list, i, one)
	{
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s%s=%s",
		    i > 0 ? " " : "",
		    json_string_value(json_object_get(one, "name")),
		    json_string_value(json_object_get(one, "value")));
	}
	assert_string_equal(text, expected);
	json_decref(list);
	json_decref(report);
}

static void
advice_depth_follows_the_round_trip_and_windows_the_depth(void **state)
{
	struct site_lane lane;

	(void)state;
	assert_int_equal(ADVICE_SPARE, BDP_SPARE);
	begin(&lane);
	expect(&lane, 1, true,
	    "fast_destination_concurrency_limit=360 "
	    "fast_initial_destination_concurrency=360");
	expect(&lane, 20, true,
	    "lane_pipeline_depth=28 fast_destination_concurrency_limit=1120 "
	    "fast_initial_destination_concurrency=1120");
	/* A session carries 50. */
	expect(&lane, 100, true,
	    "lane_pipeline_depth=50 fast_destination_concurrency_limit=2000 "
	    "fast_initial_destination_concurrency=2000");
	set(&lane, "lane_messages_per_connection", "350");
	expect(&lane, 100, true,
	    "lane_pipeline_depth=108 fast_destination_concurrency_limit=4320 "
	    "fast_initial_destination_concurrency=4320");
	set(&lane, "lane_messages_per_connection", "100000");
	expect(&lane, 60000, true,
	    "lane_pipeline_depth=1000 "
	    "fast_destination_concurrency_limit=40000 "
	    "fast_initial_destination_concurrency=40000");
	settings_free(&lane.set);
}

static void
advice_is_none_where_all_is_as_it_should_be(void **state)
{
	struct site_lane lane;

	(void)state;
	begin(&lane);
	set(&lane, "lane_pipeline_depth", "50");
	set(&lane, "transport_destination_concurrency_limit", "2000");
	expect(&lane, 100, true, "");
	set(&lane, "transport_destination_concurrency_limit", "0");
	set(&lane, "default_destination_concurrency_limit", "0");
	expect(&lane, 100, true, "");
	settings_free(&lane.set);
}

static void
advice_for_a_limited_rate_is_no_deeper_than_that(void **state)
{
	struct site_lane lane;

	(void)state;
	begin(&lane);
	set(&lane, "transport_destination_concurrency_limit", "400");
	/* 40 a second of each of 20 sessions, for 300 ms, and eight */
	set(&lane, "lane_message_rate_limit", "800/1s");
	expect(&lane, 300, true,
	    "lane_pipeline_depth=20 fast_destination_concurrency_limit=800 "
	    "fast_initial_destination_concurrency=800");
	set(&lane, "lane_message_rate_limit", "5/1s");
	expect(&lane, 300, true, "");
	settings_free(&lane.set);
}

static void
advice_without_pipelining_is_one_message_for_each_session(void **state)
{
	struct site_lane lane;

	(void)state;
	begin(&lane);
	expect(&lane, 300, false,
	    "fast_destination_concurrency_limit=40 "
	    "fast_initial_destination_concurrency=40");
	settings_free(&lane.set);
}

static json_t *
report_of_tcp(int rtt_ms, int window, int segment)
{
	json_t *report = json_pack("{s:b, s:I, s:{s:i, s:i}, s:[{s:i}, {s:i}]}",
	    "is_ready", 1, "rtt_us", (json_int_t)rtt_ms * 1000, "tcp", "window",
	    window, "segment", segment, "steps", "round_trips", 4,
	    "round_trips", 3);

	assert_non_null(report);
	return report;
}

/* 50 messages of 5 kB: 14, 29, 58, 116, 232 kB; 58, 116, 232 kB. */
static void
advice_reckons_what_a_larger_window_of_tcp_gains(void **state)
{
	struct site_lane lane;
	struct advice_tcp tcp;
	json_t *report = report_of_tcp(100, 14480, 1448);

	(void)state;
	begin(&lane);
	set(&lane, "lane_pipeline_depth", "50");
	assert_true(advice_of_tcp(&lane, report, &tcp));
	assert_int_equal(tcp.messages, 50);
	assert_int_equal(tcp.begins, 14480);
	assert_int_equal(tcp.trips, 5);
	assert_int_equal(tcp.fewer, 3);
	assert_int_equal(tcp.percent, 20);
	/* 20 x 50 in 1.2 s: slower, and the rate is what counts. */
	set(&lane, "lane_message_rate_limit", "800/1s");
	assert_false(advice_of_tcp(&lane, report, &tcp));
	set(&lane, "lane_message_rate_limit", "900/1s");
	assert_true(advice_of_tcp(&lane, report, &tcp));
	json_decref(report);
	settings_free(&lane.set);
}

static void
advice_of_tcp_is_none_where_all_goes_at_once(void **state)
{
	struct site_lane lane;
	struct advice_tcp tcp;
	json_t *loopback = report_of_tcp(100, 654830, 65483);
	json_t *unknown = report_of_tcp(100, 0, 0);

	(void)state;
	begin(&lane);
	set(&lane, "lane_pipeline_depth", "50");
	assert_false(advice_of_tcp(&lane, loopback, &tcp));
	assert_false(advice_of_tcp(&lane, unknown, &tcp));
	json_decref(loopback);
	json_decref(unknown);
	settings_free(&lane.set);
}

static void
advice_counts_what_port_465_would_save(void **state)
{
	json_t *report = json_pack("{s:[{s:s,s:i},{s:s,s:i},{s:s,s:i},"
				   "{s:s,s:i},{s:s,s:i}]}",
	    "steps", "what", "ehlo", "us", 1, "what", "starttls", "us", 20,
	    "what", "tls", "us", 300, "what", "ehlo", "us", 4000, "what",
	    "auth", "us", 50000);
	json_t *wrapped = json_pack("{s:[{s:s,s:i},{s:s,s:i}]}", "steps",
	    "what", "tls", "us", 1, "what", "ehlo", "us", 2);
	int64_t us;

	(void)state;
	assert_int_equal(advice_wrapped_saves(report, &us), 2);
	assert_int_equal(us, 4020);
	assert_int_equal(advice_wrapped_saves(wrapped, &us), 0);
	assert_int_equal(us, 0);
	json_decref(report);
	json_decref(wrapped);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		advice_depth_follows_the_round_trip_and_windows_the_depth),
	    cmocka_unit_test(advice_is_none_where_all_is_as_it_should_be),
	    cmocka_unit_test(advice_for_a_limited_rate_is_no_deeper_than_that),
	    cmocka_unit_test(
		advice_without_pipelining_is_one_message_for_each_session),
	    cmocka_unit_test(advice_reckons_what_a_larger_window_of_tcp_gains),
	    cmocka_unit_test(advice_of_tcp_is_none_where_all_goes_at_once),
	    cmocka_unit_test(advice_counts_what_port_465_would_save),
	};

	return cmocka_run_group_tests_name("advice", tests, NULL, NULL);
}
