#include "test/support/webserver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct client {
	struct list link;
	struct webserver *server;
	struct loop_fd *watch;
	int fd;
	size_t n;
	char octets[2 * WEBSERVER_TEXT];
};

static void
drop(struct client *c)
{
	list_remove(&c->link);
	loop_unwatch(&c->watch);
	(void)close(c->fd);
	loop_defer(c->server->loop, mem_free, c);
}

static int
next_status(const struct webserver *s)
{
	int last = 204;

	for (size_t i = 0; s->statuses != NULL && s->statuses[i] != 0; i++) {
		last = s->statuses[i];
		if (i == s->count)
			break;
	}
	return last;
}

static void
answer(struct client *c, size_t head, size_t body)
{
	struct webserver *s = c->server;
	char text[128];
	int n = snprintf(text, sizeof(text),
	    "HTTP/1.1 %d Said\r\nContent-Length: 0\r\n"
	    "Location: http://127.0.0.1:1/\r\n\r\n",
	    next_status(s));

	CHECK(s->count < WEBSERVER_KEPT);
	(void)snprintf(
	    s->head[s->count], WEBSERVER_TEXT, "%.*s", (int)head, c->octets);
	(void)snprintf(s->body[s->count], WEBSERVER_TEXT, "%.*s", (int)body,
	    c->octets + head);
	s->at_ms[s->count++] = loop_now_ms(s->loop);
	if (s->is_silent)
		return;
	CHECK(send(c->fd, text, (size_t)n, MSG_NOSIGNAL) == n);
	drop(c);
}

static void
on_client(void *ctx, bool readable, bool writable)
{
	struct client *c = ctx;
	const char *end, *length;
	size_t head, body = 0;
	ssize_t n;

	(void)readable;
	(void)writable;
	n = recv(c->fd, c->octets + c->n, sizeof(c->octets) - 1 - c->n, 0);
	if (n <= 0) {
		drop(c);
		return;
	}
	c->n += (size_t)n;
	c->octets[c->n] = '\0';
	end = strstr(c->octets, "\r\n\r\n");
	if (end == NULL)
		return;
	head = (size_t)(end - c->octets) + 4;
	length = strcasestr(c->octets, "\r\nContent-Length: ");
	if (length != NULL)
		body = strtoul(length + 18, NULL, 10);
	if (c->n >= head + body)
		answer(c, head, body);
}

static void
on_listen(void *ctx, bool readable, bool writable)
{
	struct webserver *s = ctx;
	struct client *c = mem_zalloc(sizeof(*c));

	(void)readable;
	(void)writable;
	c->server = s;
	list_push(&s->clients, &c->link);
	c->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(c->fd >= 0);
	c->watch = loop_watch(s->loop, c->fd, on_client, c);
	loop_want(c->watch, true, false);
}

static int
open_port(int port, int *port_out)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in addr = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(addr);

	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&addr, n) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&addr, &n) == 0);
	*port_out = ntohs(addr.sin_port);
	return fd;
}

void
webserver_open(struct webserver *s, struct loop *loop, int port)
{
	memset(s, 0, sizeof(*s));
	s->loop = loop;
	list_init(&s->clients);
	s->listen_fd = open_port(port, &s->port);
	CHECK(listen(s->listen_fd, 16) == 0);
	s->watch = loop_watch(loop, s->listen_fd, on_listen, s);
	loop_want(s->watch, true, false);
}

void
webserver_close(struct webserver *s)
{
	list_each_safe (it, &s->clients)
		drop(list_entry(it, struct client, link));
	loop_unwatch(&s->watch);
	(void)close(s->listen_fd);
}

int
webserver_free_port(void)
{
	int port, fd = open_port(0, &port);

	(void)close(fd);
	return port;
}

static void
on_late(void *ctx)
{
	*(bool *)ctx = true;
}

bool
webserver_wait(struct webserver *s, size_t count)
{
	bool is_late = false;
	struct loop_timer *t = loop_timer_new(s->loop, on_late, &is_late);

	loop_timer_at(t, clock_mono_ms() + 10000);
	while (s->count < count && !is_late)
		loop_once(s->loop);
	loop_timer_free(&t);
	return !is_late;
}
