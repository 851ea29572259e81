/* Every "no" of a lane has words, and its own ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_no.h"

static const char *
words_of(size_t reason)
{
	struct lane_no no = {0};

	lane_no_set(&no, (enum lane_no_reason)reason, 0);
	return lane_no_words(&no);
}

static void
each_reason_has_words_of_its_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < LANE_NO_REASONS; i++) {
		assert_non_null(words_of(i));
		assert_true(strlen(words_of(i)) > 0);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(words_of(i), words_of(j));
	}
}

static void
detail_stands_for_the_reason_until_there_is_another(void **state)
{
	struct lane_no no = {0};

	(void)state;
	lane_no_set(&no, LANE_NO_SLOT, 5);
	no.detail = "account connection limit reached";
	assert_string_equal(
	    lane_no_words(&no), "account connection limit reached");
	assert_int_equal(no.not_before_us, 5);
	lane_no_set(&no, LANE_NO_CONNECTION_LIMIT, INT64_MAX);
	assert_string_equal(
	    lane_no_words(&no), "lane_connection_limit reached");
	assert_true(no.not_before_us == INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_reason_has_words_of_its_own),
	    cmocka_unit_test(
		detail_stands_for_the_reason_until_there_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
