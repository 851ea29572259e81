/* How a lane is: the worst that is true is what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "monitor/health.h"
#include "monitor/say.h"

#define NOW_S INT64_C(1700000000)
#define NOW_MS (NOW_S * 1000)

/* One lane that runs and has an account, in good health. */
struct world {
	struct model m;
	struct model_board board;
	struct model_account account;
	struct model_lane *lane;
	struct site_lane site;
	struct backlog backlog;
	struct backlog_share share;
	enum postfix_state postfix;
};

static int
set_up(void **state)
{
	static const char directory[] = "/state";
	struct world *w = mem_zalloc(sizeof(*w));

	w->board = (struct model_board){.directory = directory};
	w->lane = mem_zalloc(sizeof(*w->lane));
	w->lane->directory = directory;
	w->lane->site = &w->site;
	w->lane->process = MODEL_RUNNING;
	w->lane->has_figures = true;
	w->lane->beat_wall_ms = NOW_MS - 100;
	w->account.limit = w->account.limit_now = 20;
	(void)snprintf(
	    w->account.refusal, sizeof(w->account.refusal), "421 too many");
	w->m = (struct model){
	    .now = {.us = 1000000000, .wall = {.tv_sec = NOW_S}},
	    .boards = &w->board,
	    .board_count = 1,
	    .accounts = &w->account,
	    .account_count = 1,
	    .lanes = w->lane,
	    .lane_count = 1,
	};
	w->backlog = (struct backlog){.is_known = true,
	    .is_exact = true,
	    .lanes = &w->share,
	    .lane_count = 1};
	w->postfix = POSTFIX_RUNS;
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
is(struct world *w, enum health_state state, const char *text)
{
	struct health h;

	health_of(&h, &w->m, w->lane, &w->backlog, w->postfix);
	assert_string_equal(h.text, text);
	assert_string_equal(health_name(h.state), health_name(state));
}

static enum health_state
state_of(const struct world *w)
{
	struct health h;

	health_of(&h, &w->m, w->lane, &w->backlog, w->postfix);
	return h.state;
}

static void
waits(struct world *w, enum board_wait why, const char *text, int64_t n)
{
	w->lane->waits = why;
	(void)snprintf(
	    w->lane->waits_for, sizeof(w->lane->waits_for), "%s", text);
	w->lane->gauges[BOARD_GAUGE_requests_waiting] = n;
}

static void
health_of_a_lane_that_works_is_well(void **state)
{
	struct world *w = *state;

	is(w, HEALTH_WELL, "idle, nothing waits");
	w->lane->gauges[BOARD_GAUGE_requests_in_flight] = 3;
	is(w, HEALTH_WELL, "sends, nothing waits");
	waits(w, BOARD_WAIT_RATE, "lane_message_rate_limit = 5/1s", 7);
	is(w, HEALTH_WELL,
	    "at its limit, 7 wait: lane_message_rate_limit = 5/1s");
	waits(
	    w, BOARD_WAIT_CONNECTION_LIMIT, "lane_connection_limit reached", 4);
	is(w, HEALTH_WELL, "sends, 4 wait: lane_connection_limit reached");
	/* Nothing is on the wire, and nothing was lately. */
	w->lane->gauges[BOARD_GAUGE_requests_in_flight] = 0;
	is(w, HEALTH_WELL, "4 wait: lane_connection_limit reached");
	waits(w, BOARD_WAIT_SLOT, "account connection limit reached", 4);
	w->lane->gauges[BOARD_GAUGE_oldest_wall_ms] = NOW_MS - 9000;
	is(w, HEALTH_WELL, "4 wait: account connection limit reached");
	w->lane->gauges[BOARD_GAUGE_oldest_wall_ms] = NOW_MS - 10000;
	is(w, HEALTH_SLOWED, "4 wait: account connection limit reached");
	w->lane->per_s_10s = .1;
	is(w, HEALTH_WELL, "sends, 4 wait: account connection limit reached");
}

static void
health_is_slowed_by_what_is_no_setting(void **state)
{
	struct world *w = *state;

	waits(w, BOARD_WAIT_PACE, "the smarthost asked to slow down", 9);
	w->lane->gauges[BOARD_GAUGE_rate_milli] = 4900;
	is(w, HEALTH_SLOWED,
	    "the smarthost takes 4.9 messages a second, as its replies "
	    "taught, and 9 wait");
	waits(w, BOARD_WAIT_BACKOFF, "connect to mx: refused", 9);
	is(w, HEALTH_SLOWED, "9 wait for a connection: connect to mx: refused");
	/* Fewer connections matter only to a lane that wants more. */
	waits(w, BOARD_WAIT_SLOT, "no slot", 2);
	w->account.limit_now = 6;
	w->lane->account = -1;
	is(w, HEALTH_WELL, "2 wait: no slot");
	w->lane->account = 0;
	is(w, HEALTH_WELL, "2 wait: no slot");
	w->lane->wants = 1;
	is(w, HEALTH_SLOWED,
	    "the provider lets the account have 6 of 20 connections: 421 too "
	    "many");
	w->lane->gauges[BOARD_GAUGE_crowd_relieving] = 1;
	w->lane->gauges[BOARD_GAUGE_messages_active] = 18000;
	w->lane->gauges[BOARD_GAUGE_crowd_given_back] = 70;
	is(w, HEALTH_SLOWED,
	    "the active queue holds 18000 messages: surplus is deferred and "
	    "called back when there is room, 70 so far");
}

/* A fleet of two, and this host's part of 20 connections and 100/1s. */
static struct model_fleet *
in_fleet(struct world *w)
{
	struct model_fleet *f = &w->account.fleet;

	*f = (struct model_fleet){.size = 2,
	    .told_wall_ms = NOW_MS - 500,
	    .is_up = true,
	    .since_wall_ms = NOW_MS - 5000,
	    .name = "mx1",
	    .engine = "redis:6379",
	    .trouble = "Connection refused",
	    .limits = {{.unit = "connections",
			   .word = BOARD_FLEET_OK,
			   .limit = 20,
			   .base = 10,
			   .share = 12},
		{.unit = "messages/1s",
		    .word = BOARD_FLEET_OK,
		    .is_milli = true,
		    .limit = 99998,
		    .base = 49999,
		    .share = 49999}},
	    .count = 2};
	w->lane->account = 0;
	return f;
}

static void
health_tells_the_share_that_mail_waits_for(void **state)
{
	struct world *w = *state;
	struct model_fleet *f = in_fleet(w);

	is(w, HEALTH_WELL, "idle, nothing waits");
	waits(w, BOARD_WAIT_SLOT, "no slot", 7);
	is(w, HEALTH_WELL,
	    "at this host's share of the fleet, 7 wait: 12 of 20 connections");
	waits(w, BOARD_WAIT_RATE,
	    "lane_account_message_rate_limit = 49.999/1s:5", 7);
	is(w, HEALTH_WELL,
	    "at this host's share of the fleet, 7 wait: 50 of 100 messages/1s");
	/* It has all of it, or waits for a limit of its own. */
	f->limits[1].share = f->limits[1].limit;
	is(w, HEALTH_WELL,
	    "at its limit, 7 wait: "
	    "lane_account_message_rate_limit = 49.999/1s:5");
	waits(w, BOARD_WAIT_RATE, "lane_message_rate_limit = 5/1s", 7);
	is(w, HEALTH_WELL,
	    "at its limit, 7 wait: lane_message_rate_limit = 5/1s");
}

/* Of several in one unit it is the one that is waited for. */
static void
health_tells_the_limit_of_several_that_mail_waits_for(void **state)
{
	struct world *w = *state;
	struct model_fleet *f = in_fleet(w);

	f->limits[f->count++] =
	    (struct model_fleet_limit){.unit = "messages/1d!",
		.word = BOARD_FLEET_OK,
		.limit = 50000,
		.base = 25000,
		.known = 1};
	waits(w, BOARD_WAIT_RATE, "lane_account_message_rate_limit = 0/1d!", 7);
	is(w, HEALTH_SLOWED,
	    "7 wait, with 0 of 50000 messages/1d!, until all 2 hosts of the "
	    "fleet have asked its engine (1 so far)");
	f->limits[2].known = 2;
	f->limits[2].share = 30000;
	is(w, HEALTH_WELL,
	    "at this host's share of the fleet, 7 wait: 30000 of 50000 "
	    "messages/1d!");
	waits(w, BOARD_WAIT_RATE,
	    "lane_account_message_rate_limit = 49.999/1s:5", 7);
	is(w, HEALTH_WELL,
	    "at this host's share of the fleet, 7 wait: 50 of 100 messages/1s");
}

/* Its mail is deferred then, and nothing need wait inside. */
static void
health_is_slowed_by_a_quota_that_is_used_up(void **state)
{
	struct world *w = *state;
	struct model_rate *own = &w->lane->rates[w->lane->rate_count++];
	struct model_rate *shared = &w->account.rates[w->account.rate_count++];

	(void)setenv("TZ", "UTC", 1);
	tzset();
	*own = (struct model_rate){.unit = "messages",
	    .text = "100/1h!",
	    .is_quota = true,
	    .limit = 100,
	    .used = 99};
	*shared = (struct model_rate){.unit = "recipients",
	    .text = "10000/1d!",
	    .is_quota = true,
	    .limit = 10000,
	    .used = 10000};
	is(w, HEALTH_WELL, "idle, nothing waits");
	shared->next_wall_ms = NOW_MS + 1800000;
	is(w, HEALTH_SLOWED,
	    "the account's quota of 10000/1d! recipients is used up: goes on "
	    "at 22:43:20, in 30m 0s");
	own->next_wall_ms = NOW_MS + 60000;
	is(w, HEALTH_SLOWED,
	    "the account's quota of 10000/1d! recipients is used up: goes on "
	    "at 22:43:20, in 30m 0s");
	shared->next_wall_ms = NOW_MS; /* one more may go */
	is(w, HEALTH_SLOWED,
	    "the lane's quota of 100/1h! messages is used up: goes on at "
	    "22:14:20, in 1m 0s");
	waits(w, BOARD_WAIT_RATE, "lane_message_rate_limit = 100/1h!", 7);
	is(w, HEALTH_SLOWED,
	    "the lane's quota of 100/1h! messages is used up: goes on at "
	    "22:14:20, in 1m 0s");
	own->is_quota = false;
	is(w, HEALTH_WELL,
	    "at its limit, 7 wait: lane_message_rate_limit = 100/1h!");
	own->is_quota = true;
	waits(w, BOARD_WAIT_OUTAGE, "connection refused", 7);
	is(w, HEALTH_ALARM, "nothing goes: connection refused");
}

static void
health_without_an_engine_is_slowed_by_it(void **state)
{
	struct world *w = *state;
	struct model_fleet *f = in_fleet(w);
	char text[512], since[SAY_SIZE];

	f->is_up = false;
	f->limits[0].share = 10;
	is(w, HEALTH_WELL, "idle, nothing waits");
	waits(w, BOARD_WAIT_SLOT, "no slot", 7);
	(void)snprintf(text, sizeof(text),
	    "7 wait, and this host keeps to its own 10 of the fleet's 20 "
	    "connections: redis:6379 does not answer since %s: Connection "
	    "refused",
	    say_clock(NOW_MS - 5000, NOW_MS, since, sizeof(since)));
	is(w, HEALTH_SLOWED, text);
	/* What nobody tells any more is no news. */
	f->told_wall_ms = NOW_MS - 20000;
	is(w, HEALTH_WELL, "7 wait: no slot");
}

static void
health_of_a_name_that_is_taken_is_an_alarm(void **state)
{
	struct world *w = *state;
	struct model_fleet *f = in_fleet(w);

	f->limits[1].word = BOARD_FLEET_STALE;
	is(w, HEALTH_ALARM,
	    "two hosts of the fleet call themselves mx1, and this one has no "
	    "share: give each a lane_fleet_name of its own");
	f->limits[1].word = BOARD_FLEET_FULL;
	is(w, HEALTH_ALARM,
	    "the fleet has 2 hosts already, and mx1 is none of them: see "
	    "\"postlane fleet\", lane_fleet_size");
}

static void
health_is_paused_until_a_time_and_alarm_is_worse(void **state)
{
	struct world *w = *state;
	struct health h;

	w->lane->gauges[BOARD_GAUGE_paused_until_wall_ms] = NOW_MS - 1;
	is(w, HEALTH_WELL, "idle, nothing waits");
	w->lane->gauges[BOARD_GAUGE_paused_until_wall_ms] = NOW_MS + 90000;
	health_of(&h, &w->m, w->lane, NULL, w->postfix);
	assert_int_equal(h.state, HEALTH_PAUSED);
	assert_non_null(
	    strstr(h.text, "the smarthost asked for a pause until "));
	assert_non_null(strstr(h.text, ", in 1m 30s"));
	w->lane->alarm_count = 1;
	w->lane->alarms[0] = (struct model_alarm){.since_wall_ms = NOW_MS,
	    .what = "login",
	    .where = "[mx]:587",
	    .reply = "535 no"};
	health_of(&h, &w->m, w->lane, NULL, w->postfix);
	assert_int_equal(h.state, HEALTH_ALARM);
	assert_non_null(strstr(h.text, "login at [mx]:587 since "));
	assert_non_null(strstr(h.text, ": 535 no"));
}

static void
assert_alarm_at(struct world *w, const char *where)
{
	struct health h;

	health_of(&h, &w->m, w->lane, NULL, w->postfix);
	assert_int_equal(h.state, HEALTH_ALARM);
	assert_memory_equal(h.text, "login at ", 9);
	assert_memory_equal(h.text + 9, where, strlen(where));
}

static void
health_is_not_alarm_for_what_mail_that_flows_does_not_meet(void **state)
{
	struct world *w = *state;
	struct model_alarm *left = &w->lane->alarms[0];

	w->lane->alarm_count = 1;
	*left = (struct model_alarm){.since_wall_ms = NOW_MS - 86400000,
	    .met_wall_ms = NOW_MS - 3 * 3600000 - 1,
	    .what = "login",
	    .where = "[old]:587",
	    .reply = "535 no"};
	/* nothing flows: nothing shows that it is left behind */
	assert_alarm_at(w, "[old]:587");
	w->lane->per_s_1h = 0.01;
	is(w, HEALTH_WELL, "idle, nothing waits");
	/* it may be tried as seldom as that */
	w->site.set.lane_alert_retry_us = INT64_C(3600) * 1000000;
	assert_alarm_at(w, "[old]:587");
	w->site.set.lane_alert_retry_us = 0;
	left->met_wall_ms += 2;
	assert_alarm_at(w, "[old]:587");
	left->met_wall_ms = 0;
	assert_alarm_at(w, "[old]:587");
	left->met_wall_ms = 1;
	w->lane->alarms[1] = *left;
	w->lane->alarms[1].met_wall_ms = NOW_MS - 60000;
	memcpy(w->lane->alarms[1].where, "[new]", 5);
	w->lane->alarm_count = 2;
	assert_alarm_at(w, "[new]:587");
}

/* The alarm is of before: mail meets something else since then. */
static void
health_tells_what_mail_meets_now(void **state)
{
	struct world *w = *state;
	struct model_lane *lane = w->lane;
	char expected[300], since[SAY_SIZE];

	(void)say_clock(NOW_MS - 90000, NOW_MS, since, sizeof(since));
	lane->alarm_count = 1;
	lane->alarms[0] = (struct model_alarm){.since_wall_ms = NOW_MS - 90000,
	    .met_wall_ms = NOW_MS - 50000,
	    .what = "certificate",
	    .where = "[mx]:587",
	    .reply = "untrusted issuer"};
	(void)snprintf(lane->trouble, sizeof(lane->trouble), "cannot load CA");
	lane->trouble_wall_ms = NOW_MS - 50000;
	(void)snprintf(expected, sizeof(expected),
	    "certificate at [mx]:587 since %s: untrusted issuer", since);
	is(w, HEALTH_ALARM, expected);
	lane->trouble_wall_ms = NOW_MS - 49000;
	(void)snprintf(expected, sizeof(expected),
	    "cannot load CA (before that: certificate at [mx]:587 since %s)",
	    since);
	is(w, HEALTH_ALARM, expected);
	/* On a session it is mail that meets the alarm. */
	lane->gauges[BOARD_GAUGE_sessions_idle] = 1;
	(void)snprintf(expected, sizeof(expected),
	    "certificate at [mx]:587 since %s: untrusted issuer", since);
	is(w, HEALTH_ALARM, expected);
	lane->gauges[BOARD_GAUGE_sessions_idle] = 0;
	waits(w, BOARD_WAIT_SETTINGS, "no table", 0);
	is(w, HEALTH_ALARM, "all mail is deferred: no table");
	/* Without a process, and with mail that met it. */
	waits(w, BOARD_WAIT_NOTHING, "", 0);
	lane->trouble_wall_ms = 0;
	lane->process = MODEL_STOPPED;
	is(w, HEALTH_WELL,
	    "no process yet: master(8) starts it with the next message");
	w->share.messages[BACKLOG_DEFERRED] = 1;
	is(w, HEALTH_ALARM, expected);
}

/* Its mail is in the deferred queue, and may be there for an hour. */
static void
health_tells_of_mail_that_is_called_back(void **state)
{
	struct world *w = *state;

	w->lane->gauges[BOARD_GAUGE_outage_noted] = 8;
	w->share.messages[BACKLOG_DEFERRED] = 9;
	is(w, HEALTH_SLOWED,
	    "idle, nothing waits inside; 8 deferred messages are called back "
	    "when a connection works");
	w->lane->gauges[BOARD_GAUGE_requests_in_flight] = 3;
	is(w, HEALTH_WELL,
	    "sends, nothing waits inside; 8 deferred messages are called back "
	    "when a connection works");
	w->lane->process = MODEL_STOPPED;
	is(w, HEALTH_SLOWED,
	    "no process yet: it calls back 8 messages that are deferred, and "
	    "starts with the next one, or \"postlane retry\"");
	/* Some were removed since. */
	w->share.messages[BACKLOG_DEFERRED] = 3;
	is(w, HEALTH_SLOWED,
	    "no process yet: it calls back 3 messages that are deferred, and "
	    "starts with the next one, or \"postlane retry\"");
	w->backlog.is_exact = false;
	is(w, HEALTH_SLOWED,
	    "no process yet: it calls back up to 8 messages that are deferred, "
	    "and starts with the next one, or \"postlane retry\"");
	w->backlog.is_exact = true;
	w->share.messages[BACKLOG_DEFERRED] = 0;
	is(w, HEALTH_WELL,
	    "no process yet: master(8) starts it with the next message");
}

static void
health_without_a_process_depends_on_whether_one_is_needed(void **state)
{
	struct world *w = *state;

	w->lane->process = MODEL_NOT_STARTED;
	w->lane->beat_wall_ms = 0;
	is(w, HEALTH_WELL,
	    "no process yet: master(8) starts it with the next message");
	w->lane->account = 0;
	w->account.slots.draining = 2;
	is(w, HEALTH_WELL,
	    "no process yet: those from before a reload end what they have, "
	    "with 2 connections of the account");
	w->account.slots.draining = 0;
	w->share.messages[BACKLOG_ACTIVE] = 12;
	w->share.oldest_wall_ms = NOW_MS - HEALTH_STUCK_MS + 1;
	is(w, HEALTH_WELL,
	    "no process yet: master(8) starts it with the next message");
	w->share.oldest_wall_ms = NOW_MS - 125000;
	is(w, HEALTH_DOWN,
	    "no process, though 12 messages are in the active queue for it, "
	    "the oldest for 2m 5s: see the log of Postfix");
	w->share.messages[BACKLOG_ACTIVE] = 0;
	w->lane->process = MODEL_CRASHED;
	w->lane->beat_wall_ms = NOW_MS - 5000;
	is(w, HEALTH_ALARM,
	    "its process ended without a word, last seen 5.0s ago: master(8) "
	    "starts another with the next message");
	w->postfix = POSTFIX_STOPPED;
	is(w, HEALTH_DOWN, "Postfix is not running");
	w->postfix = POSTFIX_UNKNOWN;
	w->board.is_bad = true;
	(void)snprintf(w->board.why, sizeof(w->board.why), "of version 9");
	/* A process may be there, and send. */
	is(w, HEALTH_ALARM, "how it is cannot be seen: /state: of version 9");
}

static void
health_of_a_process_that_does_not_move(void **state)
{
	struct world *w = *state;

	w->lane->beat_wall_ms = NOW_MS - 2 * HEALTH_STUCK_MS;
	w->lane->pid = 77;
	/* Nothing to do, or asleep until a time of its own choice. */
	is(w, HEALTH_WELL, "idle, nothing waits");
	waits(w, BOARD_WAIT_RATE, "1/10m", 2);
	w->lane->gauges[BOARD_GAUGE_wakeup_wall_ms] = NOW_MS + 1000;
	is(w, HEALTH_WELL, "at its limit, 2 wait: 1/10m");
	w->lane->gauges[BOARD_GAUGE_wakeup_wall_ms] = NOW_MS - 1000;
	is(w, HEALTH_DOWN,
	    "its process (77) does not move: no sign of life for 2m 0s, while "
	    "2 messages wait");
}

static void
health_of_what_is_no_lanes(void **state)
{
	struct world *w = *state;
	struct health h;

	assert_false(health_of_fleet(&h, &w->m, &w->account));
	assert_int_equal(health_of_the_rest(&w->m, &w->backlog), HEALTH_WELL);
	(void)in_fleet(w);
	w->account.is_in_use = true;
	assert_true(health_of_fleet(&h, &w->m, &w->account));
	assert_int_equal(h.state, HEALTH_WELL);
	w->account.fleet.is_up = false;
	assert_true(health_of_fleet(&h, &w->m, &w->account));
	assert_int_equal(h.state, HEALTH_SLOWED);
	assert_int_equal(health_of_the_rest(&w->m, &w->backlog), HEALTH_SLOWED);
	w->backlog.strays[0] =
	    (struct backlog_stray){.transport = "Slow", .messages = 1};
	w->backlog.stray_count = 1;
	assert_int_equal(health_of_the_rest(&w->m, &w->backlog), HEALTH_ALARM);
	health_of_stray(&h, &w->backlog.strays[0]);
	assert_string_equal(h.text,
	    "master.cf has no such service, and 1 message is to go by it: see "
	    "\"postlane doctor\"");
	w->backlog.is_known = false;
	assert_int_equal(health_of_the_rest(&w->m, &w->backlog), HEALTH_SLOWED);
}

static void
health_decides_the_exit_status(void **state)
{
	(void)state;
	assert_int_equal(health_status(HEALTH_WELL), 0);
	assert_int_equal(health_status(HEALTH_SLOWED), 1);
	assert_int_equal(health_status(HEALTH_PAUSED), 1);
	assert_int_equal(health_status(HEALTH_ALARM), 1);
	assert_int_equal(health_status(HEALTH_DOWN), 2);
}

/* ---- words --------------------------------------------------------------- */

static void
say_times_and_rates_as_one_reads_them(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} times[] = {
	    {-5, "0s"},
	    {0, "0s"},
	    {400, "400us"},
	    {12999, "12ms"},
	    {3299999, "3.2s"},
	    {45000000, "45s"},
	    {200000000, "3m 20s"},
	    {7500000000, "2h 5m"},
	    {INT64_C(273600000000), "3d 4h"},
	};
	static const struct {
		double per_s;
		const char *text;
	} rates[] = {
	    {0, "0"},
	    {0.0416, "0.042"},
	    {4.25, "4.2"},
	    {123.4, "123"},
	};
	char text[SAY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_string_equal(
		    say_time(times[i].us, text, sizeof(text)), times[i].text);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		assert_string_equal(
		    say_rate(rates[i].per_s, text, sizeof(text)),
		    rates[i].text);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* A pause is meant, and hides nothing that is not. */
static void
health_is_paused_by_an_operator_and_down_is_worse(void **state)
{
	struct world *w = *state;

	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_PAUSE, .who = "root"};
	waits(w, BOARD_WAIT_OPERATOR, "paused by root", 3);
	is(w, HEALTH_PAUSED,
	    "paused by root until postlane resume, 3 wait inside");
	w->lane->beat_wall_ms = NOW_MS - 2 * HEALTH_STUCK_MS;
	assert_int_equal(state_of(w), HEALTH_DOWN);
	w->lane->process = MODEL_STOPPED;
	is(w, HEALTH_PAUSED,
	    "paused by root until postlane resume, 3 wait inside");
	w->lane->process = MODEL_CRASHED;
	assert_int_equal(state_of(w), HEALTH_ALARM);
}

/* What came before it is sent. */
static void
health_of_a_lane_that_is_drained_tells_what_still_goes(void **state)
{
	struct world *w = *state;

	w->lane->orders[w->lane->order_count++] =
	    (struct steer_order){.verb = STEER_DRAIN, .who = "root"};
	waits(w, BOARD_WAIT_RATE, "lane_message_rate_limit = 5/1s", 3);
	is(w, HEALTH_PAUSED,
	    "drained by root until postlane resume, what is inside still goes");
	waits(w, BOARD_WAIT_NOTHING, "", 0);
	w->lane->gauges[BOARD_GAUGE_requests_in_flight] = 1;
	is(w, HEALTH_PAUSED,
	    "drained by root until postlane resume, what is inside still goes");
	w->lane->gauges[BOARD_GAUGE_requests_in_flight] = 0;
	is(w, HEALTH_PAUSED,
	    "drained by root until postlane resume, nothing is inside");
}

static void
health_is_alarm_when_orders_cannot_be_read(void **state)
{
	struct world *w = *state;

	(void)snprintf(w->board.steer_why, sizeof(w->board.steer_why),
	    "steer: line 2 is not understood");
	is(w, HEALTH_ALARM,
	    "what operators asked for is not known: /state: steer: line 2 is "
	    "not understood");
}

/* Other mail flows on: the lane is not paused, and not quite well. */
static void
health_tells_of_a_domain_that_is_held(void **state)
{
	struct world *w = *state;
	struct steer_order *o = &w->lane->orders[w->lane->order_count++];

	*o = (struct steer_order){.verb = STEER_PAUSE};
	(void)snprintf(o->domain, sizeof(o->domain), "gmx.test");
	(void)snprintf(o->who, sizeof(o->who), "root");
	/* It has no such mail. */
	is(w, HEALTH_WELL, "idle, nothing waits");
	w->share.messages[BACKLOG_DEFERRED] = 2;
	is(w, HEALTH_SLOWED,
	    "mail to gmx.test is paused by root until postlane resume; the "
	    "rest: idle, nothing waits inside, 2 are deferred");
	w->share.messages[BACKLOG_DEFERRED] = 0;
	waits(w, BOARD_WAIT_OPERATOR, "mail to gmx.test is paused by root", 7);
	is(w, HEALTH_SLOWED,
	    "mail to gmx.test is paused by root until postlane resume; the "
	    "rest: 7 wait for that");
	w->lane->per_s_10s = 1;
	is(w, HEALTH_SLOWED,
	    "mail to gmx.test is paused by root until postlane resume; the "
	    "rest: sends, 7 wait for that");
	w->lane->per_s_10s = 0;
	w->lane->orders[w->lane->order_count++] = *o;
	waits(w, BOARD_WAIT_NOTHING, "", 0);
	w->share.messages[BACKLOG_DEFERRED] = 2;
	is(w, HEALTH_SLOWED,
	    "mail to gmx.test and 1 more is paused; the rest: idle, nothing "
	    "waits inside, 2 are deferred");
	/* What is worse is told alone. */
	waits(w, BOARD_WAIT_OUTAGE, "connect: refused", 7);
	is(w, HEALTH_ALARM, "nothing goes: connect: refused");
}

static void
health_tells_that_another_host_has_the_mail(void **state)
{
	struct world *w = *state;

	w->lane->per_s_10s = 1;
	w->lane->gauges[BOARD_GAUGE_hosts_bypassed] = 1;
	is(w, HEALTH_SLOWED,
	    "1 host cannot be used, the next of the list has the mail: sends, "
	    "nothing waits");
	/* What is worse is told alone. */
	waits(w, BOARD_WAIT_OUTAGE, "connect: refused", 7);
	is(w, HEALTH_ALARM, "nothing goes: connect: refused");
}

static void
token_is(struct world *w, enum health_state state, const char *text)
{
	struct health h;

	health_of_token(&h, &w->m, &w->m.tokens[0]);
	assert_int_equal(h.state, state);
	assert_string_equal(h.text, text);
	assert_int_equal(health_of_tokens(&w->m), state);
}

static void
health_of_a_token_is_alarm_when_it_ends_and_has_no_successor(void **state)
{
	struct world *w = *state;
	struct model_token *t = &w->m.tokens[0];

	w->m.token_count = 1;
	(void)snprintf(t->reason, sizeof(t->reason), "host: refused");
	token_is(w, HEALTH_WELL, "none is held");
	t->end_wall_ms = NOW_MS + 60000;
	token_is(w, HEALTH_WELL, "lives 1m 0s");
	t->failing_wall_ms = NOW_MS - 20000;
	token_is(w, HEALTH_WELL,
	    "lives 1m 0s, and no other is to be had for 20s: host: refused");
	t->failing_wall_ms = NOW_MS - 30000;
	token_is(w, HEALTH_ALARM,
	    "lives 1m 0s, and no other is to be had for 30s: host: refused");
	t->end_wall_ms = NOW_MS + 600000;
	token_is(w, HEALTH_WELL,
	    "lives 10m 0s, and no other is to be had for 30s: host: refused");
	t->is_lasting = true;
	token_is(w, HEALTH_ALARM,
	    "lives 10m 0s, and no other is to be had for 30s: host: refused");
	t->is_lasting = false;
	t->end_wall_ms = 0;
	token_is(w, HEALTH_ALARM,
	    "none is held, and no other is to be had for 30s: host: refused");
	/* of several the worst */
	w->m.tokens[1] = w->m.tokens[0];
	w->m.token_count = 2;
	t->failing_wall_ms = 0;
	assert_int_equal(health_of_tokens(&w->m), HEALTH_ALARM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_WORLD(health_of_a_lane_that_works_is_well),
	    IN_WORLD(health_is_slowed_by_what_is_no_setting),
	    IN_WORLD(health_tells_the_share_that_mail_waits_for),
	    IN_WORLD(health_tells_the_limit_of_several_that_mail_waits_for),
	    IN_WORLD(health_is_slowed_by_a_quota_that_is_used_up),
	    IN_WORLD(health_without_an_engine_is_slowed_by_it),
	    IN_WORLD(health_of_a_name_that_is_taken_is_an_alarm),
	    IN_WORLD(health_is_paused_until_a_time_and_alarm_is_worse),
	    IN_WORLD(
		health_is_not_alarm_for_what_mail_that_flows_does_not_meet),
	    IN_WORLD(health_is_paused_by_an_operator_and_down_is_worse),
	    IN_WORLD(health_is_alarm_when_orders_cannot_be_read),
	    IN_WORLD(health_tells_what_mail_meets_now),
	    IN_WORLD(health_tells_of_mail_that_is_called_back),
	    IN_WORLD(health_of_what_is_no_lanes),
	    IN_WORLD(health_without_a_process_depends_on_whether_one_is_needed),
	    IN_WORLD(health_of_a_process_that_does_not_move),
	    cmocka_unit_test(health_decides_the_exit_status),
	    cmocka_unit_test(say_times_and_rates_as_one_reads_them),
	    IN_WORLD(health_of_a_lane_that_is_drained_tells_what_still_goes),
	    IN_WORLD(health_tells_of_a_domain_that_is_held),
	    IN_WORLD(health_tells_that_another_host_has_the_mail),
	    IN_WORLD(
		health_of_a_token_is_alarm_when_it_ends_and_has_no_successor),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
