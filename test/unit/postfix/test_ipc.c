#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/postfix/ipc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/daemon.h"

enum { DEADLINE_MS = 20000, REQUEST_MAX = 4 << 20, UNANSWERED = -99 };

struct world {
	struct loop *loop;
	struct settings set;
	struct daemon daemon;
	int home_fd;
	char dir[64];
	size_t answers;
	int32_t status; /* or UNANSWERED */
	char warning[200];
};

static char release_new[] = "3.7.11", release_old[] = "3.5.27";

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
	snprintf(w->dir, sizeof(w->dir), "/tmp/ipc.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chdir(w->dir), 0);
	log_set_sink(keep_warning, w);
	w->loop = loop_new();
	w->set.mail_version = release_new;
	w->set.ipc_timeout_us = 3600 * US_PER_S;
	daemon_open(&w->daemon, w->loop, "flush", "queue_flush_protocol");
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	daemon_close(&w->daemon);
	loop_free(&w->loop);
	assert_int_equal(fchdir(w->home_fd), 0);
	close(w->home_fd);
	assert_int_equal(rmdir(w->dir), 0);
	log_set_sink(NULL, NULL);
	mem_free(w);
	return 0;
}

static void
on_answer(void *ctx, bool is_answered, int32_t status)
{
	struct world *w = ctx;

	w->answers++;
	w->status = is_answered ? status : UNANSWERED;
}

static void
turn(struct world *w)
{
	struct loop_timer *tick = loop_timer_new(w->loop, mem_free, NULL);

	loop_timer_at(tick, clock_mono_ms() + 5);
	loop_once(w->loop);
	loop_timer_free(&tick);
}

/* A request of about n octets. */
static struct ipc *
ask(struct world *w, const char *path, size_t n)
{
	struct buf request;
	char *text = mem_zalloc(n + 1);
	struct ipc *ipc;

	memset(text, 'x', n);
	buf_init(&request, REQUEST_MAX);
	attr_put_str(&request, "request", slice_str(text));
	attr_put_end(&request);
	ipc = ipc_ask(w->loop, &w->set, path, "queue_flush_protocol", &request,
	    on_answer, w);
	assert_int_equal(buf_len(&request), 0);
	mem_free(text);
	return ipc;
}

static void
wait_for(struct world *w, size_t answers)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;

	while (w->answers < answers) {
		if (clock_mono_ms() > end_ms)
			fail_msg("no answer");
		turn(w);
	}
	assert_int_equal(w->answers, answers);
}

static void
ipc_hands_over_the_status(void **state)
{
	struct world *w = *state;

	(void)ask(w, "flush", 10);
	assert_int_equal(w->answers, 0);
	wait_for(w, 1);
	assert_int_equal(w->status, 0);
	w->daemon.manner = DAEMON_REFUSE;
	(void)ask(w, "flush", 10);
	wait_for(w, 2);
	assert_int_equal(w->status, -1);
	assert_string_equal(w->warning, "");
}

static void
ipc_waits_for_no_greeting_of_old_daemons(void **state)
{
	struct world *w = *state;

	w->set.mail_version = release_old;
	w->daemon.greeting = NULL;
	(void)ask(w, "flush", 10);
	wait_for(w, 1);
	assert_int_equal(w->status, 0);
}

/* More than a socket takes at once. */
static void
ipc_sends_large_requests(void **state)
{
	struct world *w = *state;

	(void)ask(w, "flush", 900000);
	wait_for(w, 1);
	assert_int_equal(w->status, 0);
	assert_true(buf_len(&w->daemon.last) > 900000);
}

static void
ipc_without_an_answer_says_why(void **state)
{
	static const struct {
		enum daemon_manner manner;
		const char *path, *warning;
	} table[] = {
	    {DAEMON_HANG_UP, "flush", "closed before an answer"},
	    {DAEMON_BABBLE, "flush", "answer without a status"},
	    {DAEMON_GREET_WRONGLY, "flush", "greeting of an unknown"},
	    {DAEMON_STAY_SILENT, "flush", "no answer in time"},
	    {DAEMON_OBEY, "nobody", "nobody: No such file"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		w->daemon.manner = table[i].manner;
		w->set.ipc_timeout_us = table[i].manner == DAEMON_STAY_SILENT
					    ? 30 * US_PER_MS
					    : 3600 * US_PER_S;
		(void)ask(w, table[i].path, 10);
		assert_int_equal(w->answers, i);
		wait_for(w, i + 1);
		assert_int_equal(w->status, UNANSWERED);
		assert_non_null(strstr(w->warning, table[i].warning));
	}
}

static void
ipc_refuses_what_no_socket_can_carry(void **state)
{
	struct world *w = *state;
	char path[300];
	struct ipc *ipc;

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	(void)ask(w, path, 10);
	wait_for(w, 1);
	assert_int_equal(w->status, UNANSWERED);
	assert_non_null(strstr(w->warning, "name too long"));
	ipc = ask(w, "flush", REQUEST_MAX);
	assert_non_null(strstr(w->warning, "request too large"));
	/* cancelled in time: nobody is told */
	ipc_cancel(&ipc);
	turn(w);
	assert_null(ipc);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->daemon.requests, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(ipc_hands_over_the_status),
	    TEST(ipc_waits_for_no_greeting_of_old_daemons),
	    TEST(ipc_sends_large_requests),
	    TEST(ipc_without_an_answer_says_why),
	    TEST(ipc_refuses_what_no_socket_can_carry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
