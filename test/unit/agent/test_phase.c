#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/phase.h"
#include "test/support/moves.h"

static bool
make(int from, int to)
{
	enum phase phase = (enum phase)from;

	phase_set(&phase, (enum phase)to);
	return phase == (enum phase)to;
}

static void
phase_moves_towards_the_end_and_in_no_other_way(void **state)
{
	static const char *const table[PHASES] = {
	    [PHASE_SERVING] = "s rdt",
	    [PHASE_RESTARTING] = "r dt",
	    [PHASE_DRAINING] = "d to",
	    [PHASE_STOPPING] = "t o",
	    [PHASE_OUT_OF_TIME] = "o ",
	};

	(void)state;
	moves_check(table, PHASES, make);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(phase_moves_towards_the_end_and_in_no_other_way),
	};

	return cmocka_run_group_tests_name("phase", tests, NULL, NULL);
}
