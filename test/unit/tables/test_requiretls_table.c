#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "agent/tables/requiretls_table.h"

static const char letters[] = {
    [REQUIRETLS_ENFORCE] = 'E',
    [REQUIRETLS_STARTTLS] = 'S',
    [REQUIRETLS_OPPORTUNISTIC] = 'O',
    [REQUIRETLS_DISABLE] = 'D',
    [REQUIRETLS_ERROR] = '!',
};
static struct problems problems;

static struct requiretls_table *
open_table(const char *list, struct mapwatch *watch)
{
	static const struct maps_env env = {
	    .config_directory = "/nowhere", .command_directory = "/nowhere"};

	problems_fini(&problems);
	return requiretls_table_open(&env, list, watch, &problems);
}

/* Nexthops are asked for one after the other; a letter for each. */
static void
requiretls_table_knows_nexthops(void **state)
{
	/* The default of Postfix 3.11, for my.example. */
	static const char usual[] =
	    "inline:{{my.example=opportunistic}, {.my.example=opportunistic}, "
	    "{localhost=opportunistic}}, cidr:{{0.0.0.0/0 opportunistic}, "
	    "{::/0 opportunistic}}, enforce";
	static const struct {
		const char *list, *nexthops[5], *wanted;
	} cases[] = {
	    {usual, {"my.example", "mx.my.example", "a.b.my.example", "my"},
		"OOOE"},
	    {usual, {"localhost", "127.0.0.1", "::1", "xmy.example", ""},
		"OOOEE"},
	    {"", {"a.example"}, "E"},
	    {"Opportunistic+StartTLS", {"a.example"}, "S"},
	    {"inline:{a.example=disable, .example=error} opportunistic",
		{"a.example", "b.example", "example"}, "D!O"},
	    {"regexp:{{/^a/ disable}, {/^\\./ enforce}} opportunistic",
		{"a.example", "b.example"}, "DO"},
	    {"inline:{{a.example=enforce disable}, {b.example=hash:x}} disable",
		{"a.example", "b.example", "c.example"}, "!!D"},
	};
	struct mapwatch *watch = mapwatch_new();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct requiretls_table *table =
		    open_table(cases[i].list, watch);

		if (problems.count > 0)
			fail_msg("%s", problems.text[0]);
		for (size_t j = 0; cases[i].wanted[j] != '\0'; j++)
			if (letters[requiretls_table_find(table,
				cases[i].nexthops[j])] != cases[i].wanted[j])
				fail_msg("%s: %s", cases[i].list,
				    cases[i].nexthops[j]);
		requiretls_table_close(&table);
	}
	mapwatch_free(&watch);
}

static void
requiretls_table_that_is_wrong_is_told(void **state)
{
	static const struct {
		const char *list, *why;
	} cases[] = {
	    {"enforced", "smtp_requiretls_policy = enforced: must be of "},
	    {"enforce, ldap:/etc/x", "ldap:/etc/x: not supported by lane"},
	};
	struct mapwatch *watch = mapwatch_new();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct requiretls_table *table =
		    open_table(cases[i].list, watch);

		assert_int_equal(problems.count, 1);
		assert_non_null(strstr(problems.text[0], cases[i].why));
		requiretls_table_close(&table);
	}
	problems_fini(&problems);
	mapwatch_free(&watch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requiretls_table_knows_nexthops),
	    cmocka_unit_test(requiretls_table_that_is_wrong_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
