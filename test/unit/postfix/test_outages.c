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

/* This process waits for list 2. */
static bool
waits_for_2(void *ctx, uint64_t list)
{
	++*(size_t *)ctx;
	return list == 2;
}

static bool
waits_for_1(void *ctx, uint64_t list)
{
	(void)ctx;
	return list == 1;
}

static bool
waits_for_none(void *ctx, uint64_t list)
{
	(void)ctx;
	(void)list;
	return false;
}

static void
take_over(void *ctx, uint64_t list, const char *queue_id)
{
	outages_inherit(((struct world *)ctx)->outages, list, queue_id);
}

/* The next process of the lane begins. */
static struct recall_store *
begin(struct world *w, const struct statefile_dir *dir)
{
	struct recall_store *store = recall_store_open(dir, "lane");

	outages_free(&w->outages);
	w->outages = outages_new(w->bench.loop, &w->bench.set, 4);
	outages_keep(w->outages, store);
	recall_store_each(store, take_over, w);
	return store;
}

static void
put_in_queue(const char *queue, const char *id)
{
	char path[100];
	int fd;

	(void)mkdir(queue, 0700);
	(void)snprintf(path, sizeof(path), "%s/%s", queue, id);
	fd = open(path, O_WRONLY | O_CREAT, 0700);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void
remove_queue(const char *queue, const char *id)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/%s", queue, id);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(queue), 0);
}

static void
wait_idle(struct world *w)
{
	while (outages_is_busy(w->outages))
		flushbench_turn(&w->bench);
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
	store = begin(w, &dir);
	assert_true(outages_add(w->outages, 1, "A1"));
	assert_true(outages_add(w->outages, 2, "B2"));
	assert_false(outages_has_inherited(w->outages));
	recall_store_close(&store);
	store = begin(w, &dir);
	assert_int_equal(outages_count(w->outages), 2);
	assert_int_equal(outages_inherited(w->outages, 1), 1);
	assert_int_equal(outages_inherited(w->outages, 3), 0);
	assert_int_equal(outages_due(w->outages), 0);
	assert_true(outages_try_unless(w->outages, waits_for_2, &asked));
	assert_int_equal(asked, 2);
	assert_int_equal(outages_due(w->outages), 1);
	/* Called back, it is nobody's any more. */
	flushbench_put_deferred("A1");
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 1);
	wait_idle(w);
	assert_true(outages_settle(w->outages, waits_for_2, &asked));
	outages_allow(w->outages, 100, 0);
	remove_deferred("A1");
	recall_store_close(&store);
	store = begin(w, &dir);
	assert_int_equal(outages_inherited(w->outages, 1), 0);
	assert_int_equal(outages_inherited(w->outages, 2), 1);
	outages_free(&w->outages);
	recall_store_close(&store);
	statefile_dir_close(&dir);
	statedir_remove(&name);
}

/* That a host works says nothing of the hosts of another list. */
static void
list_that_is_not_known_is_tried_by_one_message(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 3; i++) {
		char id[20];

		(void)snprintf(id, sizeof(id), "A%d", i);
		flushbench_put_deferred(id);
		outages_inherit(w->outages, 1, id);
	}
	assert_true(outages_try_unless(w->outages, waits_for_none, NULL));
	assert_false(outages_try_unless(w->outages, waits_for_none, NULL));
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 1);
	wait_idle(w);
	assert_int_equal(outages_count(w->outages), 2);
	/* On its way: nothing is known. */
	put_in_queue("incoming", "A0");
	assert_false(outages_settle(w->outages, waits_for_none, NULL));
	remove_queue("incoming", "A0");
	put_in_queue("active", "A0");
	assert_false(outages_settle(w->outages, waits_for_none, NULL));
	assert_int_equal(outages_due(w->outages), 1);
	remove_queue("active", "A0");
	/* Its list is deferred again. */
	assert_true(outages_add(w->outages, 1, "A0"));
	assert_false(outages_settle(w->outages, waits_for_none, NULL));
	assert_int_equal(outages_due(w->outages), 0);
	assert_int_equal(outages_inherited(w->outages, 1), 3);
	/* Tried once more, and its list is owed by then. */
	assert_true(outages_try_unless(w->outages, waits_for_none, NULL));
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 2);
	wait_idle(w);
	assert_false(outages_settle(w->outages, waits_for_1, NULL));
	assert_int_equal(outages_due(w->outages), 0);
	/* And the third time it goes another way. */
	assert_true(outages_try_unless(w->outages, waits_for_none, NULL));
	outages_allow(w->outages, 100, 0);
	flushbench_wait_requests(&w->bench, 3);
	wait_idle(w);
	assert_true(outages_settle(w->outages, waits_for_none, NULL));
	for (int i = 0; i < 3; i++) {
		char id[20];

		(void)snprintf(id, sizeof(id), "A%d", i);
		remove_deferred(id);
	}
}

/* However many end at once. */
static void
room_and_pace_are_for_all_lists_together(void **state)
{
	enum { LISTS = 20, EACH = 20, ROOM = 10 };
	struct world *w = *state;
	char id[20];
	int64_t from_ms;

	for (unsigned i = 0; i < LISTS * EACH; i++) {
		(void)snprintf(id, sizeof(id), "A%u", i);
		flushbench_put_deferred(id);
		assert_true(outages_add(w->outages, 1 + i % LISTS, id));
	}
	for (unsigned i = 0; i < LISTS; i++)
		outages_over(w->outages, 1 + i);
	assert_int_equal(outages_due(w->outages), LISTS * EACH);
	outages_allow(w->outages, ROOM, 0);
	flushbench_wait_requests(&w->bench, ROOM);
	from_ms = clock_mono_ms();
	while (clock_mono_ms() < from_ms + 300)
		flushbench_turn(&w->bench);
	assert_int_equal(w->bench.daemon.requests, ROOM);
	assert_int_equal(outages_asked(w->outages), ROOM);
	for (unsigned i = 0; i < LISTS * EACH; i++) {
		(void)snprintf(id, sizeof(id), "A%u", i);
		remove_deferred(id);
	}
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
	    TEST(list_that_is_not_known_is_tried_by_one_message),
	    TEST(room_and_pace_are_for_all_lists_together),
	    TEST(one_that_is_there_wakes_the_next_process),
	    TEST(without_a_flush_service_nothing_is_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
