/* lane_domain_rate_limits with real tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/tables/domain_tables.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

static struct problems problems;
static size_t lines;

static void
count_lines(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	lines++;
}

static struct domains *
load(const char *text)
{
	char *value = mem_strdup(text), *config;
	struct settings set = {.lane_domain_rate_limits = value};
	struct maps_env env = {.mail_version = "3.7.11"};
	struct domains *d;

	scratch_config("");
	config = mem_strdup(scratch_path("config"));
	env.config_directory = config;
	lines = 0;
	problems_fini(&problems);
	log_set_sink(count_lines, NULL);
	d = domain_tables_open(&env, &set, &problems);
	log_set_sink(NULL, NULL);
	mem_free(value);
	mem_free(config);
	return d;
}

static void
expect(struct domains *d, const char *domain, const char *limit)
{
	static const struct pacer_cost one = {.units = {1, 1, 1}};
	struct domain *dom = domains_find(d, slice_str(domain));
	char text[DOMAIN_TEXT_SIZE];

	if (limit == NULL) {
		assert_null(dom);
		return;
	}
	assert_non_null(dom);
	domain_hold(dom, 0);
	domain_explain(dom, &one, 0, text, sizeof(text));
	assert_string_equal(text + strlen("lane_domain_rate_limits: "), limit);
	domain_release(dom);
}

static void
tables_and_what_is_inline_go_together(void **state)
{
	struct domains *d;
	char value[600];

	(void)state;
	scratch_write("rates", "Example.ORG  2/1s:2 recipients:100/1m\n"
			       "mail.gmx.de  none\n"
			       "example.com  9/1s\n");
	(void)snprintf(value, sizeof(value),
	    "example.com=5/1m, texthash:%s .gmx.de=10/1s "
	    "inline:{a.test=1/1s, example.org=7/1s}",
	    scratch_path("rates"));
	d = load(value);
	assert_int_equal(problems.count, 0);
	expect(d, "example.com", "example.com=5/1m:1");
	expect(d, "example.org", "example.org=2/1s:2");
	expect(d, "x.gmx.de", ".gmx.de=10/1s:1");
	expect(d, "mail.gmx.de", NULL);
	expect(d, "a.test", "a.test=1/1s:1");
	expect(d, "b.test", NULL);
	domains_free(&d);
}

static void
what_is_wrong_with_a_table_is_told(void **state)
{
	static const struct {
		const char *content, *before, *after, *told;
	} cases[] = {
	    {"a.test fast\n", "texthash:", "", "a.test fast: "},
	    {"a.test 1/1s\n", "texthash:", "-not-there", "-not-there"},
	    {"/a/ 1/1s\n", "regexp:", "", "cannot be listed"},
	    {"a.test 1/1s\n", "proxy:texthash:", "", "cannot be listed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct domains *d;
		char value[600];

		scratch_write("rates", cases[i].content);
		(void)snprintf(value, sizeof(value), "%s%s%s", cases[i].before,
		    scratch_path("rates"), cases[i].after);
		d = load(value);
		assert_int_equal(problems.count, 1);
		assert_int_equal(lines, 1);
		assert_non_null(strstr(problems.text[0],
		    "bad parameter: lane_domain_rate_limits: "));
		assert_non_null(strstr(problems.text[0], cases[i].told));
		domains_free(&d);
	}
	problems_fini(&problems);
}

static void
nothing_set_is_no_limit(void **state)
{
	struct domains *d = load("");

	(void)state;
	assert_true(domains_are_none(d));
	domains_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tables_and_what_is_inline_go_together),
	    cmocka_unit_test(what_is_wrong_with_a_table_is_told),
	    cmocka_unit_test(nothing_set_is_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
