#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/clean.h"

static void
clean_string_is_printable_utf8_whatever_it_was(void **state)
{
	static const struct {
		const char *text, *clean;
	} rows[] = {
	    {"", ""},
	    {"j\xc3\xb6rg@example.com", "j\xc3\xb6rg@example.com"},
	    {"\x1b]0;me\a@example.com", "?]0;me?@example.com"},
	    {"j\xf6rg@example.com", "j?rg@example.com"},
	    {"a\r\nb\x7f\xc2\x9b", "a??b???"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *s = clean_string(rows[i].text);

		assert_string_equal(json_string_value(s), rows[i].clean);
		json_decref(s);
	}
}

static void
clean_all_finds_what_json_wrote_in_other_words(void **state)
{
	json_t *v = json_loads("{\"parts\":[{\"recipients\":"
			       "[\"\\u001b[2J@example.com\",\"b\"],\"n\":3}],"
			       "\"why\":\"4.2.0 \\u0007\"}",
	    0, NULL);
	char *text;

	(void)state;
	assert_non_null(v);
	clean_all(v);
	text = json_dumps(v, JSON_COMPACT);
	assert_string_equal(text, "{\"parts\":[{\"recipients\":"
				  "[\"?[2J@example.com\",\"b\"],\"n\":3}],"
				  "\"why\":\"4.2.0 ?\"}");
	free(text);
	json_decref(v);
	clean_all(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clean_string_is_printable_utf8_whatever_it_was),
	    cmocka_unit_test(clean_all_finds_what_json_wrote_in_other_words),
	};

	return cmocka_run_group_tests_name("clean", tests, NULL, NULL);
}
