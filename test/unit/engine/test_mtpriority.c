#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/mtpriority.h"
#include "test/support/session_rig.h"

enum { NOTHING = 99 };

static const struct {
	const char *value, *priority;
	int told;
} cases[] = {
    {NULL, NULL, NOTHING},
    {"no", "urgent", NOTHING},
    {"No", "urgent", NOTHING},
    {"yes", "urgent", 4},
    {"yes", NULL, 4},
    {"YES", "normal", 0},
    {"yes", "bulk", -4},
    {"yes", "100", 4},
    {"yes", "16", 4},
    {"yes", "15", 0},
    {"yes", "4", 0},
    {"yes", "3", -4},
    {"yes", "1", -4},
    {"0", "urgent", 0},
    {"9", "bulk", 9},
    {"-9", "urgent", -9},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void
the_number_is_the_lanes(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		int told = NOTHING;

		assert_int_equal(
		    mtpriority_get(cases[i].value, cases[i].priority, &told),
		    cases[i].told != NOTHING);
		assert_int_equal(told, cases[i].told);
	}
}

static void
values_that_are_none_are_refused(void **state)
{
	static const char *const good[] = {
	    "no", "yes", "NO", "Yes", "0", "1", "9", "-1", "-9"};
	static const char *const bad[] = {"", " ", "+4", "-0", "10", "-10",
	    "4 ", "04", "high", "yes,no", "-", "--1", "4.0", "none", ":", "/"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(mtpriority_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(mtpriority_is_valid(bad[i]));
}

/* To a server that offers it, and to no other. */
static void
mail_says_it_where_it_is_offered(void **state)
{
	(void)state;
	for (int is_offered = 0; is_offered < 2; is_offered++) {
		char value[] = "yes", priority[] = "bulk";
		struct rig rig;

		rig_init(&rig, SESSION_GROUP);
		rig.set.lane_mt_priority = value;
		rig.set.lane_priority = priority;
		rig.ehlo.mt_priority = is_offered;
		rig_open(&rig);
		(void)rig_send(&rig);
		rig_expect(&rig, is_offered ? "MAIL FROM:<s1@from.test> "
					      "MT-PRIORITY=-4\r\n"
					      "RCPT TO:<r1.0.250@to.test>\r\n"
					      "DATA\r\n"
					    : "MAIL FROM:<s1@from.test>\r\n"
					      "RCPT TO:<r1.0.250@to.test>\r\n"
					      "DATA\r\n");
		rig_fini(&rig);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_number_is_the_lanes),
	    cmocka_unit_test(values_that_are_none_are_refused),
	    cmocka_unit_test(mail_says_it_where_it_is_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
