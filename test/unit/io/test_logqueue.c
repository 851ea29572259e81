#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/io/logqueue.h"

static size_t
tell(char *text, size_t size, uint64_t lost)
{
	return (size_t)snprintf(text, size, "lost %d", (int)lost);
}

static void
expect_first(struct logqueue *q, const char *text)
{
	struct slice line;

	assert_true(logqueue_first(q, &line));
	assert_true(slice_eq(line, text));
	logqueue_pop(q);
}

static void
put(struct logqueue *q, const char *text, size_t most)
{
	logqueue_put(q, slice_str(text), most);
}

static void
logqueue_keeps_the_order(void **state)
{
	struct logqueue q;
	struct slice line;

	(void)state;
	logqueue_init(&q, tell);
	assert_true(logqueue_is_empty(&q));
	put(&q, "one", 10000);
	put(&q, "", 10000);
	put(&q, "three", 10000);
	assert_false(logqueue_is_empty(&q));
	expect_first(&q, "one");
	expect_first(&q, "");
	expect_first(&q, "three");
	assert_true(logqueue_is_empty(&q));
	assert_int_equal(q.bytes, 0);
	assert_false(logqueue_first(&q, &line));
	logqueue_pop(&q);
	logqueue_fini(&q);
}

static void
logqueue_tells_how_many_it_lost_where_they_were(void **state)
{
	struct logqueue q;
	char text[32];
	int kept = 0;

	(void)state;
	logqueue_init(&q, tell);
	for (int i = 0; i < 100; i++) {
		put(&q, "12345678", 2000);
		if (q.lost == 0)
			kept++;
	}
	assert_in_range(kept, 20, 80);
	assert_true(q.bytes <= 2000);
	for (int i = 0; i < kept; i++)
		expect_first(&q, "12345678");
	put(&q, "later", 2000);
	(void)snprintf(text, sizeof(text), "lost %d", 100 - kept);
	expect_first(&q, text);
	expect_first(&q, "later");
	assert_true(logqueue_is_empty(&q));
	assert_int_equal(q.lost, 0);
	assert_int_equal(q.lost_total, 100 - kept);
	logqueue_fini(&q);
}

static void
logqueue_tells_what_it_lost_also_when_nothing_follows(void **state)
{
	struct logqueue q;

	(void)state;
	logqueue_init(&q, tell);
	put(&q, "too long", 8);
	assert_false(logqueue_is_empty(&q));
	expect_first(&q, "lost 1");
	assert_true(logqueue_is_empty(&q));
	logqueue_fini(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(logqueue_keeps_the_order),
	    cmocka_unit_test(logqueue_tells_how_many_it_lost_where_they_were),
	    cmocka_unit_test(
		logqueue_tells_what_it_lost_also_when_nothing_follows),
	};

	return cmocka_run_group_tests_name("logqueue", tests, NULL, NULL);
}
