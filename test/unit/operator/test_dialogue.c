/* Who listens to a lane is never waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/engine/transaction.h"
#include "agent/operator/dialogue.h"
#include "common/base/mem.h"

enum { ALL_MAX = 4 << 20 };

static char ID[] = "4ABC", TO[] = "joe@example.com";
static struct recipient rcpt = {.address = TO};
static struct request req = {.queue_id = ID, .rcpts = &rcpt, .rcpt_count = 1};

struct ear {
	struct loop *loop;
	struct dialogue *d;
	struct transaction *t;
	struct peer peer;
	int fd;
	char *heard;
	size_t n;
};

static void
begin(struct ear *e, const char *to)
{
	int pair[2];

	memset(e, 0, sizeof(*e));
	e->loop = loop_new();
	e->d = dialogue_new(e->loop);
	e->heard = mem_zalloc(ALL_MAX);
	e->t = mem_zalloc(sizeof(*e->t));
	e->t->req = &req;
	(void)snprintf(e->peer.session, sizeof(e->peer.session), "s1");
	e->peer.tracer = dialogue_tracer(e->d);
	assert_false(trace_is_on(&e->peer));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(dialogue_listen(e->d, pair[0], slice_str(to)));
	assert_true(trace_is_on(&e->peer));
	e->fd = pair[1];
}

static void
end(struct ear *e)
{
	(void)close(e->fd);
	mem_free(e->heard);
	mem_free(e->t);
	dialogue_free(&e->d);
	loop_free(&e->loop);
}

static void
on_tick(void *ctx)
{
	(void)ctx;
}

/* One turn, whether there is an event or not. */
static void
turn(struct ear *e)
{
	struct loop_timer *tick = loop_timer_new(e->loop, on_tick, NULL);

	loop_timer_at(tick, 1);
	loop_once(e->loop);
	loop_timer_free(&tick);
}

/* All that is there to be read, and that is being written meanwhile. */
static void
hear(struct ear *e)
{
	ssize_t got;

	do {
		turn(e);
		got = recv(
		    e->fd, e->heard + e->n, ALL_MAX - 1 - e->n, MSG_DONTWAIT);
		if (got > 0)
			e->n += (size_t)got;
	} while (got > 0);
	e->heard[e->n] = '\0';
}

static void
dialogue_tells_what_sessions_say_and_hear(void **state)
{
	struct ear e;

	(void)state;
	begin(&e, "");
	trace_sent(&e.peer, e.t, slice_str("MAIL FROM:<a@b>\r\n"));
	trace_sent_octets(&e.peer, e.t, 70, "content");
	trace_received_hidden(&e.peer, 334);
	hear(&e);
	assert_memory_equal(e.heard, "ok\n", 3);
	assert_non_null(strstr(e.heard, " s1 4ABC > MAIL FROM:<a@b>\n"));
	assert_non_null(strstr(e.heard, " s1 4ABC > <70 octets of content>\n"));
	assert_non_null(strstr(e.heard, " s1 - < 334 <hidden>\n"));
	dialogue_end(e.d);
	assert_false(trace_is_on(&e.peer));
	assert_true(recv(e.fd, e.heard, ALL_MAX - 1, 0) > 0);
	assert_int_equal(recv(e.fd, e.heard, 1, 0), 0);
	end(&e);
}

static void
dialogue_of_a_recipient_is_that_of_his_messages(void **state)
{
	struct ear e;

	(void)state;
	begin(&e, "Joe@Example.com");
	trace_sent(&e.peer, NULL, slice_str("EHLO me\r\n"));
	trace_sent(&e.peer, e.t, slice_str("RCPT TO:<joe@example.com>\r\n"));
	rcpt.address = ID;
	trace_sent(&e.peer, e.t, slice_str("RCPT TO:<other>\r\n"));
	rcpt.address = TO;
	hear(&e);
	assert_null(strstr(e.heard, "EHLO"));
	assert_null(strstr(e.heard, "other"));
	assert_non_null(strstr(e.heard, "RCPT TO:<joe@example.com>"));
	end(&e);
}

/* It loses lines and knows how many; nobody waits. */
static void
dialogue_is_not_held_up_by_who_does_not_read(void **state)
{
	enum { LINES = 20000 };
	struct ear e;
	char text[120];
	unsigned long long lost = 0, seen = 0;

	(void)state;
	begin(&e, "");
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 3, "\r\n", 3);
	for (int i = 0; i < LINES; i++) {
		trace_sent(&e.peer, e.t, slice_str(text));
		if (i % 100 == 0)
			turn(&e);
	}
	hear(&e);
	trace_sent(&e.peer, e.t, slice_str("and on\r\n"));
	hear(&e);
	assert_true(e.n < LINES * (sizeof(text) + 20));
	for (char *p = e.heard; *p != '\0'; p = strchr(p, '\n') + 1) {
		const char *mark = strstr(p, " - - ! ");

		if (mark != NULL && mark < strchr(p, '\n') &&
		    strstr(mark, " lines were left out\n") != NULL)
			lost += strtoull(mark + 7, NULL, 10);
		seen += strncmp(p + strcspn(p, ">"), "> xxx", 5) == 0 &&
			strcspn(p, ">") < strcspn(p, "\n");
	}
	assert_true(lost > 0);
	assert_int_equal(lost + seen, LINES);
	assert_non_null(strstr(e.heard, "> and on\n"));
	end(&e);
}

static void
dialogue_has_few_listeners_who_may_leave(void **state)
{
	struct ear e;
	int pairs[DIALOGUE_LISTENERS_MAX][2];

	(void)state;
	begin(&e, "");
	for (size_t i = 0; i < DIALOGUE_LISTENERS_MAX; i++) {
		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
		assert_int_equal(
		    dialogue_listen(e.d, pairs[i][0], slice_str("")),
		    i < DIALOGUE_LISTENERS_MAX - 1);
	}
	(void)close(pairs[0][1]);
	turn(&e);
	turn(&e);
	assert_true(dialogue_listen(
	    e.d, pairs[DIALOGUE_LISTENERS_MAX - 1][0], slice_str("")));
	end(&e);
	for (size_t i = 1; i < DIALOGUE_LISTENERS_MAX; i++)
		(void)close(pairs[i][1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dialogue_tells_what_sessions_say_and_hear),
	    cmocka_unit_test(dialogue_of_a_recipient_is_that_of_his_messages),
	    cmocka_unit_test(dialogue_is_not_held_up_by_who_does_not_read),
	    cmocka_unit_test(dialogue_has_few_listeners_who_may_leave),
	};

	return cmocka_run_group_tests_name("dialogue", tests, NULL, NULL);
}
