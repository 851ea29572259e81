/* Lessons of hosts as text, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/shared/fleet_lessons.h"

static void
text_is_read_as_it_was_written(void **state)
{
	struct fleet_lesson lessons[FLEET_LESSONS] = {
	    [FLEET_PAUSE] = {.left_us = 60000000, .host = "mx1.example.com"},
	    [FLEET_BLOCKED] = {.left_us = 1, .value = 554, .host = "b"},
	    [FLEET_LESSONS - 1] = {.left_us = FLEET_LESSON_MAX_US,
		.value = INT64_C(1) << 53,
		.host = "c"},
	};
	struct fleet_lesson out[FLEET_LESSONS];
	char text[FLEET_LESSONS_SIZE];

	(void)state;
	fleet_lessons_print(lessons, true, text);
	assert_string_equal(text, "1 60000000 0 mx1.example.com 3 1 554 b "
				  "8 86400000000 9007199254740992 c");
	assert_true(fleet_lessons_parse(text, true, out));
	for (int k = 0; k < FLEET_LESSONS; k++) {
		assert_true(out[k].left_us == lessons[k].left_us);
		assert_true(out[k].value == lessons[k].value);
		assert_string_equal(out[k].host, lessons[k].host);
	}
	fleet_lessons_print(lessons, false, text);
	assert_string_equal(
	    text, "1 60000000 0 3 1 554 8 86400000000 9007199254740992");
	assert_true(fleet_lessons_parse(text, false, out));
	assert_true(fleet_lessons_parse("", true, out));
	assert_true(fleet_lessons_parse("", false, out));
}

static void
all_of_the_longest_fit(void **state)
{
	struct fleet_lesson lessons[FLEET_LESSONS];
	char text[FLEET_LESSONS_SIZE], name[FLEET_NAME_SIZE] = "";

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	for (int k = 0; k < FLEET_LESSONS; k++) {
		lessons[k].left_us = FLEET_LESSON_MAX_US;
		lessons[k].value = INT64_C(1) << 53;
		memcpy(lessons[k].host, name, sizeof(name));
	}
	fleet_lessons_print(lessons, true, text);
	assert_true(fleet_lessons_parse(text, true, lessons));
	assert_string_equal(lessons[FLEET_LESSONS - 1].host, name);
}

static void
what_is_no_text_is_refused(void **state)
{
	static const char *const rows[] = {
	    "1",
	    "1 60",
	    "1 60 0",
	    "1 60 0 ",
	    "1 60 0 a ",
	    " 1 60 0 a",
	    "1  60 0 a",
	    "0 60 0 a",
	    "9 60 0 a",
	    "1 0 0 a",
	    "1 -1 0 a",
	    "1 60 -1 a",
	    "1 86400000001 0 a",
	    "1 60 9007199254740993 a",
	    "1 99999999999999999999999999999999999999 0 a",
	    "1 60 0 a 1 60 0 b",
	    "1 60 0 a/b",
	    "1 60 0 a\nb",
	    "1 60 x a",
	    ("1 60 0 "
	     "012345678901234567890123456789012345678901234567890123456789012"
	     "3"),
	    "pause 60 0 a",
	};
	struct fleet_lesson out[FLEET_LESSONS], none[FLEET_LESSONS];

	(void)state;
	memset(none, 0, sizeof(none));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (fleet_lessons_parse(rows[i], true, out))
			fail_msg("taken: %s", rows[i]);
		assert_memory_equal(out, none, sizeof(out));
	}
	assert_false(fleet_lessons_parse("1 60 0 a", false, out));
}

static void
refusal_is_code_and_status(void **state)
{
	static const struct {
		const char *reply, *text;
	} rows[] = {
	    {"550 5.7.1 Blocked", "550 5.7.1"},
	    {"550-5.7.606 Access denied", "550 5.7.606"},
	    {"554 go away", "554"},
	    {"554", "554"},
	    {"421 4.3.2 later", "421 4.3.2"},
	    {"550 4.7.1 which?", "550"},
	    {"", "no"},
	    {"lost connection", "no"},
	    {"999 9.9.9 x", "no"},
	};
	char text[FLEET_REFUSAL_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(
		    fleet_refusal_text(fleet_refusal(rows[i].reply), text),
		    rows[i].text);
	assert_string_equal(fleet_refusal_text(INT64_MAX, text), "no");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_read_as_it_was_written),
	    cmocka_unit_test(all_of_the_longest_fit),
	    cmocka_unit_test(what_is_no_text_is_refused),
	    cmocka_unit_test(refusal_is_code_and_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
