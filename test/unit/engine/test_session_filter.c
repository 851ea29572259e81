/* smtp_reply_filter against what the server said: nothing goes twice that it
 * took, and nothing is content that it did not ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/support/session_rig.h"
#include "test/support/word_table.h"

static struct rewriter filter;
static char table_text[256];

static void
open_rig(struct rig *rig, enum session_mode mode, const char *table)
{
	rig_init(rig, mode);
	(void)snprintf(table_text, sizeof(table_text), "%s", table);
	filter = (struct rewriter){word_table_ask, table_text};
	rig->peer.replies = &filter;
	rig_open(rig);
}

static void
pull_all(struct rig *rig)
{
	while (rig_pull(rig, 65536).n > 0 && buf_len(&rig->out) > 0)
		rig_write(rig, buf_len(&rig->out));
}

/* The place of what was answered. */
static void
prove(struct rig *rig)
{
	rig_expect(rig, "RSET\r\n");
	rig_say(rig, RIG_RSET);
}

static void
sent_without_a_code_is_sent(void **state)
{
	struct rig rig;
	struct rig_message *first, *second;

	(void)state;
	open_rig(&rig, SESSION_BDAT, "250 2.0.0 taken=fine");
	first = rig_send(&rig);
	second = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_SENT);
	rig_say(&rig, RIG_NEXT_SENT);
	rig_check_sent(first);
	rig_check(first, 0, OUTCOME_SENT, 250, "2.0.0", "250 2.0.0 taken");
	rig_check_sent(second);
	assert_false(session_is_finishing(rig.session));
	rig_fini(&rig);
}

static void
refused_without_a_code_is_deferred(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig, SESSION_BDAT, "554 5.7.1 spam=soft");
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL RIG_RCPT "554 5.7.1 spam\r\n");
	prove(&rig);
	rig_check(m, 0, OUTCOME_DEFER, 450, "4.7.1", NULL);
	rig_fini(&rig);
}

static void
an_end_of_data_is_what_the_filter_says(void **state)
{
	struct rig rig;
	struct rig_message *first, *second;

	(void)state;
	open_rig(&rig, SESSION_BDAT,
	    "250 2.0.0 taken=451 4.0.0 not yet|554 5.0.0 known=250 2.0.0 done");
	first = rig_send(&rig);
	second = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_SENT RIG_RSET);
	rig_check(first, 0, OUTCOME_DEFER, 451, "4.0.0", NULL);
	rig_say(&rig, RIG_MAIL RIG_RCPT "554 5.0.0 known\r\n");
	prove(&rig);
	rig_check(second, 0, OUTCOME_SENT, 250, "2.0.0", "250 2.0.0 done");
	assert_false(rig.is_over);
	rig_fini(&rig);
}

/* No code that asks for something can be an answer to the end of data. */
static void
an_end_of_data_is_no_354(void **state)
{
	static const char *const tables[] = {"250 2.0.0 taken=354 go on",
	    "250 2.0.0 taken=221 bye", "250 2.0.0 taken=334 x",
	    "250 2.0.0 taken=!"};

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		struct rig rig;
		struct rig_message *m;

		open_rig(&rig, SESSION_BDAT, tables[i]);
		m = rig_send(&rig);
		pull_all(&rig);
		rig_say(&rig, RIG_SENT);
		if (m->is_inside)
			prove(&rig);
		rig_check(m, 0, OUTCOME_SENT, 250, "2.0.0", "250 2.0.0 taken");
		assert_false(rig.is_over);
		rig_fini(&rig);
	}
}

/* Where a reply ends is the server's word: no answer moves to another command.
 */
static void
no_reply_is_left_open(void **state)
{
	struct rig rig;
	struct rig_message *first, *second;

	(void)state;
	open_rig(&rig, SESSION_BDAT, "250 2.0.0 taken=250-fine");
	first = rig_send(&rig);
	second = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_SENT RIG_NEXT_SENT);
	rig_check_sent(first);
	rig_check_sent(second);
	assert_false(rig.is_over);
	assert_false(rig.manner.no_rset);
	rig_fini(&rig);
}

static void
no_reply_becomes_two(void **state)
{
	struct rig rig;
	struct rig_message *m[3];

	(void)state;
	open_rig(&rig, SESSION_BDAT, "554-spam=451 4.7.1 later");
	for (size_t i = 0; i < 3; i++)
		m[i] = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL RIG_RCPT "554-spam\r\n554 really\r\n");
	rig_say(&rig, RIG_NEXT_SENT RIG_NEXT_SENT);
	rig_check(m[0], 0, OUTCOME_DEFER, 451, "4.7.1", NULL);
	rig_check_sent(m[1]);
	rig_check_sent(m[2]);
	assert_false(rig.is_over);
	assert_false(rig.manner.no_rset);
	rig_fini(&rig);
}

static void
a_refusal_of_two_lines_is_one_recipients(void **state)
{
	struct rig rig;
	struct rig_message *m;
	struct rig_plan plan = {.rcpts = 3};

	(void)state;
	open_rig(&rig, SESSION_GROUP, "550-no such user=450 4.2.0 later");
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	pull_all(&rig);
	rig_say(&rig,
	    RIG_MAIL "550-no such user\r\n550 really\r\n" RIG_RCPT RIG_RCPT
		     "354 go\r\n");
	pull_all(&rig);
	rig_say(&rig, RIG_TAKEN);
	rig_check(m, 0, OUTCOME_DEFER, 450, "4.2.0", NULL);
	rig_check(m, 1, OUTCOME_SENT, 250, "2.0.0", NULL);
	rig_check(m, 2, OUTCOME_SENT, 250, "2.0.0", NULL);
	assert_int_equal(m->returned, 0);
	assert_false(rig.is_over);
	rig_fini(&rig);
}

/* Whether the server knows a command it says itself. */
static void
bdat_is_unknown_whatever_the_filter_says(void **state)
{
	static const char *const tables[] = {"502 5.5.2 no=402 4.5.2 no",
	    "502 5.5.2 no=250 2.0.0 yes", "502 5.5.2 no=550 5.7.1 no"};

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		struct rig rig;
		struct rig_message *m;

		open_rig(&rig, SESSION_BDAT, tables[i]);
		m = rig_send(&rig);
		pull_all(&rig);
		rig_say(&rig, RIG_MAIL RIG_RCPT "502 5.5.2 no\r\n");
		rig_check_over(&rig, SESSION_END_OURS, false);
		rig_check_returned(m, 1);
		assert_int_equal(rig.manner.fastest, SESSION_OVERLAP);
		rig_fini(&rig);
	}
}

static void
bdat_is_known_whatever_the_filter_says(void **state)
{
	struct rig rig;
	struct rig_message *first, *second;

	(void)state;
	open_rig(&rig, SESSION_BDAT, "250 2.0.0 taken=503 5.5.1 no");
	first = rig_send(&rig);
	second = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_SENT RIG_NEXT_SENT);
	prove(&rig);
	rig_check(first, 0, OUTCOME_BOUNCE, 503, "5.5.1", NULL);
	rig_check(second, 0, OUTCOME_BOUNCE, 503, "5.5.1", NULL);
	assert_int_equal(rig.manner.fastest, SESSION_BDAT);
	assert_false(rig.is_over);
	rig_fini(&rig);
}

static void
rset_is_known_whatever_the_filter_says(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, SESSION_BDAT, "250 2.0.0 reset=503 5.5.1 no");
	(void)rig_send(&rig);
	(void)rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_SENT RIG_NEXT_SENT);
	assert_false(rig.manner.no_rset);
	assert_int_equal(rig.manner.fastest, SESSION_BDAT);
	rig_fini(&rig);
}

static void
a_bad_sequence_is_one_whatever_the_filter_says(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig, SESSION_GROUP, "503 5.5.1 order=550 5.5.1 no");
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, "503 5.5.1 order\r\n503 5.5.1 order\r\n"
		      "503 5.5.1 order\r\n");
	rig_check_returned(m, 1);
	assert_true(session_is_finishing(rig.session));
	rig_fini(&rig);
	open_rig(&rig, SESSION_GROUP, "503 5.5.1 order=450 4.5.1 no");
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL "503 5.5.1 order\r\n503 5.5.1 order\r\n");
	rig_check_returned(m, 0);
	assert_true(m->t->is_cautious);
	rig_fini(&rig);
}

/* It is the answer to AUTH, and mail is behind it. */
static void
a_login_is_the_servers_word(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig, SESSION_BDAT,
	    "235 2.7.0 in=250 2.0.0 ok|535 5.7.8 out=235 2.7.0 in");
	session_log_in(rig.session, slice_str("AUTH PLAIN x\r\n"), false);
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, "235 2.7.0 in\r\n" RIG_SENT);
	if (m->is_inside)
		prove(&rig);
	rig_check_sent(m);
	assert_false(rig.is_over);
	rig_fini(&rig);
	open_rig(&rig, SESSION_BDAT, "535 5.7.8 out=235 2.7.0 in");
	session_log_in(rig.session, slice_str("AUTH PLAIN x\r\n"), false);
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, "535 5.7.8 out\r\n");
	assert_true(session_is_finishing(rig.session));
	rig_fini(&rig);
}

/* The content is behind RCPT already. */
static void
a_recipient_refused_behind_bdat_is_sent_once(void **state)
{
	struct rig rig;
	struct rig_message *first;

	(void)state;
	open_rig(
	    &rig, SESSION_BDAT, "250 2.1.5 recipient ok=450 4.2.0 not this");
	first = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(first);
	assert_int_equal(rig.manner.fastest, SESSION_OVERLAP);
	rig_fini(&rig);
}

static void
a_recipient_refused_before_content_gets_none(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(
	    &rig, SESSION_GROUP, "250 2.1.5 recipient ok=550 5.2.0 not this");
	m = rig_send(&rig);
	rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n"
			 "RCPT TO:<r1.0.250@to.test>\r\nDATA\r\n");
	rig_say(&rig, RIG_MAIL RIG_RCPT "354 go\r\n");
	rig_check(m, 0, OUTCOME_BOUNCE, 550, "5.2.0", NULL);
	rig_check_over(&rig, SESSION_END_OURS, false);
	rig_fini(&rig);
}

/* Nor does one of nobody: a dot would be a message to the server. */
static void
a_sender_refused_before_content_gets_none(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig, SESSION_GROUP, "250 2.1.0 sender ok=450 4.1.0 not this");
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL RIG_RCPT "354 go\r\n");
	rig_check(m, 0, OUTCOME_DEFER, 450, "4.1.0", NULL);
	rig_check_over(&rig, SESSION_END_OURS, false);
	rig_fini(&rig);
}

/* And what is none is none, whatever the filter makes of that. */
static void
a_goodbye_is_one_whatever_the_filter_says(void **state)
{
	static const char *const tables[] = {"421 4.4.2 idle=450 4.4.2 idle",
	    "421 4.4.2 idle=250 2.0.0 fine", "421 4.4.2 idle=550 5.0.0 no"};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		open_rig(&rig, SESSION_BDAT, tables[i]);
		rig_wait(&rig, 60000);
		rig_say(&rig, "421 4.4.2 idle\r\n");
		rig_check_over(&rig, SESSION_END_QUIT, true);
		assert_int_equal(rig.manner.lost, 0);
		rig_fini(&rig);
	}
	open_rig(&rig, SESSION_BDAT, "450 4.0.0 hm=421 4.0.0 bye");
	rig_wait(&rig, 60000);
	rig_say(&rig, "450 4.0.0 hm\r\n");
	rig_check_over(&rig, SESSION_END_ABORT, false);
	rig_fini(&rig);
}

static void
the_others_go_again_without_it(void **state)
{
	struct rig rig;
	struct rig_message *m;
	struct rig_plan plan = {.rcpts = 2};

	(void)state;
	open_rig(&rig, SESSION_GROUP, "250 that=550 5.2.0 not this");
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL "250 that\r\n" RIG_RCPT "354 go\r\n");
	rig_check(m, 0, OUTCOME_BOUNCE, 550, "5.2.0", NULL);
	assert_null(m->req->rcpts[1].verdict);
	assert_int_equal(m->returned, 1);
	assert_int_equal(m->t->count, 1);
	assert_true(rig.is_over);
	rig_fini(&rig);
}

/* What follows would be content to the server. */
static void
data_refused_by_the_filter_ends_the_session(void **state)
{
	struct rig rig;
	struct rig_message *m, *next;

	(void)state;
	open_rig(&rig, SESSION_OVERLAP, "354 go=451 4.3.0 not now");
	m = rig_send(&rig);
	next = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL RIG_RCPT "354 go\r\n");
	rig_check(m, 0, OUTCOME_DEFER, 451, "4.3.0", NULL);
	rig_check_returned(next, 0);
	rig_check_over(&rig, SESSION_END_OURS, false);
	rig_fini(&rig);
}

/* What follows would be commands to the server. */
static void
data_let_in_by_the_filter_alone_is_not(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig, SESSION_GROUP, "554 5.5.1 no=354 go");
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL RIG_RCPT "554 5.5.1 no\r\n");
	rig_check(m, 0, OUTCOME_DEFER, 450, "4.5.1",
	    "host mx.test[192.0.2.1] said: 554 5.5.1 no (in reply to DATA "
	    "command)");
	rig_expect(&rig, "");
	assert_false(rig.is_over);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sent_without_a_code_is_sent),
	    cmocka_unit_test(refused_without_a_code_is_deferred),
	    cmocka_unit_test(an_end_of_data_is_what_the_filter_says),
	    cmocka_unit_test(an_end_of_data_is_no_354),
	    cmocka_unit_test(no_reply_is_left_open),
	    cmocka_unit_test(no_reply_becomes_two),
	    cmocka_unit_test(a_refusal_of_two_lines_is_one_recipients),
	    cmocka_unit_test(bdat_is_unknown_whatever_the_filter_says),
	    cmocka_unit_test(bdat_is_known_whatever_the_filter_says),
	    cmocka_unit_test(rset_is_known_whatever_the_filter_says),
	    cmocka_unit_test(a_bad_sequence_is_one_whatever_the_filter_says),
	    cmocka_unit_test(a_login_is_the_servers_word),
	    cmocka_unit_test(a_recipient_refused_behind_bdat_is_sent_once),
	    cmocka_unit_test(a_recipient_refused_before_content_gets_none),
	    cmocka_unit_test(a_sender_refused_before_content_gets_none),
	    cmocka_unit_test(a_goodbye_is_one_whatever_the_filter_says),
	    cmocka_unit_test(the_others_go_again_without_it),
	    cmocka_unit_test(data_refused_by_the_filter_ends_the_session),
	    cmocka_unit_test(data_let_in_by_the_filter_alone_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
