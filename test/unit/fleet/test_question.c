/* Answers of an engine, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "agent/fleet/question.h"

static const struct fleet_terms terms = {
    .size = 2, .limit = 20, .ttl_us = 30000000};
static const struct fleet_question asked = {.host = "h1",
    .nonce = 0xabc,
    .epoch = 3,
    .number = 4,
    .want = 5,
    .cap = 25,
    .in_use = 6,
    .echo = 7,
    .left_us = 8,
    .seen = 9,
    .since_us = 10,
    .life = "life:1"};

static bool
read_text(const char *resp, struct fleet_answer *out)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;
	bool is_answer;

	assert_int_equal(redisReaderFeed(reader, resp, strlen(resp)), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	assert_non_null(reply);
	is_answer = question_read_answer(reply, &terms, &asked, out);
	freeReplyObject(reply);
	redisReaderFree(reader);
	return is_answer;
}

#define GOOD "*8\r\n$2\r\nOK\r\n:12\r\n:31000000\r\n:1000000\r\n:2\r\n:15\r\n"

static void
answer_is_read(void **state)
{
	struct fleet_answer a;

	(void)state;
	assert_true(read_text(GOOD "$6\r\nlife:2\r\n$9\r\n2 7 17 h2\r\n", &a));
	assert_int_equal(a.word, FLEET_OK);
	assert_int_equal(a.share, 12);
	assert_int_equal(a.end, 31000000);
	assert_int_equal(a.at, 1000000);
	assert_int_equal(a.known, 2);
	assert_int_equal(a.target, 15);
	assert_string_equal(a.life, "life:2");
	assert_int_equal(a.lessons[FLEET_PAUSE].left_us, 0);
	assert_int_equal(a.lessons[FLEET_FEWER].left_us, 7);
	assert_int_equal(a.lessons[FLEET_FEWER].value, 17);
	assert_string_equal(a.lessons[FLEET_FEWER].host, "h2");
	assert_true(read_text("*8\r\n+STALE\r\n:0\r\n:0\r\n:9\r\n:2\r\n:0\r\n"
			      "$0\r\n\r\n$0\r\n\r\n",
	    &a));
	assert_int_equal(a.word, FLEET_STALE);
	/* As much as it says it obeys, while the engine learns. */
	assert_true(read_text("*8\r\n+OK\r\n:25\r\n:9\r\n:9\r\n:2\r\n:20\r\n"
			      "$1\r\nx\r\n$0\r\n\r\n",
	    &a));
}

static void
what_is_no_answer_is_refused(void **state)
{
	static const char *const rows[] = {
	    ":1\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
	    "*7\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n",
	    "*8\r\n+YES\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n:0\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n$1\r\n1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$"
	    "0\r\n\r\n",
	    "*8\r\n+OK\r\n:-1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:26\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:8\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:30000010\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$"
	    "0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9223372036854775807\r\n:9\r\n:2\r\n:1\r\n"
	    "$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:-2\r\n:1\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:21\r\n$1\r\nx\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n:5\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$-1\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n*0\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$64\r\n"
	    "0123456789012345678901234567890123456789012345678901234567890123"
	    "\r\n$0\r\n\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n:0\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n*0\r\n",
	    "*8\r\n+OK\r\n:1\r\n:9\r\n:9\r\n:2\r\n:1\r\n$1\r\nx\r\n$5\r\n"
	    "1 6 0\r\n", /* whose? */
	};
	struct fleet_answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (read_text(rows[i], &a))
			fail_msg("taken for an answer: %s", rows[i]);
}

static void
question_is_in_the_order_of_the_script(void **state)
{
	static const char *const want[] = {"EVALSHA", "sha", "2",
	    "pl:{54b6bdc3951b586f}:messages/1s:hosts",
	    "pl:{54b6bdc3951b586f}:messages/1s:state", "h1", "abc", "3", "4",
	    "2", "20", "1", "30000000", "77", "88", "5", "25", "6", "7", "8",
	    "9", "10", "life:1", ""};
	static const char *const with_lessons = "1 5000000 0";
	struct fleet_terms all = terms;
	struct fleet_question told = asked;
	struct question q;
	char text[64];

	(void)state;
	all.minimum = 1;
	all.linger_us = 77;
	all.forget_us = 88;
	question_make(
	    &q, "sha", "127.0.0.1 lane:wo", "messages/1s", &all, &asked, false);
	assert_int_equal(q.argc, sizeof(want) / sizeof(want[0]));
	for (int i = 0; i < q.argc; i++)
		if (i != 3 && i != 4)
			assert_string_equal(q.argv[i], want[i]);
	/* Of the account's name only its hash. */
	assert_null(strstr(q.argv[3], "wo"));
	assert_non_null(strstr(q.argv[3], "}:messages/1s:hosts"));
	(void)snprintf(text, sizeof(text), "%.*s",
	    (int)(strchr(q.argv[3], '}') - q.argv[3]), q.argv[3]);
	assert_int_equal(strncmp(q.argv[4], text, strlen(text)), 0);
	told.lessons[FLEET_PAUSE].left_us = 5000000;
	question_make(&q, "sha", "127.0.0.1", "connections", &all, &told, true);
	assert_int_equal(q.argc, sizeof(want) / sizeof(want[0]) + 1);
	assert_string_equal(q.argv[2], "3");
	assert_non_null(strstr(q.argv[5], "}:connections:lessons"));
	assert_string_equal(q.argv[q.argc - 1], with_lessons);
	question_make_terms(&q, "127.0.0.1", "connections", &all, "h1");
	assert_int_equal(q.argc, 4);
	assert_string_equal(q.argv[0], "HSET");
	assert_string_equal(q.argv[2], "h1");
	assert_string_equal(q.argv[3], "2 20 1 30000000 77 88");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answer_is_read),
	    cmocka_unit_test(what_is_no_answer_is_refused),
	    cmocka_unit_test(question_is_in_the_order_of_the_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
