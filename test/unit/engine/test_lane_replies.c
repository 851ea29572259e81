/* What the lane makes of replies: every outcome, wherever it is said. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/log.h"
#include "test/support/lane_world.h"
#include "test/support/reply_plan.h"

/* The words come with the line the judge was asked about. */
static const char *const stages[] = {"MAIL", "RCPT", "BDAT", "."};

static void
throttle_at_any_stage_is_tried_again_inside(void **state)
{
	static const int codes[] = {454, 550};

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		struct world w;
		const char *stage = stages[i % 4];

		if (strcmp(stage, "BDAT") == 0)
			continue; /* the chunk that is last is the end */
		reply_plan_begin(&w, "reply any * * /too fast/ slow\n", stage,
		    codes[i / 4], "4.7.0 too fast", 3);
		world_open(&w, 200);
		world_submit(&w, 100);
		world_finish(&w, 120000);
		world_check_all_sent(&w);
		assert_int_equal(reply_plan.asked, 3);
		assert_true(reply_plan_pace(&w)->events >= 1);
		assert_true(reply_plan_pace(&w)->is_limited);
		reply_plan_check_count(&w);
		world_fini(&w);
	}
}

static void
throttles_of_one_flight_are_one_event(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(
	    &w, "reply mail 454 * * slow\n", "MAIL", 454, "4.7.0 slow", 0);
	world_open(&w, 400);
	world_submit(&w, 100);
	world_finish(&w, 60000); /* so that the window is open */
	reply_plan.times = 12;
	world_submit(&w, 12);
	world_run(&w, 1000);
	assert_true(reply_plan.asked > 3);
	assert_int_equal(reply_plan_pace(&w)->events, 1);
	assert_int_equal(lane_figures(w.lane)->throttled, reply_plan.asked);
	assert_int_equal(lane_figures(w.lane)->slowed, 1);
	world_finish(&w, 120000);
	world_check_all_sent(&w);
	reply_plan_check_count(&w);
	world_fini(&w);
}

static void
unannounced_rate_is_found_and_used(void **state)
{
	struct world w;
	size_t from = 0, n = 4000;
	double rate;

	(void)state;
	reply_plan_begin(
	    &w, "reply mail 454 * * slow\n", "MAIL", 454, "4.7.0 slow", -1);
	reply_plan.gap_ms = 50; /* 20/s, and no burst at all */
	world_open(&w, n);
	world_feed(&w, n);
	world_finish(&w, 600000);
	world_check_all_sent(&w);
	while (w.arrivals_ms[from] < w.arrivals_ms[0] + 60000)
		from++;
	rate =
	    (double)(w.arrival_count - from - 1) * 1000 /
	    (double)(w.arrivals_ms[w.arrival_count - 1] - w.arrivals_ms[from]);
	print_message("20/s unannounced: %.2f/s after a minute, %d refused of "
		      "%zu, %zu sessions\n",
	    rate, reply_plan.asked, n, w.dials);
	assert_true(rate >= 18);
	assert_true((size_t)reply_plan.asked * 50 <= n);
	/* Nothing like a session for each message. */
	assert_true(w.dials <= n / 50 + 40);
	reply_plan_check_count(&w);
	world_fini(&w);
}

static void
reply_that_names_a_time_is_waited_out(void **state)
{
	static const struct {
		const char *stage, *words;
		int code;
		int64_t ms;
	} cases[] = {
	    {"MAIL", "4.7.0 try again in 20 seconds", 451, 20000},
	    {"MAIL", "5.7.0 too many messages, try again in 2 minutes", 550,
		120000},
	    {".", "5.7.0 too many messages, try again in 20 seconds", 550,
		20000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		int64_t from;

		reply_plan_begin(&w,
		    "reply any * * /again in ([0-9]+) (s|m)/ pause for "
		    "\\1\\2\n",
		    cases[i].stage, cases[i].code, cases[i].words, 1);
		world_open(&w, 40);
		world_submit(&w, 1);
		from = world_ms(&w);
		world_run(&w, 1500);
		world_submit(&w, 20);
		world_run(&w, cases[i].ms - 1000);
		/* Not one more while it lasts. */
		assert_int_equal(w.arrival_count, 1);
		world_finish(&w, 60000);
		world_check_all_sent(&w);
		assert_true(world_ms(&w) - from >= cases[i].ms);
		reply_plan_check_count(&w);
		world_fini(&w);
	}
}

static void
pause_beyond_the_hold_limit_is_the_queue_managers(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w,
	    "reply mail 4xx * /again in ([0-9]+) hours/ pause for \\1h\n",
	    "MAIL", 450, "4.7.0 quota used up, again in 2 hours", 1);
	world_open(&w, 40);
	world_submit(&w, 1);
	world_run(&w, 5000);
	world_submit(&w, 10);
	world_finish(&w, 0);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 11);
	for (size_t i = 0; i < 11; i++) {
		if (w.messages[i].outcomes[0] != OUTCOME_DEFER)
			continue;
		assert_true(w.messages[i].is_hop);
		assert_non_null(strstr(w.messages[i].text, "pause"));
		assert_int_equal(w.messages[i].cause, DSN_CAUSE_PAUSE);
		assert_string_equal(w.messages[i].status, "4.4.5");
	}
	assert_int_equal(lane_figures(w.lane)->paused, 1);
	assert_int_equal(lane_figures(w.lane)->throttled, 1);
	/* It was no matter of the pace. */
	assert_false(reply_plan_pace(&w)->is_limited);
	world_run(&w, 7200000);
	world_submit(&w, 5);
	world_finish(&w, 5000);
	assert_int_equal(w.messages[15].outcomes[0], OUTCOME_SENT);
	reply_plan_check_count(&w);
	world_fini(&w);
}

static void
reconnect_costs_nothing_and_teaches_the_quota(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(
	    &w, "reply any 4xx * /too many/ reconnect\n", "none", 0, NULL, 0);
	w.server.closes_after = 5;
	world_open(&w, 500);
	world_submit(&w, 500);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_int_equal(world_route(&w)->quota, 5);
	assert_int_equal(reply_plan_pace(&w)->events, 0);
	assert_false(reply_plan_pace(&w)->is_limited);
	world_fini(&w);
}

static void
reconnect_without_closing_ends_the_session(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, "reply mail 450 * /session/ reconnect\n", "MAIL",
	    450, "4.7.0 enough for this session", 0);
	world_open(&w, 100);
	world_submit(&w, 20);
	world_finish(&w, 20000);
	reply_plan.times = 1;
	world_submit(&w, 5);
	world_finish(&w, 20000);
	world_check_all_sent(&w);
	assert_int_equal(reply_plan.asked, 1);
	assert_true(w.quits >= 1);
	assert_false(reply_plan_pace(&w)->is_limited);
	world_fini(&w);
}

static void
too_many_connections_in_a_session_is_about_the_budget(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, "reply mail 4xx * /connections/ connections\n",
	    "MAIL", 450, "4.7.0 too many connections", 1);
	world_open(&w, 100);
	world_submit(&w, 20);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_int_equal(w.too_many, 1);
	assert_int_equal(lane_figures(w.lane)->fewer, 1);
	assert_true(w.too_many_was_open);
	assert_false(reply_plan_pace(&w)->is_limited);
	world_fini(&w);
}

static const char *greeting;
static int refusals;

static const char *
answer_dial(struct world *w)
{
	(void)w;
	if (refusals == 0)
		return NULL;
	refusals -= refusals > 0;
	return greeting;
}

static void
too_frequent_connects_are_not_replaced_at_once(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, "reply connect 421 * * connections for 60s\n",
	    "none", 0, NULL, 0);
	greeting = "421 4.7.0 too frequent connects";
	refusals = 0;
	w.server.answer_dial = answer_dial;
	w.server.closes_after = 5;
	world_open(&w, 200);
	world_submit(&w, 10);
	world_finish(&w, 20000);
	refusals = 1;
	world_run(&w, 40000); /* idle sessions are gone */
	w.dials = 0;
	world_submit(&w, 50);
	world_run(&w, 3000);
	assert_int_equal(w.too_many, 1);
	assert_false(w.too_many_was_open);
	{
		size_t before = w.dials;

		world_run(&w, 50000);
		assert_int_equal(w.dials, before);
	}
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
throttled_dials_of_one_moment_are_one_event(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(
	    &w, "reply connect 4xx * /throttled/ slow\n", "none", 0, NULL, 0);
	greeting = "450 4.7.0 throttled";
	refusals = 20;
	w.server.answer_dial = answer_dial;
	world_open(&w, 100);
	world_submit(&w, 50);
	world_run(&w, 1000);
	assert_true(w.conns_refused > 5);
	assert_int_equal(reply_plan_pace(&w)->events, 1);
	reply_plan_check_count(&w);
	refusals = 0;
	world_finish(&w, 120000);
	world_check_all_sent(&w);
	reply_plan_check_count(&w);
	world_fini(&w);
}

static void
own_rule_defers_a_5xx_and_bounces_a_4xx(void **state)
{
	static const struct {
		const char *rule;
		int code;
		enum outcome outcome;
	} cases[] = {
	    {"reply rcpt 550 * * defer\n", 550, OUTCOME_DEFER},
	    {"reply rcpt 450 * * bounce\n", 450, OUTCOME_BOUNCE},
	    {"reply rcpt 550 * * ok\n", 550, OUTCOME_BOUNCE},
	    {"reply mail 550 * * defer\n", 550, OUTCOME_BOUNCE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;

		reply_plan_begin(
		    &w, cases[i].rule, "RCPT", cases[i].code, "5.1.1 no", 1);
		world_open(&w, 10);
		world_submit(&w, 1);
		world_finish(&w, 20000);
		assert_int_equal(w.messages[0].outcomes[0], cases[i].outcome);
		reply_plan_check_count(&w);
		world_fini(&w);
	}
}

static const char blocked[] = "reply any * * /blacklisted/ alarm\n";

static void
alarm_stops_the_lane_until_mail_is_taken_again(void **state)
{
	struct world w;
	size_t dials, late = 0;

	(void)state;
	reply_plan_begin(
	    &w, blocked, "MAIL", 421, "4.7.0 you are blacklisted", 0);
	world_open(&w, 400);
	world_submit(&w, 100);
	world_finish(&w, 20000);
	reply_plan.times = -1;
	world_submit(&w, 50);
	world_finish(&w, 5000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 50);
	assert_non_null(strstr(w.messages[149].text, "blacklisted"));
	assert_true(w.messages[149].is_hop);
	assert_true(w.alarms >= 1);
	assert_string_equal(w.alarm, "blocked: 421 4.7.0 you are blacklisted");
	assert_int_equal(w.conns_now, 0);
	/* Mail that comes in the meantime is answered, and nobody dials. */
	dials = w.dials;
	for (int i = 0; i < 50; i++) {
		world_submit(&w, 1);
		world_run(&w, 1000);
	}
	assert_int_equal(w.dials, dials);
	assert_int_equal(w.done, w.count);
	/* Once a while one session with one message finds out. */
	world_run(&w, 20000);
	reply_plan.asked = 0;
	world_submit(&w, 30);
	world_finish(&w, 5000);
	assert_int_equal(w.dials, dials + 1);
	assert_int_equal(reply_plan.asked, 1);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 0);
	/* And when the cause is gone everything goes. */
	reply_plan.times = 0;
	world_run(&w, 130000);
	late = w.count;
	world_submit(&w, 100);
	world_finish(&w, 20000);
	for (; late < w.count; late++)
		assert_int_equal(w.messages[late].outcomes[0], OUTCOME_SENT);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 1);
	reply_plan_check_count(&w);
	world_fini(&w);
}

static void
alarm_at_login_is_called_so(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, "reply auth 535 * * alarm\n", "none", 0, NULL, 0);
	greeting = "535 5.7.8 no such login";
	refusals = -1;
	w.server.answer_dial = answer_dial;
	w.server.dial_stage = RULE_AUTH;
	world_open(&w, 100);
	world_submit(&w, 50);
	world_finish(&w, 5000);
	assert_string_equal(w.alarm, "login: 535 5.7.8 no such login");
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 50);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 0);
	assert_int_equal(w.all_clears[ALARM_LOGIN], 0);
	refusals = 0;
	world_run(&w, 60000);
	world_submit(&w, 50);
	world_finish(&w, 10000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 50);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 1);
	assert_int_equal(w.all_clears[ALARM_LOGIN], 1);
	world_fini(&w);
}

/* A login that the server takes is the end of its alarm, mail or not; what
 * else the lane was stopped for is not over. */
static void
alarm_of_a_login_ends_with_a_login(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, "", "MAIL", 451, "4.3.0 not now", 100);
	w.has_login = true;
	world_open(&w, 100);
	world_submit(&w, 1);
	world_finish(&w, 5000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
	assert_true(w.all_clears[ALARM_LOGIN] > 0);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 0);
	world_fini(&w);
}

/* 530 means a login to whoever has none; other refusals mean what they say. */
static void
alarm_without_a_login_says_what_the_table_has(void **state)
{
	static const struct {
		int code;
		const char *no_login, *alarm;
	} cases[] = {
	    {530, "no login for [h]:25 in hash:/x",
		"login: no login for [h]:25 in hash:/x; host relay.test said: "
		"530 5.7.0 Authentication required"},
	    {550, "no login for [h]:25 in hash:/x",
		"blocked: 550 5.7.0 Authentication required"},
	    {530, NULL, "blocked: 530 5.7.0 Authentication required"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;

		reply_plan_begin(&w, "reply mail 5xx * * alarm\n", "MAIL",
		    cases[i].code, "5.7.0 Authentication required", 0);
		world_open(&w, 100);
		world_submit(&w, 1);
		world_finish(&w, 5000);
		w.no_login = cases[i].no_login;
		route_set_no_login(world_route(&w), w.no_login, false);
		reply_plan.times = -1;
		world_submit(&w, 5);
		world_finish(&w, 70000);
		assert_string_equal(w.alarm, cases[i].alarm);
		assert_non_null(
		    strstr(w.messages[5].text, strchr(w.alarm, ':') + 2));
		world_fini(&w);
	}
}

/* smtp_sasl_auth_soft_bounce = no: alarm or not, the mail goes back. */
static void
login_refused_for_good_returns_the_mail(void **state)
{
	static const char *const rules[] = {
	    "reply auth 535 * * alarm\n", "reply auth 599 * * alarm\n"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;

		reply_plan_begin(&w, rules[i], "none", 0, NULL, 0);
		greeting = "535 5.7.8 no such login";
		refusals = -1;
		w.server.answer_dial = answer_dial;
		w.server.dial_stage = RULE_AUTH;
		w.server.is_refusal_final = true;
		world_open(&w, 100);
		world_submit(&w, 20);
		world_finish(&w, 5000);
		assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 20);
		world_fini(&w);
	}
}

/* ... until something else is what is wrong. */
static void
alarm_in_a_session_defers_after_a_refused_login(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(
	    &w, blocked, "MAIL", 421, "4.7.0 you are blacklisted", -1);
	greeting = "535 5.7.8 no such login";
	refusals = 1;
	w.server.answer_dial = answer_dial;
	w.server.dial_stage = RULE_AUTH;
	w.server.is_refusal_final = true;
	world_open(&w, 100);
	world_submit(&w, 1);
	world_finish(&w, 5000);
	assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 1);
	world_run(&w, 61000); /* the alarm's wait */
	world_submit(&w, 20);
	world_finish(&w, 600000);
	assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 1);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 20);
	world_fini(&w);
}

static void
what_was_under_way_does_not_end_an_alarm(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, blocked, "MAIL", 421, "4.7.1 blacklisted", 0);
	w.server.reply_ms = 500;
	world_open(&w, 400);
	world_submit(&w, 100);
	world_run(&w, 4000);
	assert_true(lane_in_flight(w.lane) > 10);
	/* One session is told so, while others are at work. */
	reply_plan.times = 1;
	world_submit(&w, 100);
	world_finish(&w, 60000);
	assert_true(w.alarms >= 1);
	assert_int_equal(lane_figures(w.lane)->alarms, 1);
	assert_true(w.outcomes[OUTCOME_SENT] > 20);
	assert_true(w.outcomes[OUTCOME_DEFER] > 20);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 0);
	assert_int_equal(w.conns_now, 0);
	world_fini(&w);
}

static void
alarm_of_an_earlier_process_ends_with_the_first_message(void **state)
{
	struct world w;

	(void)state;
	reply_plan_begin(&w, blocked, "none", 0, NULL, 0);
	w.was_stopped = LANE_STOPPED;
	world_open(&w, 100);
	world_submit(&w, 100);
	while (w.done == 0) {
		assert_true(w.dials <= 1); /* one tries */
		world_run(&w, 1);
	}
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 1);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_true(w.dials > 1);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 1);
	assert_int_equal(w.alarms, 0);
	world_fini(&w);
	/* It lasts: stopped as ever, by the first refusal. */
	reply_plan_begin(&w, blocked, "none", 0, NULL, 0);
	greeting = "554 5.7.1 blacklisted";
	refusals = -1;
	w.server.answer_dial = answer_dial;
	w.was_stopped = LANE_STOPPED;
	world_open(&w, 100);
	world_submit(&w, 50);
	world_finish(&w, 60000);
	assert_int_equal(w.dials, 1);
	assert_int_equal(w.alarms, 1);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 50);
	world_fini(&w);
}

/* Lines about waits; ctx: how many. */
static void
count_waits(void *ctx, enum log_level level, const char *line)
{
	(void)level;
	*(int *)ctx += strstr(line, "pace=same ") != NULL &&
		       strstr(line, " wait=1s ") != NULL &&
		       strstr(line, " rule=rules:1 ") != NULL;
}

static void
lane_told_not_to_adapt_only_pauses(void **state)
{
	struct world w;
	int64_t from;
	int waits = 0;

	(void)state;
	reply_plan_begin(
	    &w, "reply mail 454 * * slow\n", "MAIL", 454, "4.7.0 slow", 3);
	log_set_sink(count_waits, &waits);
	w.set.lane_adaptive = false;
	world_open(&w, 100);
	from = world_ms(&w);
	world_submit(&w, 60);
	world_finish(&w, 30000);
	world_check_all_sent(&w);
	assert_false(reply_plan_pace(&w)->is_limited);
	assert_in_range(world_ms(&w) - from, 1000, 8000);
	reply_plan_check_count(&w);
	assert_int_equal(waits, 1);
	assert_int_equal(lane_figures(w.lane)->throttled, 3);
	assert_int_equal(lane_figures(w.lane)->slowed, 0);
	world_fini(&w);
}

static struct {
	int count;
	double rate;
} settled;

static void
note_settled(void *ctx, enum log_level level, const char *line)
{
	const char *at = strstr(line, " rate=");

	(void)ctx;
	(void)level;
	if (at == NULL || strncmp(line, "pace=settled ", 13) != 0)
		return;
	settled.count++;
	settled.rate = strtod(at + strlen(" rate="), NULL);
}

static void
settled_pace_is_told_once_until_it_changes(void **state)
{
	static const int64_t gaps_ms[] = {200, 100};
	struct world w;

	(void)state;
	reply_plan_begin(
	    &w, "reply mail 454 * * slow\n", "MAIL", 454, "4.7.0 slow", 0);
	memset(&settled, 0, sizeof(settled));
	log_set_sink(note_settled, NULL);
	world_open(&w, 200000);
	world_feed(&w, 200000);
	for (size_t i = 0; i < sizeof(gaps_ms) / sizeof(gaps_ms[0]); i++) {
		double expected = 1000 / (double)gaps_ms[i];

		reply_plan.gap_ms = gaps_ms[i];
		world_run(&w, 2 * 3600000);
		print_message("one in %lld ms: told %d times, last %.3g/s\n",
		    (long long)gaps_ms[i], settled.count, settled.rate);
		assert_int_equal(settled.count, i + 1);
		assert_true(settled.rate > expected * 0.8);
		assert_true(settled.rate < expected * 1.1);
	}
	log_set_sink(NULL, NULL);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(throttle_at_any_stage_is_tried_again_inside),
	    cmocka_unit_test(throttles_of_one_flight_are_one_event),
	    cmocka_unit_test(unannounced_rate_is_found_and_used),
	    cmocka_unit_test(reply_that_names_a_time_is_waited_out),
	    cmocka_unit_test(pause_beyond_the_hold_limit_is_the_queue_managers),
	    cmocka_unit_test(reconnect_costs_nothing_and_teaches_the_quota),
	    cmocka_unit_test(reconnect_without_closing_ends_the_session),
	    cmocka_unit_test(
		too_many_connections_in_a_session_is_about_the_budget),
	    cmocka_unit_test(too_frequent_connects_are_not_replaced_at_once),
	    cmocka_unit_test(throttled_dials_of_one_moment_are_one_event),
	    cmocka_unit_test(own_rule_defers_a_5xx_and_bounces_a_4xx),
	    cmocka_unit_test(alarm_stops_the_lane_until_mail_is_taken_again),
	    cmocka_unit_test(alarm_at_login_is_called_so),
	    cmocka_unit_test(alarm_of_a_login_ends_with_a_login),
	    cmocka_unit_test(alarm_without_a_login_says_what_the_table_has),
	    cmocka_unit_test(login_refused_for_good_returns_the_mail),
	    cmocka_unit_test(alarm_in_a_session_defers_after_a_refused_login),
	    cmocka_unit_test(what_was_under_way_does_not_end_an_alarm),
	    cmocka_unit_test(
		alarm_of_an_earlier_process_ends_with_the_first_message),
	    cmocka_unit_test(lane_told_not_to_adapt_only_pauses),
	    cmocka_unit_test(settled_pace_is_told_once_until_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
