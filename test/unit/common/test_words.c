#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/words.h"

static void
words_lines_skip_remarks_and_count_all(void **state)
{
	struct lines lines =
	    lines_of(slice_str("# remark\n\n  one two \r\n \t\n#\nthree"));
	struct slice line;

	(void)state;
	assert_true(lines_next(&lines, &line));
	assert_true(slice_eq(line, "one two"));
	assert_int_equal(lines.number, 3);
	assert_true(lines_next(&lines, &line));
	assert_true(slice_eq(line, "three"));
	assert_int_equal(lines.number, 6);
	assert_false(lines_next(&lines, &line));
}

static void
words_are_cut_off_one_by_one(void **state)
{
	struct slice rest = slice_str(" a\t bc  d"), word;

	(void)state;
	assert_true(words_next(&rest, &word));
	assert_true(slice_eq(word, "a"));
	assert_true(words_next(&rest, &word));
	assert_true(slice_eq(word, "bc"));
	assert_true(slice_eq(rest, "d"));
	assert_true(words_next(&rest, &word));
	assert_false(words_next(&rest, &word));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_lines_skip_remarks_and_count_all),
	    cmocka_unit_test(words_are_cut_off_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
