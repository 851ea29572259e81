/* The calls that hand over a time-out or sockets one by one are marked as old
 * in newer releases, and the new ones are missing in older. */
#define CARES_NO_DEPRECATED
#include "agent/io/ares_loop.h"

#include <sys/time.h>

#include "common/base/list.h"
#include "common/base/mem.h"

struct watch {
	struct list link;
	struct ares_loop *owner;
	struct loop_fd *fd_watch;
	int fd;
};

struct ares_loop {
	struct loop *loop;
	struct loop_timer *timer;
	struct list watches;
	ares_channel channel;
};

void
ares_loop_asked(struct ares_loop *a)
{
	struct timeval tv, *next = ares_timeout(a->channel, NULL, &tv);

	if (next == NULL)
		loop_timer_cancel(a->timer);
	else
		loop_timer_at(a->timer, loop_now_ms(a->loop) +
					    next->tv_sec * 1000 +
					    next->tv_usec / 1000 + 1);
}

static void
on_timer(void *ctx)
{
	struct ares_loop *a = ctx;

	ares_process_fd(a->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	ares_loop_asked(a);
}

static void
on_fd(void *ctx, bool readable, bool writable)
{
	struct watch *w = ctx;
	struct ares_loop *a = w->owner;

	/* The watch may be gone afterwards. */
	ares_process_fd(a->channel, readable ? w->fd : ARES_SOCKET_BAD,
	    writable ? w->fd : ARES_SOCKET_BAD);
	ares_loop_asked(a);
}

static struct watch *
find_watch(struct ares_loop *a, int fd)
{
	list_each (it, &a->watches) {
		struct watch *w = list_entry(it, struct watch, link);

		if (w->fd == fd)
			return w;
	}
	return NULL;
}

/* c-ares tells which sockets it wants watched, and for what. */
static void
on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct ares_loop *a = ctx;
	struct watch *w = find_watch(a, fd);

	if (!readable && !writable) {
		if (w != NULL) {
			list_remove(&w->link);
			loop_unwatch(&w->fd_watch);
			loop_defer(a->loop, mem_free, w);
		}
		return;
	}
	if (w == NULL) {
		w = mem_zalloc(sizeof(*w));
		w->owner = a;
		w->fd = fd;
		w->fd_watch = loop_watch(a->loop, fd, on_fd, w);
		list_push(&a->watches, &w->link);
	}
	loop_want(w->fd_watch, readable != 0, writable != 0);
}

/* Of c-ares itself, where it has one. */
static int
set_no_cache(struct ares_options *options)
{
#ifdef ARES_OPT_QUERY_CACHE
	options->qcache_max_ttl = 0;
	return ARES_OPT_QUERY_CACHE;
#else
	(void)options;
	return 0;
#endif
}

static int
open_channel(struct ares_loop *a, const struct ares_loop_setup *setup)
{
	struct ares_options options = {0};
	int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
	int rc;

	options.sock_state_cb = on_socket;
	options.sock_state_cb_data = a;
	options.timeout = setup->conf->timeout_s * 1000;
	options.tries = setup->conf->attempts;
	if (setup->is_cacheless)
		mask |= set_no_cache(&options);
	mask |= setup->conf->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE;
	rc = ares_init_options(&a->channel, &options, mask);
	if (rc != ARES_SUCCESS || setup->servers == NULL)
		return rc;
	rc = ares_set_servers_ports_csv(a->channel, setup->servers);
	if (rc != ARES_SUCCESS)
		ares_destroy(a->channel);
	return rc;
}

int
ares_loop_new(struct ares_loop **out, struct loop *loop,
    const struct ares_loop_setup *setup)
{
	struct ares_loop *a = mem_zalloc(sizeof(*a));
	int rc;

	a->loop = loop;
	list_init(&a->watches);
	a->timer = loop_timer_new(loop, on_timer, a);
	rc = open_channel(a, setup);
	if (rc != ARES_SUCCESS) {
		loop_timer_free(&a->timer);
		mem_free(a);
		a = NULL;
	}
	*out = a;
	return rc;
}

void
ares_loop_free(struct ares_loop **a)
{
	struct ares_loop *old = *a;

	*a = NULL;
	if (old == NULL)
		return;
	ares_destroy(old->channel); /* by which the watches go, too */
	loop_timer_free(&old->timer);
	mem_free(old);
}

ares_channel
ares_loop_channel(const struct ares_loop *a)
{
	return a->channel;
}
