/* The setter of a webhook's state, which no other file can call. It is included
 * first, since cmocka has a macro by the name of one of its functions. */
#include "agent/operator/webhook.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/moves.h"

static bool
with_a_body(int from, int to)
{
	struct webhook w = {.state = (enum hook_state)from, .pending = 1};

	set_state(&w, (enum hook_state)to);
	return w.state == (enum hook_state)to;
}

static void
webhook_moves_as_the_table_says_and_in_no_other_way(void **state)
{
	static const char *const table[] = {
	    [HOOK_IDLE] = "i lpd",
	    [HOOK_LOOKING_UP] = "l pwid",
	    [HOOK_POSTING] = "p wid",
	    [HOOK_PAUSED] = "w lpd",
	    [HOOK_DRAINED] = "d ",
	};

	(void)state;
	moves_check(table, HOOK_DRAINED + 1, with_a_body);
}

static bool
without_a_body(int from, int to)
{
	struct webhook w = {.state = (enum hook_state)from};

	set_state(&w, (enum hook_state)to);
	return w.state == (enum hook_state)to;
}

static void
webhook_without_anything_to_post_only_comes_to_rest(void **state)
{
	static const char *const table[] = {
	    [HOOK_IDLE] = "i d",
	    [HOOK_LOOKING_UP] = "l id",
	    [HOOK_POSTING] = "p id",
	    [HOOK_PAUSED] = "w d",
	    [HOOK_DRAINED] = "d ",
	};

	(void)state;
	moves_check(table, HOOK_DRAINED + 1, without_a_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		webhook_moves_as_the_table_says_and_in_no_other_way),
	    cmocka_unit_test(
		webhook_without_anything_to_post_only_comes_to_rest),
	};

	return cmocka_run_group_tests_name("webhook_moves", tests, NULL, NULL);
}
