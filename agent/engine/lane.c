#include "agent/engine/lane_state.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	/* A message that was on a session five times when that session broke,
	 * with nothing else to blame, is left to the queue. */
	TRIES_MAX = 5,
};

void
lane_set_rules(struct lane *lane, const struct rules *rules)
{
	lane->rules = rules;
}

void
lane_set_rates(struct lane *lane, const struct limitset *saved,
    const struct pacer_ops *ops, void *ctx, int64_t now_us)
{
	pacer_attach(&lane->pacer, lane->set, saved, ops, ctx, now_us);
}

const struct limitset *
lane_rates(const struct lane *lane)
{
	return &lane->pacer.own;
}

void
lane_set_domains(struct lane *lane, struct domains *domains)
{
	lane->domains = domains;
}

struct lane *
lane_new(const struct settings *set, const struct lane_ops *ops,
    uint32_t random, int64_t now_us, char *error, size_t error_size)
{
	struct lane *lane = mem_zalloc(sizeof(*lane));

	lane->set = lane->as_set = set;
	lane->ops = *ops;
	lane->random = random | 1;
	lane->look_again_us = INT64_MAX;
	lane->learned_in_all = -1;
	list_init(&lane->routes);
	list_init(&lane->all_sessions);
	list_init(&lane->paces);
	if (!pacer_init(&lane->pacer, set, now_us, error, error_size)) {
		mem_free(lane);
		return NULL;
	}
	return lane;
}

void
lane_free(struct lane **lane)
{
	struct lane *old = *lane;

	*lane = NULL;
	if (old == NULL)
		return;
	CHECK(old->waiting == 0 && old->in_flight == 0);
	list_each_safe (link, &old->routes) {
		struct route *r = route_of(link);

		list_each_safe (s, &r->sessions)
			lane_free_session(session_of(s));
		lane_forget_parkings(r);
		lane_leave_pace(r);
		route_free(&r);
	}
	lane_free_holds(old);
	mem_free(old);
}

/* ---- ends of transactions ---------------------------------------------- */

/* A host that has taken a message without a login wants none. */
static void
note_taken(struct lane_session *ls, const struct request *req)
{
	struct lane *lane = ls->lane;
	const struct lane_account_ops *accounts = lane->ops.accounts;

	if (ls->no_login == NULL || request_is_probe(req))
		return;
	if (accounts->on_stranger_taken != NULL)
		accounts->on_stranger_taken(lane->ops.accounts_ctx, ls->route,
		    session_peer(ls->session)->port);
	if (route_on_stranger_taken(ls->route))
		lane_clear_alarm(lane, ls->route, ALARM_LOGIN);
}

static void
on_done(void *ctx, struct transaction *t)
{
	struct lane_session *ls = ctx;
	struct lane *lane = ls->lane;
	struct request *req = t->req;
	bool is_sent = false, is_deferred = false, is_in_doubt = false;

	CHECK(t->carrier == ls && lane->in_flight > 0);
	lane->in_flight--;
	for (size_t i = 0; i < t->count; i++) {
		const struct verdict *v = req->rcpts[t->rcpts[i]].verdict;

		is_sent = is_sent || v->outcome == OUTCOME_SENT;
		/* Of what is in doubt the end of the session tells. */
		is_in_doubt = is_in_doubt || v->dsn.maybe_accepted;
		is_deferred = is_deferred || (v->outcome == OUTCOME_DEFER &&
						 !v->dsn.maybe_accepted);
	}
	if (is_in_doubt && t->was_cut && !request_is_probe(req))
		(void)lane_owe(lane, t, LANE_OWED_DOUBT);
	lane_count_left(t, is_sent);
	if (is_sent) {
		lane->figures.messages++;
		tempo_on_message(&ls->route->tempo, t->left_us - ls->moved_us);
		route_on_good(ls->route);
	}
	if (is_sent)
		note_taken(ls, req);
	if (is_sent && route_on_all_clear(ls->route, ls->alarms_before)) {
		lane_clear_alarm(lane, ls->route, ALARM_LOGIN);
		lane_clear_alarm(lane, ls->route, ALARM_BLOCKED);
	}
	if (is_deferred)
		route_on_trouble(ls->route);
	else if (is_sent)
		route_on_accepted(
		    ls->route, t->began_us, lane->set->lane_pipeline_depth);
	ls->moved_us = t->left_us;
	lane_conclude(lane, t);
	/* No reply need follow: it may have failed while it was written. */
	lane_want_kick(lane);
}

static void
on_returned(void *ctx, struct transaction *t, bool is_its_fault)
{
	struct lane_session *ls = ctx;
	struct lane *lane = ls->lane;

	CHECK(t->carrier == ls && lane->in_flight > 0);
	lane->in_flight--;
	lane->figures.returned++;
	lane_count_left(t, false);
	t->is_throttled = false;
	if (t->was_taken)
		note_taken(ls, t->req);
	if (is_its_fault)
		t->tries++;
	log_debug("%s: returned, %d tries: %s", t->req->queue_id, t->tries,
	    t->last_error->text);
	if (t->goes_on && t->last_error->maybe_accepted)
		lane->figures.in_doubt += transaction_undecided(t);
	else if (t->goes_on)
		route_on_trouble(ls->route);
	/* What broke a session may be the message, or the host. */
	if ((t->goes_on || is_its_fault) && lane_go_on(lane, t))
		t->goes_on = false;
	lane_put_back(lane, t);
	if (t->tries >= TRIES_MAX || t->goes_on) {
		struct dsn why = *t->last_error;

		lane_defer_waiting(lane, t, &why, t->last_peer, NULL, false);
	} else {
		lane_hand_over(lane, t);
	}
	lane_want_kick(lane);
}

/* The session is inside one of its own functions: lane_kick() buries it. */
static void
on_ended(void *ctx, enum session_end how, bool is_clean, const char *why)
{
	struct lane_session *ls = ctx;
	const struct lane_ops *ops = &ls->lane->ops;

	ls->end_how = how;
	ls->end_is_clean = is_clean;
	(void)snprintf(ls->end_why, sizeof(ls->end_why), "%s", why);
	ops->connections->hang_up(ops->connections_ctx, ls);
	lane_want_kick(ls->lane);
}

static void
on_changed(void *ctx)
{
	struct lane_session *ls = ctx;
	const struct lane_ops *ops = &ls->lane->ops;

	ops->connections->on_output(ops->connections_ctx, ls);
	lane_want_kick(ls->lane);
}

static void
on_rendering(void *ctx, struct transaction *t, bool begins)
{
	struct lane_session *ls = ctx;
	const struct lane_ops *ops = &ls->lane->ops;

	if (ops->owner->on_rendering != NULL)
		ops->owner->on_rendering(ops->owner_ctx, t->req, begins);
}

static enum meaning
judge(void *ctx, struct transaction *t, enum command_kind kind,
    const struct reply *reply, enum meaning meaning, struct moment now)
{
	return lane_judge(ctx, t, kind, reply, meaning, now);
}

/* It could not be used for want of a login. */
static void
on_no_login(struct lane *lane, struct lane_session *ls, struct moment now)
{
	const struct peer *peer = session_peer(ls->session);
	struct dsn dsn;

	dsn_set(&dsn, "4.7.0",
	    "SASL authentication failed in front of mail; server %s[%s]",
	    peer->host, peer->addr);
	route_on_login_refused(ls->route, &dsn, peer, now.us);
	lane_want_kick(lane);
}

static void
on_login(void *ctx, enum session_login_news news, int code, struct moment now)
{
	struct lane_session *ls = ctx;
	struct lane *lane = ls->lane;
	const struct lane_ops *ops = &lane->ops;

	switch (news) {
	case LOGIN_ACCEPTED:
		route_on_welcome(ls->route, now.us);
		lane_clear_alarm(lane, ls->route, ALARM_OUTAGE);
		lane_clear_alarm(lane, ls->route, ALARM_LOGIN);
		break;
	case LOGIN_REFUSED:
		on_no_login(lane, ls, now);
		break;
	case LOGIN_MISPLACED:
		lane->figures.wire.manners++;
		if (session_is_stranger(ls->session))
			on_no_login(lane, ls, now);
		break;
	case LOGIN_PROVEN:
	case LOGIN_CUT:
		break;
	}
	if (ops->connections->on_login != NULL)
		ops->connections->on_login(
		    ops->connections_ctx, ls, news, code);
}

static const struct session_ops session_handlers = {
    .on_done = on_done,
    .on_returned = on_returned,
    .on_ended = on_ended,
    .on_changed = on_changed,
    .on_rendering = on_rendering,
    .judge = judge,
    .on_login = on_login,
};

/* ---- the adapters' side ------------------------------------------------ */

void
lane_submit(struct lane *lane, struct request *req, struct moment now)
{
	struct route *r = lane_route_for(lane, req, now.us);
	struct transaction *t;

	/* Once, and whole. */
	CHECK(req->lane_data == NULL);
	CHECK(request_count(req, RCPT_WAITING) == req->rcpt_count);
	t = lane_split(lane, req, now);
	req->lane_data = t;
	req->deadline_us = req->received_us + lane->set->lane_request_limit_us;
	for (; t != NULL; t = t->sibling) {
		t->route = r;
		t->number = ++lane->numbered;
		tempo_on_coming(&r->tempo, now.us);
		tempo_on_coming(&lane->coming, now.us);
		lane_put_last(lane, t);
	}
	lane_want_kick(lane);
}

/* The assigned transaction goes back among those that wait. */
static bool
withdraw(struct lane *lane, struct transaction *t)
{
	if (!session_withdraw(t->carrier->session, t))
		return false;
	CHECK(lane->in_flight > 0);
	lane_count_left(t, false);
	lane_give_back_token(t);
	lane->in_flight--;
	lane_put_back(lane, t);
	lane_want_kick(lane);
	return true;
}

bool
lane_drop(struct lane *lane, struct request *req)
{
	struct transaction *t;

	if (!lane_may_drop(req))
		return false;
	while ((t = req->lane_data) != NULL) {
		if (t->state == TRANSACTION_ASSIGNED)
			CHECK(withdraw(lane, t));
		lane_take_waiting(lane, t);
		lane_forget(t);
	}
	return true;
}

static struct lane_session *
add_session(struct lane *lane, struct route *route, const struct ehlo *ehlo,
    const struct peer *peer, void *io, struct moment now)
{
	struct lane_session *ls = mem_zalloc(sizeof(*ls));

	CHECK(!lane->is_kicking && peer != NULL);
	CHECK(route->dialing > 0 && lane->dialing >= route->dialing);
	route->dialing--;
	lane->dialing--;
	bdp_on_dial(&route->bdp, peer->rtt_us, now.us);
	ls->lane = lane;
	ls->route = route;
	ls->alarms_before = route->alarms;
	if (route->no_login != NULL && route->offers_login)
		ls->no_login = mem_strdup(route->no_login);
	ls->io = io;
	ls->announced_quota =
	    ehlo->limits_mailmax < INT32_MAX ? (int)ehlo->limits_mailmax : 0;
	ls->rcpt_max = ehlo->limits_rcptmax;
	ls->domain_max = ehlo->limits_rcptdomainmax;
	ls->session = session_new(lane->set, &route->manner, ehlo, peer,
	    &session_handlers, ls, now.us);
	session_count_in(ls->session, &lane->figures.wire);
	session_measure_in(ls->session, &route->bdp);
	list_init(&ls->link);
	list_push(&route->sessions, &ls->link);
	list_init(&ls->of_lane);
	list_push(&lane->all_sessions, &ls->of_lane);
	ls->began_us = now.us;
	route->session_count++;
	lane->sessions++;
	ls->number = ++lane->figures.sessions;
	lane_clear_alarm(lane, route, ALARM_CERTIFICATE);
	lane_want_kick(lane);
	return ls;
}

struct lane_session *
lane_add_session(struct lane *lane, struct route *route,
    const struct ehlo *ehlo, const struct peer *peer, bool is_authenticated,
    void *io, struct moment now)
{
	struct lane_session *ls;

	route_on_dial_ok(route, now.us);
	ls = add_session(lane, route, ehlo, peer, io, now);
	lane_clear_alarm(lane, route, ALARM_OUTAGE);
	if (is_authenticated)
		lane_clear_alarm(lane, route, ALARM_LOGIN);
	return ls;
}

struct lane_session *
lane_add_login(struct lane *lane, struct route *route, const struct ehlo *ehlo,
    const struct peer *peer, struct slice line, void *io, struct moment now)
{
	struct lane_session *ls;

	route_on_connected(route, now.us);
	ls = add_session(lane, route, ehlo, peer, io, now);
	session_log_in(ls->session, line, !route_is_well(route));
	return ls;
}

void
lane_dial_failed(struct lane *lane, struct route *route,
    const struct route_failure *failure, struct moment now)
{
	struct route_failure f = *failure;

	CHECK(!lane->is_kicking && lane->dialing >= route->dialing);
	CHECK(route->dialing > 0);
	route->dialing--;
	lane->dialing--;
	route->has_next = lane_has_next(lane, route);
	if (route->has_next)
		f.patience_us = 0;
	route_on_dial_failed(route, &f, lane_next_random(lane), now.us);
	lane_alarm_of_outage(lane, route, now.us);
	lane_want_kick(lane);
}

int64_t
lane_deadline_us(const struct lane *lane)
{
	int64_t due = lane->look_again_us;

	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		if (lane_expiry_us(lane, r) < due)
			due = lane_expiry_us(lane, r);
		list_each (s, &r->sessions) {
			const struct lane_session *ls = session_of(s);
			struct session *session = ls->session;
			int64_t at = session_deadline_us(session);

			if (at < due)
				due = at;
			if (session_load(session) > 0 ||
			    session_is_finishing(session))
				continue;
			at = lane_idle_until_us(ls);
			if (at < due)
				due = at;
		}
	}
	return due;
}

void
lane_on_timer(struct lane *lane, struct moment now)
{
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions)
			session_on_timer(session_of(s)->session, now);
	}
	lane_kick(lane, now);
}

void
lane_close_idle(struct lane *lane, size_t count, lane_route_fn *is_of,
    void *ctx, struct moment now)
{
	struct session *s;

	for (; count > 0 &&
	       (s = lane_oldest_idle(lane, false, is_of, ctx)) != NULL;
	     count--)
		session_finish(s, FINISH_WANTED, now.us);
}

void
lane_drain(struct lane *lane, struct moment now)
{
	CHECK(!lane->is_kicking);
	lane->is_draining = true;
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions) {
			struct lane_session *ls = session_of(s);
			struct transaction *t;

			while ((t = session_unsent(ls->session)) != NULL)
				CHECK(withdraw(lane, t));
			session_finish(ls->session, FINISH_DRAINING, now.us);
		}
	}
	lane_want_kick(lane);
}

void
lane_abort(struct lane *lane, const char *why, struct moment now)
{
	CHECK(!lane->is_kicking && why != NULL);
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions)
			session_abort(session_of(s)->session, why, now);
	}
	lane_want_kick(lane);
}

bool
lane_is_drained(const struct lane *lane)
{
	return lane->sessions == 0 && lane->dialing == 0 &&
	       lane->in_flight == 0;
}

size_t
lane_waiting(const struct lane *lane)
{
	return lane->waiting;
}

size_t
lane_parked(const struct lane *lane)
{
	return lane->parked;
}

size_t
lane_in_flight(const struct lane *lane)
{
	return lane->in_flight;
}

size_t
lane_sessions(const struct lane *lane)
{
	return lane->sessions;
}

size_t
lane_dialing(const struct lane *lane)
{
	return lane->dialing;
}

const struct lane_figures *
lane_figures(const struct lane *lane)
{
	return &lane->figures;
}
