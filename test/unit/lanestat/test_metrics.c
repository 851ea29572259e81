/* What Prometheus is told: every figure of the board, once, as it is. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/alarm_kind.h"
#include "common/base/mem.h"
#include "monitor/lanestat/metrics.h"

#define NOW_S INT64_C(1700000000)
#define NOW_MS (NOW_S * 1000)

/* Two lanes in master.cf, of one account; the second was never started. */
struct world {
	struct model m;
	struct model_board board;
	struct model_account accounts[2];
	struct model_lane *lanes;
	struct site_lane site;
	struct backlog backlog;
	struct backlog_share shares[2];
	struct buf out;
};

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct model_lane *lane;

	w->lanes = mem_zarray(3, sizeof(w->lanes[0]));
	lane = &w->lanes[0];
	(void)snprintf(lane->name, sizeof(lane->name), "fast");
	lane->process = MODEL_RUNNING;
	lane->beat_wall_ms = NOW_MS;
	(void)snprintf(w->lanes[1].name, sizeof(lane->name), "slow");
	w->lanes[1].account = -1;
	lane->site = w->lanes[1].site = &w->site;
	w->m = (struct model){
	    .now = {.us = 1000000000, .wall = {.tv_sec = NOW_S}},
	    .boards = &w->board,
	    .board_count = 1,
	    .accounts = w->accounts,
	    .account_count = 1,
	    .lanes = w->lanes,
	    .lane_count = 2,
	};
	(void)snprintf(
	    w->accounts[0].label, sizeof(w->accounts[0].label), "mx.example");
	w->backlog = (struct backlog){.is_known = true,
	    .is_exact = true,
	    .lanes = w->shares,
	    .lane_count = 2};
	buf_init(&w->out, METRICS_MAX);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	buf_fini(&w->out);
	mem_free(w->lanes);
	mem_free(w);
	return 0;
}

static const char *
written(struct world *w, enum metrics_format format)
{
	buf_reset(&w->out);
	metrics_write(&w->out, format, &w->m, &w->backlog, POSTFIX_RUNS);
	assert_true(buf_ok(&w->out));
	return buf_str(&w->out);
}

/* How many lines there are that are this one. */
static int
count_of(const char *text, const char *line)
{
	size_t n = strlen(line);
	int count = 0;

	for (const char *p = text; p != NULL && *p != '\0';) {
		const char *end = strchr(p, '\n');

		if ((size_t)(end - p) == n && strncmp(p, line, n) == 0)
			count++;
		p = end + 1;
	}
	return count;
}

__attribute__((format(printf, 2, 3))) static void
has(const char *text, const char *format, ...)
{
	char line[500];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (count_of(text, line) != 1)
		fail_msg("%d lines \"%s\" in:\n%s", count_of(text, line), line,
		    text);
}

/* One line of the lane ends with this value. */
static void
has_value(const char *text, const char *what, int64_t value)
{
	char end[32];
	size_t n;
	int count = 0;

	(void)snprintf(end, sizeof(end), " %" PRId64, value);
	n = strlen(end);
	for (const char *p = text; *p != '\0';) {
		const char *line_end = strchr(p, '\n');

		if (line_end - p > (ptrdiff_t)n && *p != '#' &&
		    strncmp(line_end - n, end, n) == 0)
			count++;
		p = line_end + 1;
	}
	if (count != 1)
		fail_msg("%s, %" PRId64 ", is in %d lines:\n%s", what, value,
		    count, text);
}

static void
metrics_tell_every_counter_of_the_board(void **state)
{
	struct world *w = *state;
	const char *text;

	for (int i = 0; i < BOARD_COUNTER_COUNT; i++)
		w->lanes[0].counters[i] = 770000 + (uint64_t)i;
	text = written(w, METRICS_PROMETHEUS);
	for (int i = 0; i < BOARD_COUNTER_COUNT; i++)
		has_value(text, board_counters[i].name, 770000 + i);
	has(text, "# TYPE postlane_messages_total counter");
	has(text, "postlane_messages_total{lane=\"fast\",result=\"sent\"} %d",
	    770000 + BOARD_COUNTER_messages_sent);
	has(text, "postlane_messages_total{lane=\"slow\",result=\"sent\"} 0");
	has(text, "postlane_deferrals_total{lane=\"fast\",reason=\"lost\"} %d",
	    770000 + BOARD_COUNTER_deferred_lost);
	has(text, "postlane_lessons_total{lane=\"fast\",kind=\"pace\"} %d",
	    770000 + BOARD_COUNTER_lessons_pace);
	has(text,
	    "postlane_sessions_closed_total{lane=\"fast\",reason=\"reply_421\"}"
	    " %d",
	    770000 + BOARD_COUNTER_closed_421);
}

static void
metrics_tell_every_gauge_of_the_board(void **state)
{
	struct world *w = *state;
	struct model_lane *lane = &w->lanes[0];
	const char *text;

	/* Told in another way, below. */
	for (int i = 0; i < BOARD_GAUGE_COUNT; i++)
		if (i != BOARD_GAUGE_oldest_wall_ms &&
		    i != BOARD_GAUGE_requests_waiting &&
		    i != BOARD_GAUGE_waits_reason)
			lane->gauges[i] =
			    (880000 + i) *
			    (strstr(board_gauges[i].name, "_wall_ms") ||
					i == BOARD_GAUGE_rate_milli
				    ? 1000
				    : 1);
	lane->gauges[BOARD_GAUGE_requests_waiting] =
	    lane->gauges[BOARD_GAUGE_requests_parked] + 7;
	lane->gauges[BOARD_GAUGE_oldest_wall_ms] = NOW_MS - 2500;
	lane->waits = BOARD_WAIT_PACE;
	text = written(w, METRICS_PROMETHEUS);
	for (int i = 0; i < BOARD_GAUGE_COUNT; i++)
		if (i != BOARD_GAUGE_oldest_wall_ms &&
		    i != BOARD_GAUGE_requests_waiting &&
		    i != BOARD_GAUGE_waits_reason)
			has_value(text, board_gauges[i].name, 880000 + i);
	has(text, "postlane_requests{lane=\"fast\",state=\"waiting\"} 7");
	has(text, "postlane_oldest_request_age_seconds{lane=\"fast\"} 2.5");
	has(text, "postlane_oldest_request_age_seconds{lane=\"slow\"} 0");
	has(text, "postlane_waiting_for{lane=\"fast\",reason=\"pace\"} 1");
	has(text, "postlane_waiting_for{lane=\"fast\",reason=\"nothing\"} 0");
	has(text, "postlane_waiting_for{lane=\"slow\",reason=\"nothing\"} 1");
	has(text, "postlane_lane_up{lane=\"fast\"} 1");
	has(text, "postlane_lane_up{lane=\"slow\"} 0");
	has(text, "postlane_lane_health{lane=\"slow\",state=\"well\"} 1");
}

static void
metrics_have_the_edges_of_histograms(void **state)
{
	struct world *w = *state;
	struct board_hist *h = &w->lanes[0].hists[BOARD_HIST_wire_time];
	const char *text;

	board_hist_add(h, 1023);
	board_hist_add(h, 1024);
	board_hist_add(h, 500000);
	board_hist_add(h, UINT64_C(1) << 37);
	text = written(w, METRICS_PROMETHEUS);
	has(text, "# TYPE postlane_wire_seconds histogram");
	has(text,
	    "postlane_wire_seconds_bucket{lane=\"fast\",le=\"0.001024\"} 1");
	has(text,
	    "postlane_wire_seconds_bucket{lane=\"fast\",le=\"0.004096\"} 2");
	has(text,
	    "postlane_wire_seconds_bucket{lane=\"fast\",le=\"0.262144\"} 2");
	has(text,
	    "postlane_wire_seconds_bucket{lane=\"fast\",le=\"0.524288\"} 3");
	has(text, "postlane_wire_seconds_bucket{lane=\"fast\",le=\"17179."
		  "869184\"} 3");
	has(text, "postlane_wire_seconds_bucket{lane=\"fast\",le=\"+Inf\"} 4");
	has(text, "postlane_wire_seconds_count{lane=\"fast\"} 4");
	has(text, "postlane_wire_seconds_sum{lane=\"fast\"} 137439.455519");
	has(text, "postlane_wire_seconds_count{lane=\"slow\"} 0");
	for (int i = 0; i < BOARD_HIST_COUNT; i++)
		w->lanes[1].hists[i].buckets[100] = 660000 + (uint64_t)i;
	text = written(w, METRICS_PROMETHEUS);
	for (int i = 0; i < BOARD_HIST_COUNT; i++) {
		char line[60];
		const char *p = text;
		int count = 0;

		(void)snprintf(line, sizeof(line), "_count{lane=\"slow\"} %d\n",
		    660000 + i);
		while ((p = strstr(p, line)) != NULL) {
			p++;
			count++;
		}
		assert_int_equal(count, 1);
	}
}

/* Each kind of alarm there is has a series, with 0 until it is raised. */
static void
metrics_tell_alarms_by_kind(void **state)
{
	struct world *w = *state;
	struct model_lane *lane = &w->lanes[0];
	const char *text;

	lane->alarm_count = 1;
	lane->alarms[0].since_wall_ms = NOW_MS;
	(void)snprintf(
	    lane->alarms[0].what, sizeof(lane->alarms[0].what), "blocked");
	text = written(w, METRICS_PROMETHEUS);
	for (int k = 0; k < ALARM_KINDS; k++)
		has(text, "postlane_alarm{lane=\"fast\",what=\"%s\"} %d",
		    alarm_kind_name((enum alarm_kind)k), k == ALARM_BLOCKED);
	has(text, "postlane_lane_health{lane=\"fast\",state=\"alarm\"} 1");
	has(text, "postlane_lane_health{lane=\"fast\",state=\"well\"} 0");
}

static void
metrics_tell_limits_backlog_and_accounts(void **state)
{
	struct world *w = *state;
	struct model_lane *lane = &w->lanes[0];
	struct model_account *a = &w->accounts[0];
	const char *text;

	lane->rates[0] = (struct model_rate){.unit = "messages", .per_s = 5};
	lane->rate_count = 1;
	a->rates[0] = (struct model_rate){
	    .unit = "messages", .per_s = 2.5, .text = "5/2s"};
	a->rates[1] = (struct model_rate){.unit = "messages",
	    .per_s = 0.1,
	    .is_quota = true,
	    .limit = 1000,
	    .used = 12,
	    .text = "1000/1d!"};
	a->rate_count = 2;
	a->limit = 20;
	a->limit_now = 12;
	a->refusals = 3;
	a->slots.held = 4;
	a->host_count = 2;
	a->hosts[0] = (struct model_host){
	    .updated_wall_ms = NOW_MS, .certificate_wall_ms = NOW_MS + 5000};
	a->hosts[1] = (struct model_host){.updated_wall_ms = NOW_MS - 90000000,
	    .certificate_wall_ms = NOW_MS + 1000};
	w->accounts[1] = *a;
	w->m.account_count = 2;
	w->shares[0].messages[BACKLOG_ACTIVE] = 60;
	w->shares[1].messages[BACKLOG_DEFERRED] = 8;
	w->shares[1].messages[BACKLOG_ACTIVE] = 1;
	lane->per_s_1min = 2;
	w->m.token_count = 1;
	w->m.tokens[0] =
	    (struct model_token){.name = "work", .end_wall_ms = NOW_MS + 7000};
	text = written(w, METRICS_PROMETHEUS);
	has(text, "postlane_configured_messages_per_second{lane=\"fast\"} 2.5");
	has(text, "postlane_configured_messages_per_second{lane=\"slow\"} 0");
	has(text,
	    "postlane_quota_used{scope=\"account\",name=\"mx.example\",unit="
	    "\"messages\",limit=\"1000/1d!\"} 12");
	/* Of the same name, but another login. */
	has(text,
	    "postlane_quota_limit{scope=\"account\",name=\"mx.example#2\","
	    "unit=\"messages\",limit=\"1000/1d!\"} 1000");
	has(text, "postlane_account_connections{account=\"mx.example\",state="
		  "\"held\"} 4");
	has(text,
	    "postlane_account_connection_limit{account=\"mx.example\",kind="
	    "\"effective\"} 12");
	has(text, "postlane_account_refusals_total{account=\"mx.example\"} 3");
	has(text, "postlane_certificate_expiry_timestamp_seconds{account="
		  "\"mx.example\"} 1700000005");
	has(text, "postlane_token_expiry_timestamp_seconds{token=\"work\"} "
		  "1700000007");
	has(text, "postlane_token_failing_timestamp_seconds{token=\"work\"} 0");
	has(text,
	    "postlane_backlog_messages{lane=\"slow\",queue=\"deferred\"} 8");
	has(text, "postlane_backlog_drain_seconds{lane=\"fast\"} 30");
	has(text, "postlane_backlog_drain_seconds{lane=\"slow\"} +Inf");
	has(text, "postlane_lane_info{lane=\"fast\",class=\"\",account="
		  "\"mx.example\"} 1");
	has(text,
	    "postlane_lane_info{lane=\"slow\",class=\"\",account=\"\"} 1");
	w->backlog.is_known = false;
	text = written(w, METRICS_PROMETHEUS);
	has(text, "postlane_backlog_known 0");
	has(text,
	    "postlane_backlog_messages{lane=\"slow\",queue=\"deferred\"} 0");
	has(text, "postlane_backlog_drain_seconds{lane=\"slow\"} NaN");
}

static void
metrics_tell_shares_of_a_fleet(void **state)
{
	struct world *w = *state;
	struct model_fleet *f = &w->accounts[0].fleet;
	const char *text = written(w, METRICS_PROMETHEUS);

	has(text, "# TYPE postlane_fleet_share gauge");
	assert_null(strstr(text, "\npostlane_fleet_size"));
	*f = (struct model_fleet){.size = 2,
	    .told_wall_ms = NOW_MS,
	    .is_up = true,
	    .alone_ms = 2500,
	    .limits = {{.unit = "connections",
			   .word = BOARD_FLEET_OK,
			   .limit = 20,
			   .base = 10,
			   .share = 12,
			   .want = 15,
			   .known = 1,
			   .renewals = 7,
			   .failures = 3,
			   .over_us = 1500000},
		{.unit = "messages/1s",
		    .word = BOARD_FLEET_STALE,
		    .is_milli = true,
		    .share = 2500,
		    .known = 2}},
	    .count = 2};
	text = written(w, METRICS_PROMETHEUS);
#define OF "{account=\"mx.example\"} "
#define UNIT(unit) "{account=\"mx.example\",unit=\"" unit "\"} "
	has(text, "postlane_fleet_engine_up" OF "1");
	has(text, "postlane_fleet_size" OF "2");
	has(text, "postlane_fleet_hosts" OF "2");
	has(text, "postlane_fleet_alone_seconds_total" OF "2.5");
	has(text, "postlane_fleet_share" UNIT("connections") "12");
	has(text, "postlane_fleet_share" UNIT("messages/1s") "2.5");
	has(text, "postlane_fleet_base" UNIT("connections") "10");
	has(text, "postlane_fleet_limit" UNIT("connections") "20");
	has(text, "postlane_fleet_want" UNIT("connections") "15");
	has(text,
	    "postlane_fleet_over_seconds_total" UNIT("connections") "1.5");
	has(text, "postlane_fleet_questions_total{account=\"mx.example\","
		  "unit=\"connections\",result=\"failed\"} 3");
	has(text, "postlane_fleet_refused{account=\"mx.example\","
		  "unit=\"messages/1s\",reason=\"name\"} 1");
	has(text, "postlane_fleet_refused{account=\"mx.example\","
		  "unit=\"connections\",reason=\"name\"} 0");
	/* Nobody speaks: whether the engine answers is not known. */
	f->told_wall_ms = NOW_MS - 60000;
	text = written(w, METRICS_PROMETHEUS);
	assert_null(strstr(text, "\npostlane_fleet_engine_up"));
	has(text, "postlane_fleet_size" OF "2");
}

static void
metrics_are_openmetrics_for_who_asks(void **state)
{
	struct world *w = *state;
	const char *text = written(w, METRICS_OPENMETRICS);

	has(text, "# TYPE postlane_messages counter");
	has(text, "postlane_messages_total{lane=\"fast\",result=\"sent\"} 0");
	has(text, "# TYPE postlane_build info");
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	assert_int_equal(metrics_choose(NULL), METRICS_PROMETHEUS);
	assert_int_equal(metrics_choose("text/html,*/*"), METRICS_PROMETHEUS);
	assert_int_equal(
	    metrics_choose("application/openmetrics-text;version=1.0.0,"
			   "text/plain;version=0.0.4;q=0.5"),
	    METRICS_OPENMETRICS);
}

/* A series twice would make the whole scrape invalid. */
static void
metrics_have_each_lane_once(void **state)
{
	struct world *w = *state;
	struct model_lane *lane = &w->lanes[2];
	const char *text;

	*lane = w->lanes[0];
	lane->site = NULL;
	lane->counters[BOARD_COUNTER_requests] = 5;
	w->m.lane_count = 3;
	text = written(w, METRICS_PROMETHEUS);
	has(text, "postlane_requests_read_total{lane=\"fast\"} 0");
	assert_null(
	    strstr(text, "postlane_requests_read_total{lane=\"fast\"} 5"));
	/* One that is gone is not told. */
	(void)snprintf(lane->name, sizeof(lane->name), "gone");
	lane->process = MODEL_STOPPED;
	assert_null(strstr(written(w, METRICS_PROMETHEUS), "lane=\"gone\""));
	lane->process = MODEL_RUNNING;
	(void)snprintf(lane->name, sizeof(lane->name), "a\"b\\c");
	has(written(w, METRICS_PROMETHEUS),
	    "postlane_lane_up{lane=\"a\\\"b\\\\c\"} 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(metrics_tell_every_counter_of_the_board),
	    TEST(metrics_tell_every_gauge_of_the_board),
	    TEST(metrics_have_the_edges_of_histograms),
	    TEST(metrics_tell_alarms_by_kind),
	    TEST(metrics_tell_limits_backlog_and_accounts),
	    TEST(metrics_tell_shares_of_a_fleet),
	    TEST(metrics_are_openmetrics_for_who_asks),
	    TEST(metrics_have_each_lane_once),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
