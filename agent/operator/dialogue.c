#include "agent/operator/dialogue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/engine/transaction.h"
#include "agent/engine/verdict.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	ADDRESS_SIZE = 512,
	LINE_SIZE = REPLY_LINE_MAX + 200,
	LOST_SIZE = 120, /* always left for the line that says so */
};

struct listener {
	struct dialogue *dialogue; /* NULL: not in use */
	int fd;
	struct loop_fd *watch;
	char to[ADDRESS_SIZE];
	struct buf out;
	unsigned long long lost; /* lines that were left out, and not told */
	bool is_writing;
};

struct dialogue {
	struct loop *loop;
	struct tracer tracer;
	struct listener listeners[DIALOGUE_LISTENERS_MAX];
};

static void
look_who_listens(struct dialogue *d)
{
	d->tracer.is_wanted = false;
	for (size_t i = 0; i < DIALOGUE_LISTENERS_MAX; i++)
		if (d->listeners[i].dialogue != NULL)
			d->tracer.is_wanted = true;
}

static void
leave(struct listener *l)
{
	struct dialogue *d = l->dialogue;

	loop_unwatch(&l->watch);
	(void)close(l->fd);
	buf_fini(&l->out);
	l->dialogue = NULL;
	look_who_listens(d);
}

static long long
wall_us(void)
{
	struct timeval now = clock_wall();

	return (long long)now.tv_sec * 1000000 + now.tv_usec;
}

static void
want(struct listener *l)
{
	bool is_writing = buf_len(&l->out) > 0;

	if (is_writing != l->is_writing)
		loop_want(l->watch, true, is_writing);
	l->is_writing = is_writing;
}

/* Room for what is still to be said of it is kept. */
static bool
has_room(const struct listener *l, size_t n)
{
	return buf_len(&l->out) + n + LOST_SIZE <= DIALOGUE_BUFFER_SIZE;
}

static void
tell_lost(struct listener *l)
{
	if (l->lost == 0 || !has_room(l, LOST_SIZE))
		return;
	(void)buf_addf(&l->out, "%lld - - ! %llu lines were left out\n",
	    wall_us(), l->lost);
	l->lost = 0;
}

static void
add(struct listener *l, const char *line, size_t n)
{
	tell_lost(l);
	if (l->lost > 0 || !has_room(l, n))
		l->lost++;
	else
		(void)buf_add(&l->out, line, n);
	want(l);
}

static bool
is_rcpt_of(const struct request *req, const char *to)
{
	for (size_t i = 0; i < req->rcpt_count; i++)
		if (strcasecmp(req->rcpts[i].address, to) == 0)
			return true;
	return false;
}

static bool
wants(const struct listener *l, const struct request *req)
{
	if (l->dialogue == NULL)
		return false;
	return l->to[0] == '\0' || (req != NULL && is_rcpt_of(req, l->to));
}

static void
tell(struct dialogue *d, const char *session, const struct request *req,
    char way, const char *text)
{
	char line[LINE_SIZE], shown[REPLY_LINE_MAX + 1];
	int n;

	(void)snprintf(shown, sizeof(shown), "%s", text);
	log_filter(shown, sizeof(shown), NULL);
	n = snprintf(line, sizeof(line), "%lld %s %s %c %s\n", wall_us(),
	    *session != '\0' ? session : "-", req != NULL ? req->queue_id : "-",
	    way, shown);

	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	for (size_t i = 0; i < DIALOGUE_LISTENERS_MAX; i++)
		if (wants(&d->listeners[i], req))
			add(&d->listeners[i], line, (size_t)n);
}

static void
hear(void *ctx, const struct peer *peer, const struct transaction *about,
    char way, const char *text)
{
	tell(ctx, peer->session, about != NULL ? about->req : NULL, way, text);
}

/* ---- listeners ------------------------------------------------------------
 */

/* It says nothing more: what can be read is its end. */
static bool
is_gone(const struct listener *l)
{
	char octets[64];
	ssize_t n = recv(l->fd, octets, sizeof(octets), MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static bool
send_some(struct listener *l)
{
	struct slice s = buf_slice(&l->out);
	ssize_t n = send(l->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_consume(&l->out, (size_t)n);
	tell_lost(l);
	want(l);
	return true;
}

static void
on_listener(void *ctx, bool readable, bool writable)
{
	struct listener *l = ctx;

	if ((readable && is_gone(l)) || (writable && !send_some(l)))
		leave(l);
}

bool
dialogue_listen(struct dialogue *d, int fd, struct slice to)
{
	struct listener *l = NULL;

	CHECK(fd >= 0);
	for (size_t i = 0; i < DIALOGUE_LISTENERS_MAX; i++)
		if (d->listeners[i].dialogue == NULL)
			l = &d->listeners[i];
	if (l == NULL || to.n >= sizeof(l->to))
		return false;
	*l = (struct listener){.dialogue = d, .fd = fd};
	memcpy(l->to, to.p, to.n);
	buf_init(&l->out, DIALOGUE_BUFFER_SIZE);
	(void)buf_addf(
	    &l->out, "ok\n%lld - - ! what follows is live\n", wall_us());
	l->watch = loop_watch(d->loop, fd, on_listener, l);
	want(l);
	look_who_listens(d);
	return true;
}

/* ---- life -----------------------------------------------------------------
 */

struct dialogue *
dialogue_new(struct loop *loop)
{
	struct dialogue *d = mem_zalloc(sizeof(*d));

	d->loop = loop;
	d->tracer.hear = hear;
	d->tracer.ctx = d;
	return d;
}

const struct tracer *
dialogue_tracer(const struct dialogue *d)
{
	return &d->tracer;
}

void
dialogue_decided(struct dialogue *d, const struct request *req, size_t i)
{
	static const char *const words[] = {
	    [OUTCOME_SENT] = "sent",
	    [OUTCOME_DEFER] = "deferred",
	    [OUTCOME_BOUNCE] = "bounced",
	};
	const struct verdict *v = req->rcpts[i].verdict;
	char text[REPLY_LINE_MAX];

	if (!d->tracer.is_wanted || v == NULL)
		return;
	(void)snprintf(text, sizeof(text),
	    "to=<%.500s>, dsn=%s, status=%s (%.1400s)", req->rcpts[i].address,
	    v->dsn.status, words[v->outcome], v->dsn.text);
	log_safe(text, strlen(text));
	tell(d, "", req, '=', text);
}

void
dialogue_end(struct dialogue *d)
{
	for (size_t i = 0; i < DIALOGUE_LISTENERS_MAX; i++) {
		struct listener *l = &d->listeners[i];

		if (l->dialogue == NULL)
			continue;
		(void)buf_addf(
		    &l->out, "%lld - - ! the process ends\n", wall_us());
		(void)send_some(l);
		leave(l);
	}
}

void
dialogue_free(struct dialogue **dialogue)
{
	struct dialogue *old = *dialogue;

	*dialogue = NULL;
	if (old == NULL)
		return;
	dialogue_end(old);
	mem_free(old);
}
