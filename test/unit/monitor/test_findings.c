#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "common/base/mem.h"
#include "monitor/findings.h"

static void
findings_status_is_that_of_the_worst(void **state)
{
	struct findings f = {NULL, 0};

	(void)state;
	assert_int_equal(findings_status(&f), 0);
	findings_add(&f, "A", FINDING_NOTE, "fast", "a %d", 1);
	assert_int_equal(findings_status(&f), 0);
	findings_add(&f, "B", FINDING_ERROR, NULL, "b");
	findings_add(&f, "C", FINDING_WARNING, "slow", "c");
	assert_int_equal(findings_status(&f), 2);
	findings_fini(&f);
	findings_add(&f, "C", FINDING_WARNING, "slow", "c");
	assert_int_equal(findings_status(&f), 1);
	findings_fini(&f);
}

static void
findings_json_has_each_with_its_fix(void **state)
{
	struct findings f = {NULL, 0};
	const char *code, *severity, *lane, *text, *fix;
	json_t *list;

	(void)state;
	findings_add(&f, "A", FINDING_NOTE, NULL, "octet \x01 shown");
	findings_add(&f, "B", FINDING_ERROR, "fast", "b");
	findings_advise(&f, "call %s", "them");
	findings_fix(&f, "postconf -e %s", "x");
	list = findings_json(&f);
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(
	    json_unpack(json_array_get(list, 0), "{s:s,s:s,s:s,s:s,s:s}",
		"code", &code, "severity", &severity, "lane", &lane, "text",
		&text, "fix", &fix),
	    0);
	assert_string_equal(severity, "note");
	assert_string_equal(lane, "");
	assert_string_equal(text, "octet ? shown");
	assert_string_equal(fix, "");
	assert_int_equal(json_unpack(json_array_get(list, 1), "{s:s,s:s,s:s}",
			     "code", &code, "fix", &fix, "text", &text),
	    0);
	assert_string_equal(text, "b: call them");
	assert_string_equal(code, "B");
	assert_string_equal(fix, "postconf -e x");
	json_decref(list);
	findings_fini(&f);
}

static void
findings_quoted_is_one_word_for_a_shell(void **state)
{
	static const struct {
		const char *text, *quoted;
	} rows[] = {{"", "''"}, {"a b", "'a b'"}, {"$x `y`", "'$x `y`'"},
	    {"it's", "'it'\\''s'"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *quoted = findings_quoted(rows[i].text);

		assert_string_equal(quoted, rows[i].quoted);
		mem_free(quoted);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(findings_status_is_that_of_the_worst),
	    cmocka_unit_test(findings_json_has_each_with_its_fix),
	    cmocka_unit_test(findings_quoted_is_one_word_for_a_shell),
	};

	return cmocka_run_group_tests_name("findings", tests, NULL, NULL);
}
