/* Whose word an alarm or a pause needs beside the first one's, and when a
 * refused dial is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/judgement.h"
#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

static struct {
	const char *stage; /* lines that begin so ... */
	int code; /* ... get this */
	int times; /* so often; < 0: always */
} plan;

static int
judge(struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)conn;
	(void)number;
	if (plan.times == 0 ||
	    strncmp(line, plan.stage, strlen(plan.stage)) != 0)
		return 0;
	plan.times -= plan.times > 0;
	return plan.code;
}

static void
begin(struct world *w, const char *rule, const char *stage, int code,
    const char *words, int times)
{
	world_init(w);
	w->set.lane_adaptive = true;
	w->set.lane_alert_retry_us = 60 * US_PER_S;
	world_set_rules(w, rule);
	memset(&plan, 0, sizeof(plan));
	plan.stage = stage;
	plan.code = code;
	plan.times = times;
	w->server.judge = judge;
	w->server.judged = words;
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

static const char login_rules[] = "reply auth 535 * * alarm\n"
				  "reply connect,ehlo 5xx * * alarm\n";

static void
begin_dials(struct world *w, enum rule_stage stage, const char *reply)
{
	begin(w, login_rules, "none", 0, NULL, 0);
	greeting = reply;
	refusals = 0;
	w->server.answer_dial = answer_dial;
	w->server.dial_stage = stage;
}

static void
refused_dial_beside_live_sessions_is_tried_again(void **state)
{
	static const struct {
		enum rule_stage stage;
		const char *reply;
	} cases[] = {
	    {RULE_AUTH, "535 5.7.8 Connection lost to authentication server"},
	    {RULE_EHLO, "550 5.7.0 not now"},
	    {RULE_CONNECT, "554 5.7.1 no service here"},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (int times = 1; times <= 4; times++) {
			struct world w;

			begin_dials(&w, cases[i].stage, cases[i].reply);
			w.server.reply_ms = 30;
			w.server.closes_after = 5;
			world_open(&w, 400);
			world_submit(&w, 100);
			while (w.conns_now < 3 || w.done < 5)
				world_run(&w, 10);
			refusals = times;
			world_submit(&w, 200);
			world_finish(&w, 60000);
			world_check_all_sent(&w);
			assert_true(refusals < times);
			assert_int_equal(w.alarms, 0);
			world_fini(&w);
		}
}

static void
one_of_many_first_logins_may_be_refused(void **state)
{
	struct world w;

	(void)state;
	begin_dials(&w, RULE_AUTH, "535 5.7.8 Connection lost");
	refusals = 1;
	world_open(&w, 200);
	world_submit(&w, 100);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_int_equal(w.alarms, 0);
	world_fini(&w);
	/* But not all of them. */
	begin_dials(&w, RULE_AUTH, "535 5.7.8 no such login");
	refusals = -1;
	world_open(&w, 200);
	world_submit(&w, 100);
	world_finish(&w, 5000);
	assert_true(w.alarms >= 1);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 100);
	world_fini(&w);
}

static void
login_that_worked_lately_is_tried_again_a_few_times(void **state)
{
	struct world w;
	size_t dials;

	(void)state;
	begin_dials(&w, RULE_AUTH, "535 5.7.8 Connection lost");
	world_open(&w, 200);
	world_submit(&w, 10);
	world_finish(&w, 20000);
	while (w.conns_now > 0)
		world_run(&w, 1000);
	refusals = 2;
	world_submit(&w, 1);
	world_finish(&w, 20000);
	world_check_all_sent(&w);
	assert_int_equal(w.alarms, 0);
	while (w.conns_now > 0)
		world_run(&w, 1000);
	/* Somebody has changed the password. */
	refusals = -1;
	dials = w.dials;
	world_submit(&w, 1);
	world_finish(&w, 20000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
	assert_true(w.alarms >= 1);
	assert_int_equal(w.dials - dials, ROUTE_DOUBTS);
	world_fini(&w);
}

static void
refused_logins_are_an_alarm_when_the_last_session_ends(void **state)
{
	struct world w;

	(void)state;
	begin_dials(&w, RULE_AUTH, "535 5.7.8 no such login");
	w.server.reply_ms = 100;
	w.server.closes_after = 10;
	world_open(&w, 400);
	world_submit(&w, 20);
	while (w.done < 2)
		world_run(&w, 10);
	refusals = -1;
	world_submit(&w, 300);
	world_finish(&w, 120000);
	assert_true(w.alarms >= 1);
	assert_string_equal(w.alarm, "login: 535 5.7.8 no such login");
	assert_true(w.outcomes[OUTCOME_SENT] >= 10);
	assert_int_equal(w.conns_now, 0);
	world_fini(&w);
}

static void
login_lost_by_one_session_needs_another(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "reply mail 530 * * alarm by session\n", "MAIL", 530,
	    "5.7.0 Authentication required", 0);
	world_open(&w, 100);
	world_submit(&w, 20);
	world_finish(&w, 20000);
	plan.times = 1;
	world_submit(&w, 20);
	world_finish(&w, 20000);
	world_check_all_sent(&w);
	assert_int_equal(w.alarms, 0);
	plan.times = -1;
	world_submit(&w, 20);
	world_finish(&w, 20000);
	assert_true(w.alarms >= 1);
	assert_memory_equal(w.alarm, "login: 530", 10);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 20);
	world_fini(&w);
}

static void
word_about_us_needs_a_second_sender(void **state)
{
	static const char rule[] =
	    "reply eod * * /your ip is/ alarm by sender\n";

	(void)state;
	for (int way = 0; way < 4; way++) {
		struct world w;

		begin(&w, rule, ".", 550, "5.7.1 your ip is listed", 1);
		world_open(&w, 100);
		world_submit(&w, 1);
		world_finish(&w, 20000);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
		assert_int_equal(w.alarms, 0);
		if (way == 1) {
			/* What was accepted in between speaks for us. */
			world_submit(&w, 1);
			world_finish(&w, 20000);
		}
		if (way == 3)
			world_run(&w, ROUTE_SUSPICION_US / US_PER_MS);
		if (way != 2)
			w.sender_domain = "other.test";
		plan.times = 1;
		world_submit(&w, 1);
		world_finish(&w, 60000);
		assert_int_equal(w.alarms, way == 0);
		/* One sender's messages are many words of one witness. */
		plan.times = way == 2 ? -1 : 0;
		for (int i = 3; way == 2 && i <= ROUTE_SUSPICION_MESSAGES;
		     i++) {
			assert_int_equal(w.alarms, 0);
			world_submit(&w, 1);
			world_finish(&w, 60000);
		}
		assert_int_equal(w.alarms, way == 0 || way == 2);
		assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 0);
		world_fini(&w);
	}
}

static void
recipients_server_stops_and_pauses_nobody(void **state)
{
	static const struct {
		const char *rule, *words;
	} cases[] = {
	    {"reply rcpt * * /listed/ alarm\n", "5.7.1 your host is listed"},
	    {"reply rcpt * * /limit/ pause for 1d\n", "4.7.1 message limit"},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;

		begin(&w, cases[i].rule, "RCPT", 450, cases[i].words, 0);
		world_open(&w, 100);
		plan.times = 5;
		w.domains_of[0] = "one.test";
		world_submit(&w, 5);
		world_finish(&w, 20000);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], 5);
		assert_false(w.messages[0].is_hop);
		assert_int_equal(w.alarms, 0);
		assert_true(lane_paused_until_us(w.lane) <= w.now.us);
		/* The second domain's says the same: it is about us. */
		plan.times = 1;
		w.domains_of[0] = "two.test";
		world_submit(&w, 1);
		world_run(&w, 2000);
		assert_int_equal(w.alarms, i == 0);
		if (i == 1)
			assert_in_range(lane_paused_until_us(w.lane),
			    w.now.us + 60 * US_PER_S,
			    w.now.us + JUDGEMENT_RCPT_PAUSE_US);
		world_finish(&w, 400000);
		world_fini(&w);
	}
}

static void
long_pause_by_a_message_needs_a_second_one(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "reply eod 4xx * /again in ([0-9]+) hours/ pause for \\1h\n",
	    ".", 451, "4.7.1 greylisted, again in 24 hours", 1);
	world_open(&w, 100);
	world_submit(&w, 1);
	world_finish(&w, 20000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
	world_submit(&w, 20);
	world_finish(&w, 20000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 20);
	plan.times = -1;
	world_submit(&w, 2);
	world_finish(&w, 20000);
	assert_true(lane_paused_until_us(w.lane) > w.now.us + 3600 * US_PER_S);
	world_fini(&w);
}

static void
recipients_beyond_the_limit_go_in_another_transaction(void **state)
{
	(void)state;
	for (int mode = 0; mode < 2; mode++) {
		struct world w;

		begin(&w, "reply rcpt 552 5.5.3 * split\n", "RCPT", 0, NULL, 0);
		w.ehlo.chunking = mode == 0;
		w.rcpts_each = 4;
		w.server.rcpts_max = 3;
		world_open(&w, 50);
		world_submit(&w, 10);
		world_finish(&w, 20000);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 40);
		for (size_t i = 0; i < 10; i++) {
			assert_int_equal(w.messages[i].copies, 2);
			for (size_t k = 0; k < 4; k++)
				assert_int_equal(w.messages[i].taken[k], 1);
		}
		world_fini(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refused_dial_beside_live_sessions_is_tried_again),
	    cmocka_unit_test(one_of_many_first_logins_may_be_refused),
	    cmocka_unit_test(
		login_that_worked_lately_is_tried_again_a_few_times),
	    cmocka_unit_test(
		refused_logins_are_an_alarm_when_the_last_session_ends),
	    cmocka_unit_test(login_lost_by_one_session_needs_another),
	    cmocka_unit_test(word_about_us_needs_a_second_sender),
	    cmocka_unit_test(recipients_server_stops_and_pauses_nobody),
	    cmocka_unit_test(long_pause_by_a_message_needs_a_second_one),
	    cmocka_unit_test(
		recipients_beyond_the_limit_go_in_another_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
