/* When what is in the queue for a lane will be gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "monitor/forecast.h"
#include "monitor/say.h"

#define NOW_S INT64_C(1700000000)
#define NOW_MS (NOW_S * 1000)

/* One lane that has an account. */
struct world {
	struct model m;
	struct model_account account;
	struct model_lane *lane;
	struct backlog_share share;
};

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	w->lane = mem_zalloc(sizeof(*w->lane));
	w->m = (struct model){
	    .now = {.us = 1000000000, .wall = {.tv_sec = NOW_S}},
	    .accounts = &w->account,
	    .account_count = 1,
	    .lanes = w->lane,
	    .lane_count = 1,
	};
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	mem_free(w->lane);
	mem_free(w);
	return 0;
}

static void
forecast_takes_the_pace_and_the_slowest_limit(void **state)
{
	struct world *w = *state;
	struct forecast f;

	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.messages, 0);
	assert_int_equal(f.empty_s, 0);
	assert_int_equal(f.limit_s, 0);
	w->share.messages[BACKLOG_ACTIVE] = 900;
	w->share.messages[BACKLOG_INCOMING] = 100;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.messages, 1000);
	assert_int_equal(f.empty_s, -1);
	/* Ten in the last two seconds: not 10/60s. */
	w->lane->per_s_1min = 10 / 60.;
	w->lane->sent_in[MODEL_SECONDS - 2] = 6;
	w->lane->sent_in[MODEL_SECONDS - 1] = 4;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.empty_s, 500);
	w->lane->sent_in[MODEL_SECONDS - 20] = 5;
	w->lane->per_s_1min = 15 / 60.;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.empty_s, 1334);
	w->lane->sent_in[0] = 1;
	w->lane->per_s_1min = 4;
	w->lane->rates[w->lane->rate_count++] =
	    (struct model_rate){.unit = "messages", .text = "5/1s", .per_s = 5};
	/* Of octets nothing is known, connections hold no message back. */
	w->lane->rates[w->lane->rate_count++] =
	    (struct model_rate){.unit = "octets", .text = "1/1d", .per_s = .1};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.empty_s, 250);
	assert_int_equal(f.limit_s, 200);
	assert_string_equal(f.limit, "5/1s messages");
	/* 600 are left of the quota, 400 come at its own pace. */
	w->account.rates[w->account.rate_count++] =
	    (struct model_rate){.unit = "recipients",
		.text = "1000/1h!",
		.per_s = 1000 / 3600.,
		.is_quota = true,
		.limit = 1000,
		.used = 400};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.limit_s, 1440);
	assert_string_equal(f.limit, "1000/1h! recipients of the account");
	w->account.rates[0].used = 0;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.limit_s, 200);
	w->lane->gauges[BOARD_GAUGE_rate_milli] = 2500;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.limit_s, 400);
	assert_string_equal(f.limit, "2.5/1s, as replies taught");
	/* What an operator has stopped has no end; of a domain, the rest has.
	 */
	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_PAUSE, .domain = "example.com"};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_false(f.is_held);
	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_DRAIN};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_true(f.is_held);
	assert_int_equal(f.empty_s, -1);
}

static void
forecast_begins_when_a_pause_or_a_quota_ends(void **state)
{
	struct world *w = *state;
	struct model_rate *quota = &w->account.rates[0];
	struct forecast f;

	w->share.messages[BACKLOG_ACTIVE] = 30;
	w->lane->per_s_1min = 1;
	w->lane->sent_in[0] = 1;
	w->lane->gauges[BOARD_GAUGE_paused_until_wall_ms] = NOW_MS - 1;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.begin_wall_ms, 0);
	assert_int_equal(f.empty_s, 30);
	w->lane->gauges[BOARD_GAUGE_paused_until_wall_ms] = NOW_MS + 55001;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.begin_wall_ms, NOW_MS + 55001);
	assert_int_equal(f.empty_s, 86);
	/* The last to end counts; one of a domain does not. */
	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_DRAIN, .until_s = NOW_S + 120};
	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_PAUSE,
		.domain = "example.com",
		.until_s = NOW_S + 900};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_false(f.is_held);
	assert_int_equal(f.begin_wall_ms, NOW_MS + 120000);
	assert_int_equal(f.empty_s, 150);
	/* All of a quota may come back at once, what is beyond it later. */
	w->account.rate_count = 1;
	*quota = (struct model_rate){.unit = "messages",
	    .text = "20/1h!",
	    .per_s = 20 / 3600.,
	    .is_quota = true,
	    .limit = 20,
	    .used = 20,
	    .next_wall_ms = NOW_MS + 600000};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.begin_wall_ms, NOW_MS + 600000);
	assert_int_equal(f.limit_s, 600 + 1800);
	assert_int_equal(f.empty_s, 600 + 1800);
	w->share.messages[BACKLOG_ACTIVE] = 0;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.empty_s, 0);
	assert_int_equal(f.begin_wall_ms, 0);
}

/* What is inside goes, and only what is not inside waits. */
static void
forecast_of_a_drained_lane_holds_what_is_not_inside(void **state)
{
	struct world *w = *state;
	struct steer_order *drain = &w->lane->orders[0];
	struct forecast f;

	w->lane->order_count = 1;
	*drain = (struct steer_order){.verb = STEER_DRAIN};
	w->share.messages[BACKLOG_ACTIVE] = 30;
	w->lane->per_s_1min = 1;
	w->lane->sent_in[0] = 1;
	w->lane->gauges[BOARD_GAUGE_requests_waiting] = 20;
	w->lane->gauges[BOARD_GAUGE_requests_in_flight] = 8;
	w->lane->gauges[BOARD_GAUGE_reports_pending] = 2;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_false(f.is_held);
	assert_false(f.is_drained);
	assert_int_equal(f.empty_s, 30);
	drain->until_s = NOW_S + 120;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.begin_wall_ms, 0);
	assert_int_equal(f.empty_s, 30);
	w->share.messages[BACKLOG_INCOMING] = 1;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_true(f.is_drained);
	assert_int_equal(f.begin_wall_ms, NOW_MS + 120000);
	assert_int_equal(f.empty_s, 151);
	/* Until the smarthost's pause is over nothing goes at all. */
	w->lane->gauges[BOARD_GAUGE_paused_until_wall_ms] = NOW_MS + 130000;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_false(f.is_drained);
	assert_int_equal(f.begin_wall_ms, NOW_MS + 130000);
	drain->until_s = 0;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_true(f.is_held);
	assert_true(f.is_drained);
	assert_int_equal(f.empty_s, -1);
	drain->verb = STEER_PAUSE;
	w->share.messages[BACKLOG_INCOMING] = 0;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_true(f.is_held);
	assert_false(f.is_drained);
	/* One that the lane has not got waits, however few are before it. */
	drain->verb = STEER_DRAIN;
	forecast_behind(&f, &w->m, w->lane, 2);
	assert_int_equal(f.messages, 3);
	assert_true(f.is_held);
}

static const char *
end_of(struct world *w, struct forecast *f)
{
	static char text[FORECAST_END_SIZE];

	forecast_of(f, &w->m, w->lane, &w->share);
	return forecast_say_end(f, w->lane, NOW_MS, text, sizeof(text));
}

/* What is deferred has to be sent as well, and has a time of its own. */
static void
forecast_counts_deferred_mail(void **state)
{
	struct world *w = *state;
	struct forecast f;
	char expected[200], clock[SAY_SIZE];

	(void)snprintf(w->lane->name, sizeof(w->lane->name), "slow");
	w->lane->per_s_1min = 1;
	w->lane->sent_in[0] = 1;
	assert_string_equal(end_of(w, &f), "0s");
	w->share.messages[BACKLOG_ACTIVE] = 10;
	w->share.messages[BACKLOG_DEFERRED] = 20;
	assert_string_equal(end_of(w, &f), "30s");
	w->share.messages[BACKLOG_ACTIVE] = 0;
	assert_string_equal(end_of(w, &f),
	    "unknown: deferred mail is tried again in its own time");
	assert_int_equal(f.empty_s, -1);
	w->lane->orders[0] =
	    (struct steer_order){.verb = STEER_PAUSE, .domain = "example.com"};
	w->lane->order_count = 1;
	assert_string_equal(end_of(w, &f),
	    "unknown: mail to example.com not before \"postlane resume "
	    "example.com\", other deferred mail is tried again in its own "
	    "time");
	w->lane->orders[0].domain[0] = '\0';
	assert_string_equal(
	    end_of(w, &f), "not before \"postlane resume slow\"");
	w->lane->orders[0].until_s = NOW_S + 120;
	(void)snprintf(expected, sizeof(expected),
	    "not before %s (paused), in 2m 20s in all",
	    say_clock(NOW_MS + 120000, NOW_MS, clock, sizeof(clock)));
	assert_string_equal(end_of(w, &f), expected);
	w->lane->per_s_1min = 0;
	w->lane->sent_in[0] = 0;
	*strchr(expected, ',') = '\0';
	assert_string_equal(end_of(w, &f), expected);
}

/* The pace of before is nobody's, while nothing goes. */
static void
forecast_without_a_host_is_unknown(void **state)
{
	struct world *w = *state;
	struct forecast f;
	char expected[200], clock[SAY_SIZE];

	w->lane->per_s_1min = 1;
	w->lane->sent_in[0] = 1;
	w->share.messages[BACKLOG_ACTIVE] = 10;
	w->lane->waits = BOARD_WAIT_BACKOFF;
	(void)snprintf(w->lane->waits_for, sizeof(w->lane->waits_for),
	    "connect to mx: refused");
	assert_string_equal(end_of(w, &f),
	    "unknown: no connection to the smarthost: connect to mx: refused");
	assert_int_equal(f.empty_s, -1);
	/* Some sessions are there, and one cannot be had. */
	w->lane->gauges[BOARD_GAUGE_sessions_busy] = 1;
	assert_string_equal(end_of(w, &f), "10s");
	w->lane->gauges[BOARD_GAUGE_sessions_busy] = 0;
	w->lane->waits = BOARD_WAIT_CONNECTION;
	assert_string_equal(end_of(w, &f), "10s");
	w->lane->trouble_wall_ms = NOW_MS - 1000;
	(void)snprintf(w->lane->trouble, sizeof(w->lane->trouble), "refused");
	assert_string_equal(
	    end_of(w, &f), "unknown: no connection to the smarthost: refused");
	w->lane->waits = BOARD_WAIT_NOTHING;
	w->share.messages[BACKLOG_ACTIVE] = 0;
	w->share.messages[BACKLOG_DEFERRED] = 21;
	w->lane->alarms[0] = (struct model_alarm){.since_wall_ms = NOW_MS,
	    .what = "outage",
	    .where = "[mx]:25",
	    .reply = "refused"};
	w->lane->alarm_count = 1;
	(void)snprintf(expected, sizeof(expected),
	    "unknown: the smarthost is down since %s: refused",
	    say_clock(NOW_MS, NOW_MS, clock, sizeof(clock)));
	assert_string_equal(end_of(w, &f), expected);
	w->lane->waits = BOARD_WAIT_SETTINGS;
	(void)snprintf(
	    w->lane->waits_for, sizeof(w->lane->waits_for), "no table");
	assert_string_equal(
	    end_of(w, &f), "unknown: all mail is deferred: no table");
}

/* An hour's pause is not the limit's doing. */
static void
forecast_says_from_when_on_a_limit_holds_mail(void **state)
{
	struct world *w = *state;
	char text[FORECAST_LIMIT_SIZE], clock[SAY_SIZE], expected[200];
	struct forecast f;

	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_string_equal(
	    forecast_say_limit(&f, NOW_MS, text, sizeof(text)), "");
	w->share.messages[BACKLOG_ACTIVE] = 50;
	w->lane->rates[w->lane->rate_count++] =
	    (struct model_rate){.unit = "messages", .text = "5/1s", .per_s = 5};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.limit_s, 10);
	assert_string_equal(forecast_say_limit(&f, NOW_MS, text, sizeof(text)),
	    "5/1s messages");
	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_PAUSE, .until_s = NOW_S + 3600};
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_int_equal(f.limit_s, 3610);
	(void)snprintf(expected, sizeof(expected), "5/1s messages from %s on",
	    say_clock(NOW_MS + 3600000, NOW_MS, clock, sizeof(clock)));
	assert_string_equal(
	    forecast_say_limit(&f, NOW_MS, text, sizeof(text)), expected);
}

/* What was sent before an outage began is no pace of it. */
static void
forecast_of_a_lane_that_stands_still_is_never(void **state)
{
	static const enum board_wait still[] = {
	    BOARD_WAIT_OUTAGE, BOARD_WAIT_ALARM};
	struct world *w = *state;
	struct forecast f;

	w->share.messages[BACKLOG_ACTIVE] = 50;
	w->lane->per_s_1min = 5;
	for (size_t i = 0; i < sizeof(still) / sizeof(still[0]); i++) {
		w->lane->waits = still[i];
		forecast_of(&f, &w->m, w->lane, &w->share);
		assert_true(f.is_stopped);
		assert_int_equal(f.empty_s, -1);
	}
	/* Other sessions go on. */
	w->lane->waits = BOARD_WAIT_BACKOFF;
	w->lane->gauges[BOARD_GAUGE_sessions_busy] = 1;
	forecast_of(&f, &w->m, w->lane, &w->share);
	assert_false(f.is_stopped);
	assert_int_equal(f.empty_s, 10);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_WORLD(forecast_takes_the_pace_and_the_slowest_limit),
	    IN_WORLD(forecast_begins_when_a_pause_or_a_quota_ends),
	    IN_WORLD(forecast_of_a_drained_lane_holds_what_is_not_inside),
	    IN_WORLD(forecast_of_a_lane_that_stands_still_is_never),
	    IN_WORLD(forecast_counts_deferred_mail),
	    IN_WORLD(forecast_without_a_host_is_unknown),
	    IN_WORLD(forecast_says_from_when_on_a_limit_holds_mail),
	};

	return cmocka_run_group_tests_name("forecast", tests, NULL, NULL);
}
