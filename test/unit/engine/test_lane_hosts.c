/* From one host of a list to the next, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/lane_world.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static char hosts[] = "[a.test], [b.test]:2525";
static char host_a[] = "[a.test]";
static char host_b[] = "[b.test]:2525";

/* What the hosts do. */
static struct {
	bool a_is_down, b_is_down;
	const char *verb; /* of the command that a refuses, "." the content */
	int code;
	size_t every; /* messages; 0: none */
	bool b_too;
} plan;

/* Lines about a change of hosts. */
static size_t told_away, told_back, told_deferred;

static void
count_lines(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	told_away += strstr(line, "[a.test] is unavailable (") != NULL &&
		     strstr(line, ", using [b.test]:2525") != NULL;
	told_back += strstr(line, "[a.test] is available again") != NULL;
	told_deferred += strstr(line, "mail is deferred") != NULL;
}

static bool
is_host_down(struct world *w, const struct route *r)
{
	(void)w;
	return r->number == 1 ? plan.a_is_down : plan.b_is_down;
}

static int
judge(struct world *w, struct world_conn *c, size_t number, const char *line)
{
	(void)w;
	if (plan.every == 0 || number % plan.every != 0 ||
	    strncmp(line, plan.verb, strlen(plan.verb)) != 0 ||
	    (c->route->number > 1 && !plan.b_too))
		return 0;
	return plan.code;
}

static void
begin(struct world *w, const char *verb, int code, size_t every)
{
	world_init(w);
	log_set_sink(count_lines, NULL);
	told_away = told_back = told_deferred = 0;
	memset(&plan, 0, sizeof(plan));
	plan.verb = verb;
	plan.code = code;
	plan.every = every;
	w->set.relayhost = hosts;
	w->set.lane_alert_retry_us = MINUTE * US_PER_MS;
	w->server.is_host_down = is_host_down;
	w->server.judge = judge;
	(void)snprintf(w->peer.host, sizeof(w->peer.host), "a.test");
}

/* One message every three seconds. */
static void
trickle(struct world *w, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		world_submit(w, 1);
		world_run(w, 3 * SECOND);
	}
}

static void
host_that_refuses_connections_is_gone_round_at_once(void **state)
{
	struct world w;

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(&w, "", 0, 0);
		if (i == 1) {
			w.set.relayhost = host_a;
			w.set.smtp_fallback_relay = host_b;
		}
		plan.a_is_down = true;
		world_open(&w, 100);
		world_submit(&w, 30);
		/* Two dials one after the other, and no ten seconds. */
		world_finish(&w, 3 * SECOND);
		world_check_all_sent(&w);
		assert_int_equal(w.taken_by[2], 30);
		assert_int_equal(told_away, 1);
		assert_int_equal(told_deferred, 0);
		world_fini(&w);
	}
}

static void
mail_is_back_within_a_minute_whatever_its_pace(void **state)
{
	static const int limits[] = {20, 1};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;
		size_t dials;

		begin(&w, "", 0, 0);
		w.set.lane_connection_limit = limits[i];
		w.set.lane_connection_idle_limit_us = 30 * US_PER_S;
		plan.a_is_down = true;
		world_open(&w, 2000);
		trickle(&w, 200); /* ten minutes */
		assert_int_equal(w.taken_by[1], 0);
		assert_int_equal(told_away, 1);
		dials = w.dials;
		trickle(&w, 100);
		/* The probes of five minutes: not less than 6 s apart. */
		assert_true(w.dials - dials <= 60);
		plan.a_is_down = false;
		trickle(&w, 20);
		assert_true(w.taken_by[1] > 0);
		assert_int_equal(told_back, 1);
		w.taken_by[2] = 0;
		trickle(&w, 20);
		assert_int_equal(w.taken_by[2], 0);
		assert_int_equal(w.outcomes[OUTCOME_SENT], w.count);
		assert_int_equal(told_away, 1);
		world_fini(&w);
	}
}

/* Whoever looks in the night sees no trouble of the evening's last mail. */
static void
host_is_told_to_be_gone_round_while_mail_goes_or_waits(void **state)
{
	int64_t over_us;
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.set.lane_connection_limit = 1;
	w.set.lane_wait_limit_us = 60LL * MINUTE * US_PER_MS;
	plan.a_is_down = true;
	world_open(&w, 1000);
	assert_int_equal(lane_bypassed(w.lane, w.now.us), 0);
	trickle(&w, 5);
	assert_int_equal(w.taken_by[2], 5);
	assert_int_equal(lane_bypassed(w.lane, w.now.us), 1);
	over_us = w.now.us + (MINUTE - 3 * SECOND) * US_PER_MS;
	while (w.now.us < over_us - US_PER_MS) {
		assert_int_equal(lane_bypassed(w.lane, w.now.us), 1);
		/* It wakes, or what is shown would stay as it is. */
		assert_true(lane_deadline_us(w.lane) <= over_us);
		world_run(&w, 100);
	}
	world_run(&w, SECOND);
	assert_int_equal(lane_bypassed(w.lane, w.now.us), 0);
	/* What waits was handed on long ago. */
	w.server.reply_ms = SECOND;
	world_submit(&w, 300);
	world_run(&w, 2 * MINUTE);
	assert_true(lane_waiting(w.lane) > 0);
	assert_int_equal(lane_bypassed(w.lane, w.now.us), 1);
	w.server.reply_ms = 0;
	world_finish(&w, 10 * MINUTE);
	world_run(&w, MINUTE);
	assert_int_equal(lane_bypassed(w.lane, w.now.us), 0);
	/* The log was told once, and is told the end. */
	plan.a_is_down = false;
	trickle(&w, 20);
	assert_int_equal(told_away, 1);
	assert_int_equal(told_back, 1);
	assert_int_equal(w.outcomes[OUTCOME_SENT], w.count);
	world_fini(&w);
}

static void
host_that_ends_every_session_with_421_is_gone_round(void **state)
{
	static const int codes[] = {421, WORLD_CLOSE};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;

		begin(&w, "MAIL", codes[i], 1);
		world_open(&w, 1000);
		trickle(&w, 100);
		assert_int_equal(w.taken_by[2], 100);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 100);
		/* Told once, though it is tried with a message each time it
		 * lets us in. */
		assert_int_equal(told_away, 1);
		assert_int_equal(told_back, 0);
		plan.every = 0;
		trickle(&w, 20);
		assert_int_equal(told_back, 1);
		w.taken_by[2] = 0;
		trickle(&w, 20);
		assert_int_equal(w.taken_by[2], 0);
		assert_int_equal(w.outcomes[OUTCOME_SENT], w.count);
		world_fini(&w);
	}
}

static void
message_refused_for_now_goes_on_alone(void **state)
{
	static const struct {
		const char *verb;
		int code;
	} cases[] = {{"MAIL", 450}, {"RCPT", 450}, {".", 451}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;

		begin(&w, cases[i].verb, cases[i].code, 10);
		world_open(&w, 100);
		world_submit(&w, 100);
		world_finish(&w, MINUTE);
		world_check_all_sent(&w);
		assert_int_equal(w.taken_by[1], 90);
		assert_int_equal(w.taken_by[2], 10);
		assert_int_equal(told_away, 0);
		world_fini(&w);
	}
}

static void
recipients_refused_for_now_go_on_without_the_others(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "RCPT TO:<r0.1", 450, 1);
	w.rcpts_each = 3;
	world_open(&w, 1);
	world_submit(&w, 1);
	world_finish(&w, MINUTE);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(w.messages[0].taken[i], 1);
	assert_int_equal(w.taken_by[2], 1);
	world_fini(&w);
}

static void
message_refused_for_good_does_not_go_on(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ".", 550, 10);
	world_open(&w, 20);
	world_submit(&w, 20);
	world_finish(&w, MINUTE);
	assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 2);
	assert_int_equal(w.taken_by[2], 0);
	world_fini(&w);
}

static void
last_host_says_why_a_message_is_deferred(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ".", 451, 10);
	plan.b_too = true;
	world_open(&w, 20);
	world_submit(&w, 20);
	world_finish(&w, MINUTE);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 2);
	assert_non_null(strstr(w.messages[10].text, "host b.test[192.0.2.1]"));
	assert_int_equal(w.messages[10].mails, 2);
	assert_false(w.messages[10].is_hop);
	world_fini(&w);
}

static void
message_meets_two_addresses_of_a_host_and_no_more(void **state)
{
	struct world w;

	(void)state;
	begin(&w, ".", 451, 10);
	w.set.relayhost = host_a;
	w.peer.others = 3;
	world_open(&w, 20);
	world_submit(&w, 20);
	world_finish(&w, MINUTE);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 2);
	assert_int_equal(w.messages[10].mails, 2);
	assert_non_null(strstr(w.messages[10].text, "a.test[192.0.2.2]"));
	world_fini(&w);
}

static void
alarm_of_one_host_sends_mail_to_the_next(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "MAIL", 530, 1);
	world_set_rules(&w, "reply mail 530 * /./ alarm\n");
	world_open(&w, 1000);
	world_submit(&w, 30);
	world_finish(&w, 20 * SECOND);
	world_check_all_sent(&w);
	assert_int_equal(w.taken_by[2], 30);
	assert_true(w.alarms > 0);
	assert_int_equal(told_away, 1);
	plan.every = 0;
	trickle(&w, 60);
	assert_int_equal(told_back, 1);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 1);
	assert_true(w.taken_by[1] > 0);
	assert_int_equal(w.outcomes[OUTCOME_SENT], w.count);
	world_fini(&w);
}

static void
all_hosts_down_is_an_outage_and_the_first_to_return_ends_it(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.calls_back = true;
	plan.a_is_down = plan.b_is_down = true;
	world_open(&w, 100);
	world_submit(&w, 30);
	world_finish(&w, 30 * SECOND);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 30);
	assert_int_equal(w.owed, 30);
	/* Who is called back need not be kept from coming. */
	assert_false(w.messages[0].is_hop);
	world_run(&w, 5 * MINUTE);
	plan.a_is_down = false;
	/* Nothing waits, and yet it is noticed. */
	world_run(&w, 11 * SECOND);
	assert_int_equal(w.backs, 1);
	world_submit(&w, 30);
	world_finish(&w, 5 * SECOND);
	assert_int_equal(w.taken_by[1], 30);
	assert_int_equal(w.backs, 1);
	world_fini(&w);
}

static void
outage_of_the_only_host_is_noticed_to_be_over(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.set.relayhost = host_a;
	w.calls_back = true;
	plan.a_is_down = true;
	world_open(&w, 100);
	world_submit(&w, 30);
	world_finish(&w, 30 * SECOND);
	world_run(&w, 30 * MINUTE);
	plan.a_is_down = false;
	world_run(&w, 11 * SECOND);
	assert_int_equal(w.owed, 30);
	assert_int_equal(w.backs, 1);
	world_fini(&w);
}

/* The first message of a process finds that the list is owed to. */
static void
what_an_earlier_process_deferred_is_called_back(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.set.relayhost = host_a;
	w.calls_back = true;
	w.owed_before = 8;
	plan.a_is_down = true;
	world_open(&w, 100);
	world_submit(&w, 1);
	world_finish(&w, 30 * SECOND);
	assert_int_equal(w.owed, 1);
	assert_int_equal(w.released, 0);
	assert_int_equal(w.backs, 0);
	plan.a_is_down = false;
	world_run(&w, 11 * SECOND);
	assert_int_equal(w.backs, 1);
	assert_true(w.released > 0);
	world_fini(&w);
}

/* It has a host at once, and nothing of its own was deferred: the one place is
 * not kept for a dial without mail. */
static void
first_session_of_a_process_calls_back(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.set.relayhost = host_a;
	w.calls_back = true;
	w.owed_before = 8;
	w.set.lane_connection_limit = 1;
	world_open(&w, 100);
	world_submit(&w, 1);
	world_finish(&w, 30 * SECOND);
	world_check_all_sent(&w);
	assert_int_equal(w.backs, 1);
	assert_true(w.released > 0);
	world_fini(&w);
}

static int
never_say_that_it_is_taken(
    struct world *w, struct world_conn *c, size_t number, const char *line)
{
	(void)w;
	(void)c;
	(void)number;
	return strcmp(line, ".") == 0 ? WORLD_SILENCE : 0;
}

/* Nothing else waits, so that it takes a dial of its own. */
static void
what_a_broken_connection_left_in_doubt_is_called_back(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.set.relayhost = host_a;
	w.calls_back = true;
	w.server.judge = never_say_that_it_is_taken;
	world_open(&w, 100);
	world_submit(&w, 5);
	world_run(&w, 2 * SECOND);
	plan.a_is_down = true;
	world_cut_all(&w);
	world_finish(&w, 20 * SECOND);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 5);
	assert_true(w.messages[0].in_doubt);
	assert_true(w.owed_in_doubt > 0);
	world_run(&w, 5 * MINUTE);
	assert_int_equal(w.backs, 0);
	plan.a_is_down = false;
	world_run(&w, 11 * SECOND);
	assert_int_equal(w.backs, 1);
	world_fini(&w);
}

/* It is this server's time for this message. */
static void
what_timed_out_in_doubt_waits_for_its_backoff(void **state)
{
	struct world w;

	(void)state;
	begin(&w, "", 0, 0);
	w.set.relayhost = host_a;
	w.calls_back = true;
	w.server.judge = never_say_that_it_is_taken;
	world_open(&w, 100);
	world_submit(&w, 1);
	world_finish(&w, 20 * MINUTE);
	assert_true(w.messages[0].in_doubt);
	assert_int_equal(w.owed, 0);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		host_that_refuses_connections_is_gone_round_at_once),
	    cmocka_unit_test(mail_is_back_within_a_minute_whatever_its_pace),
	    cmocka_unit_test(
		host_is_told_to_be_gone_round_while_mail_goes_or_waits),
	    cmocka_unit_test(
		host_that_ends_every_session_with_421_is_gone_round),
	    cmocka_unit_test(message_refused_for_now_goes_on_alone),
	    cmocka_unit_test(
		recipients_refused_for_now_go_on_without_the_others),
	    cmocka_unit_test(message_refused_for_good_does_not_go_on),
	    cmocka_unit_test(last_host_says_why_a_message_is_deferred),
	    cmocka_unit_test(message_meets_two_addresses_of_a_host_and_no_more),
	    cmocka_unit_test(alarm_of_one_host_sends_mail_to_the_next),
	    cmocka_unit_test(
		all_hosts_down_is_an_outage_and_the_first_to_return_ends_it),
	    cmocka_unit_test(outage_of_the_only_host_is_noticed_to_be_over),
	    cmocka_unit_test(what_an_earlier_process_deferred_is_called_back),
	    cmocka_unit_test(first_session_of_a_process_calls_back),
	    cmocka_unit_test(
		what_a_broken_connection_left_in_doubt_is_called_back),
	    cmocka_unit_test(what_timed_out_in_doubt_waits_for_its_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
