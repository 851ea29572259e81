#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/smarthost/dial.h"
#include "test/support/death.h"

/* A letter for each state, in the order of enum dial_state. */
static const char letters[] = "lctgehsaqo";

/* State and those that may come next; all else must end the process. */
static const char *const may[] = {
    "l lco",
    "c ltgo",
    "t lcgeqo",
    "g leqo",
    "e lhsaqo",
    "h lsqo",
    "s ltaqo",
    "a laqo",
    "q lo",
    "o ",
};

struct move {
	enum dial_state from, to;
};

static void
make(void *arg)
{
	const struct move *move = arg;
	struct dial dial = {.state = move->from};

	dial_set_state(&dial, move->to);
	if (dial.state != move->to)
		_Exit(1);
}

static void
dial_moves_as_the_table_says_and_in_no_other_way(void **state)
{
	(void)state;
	assert_int_equal(sizeof(letters) - 1, DIAL_STATES);
	for (int from = 0; from < DIAL_STATES; from++)
		for (int to = 0; to < DIAL_STATES; to++) {
			struct move move = {
			    (enum dial_state)from, (enum dial_state)to};
			bool is_allowed =
			    strchr(may[from] + 2, letters[to]) != NULL;

			assert_int_equal(*may[from], letters[from]);
			if (death_by_check(make, &move) == is_allowed)
				fail_msg("%c -> %c: must %sbe allowed",
				    letters[from], letters[to],
				    is_allowed ? "" : "not ");
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dial_moves_as_the_table_says_and_in_no_other_way),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
