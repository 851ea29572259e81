#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "monitor/mastercf.h"

#define FIELDS "unix - - n - 1 "

static void
words_are(const char *line, size_t n, const char *const *expected)
{
	struct mastercf_entry entry;

	assert_int_equal(mastercf_parse(&entry, line), n > 0);
	assert_int_equal(entry.word_count, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(entry.words[i], expected[i]);
	if (n > 0)
		assert_null(entry.words[n]);
	mastercf_fini(&entry);
}

static void
mastercf_words_are_cut_at_blanks_outside_of_braces(void **state)
{
	static const char *const plain[] = {
	    "lane", "-o", "a=1,2", "class=slow"};
	static const char *const braced[] = {
	    "lane", "-o", "{ a = b {c d} }", "-o", "x=${y?{1 2}}"};

	(void)state;
	words_are("slow  " FIELDS "lane -o a=1,2  class=slow", 4, plain);
	words_are("slow " FIELDS "lane -o { a = b {c d} } -o x=${y?{1 2}}", 5,
	    braced);
	words_are("slow unix - - n - 1", 0, NULL);
	words_are("", 0, NULL);
}

static void
mastercf_fields_are_as_written_and_their_defaults_known(void **state)
{
	struct mastercf_entry entry;

	(void)state;
	assert_true(
	    mastercf_parse(&entry, "a unix n - - 5? 7 /opt/lane token"));
	assert_string_equal(entry.fields[MASTERCF_SERVICE], "a");
	assert_string_equal(entry.fields[MASTERCF_WAKEUP], "5?");
	assert_string_equal(entry.fields[MASTERCF_PROCESS_LIMIT], "7");
	assert_false(mastercf_is_yes(&entry, MASTERCF_PRIVATE, "3.6"));
	assert_true(mastercf_is_yes(&entry, MASTERCF_UNPRIVILEGED, "3.6"));
	assert_false(mastercf_is_yes(&entry, MASTERCF_CHROOT, "3.6"));
	assert_true(mastercf_is_yes(&entry, MASTERCF_CHROOT, "0"));
	assert_string_equal(mastercf_program(&entry), "lane");
	assert_false(mastercf_is_lane(&entry));
	mastercf_fini(&entry);
	assert_true(mastercf_parse(&entry, "a unix - - y - - lane"));
	assert_true(mastercf_is_lane(&entry));
	assert_true(mastercf_is_yes(&entry, MASTERCF_CHROOT, "3.6"));
	mastercf_fini(&entry);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		mastercf_words_are_cut_at_blanks_outside_of_braces),
	    cmocka_unit_test(
		mastercf_fields_are_as_written_and_their_defaults_known),
	};

	return cmocka_run_group_tests_name("mastercf", tests, NULL, NULL);
}
