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
	    cmocka_unit_test(advice_counts_what_port_465_would_save),
	};

	return cmocka_run_group_tests_name("advice", tests, NULL, NULL);
}
