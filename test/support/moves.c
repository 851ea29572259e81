#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/moves.h"

#include "test/support/death.h"

struct move {
	moves_fn *make;
	int from, to;
};

static void
try(void *arg)
{
	const struct move *move = arg;

	if (!move->make(move->from, move->to))
		_Exit(EXIT_FAILURE);
}

void
moves_check(const char *const *table, int count, moves_fn *make)
{
	for (int from = 0; from < count; from++)
		for (int to = 0; to < count; to++) {
			struct move move = {make, from, to};
			bool is_allowed =
			    strchr(table[from] + 2, *table[to]) != NULL;

			if (death_by_check(try, &move) == is_allowed)
				fail_msg("%c -> %c: must %sbe allowed",
				    *table[from], *table[to],
				    is_allowed ? "" : "not ");
		}
}
