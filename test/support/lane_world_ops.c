/* What a lane asks of those around it, and how the world answers. */
#include "test/support/lane_world_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/log.h"
#include "common/base/mem.h"

static size_t
taken_connections(struct world *w)
{
	size_t n = 0;

	list_each (link, &w->conns)
		n +=
		    !list_entry(link, struct world_conn, link)->is_one_too_many;
	return n;
}

static int64_t
dial_takes_ms(struct world *w, const struct world_conn *c)
{
	const struct world_server *s = &w->server;

	if (c->is_one_too_many)
		return 2 * s->rtt_ms;
	return s->dial_ms != NULL ? s->dial_ms(w, w->dials)
				  : s->dial_rtts * s->rtt_ms;
}

static bool
start_dial(void *ctx, struct route *route, struct lane_no *no)
{
	struct world *w = ctx;
	struct world_conn *c;

	if (w->slots > 0 && w->conns_now >= (size_t)w->slots) {
		lane_no_set(no, LANE_NO_SLOT, INT64_MAX);
		no->is_full = true;
		return false;
	}
	/* A second look must find nothing to do. */
	assert_false(w->is_checking);
	c = mem_zalloc(sizeof(*c));
	c->w = w;
	c->route = route;
	buf_init(&c->in, WORLD_OUT_MAX);
	list_init(&c->link);
	list_push(&w->conns, &c->link);
	w->conns_now++;
	if (w->conns_now > w->conns_peak)
		w->conns_peak = w->conns_now;
	/* A refusal comes instead of the greeting. */
	c->is_one_too_many =
	    w->server.connections_max > 0 &&
	    taken_connections(w) > (size_t)w->server.connections_max;
	(void)world_event_new(
	    c, EVENT_DIALLED, world_ms(w) + dial_takes_ms(w, c));
	w->dials++;
	return true;
}

static void
on_want(void *ctx, struct route *route, size_t count)
{
	struct world *w = ctx;

	(void)route;
	w->want = count;
}

static void
on_decided(void *ctx, struct request *req, size_t i)
{
	struct world *w = ctx;
	struct world_message *m = req->owner;
	const struct verdict *v = req->rcpts[i].verdict;

	if (w->is_dying) {
		assert_int_equal(m->rcpt_count, 1);
		request_free(&m->req);
		return;
	}
	assert_non_null(v);
	assert_true(m->req == req && m->decided < m->rcpt_count);
	assert_int_equal(dsn_class(&v->dsn), v->outcome == OUTCOME_SENT ? '2'
					     : v->outcome == OUTCOME_DEFER
						 ? '4'
						 : '5');
	m->decided++;
	m->outcomes[i] = v->outcome;
	m->in_doubt = m->in_doubt || v->dsn.maybe_accepted;
	m->cause = v->dsn.cause;
	(void)snprintf(m->status, sizeof(m->status), "%s", v->dsn.status);
	(void)snprintf(
	    m->text, sizeof(m->text), "%.*s", WORLD_TEXT_SIZE - 1, v->dsn.text);
	w->outcomes[v->outcome]++;
	if (m->decided < m->rcpt_count)
		return;
	m->is_hop = req->hop != NULL;
	m->done_ms = world_ms(w);
	w->done++;
	request_free(&m->req);
}

static void
on_output(void *ctx, struct lane_session *ls)
{
	struct world_conn *c = ls->io;

	(void)ctx;
	c->has_output = true;
}

static void
on_session_ended(void *ctx, struct lane_session *ls, enum session_end how,
    bool is_clean, const char *why)
{
	struct world *w = ctx;

	(void)is_clean;
	(void)why;
	w->ended[how]++;
	world_conn_free(ls->io);
}

static void
want_kick(void *ctx)
{
	((struct world *)ctx)->is_kick_due = true;
}

static void
on_rendering(void *ctx, const struct request *req, bool begins)
{
	struct world *w = ctx;

	assert_non_null(req);
	w->in_hand += begins ? 1 : -1;
	assert_true(w->in_hand >= 0);
}

/* What was pulled has been written here, so nothing can slip out. */
static void
hang_up_session(void *ctx, struct lane_session *ls)
{
	struct world_conn *c = ls->io;

	(void)ctx;
	c->has_output = false;
}

static void
raise_alarm(void *ctx, const struct route *route, enum alarm_kind kind,
    const char *reply)
{
	struct world *w = ctx;

	(void)route;
	w->alarms++;
	(void)snprintf(
	    w->alarm, sizeof(w->alarm), "%s: %s", alarm_kind_name(kind), reply);
}

static void
clear_alarm(void *ctx, const struct route *route, enum alarm_kind kind)
{
	(void)route;
	((struct world *)ctx)->all_clears[kind]++;
}

static enum lane_stop
stopped(void *ctx, const struct route *route)
{
	(void)route;
	return ((struct world *)ctx)->was_stopped;
}

static bool
on_throttled(void *ctx, struct route *route, int64_t sent_us, int64_t now_us)
{
	struct world *w = ctx;

	(void)route;
	assert_true(sent_us <= now_us && now_us == w->now.us);
	w->asked_to_give_way++;
	return w->others_give_way;
}

static void
on_pause(void *ctx, struct route *route, int64_t until_us)
{
	struct world *w = ctx;

	(void)route;
	w->pause_told_us = until_us;
}

static void
on_too_many(void *ctx, struct route *route, bool was_open, const char *reply)
{
	struct world *w = ctx;

	(void)route;
	(void)reply;
	w->too_many++;
	w->too_many_was_open = was_open;
}

static void
on_stranger_taken(void *ctx, struct route *route, const char *port)
{
	assert_non_null(route);
	assert_string_equal(port, "25");
	((struct world *)ctx)->strangers_told++;
}

static bool
takes_strangers(void *ctx, struct route *route, const char *port)
{
	assert_non_null(route);
	assert_string_equal(port, "25");
	return ((struct world *)ctx)->takes_strangers;
}

static void
on_login(
    void *ctx, struct lane_session *ls, enum session_login_news news, int code)
{
	struct world *w = ctx;

	(void)code;
	assert_non_null(ls);
	w->news[news]++;
}

static void
on_turned_away(void *ctx, struct lane_session *ls)
{
	(void)ls;
	((struct world *)ctx)->turned_away++;
}

static bool
on_outage(
    void *ctx, uint64_t id, const struct request *req, enum lane_owed_for why)
{
	struct world *w = ctx;

	assert_true(id > 0 && req != NULL);
	w->owed += w->calls_back;
	w->owed_in_doubt += w->calls_back && why == LANE_OWED_DOUBT;
	return w->calls_back;
}

static void
on_back(void *ctx, uint64_t id)
{
	assert_true(id > 0);
	((struct world *)ctx)->backs++;
}

static size_t
owed_before(void *ctx, uint64_t id)
{
	assert_true(id > 0);
	return ((struct world *)ctx)->owed_before;
}

static void
on_released(void *ctx)
{
	((struct world *)ctx)->released++;
}

static const struct lane_owner_ops owner_handlers = {
    .on_decided = on_decided,
    .on_rendering = on_rendering,
    .want_kick = want_kick,
};

static const struct lane_connection_ops connection_handlers = {
    .start_dial = start_dial,
    .on_output = on_output,
    .hang_up = hang_up_session,
    .on_session_ended = on_session_ended,
    .on_turned_away = on_turned_away,
    .on_login = on_login,
};

static const struct lane_account_ops account_handlers = {
    .on_want = on_want,
    .on_too_many = on_too_many,
    .on_throttled = on_throttled,
    .on_pause = on_pause,
    .on_stranger_taken = on_stranger_taken,
    .takes_strangers = takes_strangers,
};

static const struct lane_alarm_ops alarm_handlers = {
    .raise = raise_alarm,
    .clear = clear_alarm,
    .stopped = stopped,
};

static const struct lane_outage_ops outage_handlers = {
    .on_outage = on_outage,
    .on_back = on_back,
    .owed_before = owed_before,
    .on_released = on_released,
};

struct lane_ops
world_lane_ops(struct world *w)
{
	return (struct lane_ops){
	    .owner = &owner_handlers,
	    .owner_ctx = w,
	    .connections = &connection_handlers,
	    .connections_ctx = w,
	    .accounts = &account_handlers,
	    .accounts_ctx = w,
	    .alarms = &alarm_handlers,
	    .alarms_ctx = w,
	    .outages = &outage_handlers,
	    .outages_ctx = w,
	};
}
