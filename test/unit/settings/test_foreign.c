#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "agent/settings/foreign.h"
#include "agent/settings/params.h"

static struct problems problems;

static size_t
told(enum foreign_kind kind, const char *harmless, const char *value,
    bool is_written)
{
	struct foreign row = {"smtp_x", kind, "3.4", harmless, "use y"};

	problems_fini(&problems);
	foreign_judge(&row, value, is_written, &problems);
	return problems.count * 10 + problems.warning_count;
}

static void
foreign_value_that_asks_for_something_is_told(void **state)
{
	(void)state;
	assert_int_equal(told(FOREIGN_REFUSE, "-|no", "yes", false), 10);
	assert_string_equal(problems.text[0],
	    "bad parameter: smtp_x = yes: not supported by lane: use y");
	assert_int_equal(told(FOREIGN_WARN, "-|no", "yes", true), 1);
	assert_string_equal(problems.warning[0],
	    "smtp_x = yes: not supported by lane, without effect: use y");
	assert_int_equal(told(FOREIGN_FINE, "", "yes", true), 0);
	problems_fini(&problems);
}

static void
foreign_value_of_nobody_is_harmless(void **state)
{
	(void)state;
	assert_int_equal(told(FOREIGN_REFUSE, "-|no", "", true), 0);
	assert_int_equal(told(FOREIGN_REFUSE, "-|no", " NO ", true), 0);
	assert_int_equal(told(FOREIGN_REFUSE, "-|no", "non", true), 10);
	assert_int_equal(told(FOREIGN_REFUSE, "-|no", "n", true), 10);
	assert_int_equal(told(FOREIGN_REFUSE, "no", "", true), 10);
	assert_int_equal(told(FOREIGN_REFUSE, "no", NULL, false), 0);
	assert_int_equal(told(FOREIGN_REFUSE, "a, b=c", "a,\tb=c", true), 0);
	assert_int_equal(told(FOREIGN_REFUSE, "a, b", "ab", true), 10);
	assert_int_equal(told(FOREIGN_REFUSE, NULL, "x", true), 10);
	assert_int_equal(told(FOREIGN_REFUSE, NULL, "x", false), 0);
	problems_fini(&problems);
}

static void
foreign_table_is_complete_and_none_of_ours(void **state)
{
	(void)state;
	assert_null(foreign_get(foreign_count()));
	for (size_t i = 0; i < foreign_count(); i++) {
		const struct foreign *f = foreign_get(i);

		assert_ptr_equal(foreign_find(f->name), f);
		assert_null(params_find(f->name));
		assert_int_equal(strncmp(f->since, "3.", 2), 0);
		assert_true(f->about[0] != '\0');
	}
	assert_null(foreign_find("smtp_tls_securty_level"));
}

static void
foreign_names_of_the_queue_manager_are_known_by_their_ends(void **state)
{
	(void)state;
	assert_true(foreign_is_of_queue_manager("a_recipient_limit"));
	assert_true(foreign_is_of_queue_manager("x_transport_rate_delay"));
	assert_false(foreign_is_of_queue_manager("_recipient_limit"));
	assert_false(foreign_is_of_queue_manager("a_recipient_limits"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(foreign_value_that_asks_for_something_is_told),
	    cmocka_unit_test(foreign_value_of_nobody_is_harmless),
	    cmocka_unit_test(foreign_table_is_complete_and_none_of_ours),
	    cmocka_unit_test(
		foreign_names_of_the_queue_manager_are_known_by_their_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
