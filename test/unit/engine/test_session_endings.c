#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "test/support/session_rig.h"

#define ENVELOPE(id)                                                           \
	"MAIL FROM:<s" id "@from.test>\r\nRCPT TO:<r" id ".0.250@to.test>\r\n"
#define CONTENT(id) "BDAT 17 LAST\r\nid: " id "\r\nend of " id "\r\n"
#define MESSAGE(id) ENVELOPE(id) CONTENT(id)
#define IN_DOUBT "sending end of data -- message may be sent more than once"

#define THREE MESSAGE("1") "RSET\r\n" MESSAGE("2") "RSET\r\n" MESSAGE("3")

/* Three messages rendered, octets of them written. */
static void
start_three(struct rig *rig, size_t octets)
{
	rig_init(rig, SESSION_BDAT);
	rig_open(rig);
	for (int i = 0; i < 3; i++)
		(void)rig_send(rig);
	(void)rig_pull(rig, 65536);
	assert_int_equal(buf_len(&rig->out), sizeof(THREE) - 1);
	rig_write(rig, octets);
}

static void
closed_stream_leaves_doubt_only_about_what_was_fully_written(void **state)
{
	size_t ends[3];

	(void)state;
	ends[0] = sizeof(MESSAGE("1")) - 1;
	ends[1] = ends[0] + sizeof("RSET\r\n" MESSAGE("2")) - 1;
	ends[2] = sizeof(THREE) - 1;
	for (size_t n = 0; n < sizeof(THREE); n++) {
		struct rig rig;

		start_three(&rig, n);
		session_closed(rig.session, n % 2 == 0, "gone", rig.now);
		rig_check_over(&rig, SESSION_END_LOST, false);
		for (size_t i = 0; i < 3; i++) {
			struct rig_message *m = rig.messages[i];

			if (n < ends[i]) {
				rig_check_returned(m, i == 0);
				continue;
			}
			rig_check(m, 0, OUTCOME_DEFER, 0, "4.4.2",
			    "lost connection with mx.test[192.0.2.1] "
			    "while " IN_DOUBT);
			assert_true(
			    m->req->rcpts[0].verdict->dsn.maybe_accepted);
		}
		rig_fini(&rig);
	}
}

static void
lost_before_the_end_names_the_oldest_stage(void **state)
{
	struct rig rig;

	(void)state;
	start_three(&rig, 40);
	rig_say(&rig, "250 ok\r\n250");
	session_closed(rig.session, true, "gone", rig.now);
	rig_check_returned(rig.messages[0], 1);
	assert_string_equal(rig.messages[0]->t->last_error->text,
	    "lost connection with mx.test[192.0.2.1] while sending RCPT TO");
	assert_false(rig.messages[0]->t->last_error->maybe_accepted);
	rig_fini(&rig);
}

static void
unproven_refusals_are_heard_again_once(void **state)
{
	struct rig_plan plan = {.rcpts = 3, .octets = 100000};
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	m = rig_add(&rig, &plan);
	for (int i = 0; i < 2; i++) {
		rig_open(&rig);
		rig_assign(&rig, m);
		(void)rig_pull(&rig, 100);
		rig_write(&rig, buf_len(&rig.out));
		rig_say(&rig, "250 ok\r\n250 ok\r\n550 5.1.1 who\r\n");
		session_closed(rig.session, true, "gone", rig.now);
		rig_check_returned(m, i + 1);
		m->returned = 0;
		assert_int_equal(m->t->count, i == 0 ? 3 : 2);
	}
	assert_int_equal(m->req->rcpts[1].state, RCPT_DECIDED);
	rig_open(&rig);
	rig_assign(&rig, m);
	(void)rig_pull(&rig, 1);
	while (rig_pull(&rig, 65536).n > 0)
		continue;
	assert_non_null(strstr(buf_str(&rig.out), "r1.0.250@"));
	assert_null(strstr(buf_str(&rig.out), "r1.1.250@"));
	assert_non_null(strstr(buf_str(&rig.out), "r1.2.250@"));
	rig_fini(&rig);
}

static const char *const good[] = {RIG_MAIL, RIG_RCPT, RIG_TAKEN, RIG_RSET,
    RIG_MAIL, RIG_RCPT, RIG_TAKEN, RIG_RSET, RIG_MAIL, RIG_RCPT, RIG_TAKEN};

/* After k replies that are fine, whatever the command was. */
static void
reply_421_returns_all_from_there_on(void **state)
{
	(void)state;
	for (size_t k = 0; k <= 11; k++) {
		struct rig rig;

		start_three(&rig, sizeof(THREE) - 1);
		for (size_t i = 0; i < k; i++)
			rig_say(&rig, good[i]);
		if (k == 11) { /* all answered: the server is just leaving */
			rig_say(&rig, "421 4.3.2 bye\r\n");
			rig_check_over(&rig, SESSION_END_421, true);
		} else {
			rig_say(&rig, "421-4.3.2 bye\r\n421 4.3.2 now\r\n");
			/* No message is behind its own end of data. */
			assert_int_equal(rig.is_over, k == 10);
			session_closed(
			    rig.session, k % 2 == 0, "gone", rig.now);
			rig_check_over(&rig, SESSION_END_421, true);
			assert_non_null(strstr(rig.why, "421 4.3.2 now"));
		}
		for (size_t i = 0; i < 3; i++) {
			struct rig_message *m = rig.messages[i];
			size_t last = 3 + i * 4;

			if (k >= last) {
				rig_check_sent(m);
				continue;
			}
			/* A try: what was refused on a fresh session, or at
			 * its own end of data. */
			rig_check_returned(
			    m, (i == 0 && k < 3) || k == last - 1);
			assert_int_equal(m->t->last_error->smtp_code, 421);
		}
		/* The end of the connection says nothing more. */
		session_closed(rig.session, true, "gone", rig.now);
		rig_fini(&rig);
	}
}

/* Exim, told to by an ACL. */
static void
reply_421_without_an_end_is_about_its_command_alone(void **state)
{
	struct rig rig;
	struct rig_message **m = rig.messages;

	(void)state;
	start_three(&rig, sizeof(THREE) - 1);
	rig_say(&rig, "250 ok\r\n421 4.3.2 not now\r\n");
	assert_false(rig.is_over);
	assert_true(session_is_finishing(rig.session));
	assert_int_equal(m[0]->done, 0);
	rig_say(&rig, "503 no recipients\r\n" RIG_RSET);
	rig_check(m[0], 0, OUTCOME_DEFER, 421, "4.3.2", NULL);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(m[1]);
	rig_say(&rig, RIG_RSET "421 4.3.2 not you\r\n503 no\r\n503 no\r\n");
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, "221 bye\r\n");
	rig_check(m[2], 0, OUTCOME_DEFER, 421, "4.3.2", NULL);
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_fini(&rig);
}

/* It has not closed, so it may read on: what was sent whole is in doubt, but
 * for a message whose own command the 421 refused. */
static void
silence_behind_421_leaves_doubt(void **state)
{
	static const struct {
		const char
		    *replies; /* to the second message, as far as the 421 */
		bool is_ended;
	} cases[] = {
	    {"421 4.3.2 bye\r\n", false},
	    {RIG_RSET "421 4.3.2 bye\r\n", true},
	    {RIG_RSET RIG_MAIL "421 4.3.2 bye\r\n", true},
	    {RIG_RSET RIG_MAIL RIG_RCPT "421 4.3.2 bye\r\n", true},
	};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool is_ended = cases[i / 2].is_ended;

		start_three(&rig, sizeof(THREE) - 1);
		if (i % 2 != 0) {
			session_finish(rig.session, FINISH_SPENT, rig.now.us);
			rig_expect(&rig, "QUIT\r\n");
		}
		rig_say(&rig, RIG_SENT);
		(void)rig_pull(&rig, 65536);
		assert_false(rig.is_kicked);
		rig_say(&rig, cases[i / 2].replies);
		/* Its deadline is nearer than the one that is armed. */
		assert_true(rig.is_kicked);
		rig_wait(&rig, 9999);
		assert_false(rig.is_over);
		rig_wait(&rig, 1);
		rig_check_sent(rig.messages[0]);
		if (is_ended)
			rig_check_returned(rig.messages[1], i / 2 == 3 ? 1 : 0);
		for (size_t k = is_ended ? 2 : 1; k < 3; k++) {
			struct rig_message *m = rig.messages[k];

			rig_check(m, 0, OUTCOME_DEFER, 0, "4.4.2", NULL);
			assert_true(
			    m->req->rcpts[0].verdict->dsn.maybe_accepted);
		}
		rig_check_over(&rig, SESSION_END_421, false);
		rig_fini(&rig);
	}
}

/* RSET MAIL RCPT BDAT RSET to a server of which nothing is known: with one
 * reply too many, that to RCPT stands in the place of the end. */
static void
end_of_a_first_message_is_known_by_the_reply_behind_it(void **state)
{
	static const char *const replies[] = {
	    RIG_RSET RIG_MAIL RIG_MAIL RIG_RCPT,
	    RIG_RSET RIG_MAIL RIG_RCPT RIG_TAKEN,
	    RIG_RSET RIG_MAIL RIG_RCPT "550 5.7.1 no\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct rig_message *m;
		struct rig rig;

		rig_init(&rig, SESSION_BDAT);
		manner_init(&rig.manner);
		rig_open(&rig);
		m = rig_send(&rig);
		(void)rig_pull(&rig, 65536);
		rig_write(&rig, buf_len(&rig.out));
		rig_say(&rig, replies[i]);
		assert_int_equal(m->done, 0);
		session_closed(rig.session, true, "gone", rig.now);
		if (i < 2)
			rig_check(m, 0, OUTCOME_DEFER, 0, "4.4.2", NULL);
		else
			rig_check(m, 0, OUTCOME_BOUNCE, 550, "5.7.1", NULL);
		assert_int_equal(
		    m->req->rcpts[0].verdict->dsn.maybe_accepted, i < 2);
		rig_fini(&rig);
	}
}

static void
quit_is_answered_or_the_connection_closed(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		struct rig rig;

		rig_init(&rig, SESSION_BDAT);
		rig_open(&rig);
		session_finish(rig.session, FINISH_SPENT, rig.now.us);
		assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
		rig_expect(&rig, "QUIT\r\n");
		if (i == 0)
			rig_say(&rig, "221 bye\r\n");
		else if (i == 1)
			rig_say(&rig, "421 bye\r\n");
		else if (i < 4)
			session_closed(rig.session, i == 2, "gone", rig.now);
		else {
			rig_wait(&rig, 1999);
			assert_false(rig.is_over);
			rig_wait(&rig, 1);
		}
		rig_check_over(&rig, SESSION_END_QUIT, i < 3);
		assert_int_equal(session_deadline_us(rig.session), INT64_MAX);
		rig_say(&rig, "221 again\r\n");
		rig_fini(&rig);
	}
}

/* With one reply too many before, what stands in the place of QUIT is the
 * answer to the last message: what was taken may have been refused, what was
 * refused was not taken. */
static void
refused_quit_leaves_doubt_about_what_was_taken_only(void **state)
{
	(void)state;
	for (int is_refused = 0; is_refused <= 1; is_refused++) {
		struct rig_message *m;
		struct rig rig;

		rig_init(&rig, SESSION_BDAT);
		rig_open(&rig);
		m = rig_send(&rig);
		session_finish(rig.session, FINISH_SPENT, rig.now.us);
		rig_expect(&rig, MESSAGE("1") "QUIT\r\n");
		rig_say(&rig, RIG_MAIL);
		rig_say(&rig, is_refused
				  ? "550 5.1.1 no\r\n503 5.5.1 no\r\n"
				  : "250 2.6.0 well\r\n250 2.6.0 well\r\n");
		assert_int_equal(m->done, 0);
		rig_say(&rig, "421 4.3.2 bye\r\n");
		rig_check_over(&rig, SESSION_END_QUIT, true);
		if (is_refused)
			rig_check(m, 0, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
		else
			rig_check(m, 0, OUTCOME_DEFER, 0, "4.4.2", NULL);
		assert_int_equal(
		    m->req->rcpts[0].verdict->dsn.maybe_accepted, !is_refused);
		rig_fini(&rig);
	}
}

/* Told to finish long ago, with a message inside: QUIT gets its time all the
 * same when that is through. */
static void
quit_has_its_time_after_the_last_message(void **state)
{
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_send(&rig);
	rig_expect(&rig, MESSAGE("1"));
	session_finish(rig.session, FINISH_SPENT, rig.now.us);
	rig_wait(&rig, 10000);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(m);
	/* The link was busy: QUIT was not pulled so far. */
	rig_wait(&rig, 1999);
	assert_false(rig.is_over);
	rig_expect(&rig, "QUIT\r\n");
	rig_wait(&rig, 1999);
	assert_false(rig.is_over);
	rig_say(&rig, "221 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_fini(&rig);
}

static void
idle_session_closed_by_the_server_is_no_loss(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	assert_int_equal(session_deadline_us(rig.session), INT64_MAX);
	session_closed(rig.session, true, "gone", rig.now);
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_open(&rig);
	rig_say(&rig, "421 4.4.2 idle\r\n");
	rig_check_over(&rig, SESSION_END_421, true);
	/* Tired of waiting: no quota is to be learned from it. */
	rig_open(&rig);
	rig.now.us += 5 * US_PER_S;
	rig_say(&rig, "421 4.4.2 idle\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_open(&rig);
	rig_say(&rig, "250 hello?\r\n");
	rig_check_over(&rig, SESSION_END_ABORT, false);
	rig_fini(&rig);
}

static void
only_the_oldest_command_has_a_timer(void **state)
{
	struct rig rig;
	const struct settings *set = &rig.set;

	(void)state;
	start_three(&rig, sizeof(THREE) - 1);
	assert_int_equal(session_deadline_us(rig.session),
	    rig.now.us + set->smtp_mail_timeout_us);
	rig_wait(&rig, 299999);
	rig_say(&rig, RIG_MAIL);
	assert_int_equal(session_deadline_us(rig.session),
	    rig.now.us + set->smtp_rcpt_timeout_us);
	rig_wait(&rig, 299999);
	rig_say(&rig, RIG_RCPT);
	assert_int_equal(session_deadline_us(rig.session),
	    rig.now.us + set->smtp_data_done_timeout_us);
	rig_wait(&rig, 590000);
	rig_say(&rig, RIG_TAKEN);
	rig_check_sent(rig.messages[0]);
	assert_int_equal(session_deadline_us(rig.session),
	    rig.now.us + set->smtp_rset_timeout_us);
	assert_false(rig.is_over);
	rig_fini(&rig);
}

static void
timeout_defers_what_was_waited_for_and_what_is_in_doubt(void **state)
{
	struct rig rig;

	(void)state;
	start_three(&rig, sizeof(MESSAGE("1") "RSET\r\n" MESSAGE("2")) + 20);
	rig_wait(&rig, 300000);
	rig_check_over(&rig, SESSION_END_TIMEOUT, false);
	rig_check(rig.messages[0], 0, OUTCOME_DEFER, 0, "4.4.2",
	    "conversation with mx.test[192.0.2.1] timed out while " IN_DOUBT);
	rig_check(rig.messages[1], 0, OUTCOME_DEFER, 0, "4.4.2", NULL);
	rig_check_returned(rig.messages[2], 0);
	rig_fini(&rig);

	start_three(&rig, 10);
	rig_wait(&rig, 300000);
	rig_check(rig.messages[0], 0, OUTCOME_DEFER, 0, "4.4.2",
	    "conversation with mx.test[192.0.2.1] timed out while sending "
	    "MAIL FROM");
	assert_false(
	    rig.messages[0]->req->rcpts[0].verdict->dsn.maybe_accepted);
	rig_check_returned(rig.messages[1], 0);
	rig_check_returned(rig.messages[2], 0);
	rig_fini(&rig);
}

/* Each reply takes 590 s, within the stages' timeouts. */
static void
request_deadline_ends_what_the_stages_would_not(void **state)
{
	struct rig_plan plan = {.rcpts = 20};
	struct rig_message *m;
	struct rig rig;
	int64_t born;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.set.smtp_mail_timeout_us = rig.set.smtp_rcpt_timeout_us =
	    600 * US_PER_S;
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	born = rig.now.us;
	m->req->deadline_us = born + 3600 * US_PER_S;
	rig_assign(&rig, m);
	while (rig_pull(&rig, 65536).n > 0)
		rig_write(&rig, buf_len(&rig.out));
	while (!rig.is_over) {
		int64_t due =
		    (session_deadline_us(rig.session) - rig.now.us) / US_PER_MS;

		rig_wait(&rig, due < 590000 ? due : 590000);
		if (!rig.is_over)
			rig_say(&rig, "250 ok\r\n");
	}
	assert_int_equal(rig.now.us, born + 3600 * US_PER_S);
	rig_check_over(&rig, SESSION_END_TIMEOUT, false);
	for (size_t i = 0; i < 20; i++)
		rig_check(m, i, OUTCOME_DEFER, 0, "4.4.2", NULL);
	rig_fini(&rig);
}

/* A large body on a slow line: progress, however small, keeps it alive. */
static void
writing_keeps_the_content_timer_from_running_out(void **state)
{
	struct rig_plan plan = {.octets = 20000};
	struct rig rig;
	struct rig_message *m;

	(void)state;
	rig_init(&rig, SESSION_OVERLAP);
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	while (rig_pull(&rig, 65536).n > 0)
		rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
	while (rig_pull(&rig, 65536).n > 0)
		continue;
	while (buf_len(&rig.out) > 0) {
		rig_wait(&rig, 179999);
		assert_false(rig.is_over);
		rig_write(
		    &rig, buf_len(&rig.out) < 999 ? buf_len(&rig.out) : 999);
	}
	rig_wait(&rig, 599999);
	assert_false(rig.is_over);
	rig_wait(&rig, 1);
	rig_check_over(&rig, SESSION_END_TIMEOUT, false);
	rig_check(m, 0, OUTCOME_DEFER, 0, "4.4.2", NULL);
	assert_true(m->req->rcpts[0].verdict->dsn.maybe_accepted);
	rig_fini(&rig);
}

/* Codes where none such belongs: never a crash, never a delivery, and no
 * message that the server did not answer is lost. */
static void
malformed_replies_are_never_a_delivery(void **state)
{
	static const char *const replies[] = {"354 go\r\n", "334 x\r\n",
	    "199 hm\r\n", "999 hm\r\n", "000 hm\r\n", "600 hm\r\n"};
	static const enum session_mode modes[] = {
	    SESSION_BDAT, SESSION_OVERLAP, SESSION_LOCKSTEP};

	(void)state;
	for (size_t i = 0; i < 6 * 3 * 3; i++) {
		struct rig_message *m;
		struct rig rig;

		rig_init(&rig, modes[i % 3]);
		rig_open(&rig);
		m = rig_send(&rig);
		for (size_t k = 0; k <= i / 18 && !rig.is_over; k++) {
			while (!rig.is_over && rig_pull(&rig, 65536).n > 0)
				rig_write(&rig, buf_len(&rig.out));
			rig_say(&rig,
			    k < i / 18 ? "250 ok\r\n" : replies[i / 3 % 6]);
		}
		if (!rig.is_over)
			while (!rig.is_over && rig_pull(&rig, 65536).n > 0)
				rig_write(&rig, buf_len(&rig.out));
		if (m->is_inside)
			session_abort(rig.session, "test", rig.now);
		assert_true(m->done + m->returned == 1);
		if (m->done == 1)
			assert_int_equal(
			    m->req->rcpts[0].verdict->outcome, OUTCOME_DEFER);
		rig_fini(&rig);
	}
}

/* A 250 too many, anywhere: what follows is off by one, and the last message
 * must not be believed. */
static void
reply_out_of_step_never_loses_a_message(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct rig_message *m;
		struct rig rig;

		rig_init(&rig, SESSION_OVERLAP);
		rig_open(&rig);
		m = rig_send(&rig);
		(void)rig_pull(&rig, 65536);
		rig_write(&rig, buf_len(&rig.out));
		for (size_t i = 0; i < 3; i++)
			rig_say(&rig,
			    i == k ? "250 ok\r\n250 ok\r\n" : "250 ok\r\n");
		rig_check_over(&rig, SESSION_END_ABORT, false);
		rig_check_returned(m, 1);
		rig_fini(&rig);
	}
}

/* Nobody knows which reply it stands for. */
static void
garbage_between_replies_leaves_in_doubt_what_is_not_proven(void **state)
{
	static const char *const bad[] = {
	    "hello there\r\n", "450-several\r\n", RIG_TAKEN};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		start_three(&rig, sizeof(THREE) - 1);
		rig_say(&rig, RIG_SENT);
		rig_say(&rig, bad[i]);
		if (!rig.is_over)
			rig_say(&rig, RIG_RSET);
		rig_check_sent(rig.messages[0]);
		for (size_t k = 1; k < 3; k++) {
			rig_check(rig.messages[k], 0, OUTCOME_DEFER, 0, "4.4.2",
			    "lost synchronization with mx.test[192.0.2.1] "
			    "while " IN_DOUBT);
			assert_true(rig.messages[k]
					->req->rcpts[0]
					.verdict->dsn.maybe_accepted);
		}
		assert_int_equal(session_in_doubt(rig.session), 2);
		rig_check_over(&rig, SESSION_END_ABORT, false);
		rig_fini(&rig);
	}
}

static void
garbage_before_the_only_reply_retires_the_session(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_LOCKSTEP);
	rig_open(&rig);
	(void)rig_send(&rig);
	rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n");
	rig_say(&rig, "hello there\r\n250 ok\r\n");
	assert_false(rig.is_over);
	assert_true(session_is_finishing(rig.session));
	rig_fini(&rig);
}

static void
endless_line_ends_the_session(void **state)
{
	char line[1001];
	struct rig rig;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	start_three(&rig, 10);
	for (int i = 0; i < 100 && !rig.is_over; i++)
		rig_say(&rig, line);
	rig_check_over(&rig, SESSION_END_ABORT, false);
	rig_check_returned(rig.messages[0], 1);
	rig_fini(&rig);
}

/* The replies are in order all the same; 421 without an end is one. */
static void
refused_rset_leaves_each_message_its_own_replies(void **state)
{
	static const char *const refusals[] = {"502 5.5.1 x\r\n",
	    "500 what?\r\n", "452 4.3.1 later\r\n", "421 4.3.0 not this\r\n"};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		start_three(&rig, sizeof(THREE) - 1);
		rig_say(&rig, RIG_SENT);
		rig_say(&rig, refusals[i]);
		rig_say(&rig, RIG_SENT);
		rig_say(&rig, refusals[i]);
		rig_say(&rig, RIG_SENT);
		for (size_t k = 0; k < 3; k++)
			rig_check_sent(rig.messages[k]);
		assert_false(rig.is_over);
		assert_true(rig.manner.no_rset);
		assert_int_equal(rig.manner.fastest, SESSION_GROUP);
		if (i < 3) {
			(void)rig_send(&rig);
			rig_expect(&rig, ENVELOPE("4") "DATA\r\n");
		}
		rig_fini(&rig);
	}
}

/* Nothing tells the next message from one that was refused half way. */
static void
refused_message_where_rset_is_refused_ends_the_session(void **state)
{
	struct rig_message *a, *b;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	assert_true(manner_without_rset(&rig.manner, rig.now.us));
	rig_open(&rig);
	a = rig_send(&rig);
	rig_expect(&rig, ENVELOPE("1") "DATA\r\n");
	rig_say(&rig, "250 ok\r\n550 5.1.1 who\r\n503 no\r\n");
	rig_check(a, 0, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
	b = rig_send(&rig);
	rig_expect(&rig, "QUIT\r\n");
	rig_check_returned(b, 0);
	rig_fini(&rig);
}

static void
unsent_message_can_be_withdrawn(void **state)
{
	struct rig rig;
	struct rig_message *a, *b;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = rig_send(&rig);
	rig_expect(&rig, MESSAGE("1"));
	b = rig_send(&rig);
	assert_false(session_withdraw(rig.session, a->t));
	assert_ptr_equal(session_unsent(rig.session), b->t);
	assert_true(session_withdraw(rig.session, b->t));
	assert_null(session_unsent(rig.session));
	assert_int_equal(b->req->rcpts[0].state, RCPT_WAITING);
	assert_int_equal(session_load(rig.session), 1);
	assert_int_equal(session_messages(rig.session), 1);
	b->is_inside = false;
	rig_say(&rig, RIG_SENT);
	rig_check_sent(a);
	rig_assign(&rig, b);
	rig_expect(&rig, "RSET\r\n" MESSAGE("2"));
	rig_fini(&rig);
}

static void
session_is_spent_by_messages_and_by_age(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	assert_false(session_is_spent(rig.session, 2, rig.now.us));
	(void)rig_send(&rig);
	(void)rig_send(&rig);
	assert_true(session_is_spent(rig.session, 2, rig.now.us));
	assert_false(session_is_spent(rig.session, 3, rig.now.us));
	assert_true(
	    session_is_spent(rig.session, 3, rig.now.us + 900 * US_PER_S));
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		closed_stream_leaves_doubt_only_about_what_was_fully_written),
	    cmocka_unit_test(lost_before_the_end_names_the_oldest_stage),
	    cmocka_unit_test(unproven_refusals_are_heard_again_once),
	    cmocka_unit_test(reply_421_returns_all_from_there_on),
	    cmocka_unit_test(
		reply_421_without_an_end_is_about_its_command_alone),
	    cmocka_unit_test(silence_behind_421_leaves_doubt),
	    cmocka_unit_test(
		end_of_a_first_message_is_known_by_the_reply_behind_it),
	    cmocka_unit_test(quit_is_answered_or_the_connection_closed),
	    cmocka_unit_test(
		refused_quit_leaves_doubt_about_what_was_taken_only),
	    cmocka_unit_test(quit_has_its_time_after_the_last_message),
	    cmocka_unit_test(idle_session_closed_by_the_server_is_no_loss),
	    cmocka_unit_test(only_the_oldest_command_has_a_timer),
	    cmocka_unit_test(
		timeout_defers_what_was_waited_for_and_what_is_in_doubt),
	    cmocka_unit_test(request_deadline_ends_what_the_stages_would_not),
	    cmocka_unit_test(writing_keeps_the_content_timer_from_running_out),
	    cmocka_unit_test(malformed_replies_are_never_a_delivery),
	    cmocka_unit_test(reply_out_of_step_never_loses_a_message),
	    cmocka_unit_test(
		garbage_between_replies_leaves_in_doubt_what_is_not_proven),
	    cmocka_unit_test(garbage_before_the_only_reply_retires_the_session),
	    cmocka_unit_test(endless_line_ends_the_session),
	    cmocka_unit_test(refused_rset_leaves_each_message_its_own_replies),
	    cmocka_unit_test(
		refused_message_where_rset_is_refused_ends_the_session),
	    cmocka_unit_test(unsent_message_can_be_withdrawn),
	    cmocka_unit_test(session_is_spent_by_messages_and_by_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
