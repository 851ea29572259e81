#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "test/support/session_rig.h"

#define AUTH "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"
#define WELCOME "235 2.7.0 Authentication successful\r\n"
#define ENVELOPE(id)                                                           \
	"MAIL FROM:<s" id "@from.test>\r\nRCPT TO:<r" id ".0.250@to.test>\r\n"
#define CONTENT(id) "BDAT 17 LAST\r\nid: " id "\r\nend of " id "\r\n"
#define MESSAGE(id) ENVELOPE(id) CONTENT(id)
#define TWO MESSAGE("1") "RSET\r\n" MESSAGE("2")
#define DENIED                                                                 \
	RIG_MAIL "554 5.7.1 access denied\r\n503 5.5.1 no valid "              \
		 "recipients\r\n"

/* A session that has yet to log in. */
static void
open_leading(struct rig *rig, enum session_mode mode, bool is_alone)
{
	rig_init(rig, mode);
	rig->set.smtp_helo_timeout_us = 300 * US_PER_S;
	rig_open(rig);
	session_log_in(rig->session, slice_str(AUTH), is_alone);
}

/* Two messages behind AUTH, all of it written. */
static void
send_two(struct rig *rig)
{
	open_leading(rig, SESSION_BDAT, false);
	(void)rig_send(rig);
	(void)rig_send(rig);
	rig_expect(rig, AUTH TWO);
}

static void
check_news(const struct rig *rig, const char *news)
{
	assert_string_equal(rig->login_news, news);
}

static void
auth_leads_the_first_window(void **state)
{
	struct rig rig;

	(void)state;
	send_two(&rig);
	rig_say(&rig, WELCOME);
	check_news(&rig, "accepted");
	rig_say(&rig, RIG_SENT RIG_NEXT_SENT);
	check_news(&rig, "accepted proven");
	rig_check_sent(rig.messages[0]);
	rig_check_sent(rig.messages[1]);
	(void)rig_send(&rig);
	rig_expect(&rig, "RSET\r\n" MESSAGE("3"));
	rig_fini(&rig);
}

static void
nothing_goes_before_there_is_mail(void **state)
{
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_BDAT, false);
	rig_expect(&rig, "");
	session_log_in_alone(rig.session);
	session_log_in_alone(rig.session);
	rig_expect(&rig, AUTH);
	(void)rig_send(&rig);
	rig_expect(&rig, MESSAGE("1"));
	rig_fini(&rig);
}

static void
mail_waits_where_the_login_is_to_be_alone(void **state)
{
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_BDAT, true);
	assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
	session_log_in_alone(rig.session);
	rig_expect(&rig, AUTH);
	assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
	rig_say(&rig, WELCOME);
	assert_true(session_has_room(rig.session, 10, 50, rig.now.us));
	rig_fini(&rig);
}

/* All is read behind a refusal, and none of it judged. */
static void
refused(const char *answer)
{
	struct rig rig;

	send_two(&rig);
	rig_say(&rig, answer);
	check_news(&rig, "refused");
	assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
	rig_say(&rig, DENIED RIG_RSET DENIED);
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, "221 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	assert_string_equal(rig.why, "login refused");
	for (size_t i = 0; i < 2; i++) {
		rig_check_returned(rig.messages[i], 0);
		assert_non_null(strstr(rig.messages[i]->t->last_error->text,
		    "SASL authentication failed; server mx.test[192.0.2.1] "
		    "said: "));
	}
	check_news(&rig, "refused");
	rig_fini(&rig);
}

static void
refused_login_returns_what_was_inside(void **state)
{
	static const char *const answers[] = {
	    "535 5.7.8 authentication failed\r\n",
	    "454 4.7.0 temporary authentication failure\r\n",
	    "530 5.7.0 must issue STARTTLS first\r\n",
	    "501 5.5.2 cannot decode\r\n",
	    "503 5.5.1 not now\r\n",
	    "334 eyJzdGF0dXMiOiI0MDAifQ==\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		refused(answers[i]);
}

/* Whatever a server says to MAIL, RCPT, DATA, BDAT and the end for want of a
 * login, and however it ends then. */
static void
no_reply_behind_a_refused_login_is_a_verdict(void **state)
{
	static const char *const replies[] = {NULL, "530 login first\r\n",
	    "550 no\r\n", "503 bad\r\n", "451 later\r\n", "421 bye\r\n",
	    "552 too big\r\n"};
	static const char *const good[] = {RIG_MAIL, RIG_RCPT, RIG_TAKEN};
	const size_t n = sizeof(replies) / sizeof(replies[0]);

	(void)state;
	for (size_t k = 0; k < n * n * n; k++) {
		struct rig rig;

		open_leading(&rig, SESSION_BDAT, false);
		(void)rig_send(&rig);
		rig_expect(&rig, AUTH MESSAGE("1"));
		rig_say(&rig, "535 no\r\n");
		for (size_t i = 0, of = k; i < 3 && !rig.is_over; i++) {
			rig_say(&rig, of % n == 0 ? good[i] : replies[of % n]);
			of /= n;
		}
		if (!rig.is_over)
			session_closed(rig.session, true, "gone", rig.now);
		/* All three were good. */
		if (k == 0)
			rig_check_sent(rig.messages[0]);
		else
			rig_check_returned(rig.messages[0], 0);
		check_news(&rig, "refused");
		rig_fini(&rig);
	}
}

static void
what_is_taken_without_a_login_is_delivered(void **state)
{
	struct rig_plan plan = {.rcpts = 2};
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_BDAT, false);
	rig_assign(&rig, rig_add(&rig, &plan));
	(void)rig_send(&rig);
	while (rig_pull(&rig, 65536).n > 0)
		continue;
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, "535 5.7.8 no\r\n" RIG_MAIL RIG_RCPT
		      "550 5.7.1 relaying denied\r\n" RIG_TAKEN);
	rig_say(&rig, RIG_NEXT_SENT);
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, "221 bye\r\n");
	rig_check_returned(rig.messages[0], 0);
	assert_int_equal(rig.messages[0]->t->count, 1);
	assert_int_equal(rig.messages[0]->t->rcpts[0], 1);
	assert_int_equal(
	    rig.messages[0]->req->rcpts[0].verdict->outcome, OUTCOME_SENT);
	rig_check_sent(rig.messages[1]);
	check_news(&rig, "refused");
	rig_fini(&rig);
}

static void
what_was_not_sent_yet_is_not_sent_any_more(void **state)
{
	struct rig_plan large = {.octets = 200000};
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_BDAT, false);
	rig.set.lane_pipeline_bytes = 70000;
	rig_assign(&rig, rig_add(&rig, &large));
	(void)rig_send(&rig);
	(void)rig_pull(&rig, 65536);
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, "535 5.7.8 no\r\n");
	rig_check_returned(rig.messages[1], 0);
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, RIG_MAIL RIG_RCPT "250 chunk\r\n221 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_check_returned(rig.messages[0], 0);
	rig_fini(&rig);
}

/* Whoever asks for content although the login was refused gets none. */
static void
no_content_follows_a_refused_login(void **state)
{
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_OVERLAP, false);
	(void)rig_send(&rig);
	rig_expect(&rig, AUTH ENVELOPE("1") "DATA\r\n");
	rig_say(&rig, "535 no\r\n" RIG_MAIL RIG_RCPT);
	rig_expect(&rig, "");
	rig_say(&rig, "354 go\r\n");
	rig_check_over(&rig, SESSION_END_OURS, false);
	rig_check_returned(rig.messages[0], 0);
	rig_fini(&rig);
}

static void
data_refused_for_want_of_a_login_is_no_verdict(void **state)
{
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_OVERLAP, false);
	(void)rig_send(&rig);
	rig_expect(&rig, AUTH ENVELOPE("1") "DATA\r\n");
	rig_say(&rig, "535 no\r\n530 a\r\n530 b\r\n530 c\r\n");
	rig_expect(&rig, "QUIT\r\n");
	rig_check_returned(rig.messages[0], 0);
	rig_fini(&rig);
}

/* At whatever place the server closes. */
static void
close_behind_a_refusal(size_t replies, bool is_eof, size_t in_doubt)
{
	static const char *const said[] = {"535 no\r\n", RIG_MAIL, "550 no\r\n",
	    "503 no\r\n", RIG_RSET, RIG_MAIL, RIG_RCPT};
	struct rig rig;

	send_two(&rig);
	for (size_t i = 0; i < replies; i++)
		rig_say(&rig, said[i]);
	session_closed(rig.session, is_eof, "gone", rig.now);
	assert_true(rig.is_over);
	assert_int_equal(session_in_doubt(rig.session), in_doubt);
	check_news(&rig, replies == 0 ? "misplaced" : "refused");
	rig_fini(&rig);
}

static void
closing_leaves_in_doubt_what_was_begun_alone(void **state)
{
	(void)state;
	close_behind_a_refusal(0, true, 2); /* and not a word */
	for (size_t n = 1; n <= 5; n++)
		close_behind_a_refusal(
		    n, true, n == 2 ? 1 : 0); /* MAIL was taken, then silence */
	close_behind_a_refusal(6, true, 1);
	close_behind_a_refusal(7, false, 1);
}

static void
silence_is_for_the_login(void **state)
{
	struct rig rig;

	(void)state;
	send_two(&rig);
	assert_int_equal(
	    session_deadline_us(rig.session), rig.now.us + 300 * US_PER_S);
	rig_wait(&rig, 300000);
	rig_check_over(&rig, SESSION_END_TIMEOUT, false);
	check_news(&rig, "misplaced");
	rig_fini(&rig);
}

/* AUTH was left out, or put off behind something else. */
static void
other_answers_are_out_of_place(void **state)
{
	static const char *const answers[] = {RIG_MAIL, "250 2.0.0 hello\r\n",
	    "354 go\r\n", "221 bye\r\n", "200 what\r\n",
	    ("garbage\r\n" WELCOME), "235-a\r\n250 b\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct rig rig;

		send_two(&rig);
		rig_say(&rig, answers[i]);
		rig_check_over(&rig, SESSION_END_ABORT, false);
		check_news(&rig, "misplaced");
		assert_int_equal(rig.manner.lost, 0);
		for (size_t m = 0; m < 2; m++)
			rig_check(rig.messages[m], 0, OUTCOME_DEFER, 0, "4.4.2",
			    "lost synchronization with mx.test[192.0.2.1] "
			    "while sending end of data -- message may be sent "
			    "more than once");
		rig_fini(&rig);
	}
}

static void
welcome_in_another_place_disproves_places(void **state)
{
	struct rig rig;

	(void)state;
	send_two(&rig);
	rig_say(&rig, WELCOME RIG_MAIL WELCOME);
	rig_check_over(&rig, SESSION_END_ABORT, false);
	check_news(&rig, "accepted misplaced");
	rig_fini(&rig);
}

static void
login_that_mail_was_quicker_than_is_no_verdict(void **state)
{
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_BDAT, false);
	(void)rig_send(&rig);
	rig_expect(&rig, AUTH MESSAGE("1"));
	rig_say(&rig, WELCOME "530 5.7.0 login first\r\n503 no\r\n503 no\r\n");
	check_news(&rig, "accepted misplaced");
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, RIG_RSET);
	rig_check_returned(rig.messages[0], 0);
	/* Behind the login it is one. */
	rig_assign(&rig, rig.messages[0]);
	rig_expect(&rig, MESSAGE("1"));
	rig_say(&rig, "530 5.7.0 login first\r\n503 no\r\n503 no\r\n");
	session_closed(rig.session, true, "gone", rig.now);
	rig_check(rig.messages[0], 0, OUTCOME_BOUNCE, 530, "5.7.0", NULL);
	rig_fini(&rig);
}

static void
break_behind_a_login_is_told(void **state)
{
	struct rig rig;

	(void)state;
	send_two(&rig);
	rig_say(&rig, WELCOME);
	session_closed(rig.session, true, "gone", rig.now);
	check_news(&rig, "accepted cut");
	rig_fini(&rig);
	send_two(&rig);
	rig_say(&rig, WELCOME RIG_SENT);
	session_closed(rig.session, true, "gone", rig.now);
	check_news(&rig, "accepted proven");
	rig_fini(&rig);
}

static void
what_we_end_ourselves_says_nothing_of_the_server(void **state)
{
	struct rig rig;

	(void)state;
	send_two(&rig);
	session_abort(rig.session, "stop", rig.now);
	check_news(&rig, "");
	rig_fini(&rig);
	/* Idle, and nothing was sent. */
	open_leading(&rig, SESSION_BDAT, false);
	session_finish(rig.session, FINISH_IDLE, rig.now.us);
	rig_expect(&rig, "QUIT\r\n");
	assert_false(session_is_stranger(rig.session));
	rig_say(&rig, "221 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	check_news(&rig, "");
	rig_fini(&rig);
}

/* A server that closes before anything was said to it. */
static void
bye_before_the_login_is_as_usual(void **state)
{
	struct rig rig;

	(void)state;
	open_leading(&rig, SESSION_BDAT, false);
	rig_say(&rig, "421 4.7.0 too many connections\r\n");
	rig_check_over(&rig, SESSION_END_421, true);
	assert_false(session_is_stranger(rig.session));
	check_news(&rig, "");
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(auth_leads_the_first_window),
	    cmocka_unit_test(nothing_goes_before_there_is_mail),
	    cmocka_unit_test(mail_waits_where_the_login_is_to_be_alone),
	    cmocka_unit_test(refused_login_returns_what_was_inside),
	    cmocka_unit_test(no_reply_behind_a_refused_login_is_a_verdict),
	    cmocka_unit_test(what_is_taken_without_a_login_is_delivered),
	    cmocka_unit_test(what_was_not_sent_yet_is_not_sent_any_more),
	    cmocka_unit_test(no_content_follows_a_refused_login),
	    cmocka_unit_test(data_refused_for_want_of_a_login_is_no_verdict),
	    cmocka_unit_test(closing_leaves_in_doubt_what_was_begun_alone),
	    cmocka_unit_test(silence_is_for_the_login),
	    cmocka_unit_test(other_answers_are_out_of_place),
	    cmocka_unit_test(welcome_in_another_place_disproves_places),
	    cmocka_unit_test(login_that_mail_was_quicker_than_is_no_verdict),
	    cmocka_unit_test(break_behind_a_login_is_told),
	    cmocka_unit_test(what_we_end_ourselves_says_nothing_of_the_server),
	    cmocka_unit_test(bye_before_the_login_is_as_usual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
