/* The words of alarms are known to files and scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/engine/alarm_kind.h"

static void
names_are_those_that_files_and_scripts_know(void **state)
{
	(void)state;
	assert_string_equal(alarm_kind_name(ALARM_LOGIN), "login");
	assert_string_equal(alarm_kind_name(ALARM_BLOCKED), "blocked");
	assert_string_equal(alarm_kind_name(ALARM_CERTIFICATE), "certificate");
	assert_string_equal(alarm_kind_name(ALARM_OUTAGE), "outage");
	assert_string_equal(alarm_kind_name(ALARM_TOKEN), "token");
}

static void
each_kind_is_found_by_its_name(void **state)
{
	enum alarm_kind kind;

	(void)state;
	for (size_t i = 0; i < ALARM_KINDS; i++) {
		assert_true(alarm_kind_find(
		    alarm_kind_name((enum alarm_kind)i), &kind));
		assert_int_equal(kind, i);
	}
}

static void
other_words_are_no_kind(void **state)
{
	static const char *const words[] = {"", "Login", "logins", "suspended"};
	enum alarm_kind kind = ALARM_OUTAGE;

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_false(alarm_kind_find(words[i], &kind));
	assert_int_equal(kind, ALARM_OUTAGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_those_that_files_and_scripts_know),
	    cmocka_unit_test(each_kind_is_found_by_its_name),
	    cmocka_unit_test(other_words_are_no_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
