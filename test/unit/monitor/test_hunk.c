#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/mem.h"
#include "monitor/hunk.h"

/* made by before -> after, taken back from now. */
static void
reverts(const char *before, const char *after, const char *now,
    const char *expected)
{
	struct hunk hunk;
	char *text;

	hunk_make(&hunk, before, after);
	text = hunk_revert(&hunk, now);
	if (expected == NULL) {
		assert_null(text);
		assert_int_equal(hunk_state_of(&hunk, now), HUNK_GONE);
	} else {
		assert_non_null(text);
		assert_string_equal(text, expected);
	}
	mem_free(text);
	hunk_fini(&hunk);
}

static void
hunk_revert_is_what_was_there_before(void **state)
{
	static const char *const pairs[][2] = {
	    {"", "a = 1\n"},
	    {"a = 1\n", "a = 1\nb = 2\n"},
	    {"a = 1", "a = 1\nb = 2\n"},
	    {"t = x\nb = 1\n", "t = x, y\nb = 1\n"},
	    {"t = x,\n\ty\nb = 1\n", "t = x, y z\nb = 1\n"},
	    {"t =  x_z\n", "t = x_z y_z\n"},
	    {"a = 1\n\n\n", "a = 1\n\n\nb = 2\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		reverts(pairs[i][0], pairs[i][1], pairs[i][1], pairs[i][0]);
}

static void
hunk_of_lines_has_them_whole(void **state)
{
	struct hunk hunk;
	char *text;

	(void)state;
	hunk_make_lines(
	    &hunk, "a = 1\nd = smtp\nb = 2\n", "a = 1\nd = slow\nb = 2\n");
	assert_string_equal(hunk.old, "d = smtp\n");
	assert_string_equal(hunk.new, "d = slow\n");
	text = hunk_revert(&hunk, "a = 7\nd = slow\nx_d = slow:\n");
	assert_string_equal(text, "a = 7\nd = smtp\nx_d = slow:\n");
	mem_free(text);
	hunk_fini(&hunk);
	hunk_make_lines(&hunk, "d = smtp\n\tx\n", "d = slow\n");
	assert_string_equal(hunk.old, "d = smtp\n\tx\n");
	assert_string_equal(hunk.new, "d = slow\n");
	hunk_fini(&hunk);
	/* without an end */
	hunk_make_lines(&hunk, "d = smtp", "d = slow\n");
	assert_string_equal(hunk.old, "d = smtp");
	assert_string_equal(hunk.new, "d = slow\n");
	hunk_fini(&hunk);
}

static void
hunk_revert_leaves_what_changed_elsewhere(void **state)
{
	(void)state;
	reverts("a = 1\n", "a = 1\nb = 2\n", "a = 7\nb = 2\nc = 3\n",
	    "a = 7\nc = 3\n");
	reverts("t = x\n", "t = x, y\n", "# new\nt = x, y\nc = 3\n",
	    "# new\nt = x\nc = 3\n");
	reverts("a = 1", "a = 1\nb = 2\n", "a = 1\nb = 2\nc = 3\n",
	    "a = 1\nc = 3\n");
}

static void
hunk_that_was_changed_or_doubled_is_gone(void **state)
{
	(void)state;
	reverts("a = 1\n", "a = 1\nb = 2\n", "a = 1\nb = 3\n", NULL);
	reverts("", "b = 2\n", "b = 2\nb = 2\n", NULL);
	reverts("a\n", "a\n", "a\n", NULL);
}

/* What is left would belong to the line before. */
static void
hunk_that_goes_on_or_begins_elsewhere_is_gone(void **state)
{
	(void)state;
	reverts("a x\n", "a x\nb y\n", "a x\nb y\n  z\n", NULL);
	reverts("a x\n", "a x\nb y\n", "a x\nb y\n# c\n\n\tz\n", NULL);
	reverts("a x\n", "a x\nb y\n", "a x\nbb y\n", NULL);
	reverts("t = x\n", "t = x y\n", "t = x y, z\n", NULL);
	reverts("t = x\n", "t = x y\n", "t = x yy\n", NULL);
	reverts("t = x,\n  z\n", "t = x, z y\n", "a = 1\n#t = x, z y\n", NULL);
	reverts("t = x\n", "t = x, y\n", "t = x, y, z\n", "t = x, z\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hunk_revert_is_what_was_there_before),
	    cmocka_unit_test(hunk_of_lines_has_them_whole),
	    cmocka_unit_test(hunk_revert_leaves_what_changed_elsewhere),
	    cmocka_unit_test(hunk_that_was_changed_or_doubled_is_gone),
	    cmocka_unit_test(hunk_that_goes_on_or_begins_elsewhere_is_gone),
	};

	return cmocka_run_group_tests_name("hunk", tests, NULL, NULL);
}
