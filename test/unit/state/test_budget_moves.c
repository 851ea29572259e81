/* The setters of a budget's three states; to the state that it is in already
 * each does nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/state/budget.c"
#include "test/support/moves.h"

static struct budget b;

static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static bool
need(int from, int to)
{
	b.need = (enum budget_need)from;
	set_need(&b, (enum budget_need)to);
	return b.need == (enum budget_need)to;
}

static void
budget_that_drains_wants_nothing_again(void **state)
{
	static const char *const table[] = {
	    [BUDGET_CONTENT] = "c crd",
	    [BUDGET_REFUSED] = "r rcd",
	    [BUDGET_DRAINING] = "d d",
	};

	(void)state;
	moves_check(table, BUDGET_DRAINING + 1, need);
}

static bool
mutex(int from, int to)
{
	b.mutex = (enum budget_mutex)from;
	set_mutex(&b, (enum budget_mutex)to, 1);
	return b.mutex == (enum budget_mutex)to;
}

static void
budget_goes_alone_only_after_it_missed_the_mutex(void **state)
{
	static const char *const table[] = {
	    [BUDGET_MUTEX_HAD] = "h hm",
	    [BUDGET_MUTEX_MISSED] = "m mha",
	    [BUDGET_MUTEX_ALONE] = "a ah",
	};

	(void)state;
	log_set_sink(swallow, NULL);
	moves_check(table, BUDGET_MUTEX_ALONE + 1, mutex);
	log_set_sink(NULL, NULL);
}

static bool
file(int from, int to)
{
	b.file = (enum budget_file)from;
	b.fd = 0;
	budget_set_file(&b, (enum budget_file)to);
	return b.file == (enum budget_file)to;
}

static void
budget_with_a_file_is_never_without_one_again(void **state)
{
	static const char *const table[] = {
	    [BUDGET_FILE_NONE] = "n ns",
	    [BUDGET_FILE_SHARED] = "s sdl",
	    [BUDGET_FILE_DAMAGED] = "d dsl",
	    [BUDGET_FILE_LEFT] = "l lsd",
	};

	(void)state;
	moves_check(table, BUDGET_FILE_LEFT + 1, file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(budget_that_drains_wants_nothing_again),
	    cmocka_unit_test(budget_goes_alone_only_after_it_missed_the_mutex),
	    cmocka_unit_test(budget_with_a_file_is_never_without_one_again),
	};

	return cmocka_run_group_tests_name("budget_moves", tests, NULL, NULL);
}
