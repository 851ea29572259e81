/* The setters of a route's two states, which no other file can call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/engine/route.c"
#include "test/support/moves.h"

static bool
reach(int from, int to)
{
	struct route r = {.reach = (enum route_reach)from};

	set_reach(&r, (enum route_reach)to, 1);
	return r.reach == (enum route_reach)to;
}

static void
reach_goes_down_by_steps_and_up_at_once(void **state)
{
	static const char *const table[] = {
	    [ROUTE_REACHABLE] = "r fd",
	    [ROUTE_FAILING] = "f dr",
	    [ROUTE_DOWN] = "d r",
	};

	(void)state;
	moves_check(table, ROUTE_DOWN + 1, reach);
}

static bool
trust(int from, int to)
{
	struct route r = {.trust = (enum route_trust)from};

	set_trust(&r, (enum route_trust)to);
	return r.trust == (enum route_trust)to;
}

static void
trust_is_lost_by_steps_and_won_at_once(void **state)
{
	static const char *const table[] = {
	    [ROUTE_TRUSTED] = "t sa",
	    [ROUTE_SUSPECT] = "s ta",
	    [ROUTE_ALARMED] = "a t",
	};

	(void)state;
	moves_check(table, ROUTE_ALARMED + 1, trust);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reach_goes_down_by_steps_and_up_at_once),
	    cmocka_unit_test(trust_is_lost_by_steps_and_won_at_once),
	};

	return cmocka_run_group_tests_name("route_moves", tests, NULL, NULL);
}
