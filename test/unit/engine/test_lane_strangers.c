/* Mail without a login, to hosts that may want one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "test/support/lane_world.h"
#include "test/support/reply_plan.h"

static const char no_login[] = "no login for [h]:25 in hash:/x";

/* Ways to talk: BDAT, OVERLAP, LOCKSTEP. */
enum { WAYS = 3 };

static void
begin(struct world *w, int way, const char *stage, int code, const char *words,
    int times)
{
	reply_plan_begin(w, "reply mail,rcpt,data 530 * * alarm by session\n",
	    stage, code, words, times);
	w->ehlo.chunking = way == 0;
	w->ehlo.pipelining = way < 2;
	w->ehlo.auth = true;
	w->no_login = no_login;
}

/* So many more, until all are done. */
static void
send(struct world *w, size_t count)
{
	world_submit(w, count);
	world_finish(w, 100000);
}

struct refusal {
	const char *stage;
	int code;
	const char *words;
};

/* Without it all of them would come back to their senders. */
static void
refusal_for_want_of_a_login_defers_and_alarms(void **state)
{
	static const struct refusal refusals[] = {
	    {"MAIL", 530, "5.7.0 Authentication required"},
	    {"MAIL", 530, "no"},
	    {"MAIL", 535, "5.7.8 no"},
	    {"MAIL", 550, "5.7.1 no"},
	    {"MAIL", 553, "5.7.1 no"},
	    {"RCPT", 530, "5.7.0 no"},
	    {"RCPT", 554, "5.7.1 <r@to.test>: Relay access denied"},
	    {"RCPT", 550, "5.7.54 no"},
	    {"DATA", 554, "5.7.1 no"},
	    {"DATA", 530, "no"},
	    {".", 530, "5.7.0 no"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]) * WAYS;
	     i++) {
		const struct refusal *r = &refusals[i / WAYS];
		int way = (int)(i % WAYS);
		char alarm[200];
		struct world w;

		if (way == 0 && strcmp(r->stage, "DATA") == 0)
			continue;
		(void)snprintf(alarm, sizeof(alarm),
		    "login: %s; host relay.test said: %d %s", no_login, r->code,
		    r->words);
		begin(&w, way, r->stage, r->code, r->words, -1);
		world_open(&w, 60);
		send(&w, 50);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], 50);
		assert_string_equal(w.alarm, alarm);
		assert_non_null(strstr(w.messages[49].text, no_login));
		assert_int_equal(w.strangers_told, 0);
		/* A login is there: the next process finds it. */
		w.was_stopped = LANE_STOPPED;
		w.has_login = true;
		w.no_login = NULL;
		reply_plan.times = 0;
		world_restart(&w);
		send(&w, 10);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 10);
		assert_int_equal(w.strangers_told, 0);
		world_fini(&w);
	}
}

/* The codes of a mailbox, without a word about why. */
static void
unclear_refusal_alarms_the_second_time(void **state)
{
	static const struct refusal refusals[] = {
	    {"RCPT", 550, "relay not permitted"},
	    {"RCPT", 553, "sorry"},
	    {"RCPT", 503, "AUTH first"},
	    {"RCPT", 513, "Relaying denied."},
	    {"MAIL", 554, "4.7.1 of another class"},
	    {"MAIL", 550, "Access denied"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]) * WAYS;
	     i++) {
		const struct refusal *r = &refusals[i / WAYS];
		struct world w;

		begin(&w, (int)(i % WAYS), r->stage, r->code, r->words, -1);
		world_open(&w, 60);
		send(&w, 1);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
		assert_int_equal(w.alarms, 0);
		assert_non_null(strstr(w.messages[0].text, r->words));
		send(&w, 50);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], 51);
		assert_non_null(strstr(w.alarm, no_login));
		world_fini(&w);
	}
}

static void
refusal_of_anything_else_is_smtps(void **state)
{
	static const struct refusal refusals[] = {
	    {"RCPT", 550, "5.1.1 no such user"},
	    {"RCPT", 552, "mailbox is full"},
	    {"RCPT", 552, "5.3.4 too big"},
	    {"MAIL", 501, "5.1.7 bad address"},
	    {"MAIL", 555, "no such parameter"},
	    {"MAIL", 550, "5.7.15 priority is too low"},
	    {"MAIL", 552, "5.7.16 too big for its priority"},
	    {".", 554, "5.7.1 spam"},
	    {".", 550, "spam"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		struct world w;

		begin(&w, 1, r->stage, r->code, r->words, 3);
		world_open(&w, 10);
		send(&w, 3);
		assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 3);
		assert_int_equal(w.alarms, 0);
		world_fini(&w);
	}
}

/* ... and so is that for want of a login, where there is none to be had, none
 * was wanted, or a rule says so. */
static void
refusal_where_no_login_is_missing_is_smtps(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct world w;

		begin(&w, 0, "RCPT", 554, "5.7.1 Relay access denied", 3);
		if (i == 0)
			w.ehlo.auth = false;
		else if (i == 1)
			w.no_login = NULL;
		else if (i == 2)
			w.takes_strangers = true;
		else {
			rules_free(&w.rules);
			world_set_rules(&w, "reply rcpt 554 5.7.1 * bounce\n");
		}
		world_open(&w, 10);
		send(&w, 3);
		assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 3);
		assert_int_equal(w.alarms, 0);
		world_fini(&w);
	}
}

static void
host_that_takes_mail_is_believed(void **state)
{
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct world w;

		begin(&w, way, "RCPT", 554, "5.7.1 not you", 0);
		world_open(&w, 60);
		send(&w, 20);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 20);
		assert_int_equal(w.strangers_told, 20);
		reply_plan.times = 10;
		send(&w, 20);
		assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 10);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 30);
		assert_int_equal(w.alarms, 0);
		world_fini(&w);
	}
}

/* One recipient is refused, and the message is taken for the other: it was
 * about that recipient, whatever the alarm said. */
static void
alarm_ends_when_a_message_is_taken(void **state)
{
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct world w;

		begin(&w, way, "RCPT TO:<r0.1@", 554, "5.7.1 not you", -1);
		w.rcpts_each = 2;
		world_open(&w, 60);
		send(&w, 1);
		assert_int_equal(w.alarms, 1);
		assert_true(w.all_clears[ALARM_LOGIN] >= 1);
		assert_true(route_is_well(world_route(&w)));
		assert_int_equal(w.messages[0].taken[0], 1);
		send(&w, 20);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 41);
		assert_int_equal(w.alarms, 1);
		world_fini(&w);
	}
}

/* What else the lane was stopped for is not over when a message is taken that
 * was on its way. */
static void
alarm_of_another_kind_stays(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1, "RCPT TO:<r0.1@", 554, "5.7.1 not you", -1);
	rules_free(&w.rules);
	world_set_rules(&w, "reply rset * * * alarm\n");
	w.rcpts_each = 2;
	world_open(&w, 60);
	world_submit(&w, 1);
	world_run(&w, 1);
	route_on_alarm(world_route(&w), &(struct dsn){.status = "4.7.0"}, NULL,
	    "blocked", 60 * US_PER_S, w.now.us);
	world_finish(&w, 100000);
	assert_int_equal(w.messages[0].taken[0], 1);
	assert_false(route_is_well(world_route(&w)));
	world_fini(&w);
}

static int
refuse_at_the_first(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)number;
	return conn->route->number == 1 && strncmp(line, "RCPT", 4) == 0 ? 554
									 : 0;
}

/* All of it goes to the next host, and none comes back. */
static void
another_host_takes_what_this_one_wants_a_login_for(void **state)
{
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct world w;

		begin(&w, way, "", 0, "5.7.1 Relay access denied", 0);
		w.server.judge = refuse_at_the_first;
		w.nexthop = "[relay.test], [other.test]";
		world_open(&w, 60);
		send(&w, 50);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 50);
		assert_int_equal(w.taken_by[1], 0);
		assert_true(w.alarms >= 1);
		world_fini(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refusal_for_want_of_a_login_defers_and_alarms),
	    cmocka_unit_test(unclear_refusal_alarms_the_second_time),
	    cmocka_unit_test(refusal_of_anything_else_is_smtps),
	    cmocka_unit_test(refusal_where_no_login_is_missing_is_smtps),
	    cmocka_unit_test(host_that_takes_mail_is_believed),
	    cmocka_unit_test(alarm_ends_when_a_message_is_taken),
	    cmocka_unit_test(alarm_of_another_kind_stays),
	    cmocka_unit_test(
		another_host_takes_what_this_one_wants_a_login_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
