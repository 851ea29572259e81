#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/smarthost/dial.h"
#include "test/support/moves.h"

static bool
make(int from, int to)
{
	struct dial dial = {.state = (enum dial_state)from};

	dial_set_state(&dial, (enum dial_state)to);
	return dial.state == (enum dial_state)to;
}

static void
dial_moves_as_the_table_says_and_in_no_other_way(void **state)
{
	static const char *const table[DIAL_STATES] = {
	    [DIAL_STATE_LOOKUP] = "l lco",
	    [DIAL_STATE_CONNECT] = "c ltgo",
	    [DIAL_STATE_TLS] = "t lcgeqo",
	    [DIAL_STATE_GREETING] = "g leqo",
	    [DIAL_STATE_EHLO] = "e lhsaqo",
	    [DIAL_STATE_HELO] = "h lsqo",
	    [DIAL_STATE_STARTTLS] = "s ltaqo",
	    [DIAL_STATE_AUTH] = "a lcarqo",
	    [DIAL_STATE_RSET] = "r lcqo",
	    [DIAL_STATE_QUIT] = "q lo",
	    [DIAL_STATE_OVER] = "o ",
	};

	(void)state;
	moves_check(table, DIAL_STATES, make);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dial_moves_as_the_table_says_and_in_no_other_way),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
