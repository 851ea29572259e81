#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/probe.h"
#include "agent/smarthost/tokens.h"
#include "monitor/prober.h"

/* Else a lane would send where its probe runs out of time. */
static void
prober_waits_for_a_probe_that_waits_for_a_token_and_a_dial(void **state)
{
	enum { DIAL_MS = 60000, START_MS = 10000 };

	(void)state;
	assert_true(PROBE_LIMIT_MS >= TOKENS_TIMEOUT_MS + DIAL_MS);
	assert_true(PROBER_LIMIT_MS >= PROBE_LIMIT_MS + START_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		prober_waits_for_a_probe_that_waits_for_a_token_and_a_dial),
	};

	return cmocka_run_group_tests_name("prober", tests, NULL, NULL);
}
