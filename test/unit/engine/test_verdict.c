#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/verdict.h"

static const struct peer peer = {.host = "mx.test",
    .addr = "192.0.2.1",
    .port = "587",
    .tls = "verified",
    .is_tls = true};

static const struct verdict_source from = {.peer = &peer,
    .conn_use = 3,
    .dsn_offered = true,
    .conn_done = {1000, 1},
    .now = {1002, 2}};

static struct reply_parser parser;

static const struct reply *
reply_of(const char *text)
{
	size_t used;

	reply_parser_fini(&parser);
	reply_parser_init(&parser);
	assert_int_equal(
	    reply_feed(&parser, text, strlen(text), &used), REPLY_DONE);
	return reply_get(&parser);
}

static void
class_of_the_code_decides(void **state)
{
	static const struct {
		const char *reply;
		enum meaning meaning, of_data;
	} cases[] = {
	    {"250 ok\r\n", MEANING_OK, MEANING_DEFER},
	    {"299 ok\r\n", MEANING_OK, MEANING_DEFER},
	    {"354 go\r\n", MEANING_DEFER, MEANING_OK},
	    {"421 bye\r\n", MEANING_ELSEWHERE, MEANING_ELSEWHERE},
	    {"420 hm\r\n", MEANING_DEFER, MEANING_DEFER},
	    {"450 later\r\n", MEANING_DEFER, MEANING_DEFER},
	    {"500 what\r\n", MEANING_BOUNCE, MEANING_BOUNCE},
	    {"599 what\r\n", MEANING_BOUNCE, MEANING_BOUNCE},
	    {"600 what\r\n", MEANING_DEFER, MEANING_DEFER},
	    {"999 what\r\n", MEANING_DEFER, MEANING_DEFER},
	    {"199 what\r\n", MEANING_DEFER, MEANING_DEFER},
	    {"000 what\r\n", MEANING_DEFER, MEANING_DEFER},
	};
	static const enum command_kind kinds[] = {COMMAND_MAIL, COMMAND_RCPT,
	    COMMAND_BODY, COMMAND_BDAT, COMMAND_BDAT_LAST};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct reply *reply = reply_of(cases[i].reply);

		for (size_t k = 0; k < 5; k++)
			assert_int_equal(
			    verdict_judge(kinds[k], reply), cases[i].meaning);
		assert_int_equal(
		    verdict_judge(COMMAND_DATA, reply), cases[i].of_data);
	}
}

static void
words_and_status_are_those_of_the_mail_system(void **state)
{
	static const struct {
		enum outcome outcome;
		enum command_kind kind;
		const char *reply;
		int code;
		const char *status, *text, *diag;
	} cases[] = {
	    {OUTCOME_SENT, COMMAND_BDAT_LAST, "250 2.6.0 queued as 9\r\n", 250,
		"2.6.0", "250 2.6.0 queued as 9", "250 2.6.0 queued as 9"},
	    {OUTCOME_SENT, COMMAND_BODY, "250 Ok\r\n", 250, "2.0.0", "250 Ok",
		"250 Ok"},
	    {OUTCOME_BOUNCE, COMMAND_RCPT, "550 5.1.1 who\r\n", 550, "5.1.1",
		"host mx.test[192.0.2.1] said: 550 5.1.1 who "
		"(in reply to RCPT TO command)",
		"550 5.1.1 who"},
	    {OUTCOME_DEFER, COMMAND_MAIL, "451-4.7.1 a\r\n451 4.7.1 b\r\n", 451,
		"4.7.1",
		"host mx.test[192.0.2.1] said: 451-4.7.1 a 451 4.7.1 b "
		"(in reply to MAIL FROM command)",
		"451-4.7.1 a 451 4.7.1 b"},
	    {OUTCOME_DEFER, COMMAND_DATA, "550 5.7.1 no\r\n", 550, "4.7.1",
		"host mx.test[192.0.2.1] said: 550 5.7.1 no "
		"(in reply to DATA command)",
		"550 5.7.1 no"},
	    {OUTCOME_BOUNCE, COMMAND_BODY, "554 no\r\n", 554, "5.0.0",
		"host mx.test[192.0.2.1] said: 554 no "
		"(in reply to end of DATA command)",
		"554 no"},
	    {OUTCOME_BOUNCE, COMMAND_BDAT_LAST, "554 no\r\n", 554, "5.0.0",
		"host mx.test[192.0.2.1] said: 554 no "
		"(in reply to end of DATA command)",
		"554 no"},
	    {OUTCOME_DEFER, COMMAND_MAIL, "354 go\r\n", 354, "4.5.0",
		"Protocol error: host mx.test[192.0.2.1] said: 354 go "
		"(in reply to MAIL FROM command)",
		"354 go"},
	    {OUTCOME_DEFER, COMMAND_RCPT, "450 a\001b\r\n", 450, "4.0.0",
		"host mx.test[192.0.2.1] said: 450 a?b "
		"(in reply to RCPT TO command)",
		"450 a?b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct verdict *v = verdict_from_reply(cases[i].outcome, &from,
		    cases[i].kind, reply_of(cases[i].reply));

		assert_int_equal(v->outcome, cases[i].outcome);
		assert_string_equal(v->dsn.status, cases[i].status);
		assert_string_equal(v->dsn.text, cases[i].text);
		assert_int_equal(v->dsn.smtp_code, cases[i].code);
		assert_string_equal(v->diag_text, cases[i].diag);
		assert_string_equal(v->mta_name, "mx.test");
		verdict_free(&v);
	}
}

static void
verdict_carries_its_session(void **state)
{
	struct peer plain = peer;
	struct verdict_source source = from;
	struct verdict *v;

	(void)state;
	v = verdict_from_reply(
	    OUTCOME_SENT, &source, COMMAND_BODY, reply_of("250 ok\r\n"));
	assert_string_equal(v->relay, "mx.test[192.0.2.1]:587");
	assert_string_equal(v->tls, "verified");
	assert_int_equal(v->conn_use, 3);
	assert_true(v->dsn_offered);
	assert_int_equal(v->conn_done.tv_sec, 1000);
	assert_int_equal(v->deliver_done.tv_sec, 1002);
	verdict_free(&v);

	plain.tls[0] = '\0';
	source.peer = &plain;
	v = verdict_local(OUTCOME_BOUNCE, &source, "5.3.4", "size %d", 7);
	assert_null(v->tls);
	assert_null(v->diag_text);
	assert_null(v->mta_name);
	assert_string_equal(v->dsn.text, "size 7");
	assert_string_equal(v->dsn.status, "5.3.4");
	assert_int_equal(v->dsn.smtp_code, 0);
	verdict_free(&v);
}

static void
verdict_without_a_session_has_no_relay(void **state)
{
	struct verdict *v;
	struct dsn dsn;

	(void)state;
	dsn_set(&dsn, "4.4.1", "connect to mx.test: refused");
	v = verdict_from_dsn(OUTCOME_DEFER, NULL, &dsn, "454 no");
	assert_string_equal(v->relay, "none");
	assert_string_equal(v->diag_text, "454 no");
	assert_null(v->mta_name);
	assert_int_equal(v->conn_done.tv_sec, 0);
	assert_string_equal(v->dsn.text, "connect to mx.test: refused");
	verdict_free(&v);
	assert_null(v);
	v = verdict_from_dsn(OUTCOME_DEFER, &from, &dsn, "454 no");
	assert_string_equal(v->mta_name, "mx.test");
	verdict_free(&v);
}

static void
loss_is_told_with_its_stage_and_doubt(void **state)
{
	static const struct {
		enum command_kind kind;
		const char *doing;
	} cases[] = {
	    {COMMAND_RSET, "sending RSET"},
	    {COMMAND_MAIL, "sending MAIL FROM"},
	    {COMMAND_RCPT, "sending RCPT TO"},
	    {COMMAND_DATA, "sending DATA command"},
	    {COMMAND_BODY, "sending message body"},
	    {COMMAND_BDAT, "sending message body"},
	    {COMMAND_BDAT_LAST, "sending message body"},
	    {COMMAND_QUIT, "sending QUIT command"},
	};
	struct dsn dsn;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		verdict_lost(
		    &dsn, &peer, cases[i].kind, false, LOSS_CONNECTION);
		assert_non_null(strstr(dsn.text, cases[i].doing));
		assert_memory_equal(dsn.text,
		    "lost connection with mx.test[192.0.2.1] while ", 46);
		assert_string_equal(dsn.status, "4.4.2");
		assert_false(dsn.maybe_accepted);
	}
	verdict_lost(&dsn, &peer, COMMAND_BODY, true, LOSS_CONNECTION);
	assert_true(dsn.maybe_accepted);
	assert_string_equal(dsn.text,
	    "lost connection with mx.test[192.0.2.1] while sending end of data "
	    "-- message may be sent more than once");
	verdict_lost(&dsn, &peer, COMMAND_RCPT, false, LOSS_TIMEOUT);
	assert_string_equal(dsn.text,
	    "conversation with mx.test[192.0.2.1] timed out while sending "
	    "RCPT TO");
}

static int
setup(void **state)
{
	(void)state;
	reply_parser_init(&parser);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	reply_parser_fini(&parser);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(class_of_the_code_decides),
	    cmocka_unit_test(words_and_status_are_those_of_the_mail_system),
	    cmocka_unit_test(verdict_carries_its_session),
	    cmocka_unit_test(verdict_without_a_session_has_no_relay),
	    cmocka_unit_test(loss_is_told_with_its_stage_and_doubt),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
