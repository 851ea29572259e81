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

#include "agent/postfix/requeue.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/flushbench.h"

enum { DEADLINE_MS = 20000 };

struct world {
	struct flushbench bench;
	struct requeue *recall;
};

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	flushbench_open(&w->bench);
	w->recall = requeue_new(w->bench.loop, &w->bench.set);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	requeue_free(&w->recall);
	flushbench_close(&w->bench);
	mem_free(w);
	return 0;
}

static void
wait_for(struct world *w, size_t left)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;

	while (requeue_count(w->recall) > left) {
		assert_true(clock_mono_ms() < end_ms);
		flushbench_turn(&w->bench);
	}
}

static void
take_deferred(const char *id)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "deferred/%s", id);
	assert_int_equal(unlink(path), 0);
}

static bool
last_request_has(const struct world *w, const char *text)
{
	struct slice s = buf_slice(&w->bench.daemon.last);

	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void
recall_calls_in_order_what_is_deferred_and_passes_the_rest_over(void **state)
{
	struct world *w = *state;

	flushbench_put_deferred("A1");
	flushbench_put_deferred("C3");
	requeue_add(w->recall, "A1");
	requeue_add(w->recall, "B2");
	requeue_add(w->recall, "C3");
	requeue_allow(w->recall, 10, 1000);
	flushbench_wait_requests(&w->bench, 1);
	assert_true(last_request_has(w, "send_file"));
	assert_true(last_request_has(w, "A1"));
	flushbench_wait_requests(&w->bench, 2);
	assert_true(last_request_has(w, "C3"));
	assert_int_equal(requeue_count(w->recall), 0);
	while (requeue_called(w->recall) < 2)
		flushbench_turn(&w->bench);
	take_deferred("A1");
	take_deferred("C3");
}

/* A1 is there and is asked for; B2 is not, and is waited for while it is young.
 * True: it was young all the time. */
static bool
is_young_one_waited_for(struct world *w, size_t asked_before)
{
	int64_t from_ms = clock_mono_ms();
	bool is_young;

	requeue_add(w->recall, "A1");
	requeue_add(w->recall, "B2");
	requeue_allow(w->recall, 2, 1000);
	flushbench_wait_requests(&w->bench, asked_before + 1);
	assert_true(last_request_has(w, "A1"));
	while (requeue_is_busy(w->recall))
		flushbench_turn(&w->bench);
	for (int i = 0; i < 5; i++)
		flushbench_turn(&w->bench);
	is_young = clock_mono_ms() - from_ms < REQUEUE_YOUNG_MS;
	if (!is_young) {
		wait_for(w, 0);
		return false;
	}
	assert_int_equal(requeue_count(w->recall), 1);
	flushbench_put_deferred("B2");
	flushbench_wait_requests(&w->bench, asked_before + 2);
	assert_true(last_request_has(w, "B2"));
	take_deferred("B2");
	return true;
}

/* What the queue manager has put there already need not grow old: an operator
 * waits for it. */
static void
recall_waits_for_what_is_not_there_yet_alone(void **state)
{
	enum { TRIES = 10 }; /* on a machine that stands still now and then */
	struct world *w = *state;
	int tries = 0;

	flushbench_put_deferred("A1");
	while (!is_young_one_waited_for(w, w->bench.daemon.requests))
		assert_true(++tries < TRIES);
	take_deferred("A1");
}

static void
recall_stops_where_it_is_told_to(void **state)
{
	struct world *w = *state;

	flushbench_put_deferred("A1");
	for (int i = 0; i < 5; i++)
		requeue_add(w->recall, "A1");
	requeue_allow(w->recall, 2, 1000);
	wait_for(w, 3);
	for (int i = 0; i < 20; i++)
		flushbench_turn(&w->bench);
	assert_int_equal(requeue_count(w->recall), 3);
	requeue_allow(w->recall, 1, 1000);
	wait_for(w, 2);
	requeue_allow(w->recall, 0, 0);
	for (int i = 0; i < 20; i++)
		flushbench_turn(&w->bench);
	assert_int_equal(requeue_count(w->recall), 2);
	take_deferred("A1");
}

static void
recall_rests_when_the_service_does_not_answer(void **state)
{
	struct world *w = *state;

	flushbench_put_deferred("A1");
	w->bench.daemon.manner = DAEMON_HANG_UP;
	requeue_add(w->recall, "A1");
	requeue_add(w->recall, "A1");
	requeue_allow(w->recall, 10, 1000);
	flushbench_wait_requests(&w->bench, 1);
	while (strstr(w->bench.warning, "service flush") == NULL)
		flushbench_turn(&w->bench);
	for (int i = 0; i < 20; i++) {
		requeue_allow(w->recall, 10, 1000);
		flushbench_turn(&w->bench);
	}
	assert_int_equal(w->bench.daemon.requests, 1);
	assert_int_equal(requeue_count(w->recall), 1);
	assert_int_equal(requeue_called(w->recall), 0);
	take_deferred("A1");
}

static void
recall_forgets_the_oldest_of_too_many(void **state)
{
	struct world *w = *state;
	char id[16];

	for (int i = 0; i < REQUEUE_MAX + 10; i++) {
		(void)snprintf(id, sizeof(id), "F%d", i);
		requeue_add(w->recall, id);
	}
	assert_int_equal(requeue_count(w->recall), REQUEUE_MAX);
	requeue_add(w->recall, "muchtoolongforanyqueueidofthisworld");
	assert_int_equal(requeue_count(w->recall), REQUEUE_MAX);
	flushbench_put_deferred("F10");
	requeue_allow(w->recall, 1, 1000);
	flushbench_wait_requests(&w->bench, 1);
	assert_true(last_request_has(w, "F10"));
	take_deferred("F10");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		recall_calls_in_order_what_is_deferred_and_passes_the_rest_over,
		set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		recall_waits_for_what_is_not_there_yet_alone, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		recall_stops_where_it_is_told_to, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		recall_rests_when_the_service_does_not_answer, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		recall_forgets_the_oldest_of_too_many, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("recall", tests, NULL, NULL);
}
