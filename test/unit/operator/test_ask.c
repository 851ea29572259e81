#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/operator/ask.h"
#include "agent/operator/steering.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/shared/askproto.h"
#include "common/shared/board.h"
#include "test/support/statedir.h"

enum { DEADLINE_MS = 20000 };

static struct loop *loop;
static struct statefile_dir dir;
static char asked[256];

static void
echo(void *ctx, struct slice question, struct buf *out)
{
	(void)snprintf(
	    asked, sizeof(asked), "%.*s", (int)question.n, question.p);
	(void)buf_addf(out, "ok %s", (const char *)ctx);
}

static int
set_up(void **state)
{
	char error[200];

	(void)statedir_setup(state);
	loop = loop_new();
	asked[0] = '\0';
	return !statefile_dir_open(&dir, *state, error, sizeof(error));
}

static int
tear_down(void **state)
{
	loop_free(&loop);
	statefile_dir_close(&dir);
	return statedir_teardown(state);
}

static char first[] = "first", second[] = "second";

static int
connect_to(const char *state_dir)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path),
	    "%.80s/" ASKPROTO_PREFIX "%016llx", state_dir,
	    (unsigned long long)board_hash("fast"));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* What comes until the other side hangs up. */
static void
hear(int fd, char *text, size_t n)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;
	size_t length = 0;
	ssize_t got = -1;

	while (got != 0 && clock_mono_ms() < end_ms) {
		got = recv(fd, text + length, n - 1 - length, 0);
		if (got > 0)
			length += (size_t)got;
		else if (got < 0)
			loop_once(loop);
	}
	text[length] = '\0';
	assert_int_equal(got, 0);
	(void)close(fd);
}

static void
say(int fd, const char *text)
{
	assert_int_equal(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
ask_answers_a_line_and_hangs_up(void **state)
{
	struct ask *a = ask_open(loop, &dir, "fast", echo, NULL, first);
	char text[64];
	int fd;

	assert_non_null(a);
	fd = connect_to(*state);
	assert_true(fd >= 0);
	say(fd, "why 4ABC ");
	loop_once(loop);
	say(fd, "joe@example.com\nmore\n");
	hear(fd, text, sizeof(text));
	assert_string_equal(text, "ok first\n");
	assert_string_equal(asked, "why 4ABC joe@example.com");
	ask_close(&a);
}

static void
ask_is_not_held_up_by_who_says_too_much_or_nothing(void **state)
{
	struct ask *a = ask_open(loop, &dir, "fast", echo, NULL, first);
	char text[64], much[ASKPROTO_QUESTION_MAX + 1];
	int silent, loud, fd;

	memset(much, 'x', sizeof(much));
	much[sizeof(much) - 1] = '\0';
	silent = connect_to(*state);
	loud = connect_to(*state);
	assert_true(silent >= 0 && loud >= 0);
	say(loud, much);
	hear(loud, text, sizeof(text));
	assert_string_equal(text, "");
	assert_string_equal(asked, "");
	fd = connect_to(*state);
	say(fd, "steer\n");
	hear(fd, text, sizeof(text));
	assert_string_equal(text, "ok first\n");
	/* After its time. */
	hear(silent, text, sizeof(text));
	assert_string_equal(text, "");
	ask_close(&a);
}

static void
ask_is_taken_over_by_the_next_process(void **state)
{
	struct ask *a = ask_open(loop, &dir, "fast", echo, NULL, first);
	struct ask *b = ask_open(loop, &dir, "fast", echo, NULL, second);
	char text[64];
	int fd;

	ask_close(&a);
	fd = connect_to(*state);
	assert_true(fd >= 0);
	say(fd, "steer\n");
	hear(fd, text, sizeof(text));
	assert_string_equal(text, "ok second\n");
	ask_close(&b);
	/* The name is there, and nobody. */
	assert_int_equal(connect_to(*state), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_null(ask_open(loop, NULL, "fast", echo, NULL, first));
}

/* A lane that has no descriptor left does not turn in its loop for it. */
static void
ask_rests_while_there_is_no_descriptor(void **state)
{
	struct ask *a = ask_open(loop, &dir, "fast", echo, NULL, first);
	struct rlimit was, none;
	char text[64];
	int fd = connect_to(*state);
	int64_t from_ms = clock_mono_ms();

	assert_true(fd >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	loop_once(loop);
	loop_once(loop);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(clock_mono_ms() - from_ms >= ASK_REST_MS);
	say(fd, "steer\n");
	hear(fd, text, sizeof(text));
	assert_string_equal(text, "ok first\n");
	ask_close(&a);
}

/* ---- orders ---------------------------------------------------------------
 */

static void
steering_makes_orders_of_what_is_in_force(void **state)
{
	static const char file[] = "postlane-steer 1 9\n"
				   "fast drain - 1700000060 1 root on pts/3\n"
				   "fast rate 5/1s 0 1 root\n"
				   "fast connections 3 1699999999 1 root\n"
				   "slow pause - 0 1 root\n"
				   "slow pause example.com 1600000000@7.9000 1 "
				   "root\n"
				   "slow pause example.net 0 1 joe\n";
	const struct moment now = {
	    .us = 5000000, .wall = {.tv_sec = 1700000000}};
	struct steer *s = mem_zalloc(sizeof(*s));
	struct lane_hold *holds = mem_zarray(STEER_ORDERS_MAX, sizeof(*holds));
	struct lane_steering order;
	char error[200];

	(void)state;
	assert_true(steer_parse(slice_str(file), s, error, sizeof(error)));
	steering_orders(s, "fast", now, 7, &order);
	assert_int_equal(order.paused_until_us, 65 * US_PER_S);
	assert_true(order.is_drain);
	assert_int_equal(order.asked_s, 1);
	assert_non_null(strstr(order.why, "drained by root on pts/3 until "));
	assert_string_equal(order.rate, "5/1s");
	assert_int_equal(order.connection_limit, 0);
	steering_orders(s, "slow", now, 7, &order);
	assert_true(order.paused_until_us == INT64_MAX);
	assert_false(order.is_drain);
	assert_string_equal(order.why, "paused by root");
	assert_string_equal(order.rate, "");
	steering_orders(s, "other", now, 7, &order);
	assert_int_equal(order.paused_until_us, 0);
	assert_int_equal(steering_holds(s, "fast", now, 7, holds), 0);
	assert_int_equal(steering_holds(s, "slow", now, 7, holds), 2);
	assert_string_equal(holds[0].domain, "example.com");
	/* The clock was set since; the wall clock alone says it is over. */
	assert_int_equal(holds[0].until_us, 9 * US_PER_S);
	assert_string_equal(holds[1].why, "paused by joe");
	assert_true(holds[1].until_us == INT64_MAX);
	assert_int_equal(steering_holds(s, "slow", now, 8, holds), 1);
	mem_free(holds);
	mem_free(s);
}

#define IN_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_LOOP(ask_answers_a_line_and_hangs_up),
	    IN_LOOP(ask_is_not_held_up_by_who_says_too_much_or_nothing),
	    IN_LOOP(ask_is_taken_over_by_the_next_process),
	    IN_LOOP(ask_rests_while_there_is_no_descriptor),
	    cmocka_unit_test(steering_makes_orders_of_what_is_in_force),
	};

	return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
