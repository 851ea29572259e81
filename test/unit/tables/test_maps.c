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

/* type:NAME-in-the-scratch-directory, then what follows. */
static struct maps *
open_list(const char *type, const char *name, const char *rest)
{
	char list[1024];

	problems_fini(&problems);
	(void)snprintf(
	    list, sizeof(list), "%s%s%s", type, scratch_path(name), rest);
	return maps_open(&env, "some_maps", list, &problems);
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
	struct maps *maps;
	char *error = NULL;

	(void)state;
	maps = maps_open(&env, "x",
	    "inline:{a=joe:secret, b}, static:joe:secret", &problems);
	for (size_t i = 0; i < problems.count; i++)
		assert_null(strstr(problems.text[i], "secret"));
	assert_false(maps_each(maps, ignore_entry, NULL, &error));
	assert_null(strstr(error, "secret"));
	mem_free(error);
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
	maps_preload(maps, "a");
	expect(maps, "a", "error");
	assert_non_null(strstr(error_text, "unsupported dictionary type"));
	maps_close(&maps);
}

static void
maps_patterns_answer_what_was_preloaded(void **state)
{
	struct maps *maps;

	(void)state;
	scratch_write("pattern", "/^Host(.*)/ login-$1:p\n");
	maps = open_list("regexp:", "pattern", "");
	assert_int_equal(problems.count, 0);
	maps_preload(maps, "host7");
	maps_preload(maps, "other");
	expect(maps, "host7", "found login-7:p");
	expect(maps, "other", "none");
	expect(maps, "host8", "error");
	assert_non_null(strstr(error_text, "not read at start"));
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
	    cmocka_unit_test(maps_patterns_answer_what_was_preloaded),
	    cmocka_unit_test(maps_static_answers_everything),
	};

	return cmocka_run_group_tests_name("maps", tests, setup, teardown);
}
