#include "agent/operator/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/askproto.h"
#include "common/shared/board.h"

struct client {
	struct ask *ask; /* NULL: not in use */
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	char question[ASKPROTO_QUESTION_MAX];
	size_t length;
};

struct ask {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *rest; /* no descriptor: later again */
	ask_fn *fn;
	ask_take_fn *take;
	void *ctx;
	struct client clients[ASK_CLIENTS_MAX];
};

/* The connection is another's. */
static void
let_go(struct client *c)
{
	loop_unwatch(&c->watch);
	loop_timer_free(&c->timer);
	c->ask = NULL;
}

static void
hang_up(struct client *c)
{
	let_go(c);
	(void)close(c->fd);
}

static bool
is_taken(struct client *c, size_t n)
{
	struct ask *a = c->ask;
	struct slice question = slice_of(c->question, n);

	return a->take != NULL && a->take(a->ctx, question, c->fd);
}

/* The answer fits in the socket, or who asks does not read. */
static void
answer(struct client *c, size_t n)
{
	struct buf out;
	struct slice s;

	buf_init(&out, ASKPROTO_ANSWER_MAX);
	c->ask->fn(c->ask->ctx, slice_of(c->question, n), &out);
	if (!buf_ok(&out)) {
		buf_reset(&out);
		(void)buf_add_str(&out, "error the answer is too long");
	}
	(void)buf_add_char(&out, '\n');
	s = buf_slice(&out);
	(void)send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_fini(&out);
}

static void
on_question(void *ctx, bool readable, bool writable)
{
	struct client *c = ctx;
	ssize_t got = recv(c->fd, c->question + c->length,
	    sizeof(c->question) - c->length, MSG_DONTWAIT);
	const char *end;

	(void)readable;
	(void)writable;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		c->length += (size_t)got;
		end = memchr(c->question, '\n', c->length);
		if (end == NULL && c->length < sizeof(c->question))
			return;
		if (end != NULL && is_taken(c, (size_t)(end - c->question))) {
			let_go(c);
			return;
		}
		if (end != NULL)
			answer(c, (size_t)(end - c->question));
	}
	hang_up(c);
}

static void
on_time(void *ctx)
{
	hang_up(ctx);
}

static bool
is_allowed(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static struct client *
free_client(struct ask *a)
{
	for (size_t i = 0; i < ASK_CLIENTS_MAX; i++)
		if (a->clients[i].ask == NULL)
			return &a->clients[i];
	return NULL;
}

static void
on_connect(void *ctx, bool readable, bool writable)
{
	struct ask *a = ctx;
	int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = free_client(a);

	(void)readable;
	(void)writable;
	if (fd < 0) {
		/* Whoever waits keeps the socket readable. */
		loop_want(a->watch, false, false);
		loop_timer_at(a->rest, clock_mono_ms() + ASK_REST_MS);
		return;
	}
	if (c == NULL || !is_allowed(fd)) {
		(void)close(fd);
		return;
	}
	c->ask = a;
	c->fd = fd;
	c->length = 0;
	c->watch = loop_watch(a->loop, fd, on_question, c);
	loop_want(c->watch, true, false);
	c->timer = loop_timer_new(a->loop, on_time, c);
	loop_timer_at(c->timer, clock_mono_ms() + ASK_TIME_MS);
}

static void
on_rest_over(void *ctx)
{
	struct ask *a = ctx;

	loop_want(a->watch, true, false);
}

/* A socket is made by its name alone, which must be a short one, and the
 * directory may be outside of where this process is. */
static bool
bind_in(int fd, int dir_fd, const struct sockaddr_un *to)
{
	int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mode_t mask = umask(0177);
	bool is_bound = false;

	if (back >= 0 && fchdir(dir_fd) == 0) {
		is_bound =
		    bind(fd, (const struct sockaddr *)to, sizeof(*to)) == 0;
		/* The queue is where this process lives. */
		CHECK(fchdir(back) == 0);
	}
	(void)umask(mask);
	if (back >= 0)
		(void)close(back);
	return is_bound;
}

static int
listen_as(int dir_fd, const char *lane_name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path),
	    ASKPROTO_PREFIX "%016llx",
	    (unsigned long long)board_hash(lane_name));
	if (fd < 0)
		return -1;
	if ((unlinkat(dir_fd, to.sun_path, 0) == 0 || errno == ENOENT) &&
	    bind_in(fd, dir_fd, &to) && listen(fd, ASK_CLIENTS_MAX) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

struct ask *
ask_open(struct loop *loop, const struct statefile_dir *dir,
    const char *lane_name, ask_fn *fn, ask_take_fn *take, void *ctx)
{
	struct ask *a;
	int fd;

	if (dir == NULL)
		return NULL;
	fd = listen_as(dir->fd, lane_name);
	if (fd < 0) {
		log_warn("lane_state_directory: cannot make a socket: %s: "
			 "postlane cannot ask this lane",
		    strerror(errno));
		return NULL;
	}
	a = mem_zalloc(sizeof(*a));
	a->loop = loop;
	a->fd = fd;
	a->fn = fn;
	a->take = take;
	a->ctx = ctx;
	a->rest = loop_timer_new(loop, on_rest_over, a);
	a->watch = loop_watch(loop, fd, on_connect, a);
	loop_want(a->watch, true, false);
	return a;
}

void
ask_close(struct ask **ask)
{
	struct ask *old = *ask;

	*ask = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < ASK_CLIENTS_MAX; i++)
		if (old->clients[i].ask != NULL)
			hang_up(&old->clients[i]);
	loop_unwatch(&old->watch);
	loop_timer_free(&old->rest);
	(void)close(old->fd);
	mem_free(old);
}
