#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/shared/session_id.h"

static const struct timeval now = {1800000000, 123000};
static const struct timeval tomorrow = {1800086400, 123000};
static const struct timeval yesterday = {1799913600, 123000};

static void
session_id_differs_within_a_process(void **state)
{
	struct session_ids ids = {0};
	uint64_t last = 0;

	(void)state;
	/* many in a millisecond, and a clock that is set back */
	for (int i = 0; i < 1000; i++) {
		uint64_t id =
		    session_id_next(&ids, i < 500 ? now : yesterday, 77);

		assert_true(id > last);
		last = id;
	}
}

static void
session_id_differs_by_process_and_within_a_day(void **state)
{
	struct session_ids a = {0}, b = {0}, later = {0};
	uint64_t id = session_id_next(&a, now, 4194303);

	(void)state;
	assert_true(id != session_id_next(&b, now, 4194302));
	assert_true(id != session_id_next(&later, tomorrow, 4194303));
	assert_true(id != 0);
}

static void
session_id_is_short_and_one_word(void **state)
{
	char text[SESSION_ID_SIZE];

	(void)state;
	session_id_text(0, text);
	assert_string_equal(text, "0000000000");
	session_id_text((UINT64_C(1) << 50) - 1, text);
	assert_string_equal(text, "zzzzzzzzzz");
	session_id_text(UINT64_C(33), text);
	assert_string_equal(text, "0000000011");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(session_id_differs_within_a_process),
	    cmocka_unit_test(session_id_differs_by_process_and_within_a_day),
	    cmocka_unit_test(session_id_is_short_and_one_word),
	};

	return cmocka_run_group_tests_name("session_id", tests, NULL, NULL);
}
