#include "test/support/daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { OCTETS_MAX = 1 << 20 };

void
daemon_drop(struct daemon_client *c)
{
	list_remove(&c->link);
	c->server->open--;
	loop_unwatch(&c->watch);
	close(c->fd);
	attr_reader_fini(&c->list);
	buf_fini(&c->octets);
	loop_defer(c->server->loop, mem_free, c);
}

void
daemon_say(struct daemon_client *c, const char *name, const char *value)
{
	struct buf out;
	struct slice all;

	buf_init(&out, 1000);
	attr_put_str(&out, name, slice_str(value));
	attr_put_end(&out);
	all = buf_slice(&out);
	assert_int_equal(send(c->fd, all.p, all.n, MSG_NOSIGNAL), all.n);
	buf_fini(&out);
}

static void
client_answer(struct daemon_client *c)
{
	struct daemon *d = c->server;

	switch (d->manner) {
	case DAEMON_OBEY:
		daemon_say(c, "status", "0");
		break;
	case DAEMON_REFUSE:
		daemon_say(c, "status", "4294967295");
		break;
	case DAEMON_BABBLE:
		daemon_say(c, "colour", "green");
		break;
	case DAEMON_HANG_UP:
	case DAEMON_HANG_UP_AT_ONCE:
	case DAEMON_GREET_WRONGLY:
		break;
	case DAEMON_STAY_SILENT:
	case DAEMON_HOLD:
		return;
	}
	daemon_drop(c);
}

static void
on_client(void *ctx, bool readable, bool writable)
{
	struct daemon_client *c = ctx;
	struct daemon *d = c->server;
	char octets[4096];
	ssize_t n = recv(c->fd, octets, sizeof(octets), MSG_DONTWAIT);
	size_t used;

	(void)readable;
	(void)writable;
	if (n <= 0) {
		daemon_drop(c);
		return;
	}
	buf_add(&c->octets, octets, (size_t)n);
	if (attr_reader_feed(&c->list, octets, (size_t)n, &used) != ATTR_LIST)
		return;
	assert_int_equal(used, n);
	d->requests++;
	buf_reset(&d->last);
	buf_add_slice(&d->last, buf_slice(&c->octets));
	client_answer(c);
}

static void
on_connect(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;
	struct daemon_client *c;
	int fd = accept4(d->listen_fd, NULL, NULL, SOCK_NONBLOCK);

	(void)readable;
	(void)writable;
	if (fd < 0)
		return;
	if (d->manner == DAEMON_HANG_UP_AT_ONCE) {
		close(fd);
		return;
	}
	c = mem_zalloc(sizeof(*c));
	c->server = d;
	c->fd = fd;
	buf_init(&c->octets, OCTETS_MAX);
	attr_reader_init(&c->list, OCTETS_MAX, 64);
	list_init(&c->link);
	list_push(&d->clients, &c->link);
	if (++d->open > d->open_max)
		d->open_max = d->open;
	c->watch = loop_watch(d->loop, fd, on_client, c);
	loop_want(c->watch, true, false);
	if (d->greeting != NULL)
		daemon_say(c, "protocol",
		    d->manner == DAEMON_GREET_WRONGLY ? "smtp" : d->greeting);
}

void
daemon_open(
    struct daemon *d, struct loop *loop, const char *path, const char *greeting)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memset(d, 0, sizeof(*d));
	d->loop = loop;
	d->path = path;
	d->greeting = greeting;
	list_init(&d->clients);
	buf_init(&d->last, OCTETS_MAX);
	memcpy(sun.sun_path, path, strlen(path));
	d->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
	    bind(d->listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	/* short, so that a crowd of clients finds it full */
	assert_int_equal(listen(d->listen_fd, 5), 0);
	d->watch = loop_watch(loop, d->listen_fd, on_connect, d);
	loop_want(d->watch, true, false);
}

void
daemon_close(struct daemon *d)
{
	struct list *link;

	if (d->loop == NULL)
		return;
	while ((link = list_first(&d->clients)) != NULL)
		daemon_drop(list_entry(link, struct daemon_client, link));
	loop_unwatch(&d->watch);
	close(d->listen_fd);
	unlink(d->path);
	buf_fini(&d->last);
	d->loop = NULL;
}
