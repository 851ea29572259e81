#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "agent/tables/rewrite_table.h"

static struct problems problems;
static struct mapwatch *watch;
static struct buf out;

static struct rewrite_table *
open_table(const char *list)
{
	static const struct maps_env env = {
	    .config_directory = "/nowhere", .command_directory = "/nowhere"};

	problems_fini(&problems);
	return rewrite_table_open(&env, "param", list, watch, &problems);
}

static enum rewriter_result
ask(const struct rewrite_table *table, const char *text)
{
	buf_reset(&out);
	return rewriter_ask(rewrite_table_rewriter(table), text, &out);
}

static int
set_up(void **state)
{
	(void)state;
	watch = mapwatch_new();
	buf_init(&out, 100);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	mapwatch_free(&watch);
	buf_fini(&out);
	problems_fini(&problems);
	return 0;
}

static void
rewrite_table_answers_at_once(void **state)
{
	struct rewrite_table *table =
	    open_table("inline:{192.0.2.1=size, b=c}, inline:{b=d}");

	(void)state;
	assert_int_equal(problems.count, 0);
	assert_int_equal(ask(table, "192.0.2.1"), REWRITER_DONE);
	assert_string_equal(buf_str(&out), "size");
	assert_int_equal(ask(table, "b"), REWRITER_DONE);
	assert_string_equal(buf_str(&out), "c");
	assert_int_equal(ask(table, "x"), REWRITER_KEPT);
	rewrite_table_close(&table);
}

static void
rewrite_table_of_nothing_keeps_everything(void **state)
{
	struct rewrite_table *table = open_table("");

	(void)state;
	assert_int_equal(problems.count, 0);
	assert_null(rewrite_table_rewriter(table)->fn);
	assert_int_equal(ask(table, "x"), REWRITER_KEPT);
	rewrite_table_close(&table);
}

static void
rewrite_table_that_must_be_waited_for_is_refused(void **state)
{
	struct rewrite_table *table = open_table("inline:{a=b}, tcp:[::1]:9");

	(void)state;
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0],
	    "bad parameter: param = inline:{a=b}, tcp:[::1]:9: not supported"));
	assert_int_equal(ask(table, "a"), REWRITER_DONE);
	assert_int_equal(ask(table, "x"), REWRITER_UNKNOWN);
	rewrite_table_close(&table);
}

static void
rewrite_table_reads_here_what_proxymap_need_not(void **state)
{
	struct rewrite_table *table =
	    open_table("proxy:inline:{a=b}, proxy:regexp:{{/x/ y}}");

	(void)state;
	assert_int_equal(problems.count, 0);
	assert_true(rewrite_table_is_whole(table));
	assert_int_equal(ask(table, "a"), REWRITER_DONE);
	assert_string_equal(buf_str(&out), "b");
	assert_int_equal(ask(table, "xx"), REWRITER_DONE);
	assert_string_equal(buf_str(&out), "y");
	assert_int_equal(ask(table, "z"), REWRITER_KEPT);
	rewrite_table_close(&table);
	table = open_table("proxy:ldap:/etc/a");
	assert_int_equal(problems.count, 1);
	assert_false(rewrite_table_is_whole(table));
	rewrite_table_close(&table);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rewrite_table_answers_at_once),
	    TEST(rewrite_table_of_nothing_keeps_everything),
	    TEST(rewrite_table_that_must_be_waited_for_is_refused),
	    TEST(rewrite_table_reads_here_what_proxymap_need_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
