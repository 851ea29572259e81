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
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/daemon.h"

enum { DEADLINE_MS = 20000 };

struct world {
	struct loop *loop;
	struct settings set;
	struct daemon daemon;
	struct outages *outages;
	int home_fd;
	char dir[64];
};

static char release_new[] = "3.7.11", service[] = "flush", none[] = "";
static char hashed[] = "defer";

static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	w->home_fd = open(".", O_RDONLY | O_DIRECTORY);
	snprintf(w->dir, sizeof(w->dir), "/tmp/outages.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(mkdir("public", 0700), 0);
	assert_int_equal(mkdir("deferred", 0700), 0);
	log_set_sink(swallow, NULL);
	w->loop = loop_new();
	w->set.mail_version = release_new;
	w->set.flush_service_name = service;
	w->set.hash_queue_names = hashed;
	w->set.hash_queue_depth = 1;
	w->set.ipc_timeout_ms = 3600000;
	daemon_open(
	    &w->daemon, w->loop, "public/flush", "queue_flush_protocol");
	w->outages = outages_new(w->loop, &w->set, 4);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	outages_free(&w->outages);
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
wait_called(struct world *w, size_t count)
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

	put_deferred("A1");
	put_deferred("B2");
	put_deferred("C3");
	assert_true(outages_add(w->outages, 1, "A1"));
	assert_true(outages_add(w->outages, 2, "B2"));
	assert_true(outages_add(w->outages, 1, "C3"));
	/* Nothing before, and nothing of another. */
	outages_allow(w->outages, 100, 0);
	assert_int_equal(outages_due(w->outages), 0);
	outages_over(w->outages, 1);
	assert_int_equal(outages_due(w->outages), 2);
	outages_allow(w->outages, 100, 0);
	wait_called(w, 2);
	assert_int_equal(outages_count(w->outages), 1);
	assert_int_equal(outages_due(w->outages), 0);
	outages_over(w->outages, 2);
	outages_allow(w->outages, 100, 0);
	wait_called(w, 3);
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

static void
without_a_flush_service_nothing_is_promised(void **state)
{
	struct world *w = *state;

	w->set.flush_service_name = none;
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
	    TEST(without_a_flush_service_nothing_is_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
