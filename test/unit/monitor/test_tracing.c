#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/tracing.h"

static bool
take(struct tracing *t, const char *text, struct tracing_line *out)
{
	static char line[300];

	(void)snprintf(line, sizeof(line), "%s", text);
	return tracing_take(t, line, out);
}

static void
tracing_knows_time_and_message_of_a_line(void **state)
{
	struct tracing t;
	struct tracing_line l;

	(void)state;
	tracing_init(&t);
	assert_true(take(&t, "1000000 s1 4ABC > MAIL FROM:<a@b> SIZE=1", &l));
	assert_int_equal(l.wall_us, 1000000);
	assert_int_equal(l.since_us, -1);
	assert_string_equal(l.session, "s1");
	assert_string_equal(l.queue_id, "4ABC");
	assert_int_equal(l.way, '>');
	assert_string_equal(l.text, "MAIL FROM:<a@b> SIZE=1");
	assert_true(take(&t, "1000500 s2 - < 220 hello", &l));
	assert_int_equal(l.since_us, -1);
	assert_string_equal(l.queue_id, "");
	assert_true(take(&t, "1002500 s1 4ABC < 250 \x1b Ok", &l));
	assert_int_equal(l.since_us, 2500);
	assert_string_equal(l.text, "250 ? Ok");
	/* A clock that was set back is no time. */
	assert_true(take(&t, "900 s1 4ABC < 250 Ok", &l));
	assert_int_equal(l.since_us, 0);
	tracing_fini(&t);
}

static void
tracing_counts_each_message_once(void **state)
{
	struct tracing t;
	struct tracing_line l;

	(void)state;
	tracing_init(&t);
	assert_true(take(&t, "1 - - ! what follows is live", &l));
	assert_true(take(&t, "1 - 4A = to=<a@b>, status=sent (x)", &l));
	assert_true(take(&t, "2 - 4A = to=<c@b>, status=sent (x)", &l));
	assert_true(take(&t, "3 s1 4B < 250 Ok", &l));
	assert_int_equal(t.decided_count, 1);
	assert_true(take(&t, "3 - 4B = to=<c@b>, status=deferred (x)", &l));
	assert_int_equal(t.decided_count, 2);
	tracing_fini(&t);
}

static void
tracing_takes_nothing_else(void **state)
{
	static const char *const lines[] = {"", "1", "1 s1 4A", "x s1 4A > a",
	    "1 s1 4A ? a", "1 s1 4A >> a", "-1 s1 4A > a", "1  4A > a",
	    "1 s1 4A >"};
	struct tracing t;
	struct tracing_line l;

	(void)state;
	tracing_init(&t);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(take(&t, lines[i], &l));
	tracing_fini(&t);
}

static void
tracing_forgets_the_session_heard_of_least_lately(void **state)
{
	struct tracing t;
	struct tracing_line l;
	char text[60];

	(void)state;
	tracing_init(&t);
	for (int i = 0; i < TRACING_SESSIONS; i++) {
		(void)snprintf(text, sizeof(text), "%d s%d - > a", i + 1, i);
		assert_true(take(&t, text, &l));
	}
	assert_true(take(&t, "100 s0 - > a", &l));
	assert_int_equal(l.since_us, 99);
	assert_true(take(&t, "101 more - > a", &l));
	assert_true(take(&t, "102 s0 - > a", &l));
	assert_int_equal(l.since_us, 2);
	assert_true(take(&t, "103 s1 - > a", &l));
	assert_int_equal(l.since_us, -1);
	tracing_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tracing_knows_time_and_message_of_a_line),
	    cmocka_unit_test(tracing_counts_each_message_once),
	    cmocka_unit_test(tracing_takes_nothing_else),
	    cmocka_unit_test(tracing_forgets_the_session_heard_of_least_lately),
	};

	return cmocka_run_group_tests_name("tracing", tests, NULL, NULL);
}
