#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/tables/cidr_table.h"

static char error[512];

static struct cidr_table *
read_text(const char *text)
{
	error[0] = '\0';
	return cidr_table_new(
	    "/etc/nets", slice_str(text), error, sizeof(error));
}

/* The answers are those of postmap -q 3.7. */
static void
cidr_table_gives_the_first_that_fits(void **state)
{
	static const char text[] = "# comment\n"
				   "if 1.2.0.0/16\n"
				   "1.2.3.0/24 x \n"
				   "  # inside\n"
				   "   y\n"
				   "endif\n"
				   "if !::/1\n"
				   "::1 never\n"
				   "ENDIF\n"
				   "[::1]/128 c\n"
				   "[10.0.0.0/8] d\n"
				   "!10.0.0.0/8 e $1\n"
				   "!!2001:db8::/32 f\n";
	static const char *const cases[][2] = {{"1.2.3.4", "x    y"},
	    {"1.2.4.4", "e $1"}, {"::1", "c"}, {"::2", NULL}, {"10.1.1.1", "d"},
	    {"9.9.9.9", "e $1"}, {"2001:db8::7", "f"}, {"x", NULL}, {"", NULL},
	    {"[::1]", NULL}, {"10.1.1.1:25", NULL}};
	struct cidr_table *t = read_text(text);

	(void)state;
	assert_non_null(t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *found = cidr_table_find(t, cases[i][0]);

		if (cases[i][1] == NULL)
			assert_null(found);
		else
			assert_string_equal(
			    found != NULL ? found : "(none)", cases[i][1]);
	}
	cidr_table_free(&t);
}

static void
cidr_table_that_is_not_understood_is_none(void **state)
{
	static const char *const cases[][2] = {
	    {"1.2.3.0/24\n", "line 1: there is no result"},
	    {"\n1.2.3.1/24 secret\n", "line 2: the address has bits"},
	    {"foo secret\n", "line 1: must be a network"},
	    {"1.2.3.0/33 secret\n", "line 1: must be a network"},
	    {"! secret\n", "line 1: must be a network"},
	    {"if 1.2.3.4\n1.2.3.4 secret\n", "\"if\" without \"endif\""},
	    {"endif\n", "line 1: \"endif\" without \"if\""},
	    {"if 1.2.3.4 secret\nendif\n", "line 1: text behind \"if\""},
	    {"if 1.2.3.4\nendif secret\n", "line 2: text behind \"endif\""},
	    {"if\nendif\n", "line 1: must be a network"},
	    {" 1.2.3.4 secret\n", "line 1: the first line begins with a blank"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(read_text(cases[i][0]));
		assert_non_null(strstr(error, "/etc/nets, line "));
		assert_null(strstr(error, "secret"));
		if (strstr(error, cases[i][1]) == NULL)
			fail_msg("%s: %s", cases[i][0], error);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cidr_table_gives_the_first_that_fits),
	    cmocka_unit_test(cidr_table_that_is_not_understood_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
