#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/postfix/outages.h"
#include "agent/state/recall_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/flushbench.h"
#include "test/support/statedir.h"

enum { DEADLINE_MS = 20000 };

struct world {
	struct flushbench bench;
	struct outages *outages;
};

static char none[] = "";

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	flushbench_open(&w->bench);
	w->outages = outages_new(w->bench.loop, &w->bench.set, 4);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	outages_free(&w->outages);
	flushbench_close(&w->bench);
	mem_free(w);
	return 0;
}

static void
remove_deferred(const char *id)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "deferred/%s", id);
	assert_int_equal(unlink(path), 0);
}

static void
what_one_outage_deferred_is_called_when_that_one_is_over(void **state)
{
	struct world *w = *state;

	flushbench_put_deferred("A1");
	flushbench_put_deferred("B2");
	flushbench_put_deferred("C3");
	assert_true(outages_add(w->outages, 1, "A1"));
	assert_true(outages_add(w->outages, 2, "B2"));
	assert_true(outages_add(w->outages, 1, "C3"));
	/* Nothing before, and nothing of another. */
	outages_allow(w->outages, 100, 0);
	assert_int_equal(outages_due(w->outages), 0);
	outages_over(w->outages, 1);
	assert_int_equal(outages_due(w->outages), 2);
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 2);
	assert_int_equal(outages_count(w->outages), 1);
	assert_int_equal(outages_due(w->outages), 0);
	outages_over(w->outages, 2);
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 3);
	remove_deferred("A1");
	remove_deferred("B2");
	remove_deferred("C3");
}

static void
outage_that_begins_again_stops_the_calls(void **state)
{
	struct world *w = *state;

	assert_true(outages_add(w->outages, 1, "A1"));
	outages_over(w->outages, 1);
	assert_int_equal(outages_due(w->outages), 1);
	assert_true(outages_add(w->outages, 1, "B2"));
	assert_int_equal(outages_due(w->outages), 0);
	assert_int_equal(outages_count(w->outages), 2);
	outages_over(w->outages, 1);
	assert_int_equal(outages_due(w->outages), 2);
}

static void
memory_is_bounded_and_the_oldest_outage_forgotten(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 1; i <= OUTAGES_MAX + 1; i++)
		assert_true(outages_add(w->outages, i, "A1"));
	assert_int_equal(outages_count(w->outages), OUTAGES_MAX);
	outages_over(w->outages, 1);
	assert_int_equal(outages_due(w->outages), 0);
}

/* What breaks the connection whenever it is tried does so once more. */
static void
what_is_in_doubt_is_noted_once(void **state)
{
	struct world *w = *state;

	assert_true(outages_add_doubtful(w->outages, 1, "A1"));
	assert_true(outages_add_doubtful(w->outages, 1, "B2"));
	outages_over(w->outages, 1);
	assert_int_equal(outages_due(w->outages), 2);
	assert_false(outages_add_doubtful(w->outages, 1, "A1"));
	assert_false(outages_add_doubtful(w->outages, 2, "B2"));
	assert_int_equal(outages_count(w->outages), 2);
	/* Deferred by an outage it is as good as any other. */
	assert_true(outages_add(w->outages, 1, "A1"));
}

static void
doubts_are_forgotten_the_oldest_first(void **state)
{
	struct world *w = *state;
	char id[20];

	for (int i = 0; i <= OUTAGES_DOUBTS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "%X", i);
		assert_true(outages_add_doubtful(w->outages, 1, id));
	}
	assert_false(outages_add_doubtful(w->outages, 1, "1"));
	assert_true(outages_add_doubtful(w->outages, 1, "0"));
	assert_true(outages_add_doubtful(w->outages, 1, "1"));
}

/* Lists 1 and 2 of an earlier process; this one waits for list 2. */
static bool
waits_for_2(void *ctx, uint64_t list)
{
	++*(size_t *)ctx;
	return list == 2;
}

static void
next_process_takes_over_what_is_noted(void **state)
{
	struct world *w = *state;
	char *name = statedir_make();
	struct statefile_dir dir;
	struct recall_store *store;
	char why[256];
	size_t asked = 0;

	assert_true(statefile_dir_open(&dir, name, why, sizeof(why)));
	store = recall_store_open(&dir, "lane");
	outages_keep(w->outages, store);
	assert_true(outages_add(w->outages, 1, "A1"));
	assert_true(outages_add(w->outages, 2, "B2"));
	assert_false(outages_has_inherited(w->outages));
	outages_free(&w->outages);
	w->outages = outages_new(w->bench.loop, &w->bench.set, 4);
	outages_keep(w->outages, store);
	assert_int_equal(outages_count(w->outages), 2);
	assert_int_equal(outages_inherited(w->outages, 1), 1);
	assert_int_equal(outages_inherited(w->outages, 3), 0);
	assert_int_equal(outages_due(w->outages), 0);
	outages_over_unless(w->outages, waits_for_2, &asked);
	assert_int_equal(asked, 2);
	assert_int_equal(outages_due(w->outages), 1);
	/* Called back, it is nobody's any more. */
	flushbench_put_deferred("A1");
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 1);
	while (outages_is_busy(w->outages))
		flushbench_turn(&w->bench);
	outages_allow(w->outages, 100, 0);
	remove_deferred("A1");
	outages_free(&w->outages);
	w->outages = outages_new(w->bench.loop, &w->bench.set, 4);
	outages_keep(w->outages, store);
	assert_int_equal(outages_inherited(w->outages, 1), 0);
	assert_int_equal(outages_inherited(w->outages, 2), 1);
	outages_free(&w->outages);
	recall_store_close(&store);
	statefile_dir_close(&dir);
	statedir_remove(&name);
}

/* Whatever is to be called back when: the next process is to have mail. */
static void
one_that_is_there_wakes_the_next_process(void **state)
{
	struct world *w = *state;

	assert_false(outages_wake(w->outages));
	assert_true(outages_add(w->outages, 1, "A1"));
	assert_true(outages_add(w->outages, 2, "B2"));
	assert_false(outages_wake(w->outages));
	flushbench_put_deferred("B2");
	assert_true(outages_wake(w->outages));
	assert_true(outages_is_busy(w->outages));
	flushbench_wait_requests(&w->bench, 1);
	remove_deferred("B2");
}

static void
without_a_flush_service_nothing_is_promised(void **state)
{
	struct world *w = *state;

	w->bench.set.flush_service_name = none;
	assert_false(outages_add(w->outages, 1, "A1"));
	assert_int_equal(outages_count(w->outages), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_one_outage_deferred_is_called_when_that_one_is_over),
	    TEST(outage_that_begins_again_stops_the_calls),
	    TEST(memory_is_bounded_and_the_oldest_outage_forgotten),
	    TEST(what_is_in_doubt_is_noted_once),
	    TEST(doubts_are_forgotten_the_oldest_first),
	    TEST(next_process_takes_over_what_is_noted),
	    TEST(one_that_is_there_wakes_the_next_process),
	    TEST(without_a_flush_service_nothing_is_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
