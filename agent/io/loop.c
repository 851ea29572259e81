#include "agent/io/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { MAX_SIGNALS = 8, AGAIN_US = 100000 };

struct deferred {
	struct list link;
	loop_fn *fn;
	void *ctx;
};

struct loop_signal {
	struct event ev;
	loop_fn *fn;
	void *ctx;
};

struct loop {
	struct event_base *base;
	struct list deferred;
	struct list soon; /* timers */
	int64_t now_us;
	struct list unarmed; /* watches the kernel had no memory for */
	struct event again;
	int handle_count; /* watches and timers that are not freed yet */
	bool is_stopping;
	int calls; /* callbacks of events that are running */
	int signal_count;
	struct loop_signal signals[MAX_SIGNALS];
};

struct loop_fd {
	struct event ev;
	struct loop *loop;
	loop_fd_fn *fn;
	void *ctx;
	int fd;
	short armed, wanted;
	struct list link; /* in loop->unarmed */
};

struct loop_timer {
	struct event ev;
	struct list link; /* in loop->soon */
	struct loop *loop;
	loop_fn *fn;
	void *ctx;
};

static void
take_time(struct loop *loop)
{
	loop->now_us = clock_mono_us();
}

static void arm_again(evutil_socket_t fd, short what, void *arg);

/* Without a time that is kept for a turn: what is armed behind a callback that
 * took long would fire by so much too soon. */
static struct event_base *
new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config != NULL &&
	    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
		base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	if (base == NULL)
		log_fatal("cannot create an event base");
	return base;
}

struct loop *
loop_new(void)
{
	struct loop *loop = mem_zalloc(sizeof(*loop));

	loop->base = new_base();
	list_init(&loop->deferred);
	list_init(&loop->soon);
	list_init(&loop->unarmed);
	(void)evtimer_assign(&loop->again, loop->base, arm_again, loop);
	take_time(loop);
	return loop;
}

static void
fire(struct loop_timer *t)
{
	struct loop *loop = t->loop;

	take_time(loop);
	loop->calls++;
	t->fn(t->ctx);
	loop->calls--;
}

static bool
has_put_off(const struct loop *loop)
{
	return !list_is_empty(&loop->deferred) || !list_is_empty(&loop->soon);
}

static void
run_deferred(struct loop *loop)
{
	struct list *link;

	while ((link = list_pop(&loop->deferred)) != NULL) {
		struct deferred *d = list_entry(link, struct deferred, link);
		loop_fn *fn = d->fn;
		void *ctx = d->ctx;

		mem_free(d);
		fn(ctx);
	}
}

static void
run_put_off(struct loop *loop)
{
	while (has_put_off(loop)) {
		struct list *link;

		run_deferred(loop);
		link = list_pop(&loop->soon);
		if (link != NULL)
			fire(list_entry(link, struct loop_timer, link));
	}
}

void
loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	*loop = NULL;
	if (l == NULL)
		return;
	run_deferred(l);
	CHECK(l->handle_count == 0);
	for (int i = 0; i < l->signal_count; i++)
		(void)event_del(&l->signals[i].ev);
	(void)evtimer_del(&l->again);
	event_base_free(l->base);
	mem_free(l);
}

void
loop_once(struct loop *loop)
{
	int flags = EVLOOP_ONCE;

	CHECK(loop->calls == 0); /* never from a callback */
	/* Work put off from outside a callback must not wait for an event. */
	if (has_put_off(loop))
		flags |= EVLOOP_NONBLOCK;
	(void)event_base_loop(loop->base, flags);
	take_time(loop);
	run_put_off(loop);
}

void
loop_run(struct loop *loop)
{
	loop->is_stopping = false;
	while (!loop->is_stopping)
		loop_once(loop);
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

/* Signals wait in three places: in libevent's pipe, which the child's new base
 * does not have; pending in the kernel, which fork() clears in the child; and
 * from fork() on with each process of the group. */
pid_t
loop_fork(struct loop *loop)
{
	CHECK(loop->calls == 0);
	sigset_t watched, before, pending;
	pid_t pid;

	(void)sigemptyset(&watched);
	for (int i = 0; i < loop->signal_count; i++)
		(void)sigaddset(
		    &watched, event_get_signal(&loop->signals[i].ev));
	(void)sigprocmask(SIG_BLOCK, &watched, &before);
	(void)event_base_loop(loop->base, EVLOOP_NONBLOCK);
	pid = fork();
	if (pid == 0 && event_reinit(loop->base) != 0)
		log_fatal("cannot remake the event base after fork");
	if (pid > 0 && sigpending(&pending) == 0)
		for (int i = 0; i < loop->signal_count; i++) {
			int signo = event_get_signal(&loop->signals[i].ev);

			if (sigismember(&pending, signo) == 1)
				(void)kill(pid, signo);
		}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

struct event_base *
loop_base(const struct loop *loop)
{
	return loop->base;
}

int64_t
loop_now_us(const struct loop *loop)
{
	return loop->now_us;
}

int64_t
loop_now_ms(const struct loop *loop)
{
	return loop->now_us / 1000;
}

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *w = arg;
	struct loop *loop = w->loop;

	(void)fd;
	take_time(loop);
	loop->calls++;
	w->fn(w->ctx, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
	loop->calls--;
}

struct loop_fd *
loop_watch(struct loop *loop, int fd, loop_fd_fn *fn, void *ctx)
{
	struct loop_fd *w = mem_zalloc(sizeof(*w));

	CHECK(fd >= 0 && fn != NULL);
	loop->handle_count++;
	w->loop = loop;
	w->fn = fn;
	w->ctx = ctx;
	w->fd = fd;
	list_init(&w->link);
	(void)event_assign(&w->ev, loop->base, fd, EV_PERSIST, on_fd, w);
	return w;
}

/* The kernel's memory for watches may be short (fs.epoll.max_user_watches):
 * mail must not be lost for it, only wait. */
static void
arm(struct loop_fd *w)
{
	const struct timeval soon = {0, AGAIN_US};
	struct loop *loop = w->loop;

	(void)event_assign(&w->ev, loop->base, w->fd,
	    (short)(w->wanted | EV_PERSIST), on_fd, w);
	if (event_add(&w->ev, NULL) == 0) {
		w->armed = w->wanted;
		return;
	}
	if (list_is_empty(&loop->unarmed)) {
		log_warn("cannot watch descriptor %d: %s: trying again", w->fd,
		    strerror(errno));
		(void)evtimer_add(&loop->again, &soon);
	}
	list_push(&loop->unarmed, &w->link);
}

void
loop_want(struct loop_fd *w, bool read, bool write)
{
	short want = (short)((read ? EV_READ : 0) | (write ? EV_WRITE : 0));

	w->wanted = want;
	if (want == w->armed && !list_is_linked(&w->link))
		return;
	if (w->armed != 0)
		(void)event_del(&w->ev);
	w->armed = 0;
	if (list_is_linked(&w->link))
		list_remove(&w->link);
	if (want != 0)
		arm(w);
}

static void
arm_again(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	struct list *link;
	struct list waiting;

	(void)fd;
	(void)what;
	list_init(&waiting);
	while ((link = list_pop(&loop->unarmed)) != NULL)
		list_push(&waiting, link);
	while ((link = list_pop(&waiting)) != NULL)
		arm(list_entry(link, struct loop_fd, link));
}

void
loop_unwatch(struct loop_fd **w)
{
	struct loop_fd *old = *w;

	*w = NULL;
	if (old == NULL)
		return;
	CHECK(old->loop->handle_count > 0);
	if (old->armed != 0)
		(void)event_del(&old->ev);
	if (list_is_linked(&old->link))
		list_remove(&old->link);
	old->loop->handle_count--;
	loop_defer(old->loop, mem_free, old);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fire(arg);
}

struct loop_timer *
loop_timer_new(struct loop *loop, loop_fn *fn, void *ctx)
{
	struct loop_timer *t = mem_zalloc(sizeof(*t));

	CHECK(fn != NULL);
	loop->handle_count++;
	t->loop = loop;
	t->fn = fn;
	t->ctx = ctx;
	list_init(&t->link);
	(void)evtimer_assign(&t->ev, loop->base, on_timer, t);
	return t;
}

void
loop_timer_at(struct loop_timer *t, int64_t at_ms)
{
	/* Rounded up, so that a timer never fires before its time. */
	int64_t wait_us = at_ms * 1000 - clock_mono_us();
	struct timeval tv = {0, 0};

	list_remove(&t->link);
	if (wait_us > 0) {
		tv.tv_sec = wait_us / 1000000;
		tv.tv_usec = wait_us % 1000000;
	}
	(void)evtimer_add(&t->ev, &tv);
}

void
loop_timer_soon(struct loop_timer *t)
{
	loop_timer_cancel(t);
	list_push(&t->loop->soon, &t->link);
}

void
loop_timer_cancel(struct loop_timer *t)
{
	list_remove(&t->link);
	(void)evtimer_del(&t->ev);
}

void
loop_timer_free(struct loop_timer **t)
{
	struct loop_timer *old = *t;

	*t = NULL;
	if (old == NULL)
		return;
	CHECK(old->loop->handle_count > 0);
	loop_timer_cancel(old);
	old->loop->handle_count--;
	loop_defer(old->loop, mem_free, old);
}

void
loop_defer(struct loop *loop, loop_fn *fn, void *ctx)
{
	struct deferred *d = mem_alloc(sizeof(*d));

	CHECK(fn != NULL);
	d->fn = fn;
	d->ctx = ctx;
	list_push(&loop->deferred, &d->link);
}

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)signo;
	(void)what;
	s->fn(s->ctx);
}

void
loop_on_signal(struct loop *loop, int signo, loop_fn *fn, void *ctx)
{
	struct loop_signal *s;

	CHECK(loop->signal_count < MAX_SIGNALS && fn != NULL);
	s = &loop->signals[loop->signal_count++];
	s->fn = fn;
	s->ctx = ctx;
	(void)evsignal_assign(&s->ev, loop->base, signo, on_signal, s);
	(void)evsignal_add(&s->ev, NULL);
}
