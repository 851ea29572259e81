#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/message.h"
#include "agent/engine/session_state.h"
#include "common/base/mem.h"
#include "test/support/fixture.h"
#include "test/support/session_rig.h"

#define ENVELOPE(id)                                                           \
	"MAIL FROM:<s" id "@from.test>\r\nRCPT TO:<r" id ".0.250@to.test>\r\n"
#define CONTENT(id) "BDAT 17 LAST\r\nid: " id "\r\nend of " id "\r\n"
#define MESSAGE(id) ENVELOPE(id) CONTENT(id)

#define SAID(words, command)                                                   \
	"host mx.test[192.0.2.1] said: " words " (in reply to " command        \
	" command)"

static void
window_goes_out_in_one_write_with_rset_between(void **state)
{
	struct rig rig;
	struct rig_message *a, *b, *c;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	assert_int_equal(rig.session->mode, SESSION_BDAT);
	a = rig_send(&rig);
	b = rig_send(&rig);
	c = rig_send(&rig);
	assert_true(rig.is_kicked);
	rig_expect(
	    &rig, MESSAGE("1") "RSET\r\n" MESSAGE("2") "RSET\r\n" MESSAGE("3"));
	assert_int_equal(session_load(rig.session), 3);
	assert_int_equal(session_messages(rig.session), 3);
	rig_say(&rig, RIG_MAIL RIG_RCPT "250 2.0.0 taken\r\n");
	rig_check_sent(a);
	rig_check(a, 0, OUTCOME_SENT, 250, "2.0.0", "250 2.0.0 taken");
	assert_true(b->is_inside && c->is_inside);
	rig_say(&rig, RIG_NEXT_SENT RIG_NEXT_SENT);
	rig_check_sent(b);
	rig_check_sent(c);
	assert_int_equal(session_accepted(rig.session), 3);
	assert_int_equal(session_load(rig.session), 0);
	assert_int_equal(session_octets_unanswered(rig.session), 0);
	rig_fini(&rig);
}

/* It says so at the first chunk, and would read the rest as commands. */
static void
server_that_knows_no_bdat_gets_the_message_by_data(void **state)
{
	static const char *const replies[] = {"500 5.5.2 what\r\n",
	    "502 5.5.1 no\r\n", "503 5.5.1 no\r\n", "504 5.5.4 no\r\n"};

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		struct rig_plan plan = {.octets = i < 4 ? 0 : 100000};
		struct rig_message *m;
		struct rig rig;

		rig_init(&rig, SESSION_BDAT);
		manner_init(&rig.manner);
		rig_open(&rig);
		m = rig_add(&rig, &plan);
		rig_assign(&rig, m);
		(void)rig_pull(&rig, 65536);
		rig_write(&rig, buf_len(&rig.out));
		rig_say(&rig, RIG_RSET RIG_MAIL RIG_RCPT);
		rig_say(&rig, replies[i % 4]);
		rig_check_over(&rig, SESSION_END_OURS, false);
		rig_say(&rig, "500 5.5.2 what\r\n");
		rig_check_returned(m, 1);
		assert_int_equal(session_in_doubt(rig.session), 0);
		rig_open(&rig);
		assert_int_equal(rig.session->mode, SESSION_OVERLAP);
		rig_fini(&rig);
	}
}

static void
server_that_took_a_chunk_means_the_message(void **state)
{
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	(void)rig_send(&rig);
	m = rig_send(&rig);
	rig_expect(&rig, MESSAGE("1") "RSET\r\n" MESSAGE("2"));
	rig_say(&rig, RIG_SENT RIG_RSET RIG_MAIL RIG_RCPT "500 5.6.0 no\r\n");
	assert_false(rig.is_over);
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, RIG_RSET);
	rig_check(m, 0, OUTCOME_BOUNCE, 500, "5.6.0", NULL);
	assert_int_equal(rig.session->mode, SESSION_BDAT);
	rig_fini(&rig);
}

/* Exim's way: 503 for all that follows a refused MAIL. */
static void
verdict_is_the_first_refusal_not_the_noise_behind_it(void **state)
{
	static const struct {
		const char *replies;
		enum outcome outcome;
		int code;
		const char *status, *text;
	} cases[] = {
	    {"451 4.7.1 later\r\n503 no MAIL\r\n503 no RCPT\r\n", OUTCOME_DEFER,
		451, "4.7.1", SAID("451 4.7.1 later", "MAIL FROM")},
	    {"550 no\r\n503 no MAIL\r\n503 no RCPT\r\n", OUTCOME_BOUNCE, 550,
		"5.0.0", SAID("550 no", "MAIL FROM")},
	    {"550 no\r\n250 ok\r\n250 ok\r\n", OUTCOME_BOUNCE, 550, "5.0.0",
		SAID("550 no", "MAIL FROM")},
	    {"250 ok\r\n450 4.2.1 busy\r\n554 no valid\r\n", OUTCOME_DEFER, 450,
		"4.2.1", SAID("450 4.2.1 busy", "RCPT TO")},
	    {"250 ok\r\n550 5.1.1 who\r\n250 taken\r\n", OUTCOME_BOUNCE, 550,
		"5.1.1", SAID("550 5.1.1 who", "RCPT TO")},
	    {"250 ok\r\n250 ok\r\n552 5.3.4 big\r\n", OUTCOME_BOUNCE, 552,
		"5.3.4", SAID("552 5.3.4 big", "end of DATA")},
	    {"250 ok\r\n250 ok\r\n452 4.3.1 full\r\n", OUTCOME_DEFER, 452,
		"4.3.1", SAID("452 4.3.1 full", "end of DATA")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		struct rig_message *a, *b;

		rig_init(&rig, SESSION_BDAT);
		rig_open(&rig);
		a = rig_send(&rig);
		b = rig_send(&rig);
		rig_expect(&rig, MESSAGE("1") "RSET\r\n" MESSAGE("2"));
		rig_say(&rig, cases[i].replies);
		/* Not before it is sure whose replies these are. */
		assert_int_equal(a->done, 0);
		rig_say(&rig, RIG_RSET);
		assert_int_equal(a->done, 1);
		rig_check(a, 0, cases[i].outcome, cases[i].code,
		    cases[i].status, cases[i].text);
		rig_say(&rig, RIG_SENT);
		rig_check_sent(b);
		rig_fini(&rig);
	}
}

static void
recipients_are_judged_one_by_one(void **state)
{
	struct rig_plan plan = {.rcpts = 3};
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	(void)rig_pull(&rig, 65536);
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, "250 ok\r\n550 5.1.1 a\r\n250 ok\r\n451 b\r\n");
	assert_true(m->is_inside);
	rig_say(&rig, RIG_TAKEN);
	rig_check(m, 0, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
	rig_check(m, 1, OUTCOME_SENT, 250, "2.0.0", "250 2.0.0 taken");
	rig_check(m, 2, OUTCOME_DEFER, 451, "4.0.0", NULL);
	rig_fini(&rig);
}

static void
mail_answered_503_is_returned_even_when_the_content_is_accepted(void **state)
{
	struct rig_message *a;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = rig_send(&rig);
	rig_expect(&rig, MESSAGE("1"));
	rig_say(&rig, "503 nested\r\n" RIG_RCPT RIG_TAKEN);
	rig_check_returned(a, 1);
	assert_true(session_is_finishing(rig.session));
	rig_fini(&rig);
}

static void
no_command_follows_a_refusal_that_is_known(void **state)
{
	struct rig_plan plan = {.rcpts = 3};
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	(void)rig_pull(&rig, 1);
	assert_string_equal(buf_str(&rig.out), "MAIL FROM:<s1@from.test>\r\n");
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, "550 no\r\n");
	rig_expect(&rig, "RSET\r\n"); /* its reply shows whose that was */
	rig_say(&rig, RIG_RSET);
	assert_int_equal(m->done, 1);
	rig_check(m, 2, OUTCOME_BOUNCE, 550, "5.0.0", NULL);
	(void)rig_send(&rig);
	rig_expect(&rig, MESSAGE("2"));
	rig_fini(&rig);
}

static void
large_message_goes_in_chunks_and_an_early_refusal_stops_it(void **state)
{
	struct rig_plan plan = {.octets = 400000};
	struct rig_message *m, *next;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	next = rig_send(&rig);
	(void)rig_pull(&rig, 65536);
	assert_non_null(strstr(buf_str(&rig.out), "BDAT "));
	assert_null(strstr(buf_str(&rig.out), "LAST"));
	assert_true(buf_len(&rig.out) < 200000);
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, "250 ok\r\n250 ok\r\n552 5.3.4 too much\r\n");
	rig_expect(&rig, "RSET\r\n" MESSAGE("2"));
	rig_say(&rig, RIG_RSET);
	rig_check(m, 0, OUTCOME_BOUNCE, 552, "5.3.4",
	    SAID("552 5.3.4 too much", "BDAT"));
	rig_say(&rig, RIG_SENT);
	rig_check_sent(next);
	rig_fini(&rig);
}

static void
reply_in_the_middle_of_a_chunk_leaves_the_stream_in_step(void **state)
{
	struct rig_message *m, *next;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_send(&rig);
	(void)rig_pull(&rig, 65536);
	rig_write(&rig, buf_len(&rig.out) - 5);
	rig_say(&rig, "250 ok\r\n250 ok\r\n552 5.3.4 no\r\n");
	assert_false(rig.is_over);
	rig_write(&rig, 5);
	next = rig_send(&rig);
	rig_expect(&rig, "RSET\r\n" MESSAGE("2"));
	rig_say(&rig, RIG_RSET);
	rig_check(m, 0, OUTCOME_BOUNCE, 552, "5.3.4", NULL);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(next);
	rig_fini(&rig);
}

/* One reply too many shifts all that follow: message 1 must not get the
 * answer to a command that was not even sent. */
static void
success_is_not_believed_before_the_last_octet_was_written(void **state)
{
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_send(&rig);
	(void)rig_pull(&rig, 65536);
	rig_write(&rig, buf_len(&rig.out) - 1);
	rig_say(&rig, RIG_SENT);
	rig_check_over(&rig, SESSION_END_ABORT, false);
	rig_check_returned(m, 1);
	rig_fini(&rig);
}

static void
corrupt_message_is_taken_back_by_rset(void **state)
{
	struct rig_plan plan = {.is_corrupt = true};
	struct rig_message *a, *b;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = rig_add(&rig, &plan);
	rig_assign(&rig, a);
	b = rig_send(&rig);
	rig_expect(&rig, ENVELOPE("1") "RSET\r\n" MESSAGE("2"));
	rig_say(&rig, RIG_MAIL RIG_RCPT);
	assert_int_equal(a->done, 1);
	assert_true(a->req->is_corrupt);
	rig_check(a, 0, OUTCOME_BOUNCE, 0, "5.3.0", NULL);
	rig_say(&rig, RIG_NEXT_SENT);
	rig_check_sent(b);
	rig_fini(&rig);
}

static size_t
count_chunks(struct rig *rig)
{
	const char *at = buf_str(&rig->out);
	size_t n = 0;

	for (; (at = strstr(at, "\r\nBDAT ")) != NULL; at += 7)
		n++;
	return n;
}

static void
unreadable_message_is_deferred_and_the_session_lives(void **state)
{
	struct rig_plan plan = {.is_unreadable = true, .octets = 200000};
	size_t chunks;
	struct rig_message *a, *b;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = rig_add(&rig, &plan);
	rig_assign(&rig, a);
	b = rig_send(&rig);
	while (rig_pull(&rig, 65536).n > 0)
		continue;
	chunks = count_chunks(&rig) - 1;
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, RIG_MAIL RIG_RCPT);
	while (chunks-- > 0)
		rig_say(&rig, "250 2.0.0 chunk\r\n");
	rig_say(&rig, RIG_RSET);
	rig_check(a, 0, OUTCOME_DEFER, 0, "4.3.0", NULL);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(b);
	rig_fini(&rig);
}

static void
refused_messages_shrink_the_window_and_end_the_session(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	assert_true(session_has_room(rig.session, 10, 50, rig.now.us));
	(void)rig_send(&rig);
	assert_true(session_has_room(rig.session, 10, 50, rig.now.us));
	assert_false(session_has_room(rig.session, 1, 50, rig.now.us));
	assert_false(session_has_room(rig.session, 10, 1, rig.now.us));
	for (int i = 0; i < 4; i++) {
		while (rig_pull(&rig, 65536).n > 0)
			rig_write(&rig, buf_len(&rig.out));
		if (i > 0)
			rig_say(&rig, "250 reset\r\n");
		rig_say(&rig, "250 ok\r\n550 no\r\n554 none\r\n");
		if (i == 3)
			break;
		assert_false(session_is_finishing(rig.session));
		(void)rig_send(&rig);
		assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
	}
	assert_true(session_is_finishing(rig.session));
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, "221 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_fini(&rig);
}

static void
too_big_or_utf8_is_refused_without_an_octet(void **state)
{
	struct rig_plan big = {.octets = 2000};
	struct rig_plan utf8 = {
	    .sendopts = SENDOPT_UTF8_REQUESTED | SENDOPT_UTF8_NEEDED};
	struct rig_message *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.ehlo.size_offered = true;
	rig.ehlo.size_limit = 1000;
	rig_open(&rig);
	m = rig_add(&rig, &big);
	rig_assign(&rig, m);
	rig_check(m, 0, OUTCOME_BOUNCE, 0, "5.3.4", NULL);
	m = rig_add(&rig, &utf8);
	rig_assign(&rig, m);
	rig_check(m, 0, OUTCOME_BOUNCE, 0, "5.6.7",
	    "SMTPUTF8 is required, but was not offered by host "
	    "mx.test[192.0.2.1]");
	assert_int_equal(session_messages(rig.session), 0);
	m = rig_send(&rig);
	rig_expect(&rig, "MAIL FROM:<s3@from.test> SIZE=17\r\n"
			 "RCPT TO:<r3.0.250@to.test>\r\n" CONTENT("3"));
	rig_fini(&rig);
}

/* The queue manager's size does not count folds; a server that loses count
 * beyond its limit would take the rest for commands. */
static void
no_more_octets_are_announced_than_the_server_takes(void **state)
{
	struct rig_plan plan = {.octets = 300000};
	struct rig_message *m, *next;
	uint64_t announced = 0;
	size_t chunks;
	const char *at;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.ehlo.size_offered = true;
	rig.ehlo.size_limit = 150000;
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	m->req->size = 150000;
	rig_assign(&rig, m);
	next = rig_send(&rig);
	while (rig_pull(&rig, 65536).n > 0)
		continue;
	for (at = buf_str(&rig.out); (at = strstr(at, "\r\nBDAT ")) != NULL;
	     at += 7)
		announced += strtoull(at + 7, NULL, 10);
	assert_true(announced <= 150000 + buf_len(&next->octets));
	chunks = count_chunks(&rig) - 1;
	rig_write(&rig, buf_len(&rig.out));
	rig_say(&rig, RIG_MAIL RIG_RCPT);
	while (chunks-- > 0)
		rig_say(&rig, "250 2.0.0 chunk\r\n");
	rig_say(&rig, RIG_RSET);
	rig_check(m, 0, OUTCOME_BOUNCE, 0, "5.3.4", NULL);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(next);
	rig_fini(&rig);
}

static void
addresses_that_fit_no_line_bounce_alone(void **state)
{
	struct rig_plan sender = {.sender = "a\r\nb@from.test"};
	struct rig_plan rcpt = {.rcpts = 2, .rcpt = "a\r\nb@to.test"};
	struct rig_plan only = {.rcpt = "a\r\nb@to.test"};
	struct rig_message *a, *b, *c, *d;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = rig_add(&rig, &sender);
	b = rig_add(&rig, &rcpt);
	c = rig_add(&rig, &only);
	rig_assign(&rig, a);
	rig_assign(&rig, b);
	rig_assign(&rig, c);
	d = rig_send(&rig);
	rig_expect(&rig,
	    "RSET\r\nMAIL FROM:<s2@from.test>\r\n"
	    "RCPT TO:<r2.1.250@to.test>\r\n" CONTENT(
		"2") "RSET\r\nMAIL "
		     "FROM:<s3@from.test>\r\nRSET\r\n" MESSAGE("4"));
	rig_check(a, 0, OUTCOME_BOUNCE, 0, "5.1.3", NULL);
	rig_say(&rig, RIG_NEXT_SENT);
	rig_check(b, 0, OUTCOME_BOUNCE, 0, "5.1.3", NULL);
	rig_check(b, 1, OUTCOME_SENT, 250, "2.0.0", NULL);
	rig_say(&rig, RIG_RSET RIG_MAIL);
	rig_check(c, 0, OUTCOME_BOUNCE, 0, "5.1.3", NULL);
	rig_say(&rig, RIG_NEXT_SENT);
	rig_check_sent(d);
	rig_fini(&rig);
}

/* "250 ok" to everything, but for a RSET, which is the last. */
static void
answer(struct rig *rig, bool is_rset)
{
	rig_say(rig, is_rset ? RIG_RSET : "250 ok\r\n");
}

/* Commands count too: a request with very many recipients. */
static void
window_in_octets_is_kept(void **state)
{
	struct rig_plan plan = {.rcpts = RIG_RCPTS_MAX, .octets = 300000};
	struct rig_message *m;
	struct rig rig;
	size_t steps = 0;
	bool is_rset = false;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.set.lane_pipeline_bytes = 1000;
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	assert_false(session_has_room(rig.session, 1, 50, rig.now.us));
	while (m->is_inside) {
		while (rig_pull(&rig, 65536).n > 0) {
			is_rset = slice_eq(buf_slice(&rig.out), "RSET\r\n");
			rig_write(&rig, buf_len(&rig.out));
		}
		/* One chunk is always allowed to go, alone. */
		assert_true(session_octets_unanswered(rig.session) < 75000);
		if (steps < 32)
			assert_true(
			    session_octets_unanswered(rig.session) < 1100);
		answer(&rig, is_rset);
		assert_true(++steps < 1000);
	}
	rig_check_sent(m);
	rig_fini(&rig);
}

static void
probe_asks_for_recipients_and_sends_nothing(void **state)
{
	struct rig_plan plan = {.rcpts = 3, .flags = REQUEST_MTA_VRFY};
	struct rig_message *p, *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	p = rig_add(&rig, &plan);
	rig_assign(&rig, p);
	m = rig_send(&rig);
	rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n"
			 "RCPT TO:<r1.0.250@to.test>\r\n"
			 "RCPT TO:<r1.1.250@to.test>\r\n"
			 "RCPT TO:<r1.2.250@to.test>\r\n"
			 "RSET\r\n" MESSAGE("2"));
	rig_say(&rig, "250 ok\r\n250 2.1.5 a\r\n550 5.1.1 b\r\n450 c\r\n");
	assert_true(p->is_inside);
	rig_say(&rig, RIG_RSET);
	assert_int_equal(p->done, 1);
	rig_check(p, 0, OUTCOME_SENT, 250, "2.1.5", "250 2.1.5 a");
	rig_check(p, 1, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
	rig_check(p, 2, OUTCOME_DEFER, 450, "4.0.0", NULL);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(m);
	rig_fini(&rig);
}

static void
probe_of_target_data_hangs_up_at_354(void **state)
{
	static char target[] = "data";
	struct rig_plan plan = {.flags = REQUEST_MTA_VRFY};
	struct rig_message *a, *p, *b;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.set.smtp_address_verify_target = target;
	rig_open(&rig);
	a = rig_send(&rig);
	p = rig_add(&rig, &plan);
	rig_assign(&rig, p);
	b = rig_send(&rig);
	rig_expect(&rig, MESSAGE("1") "RSET\r\n" ENVELOPE("2") "DATA\r\n");
	rig_say(&rig, RIG_SENT RIG_RSET RIG_MAIL RIG_RCPT);
	rig_check_sent(a);
	rig_say(&rig, "354 go\r\n");
	rig_check(p, 0, OUTCOME_SENT, 354, "2.0.0", NULL);
	rig_check_over(&rig, SESSION_END_OURS, false);
	rig_check_returned(b, 0);
	rig_fini(&rig);
}

static void
probe_of_target_data_lives_when_refused(void **state)
{
	static char target[] = "data";
	struct rig_plan plan = {.flags = REQUEST_USR_VRFY};
	struct rig_message *p, *b;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.set.smtp_address_verify_target = target;
	rig_open(&rig);
	p = rig_add(&rig, &plan);
	rig_assign(&rig, p);
	b = rig_send(&rig);
	rig_expect(&rig, ENVELOPE("1") "DATA\r\n");
	rig_say(&rig, "250 ok\r\n550 5.1.1 no\r\n554 none\r\n");
	rig_expect(&rig, "RSET\r\n" MESSAGE("2"));
	rig_say(&rig, RIG_RSET);
	rig_check(p, 0, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
	rig_say(&rig, RIG_SENT);
	rig_check_sent(b);
	rig_fini(&rig);
}

/* Storage of the session and of its output while 20 MB go through. */
static void
large_message_costs_a_quarter_megabyte_at_most(void **state)
{
	struct rig_plan plan = {.octets = 20 << 20};
	struct rig_message *m;
	size_t chunks = 0;
	int64_t before, most = 0;
	bool is_rset = false;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	before = fixture_heap();
	rig_assign(&rig, m);
	while (m->is_inside) {
		(void)rig_pull(&rig, 65536);
		if (fixture_heap() - before > most)
			most = fixture_heap() - before;
		if (buf_len(&rig.out) > 0) {
			is_rset = slice_eq(buf_slice(&rig.out), "RSET\r\n");
			rig_write(&rig, buf_len(&rig.out));
			continue;
		}
		chunks++;
		answer(&rig, is_rset);
		assert_true(chunks < 1000);
	}
	rig_check_sent(m);
	print_message("most: %lld octets\n", (long long)most);
	assert_true(most <= 256 * 1024);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(window_goes_out_in_one_write_with_rset_between),
	    cmocka_unit_test(
		server_that_knows_no_bdat_gets_the_message_by_data),
	    cmocka_unit_test(server_that_took_a_chunk_means_the_message),
	    cmocka_unit_test(
		verdict_is_the_first_refusal_not_the_noise_behind_it),
	    cmocka_unit_test(recipients_are_judged_one_by_one),
	    cmocka_unit_test(
		mail_answered_503_is_returned_even_when_the_content_is_accepted),
	    cmocka_unit_test(no_command_follows_a_refusal_that_is_known),
	    cmocka_unit_test(
		large_message_goes_in_chunks_and_an_early_refusal_stops_it),
	    cmocka_unit_test(
		reply_in_the_middle_of_a_chunk_leaves_the_stream_in_step),
	    cmocka_unit_test(
		success_is_not_believed_before_the_last_octet_was_written),
	    cmocka_unit_test(corrupt_message_is_taken_back_by_rset),
	    cmocka_unit_test(
		unreadable_message_is_deferred_and_the_session_lives),
	    cmocka_unit_test(
		refused_messages_shrink_the_window_and_end_the_session),
	    cmocka_unit_test(too_big_or_utf8_is_refused_without_an_octet),
	    cmocka_unit_test(
		no_more_octets_are_announced_than_the_server_takes),
	    cmocka_unit_test(addresses_that_fit_no_line_bounce_alone),
	    cmocka_unit_test(window_in_octets_is_kept),
	    cmocka_unit_test(probe_asks_for_recipients_and_sends_nothing),
	    cmocka_unit_test(probe_of_target_data_hangs_up_at_354),
	    cmocka_unit_test(probe_of_target_data_lives_when_refused),
	    cmocka_unit_test(large_message_costs_a_quarter_megabyte_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
