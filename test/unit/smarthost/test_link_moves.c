/* The setter of a link's life, which no other file can call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/smarthost/link.c"
#include "test/support/moves.h"

static void
on_tls(void *ctx, bool ok, enum link_end end, const char *text)
{
	(void)ctx;
	(void)ok;
	(void)end;
	(void)text;
}

static bool
live(int from, int to)
{
	struct link link = {.life = (enum life)from};

	if (to == LIFE_HANDSHAKE)
		link.on_tls = on_tls;
	set_life(&link, (enum life)to);
	return link.life == (enum life)to;
}

static void
link_is_secure_after_a_handshake_only_and_over_for_good(void **state)
{
	static const char *const table[] = {
	    [LIFE_PLAIN] = "p hof",
	    [LIFE_HANDSHAKE] = "h sof",
	    [LIFE_SECURE] = "s of",
	    [LIFE_OVER] = "o f",
	    [LIFE_FREED] = "f ",
	};

	(void)state;
	moves_check(table, LIFE_FREED + 1, live);
}

/* Else the answer of a handshake would go to nobody. */
static bool
begin_handshake(int from, int to)
{
	struct link link = {.life = (enum life)from};

	set_life(&link, (enum life)to);
	return link.life == (enum life)to;
}

static void
link_begins_no_handshake_that_nobody_waits_for(void **state)
{
	static const char *const table[] = {
	    [LIFE_PLAIN] = "p of",
	    [LIFE_HANDSHAKE] = "h sof",
	};

	(void)state;
	moves_check(table, LIFE_HANDSHAKE + 1, begin_handshake);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		link_is_secure_after_a_handshake_only_and_over_for_good),
	    cmocka_unit_test(link_begins_no_handshake_that_nobody_waits_for),
	};

	return cmocka_run_group_tests_name("link_moves", tests, NULL, NULL);
}
