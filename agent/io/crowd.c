#include "agent/io/crowd.h"

#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	FIRST_SIZE = 64,
	EVENTS_PER_TURN = 64, /* the set tells of more in the next */
};

/* One that the set had no memory for. */
struct outsider {
	struct crowd *crowd;
	struct loop_fd *watch;
	void *ctx;
};

struct member {
	void *ctx; /* NULL: not in the crowd */
	struct outsider *outsider; /* NULL: in the set */
};

struct crowd {
	struct loop *loop;
	loop_fn *fn;
	int set_fd;
	struct loop_fd *set_watch;
	bool is_shared;
	/* By descriptor: an event that was fetched before its descriptor was
	 * closed finds nobody, or whoever has the number now. */
	struct member *members;
	size_t size;
};

static void
on_set(void *ctx, bool readable, bool writable)
{
	struct crowd *crowd = ctx;
	struct epoll_event events[EVENTS_PER_TURN];
	int n = epoll_wait(crowd->set_fd, events, EVENTS_PER_TURN, 0);

	(void)readable;
	(void)writable;
	for (int i = 0; i < n; i++) {
		size_t fd = (size_t)events[i].data.fd;

		if (fd < crowd->size && crowd->members[fd].ctx != NULL)
			crowd->fn(crowd->members[fd].ctx);
	}
}

static void
on_outsider(void *ctx, bool readable, bool writable)
{
	struct outsider *o = ctx;

	(void)readable;
	(void)writable;
	o->crowd->fn(o->ctx);
}

struct crowd *
crowd_new(struct loop *loop, loop_fn *fn)
{
	struct crowd *crowd = mem_zalloc(sizeof(*crowd));

	CHECK(fn != NULL);
	crowd->loop = loop;
	crowd->fn = fn;
	crowd->set_fd = epoll_create1(EPOLL_CLOEXEC);
	if (crowd->set_fd < 0)
		log_fatal("cannot create an epoll set: %m");
	crowd->set_watch = loop_watch(loop, crowd->set_fd, on_set, crowd);
	loop_want(crowd->set_watch, true, false);
	return crowd;
}

static void
leave(struct crowd *crowd, struct member *m)
{
	if (m->outsider != NULL) {
		loop_unwatch(&m->outsider->watch);
		loop_defer(crowd->loop, mem_free, m->outsider);
	}
	*m = (struct member){NULL, NULL};
}

void
crowd_free(struct crowd **crowd)
{
	struct crowd *old = *crowd;

	*crowd = NULL;
	if (old == NULL)
		return;
	for (size_t fd = 0; fd < old->size; fd++)
		leave(old, &old->members[fd]);
	loop_unwatch(&old->set_watch);
	(void)close(old->set_fd);
	mem_free(old->members);
	mem_free(old);
}

static struct member *
make_place(struct crowd *crowd, size_t fd)
{
	size_t size = crowd->size > 0 ? crowd->size : FIRST_SIZE;

	while (size <= fd)
		size *= 2;
	if (size > crowd->size) {
		crowd->members =
		    mem_realloc(crowd->members, size * sizeof(*crowd->members));
		memset(crowd->members + crowd->size, 0,
		    (size - crowd->size) * sizeof(*crowd->members));
		crowd->size = size;
	}
	return &crowd->members[fd];
}

void
crowd_add(struct crowd *crowd, int fd, void *ctx)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	struct outsider *o;
	struct member *m;

	CHECK(fd >= 0 && ctx != NULL);
	m = make_place(crowd, (size_t)fd);
	CHECK(m->ctx == NULL);
	m->ctx = ctx;
	if (epoll_ctl(crowd->set_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return;
	o = m->outsider = mem_zalloc(sizeof(*o));
	o->crowd = crowd;
	o->ctx = ctx;
	o->watch = loop_watch(crowd->loop, fd, on_outsider, o);
	loop_want(o->watch, true, false);
}

void
crowd_close(struct crowd *crowd, int *fd)
{
	struct member *m;

	if (*fd < 0)
		return;
	CHECK((size_t)*fd < crowd->size);
	m = &crowd->members[*fd];
	CHECK(m->ctx != NULL);
	if (crowd->is_shared && m->outsider == NULL)
		(void)epoll_ctl(crowd->set_fd, EPOLL_CTL_DEL, *fd, NULL);
	leave(crowd, m);
	(void)close(*fd);
	*fd = -1;
}

void
crowd_share(struct crowd *crowd)
{
	crowd->is_shared = true;
}
