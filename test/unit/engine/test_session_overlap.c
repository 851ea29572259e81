#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/session_state.h"
#include "test/support/session_rig.h"

#define ENVELOPE(id)                                                           \
	"MAIL FROM:<s" id "@from.test>\r\nRCPT TO:<r" id ".0.250@to.test>\r\n"
#define GROUP(id) ENVELOPE(id) "DATA\r\n"
#define BODY(id) "id: " id "\r\nend of " id "\r\n.\r\n"

static void
start(struct rig *rig, enum session_mode mode)
{
	rig_init(rig, mode);
	rig_open(rig);
	assert_int_equal(rig->session->mode, mode);
}

static void
content_and_next_envelope_are_one_group(void **state)
{
	struct rig_message *a, *b, *c;
	struct rig rig;

	(void)state;
	start(&rig, SESSION_OVERLAP);
	a = rig_send(&rig);
	assert_true(session_has_room(rig.session, 10, 50, rig.now.us));
	b = rig_send(&rig);
	assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
	rig_expect(&rig, GROUP("1"));
	rig_say(&rig, "250 ok\r\n250 ok\r\n");
	rig_expect(&rig, "");
	rig_say(&rig, "354 go\r\n");
	assert_true(rig.is_kicked);
	rig_expect(&rig, BODY("1") "RSET\r\n" GROUP("2"));
	rig_say(&rig, RIG_TAKEN);
	rig_check(a, 0, OUTCOME_SENT, 250, "2.0.0", "250 2.0.0 taken");
	c = rig_send(&rig);
	session_finish(rig.session, FINISH_SPENT, rig.now.us);
	rig_say(&rig, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
	rig_expect(&rig, BODY("2") "RSET\r\n" GROUP("3"));
	rig_say(&rig, "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
	rig_check_sent(b);
	rig_expect(&rig, BODY("3") "QUIT\r\n");
	rig_say(&rig, "250 ok\r\n221 bye\r\n");
	rig_check_sent(c);
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_fini(&rig);
}

static void
chunking_is_left_alone_when_told_so(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig.set.lane_chunking = false;
	rig_open(&rig);
	assert_int_equal(rig.session->mode, SESSION_OVERLAP);
	rig_fini(&rig);
}

/* Up to the refusal; RSET must come before the next MAIL unless the message
 * was accepted, and only then: Postfix keeps the transaction of one that it
 * refused at its end. */
static void
rset_follows_what_was_not_accepted(void **state)
{
	static const struct {
		const char *to_first, *after; /* replies; what is sent then */
		const char *to_second; /* more replies */
		bool has_rset;
		enum outcome outcome;
		int code;
	} cases[] = {
	    {"550 no\r\n503 no\r\n503 no\r\n", "", "", true, OUTCOME_BOUNCE,
		550},
	    {"450 no\r\n503 no\r\n503 no\r\n", "", "", true, OUTCOME_DEFER,
		450},
	    {"250 ok\r\n550 no\r\n554 none\r\n", "", "", true, OUTCOME_BOUNCE,
		550},
	    {"250 ok\r\n450 no\r\n503 none\r\n", "", "", true, OUTCOME_DEFER,
		450},
	    {"250 ok\r\n250 ok\r\n451 no\r\n", "", "", true, OUTCOME_DEFER,
		451},
	    {"250 ok\r\n250 ok\r\n554 no\r\n", "", "", true, OUTCOME_BOUNCE,
		554},
	    {"250 ok\r\n250 ok\r\n354 go\r\n", BODY("1"), "552 no\r\n", true,
		OUTCOME_BOUNCE, 552},
	    {"250 ok\r\n250 ok\r\n354 go\r\n", BODY("1"), "452 no\r\n", true,
		OUTCOME_DEFER, 452},
	    {"250 ok\r\n250 ok\r\n354 go\r\n", BODY("1"), "250 ok\r\n", false,
		OUTCOME_SENT, 250},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig_message *a, *b;
		struct rig rig;

		print_message("case %zu\n", i);
		start(&rig, SESSION_OVERLAP);
		a = rig_send(&rig);
		rig_expect(&rig, GROUP("1"));
		rig_say(&rig, cases[i].to_first);
		rig_expect(&rig, cases[i].after);
		rig_say(&rig, cases[i].to_second);
		assert_int_equal(a->done, 1);
		assert_int_equal(
		    a->req->rcpts[0].verdict->outcome, cases[i].outcome);
		assert_int_equal(
		    a->req->rcpts[0].verdict->dsn.smtp_code, cases[i].code);
		b = rig_send(&rig);
		rig_expect(&rig,
		    cases[i].has_rset ? "RSET\r\n" GROUP("2") : GROUP("2"));
		if (cases[i].has_rset)
			rig_say(&rig, "250 reset\r\n");
		rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
		rig_expect(&rig, BODY("2"));
		rig_say(&rig, "250 ok\r\n");
		rig_check_sent(b);
		rig_fini(&rig);
	}
}

static void
vain_354_gets_a_lone_dot_and_its_answer_is_no_delivery(void **state)
{
	static const char *const answers[] = {
	    "250 taken\r\n", "554 none\r\n", "451 hm\r\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct rig_message *a, *b;
		struct rig rig;

		start(&rig, SESSION_OVERLAP);
		a = rig_send(&rig);
		b = rig_send(&rig);
		rig_expect(&rig, GROUP("1"));
		rig_say(&rig, "250 ok\r\n550 5.1.1 who\r\n354 go\r\n");
		rig_expect(&rig, ".\r\nRSET\r\n" GROUP("2"));
		rig_say(&rig, answers[i]);
		rig_say(&rig, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
		rig_check(a, 0, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
		rig_expect(&rig, BODY("2"));
		rig_say(&rig, "250 ok\r\n");
		rig_check_sent(b);
		rig_fini(&rig);
	}
}

static void
content_is_never_sent_for_a_foreign_sender(void **state)
{
	static const struct {
		const char *replies;
		bool is_returned;
	} cases[] = {
	    {"503 nested\r\n250 ok\r\n354 go\r\n", true},
	    {"550 no\r\n250 ok\r\n354 go\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rig_message *a, *b;
		struct rig rig;

		start(&rig, SESSION_OVERLAP);
		a = rig_send(&rig);
		b = rig_send(&rig);
		rig_expect(&rig, GROUP("1"));
		rig_say(&rig, cases[i].replies);
		rig_check_over(&rig, SESSION_END_ABORT, false);
		if (cases[i].is_returned)
			rig_check_returned(a, 1);
		else
			rig_check(a, 0, OUTCOME_BOUNCE, 550, "5.0.0", NULL);
		assert_int_equal(b->returned, 1);
		rig_fini(&rig);
	}
}

static void
unreadable_content_after_354_ends_in_silence(void **state)
{
	struct rig_plan plans[] = {
	    {.is_corrupt = true, .octets = 100000},
	    {.is_unreadable = true, .octets = 100000},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rig_message *a, *b;
		struct rig rig;

		start(&rig, SESSION_OVERLAP);
		a = rig_add(&rig, &plans[i]);
		rig_assign(&rig, a);
		b = rig_send(&rig);
		rig_expect(&rig, GROUP("1"));
		rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
		while (!rig.is_over && rig_pull(&rig, 65536).n > 0) {
			assert_null(strstr(buf_str(&rig.out), "\r\n.\r\n"));
			rig_write(&rig, buf_len(&rig.out));
		}
		rig_check_over(&rig, SESSION_END_OURS, false);
		if (i == 0)
			rig_check(a, 0, OUTCOME_BOUNCE, 0, "5.3.0", NULL);
		else
			rig_check(a, 0, OUTCOME_DEFER, 0, "4.3.0", NULL);
		rig_check_returned(b, 0);
		/* A link that has not heard yet may still report octets. */
		rig_write(&rig, buf_len(&rig.out));
		rig_fini(&rig);
	}
}

static void
reply_in_the_middle_of_content_ends_the_session(void **state)
{
	static const struct {
		const char *reply;
		bool is_decided;
	} cases[] = {{"552 5.3.4 enough\r\n", true}, {"250 thanks\r\n", false},
	    {"451 4.3.0 no\r\n", true}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct rig_plan plan = {.octets = 300000};
		struct rig_message *a, *b;
		struct rig rig;

		start(&rig, SESSION_OVERLAP);
		a = rig_add(&rig, &plan);
		rig_assign(&rig, a);
		b = rig_send(&rig);
		rig_expect(&rig, GROUP("1"));
		rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
		(void)rig_pull(&rig, 1000);
		rig_write(&rig, buf_len(&rig.out));
		rig_say(&rig, cases[i].reply);
		rig_check_over(&rig,
		    cases[i].is_decided ? SESSION_END_OURS : SESSION_END_ABORT,
		    false);
		if (cases[i].is_decided)
			assert_int_equal(a->done, 1);
		else
			rig_check_returned(a, 1);
		rig_check_returned(b, 0);
		rig_fini(&rig);
	}
}

static void
dots_are_doubled(void **state)
{
	struct rig_plan plan = {.octets = 5};
	struct rig_message *m;
	struct rig rig;

	(void)state;
	start(&rig, SESSION_OVERLAP);
	m = rig_add(&rig, &plan);
	assert_string_equal(
	    buf_str(&m->octets), "id: 1\r\n.bbbb\r\nend of 1\r\n");
	rig_assign(&rig, m);
	rig_expect(&rig, GROUP("1"));
	rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
	rig_expect(&rig, "id: 1\r\n..bbbb\r\nend of 1\r\n.\r\n");
	rig_fini(&rig);
}

/* OpenSMTPD hangs up on anything else. */
static void
lockstep_sends_nothing_before_the_reply(void **state)
{
	struct rig_plan plan = {.rcpts = 2};
	struct rig_message *a, *b;
	struct rig rig;

	(void)state;
	start(&rig, SESSION_LOCKSTEP);
	a = rig_add(&rig, &plan);
	rig_assign(&rig, a);
	assert_false(session_has_room(rig.session, 10, 50, rig.now.us));
	b = rig_send(&rig);
	session_finish(rig.session, FINISH_SPENT, rig.now.us);
	rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n");
	rig_say(&rig, "250 ");
	rig_expect(&rig, "");
	rig_say(&rig, "ok\r\n");
	rig_expect(&rig, "RCPT TO:<r1.0.250@to.test>\r\n");
	rig_say(&rig, "250 ok\r\n");
	rig_expect(&rig, "RCPT TO:<r1.1.250@to.test>\r\n");
	rig_say(&rig, "550 ok\r\n");
	rig_expect(&rig, "DATA\r\n");
	rig_say(&rig, "354 go\r\n");
	rig_expect(&rig, BODY("1"));
	rig_say(&rig, "250 ok\r\n");
	rig_check(a, 0, OUTCOME_SENT, 250, "2.0.0", NULL);
	rig_check(a, 1, OUTCOME_BOUNCE, 550, "5.0.0", NULL);
	rig_expect(&rig, "MAIL FROM:<s2@from.test>\r\n");
	rig_say(&rig, "250 ok\r\n");
	rig_expect(&rig, "RCPT TO:<r2.0.250@to.test>\r\n");
	rig_say(&rig, "550 no\r\n");
	rig_expect(&rig, "QUIT\r\n");
	rig_check(b, 0, OUTCOME_BOUNCE, 550, "5.0.0", NULL);
	rig_say(&rig, "221 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	rig_fini(&rig);
}

static void
lockstep_resets_after_a_refusal(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig, SESSION_LOCKSTEP);
	(void)rig_send(&rig);
	(void)rig_send(&rig);
	rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n");
	rig_say(&rig, "550 no\r\n");
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, "250 ok\r\n");
	rig_expect(&rig, "MAIL FROM:<s2@from.test>\r\n");
	rig_fini(&rig);
}

static void
probe_resets_and_carries_no_content(void **state)
{
	static const enum session_mode modes[] = {
	    SESSION_OVERLAP, SESSION_LOCKSTEP};
	struct rig_plan plan = {.flags = REQUEST_MTA_VRFY};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rig_message *p;
		struct rig rig;

		start(&rig, modes[i]);
		p = rig_add(&rig, &plan);
		rig_assign(&rig, p);
		if (modes[i] == SESSION_LOCKSTEP) {
			rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n");
			rig_say(&rig, "250 ok\r\n");
			rig_expect(&rig, "RCPT TO:<r1.0.250@to.test>\r\n");
			rig_say(&rig, "250 ok\r\n");
			rig_expect(&rig, "RSET\r\n");
		} else {
			rig_expect(&rig, ENVELOPE("1") "RSET\r\n");
			rig_say(&rig, "250 ok\r\n250 ok\r\n");
		}
		rig_say(&rig, "250 ok\r\n");
		rig_check_sent(p);
		(void)rig_send(&rig);
		rig_expect(
		    &rig, i == 0 ? GROUP("2") : "MAIL FROM:<s2@from.test>\r\n");
		rig_fini(&rig);
	}
}

#define RSET_REFUSED_503                                                       \
	"503 pipelined\r\n503 pipelined\r\n503 pipelined\r\n503 pipelined\r\n"

/* Haraka 3.3: 503 to each command that stood behind the final dot. The session
 * lives on, one message at a time; where the message before was not taken, 503
 * may mean an open transaction. */
static void
server_that_takes_nothing_behind_the_dot_is_learned(void **state)
{
	struct rig_message *a, *b, *c;
	struct rig rig;

	(void)state;
	start(&rig, SESSION_OVERLAP);
	a = rig_send(&rig);
	b = rig_send(&rig);
	rig_expect(&rig, GROUP("1"));
	rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
	rig_expect(&rig, BODY("1") "RSET\r\n" GROUP("2"));
	rig_say(&rig, "250 2.0.0 taken\r\n" RSET_REFUSED_503);
	rig_check_sent(a);
	rig_check_returned(b, 0);
	assert_false(session_is_finishing(rig.session));
	assert_int_equal(rig.manner.fastest, SESSION_GROUP);
	assert_false(rig.manner.no_rset);
	assert_false(session_has_room(rig.session, 10, 50, rig.now.us) &&
		     session_load(rig.session) > 0);
	rig_assign(&rig, b);
	rig_expect(&rig, "RSET\r\n" GROUP("2"));
	rig_say(&rig, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
	c = rig_send(&rig);
	rig_expect(&rig, BODY("2"));
	rig_say(&rig, "250 2.0.0 taken\r\n");
	rig_check_sent(b);
	rig_expect(&rig, GROUP("3"));
	session_finish(rig.session, FINISH_SPENT, rig.now.us);
	rig_say(&rig, "250 ok\r\n250 ok\r\n354 go\r\n");
	rig_expect(&rig, BODY("3"));
	rig_say(&rig, "250 2.0.0 taken\r\n");
	rig_check_sent(c);
	rig_expect(&rig, "QUIT\r\n");
	rig_fini(&rig);
}

/* 503 to a group whose MAIL was taken: heard again one command at a time. What
 * is refused then, too, is refused. */
static void
server_that_takes_no_group_is_learned(void **state)
{
	for (int is_refused = 0; is_refused <= 1; is_refused++) {
		struct rig_message *m;
		struct rig rig;

		(void)state;
		start(&rig, SESSION_OVERLAP);
		m = rig_send(&rig);
		rig_expect(&rig, GROUP("1"));
		rig_say(&rig, "250 ok\r\n503 one by one\r\n503 no\r\n");
		rig_check_returned(m, 0);
		rig_assign(&rig, m);
		rig_expect(&rig, "RSET\r\n");
		rig_say(&rig, "250 ok\r\n");
		rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n");
		rig_say(&rig, "250 ok\r\n");
		rig_expect(&rig, "RCPT TO:<r1.0.250@to.test>\r\n");
		rig_say(&rig, is_refused ? "503 not you\r\n" : "250 ok\r\n");
		assert_int_equal(rig.manner.fastest,
		    is_refused ? SESSION_BDAT : SESSION_LOCKSTEP);
		rig_expect(&rig, is_refused ? "" : "DATA\r\n");
		if (is_refused)
			rig_check(m, 0, OUTCOME_BOUNCE, 503, "5.0.0", NULL);
		rig_fini(&rig);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		server_that_takes_nothing_behind_the_dot_is_learned),
	    cmocka_unit_test(server_that_takes_no_group_is_learned),
	    cmocka_unit_test(content_and_next_envelope_are_one_group),
	    cmocka_unit_test(chunking_is_left_alone_when_told_so),
	    cmocka_unit_test(rset_follows_what_was_not_accepted),
	    cmocka_unit_test(
		vain_354_gets_a_lone_dot_and_its_answer_is_no_delivery),
	    cmocka_unit_test(content_is_never_sent_for_a_foreign_sender),
	    cmocka_unit_test(unreadable_content_after_354_ends_in_silence),
	    cmocka_unit_test(reply_in_the_middle_of_content_ends_the_session),
	    cmocka_unit_test(dots_are_doubled),
	    cmocka_unit_test(lockstep_sends_nothing_before_the_reply),
	    cmocka_unit_test(lockstep_resets_after_a_refusal),
	    cmocka_unit_test(probe_resets_and_carries_no_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
