#include "tools/lane-sim/sim_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	BEGIN_MS = 1000000,
	BEGIN_WALL_S = 1700000000,
	PULL_MAX = 65536,
	ACCOUNT = 1,
	/* A deadline that is never met, or a kick that always wants another,
	 * spins the agent. */
	TURNS_WITHOUT_TIME_MAX = 100000,
};

static char text_none[] = "";
static char text_relayhost[] = "[relay.test]";
static char text_rcpt[] = "rcpt";
static char text_providers[] = "providers";
static char text_urgent[] = "urgent";

/* A connection, both sides of it, until both have seen its end and nothing of
 * it is under way. */
struct sim_conn {
	struct list link; /* sim_lane.conns */
	struct list dirty; /* sim_world.dirty */
	struct sim_world *world;
	struct sim_lane *lane;
	struct route *route;
	struct lane_session *ls; /* NULL: dialling, or given up */
	struct sim_caller caller;
	const char *turned_away; /* the reply to the dial */
	int slot;
	bool is_heard, is_left; /* by the provider */
	bool is_given_up; /* by the lane */
	int events; /* of it, under way */
	int64_t to_provider_ms, to_lane_ms; /* the last octets arrive then */
	int64_t busy_us; /* the provider has the next message after that */
};

/* What lies around the engine goes by milliseconds. */
static int64_t
now_ms(const struct sim_world *w)
{
	return w->now.us / US_PER_MS;
}

static struct sim_member *
member_of(struct sim_lane *l)
{
	return &l->world->account.members[l->me];
}

/* ---- the way there and back -------------------------------------------- */

static int64_t
one_way_ms(struct sim_world *w)
{
	int64_t ms = w->rtt_ms / 2;

	if (w->jitter_ms == 0)
		return ms;
	w->random = w->random * UINT64_C(6364136223846793005) + 1;
	return ms + (int64_t)((w->random >> 33) % (uint64_t)(w->jitter_ms + 1));
}

/* Nothing overtakes what is under way on the same connection. */
static struct sim_event *
send_on_at(struct sim_conn *c, enum sim_event_kind kind, int64_t *last_ms,
    int64_t from_ms)
{
	int64_t at_ms = from_ms + one_way_ms(c->world);

	if (at_ms < *last_ms)
		at_ms = *last_ms;
	*last_ms = at_ms;
	c->events++;
	return sim_events_put(&c->world->events, at_ms, kind, c);
}

static struct sim_event *
send_on(struct sim_conn *c, enum sim_event_kind kind, int64_t *last_ms)
{
	return send_on_at(c, kind, last_ms, now_ms(c->world));
}

static void
send_to_lane(struct sim_conn *c)
{
	struct sim_event *e;
	int64_t from_ms = now_ms(c->world);

	if (c->busy_us / US_PER_MS > from_ms)
		from_ms = c->busy_us / US_PER_MS;
	if (buf_len(&c->caller.out) > 0) {
		e = send_on_at(c, SIM_TO_LANE, &c->to_lane_ms, from_ms);
		CHECK(buf_add_slice(&e->octets, buf_slice(&c->caller.out)));
		buf_reset(&c->caller.out);
	}
	if (c->caller.is_closed)
		(void)send_on(c, SIM_END_TO_LANE, &c->to_lane_ms);
}

static void
free_conn(struct sim_conn *c)
{
	list_remove(&c->link);
	list_remove(&c->dirty);
	mem_free(c);
}

static void
give_up(struct sim_conn *c)
{
	c->ls = NULL;
	c->is_given_up = true;
	list_remove(&c->link);
	list_remove(&c->dirty);
	(void)send_on(c, SIM_END_TO_PROVIDER, &c->to_provider_ms);
}

/* ---- lane_ops ---------------------------------------------------------- */

static bool
start_dial(void *ctx, struct route *route, struct lane_no *no)
{
	struct sim_lane *l = ctx;
	struct sim_world *w = l->world;
	struct sim_conn *c;
	int slot;

	if (l->route == NULL) {
		l->route = route;
		lane_set_account(
		    l->lane, route, ACCOUNT, 0, &l->learned, w->now);
	}
	slot = sim_account_take(&w->account, l->me, no, now_ms(w));
	if (slot < 0)
		return false;
	c = mem_zalloc(sizeof(*c));
	c->world = w;
	c->lane = l;
	c->route = route;
	c->slot = slot;
	list_init(&c->link);
	list_init(&c->dirty);
	list_push(&l->conns, &c->link);
	l->dials++;
	(void)send_on(c, SIM_DIAL_ARRIVES, &c->to_provider_ms);
	return true;
}

static void
on_want(void *ctx, struct route *route, size_t count)
{
	struct sim_lane *l = ctx;

	(void)route;
	l->wants = (int)count;
	sim_account_want(&l->world->account, l->me, (int)count);
}

static void
on_decided(void *ctx, struct request *req, size_t i)
{
	struct sim_lane *l = ctx;

	(void)i;
	sim_mail_decided(&l->mail, req, now_ms(l->world));
}

static void
on_output(void *ctx, struct lane_session *ls)
{
	struct sim_conn *c = ls->io;

	(void)ctx;
	if (!list_is_linked(&c->dirty))
		list_push(&c->world->dirty, &c->dirty);
}

static void
on_session_ended(void *ctx, struct lane_session *ls, enum session_end how,
    bool is_clean, const char *why)
{
	struct sim_lane *l = ctx;
	struct sim_world *w = l->world;
	struct sim_conn *c = ls->io;

	(void)why;
	l->ended[how]++;
	sim_account_release(
	    &w->account, l->me, c->slot, is_clean, w->rtt_ms, now_ms(w));
	give_up(c);
}

static void
want_kick(void *ctx)
{
	((struct sim_lane *)ctx)->is_kick_due = true;
}

/* What was pulled has been written here, so nothing can slip out. */
static void
hang_up(void *ctx, struct lane_session *ls)
{
	struct sim_conn *c = ls->io;

	(void)ctx;
	list_remove(&c->dirty);
}

static void
on_too_many(void *ctx, struct route *route, bool was_open, const char *reply)
{
	struct sim_lane *l = ctx;
	struct sim_account *a = &l->world->account;

	(void)route;
	(void)reply;
	l->dials_refused++;
	sim_account_refused(
	    a, l->me, a->members[l->me].held - was_open, now_ms(l->world));
}

static void
on_route_gone(void *ctx, struct route *route)
{
	struct sim_lane *l = ctx;

	(void)route;
	/* The board keeps that. */
	l->learned = sim_learned(l);
	l->route = NULL;
}

static bool
on_throttled(void *ctx, struct route *route, int64_t sent_us, int64_t at_us)
{
	(void)route;
	return rate_store_throttled(member_of(ctx)->rates, sent_us, at_us);
}

static void
on_pause(void *ctx, struct route *route, int64_t until_us)
{
	(void)route;
	rate_store_pause(member_of(ctx)->rates, until_us);
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
    .on_route_gone = on_route_gone,
};

static const struct lane_account_ops account_handlers = {
    .on_want = on_want,
    .on_too_many = on_too_many,
    .on_throttled = on_throttled,
    .on_pause = on_pause,
};

/* ---- pacer_ops --------------------------------------------------------- */

static int64_t
rates_wait_us(void *ctx, const struct pacer_cost *cost, int64_t at_us,
    struct pacer_limit *why_out)
{
	return rate_store_wait_us(member_of(ctx)->rates, cost, at_us, why_out);
}

static bool
rates_take(void *ctx, const struct pacer_cost *cost, int64_t at_us)
{
	return rate_store_take(member_of(ctx)->rates, cost, at_us);
}

static const struct limitset *
rates_peek(void *ctx, struct route *route)
{
	const struct sim_member *m = member_of(ctx);

	(void)route;
	return rate_store_peek(m->book, m->rates);
}

static void
rates_save(void *ctx, const struct limitset *own)
{
	rate_store_store(member_of(ctx)->book, own);
}

static const struct pacer_ops pacer_handlers = {
    .wait_us = rates_wait_us,
    .take = rates_take,
    .peek = rates_peek,
    .save = rates_save,
};

/* ---- what happens ------------------------------------------------------ */

static void
on_dial_arrives(struct sim_conn *c)
{
	struct sim_world *w = c->world;
	int64_t rtts;

	c->turned_away = sim_provider_greet(&c->caller, &w->provider);
	c->is_heard = true;
	/* A refusal is the greeting. */
	rtts = c->turned_away != NULL ? 2 : w->dial_rtts;
	c->to_lane_ms = now_ms(w) + rtts * w->rtt_ms - w->rtt_ms / 2;
	c->events++;
	(void)sim_events_put(&w->events, c->to_lane_ms, SIM_DIAL_ENDS, c);
}

/* As upstream does it. */
static void
on_dial_refused(struct sim_conn *c)
{
	struct sim_lane *l = c->lane;
	struct sim_world *w = c->world;
	const char *reply = c->turned_away;
	int64_t patience_us = l->set.lane_wait_limit_us;
	struct route *route = c->route;
	struct dsn dsn;

	dsn_set(&dsn, "4.7.0", "host %s said: %s", w->peer.host, reply);
	sim_account_release(
	    &w->account, l->me, c->slot, false, w->rtt_ms, now_ms(w));
	give_up(c);
	(void)lane_judge_dial(l->lane, route, RULE_CONNECT,
	    (int)strtol(reply, NULL, 10), reply, w->now, &patience_us);
	lane_dial_failed(l->lane, route,
	    &(struct route_failure){.dsn = &dsn,
		.peer = &w->peer,
		.reply = reply,
		.patience_us = patience_us},
	    w->now);
}

static void
on_dial_ends(struct sim_conn *c)
{
	if (c->turned_away != NULL)
		on_dial_refused(c);
	else
		c->ls = lane_add_session(c->lane->lane, c->route,
		    &c->world->ehlo, &c->world->peer, false, c, c->world->now);
}

static void
be_busy(struct sim_conn *c)
{
	if (c->busy_us < c->world->now.us)
		c->busy_us = c->world->now.us;
	c->busy_us += c->world->reply_us;
}

static void
on_octets_at_provider(struct sim_conn *c, struct slice octets)
{
	uint64_t before = c->caller.refused;

	if (c->caller.is_closed)
		return;
	while (sim_provider_hear(&c->caller, octets, c->world->now.us)) {
		octets = slice_of("", 0);
		be_busy(c);
		send_to_lane(c);
	}
	c->lane->refused += c->caller.refused - before;
	send_to_lane(c);
}

/* Every tenth of a second lanes look whether slots are wanted of them, and
 * four times as often whether one is to be had; as budget does. */
static void
on_look(struct sim_world *w)
{
	for (int i = 0; i < w->lane_count; i++) {
		struct sim_lane *l = &w->lanes[i];
		int surplus;

		if (sim_account_has_room(&w->account, i, now_ms(w)))
			l->is_kick_due = true;
		if (now_ms(w) % SIM_LOOK_HOLD_MS >= SIM_LOOK_WANT_MS)
			continue;
		surplus = sim_account_surplus(&w->account, i, now_ms(w));
		if (surplus == 0)
			continue;
		lane_close_idle(l->lane, (size_t)surplus, NULL, NULL, w->now);
		l->is_kick_due = true;
	}
	(void)sim_events_put(
	    &w->events, now_ms(w) + SIM_LOOK_WANT_MS, SIM_LOOK, NULL);
}

static void
on_second(struct sim_world *w)
{
	if (w->on_second != NULL)
		w->on_second(w->ctx, w, (now_ms(w) - w->begin_ms) / 1000);
	(void)sim_events_put(&w->events, now_ms(w) + 1000, SIM_SECOND, NULL);
}

static void
happen(struct sim_world *w, struct sim_event *e)
{
	struct sim_conn *c = e->conn;
	struct slice octets = buf_slice(&e->octets);

	switch (e->kind) {
	case SIM_DIAL_ARRIVES:
		on_dial_arrives(c);
		break;
	case SIM_DIAL_ENDS:
		on_dial_ends(c);
		break;
	case SIM_TO_PROVIDER:
		on_octets_at_provider(c, octets);
		break;
	case SIM_TO_LANE:
		if (c->ls != NULL)
			session_input(
			    c->ls->session, octets.p, octets.n, w->now);
		break;
	case SIM_END_TO_LANE:
		if (c->ls != NULL)
			session_closed(
			    c->ls->session, true, "connection closed", w->now);
		c->lane->is_kick_due = true;
		break;
	case SIM_END_TO_PROVIDER:
		c->is_left = true;
		if (c->is_heard)
			sim_provider_leave(&c->caller);
		break;
	case SIM_LOOK:
		on_look(w);
		break;
	case SIM_SECOND:
		on_second(w);
		break;
	}
	if (c != NULL && --c->events == 0 && c->is_left)
		free_conn(c);
}

/* ---- as agent and link do it ------------------------------------------- */

static bool
may_feed(struct sim_lane *l)
{
	int64_t until_us;

	return sim_mail_is_ready(&l->mail, now_ms(l->world)) &&
	       lane_may_admit(l->lane, 0, l->world->now.us, &until_us);
}

/* What other lanes of the account were told is known before more goes. */
static void
listen(struct sim_lane *l)
{
	struct moment now = l->world->now;
	struct rate_store_news news;

	if (l->route == NULL || !rate_store_news(member_of(l)->rates, &news))
		return;
	if (news.refused_us > 0)
		lane_yield(l->lane, l->route, news.refused_us, now);
	if (news.pause_until_us > 0)
		lane_pause(l->route, news.pause_until_us, now);
}

static void
kick(struct sim_lane *l)
{
	struct moment now = l->world->now;

	l->is_kick_due = false;
	l->kicks++;
	while (may_feed(l))
		lane_submit(l->lane, sim_mail_take(&l->mail, now), now);
	l->is_kick_due = false;
	listen(l);
	lane_kick(l->lane, now);
	if (lane_sessions(l->lane) + lane_dialing(l->lane) > l->sessions_most)
		l->sessions_most =
		    lane_sessions(l->lane) + lane_dialing(l->lane);
	if (lane_waiting(l->lane) == lane_parked(l->lane))
		rate_store_idle(member_of(l)->book);
	l->timer_ms = clock_ms_from_us(lane_deadline_us(l->lane));
}

/* The link pulls, and the kernel takes all of it. */
static void
flush(struct sim_conn *c)
{
	struct sim_world *w = c->world;
	struct session *s = c->ls->session;
	bool was_quiet = session_octets_unanswered(s) == 0;
	struct sim_event *e;
	size_t before;

	if (session_is_over(s))
		return;
	e = send_on(c, SIM_TO_PROVIDER, &c->to_provider_ms);
	do {
		before = buf_len(&e->octets);
		session_output(s, &e->octets, PULL_MAX, w->now);
	} while (buf_len(&e->octets) > before);
	if (was_quiet && session_octets_unanswered(s) > 0)
		c->lane->is_kick_due = true; /* a stage timer runs now */
	session_written(s, buf_len(&e->octets), w->now);
}

static void
settle(struct sim_world *w)
{
	bool again = true;

	for (int turns = 0; again; turns++) {
		struct list *link;

		CHECK(turns < TURNS_WITHOUT_TIME_MAX);
		again = false;
		for (int i = 0; i < w->lane_count; i++) {
			struct sim_lane *l = &w->lanes[i];

			if (!l->is_kick_due && !may_feed(l))
				continue;
			kick(l);
			again = true;
		}
		while ((link = list_pop(&w->dirty)) != NULL) {
			flush(list_entry(link, struct sim_conn, dirty));
			again = true;
		}
	}
}

static int64_t
next_ms(const struct sim_world *w)
{
	int64_t next = sim_events_next_ms(&w->events);

	for (int i = 0; i < w->lane_count; i++) {
		const struct sim_lane *l = &w->lanes[i];
		int64_t comes = sim_mail_next_ms(&l->mail, now_ms(w));

		if (l->timer_ms < next)
			next = l->timer_ms;
		if (comes < next)
			next = comes;
	}
	return next > now_ms(w) ? next : now_ms(w);
}

static void
step(struct sim_world *w)
{
	int64_t next = next_ms(w);

	w->now.wall.tv_sec = BEGIN_WALL_S + (next - w->begin_ms) / 1000;
	w->now.wall.tv_usec = (next - w->begin_ms) % 1000 * 1000;
	w->now.us = next * US_PER_MS;
	while (sim_events_next_ms(&w->events) <= now_ms(w)) {
		struct sim_event *e = sim_events_take(&w->events);

		happen(w, e);
		sim_events_give_back(&w->events, e);
	}
	for (int i = 0; i < w->lane_count; i++) {
		struct sim_lane *l = &w->lanes[i];

		if (l->timer_ms > now_ms(w))
			continue;
		l->timer_ms = INT64_MAX;
		lane_on_timer(l->lane, w->now);
		l->is_kick_due = true;
	}
	settle(w);
}

static bool
is_done(const struct sim_world *w)
{
	for (int i = 0; i < w->lane_count; i++)
		if (!sim_mail_is_done(&w->lanes[i].mail))
			return false;
	return true;
}

double
sim_run(struct sim_world *w, int64_t until_s)
{
	int64_t end_ms = w->begin_ms + until_s * 1000, last_ms = -1;
	int turns = 0;

	settle(w);
	while (!is_done(w) && next_ms(w) <= end_ms) {
		step(w);
		turns = now_ms(w) == last_ms ? turns + 1 : 0;
		last_ms = now_ms(w);
		CHECK(turns < TURNS_WITHOUT_TIME_MAX);
	}
	return (double)(now_ms(w) - w->begin_ms) / 1000;
}

static void
take_learned(void *ctx, uint64_t account, const struct controller_stored *pace)
{
	(void)account;
	*(struct controller_stored *)ctx = *pace;
}

struct controller_stored
sim_learned(const struct sim_lane *l)
{
	struct controller_stored stored = {0};

	lane_each_pace(l->lane, l->world->now, take_learned, &stored);
	return stored;
}

/* ---- life -------------------------------------------------------------- */

static void
init_settings(struct settings *set)
{
	set->relayhost = text_relayhost;
	set->lane_smarthost = set->lane_provider = text_none;
	set->lane_reply_rules = text_none;
	set->lane_provider_directory = text_providers;
	set->lane_priority = text_urgent;
	set->smtp_address_verify_target = text_rcpt;
	set->lane_message_rate_limit = set->lane_recipient_rate_limit =
	    set->lane_byte_rate_limit = text_none;
	set->lane_account_message_rate_limit =
	    set->lane_account_recipient_rate_limit =
		set->lane_account_byte_rate_limit = text_none;
	set->lane_connection_rate_limit = text_none;
	set->lane_connection_limit = 20;
	set->lane_account_connection_limit = 20;
	set->lane_messages_per_connection = 50;
	set->lane_connection_idle_limit_us = 30 * US_PER_S;
	set->lane_connection_age_limit_us = 900 * US_PER_S;
	set->lane_pipeline_depth = 10;
	set->lane_pipeline_bytes = 1 << 20;
	set->lane_chunking = set->lane_adaptive = true;
	set->lane_wait_limit_us = 300 * US_PER_S;
	set->lane_parked_limit = 100;
	set->lane_request_limit_us = 3600 * US_PER_S;
	set->lane_alert_retry_us = 60 * US_PER_S;
	set->smtp_line_length_limit = 998;
	set->smtp_rset_timeout_us = 20 * US_PER_S;
	set->smtp_mail_timeout_us = set->smtp_rcpt_timeout_us = 300 * US_PER_S;
	set->smtp_data_init_timeout_us = 120 * US_PER_S;
	set->smtp_data_xfer_timeout_us = 180 * US_PER_S;
	set->smtp_data_done_timeout_us = 600 * US_PER_S;
}

void
sim_init(struct sim_world *w)
{
	*w = (struct sim_world){.lane_count = 1, .rtt_ms = 50, .dial_rtts = 7};
	w->ehlo.is_esmtp = w->ehlo.pipelining = w->ehlo.chunking = true;
	w->ehlo.enhancedstatuscodes = true;
	(void)snprintf(w->peer.host, sizeof(w->peer.host), "relay.test");
	(void)snprintf(w->peer.addr, sizeof(w->peer.addr), "192.0.2.1");
	(void)snprintf(w->peer.port, sizeof(w->peer.port), "25");
	w->begin_ms = BEGIN_MS;
	w->now.us = BEGIN_MS * US_PER_MS;
	w->now.wall.tv_sec = BEGIN_WALL_S;
	w->random = 1;
	list_init(&w->dirty);
	for (int i = 0; i < SIM_LANES; i++)
		init_settings(&w->lanes[i].set);
}

static void
begin_lane(struct sim_world *w, int me)
{
	struct sim_lane *l = &w->lanes[me];
	struct lane_ops ops = {
	    .owner = &owner_handlers,
	    .owner_ctx = l,
	    .connections = &connection_handlers,
	    .connections_ctx = l,
	    .accounts = &account_handlers,
	    .accounts_ctx = l,
	};
	struct problems problems = {0};
	char error[256];

	l->world = w;
	l->me = me;
	l->timer_ms = INT64_MAX;
	list_init(&l->conns);
	provider_set_load(&l->rules, &l->set, &problems);
	if (problems.count > 0)
		log_fatal("%s", problems.text[0]);
	problems_fini(&problems);
	l->lane = lane_new(&l->set, &ops, (uint32_t)(me + 12345), w->now.us,
	    error, sizeof(error));
	if (l->lane == NULL)
		log_fatal("%s", error);
	lane_set_rules(l->lane, l->rules.rules);
	sim_account_join(&w->account, me, &l->set, w->now.us);
	lane_set_rates(l->lane, rate_store_load(member_of(l)->book),
	    &pacer_handlers, l, w->now.us);
	sim_mail_begin(&l->mail, (uint64_t)me + 88172645463325252, now_ms(w));
	l->is_kick_due = true;
}

void
sim_begin(struct sim_world *w)
{
	w->peer.rtt_us = w->rtt_ms * US_PER_MS;
	sim_account_init(&w->account);
	sim_provider_begin(&w->provider, w->now.us);
	for (int i = 0; i < w->lane_count; i++)
		begin_lane(w, i);
	/* A lane alone looks when it releases one. */
	if (w->lane_count > 1)
		(void)sim_events_put(
		    &w->events, now_ms(w) + SIM_LOOK_WANT_MS, SIM_LOOK, NULL);
	(void)sim_events_put(&w->events, now_ms(w) + 1000, SIM_SECOND, NULL);
}

static void
end_lane(struct sim_lane *l)
{
	struct moment now = l->world->now;
	struct request *req;

	lane_drain(l->lane, now);
	lane_abort(l->lane, "end of the world", now);
	lane_kick(l->lane, now);
	while ((req = sim_mail_inside(&l->mail)) != NULL) {
		/* Some of its recipients may be decided: not for dropping. */
		while (req->lane_data != NULL) {
			lane_take_waiting(l->lane, req->lane_data);
			lane_forget(req->lane_data);
		}
		sim_mail_drop(&l->mail, req);
	}
	sim_mail_fini(&l->mail);
	lane_free(&l->lane);
	provider_set_fini(&l->rules);
}

void
sim_fini(struct sim_world *w)
{
	for (int i = 0; i < w->lane_count; i++)
		end_lane(&w->lanes[i]);
	while (w->events.count > 0) {
		struct sim_event *e = sim_events_take(&w->events);

		if (e->kind == SIM_END_TO_PROVIDER && e->conn->is_heard)
			sim_provider_leave(&e->conn->caller);
		if (e->conn != NULL && --e->conn->events == 0)
			free_conn(e->conn);
		sim_events_give_back(&w->events, e);
	}
	for (int i = 0; i < w->lane_count; i++)
		list_each_safe (link, &w->lanes[i].conns)
			free_conn(list_entry(link, struct sim_conn, link));
	sim_events_fini(&w->events);
	sim_provider_fini(&w->provider);
	sim_account_fini(&w->account);
}
