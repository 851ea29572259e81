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

static void
words_of_a_value_are_cut_at_any_separator(void **state)
{
	struct slice rest = slice_str(",\t a,b\r\n c=d"), word;

	(void)state;
	assert_true(words_cut(&rest, WORDS_SEPARATORS, &word));
	assert_true(slice_eq(word, "a"));
	assert_true(words_cut(&rest, WORDS_SEPARATORS, &word));
	assert_true(slice_eq(word, "b"));
	assert_true(words_cut(&rest, " \r\n=", &word));
	assert_true(slice_eq(word, "c"));
	assert_true(words_cut(&rest, "=", &word));
	assert_true(slice_eq(word, "d"));
	assert_false(words_cut(&rest, "=", &word));
	assert_int_equal(word.n, 0);
}

static void
words_a_nul_octet_separates_nothing(void **state)
{
	struct slice rest = slice_of("a\0b c", 5), word;

	(void)state;
	assert_true(words_cut(&rest, WORDS_SEPARATORS, &word));
	assert_int_equal(word.n, 3);
	assert_true(words_cut_braced(&rest, &word));
	assert_true(slice_eq(word, "c"));
	assert_false(words_cut_braced(&rest, &word));
}

static void
words_within_braces_are_one(void **state)
{
	struct slice rest = slice_str("x:{a, {b} c},y } z {open, "), word;
	static const char *const want[] = {
	    "x:{a, {b} c}", "y", "}", "z", "{open, "};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(words_cut_braced(&rest, &word));
		assert_true(slice_eq(word, want[i]));
	}
	assert_false(words_cut_braced(&rest, &word));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_lines_skip_remarks_and_count_all),
	    cmocka_unit_test(words_are_cut_off_one_by_one),
	    cmocka_unit_test(words_of_a_value_are_cut_at_any_separator),
	    cmocka_unit_test(words_a_nul_octet_separates_nothing),
	    cmocka_unit_test(words_within_braces_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
