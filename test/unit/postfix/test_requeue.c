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
#include "test/support/daemon.h"

enum { DEADLINE_MS = 20000 };

struct world {
	struct loop *loop;
	struct settings set;
	struct daemon daemon;
	struct requeue *recall;
	int home_fd;
	char dir[64];
	char warning[200];
};

static char release_new[] = "3.7.11", service[] = "flush", hashed[] = "defer";

static void
keep_warning(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;

	(void)level;
	snprintf(w->warning, sizeof(w->warning), "%s", line);
}

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	w->home_fd = open(".", O_RDONLY | O_DIRECTORY);
	snprintf(w->dir, sizeof(w->dir), "/tmp/recall.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(mkdir("public", 0700), 0);
	assert_int_equal(mkdir("deferred", 0700), 0);
	log_set_sink(keep_warning, w);
	w->loop = loop_new();
	w->set.mail_version = release_new;
	w->set.flush_service_name = service;
	w->set.hash_queue_names = hashed;
	w->set.hash_queue_depth = 1;
	w->set.ipc_timeout_ms = 3600000;
	daemon_open(
	    &w->daemon, w->loop, "public/flush", "queue_flush_protocol");
	w->recall = requeue_new(w->loop, &w->set);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	requeue_free(&w->recall);
	daemon_close(&w->daemon);
	loop_free(&w->loop);
	assert_int_equal(rmdir("public"), 0);
	assert_int_equal(rmdir("deferred"), 0);
	assert_int_equal(fchdir(w->home_fd), 0);
	close(w->home_fd);
	assert_int_equal(rmdir(w->dir), 0);
	log_set_sink(NULL, NULL);
	mem_free(w);
	return 0;
}

static void
turn(struct world *w)
{
	struct loop_timer *tick = loop_timer_new(w->loop, mem_free, NULL);

	loop_timer_at(tick, clock_mono_ms() + 5);
	loop_once(w->loop);
	loop_timer_free(&tick);
}

static void
wait_for(struct world *w, size_t left)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;

	while (requeue_count(w->recall) > left) {
		assert_true(clock_mono_ms() < end_ms);
		turn(w);
	}
}

static void
wait_requests(struct world *w, size_t count)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;

	while (w->daemon.requests < count) {
		assert_true(clock_mono_ms() < end_ms);
		turn(w);
	}
}

static void
put_deferred(const char *id)
{
	char path[100];
	int fd;

	(void)snprintf(path, sizeof(path), "deferred/%s", id);
	fd = open(path, O_WRONLY | O_CREAT, 0700);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
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
	struct slice s = buf_slice(&w->daemon.last);

	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void
recall_calls_in_order_what_is_deferred_and_passes_the_rest_over(void **state)
{
	struct world *w = *state;

	put_deferred("A1");
	put_deferred("C3");
	requeue_add(w->recall, "A1");
	requeue_add(w->recall, "B2");
	requeue_add(w->recall, "C3");
	requeue_allow(w->recall, 10, 1000);
	/* The queue manager may not have put them there yet. */
	turn(w);
	assert_int_equal(requeue_count(w->recall), 3);
	wait_requests(w, 1);
	assert_true(last_request_has(w, "send_file"));
	assert_true(last_request_has(w, "A1"));
	wait_requests(w, 2);
	assert_true(last_request_has(w, "C3"));
	assert_int_equal(requeue_count(w->recall), 0);
	while (requeue_called(w->recall) < 2)
		turn(w);
	take_deferred("A1");
	take_deferred("C3");
}

static void
recall_stops_where_it_is_told_to(void **state)
{
	struct world *w = *state;

	put_deferred("A1");
	for (int i = 0; i < 5; i++)
		requeue_add(w->recall, "A1");
	requeue_allow(w->recall, 2, 1000);
	wait_for(w, 3);
	for (int i = 0; i < 20; i++)
		turn(w);
	assert_int_equal(requeue_count(w->recall), 3);
	requeue_allow(w->recall, 1, 1000);
	wait_for(w, 2);
	requeue_allow(w->recall, 0, 0);
	for (int i = 0; i < 20; i++)
		turn(w);
	assert_int_equal(requeue_count(w->recall), 2);
	take_deferred("A1");
}

static void
recall_rests_when_the_service_does_not_answer(void **state)
{
	struct world *w = *state;

	put_deferred("A1");
	w->daemon.manner = DAEMON_HANG_UP;
	requeue_add(w->recall, "A1");
	requeue_add(w->recall, "A1");
	requeue_allow(w->recall, 10, 1000);
	wait_requests(w, 1);
	while (strstr(w->warning, "service flush") == NULL)
		turn(w);
	for (int i = 0; i < 20; i++) {
		requeue_allow(w->recall, 10, 1000);
		turn(w);
	}
	assert_int_equal(w->daemon.requests, 1);
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
	put_deferred("F10");
	requeue_allow(w->recall, 1, 1000);
	wait_requests(w, 1);
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
		recall_stops_where_it_is_told_to, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		recall_rests_when_the_service_does_not_answer, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		recall_forgets_the_oldest_of_too_many, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("recall", tests, NULL, NULL);
}
