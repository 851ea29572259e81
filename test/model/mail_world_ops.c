/* What the lane asks of those around it, and how the world answers. */
#include "test/model/mail_world_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/verdict.h"
#include "common/base/log.h"
#include "common/base/mem.h"

void
model_tell(const struct mail_world *w, const char *format, ...)
{
	va_list ap;

	if (!w->is_told)
		return;
	(void)fprintf(stderr, "%9.3f  ", (double)(w->now.us % 100000000) / 1e6);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

/* Without the lines of a content. */
void
model_tell_octets(
    const struct conn *c, const char *way, const char *p, size_t n)
{
	const char *end;

	for (; n > 0; n -= (size_t)(end - p), p = end) {
		end = memchr(p, '\n', n);
		end = end != NULL ? end + 1 : p + n;
		model_tell(c->w, "%s %.*s", way, (int)strcspn(p, "\r\n"), p);
	}
}

void
model_conn_free(struct conn *c)
{
	list_remove(&c->link);
	buf_fini(&c->out);
	server_fini(&c->server);
	mem_free(c);
}

static bool
start_dial(void *ctx, struct route *route, struct lane_no *no)
{
	struct mail_world *w = ctx;
	struct conn *c = mem_zalloc(sizeof(*c));

	(void)no;
	c->w = w;
	c->route = route;
	buf_init(&c->out, OUT_MAX);
	server_init(&c->server, &w->site);
	list_init(&c->link);
	list_push(&w->conns, &c->link);
	return true;
}

static void
on_output(void *ctx, struct lane_session *ls)
{
	(void)ctx;
	((struct conn *)ls->io)->has_output = true;
}

/* Not one more octet may leave its connection. */
static void
hang_up(void *ctx, struct lane_session *ls)
{
	struct conn *c = ls->io;

	(void)ctx;
	c->has_output = false;
	buf_reset(&c->out);
}

static void
on_session_ended(void *ctx, struct lane_session *ls, enum session_end how,
    bool is_clean, const char *why)
{
	struct mail_world *w = ctx;
	struct conn *c = ls->io;

	(void)how;
	(void)is_clean;
	model_tell(w, "session over: %s", why);
	/* What the kernel has taken arrives all the same, and whoever stalled
	 * may come to it. */
	c->server.is_deaf = false;
	server_step_out(&c->server);
	model_conn_free(c);
}

static void
on_decided(void *ctx, struct request *req, size_t i)
{
	struct mail_world *w = ctx;
	struct mail *m = req->owner;
	size_t number = (size_t)(m - w->mails);
	const struct verdict *v = req->rcpts[i].verdict;

	if (!w->is_dying) {
		model_tell(w, "message %zu recipient %zu: %s %s%s", number,
		    m->index[i],
		    v->outcome == OUTCOME_SENT    ? "sent"
		    : v->outcome == OUTCOME_DEFER ? "deferred"
						  : "bounced",
		    v->dsn.text, v->dsn.maybe_accepted ? " (in doubt)" : "");
		ledger_decided(&w->ledger, number, m->index[i], v);
	}
	CHECK(m->left > 0);
	if (--m->left == 0)
		request_free(&m->req);
}

static void
want_kick(void *ctx)
{
	((struct mail_world *)ctx)->is_kick_due = true;
}

static void
on_want(void *ctx, struct route *route, size_t count)
{
	(void)ctx;
	(void)route;
	(void)count;
}

static void
on_too_many(void *ctx, struct route *route, bool was_open, const char *reply)
{
	(void)ctx;
	(void)route;
	(void)was_open;
	(void)reply;
}

static bool
on_throttled(void *ctx, struct route *route, int64_t sent_us, int64_t now_us)
{
	(void)ctx;
	(void)route;
	(void)sent_us;
	(void)now_us;
	return false;
}

static void
on_pause(void *ctx, struct route *route, int64_t until_us)
{
	(void)ctx;
	(void)route;
	(void)until_us;
}

static const struct lane_owner_ops owner_handlers = {
    .on_decided = on_decided,
    .want_kick = want_kick,
};

static const struct lane_connection_ops connection_handlers = {
    .start_dial = start_dial,
    .on_output = on_output,
    .hang_up = hang_up,
    .on_session_ended = on_session_ended,
};

static const struct lane_account_ops account_handlers = {
    .on_want = on_want,
    .on_too_many = on_too_many,
    .on_throttled = on_throttled,
    .on_pause = on_pause,
};

struct lane_ops
model_lane_ops(struct mail_world *w)
{
	return (struct lane_ops){
	    .owner = &owner_handlers,
	    .owner_ctx = w,
	    .connections = &connection_handlers,
	    .connections_ctx = w,
	    .accounts = &account_handlers,
	    .accounts_ctx = w,
	};
}
