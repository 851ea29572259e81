/* What a client of lanestat gets, and what it can cost. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/io/loop.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "monitor/lanestat/web.h"

enum { TICK_MS = 5, PATIENCE_MS = 20000, ANSWER = 16384 };

struct world {
	struct loop *loop;
	struct web *web;
	struct loop_timer *tick;
	int port, clients;
	char path[100], query[100], accept[100];
};

static void
on_tick(void *ctx)
{
	struct world *w = ctx;

	loop_timer_at(w->tick, clock_mono_ms() + TICK_MS);
}

static void
on_client(void *ctx)
{
	struct world *w = ctx;

	w->clients++;
}

static void
on_request(
    void *ctx, const struct web_request *request, struct web_answer *answer)
{
	struct world *w = ctx;

	(void)snprintf(w->path, sizeof(w->path), "%s", request->path);
	(void)snprintf(w->query, sizeof(w->query), "%s", request->query);
	(void)snprintf(w->accept, sizeof(w->accept), "%s",
	    request->accept != NULL ? request->accept : "none");
	answer->code = 200;
	answer->type = "text/plain";
	answer->body = slice_str("hello\n");
}

static int
listen_anywhere(struct world *w)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 100), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	w->port = ntohs(a.sin_port);
	return fd;
}

static void
open_world(struct world *w, struct web_limits limits)
{
	memset(w, 0, sizeof(*w));
	w->loop = loop_new();
	w->tick = loop_timer_new(w->loop, on_tick, w);
	on_tick(w);
	w->web = web_new(w->loop, limits, on_request, on_client, w);
	web_listen(w->web, listen_anywhere(w));
}

static void
close_world(struct world *w)
{
	web_free(&w->web);
	loop_timer_free(&w->tick);
	loop_free(&w->loop);
}

static int
connect_to(const struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((uint16_t)w->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns the loop until what came ends with `end`, or NULL: until the
 * connection is closed. The text of it all. */
static const char *
hear(struct world *w, int fd, const char *end)
{
	static char text[ANSWER];
	int64_t limit_ms = clock_mono_ms() + PATIENCE_MS;
	size_t n = 0;

	text[0] = '\0';
	while (clock_mono_ms() < limit_ms) {
		ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, 0);

		if (got > 0) {
			n += (size_t)got;
			text[n] = '\0';
		} else if (got == 0 || errno == ECONNRESET) {
			assert_null(end);
			return text;
		}
		if (end != NULL && n >= strlen(end) &&
		    strcmp(text + n - strlen(end), end) == 0)
			return text;
		loop_once(w->loop);
	}
	fail_msg("no answer in time: %s", text);
	return text;
}

static bool
is_closed(int fd)
{
	char octet;
	ssize_t n = recv(fd, &octet, 1, MSG_PEEK);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void
has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in: %s", part, text);
}

/* ------------------------------------------------------------------------- */

static void
web_answers_get_and_head(void **state)
{
	struct world w;
	const char *text;
	int fd;

	(void)state;
	open_world(&w, WEB_LIMITS);
	fd = connect_to(&w);
	say(fd, "GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nAccept: text/q\r\n\r\n");
	text = hear(&w, fd, "hello\n");
	has(text, "HTTP/1.1 200 ");
	has(text, "Content-Length: 6\r\n");
	has(text, "Content-Type: text/plain\r\n");
	has(text, "Cache-Control: no-store\r\n");
	has(text, "X-Content-Type-Options: nosniff\r\n");
	has(text, "Content-Security-Policy: default-src 'none'; ");
	assert_string_equal(w.path, "/a/b");
	assert_string_equal(w.query, "c=d");
	assert_string_equal(w.accept, "text/q");

	/* A body here would be taken for the next answer. */
	say(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
	text = hear(&w, fd, "\r\n\r\n");
	has(text, "HTTP/1.1 200 ");
	has(text, "Content-Length: 6\r\n");
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	text = hear(&w, fd, NULL);
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
	assert_string_equal(w.accept, "none");
	assert_int_equal(w.clients, 1);
	(void)close(fd);
	close_world(&w);
}

static void
web_takes_no_other_method(void **state)
{
	static const char *const methods[] = {
	    "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "NONSENSE"};
	struct world w;

	(void)state;
	open_world(&w, WEB_LIMITS);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		int fd = connect_to(&w);
		char request[200];
		const char *text;

		(void)snprintf(request, sizeof(request),
		    "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
		    "Connection: close\r\n\r\n",
		    methods[i]);
		say(fd, request);
		text = hear(&w, fd, NULL);
		if (strncmp(text, "HTTP/1.1 4", 10) != 0 &&
		    strncmp(text, "HTTP/1.1 5", 10) != 0)
			fail_msg("%s: %s", methods[i], text);
		(void)close(fd);
	}
	assert_string_equal(w.path, "");
	close_world(&w);
}

static void
web_bounds_the_head_of_a_request(void **state)
{
	struct web_limits limits = WEB_LIMITS;
	struct world w;
	char field[1100];
	int fd;

	(void)state;
	limits.head = 1000;
	open_world(&w, limits);
	memset(field, 'x', sizeof(field));
	field[800] = '\0';
	fd = connect_to(&w);
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\nLong: ");
	say(fd, field);
	say(fd, "\r\n\r\n");
	has(hear(&w, fd, "hello\n"), "HTTP/1.1 200 ");
	(void)close(fd);

	w.path[0] = '\0';
	field[800] = 'x';
	field[sizeof(field) - 1] = '\0';
	fd = connect_to(&w);
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\nLong: ");
	say(fd, field);
	/* Without an end of the line: it is not waited for. */
	has(hear(&w, fd, NULL), "HTTP/1.1 4");
	assert_string_equal(w.path, "");
	(void)close(fd);
	close_world(&w);
}

static void
web_bounds_the_body_of_a_request(void **state)
{
	struct world w;
	int fd;

	(void)state;
	open_world(&w, WEB_LIMITS);
	fd = connect_to(&w);
	/* It is refused before it comes. */
	say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	has(hear(&w, fd, NULL), "HTTP/1.1 413 ");
	(void)close(fd);
	close_world(&w);
}

/* One octet now and then is no sign of life. */
static void
web_closes_who_finishes_no_request(void **state)
{
	struct web_limits limits = WEB_LIMITS;
	int64_t began_ms = clock_mono_ms();
	struct world w;
	int slow, busy;

	(void)state;
	limits.client_ms = 1500;
	limits.head = 1 << 24; /* is not what ends it */
	open_world(&w, limits);
	slow = connect_to(&w);
	busy = connect_to(&w);
	say(slow, "GET / HTTP/1.1\r\nX: ");
	while (!is_closed(slow)) {
		assert_in_range(clock_mono_ms() - began_ms, 0, PATIENCE_MS);
		(void)send(slow, "x", 1, MSG_NOSIGNAL);
		say(busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
		(void)hear(&w, busy, "hello\n");
	}
	/* Not before its time, and not who asks and asks. */
	assert_true(clock_mono_ms() - began_ms >= limits.client_ms);
	assert_false(is_closed(busy));
	(void)close(slow);
	(void)close(busy);
	close_world(&w);
}

static void
web_closes_the_idlest_of_too_many(void **state)
{
	enum { CLIENTS = 4 };
	struct web_limits limits = WEB_LIMITS;
	int fds[CLIENTS + 1];
	struct world w;

	(void)state;
	limits.clients = CLIENTS;
	open_world(&w, limits);
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = connect_to(&w);
		while (w.clients <= i)
			loop_once(w.loop);
	}
	/* The first is the one that asked last. */
	say(fds[0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	(void)hear(&w, fds[0], "hello\n");
	fds[CLIENTS] = connect_to(&w);
	say(fds[CLIENTS], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	(void)hear(&w, fds[CLIENTS], "hello\n");
	(void)hear(&w, fds[1], NULL);
	for (int i = 0; i <= CLIENTS; i++) {
		assert_int_equal(is_closed(fds[i]), i == 1);
		(void)close(fds[i]);
	}
	close_world(&w);
}

/* What master(8) does to wake a service of type inet. */
static void
web_lets_a_wakeup_pass(void **state)
{
	struct world w;
	int fd, other;

	(void)state;
	open_world(&w, WEB_LIMITS);
	fd = connect_to(&w);
	say(fd, "W");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_string_equal(hear(&w, fd, NULL), "");
	other = connect_to(&w);
	say(other, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	(void)hear(&w, other, "hello\n");
	assert_int_equal(w.clients, 2);
	(void)close(fd);
	(void)close(other);
	close_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(web_answers_get_and_head),
	    cmocka_unit_test(web_takes_no_other_method),
	    cmocka_unit_test(web_bounds_the_head_of_a_request),
	    cmocka_unit_test(web_bounds_the_body_of_a_request),
	    cmocka_unit_test(web_closes_who_finishes_no_request),
	    cmocka_unit_test(web_closes_the_idlest_of_too_many),
	    cmocka_unit_test(web_lets_a_wakeup_pass),
	};

	return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
