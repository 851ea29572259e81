#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/engine/answers.h"

enum { OUT_MAX = 1000, PLENTY = 1 << 20, KEYS = 1000 };

static const struct rewriter one, other;

/* What is said of key: "?" unknown, "-" none, "!" failed. */
static const char *
said(struct answers *answers, const struct rewriter *table, const char *key)
{
	static char text[OUT_MAX];
	struct buf out;

	buf_init(&out, OUT_MAX);
	switch (answers_find(answers, table, key, &out)) {
	case REWRITER_UNKNOWN:
		(void)snprintf(text, sizeof(text), "?");
		break;
	case REWRITER_KEPT:
		(void)snprintf(text, sizeof(text), "-");
		break;
	case REWRITER_FAILED:
		(void)snprintf(text, sizeof(text), "!");
		break;
	case REWRITER_DONE:
		(void)snprintf(text, sizeof(text), "%s", buf_str(&out));
		break;
	}
	buf_fini(&out);
	return text;
}

static void
expect_next(
    struct answers *answers, const struct rewriter *table, const char *key)
{
	const struct rewriter *next_table;
	const char *next_key;

	assert_true(answers_next(answers, &next_table, &next_key));
	assert_ptr_equal(next_table, table);
	assert_string_equal(next_key, key);
}

static void
answers_want_what_they_lack_once(void **state)
{
	struct answers *answers = answers_new(PLENTY);
	const struct rewriter *table;
	const char *key, *value;

	(void)state;
	assert_false(answers_next(answers, &table, &key));
	assert_string_equal(said(answers, &one, "a"), "?");
	assert_string_equal(said(answers, &one, "a"), "?");
	assert_string_equal(said(answers, &other, "a"), "?");
	expect_next(answers, &one, "a");
	assert_string_equal(said(answers, &one, "a"), "?");
	assert_string_equal(said(answers, &one, "b"), "?");
	expect_next(answers, &other, "a");
	expect_next(answers, &one, "b");
	assert_false(answers_next(answers, &table, &key));
	assert_true(answers_put(answers, &one, "a", "x"));
	assert_true(answers_put(answers, &other, "a", NULL));
	assert_string_equal(said(answers, &one, "a"), "x");
	assert_string_equal(said(answers, &other, "a"), "-");
	assert_false(answers_peek(answers, &one, "b", &value));
	assert_false(answers_peek(answers, &one, "c", &value));
	assert_true(answers_peek(answers, &other, "a", &value));
	assert_null(value);
	/* What a message was read by does not change. */
	assert_true(answers_put(answers, &one, "a", "y"));
	assert_string_equal(said(answers, &one, "a"), "x");
	assert_false(answers_next(answers, &table, &key));
	assert_int_equal(answers_count(answers), 3);
	answers_free(&answers);
	assert_null(answers);
}

static void
answers_of_many_keys_are_found(void **state)
{
	struct answers *answers = answers_new(PLENTY);
	char key[20];

	(void)state;
	for (int i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "key%d", i);
		assert_true(answers_put(answers, &one, key, key + 3));
	}
	for (int i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "key%d", i);
		assert_string_equal(said(answers, &one, key), key + 3);
	}
	assert_int_equal(answers_count(answers), KEYS);
	answers_free(&answers);
}

static void
answers_hold_no_more_than_they_may(void **state)
{
	struct answers *answers = answers_new(1000);
	char long_key[600], long_value[600];

	(void)state;
	memset(long_key, 'k', sizeof(long_key));
	long_key[sizeof(long_key) - 1] = '\0';
	memcpy(long_value, long_key, sizeof(long_key));
	assert_string_equal(said(answers, &one, long_key), "?");
	assert_false(answers_put(answers, &one, long_key, long_value));
	assert_string_equal(said(answers, &other, long_key), "!");
	assert_true(answers_put(answers, &one, long_key, "short"));
	assert_string_equal(said(answers, &one, long_key), "short");
	answers_free(&answers);
	assert_string_equal(said(NULL, &one, "nobody was asked"), "!");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_want_what_they_lack_once),
	    cmocka_unit_test(answers_of_many_keys_are_found),
	    cmocka_unit_test(answers_hold_no_more_than_they_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
