#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/settings/params.h"
#include "agent/smarthost/credentials.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

static struct settings set;
static char got[256];

static void
on_found(void *ctx, enum maps_result result, const char *user,
    const char *password, const char *error)
{
	(void)ctx;
	(void)error;
	(void)snprintf(got, sizeof(got), "%s|%s",
	    result == MAPS_FOUND       ? user
	    : result == MAPS_NOT_FOUND ? "none"
				       : "error",
	    password != NULL ? password : "");
}

static void
set_by_name(const char *name, const char *text)
{
	assert_true(params_set(&set, params_find(name), text, NULL));
}

static int
setup(void **state)
{
	(void)state;
	scratch_config("");
	params_init(&set);
	set_by_name("config_directory", scratch_path("config"));
	set_by_name("smtp_sasl_auth_enable", "yes");
	set_by_name("recipient_delimiter", "+");
	set_by_name("myorigin", "example.com");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	return 0;
}

static const char *
find(const char *table, const char *sender, const char *host,
    const char *nexthop)
{
	struct maps_env env;
	struct maps *maps;
	struct credentials *c;

	maps_env_init(&env, NULL, &set);
	maps = maps_open(&env, "smtp_sasl_password_maps", table, NULL);
	c = credentials_new(&set, maps);
	(void)snprintf(got, sizeof(got), "nothing");
	assert_null(credentials_find(c, sender, host, nexthop, on_found, NULL));
	credentials_free(&c);
	maps_close(&maps);
	return got;
}

static void
credentials_are_searched_in_order(void **state)
{
	/* From the most to the least preferred. */
	static const char *const keys[] = {"Joe+x@Example.com",
	    "joe@example.com", "joe+x", "joe", "@example.com", "mx.host",
	    "[relay.host]:587"};

	(void)state;
	set_by_name("smtp_sender_dependent_authentication", "yes");
	for (size_t first = 0; first < 7; first++) {
		char table[512] = "inline:{", wanted[32];
		size_t n = strlen(table);

		for (size_t i = first; i < 7; i++)
			n += (size_t)snprintf(table + n, sizeof(table) - n,
			    "{%s = u%zu:p}, ", keys[i], i);
		(void)snprintf(table + n - 2, sizeof(table) - n + 2, "}");
		(void)snprintf(wanted, sizeof(wanted), "u%zu|p", first);
		assert_string_equal(find(table, "joe+x@example.com", "MX.host",
					"[relay.host]:587"),
		    wanted);
	}
	assert_string_equal(
	    find("inline:{a=b}", "joe+x@example.com", "h", "[h]:25"), "none|");
}

static void
credentials_ignore_the_sender_unless_told(void **state)
{
	(void)state;
	set_by_name("smtp_sender_dependent_authentication", "no");
	assert_string_equal(find("inline:{{joe@example.com = s:p}, {h = h:p}}",
				"joe@example.com", "h", "[h]"),
	    "h|p");
	set_by_name("smtp_sender_dependent_authentication", "yes");
	assert_string_equal(
	    find("inline:{{joe = s:p}, {h = h:p}}", "", "h", "[h]"), "h|p");
	/* A bare name only for the domain that is ours. */
	assert_string_equal(find("inline:{{joe = s:p}, {h = h:p}}",
				"joe@example.org", "h", "[h]"),
	    "h|p");
}

static void
credentials_are_cut_at_the_first_delimiter(void **state)
{
	static const struct {
		const char *value, *wanted;
	} cases[] = {
	    {"user:pass", "user|pass"},
	    {"user:pa:ss", "user|pa:ss"},
	    {"user:", "user|"},
	    {"user", "user|"},
	    {":pass", "|pass"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char table[128];

		(void)snprintf(
		    table, sizeof(table), "inline:{{h = %s}}", cases[i].value);
		assert_string_equal(find(table, "", "h", "h"), cases[i].wanted);
	}
	set_by_name("smtp_sasl_password_result_delimiter", "!");
	assert_string_equal(
	    find("inline:{{h = us:er!pw}}", "", "h", "h"), "us:er|pw");
	set_by_name("smtp_sasl_password_result_delimiter", ":");
}

static void
credentials_need_auth_enable_and_readable_tables(void **state)
{
	(void)state;
	assert_string_equal(
	    find("hash:/nonexistent/x", "", "h", "h"), "error|");
	set_by_name("smtp_sasl_auth_enable", "no");
	assert_string_equal(find("hash:/nonexistent/x", "", "h", "h"), "none|");
	set_by_name("smtp_sasl_auth_enable", "yes");
	assert_string_equal(find("", "", "h", "h"), "none|");
}

/* The system's accounts stand for all that only postmap and proxymap can
 * ask. */
static void
credentials_preload_asks_for_known_destinations(void **state)
{
	struct maps_env env;
	struct maps *maps;
	struct credentials *c;

	(void)state;
	maps_env_init(&env, NULL, &set);
	maps = maps_open(&env, "smtp_sasl_password_maps",
	    "pipemap:{unix:passwd.byname, pcre:{{/^(\\w+):/ $1:pass}}}", NULL);
	c = credentials_new(&set, maps);
	credentials_preload(c, "root, daemon");
	(void)credentials_find(c, "", "daemon", "daemon", on_found, NULL);
	assert_string_equal(got, "daemon|pass");
	(void)credentials_find(c, "", "root", "root", on_found, NULL);
	assert_string_equal(got, "root|pass");
	(void)credentials_find(c, "", "bin", "bin", on_found, NULL);
	assert_string_equal(got, "error|");
	credentials_free(&c);
	maps_close(&maps);
}

/* smtp(8) asks such tables for the whole address, and no part of it. */
static void
credentials_by_pattern_depend_on_the_sender(void **state)
{
	char list[300];

	(void)state;
	scratch_write("pattern",
	    "if !/^(.+)@example\\.org$/\n/^jim@(.*)$/ jim-$1:p\nendif\n"
	    "/^(.*)@example\\.org$/i $1:q\n/^@/ part:x\n"
	    "/^relay/ relay:r\n");
	(void)snprintf(list, sizeof(list), "regexp:%s, inline:{@a.b=all:s}",
	    scratch_path("pattern"));
	set_by_name("smtp_sender_dependent_authentication", "yes");
	assert_string_equal(
	    find(list, "jim@a.b", "relay", "[relay]"), "jim-a.b|p");
	assert_string_equal(
	    find(list, "Ann@example.org", "relay", "[relay]"), "Ann|q");
	assert_string_equal(find(list, "joe@a.b", "relay", "[relay]"), "all|s");
	assert_string_equal(
	    find(list, "joe@other", "relay", "[relay]"), "relay|r");
	assert_string_equal(find(list, "", "x", "[relay]"), "none|");
}

static char said[1000];

static void
keep(void *ctx, enum log_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)snprintf(said, sizeof(said), "%s", text);
}

/* What is said of [mail.a.test]:2525 with such a table, in the reason and at
 * start; they are the same but for the warning. */
static const char *
explain(const char *table)
{
	struct maps_env env;
	struct maps *maps;
	struct credentials *c;
	char *text;

	maps_env_init(&env, NULL, &set);
	maps = maps_open(&env, "smtp_sasl_password_maps", table, NULL);
	c = credentials_new(&set, maps);
	text = credentials_explain(c, "", "mail.a.test", "[mail.a.test]:2525");
	said[0] = '\0';
	log_set_sink(keep, NULL);
	credentials_check(c, "[mail.a.test]:2525");
	log_set_sink(NULL, NULL);
	if (said[0] != '\0') {
		assert_non_null(text);
		assert_string_equal(
		    said + (strncmp(said, "warning: ", 9) == 0 ? 9 : 0), text);
	}
	mem_free(text);
	credentials_free(&c);
	maps_close(&maps);
	return said;
}

static void
credentials_say_which_keys_there_are(void **state)
{
	static const struct {
		const char *table, *said;
	} cases[] = {
	    {"inline:{{[mail.a.test]:587=u:secret}, {x.test=v:secret}}",
		"warning: no login for [mail.a.test]:2525 in inline:... (it "
		"has: [mail.a.test]:587)"},
	    {"", "warning: no login for [mail.a.test]:2525: "
		 "smtp_sasl_password_maps is empty"},
	    {"inline:{{[Mail.A.test]=u:secret}}",
		"warning: no login for [mail.a.test]:2525 in inline:... (it "
		"has: [mail.a.test])"},
	    {"inline:{{a.test=u:secret}, {[b.test]:25=u:secret}}",
		"no login for [mail.a.test]:2525 in inline:... (it has: "
		"a.test)"},
	    {"inline:{a=u, b=u, c=u, d=u, {joe@mail.a.test=u:secret}}",
		"no login for [mail.a.test]:2525 in inline:... (it has: a, b, "
		"c and 1 more)"},
	    {"inline:{{joe@x.test=u:secret}}, fail:x",
		""}, /* an error, which says so itself */
	    {"regexp:{{/nobody/ u:secret}}",
		"no login for [mail.a.test]:2525 in regexp:..."},
	    {"inline:{{[mail.a.test]:2525=u:secret}}", ""},
	};

	(void)state;
	set_by_name("smtp_sender_dependent_authentication", "no");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(explain(cases[i].table), cases[i].said);
	/* Senders have logins, hosts need none. */
	set_by_name("smtp_sender_dependent_authentication", "yes");
	assert_string_equal(explain("inline:{{joe@x.test=u:secret}}"), "");
	assert_string_equal(explain("inline:{{x.test=u:secret}}"),
	    "no login for [mail.a.test]:2525 in inline:... (it has: x.test)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(credentials_are_searched_in_order),
	    cmocka_unit_test(credentials_ignore_the_sender_unless_told),
	    cmocka_unit_test(credentials_are_cut_at_the_first_delimiter),
	    cmocka_unit_test(credentials_need_auth_enable_and_readable_tables),
	    cmocka_unit_test(credentials_preload_asks_for_known_destinations),
	    cmocka_unit_test(credentials_say_which_keys_there_are),
	    cmocka_unit_test(credentials_by_pattern_depend_on_the_sender),
	};

	return cmocka_run_group_tests_name(
	    "credentials", tests, setup, teardown);
}
