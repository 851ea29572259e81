#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/io/command_output.h"
#include "agent/tables/maps.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

static struct maps_env env;
static struct problems problems;

/* What the callback got, as text: "found VALUE", "none", "error". */
static char got[512];
static char error_text[512];

static void
on_found(
    void *ctx, enum maps_result result, const char *value, const char *error)
{
	(void)ctx;
	error_text[0] = '\0';
	switch (result) {
	case MAPS_FOUND:
		(void)snprintf(got, sizeof(got), "found %s", value);
		break;
	case MAPS_NOT_FOUND:
		(void)snprintf(got, sizeof(got), "none");
		break;
	case MAPS_ERROR:
		(void)snprintf(got, sizeof(got), "error");
		(void)snprintf(error_text, sizeof(error_text), "%s", error);
		break;
	}
}

static void
expect(struct maps *maps, const char *key, const char *wanted)
{
	(void)snprintf(got, sizeof(got), "nothing");
	assert_null(maps_find(maps, key, on_found, NULL));
	assert_string_equal(got, wanted);
}

static struct maps *
open_as(const char *list)
{
	problems_fini(&problems);
	return maps_open(&env, "some_maps", list, &problems);
}

/* type:NAME-in-the-scratch-directory, then what follows. */
static struct maps *
open_list(const char *type, const char *name, const char *rest)
{
	char list[1024];

	(void)snprintf(
	    list, sizeof(list), "%s%s%s", type, scratch_path(name), rest);
	return open_as(list);
}

/* hash:NAME of the given lines, made by the real postmap. */
static void
make_hash(const char *name, const char *lines)
{
	char command[512];

	scratch_write(name, lines);
	(void)snprintf(command, sizeof(command),
	    "/usr/sbin/postmap -c %s hash:%s", scratch_path("config"),
	    scratch_path(name));
	assert_int_equal(system(command), 0);
}

static int
setup(void **state)
{
	(void)state;
	scratch_config("");
	env.config_directory = scratch_path("config");
	env.config_directory = mem_strdup(env.config_directory);
	env.mail_version = "3.7.11";
	return 0;
}

static int
teardown(void **state)
{
	union {
		const char *in;
		char *out;
	} dir = {env.config_directory};

	(void)state;
	mem_free(dir.out);
	problems_fini(&problems);
	return 0;
}

static void
maps_empty_list_finds_nothing(void **state)
{
	struct maps *maps = maps_open(&env, "x", " , ", NULL);

	(void)state;
	assert_true(maps_is_empty(maps));
	expect(maps, "any", "none");
	maps_close(&maps);
}

static void
maps_listed_tables_are_read_whole(void **state)
{
	static const char *const forms[] = {"hash:", "texthash:"};

	(void)state;
	make_hash("table", "[Mail.Example.COM]:587  user:pass word\n"
			   "@example.org\tother:x\n# comment\nempty\n");
	for (size_t i = 0; i < 2; i++) {
		struct maps *maps = open_list(forms[i], "table", "");

		assert_int_equal(problems.count, 0);
		assert_false(maps_is_empty(maps));
		/* What comes later must not matter. */
		expect(maps, "[mail.example.com]:587", "found user:pass word");
		expect(maps, "[MAIL.example.com]:587", "found user:pass word");
		expect(maps, "@example.org", "found other:x");
		expect(maps, "example.org", "none");
		maps_close(&maps);
	}
}

static void
ignore_entry(void *ctx, const char *table, const char *key, const char *value)
{
	(void)ctx;
	(void)table;
	(void)key;
	(void)value;
}

static void
maps_inline_braces_hold_commas(void **state)
{
	struct maps *maps = maps_open(&env, "x",
	    "inline:{a=1, {b = two words}}, inline:{ b=3 c=4 }", &problems);

	(void)state;
	assert_int_equal(problems.count, 0);
	expect(maps, "a", "found 1");
	expect(maps, "b", "found two words");
	expect(maps, "C", "found 4");
	expect(maps, "d", "none");
	maps_close(&maps);
}

static void
maps_root_only_tables_work_after_the_read(void **state)
{
	struct maps *maps;

	(void)state;
	make_hash("secret", "host user:pass\n");
	assert_int_equal(chmod(scratch_path("secret.db"), 0600), 0);
	maps = open_list("hash:", "secret", "");
	assert_int_equal(unlink(scratch_path("secret.db")), 0);
	expect(maps, "host", "found user:pass");
	maps_close(&maps);
}

static void
maps_empty_table_is_no_error(void **state)
{
	struct maps *maps;

	(void)state;
	make_hash("nothing", "");
	maps = open_list("hash:", "nothing", "");
	assert_int_equal(problems.count, 0);
	expect(maps, "a", "none");
	maps_close(&maps);
}

static void
maps_unreadable_table_is_told_and_ends_the_search(void **state)
{
	struct maps *maps;

	(void)state;
	make_hash("table", "a 1\n");
	maps =
	    open_list("hash:", "table", ", hash:/nonexistent/x, inline:{b=2}");
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0], "bad parameter: some_maps"));
	assert_non_null(strstr(problems.text[0], "No such file"));
	expect(maps, "a", "found 1");
	expect(maps, "b", "error");
	assert_non_null(strstr(error_text, "No such file"));
	maps_close(&maps);
}

static void
maps_values_in_a_name_are_not_told(void **state)
{
	static const char *const lists[] = {"inline:{a=joe:secret, b}",
	    "static:{joe:secret} x", "regexp:{{/x/ joe:secret$}}",
	    "unionmap:{static:joe:secret, hash:/nonexistent}",
	    "randmap:{joe:secret", "pipemap:{inline:{a=joe:secret}}",
	    "static:joe:secret", "proxy:unionmap:{static:secret}",
	    "secret:word"};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct maps *maps;
		char *error = NULL;

		error_text[0] = '\0';
		maps = open_as(lists[i]);
		maps_preload(maps, "z");
		for (size_t k = 0; k < problems.count; k++)
			assert_null(strstr(problems.text[k], "secret"));
		assert_null(maps_find(maps, "z", on_found, NULL));
		assert_null(strstr(error_text, "secret"));
		assert_false(maps_each(maps, ignore_entry, NULL, &error));
		assert_null(strstr(error, "secret"));
		mem_free(error);
		maps_close(&maps);
	}
}

/* Everybody may read the arguments of a process; there must be none. */
static void
maps_values_in_a_name_are_no_arguments(void **state)
{
	static const char list[] =
	    "inline:{{a = joe:secret}}, unionmap:{inline:{b=c:secret}}, "
	    "pipemap:{inline:{d=e},inline:{e=f:secret}}, "
	    "inline:{g=h:secret}, randmap:{x:secret}, "
	    "static:{x:secret}, regexp:{{/b/ secret}}";
	struct maps_env nowhere = env;
	struct maps *maps;

	(void)state;
	problems_fini(&problems);
	nowhere.command_directory = "/nonexistent";
	maps = maps_open(&nowhere, "x", list, &problems);
	maps_preload(maps, "q");
	assert_int_equal(problems.count, 0);
	expect(maps, "a", "found joe:secret");
	expect(maps, "b", "found c:secret");
	expect(maps, "D", "found f:secret");
	expect(maps, "g", "found h:secret");
	expect(maps, "q", "found x:secret");
	maps_close(&maps);
}

/* Who may see a process sees its arguments. A type that only postmap knows is
 * refused, with a word about what to do. */
static void
maps_values_for_postmap_are_refused(void **state)
{
	struct maps *maps = open_as("memcache:{ memcache = joe:secret }");

	(void)state;
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0], "put them into a file"));
	assert_null(strstr(problems.text[0], "secret"));
	expect(maps, "z", "error");
	maps_close(&maps);
}

/* As postmap -q answers, which was asked for the same. */
static void
maps_of_maps_give_what_postmap_gives(void **state)
{
	static const char *const tables[] = {"unionmap:{static:a,inline:{k=b}}",
	    "pipemap:{inline:{k=X},inline:{x=zz}}", "randmap:{{a b}}",
	    "unionmap:{static:{a b}, static:c}", "unionmap:{}", "randmap:{}",
	    "unionmap:static:a", "unionmap:{static:a,,static:b}",
	    "unionmap:{inline:{K=v}}", "unionmap:{inline:{q=v}}",
	    "pipemap:{inline:{q=x},static:y}", "unionmap:{nocolon}",
	    "unionmap:{hash:/nonexistent,static:a}", "unionmap:{static:a}x",
	    "pipemap:{inline:{k=@x},regexp:{{/^@x/ y}}}",
	    "unionmap:{pipemap:{inline:{k=1},inline:{1=2}},static:3}",
	    "unionmap:{inline:{k={}},static:b}", "randmap:{ a }"};

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const char *const argv[] = {"/usr/sbin/postmap", "-c",
		    env.config_directory, "-q", "k", tables[i], NULL};
		struct command_output_result run;
		struct maps *maps = open_as(tables[i]);
		char wanted[200];
		const char *out;

		command_output_run(&run, argv);
		out = buf_str(&run.out);
		(void)snprintf(wanted, sizeof(wanted), "%s%.*s",
		    run.status == 0 ? "found " : "", (int)strcspn(out, "\n"),
		    out);
		if (run.status != 0)
			(void)snprintf(wanted, sizeof(wanted),
			    buf_len(&run.err) > 0 ? "error" : "none");
		maps_preload(maps, "k");
		expect(maps, "k", wanted);
		command_output_fini(&run);
		maps_close(&maps);
	}
}

/* postmap is asked for what only it can, once for each of the parts. The
 * system's accounts are such a table. */
static void
maps_of_maps_ask_for_what_is_not_read(void **state)
{
	static const char list[] =
	    "pipemap:{inline:{k=root},unix:passwd.byname,"
	    "pcre:{{/^(\\w+):/ $1:found}}}, "
	    "unionmap:{pipemap:{unix:passwd.byname,static:one},static:two}";
	struct maps *maps = open_as(list);

	(void)state;
	maps_preload(maps, "k");
	expect(maps, "k", "found root:found");
	maps_preload(maps, "root");
	expect(maps, "root", "found one,two");
	expect(maps, "daemon", "error");
	maps_close(&maps);
}

static void
maps_without_a_type_are_told(void **state)
{
	struct maps *maps = open_list("", "table", "");

	(void)state;
	assert_int_equal(problems.count, 1);
	expect(maps, "a", "error");
	maps_close(&maps);
	maps = open_list("nosuchtype:", "table", "");
	assert_non_null(
	    strstr(problems.text[0], "= ...: unsupported dictionary"));
	assert_null(strstr(problems.text[0], "nosuchtype"));
	expect(maps, "a", "error");
	maps_close(&maps);
}

static void
maps_patterns_are_evaluated_here(void **state)
{
	static const char *const types[] = {"regexp:", "pcre:"};
	struct maps *maps;

	(void)state;
	scratch_write("pattern", "/^Host(.*)/ login-$1:p\n/nothing/\n");
	for (size_t i = 0; i < 2; i++) {
		maps = open_list(types[i], "pattern", ", inline:{other=x}");
		assert_int_equal(problems.count, 0);
		/* As at start, and without proxymap. */
		assert_int_equal(unlink(scratch_path("pattern")), 0);
		expect(maps, "host7", "found login-7:p");
		expect(maps, "HOST8", "found login-8:p");
		expect(maps, "other", "found x");
		expect(maps, "more", "none");
		expect(maps, "nothing", "error");
		assert_non_null(strstr(error_text, "empty result"));
		maps_close(&maps);
		scratch_write("pattern", "/^Host(.*)/ login-$1:p\n/nothing/\n");
	}
}

/* What Postfix would skip, with the next rule's login in its place. */
static void
maps_patterns_are_used_as_a_whole_or_not_at_all(void **state)
{
	struct maps *maps;

	(void)state;
	scratch_write("pattern", "/a/ 1\n/(b/ joe:secret\n/b/ 2\n");
	maps = open_list("regexp:", "pattern", "");
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0], "bad parameter: some_maps"));
	assert_non_null(strstr(problems.text[0], "pattern, line 2: "));
	assert_null(strstr(problems.text[0], "secret"));
	expect(maps, "a", "error");
	assert_non_null(strstr(error_text, "pattern, line 2: "));
	maps_close(&maps);
	maps = open_list("pcre:", "absent", "");
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0], "No such file"));
	maps_close(&maps);
}

static void
maps_patterns_may_stand_in_the_name(void **state)
{
	struct maps *maps = open_as(
	    "regexp:{{/^a(.)/ one-$1}, { /b/ two }}, pcre:{ {/c\\d/ three} }");

	(void)state;
	assert_int_equal(problems.count, 0);
	expect(maps, "ax", "found one-x");
	expect(maps, "b", "found two");
	expect(maps, "c7", "found three");
	expect(maps, "c", "none");
	maps_close(&maps);
}

/* "@domain" and its like would match a pattern by accident. */
static void
maps_patterns_are_not_asked_for_parts(void **state)
{
	struct maps *maps;

	(void)state;
	scratch_write("pattern", "/./ any\n");
	maps = open_list("regexp:", "pattern",
	    ", cidr:{{::/0 x}}, fail:x, unionmap:{regexp:{{/./ y}}}"
	    ", inline:{@a.b=part}");
	(void)snprintf(got, sizeof(got), "nothing");
	assert_null(maps_find_partial(maps, "@a.b", on_found, NULL));
	assert_string_equal(got, "found part");
	expect(maps, "@a.b", "found any");
	maps_close(&maps);
}

/* A host name is in no network, and a table that cannot be asked is not. */
static void
maps_cidr_is_evaluated_here(void **state)
{
	struct maps_env nowhere = {.command_directory = "/nonexistent"};
	struct maps *maps;

	(void)state;
	problems_fini(&problems);
	maps = maps_open(&nowhere, "some_maps",
	    "cidr:{{192.0.2.0/24 user:p}, {2001:db8::/32 v:6}}", &problems);
	assert_int_equal(problems.count, 0);
	assert_true(maps_is_whole(maps));
	expect(maps, "192.0.2.7", "found user:p");
	expect(maps, "2001:DB8::1", "found v:6");
	expect(maps, "[192.0.2.7]:25", "none");
	expect(maps, "mail.example", "none");
	expect(maps, "192.0.3.8", "none");
	maps_close(&maps);
}

static void
maps_cidr_that_cannot_be_read_is_told(void **state)
{
	struct maps *maps;

	(void)state;
	scratch_write("networks", "192.0.2.0/24 a\n192.0.2.1/24 b:secret\n");
	maps = open_list("cidr:", "networks", "");
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0], "networks, line 2: "));
	assert_null(strstr(problems.text[0], "secret"));
	expect(maps, "192.0.2.7", "error");
	maps_close(&maps);
}

static void
maps_of_type_fail_do(void **state)
{
	struct maps *maps = open_as("inline:{a=b}, fail:always");

	(void)state;
	assert_int_equal(problems.count, 0);
	assert_true(maps_is_whole(maps));
	expect(maps, "a", "found b");
	expect(maps, "x", "error");
	assert_string_equal(error_text, "table fail:always: it never answers");
	maps_close(&maps);
}

/* It may be there later: proxymap is asked then. */
static void
maps_preload_failure_ends_no_table(void **state)
{
	struct maps *maps = open_as("unix:nonesuch");

	(void)state;
	assert_int_equal(problems.count, 0);
	maps_preload(maps, "a");
	expect(maps, "a", "error");
	assert_non_null(strstr(error_text, "not read at start"));
	assert_non_null(strstr(error_text, "at start: postmap: fatal: "));
	maps_close(&maps);
}

static void
maps_empty_values_are_errors(void **state)
{
	struct maps *maps = open_as("inline:{a=}");

	(void)state;
	assert_int_equal(problems.count, 0);
	expect(maps, "a", "error");
	assert_string_equal(
	    error_text, "table inline:...: it gives an empty result");
	maps_close(&maps);
}

static void
maps_static_answers_everything(void **state)
{
	struct maps *maps = maps_open(&env, "x", "static:encrypt", &problems);

	(void)state;
	expect(maps, "any thing", "found encrypt");
	maps_close(&maps);
}

/* As for smtp(8): an empty line of a body is not checked, and a table that
 * answers to everything gives the null sender nothing. */
static void
maps_ask_no_table_for_nothing(void **state)
{
	struct maps *maps = open_as("fail:x static:y regexp:{{/^$/ z}}");

	(void)state;
	expect(maps, "", "none");
	assert_true(maps_find_now(maps, "", false, on_found, NULL));
	assert_string_equal(got, "none");
	maps_close(&maps);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(maps_empty_list_finds_nothing),
	    cmocka_unit_test(maps_listed_tables_are_read_whole),
	    cmocka_unit_test(maps_inline_braces_hold_commas),
	    cmocka_unit_test(maps_values_in_a_name_are_not_told),
	    cmocka_unit_test(maps_root_only_tables_work_after_the_read),
	    cmocka_unit_test(maps_empty_table_is_no_error),
	    cmocka_unit_test(maps_unreadable_table_is_told_and_ends_the_search),
	    cmocka_unit_test(maps_without_a_type_are_told),
	    cmocka_unit_test(maps_values_in_a_name_are_no_arguments),
	    cmocka_unit_test(maps_values_for_postmap_are_refused),
	    cmocka_unit_test(maps_of_maps_give_what_postmap_gives),
	    cmocka_unit_test(maps_of_maps_ask_for_what_is_not_read),
	    cmocka_unit_test(maps_patterns_are_evaluated_here),
	    cmocka_unit_test(maps_patterns_are_used_as_a_whole_or_not_at_all),
	    cmocka_unit_test(maps_patterns_may_stand_in_the_name),
	    cmocka_unit_test(maps_patterns_are_not_asked_for_parts),
	    cmocka_unit_test(maps_cidr_is_evaluated_here),
	    cmocka_unit_test(maps_cidr_that_cannot_be_read_is_told),
	    cmocka_unit_test(maps_of_type_fail_do),
	    cmocka_unit_test(maps_preload_failure_ends_no_table),
	    cmocka_unit_test(maps_empty_values_are_errors),
	    cmocka_unit_test(maps_static_answers_everything),
	    cmocka_unit_test(maps_ask_no_table_for_nothing),
	};

	return cmocka_run_group_tests_name("maps", tests, setup, teardown);
}
