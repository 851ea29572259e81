/* What the server announced in LIMITS (RFC 9422) is kept to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/lane_world.h"

static void
check_each_once(const struct world *w)
{
	assert_int_equal(w->outcomes[OUTCOME_SENT], w->count * w->rcpts_each);
	for (size_t i = 0; i < w->count; i++)
		for (size_t k = 0; k < w->rcpts_each; k++)
			assert_int_equal(w->messages[i].taken[k], 1);
}

static void
transactions_have_rcptmax_recipients_at_most(void **state)
{
	static const struct {
		unsigned max;
		int mails;
	} cases[] = {{1, 7}, {3, 3}, {6, 2}, {7, 1}, {100, 1}, {0, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;

		world_init(&w);
		w.ehlo.limits_rcptmax = cases[i].max;
		w.rcpts_each = 7;
		world_open(&w, 20);
		world_submit(&w, 20);
		world_finish(&w, 60000);
		check_each_once(&w);
		assert_int_equal(w.messages[0].mails, cases[i].mails);
		if (cases[i].max > 0)
			assert_true(w.rcpts_peak <= cases[i].max);
		world_fini(&w);
	}
}

/* Also when mail for other domains comes to sessions that had theirs, and no
 * more sessions are allowed. */
static void
sessions_have_rcptdomainmax_domains_at_most(void **state)
{
	static const char *const domains[] = {"one.test", "two.test",
	    "one.test", "three.test", "four.test", "two.test"};

	(void)state;
	for (unsigned max = 1; max <= 5; max++) {
		struct world w;

		world_init(&w);
		w.ehlo.limits_rcptdomainmax = max;
		w.set.lane_connection_limit = 2;
		w.rcpts_each = 6;
		for (size_t i = 0; i < 6; i++)
			w.domains_of[i] = domains[i];
		world_open(&w, 20);
		world_submit(&w, 20);
		world_finish(&w, 600000);
		check_each_once(&w);
		assert_true(w.domains_peak <= max);
		world_fini(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(transactions_have_rcptmax_recipients_at_most),
	    cmocka_unit_test(sessions_have_rcptdomainmax_domains_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
