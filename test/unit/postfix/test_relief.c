/* The way back of what was deferred, at the end of a process. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/postfix/relief.h"
#include "common/base/clock.h"
#include "test/support/flushbench.h"

enum { DEADLINE_MS = 20000 };

static char normal[] = "normal";

static void
count_look(void *ctx)
{
	++*(size_t *)ctx;
}

/* It would keep the process's slots for as long as it drains. */
static void
flush_that_is_silent_is_not_waited_for(void **state)
{
	struct flushbench bench = {.loop = NULL};
	struct relief *relief;
	size_t looks = 0;
	int64_t end_ms;

	(void)state;
	flushbench_open(&bench);
	bench.set.lane_priority = normal;
	bench.daemon.manner = DAEMON_STAY_SILENT;
	relief = relief_new(bench.loop, &bench.set, count_look, &looks);
	relief_keep(relief, NULL, "lane");
	flushbench_put_deferred("A1");
	relief_stop(relief);
	assert_false(relief_is_waking(relief));
	relief_leave_to_next(relief, "A1");
	relief_wake_next(relief);
	assert_true(relief_is_waking(relief));
	flushbench_wait_requests(&bench, 1);
	end_ms = clock_mono_ms() + DEADLINE_MS;
	while (looks == 0 && clock_mono_ms() < end_ms)
		flushbench_turn(&bench);
	assert_int_equal(looks, 1);
	assert_false(relief_is_waking(relief));
	relief_free(&relief);
	assert_int_equal(unlink("deferred/A1"), 0);
	flushbench_close(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(flush_that_is_silent_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
