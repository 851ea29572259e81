#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/manner.h"

enum { NOW = 5000 };

static uint64_t
wording_of(const char *text)
{
	struct reply_parser parser;
	uint64_t wording;
	size_t used;

	reply_parser_init(&parser);
	assert_int_equal(
	    reply_feed(&parser, text, strlen(text), &used), REPLY_DONE);
	wording = manner_wording(reply_get(&parser));
	reply_parser_fini(&parser);
	return wording;
}

/* As Postfix, Exim, Gmail and Exchange answer. */
static void
wording_is_the_words_and_not_what_varies(void **state)
{
	static const char *const same[][2] = {
	    {"250 2.0.0 Ok: queued as 4YBcdf0\r\n",
		"250 2.0.0 Ok: queued as 4ZZxyz1\r\n"},
	    {"250 OK id=1tG0a1-00000A-2b\r\n",
		"250 OK id=1tH9zz-0000B1-Xy\r\n"},
	    {"250 2.0.0 OK  1700000000 a1b2-c3 - gsmtp\r\n",
		"250 2.0.0 OK  1800000000 z9y8-x7 - gsmtp\r\n"},
	};
	static const char *const different[][2] = {
	    {"250 2.0.0 Ok\r\n", "250 2.0.0 Ok: queued as 4YBcdf0\r\n"},
	    {"250 2.1.0 Ok\r\n", "250 2.1.5 Ok\r\n"},
	    {"250 OK\r\n", "250 OK id=1tG0a1-00000A-2b\r\n"},
	    {"250 OK\r\n", "251 OK\r\n"},
	    {"250 2.1.0 Sender OK\r\n", "250 2.1.0 Recipient OK\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_true(wording_of(same[i][0]) == wording_of(same[i][1]));
	for (size_t i = 0; i < 5; i++)
		assert_true(
		    wording_of(different[i][0]) != wording_of(different[i][1]));
}

static void
only_what_answers_one_kind_tells_a_place(void **state)
{
	struct manner m;

	(void)state;
	manner_init(&m);
	manner_learn(&m, ANSWER_RSET, 1);
	manner_learn(&m, ANSWER_MAIL, 1);
	manner_learn(&m, ANSWER_RCPT, 2);
	assert_false(manner_tells_ends(&m));
	manner_learn(&m, ANSWER_END, 3);
	assert_true(manner_tells_ends(&m));
	assert_int_equal(manner_only(&m, 1), ANSWER_KINDS);
	assert_int_equal(manner_only(&m, 2), ANSWER_RCPT);
	assert_int_equal(manner_only(&m, 4), ANSWER_KINDS);
	assert_false(manner_is_known(&m, ANSWER_RSET));
	manner_learn(&m, ANSWER_CHUNK, 3);
	assert_false(manner_tells_ends(&m));
	manner_learn(&m, ANSWER_END, 5); /* another host of that name */
	assert_true(manner_tells_ends(&m));
	(void)manner_lost_place(&m, SESSION_BDAT, NOW);
	assert_int_equal(manner_only(&m, 2), ANSWER_KINDS);
}

static void
lessons_last_for_days_and_over_processes(void **state)
{
	struct manner m, next;

	(void)state;
	manner_init(&m);
	assert_int_equal(manner_pack(&m), 0);
	assert_true(manner_slow_down(&m, SESSION_OVERLAP, NOW));
	assert_false(manner_slow_down(&m, SESSION_OVERLAP, NOW));
	assert_true(manner_without_rset(&m, NOW));
	assert_false(manner_without_rset(&m, NOW));
	assert_int_equal(manner_fastest(&m, NOW), SESSION_GROUP);
	manner_init(&next);
	manner_load(&next, manner_pack(&m), NOW - MANNER_MEMORY_US, NOW);
	assert_int_equal(next.fastest, SESSION_BDAT);
	manner_load(&next, 7, NOW, NOW);
	manner_load(&next, 16, NOW, NOW);
	manner_load(&next, -1, NOW, NOW);
	assert_int_equal(next.fastest, SESSION_BDAT);
	manner_load(&next, manner_pack(&m), -1000, NOW);
	assert_int_equal(manner_fastest(&next, NOW), SESSION_GROUP);
	assert_true(next.no_rset);
	assert_int_equal(
	    manner_fastest(&next, MANNER_MEMORY_US - 1000), SESSION_BDAT);
	assert_false(next.no_rset);
}

/* Once may happen to any server. */
static void
places_lost_often_slow_down(void **state)
{
	struct manner m;

	(void)state;
	manner_init(&m);
	for (int i = 0; i < 5; i++) {
		assert_false(manner_lost_place(&m, SESSION_BDAT, NOW));
		for (int k = 0; k < MANNER_LOST_APART; k++)
			manner_taken(&m);
	}
	assert_false(manner_lost_place(&m, SESSION_BDAT, NOW));
	assert_false(manner_lost_place(&m, SESSION_BDAT, NOW));
	assert_true(manner_lost_place(&m, SESSION_BDAT, NOW));
	assert_int_equal(m.fastest, SESSION_OVERLAP);
	/* Sessions that talked as before teach nothing. */
	for (int i = 0; i < 5; i++)
		assert_false(manner_lost_place(&m, SESSION_BDAT, NOW));
	assert_int_equal(m.fastest, SESSION_OVERLAP);
}

/* The next process need not send a message alone to find them out. */
static void
wordings_that_tell_ends_outlive_the_process(void **state)
{
	const uint64_t mail = wording_of("250 2.1.0 Ok\r\n");
	const uint64_t end = wording_of("250 2.0.0 Ok: queued as 4YBcdf0\r\n");
	const uint64_t half[2] = {mail, end};
	struct manner m, next;
	uint64_t packed[2];

	(void)state;
	manner_init(&m);
	manner_init(&next);
	manner_learn(&m, ANSWER_RSET, wording_of("250 2.0.0 Ok\r\n"));
	manner_learn(&m, ANSWER_MAIL, mail);
	manner_learn(&m, ANSWER_RCPT, mail);
	manner_pack_wordings(&m, packed);
	assert_true(packed[0] == 0 && packed[1] == 0);
	assert_false(m.is_seen);
	manner_learn(&m, ANSWER_RCPT, wording_of("250 2.1.5 Ok\r\n"));
	manner_learn(&m, ANSWER_END, end);
	assert_true(m.is_seen);
	manner_pack_wordings(&m, packed);
	assert_true(packed[0] >> 56 == 0 && packed[1] >> 56 == 0);

	manner_load_wordings(&next, half);
	assert_false(manner_tells_ends(&next));
	manner_load_wordings(&next, packed);
	assert_true(manner_tells_ends(&next));
	assert_int_equal(manner_only(&next, end), ANSWER_END);
	assert_false(next.is_seen);
	manner_learn(&next, ANSWER_END, end);
	assert_true(next.is_seen);

	/* Nothing of a server whose replies lost their place. */
	(void)manner_lost_place(&next, SESSION_BDAT, NOW);
	manner_pack_wordings(&next, packed);
	assert_true(packed[0] == 0 && packed[1] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wordings_that_tell_ends_outlive_the_process),
	    cmocka_unit_test(wording_is_the_words_and_not_what_varies),
	    cmocka_unit_test(only_what_answers_one_kind_tells_a_place),
	    cmocka_unit_test(lessons_last_for_days_and_over_processes),
	    cmocka_unit_test(places_lost_often_slow_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
