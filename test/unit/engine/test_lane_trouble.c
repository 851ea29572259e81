/* What a lane does when the provider refuses, falters or goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "test/support/lane_world.h"
#include "test/support/queue_source.h"

static void
provider_that_closes_after_five_defers_nothing(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.server.closes_after = 5;
	world_open(&w, 500);
	world_submit(&w, 500);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_int_equal(world_route(&w)->quota, 5);
	assert_int_equal(lane_figures(w.lane)->quotas, 1);
	assert_int_equal(
	    lane_figures(w.lane)->wire.replies_421, w.ended[SESSION_END_421]);
	/* Known after the first sessions, so later ones QUIT in time. */
	assert_true(w.ended[SESSION_END_421] <= 40);
	print_message("421 after 5: %zu dials, %zu closed by 421, %.1f s\n",
	    w.dials, w.ended[SESSION_END_421],
	    (double)(world_ms(&w) - 1000000) / 1000);
	world_fini(&w);
}

static void
provider_that_closes_without_a_word_leaves_a_bounded_doubt(void **state)
{
	struct world w;
	size_t doubt = 0;

	(void)state;
	world_init(&w);
	w.server.closes_after = 5;
	w.server.closes_silently = true;
	world_open(&w, 500);
	world_submit(&w, 500);
	world_finish(&w, 600000);
	for (size_t i = 0; i < w.count; i++) {
		const struct world_message *m = &w.messages[i];

		assert_int_equal(m->copies, m->outcomes[0] == OUTCOME_SENT);
		assert_int_equal(m->in_doubt, m->outcomes[0] == OUTCOME_DEFER);
		doubt += m->in_doubt;
	}
	assert_true(doubt <= 10 * 20);
	assert_int_equal(world_route(&w)->quota, 5);
	world_fini(&w);
}

static void
refused_connections_do_not_disturb_live_sessions(void **state)
{
	struct world w;
	int64_t from;

	(void)state;
	world_init(&w);
	w.server.connections_max = 10;
	world_open(&w, 4000);
	from = world_ms(&w);
	world_feed(&w, 4000);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	print_message("421 above 10 connections: %zu refused in %.1f s\n",
	    w.conns_refused, (double)(world_ms(&w) - from) / 1000);
	/* Ten sessions make 416 messages a second. */
	assert_true(world_ms(&w) - from <= 4000 * 1000 / 416 * 11 / 10);
	/* The first ten; from then on ever less often. */
	assert_true(w.conns_refused <= 10 + 10);
	world_fini(&w);
}

static void
outage_defers_all_that_waits_after_patience(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.server.is_down = true;
	world_open(&w, 100);
	world_submit(&w, 30);
	world_run(&w, 699);
	assert_int_equal(lane_dialing(w.lane), 20);
	world_run(&w, 9000);
	assert_int_equal(w.done, 0);
	/* Twenty at first, then one at a time: at 1.5, 4, 9 s or so. */
	assert_true(w.dials >= 22 && w.dials <= 24);
	world_run(&w, 20000);
	assert_int_equal(w.done, 30);
	for (size_t i = 0; i < 30; i++) {
		assert_int_equal(w.messages[i].outcomes[0], OUTCOME_DEFER);
		assert_string_equal(w.messages[i].status, "4.4.1");
		assert_true(w.messages[i].is_hop);
		assert_true(
		    w.messages[i].done_ms - w.messages[i].submitted_ms < 20000);
	}
	world_fini(&w);
}

static void
outage_is_answered_at_once_and_ends_by_itself(void **state)
{
	struct world w;
	size_t dials;
	int64_t until, pause;

	(void)state;
	world_init(&w);
	w.server.is_down = true;
	w.patience_ms = 0;
	world_open(&w, 100);
	world_submit(&w, 1);
	world_run(&w, 701);
	assert_int_equal(w.done, 1);
	dials = w.dials;
	/* During the pause: at once, without a dial, however many come. */
	assert_true(lane_may_admit(w.lane, 0, w.now.us, &until));
	world_submit(&w, 25);
	world_settle(&w);
	assert_int_equal(w.done, 26);
	assert_int_equal(w.dials, dials);
	assert_true(w.messages[25].is_hop);
	/* After it: one dial, and all wait for that. */
	pause = clock_ms_from_us(world_route(&w)->dial_not_before_us) -
		world_ms(&w);
	assert_true(pause > 0 && pause <= 1250);
	world_run(&w, pause);
	assert_int_equal(w.dials, dials);
	world_submit(&w, 25);
	world_settle(&w);
	assert_int_equal(w.dials, dials + 1);
	assert_int_equal(w.done, 26);
	world_run(&w, 701);
	assert_int_equal(w.done, 51);
	/* The next one works. */
	w.server.is_down = false;
	world_run(&w, 5000);
	world_submit(&w, 25);
	world_finish(&w, 5000);
	for (size_t i = 51; i < 76; i++)
		assert_int_equal(w.messages[i].outcomes[0], OUTCOME_SENT);
	assert_int_equal(lane_sessions(w.lane), 20);
	world_fini(&w);
}

static void
cut_sessions_are_replaced_and_what_was_unsent_goes_again(void **state)
{
	struct world w;
	size_t sent = 0, doubt = 0;

	(void)state;
	world_init(&w);
	world_open(&w, 1000);
	world_feed(&w, 1000);
	world_run(&w, 1230);
	world_cut_all(&w);
	world_finish(&w, 60000);
	for (size_t i = 0; i < w.count; i++) {
		const struct world_message *m = &w.messages[i];

		sent += m->outcomes[0] == OUTCOME_SENT;
		doubt += m->in_doubt;
		if (m->outcomes[0] == OUTCOME_SENT)
			assert_int_equal(m->copies, 1);
		else
			assert_true(m->in_doubt && m->cause == DSN_CAUSE_LOST);
	}
	assert_int_equal(lane_figures(w.lane)->in_doubt, doubt);
	assert_int_equal(sent + doubt, 1000);
	assert_true(doubt > 0 && doubt <= 200);
	world_fini(&w);
}

/* ---- time limits ------------------------------------------------------- */

static void
nothing_waits_longer_than_the_hold_limit(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.server.dial_rtts = 1000000;
	world_open(&w, 300);
	for (int i = 0; i < 30; i++) {
		world_submit(&w, 10);
		world_run(&w, 1000);
	}
	world_finish(&w, 400000);
	for (size_t i = 0; i < w.count; i++) {
		assert_int_equal(
		    w.messages[i].done_ms - w.messages[i].submitted_ms, 300000);
		assert_string_equal(w.messages[i].status, "4.4.5");
		assert_false(w.messages[i].is_hop);
	}
	assert_string_equal(w.messages[0].text,
	    "not sent within 300s: lane_connection_limit reached");
	assert_int_equal(w.messages[0].cause, DSN_CAUSE_WAIT);
	world_fini(&w);
}

/* Every reply comes just before its stage would time out. */
static void
no_request_lives_longer_than_the_request_limit(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct world w;
		int64_t oldest = 0;
		size_t sent = 0;

		world_init(&w);
		w.ehlo.pipelining = mode > 0;
		w.ehlo.chunking = mode > 1;
		w.server.reply_ms = 590000;
		w.set.smtp_rset_timeout_us = w.set.smtp_mail_timeout_us =
		    w.set.smtp_rcpt_timeout_us = 600 * US_PER_S;
		w.set.smtp_data_init_timeout_us = 600 * US_PER_S;
		w.set.smtp_data_done_timeout_us = 600 * US_PER_S;
		w.set.lane_connection_limit = 4;
		world_open(&w, 400);
		for (int i = 0; i < 40; i++) {
			world_submit(&w, 10);
			if (i == 0)
				world_settle(&w);
			world_route(&w)->depth = 10;
			world_run(&w, 137000);
		}
		world_finish(&w, 4000000);
		for (size_t i = 0; i < w.count; i++) {
			const struct world_message *m = &w.messages[i];
			int64_t age = m->done_ms - m->submitted_ms;

			assert_true(age <= 3600000);
			oldest = age > oldest ? age : oldest;
			sent += m->outcomes[0] == OUTCOME_SENT;
		}
		assert_true(sent > 0);
		print_message("replies after 590 s, mode %d: oldest %.3f s, "
			      "%zu of 400 sent\n",
		    mode, (double)oldest / 1000, sent);
		world_fini(&w);
	}
}

static int
silent_at_mail(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)conn;
	(void)number;
	return strncmp(line, "MAIL", 4) == 0 ? WORLD_SILENCE : 0;
}

/* Nothing else happens in the lane that could wake it. */
static void
silent_server_times_out_at_its_stage(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.ehlo.chunking = false;
	w.server.judge = silent_at_mail;
	world_open(&w, 1);
	world_submit(&w, 1);
	world_finish(&w, 4000000);
	assert_int_equal(
	    w.messages[0].done_ms - w.messages[0].submitted_ms, 700 + 300000);
	assert_int_equal(w.messages[0].outcomes[0], OUTCOME_DEFER);
	assert_int_equal(w.ended[SESSION_END_TIMEOUT], 1);
	world_fini(&w);
}

/* ---- messages at fault ------------------------------------------------- */

static int judged_code, judged_number;
static const char *judged_at;

static int
judge_one(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)conn;
	return (int)number == judged_number &&
		       strncmp(line, judged_at, strlen(judged_at)) == 0
		   ? judged_code
		   : 0;
}

static void
message_that_breaks_every_session_is_given_up(void **state)
{
	static const struct {
		const char *at;
		int code;
		bool chunking;
	} cases[] = {{".", 421, true}, {".", 421, false}, {"RCPT", 421, true},
	    {"RCPT", 421, false}, {"MAIL", 421, true}, {"DATA", 421, false},
	    {"RCPT", WORLD_CLOSE, false}, {"DATA", WORLD_CLOSE, false}};

	(void)state;
	judged_number = 33;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;

		judged_at = cases[i].at;
		judged_code = cases[i].code;
		world_init(&w);
		w.ehlo.chunking = cases[i].chunking;
		w.server.judge = judge_one;
		world_open(&w, 600);
		world_submit(&w, 600);
		world_finish(&w, 280000);
		for (size_t n = 0; n < w.count; n++) {
			const struct world_message *m = &w.messages[n];
			bool is_bad = (int)n == judged_number;

			if (m->outcomes[0] !=
			    (is_bad ? OUTCOME_DEFER : OUTCOME_SENT))
				fail_msg("%d at %s: message %zu: %s",
				    judged_code, judged_at, n, m->text);
			assert_int_equal(m->copies, !is_bad);
			assert_false(m->in_doubt);
		}
		print_message("%d at %s: tried %d times: %s\n", judged_code,
		    judged_at, w.messages[judged_number].mails,
		    w.messages[judged_number].text);
		assert_true(w.messages[judged_number].mails >= 5 &&
			    w.messages[judged_number].mails <= 10);
		world_fini(&w);
	}
}

static size_t rcpts_seen;

/* Recipient 0 is refused, 2 is put off; the first DATA breaks. */
static int
judge_partly(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)conn;
	if (strncmp(line, "RCPT", 4) == 0) {
		const char *dot = strchr(line, '.');

		rcpts_seen++;
		return dot[1] == '0' ? 550 : dot[1] == '2' ? 450 : 0;
	}
	if (strcmp(line, "DATA") == 0 && w->messages[number].mails == 1)
		return judged_code;
	return 0;
}

static void
only_undecided_recipients_are_tried_again(void **state)
{
	static const int codes[] = {WORLD_CLOSE, 421};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;
		const struct world_message *m;

		judged_code = codes[i];
		rcpts_seen = 0;
		world_init(&w);
		w.ehlo.chunking = false;
		w.rcpts_each = 4;
		w.server.judge = judge_partly;
		world_open(&w, 2);
		/* Nothing proves whose refusals these were. */
		world_submit(&w, 1);
		world_run(&w, 700 + 250);
		assert_int_equal(w.messages[0].decided, 0);
		world_finish(&w, 60000);
		assert_int_equal(rcpts_seen, 4 + 4);
		assert_int_equal(w.messages[0].decided, 4);
		/* What is known is reported while the rest is tried. */
		m = &w.messages[1];
		rcpts_seen = 0;
		world_submit(&w, 1);
		world_run(&w, 250);
		assert_int_equal(m->decided, 2);
		assert_int_equal(w.done, 1);
		world_finish(&w, 60000);
		assert_int_equal(rcpts_seen, 4 + 2);
		assert_int_equal(m->outcomes[0], OUTCOME_BOUNCE);
		assert_int_equal(m->outcomes[1], OUTCOME_SENT);
		assert_int_equal(m->outcomes[2], OUTCOME_DEFER);
		assert_int_equal(m->outcomes[3], OUTCOME_SENT);
		assert_int_equal(m->copies, 1);
		assert_int_equal(m->taken[1] + m->taken[3], 2);
		assert_int_equal(m->taken[0] + m->taken[2], 0);
		world_fini(&w);
	}
}

static int
defers_all(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)conn;
	return number >= 100 && strncmp(line, "RCPT", 4) == 0 ? 450 : 0;
}

static void
deferring_replies_cut_the_depth_for_all_sessions(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.server.judge = defers_all;
	world_open(&w, 200);
	world_submit(&w, 100);
	world_finish(&w, 10000);
	assert_int_equal(world_route(&w)->depth, 10);
	world_submit(&w, 20);
	world_finish(&w, 10000);
	assert_int_equal(world_route(&w)->depth, 1);
	world_fini(&w);
}

/* ---- chance ------------------------------------------------------------ */

static struct fixture_random chance;

static int
judge_at_random(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	static const int codes[] = {
	    421, 450, 550, WORLD_CLOSE, WORLD_SILENCE, 421, 421, 421};
	int code = codes[fixture_random_below(
	    &chance, sizeof(codes) / sizeof(codes[0]))];

	(void)w;
	(void)conn;
	(void)number;
	(void)line;
	return fixture_random_below(&chance, 100) < 3 ? code : 0;
}

static void
whatever_happens_every_message_has_one_true_verdict(void **state)
{
	(void)state;
	fixture_random_init(&chance);
	for (int round = 0; round < 12; round++) {
		struct world w;

		world_init(&w);
		w.ehlo.chunking = round % 2 == 0;
		w.rcpts_each = 1 + (size_t)round % 3;
		w.set.lane_connection_limit = 1 + round;
		w.set.smtp_mail_timeout_us = w.set.smtp_rcpt_timeout_us =
		    w.set.smtp_data_done_timeout_us = 30 * US_PER_S;
		w.server.judge = judge_at_random;
		w.server.connections_max = round % 4 == 3 ? 3 : 0;
		world_open(&w, 400);
		world_feed(&w, 400);
		for (int i = 0; i < 20; i++) {
			world_run(
			    &w, (int64_t)fixture_random_below(&chance, 3000));
			w.server.is_down =
			    fixture_random_below(&chance, 6) == 0;
			if (fixture_random_below(&chance, 6) == 0)
				world_cut_all(&w);
		}
		w.server.is_down = false;
		world_finish(&w, 1000000);
		for (size_t n = 0; n < w.count; n++) {
			const struct world_message *m = &w.messages[n];

			for (size_t i = 0; i < m->rcpt_count; i++) {
				if (m->outcomes[i] == OUTCOME_SENT)
					assert_int_equal(m->taken[i], 1);
				else if (m->outcomes[i] == OUTCOME_BOUNCE)
					assert_int_equal(m->taken[i], 0);
				else
					assert_true(m->taken[i] <= m->in_doubt);
			}
			assert_true(m->done_ms - m->submitted_ms <= 3600000);
		}
		world_fini(&w);
	}
}

/* Found out when its first chunks have been answered: no reply comes any more
 * that would make the lane look. */
static void
place_of_an_unreadable_message_is_taken_at_once(void **state)
{
	struct world w;
	struct buf whole, cut;
	char line[901];

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = w.set.lane_pipeline_depth = 1;
	w.set.lane_pipeline_bytes = 4096;
	world_open(&w, 3);
	world_submit(&w, 1);
	world_finish(&w, 60000);
	whole = w.file;
	buf_init(&cut, 1 << 20);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (size_t i = 0; i < 100; i++)
		(void)queue_put_str(&cut, RECORD_TYPE_NORM, line);
	w.file = cut;
	world_submit(&w, 1);
	w.file = whole;
	world_submit(&w, 1);
	world_finish(&w, 2000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 2);
	assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 1);
	world_fini(&w);
	buf_fini(&cut);
}

/* A message each ten seconds, for so long. */
static void
trickle(struct world *w, int64_t ms)
{
	for (int64_t at = 0; at < ms; at += 10000) {
		world_submit(w, 1);
		world_run(w, 10000);
	}
}

static void
long_outage_is_an_alarm_until_there_is_a_session(void **state)
{
	struct world w;
	size_t reached;

	(void)state;
	world_init(&w);
	w.patience_ms = 10000;
	world_open(&w, 200);
	world_submit(&w, 1);
	world_finish(&w, 60000);
	world_run(&w, 60000); /* the session is idle, and ends */
	reached = w.all_clears[ALARM_OUTAGE];
	assert_true(reached > 0);
	w.server.is_down = true;
	trickle(&w, 290000);
	assert_int_equal(w.alarms, 0);
	trickle(&w, 30000);
	assert_true(w.alarms > 0);
	assert_string_equal(
	    w.alarm, "outage: connect to relay.test[192.0.2.1]:25: refused");
	assert_int_equal(w.all_clears[ALARM_OUTAGE], reached);
	w.server.is_down = false;
	trickle(&w, 60000);
	assert_true(w.all_clears[ALARM_OUTAGE] > reached);
	/* The next one is counted anew. */
	w.alarms = 0;
	world_run(&w, 60000);
	w.server.is_down = true;
	trickle(&w, 290000);
	assert_int_equal(w.alarms, 0);
	world_fini(&w);
}

static bool
is_first_host(struct world *w, const struct route *r)
{
	(void)w;
	return r->number == 1;
}

static void
outage_of_one_host_is_none_while_another_takes_the_mail(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.patience_ms = 10000;
	w.nexthop = "[relay.test], [other.test]";
	w.server.is_host_down = is_first_host;
	world_open(&w, 200);
	trickle(&w, 400000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 40);
	assert_int_equal(w.alarms, 0);
	w.server.is_host_down = NULL;
	w.server.is_down = true;
	trickle(&w, 420000);
	assert_true(w.alarms > 0);
	assert_memory_equal(w.alarm, "outage: ", 8);
	world_fini(&w);
}

static void
refused_certificate_is_an_alarm_at_once(void **state)
{
	struct world w;
	size_t dials;

	(void)state;
	world_init(&w);
	w.server.has_expired = true;
	world_open(&w, 200);
	world_submit(&w, 5);
	world_finish(&w, 5000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 5);
	assert_true(w.alarms > 0);
	assert_string_equal(w.alarm,
	    "certificate: Server certificate not verified: certificate has "
	    "expired");
	assert_int_equal(w.all_clears[ALARM_OUTAGE], 0);
	w.server.has_expired = false;
	dials = w.dials;
	world_run(&w, 60000);
	world_submit(&w, 5);
	world_finish(&w, 60000);
	assert_true(w.dials > dials);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 5);
	assert_true(w.all_clears[ALARM_OUTAGE] > 0);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(provider_that_closes_after_five_defers_nothing),
	    cmocka_unit_test(
		provider_that_closes_without_a_word_leaves_a_bounded_doubt),
	    cmocka_unit_test(refused_connections_do_not_disturb_live_sessions),
	    cmocka_unit_test(outage_defers_all_that_waits_after_patience),
	    cmocka_unit_test(outage_is_answered_at_once_and_ends_by_itself),
	    cmocka_unit_test(
		cut_sessions_are_replaced_and_what_was_unsent_goes_again),
	    cmocka_unit_test(nothing_waits_longer_than_the_hold_limit),
	    cmocka_unit_test(no_request_lives_longer_than_the_request_limit),
	    cmocka_unit_test(silent_server_times_out_at_its_stage),
	    cmocka_unit_test(message_that_breaks_every_session_is_given_up),
	    cmocka_unit_test(only_undecided_recipients_are_tried_again),
	    cmocka_unit_test(deferring_replies_cut_the_depth_for_all_sessions),
	    cmocka_unit_test(place_of_an_unreadable_message_is_taken_at_once),
	    cmocka_unit_test(long_outage_is_an_alarm_until_there_is_a_session),
	    cmocka_unit_test(
		outage_of_one_host_is_none_while_another_takes_the_mail),
	    cmocka_unit_test(refused_certificate_is_an_alarm_at_once),
	    cmocka_unit_test(
		whatever_happens_every_message_has_one_true_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
