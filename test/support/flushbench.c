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

#include "test/support/flushbench.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { DEADLINE_MS = 20000 };

static char release_new[] = "3.7.11", service[] = "flush", hashed[] = "defer";

static void
keep_warning(void *ctx, enum log_level level, const char *line)
{
	struct flushbench *b = ctx;

	(void)level;
	(void)snprintf(b->warning, sizeof(b->warning), "%s", line);
}

void
flushbench_open(struct flushbench *b)
{
	b->home_fd = open(".", O_RDONLY | O_DIRECTORY);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/flush.XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	assert_int_equal(chdir(b->dir), 0);
	assert_int_equal(mkdir("public", 0700), 0);
	assert_int_equal(mkdir("deferred", 0700), 0);
	log_set_sink(keep_warning, b);
	b->loop = loop_new();
	b->set.mail_version = release_new;
	b->set.flush_service_name = service;
	b->set.hash_queue_names = hashed;
	b->set.hash_queue_depth = 1;
	b->set.ipc_timeout_us = 3600 * US_PER_S;
	daemon_open(
	    &b->daemon, b->loop, "public/flush", "queue_flush_protocol");
}

void
flushbench_close(struct flushbench *b)
{
	daemon_close(&b->daemon);
	loop_free(&b->loop);
	assert_int_equal(rmdir("public"), 0);
	assert_int_equal(rmdir("deferred"), 0);
	assert_int_equal(fchdir(b->home_fd), 0);
	(void)close(b->home_fd);
	assert_int_equal(rmdir(b->dir), 0);
	log_set_sink(NULL, NULL);
}

void
flushbench_turn(struct flushbench *b)
{
	struct loop_timer *tick = loop_timer_new(b->loop, mem_free, NULL);

	loop_timer_at(tick, clock_mono_ms() + 5);
	loop_once(b->loop);
	loop_timer_free(&tick);
}

void
flushbench_wait_requests(struct flushbench *b, size_t count)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;

	while (b->daemon.requests < count) {
		assert_true(clock_mono_ms() < end_ms);
		flushbench_turn(b);
	}
}

void
flushbench_put_deferred(const char *id)
{
	char path[100];
	int fd;

	(void)snprintf(path, sizeof(path), "deferred/%s", id);
	fd = open(path, O_WRONLY | O_CREAT, 0700);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}
