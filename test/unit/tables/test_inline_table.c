/* The judge is postmap: it takes the same names and gives the same values. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "agent/io/command_output.h"
#include "agent/tables/inline_table.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

static const char *const names[] = {"{a=1}", "{a=1, {b = two words}}",
    "{ b=3 c=4 }", "{a=}", "{{a = }}", "{a=1", "{a=1}x", "{a=1} x", "{}", "{ }",
    "{a}", "{{a b}}", "{{a=1}x}", "{a=b=c}", "{a = b, c = d}", "{{a = {x y}}}",
    "{{\"a b\" = c}}", "{{a\\ b=c}}", "{a=1,{c=d}", "x", "{A=1}",
    "{\n a=1\n b=2\n}", "{{\"a=1}}", "{a=1 a=2}"};

static int
setup(void **state)
{
	(void)state;
	scratch_config("");
	return 0;
}

static void
add_line(void *ctx, const char *key, const char *value)
{
	(void)buf_addf(ctx, "%s\t%s\n", key, value);
}

static void
run(const char *option, const char *type, const char *name,
    struct command_output_result *result)
{
	char *table = mem_printf("%s:%s", type, name);
	const char *argv[] = {"/usr/sbin/postmap", option, table, NULL, NULL};

	if (strcmp(option, "-q") == 0) {
		argv[2] = "any";
		argv[3] = table;
	}
	command_output_run(result, argv);
	mem_free(table);
}

/* postmap lists in an order of its own, and folds keys. */
static void
expect_lines(const char *name, const char *ours, const char *theirs)
{
	if (strlen(ours) != strlen(theirs))
		fail_msg("%s: \"%s\", but postmap: \"%s\"", name, ours, theirs);
	while (*ours != '\0') {
		size_t n = strcspn(ours, "\n") + 1;
		char *line = mem_strndup(ours, n);

		if (strcasestr(theirs, line) == NULL)
			fail_msg("%s: \"%s\", but postmap: \"%s\"", name, line,
			    theirs);
		mem_free(line);
		ours += n;
	}
}

static void
inline_table_reads_what_postmap_reads(void **state)
{
	(void)state;
	/* The last one has a key twice, which is the reader's to decide. */
	for (size_t i = 0; i + 1 < sizeof(names) / sizeof(names[0]); i++) {
		struct command_output_result result;
		const char *why = NULL;
		struct buf ours;
		bool is_good;

		buf_init(&ours, 4096);
		is_good = inline_entries(names[i], add_line, &ours, &why);
		run("-s", "inline", names[i], &result);
		if (is_good != (strstr(buf_str(&result.err), "fatal:") == NULL))
			fail_msg("%s: %s, but postmap: \"%s\"", names[i],
			    is_good ? "good" : why, buf_str(&result.err));
		assert_int_equal(is_good, why == NULL);
		if (is_good)
			expect_lines(
			    names[i], buf_str(&ours), buf_str(&result.out));
		buf_fini(&ours);
		command_output_fini(&result);
	}
}

/* postmap leaves such an entry out. */
static void
inline_table_needs_keys(void **state)
{
	const char *why = NULL;
	struct buf ours;

	(void)state;
	buf_init(&ours, 4096);
	assert_false(inline_entries("{a=1, =secret}", add_line, &ours, &why));
	assert_string_equal(why, "an entry must be key = value");
	buf_fini(&ours);
}

static void
inline_table_static_is_the_value(void **state)
{
	static const char *const values[] = {
	    "x", "a:b", "{a b}", "{ a b }", "{a}b", "{a", "a}", "{{a}}"};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct command_output_result result;
		const char *why = NULL;
		char *value = inline_static(values[i], &why);

		run("-q", "static", values[i], &result);
		if ((value == NULL) != (result.status != 0))
			fail_msg("%s: %s, but postmap: \"%s\"", values[i],
			    value != NULL ? value : why, buf_str(&result.err));
		if (value != NULL) {
			(void)buf_addf(&result.err, "%s\n", value);
			assert_string_equal(
			    buf_str(&result.err), buf_str(&result.out));
		}
		mem_free(value);
		command_output_fini(&result);
	}
}

static void
inline_table_rules_become_lines(void **state)
{
	const char *why = NULL;
	char *lines = inline_rules("{ {/a{2}/ x y}, { /b/ z } }", &why);

	(void)state;
	assert_non_null(lines);
	assert_string_equal(lines, "/a{2}/ x y\n/b/ z\n");
	mem_free(lines);
	assert_null(inline_rules("{ /a/ x }", &why));
	assert_non_null(why);
	assert_null(inline_rules("{ {/a/ x}", &why));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(inline_table_reads_what_postmap_reads),
	    cmocka_unit_test(inline_table_needs_keys),
	    cmocka_unit_test(inline_table_static_is_the_value),
	    cmocka_unit_test(inline_table_rules_become_lines),
	};

	return cmocka_run_group_tests_name("inline_table", tests, setup, NULL);
}
