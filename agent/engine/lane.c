#include "agent/engine/lane_state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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
lane_set_rates(struct lane *lane, const struct fairshare *saved,
    const struct pacer_ops *ops, void *ctx, int64_t now_us)
{
	pacer_attach(&lane->pacer, lane->set, saved, ops, ctx, now_us);
}

const struct fairshare *
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
lane_new(const struct settings *set, const struct lane_ops *ops, void *ctx,
    uint32_t random, int64_t now_us, char *error, size_t error_size)
{
	struct lane *lane = mem_zalloc(sizeof(*lane));

	lane->set = set;
	lane->ops = ops;
	lane->ctx = ctx;
	lane->random = random | 1;
	lane->look_again_ms = INT64_MAX;
	list_init(&lane->routes);
	list_init(&lane->paces);
	if (!pacer_init(&lane->pacer, set, now_us, error, error_size)) {
		mem_free(lane);
		return NULL;
	}
	return lane;
}

/* xorshift32: jitter needs no more. */
uint32_t
lane_next_random(struct lane *lane)
{
	lane->random ^= lane->random << 13;
	lane->random ^= lane->random >> 17;
	lane->random ^= lane->random << 5;
	return lane->random;
}

struct transaction *
lane_first_waiting(struct route *r)
{
	struct list *link = list_first(&r->waiting);

	return link != NULL ? list_entry(link, struct transaction, link) : NULL;
}

void
lane_free_session(struct lane_session *ls)
{
	list_remove(&ls->link);
	ls->route->session_count--;
	ls->lane->sessions--;
	session_free(&ls->session);
	mem_free(ls);
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
	mem_free(old);
}

/* ---- where mail goes --------------------------------------------------- */

static bool
is_domain_of_rcpts(const struct request *req)
{
	for (size_t i = 0; i < req->rcpt_count; i++) {
		const char *at = strrchr(req->rcpts[i].address, '@');

		if (at == NULL || strcasecmp(at + 1, req->nexthop) != 0)
			return false;
	}
	return req->rcpt_count > 0;
}

bool
lane_is_nexthop_of_all(const struct request *req)
{
	return is_domain_of_rcpts(req);
}

const char *
lane_nexthops(const struct settings *set, const struct request *req)
{
	if (set->lane_smarthost[0] != '\0')
		return set->lane_smarthost;
	if (set->relayhost[0] != '\0' &&
	    (req->nexthop[0] == '\0' || is_domain_of_rcpts(req)))
		return set->relayhost;
	return req->nexthop;
}

static bool
is_given(const char *text)
{
	return text != NULL && *text != '\0';
}

/* smtp(8) goes on in clear text after a failed handshake at level may with mail
 * that has been deferred before (or a probe), so that the sender's own TLS is
 * not given up for a moment's trouble. Such mail has a route, and sessions, of
 * its own. With logins there is no clear text. */
static bool
may_be_plain(const struct settings *set, const struct request *req)
{
	const struct delay_times *at = &req->times;

	if ((set->smtp_sasl_auth_enable &&
		is_given(set->smtp_sasl_password_maps)) ||
	    (set->requiretls_enable &&
		(req->sendopts & SENDOPT_REQUIRETLS) != 0))
		return false;
	/* The policy of a host may say so, too, which the dialer looks up. */
	if (!is_given(set->smtp_tls_policy_maps) &&
	    (is_given(set->smtp_tls_security_level)
		    ? strcasecmp(set->smtp_tls_security_level, "may") != 0
		    : !set->smtp_use_tls))
		return false;
	return request_is_probe(req) ||
	       ((int64_t)at->active.tv_sec - at->arrival.tv_sec) * 1000 >=
		   set->minimal_backoff_time_ms;
}

static struct route *
find_route(struct lane *lane, const struct request *req, int64_t now_us)
{
	bool is_plain = may_be_plain(lane->set, req);
	const char *nexthops = lane_nexthops(lane->set, req);
	const char *sender =
	    lane->set->smtp_sender_dependent_authentication ? req->sender : "";

	return lane_first_route(lane, nexthops, sender, is_plain, now_us);
}

/* ---- ends of transactions ---------------------------------------------- */

static void
count(struct lane *lane, const struct verdict *v)
{
	switch (v->outcome) {
	case OUTCOME_SENT:
		lane->figures.sent++;
		break;
	case OUTCOME_DEFER:
		lane->figures.deferred++;
		break;
	case OUTCOME_BOUNCE:
		lane->figures.bounced++;
		break;
	}
	if (v->dsn.maybe_accepted)
		lane->figures.in_doubt++;
}

/* Gives every newly decided recipient of t to report. After the last one the
 * request may be gone, so how many there are is counted first. What belongs to
 * other parts of the request is theirs to tell: they may still be on the wire
 * and need it. */
static void
hand_over(struct lane *lane, const struct transaction *t)
{
	struct request *req = t->req;
	size_t left = 0;

	for (size_t i = 0; i < t->total; i++) {
		const struct recipient *r = &req->rcpts[t->rcpts[i]];

		left += r->state == RCPT_DECIDED && !r->is_handed_over;
	}
	for (size_t i = 0; left > 0; i++) {
		struct recipient *r = &req->rcpts[t->rcpts[i]];

		if (r->state != RCPT_DECIDED || r->is_handed_over)
			continue;
		left--;
		r->is_handed_over = true;
		count(lane, r->verdict);
		lane->ops->on_decided(lane->ctx, req, t->rcpts[i]);
	}
}

/* Unties t from its request. */
static void
untie(struct transaction *t)
{
	struct transaction *other = t->req->lane_data;

	if (other == t) {
		t->req->lane_data = t->sibling;
		return;
	}
	while (other->sibling != t)
		other = other->sibling;
	other->sibling = t->sibling;
}

static void
free_untied(struct transaction *t)
{
	if (t->domain != NULL)
		domain_release(t->domain);
	transaction_free(&t);
}

void
lane_forget(struct transaction *t)
{
	untie(t);
	free_untied(t);
}

/* All of t is decided. */
static void
conclude(struct lane *lane, struct transaction *t)
{
	untie(t);
	hand_over(lane, t);
	free_untied(t);
}

static void
put_waiting(struct lane *lane, struct transaction *t, struct list *after)
{
	t->carrier = NULL;
	list_insert_after(after, &t->link);
	t->route->waiting_count++;
	lane->waiting++;
	lane->moves++;
	if (t->domain != NULL)
		lane_on_parked(t);
}

/* Back among those that wait, in the order in which they came: the first is
 * always the one to be served, and the one to expire, next. What is ahead of
 * its place came back as well, so there is little to walk past. */
void
lane_put_back(struct lane *lane, struct transaction *t)
{
	struct list *queue = lane_queue_of(t), *after = queue;

	while (after->next != queue &&
	       list_entry(after->next, struct transaction, link)->number <
		   t->number)
		after = after->next;
	put_waiting(lane, t, after);
}

void
lane_take_waiting(struct lane *lane, struct transaction *t)
{
	list_remove(&t->link);
	t->route->waiting_count--;
	lane->waiting--;
	lane->moves++;
	if (t->parking != NULL)
		lane_on_unparked(lane, t);
}

static void
decide_waiting(struct lane *lane, struct transaction *t, enum outcome outcome,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text)
{
	struct request *req = t->req;

	lane_take_waiting(lane, t);
	for (size_t i = 0; i < t->count; i++) {
		struct verdict *v;

		if (!transaction_is_open(t, i))
			continue;
		v = verdict_new(outcome);
		v->dsn = *dsn;
		if (peer != NULL)
			verdict_set_peer(v, peer);
		if (peer != NULL && diag_text != NULL) {
			v->diag_text = mem_strdup(diag_text);
			v->mta_name = mem_strdup(peer->host);
		}
		request_decide(req, t->rcpts[i], v);
	}
}

void
lane_defer_waiting(struct lane *lane, struct transaction *t,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text,
    bool is_hop)
{
	decide_waiting(lane, t, OUTCOME_DEFER, dsn, peer, diag_text);
	if (is_hop)
		request_set_hop(t->req, dsn, peer != NULL ? peer->host : NULL);
	conclude(lane, t);
}

void
lane_bounce_waiting(struct lane *lane, struct transaction *t,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text)
{
	struct dsn final = *dsn;

	dsn_set_class(&final, '5');
	decide_waiting(lane, t, OUTCOME_BOUNCE, &final, peer, diag_text);
	conclude(lane, t);
}

static void
on_done(void *ctx, struct transaction *t)
{
	struct lane_session *ls = ctx;
	struct lane *lane = ls->lane;
	struct request *req = t->req;
	bool is_sent = false, is_deferred = false;

	lane->in_flight--;
	for (size_t i = 0; i < t->count; i++) {
		enum outcome o = req->rcpts[t->rcpts[i]].verdict->outcome;

		is_sent = is_sent || o == OUTCOME_SENT;
		is_deferred = is_deferred || o == OUTCOME_DEFER;
	}
	lane_count_left(t, is_sent);
	if (is_sent) {
		lane->figures.messages++;
		route_on_good(ls->route);
	}
	if (is_sent && route_on_all_clear(ls->route, ls->alarms_before)) {
		lane_clear_alarm(lane, ls->route, ALARM_LOGIN);
		lane_clear_alarm(lane, ls->route, ALARM_BLOCKED);
	}
	if (is_deferred)
		route_on_trouble(ls->route);
	else if (is_sent)
		route_on_accepted(ls->route, lane->set->lane_pipeline_depth);
	conclude(lane, t);
	/* No reply need follow: it may have failed while it was written. */
	lane->ops->want_kick(lane->ctx);
}

static void
on_returned(void *ctx, struct transaction *t, bool is_its_fault)
{
	struct lane_session *ls = ctx;
	struct lane *lane = ls->lane;

	lane->in_flight--;
	lane->figures.returned++;
	lane_count_left(t, false);
	t->is_throttled = false;
	if (is_its_fault)
		t->tries++;
	log_debug("%s: returned, %d tries: %s", t->req->queue_id, t->tries,
	    t->last_error->text);
	if (t->goes_on)
		route_on_trouble(ls->route);
	if (t->goes_on && t->last_error->maybe_accepted)
		lane->figures.in_doubt++;
	/* What broke a session may be the message, or the host. */
	if ((t->goes_on || is_its_fault) && lane_go_on(lane, t))
		t->goes_on = false;
	lane_put_back(lane, t);
	if (t->tries >= TRIES_MAX || t->goes_on) {
		struct dsn why = *t->last_error;

		lane_defer_waiting(lane, t, &why, t->last_peer, NULL, false);
	} else {
		hand_over(lane, t);
	}
	lane->ops->want_kick(lane->ctx);
}

/* The session is inside one of its own functions: lane_kick() buries it. */
static void
on_ended(void *ctx, enum session_end how, bool is_clean, const char *why)
{
	struct lane_session *ls = ctx;

	ls->end_how = how;
	ls->end_is_clean = is_clean;
	(void)snprintf(ls->end_why, sizeof(ls->end_why), "%s", why);
	if (ls->lane->ops->hang_up != NULL)
		ls->lane->ops->hang_up(ls->lane->ctx, ls);
	ls->lane->ops->want_kick(ls->lane->ctx);
}

static void
on_changed(void *ctx)
{
	struct lane_session *ls = ctx;

	ls->lane->ops->on_output(ls->lane->ctx, ls);
	ls->lane->ops->want_kick(ls->lane->ctx);
}

static void
on_rendering(void *ctx, struct transaction *t, bool begins)
{
	struct lane_session *ls = ctx;

	if (ls->lane->ops->on_rendering != NULL)
		ls->lane->ops->on_rendering(ls->lane->ctx, t->req, begins);
}

static enum meaning
judge(void *ctx, struct transaction *t, enum command_kind kind,
    const struct reply *reply, enum meaning meaning, struct moment now)
{
	return lane_judge(ctx, t, kind, reply, meaning, now);
}

static const struct session_ops session_handlers = {
    .on_done = on_done,
    .on_returned = on_returned,
    .on_ended = on_ended,
    .on_changed = on_changed,
    .on_rendering = on_rendering,
    .judge = judge,
};

/* ---- the adapters' side ------------------------------------------------ */

void
lane_submit(struct lane *lane, struct request *req, struct moment now)
{
	struct route *r = find_route(lane, req, now.ms * 1000);
	struct transaction *t = lane_split(lane, req, now);

	req->lane_data = t;
	req->deadline_ms = req->received_ms + lane->set->lane_request_limit_ms;
	for (; t != NULL; t = t->sibling) {
		t->route = r;
		t->number = ++lane->numbered;
		put_waiting(lane, t, lane_queue_of(t)->prev);
	}
	lane->ops->want_kick(lane->ctx);
}

/* The assigned transaction goes back among those that wait. */
static bool
withdraw(struct lane *lane, struct transaction *t)
{
	if (!session_withdraw(t->carrier->session, t))
		return false;
	lane_count_left(t, false);
	lane_give_back_token(t);
	lane->in_flight--;
	lane_put_back(lane, t);
	lane->ops->want_kick(lane->ctx);
	return true;
}

bool
lane_may_drop(const struct request *req)
{
	const struct transaction *t = req->lane_data;
	size_t count = 0;

	for (; t != NULL; t = t->sibling) {
		if (t->state != TRANSACTION_WAITING &&
		    t->state != TRANSACTION_ASSIGNED)
			return false;
		count += t->count;
	}
	/* Fewer: some are decided, or being reported. */
	return count == req->rcpt_count;
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

void
lane_raise_alarm(struct lane *lane, struct route *route, enum alarm_kind kind,
    const char *reply)
{
	if (lane->ops->on_alarm != NULL)
		lane->ops->on_alarm(lane->ctx, route, kind, reply);
}

void
lane_clear_alarm(struct lane *lane, struct route *route, enum alarm_kind kind)
{
	if (lane->ops->on_all_clear != NULL)
		lane->ops->on_all_clear(lane->ctx, route, kind);
}

struct lane_session *
lane_add_session(struct lane *lane, struct route *route,
    const struct ehlo *ehlo, const struct peer *peer, bool is_authenticated,
    void *io, struct moment now)
{
	struct lane_session *ls = mem_zalloc(sizeof(*ls));

	CHECK(route->dialing > 0);
	route->dialing--;
	lane->dialing--;
	route_on_dial_ok(route, now.ms);
	ls->lane = lane;
	ls->route = route;
	ls->alarms_before = route->alarms;
	ls->io = io;
	ls->announced_quota =
	    ehlo->limits_mailmax < INT32_MAX ? (int)ehlo->limits_mailmax : 0;
	ls->session = session_new(lane->set, &route->manner, ehlo, peer,
	    &session_handlers, ls, now.ms);
	list_init(&ls->link);
	list_push(&route->sessions, &ls->link);
	route->session_count++;
	lane->sessions++;
	ls->number = ++lane->figures.sessions;
	lane_clear_alarm(lane, route, ALARM_CERTIFICATE);
	lane_clear_alarm(lane, route, ALARM_OUTAGE);
	if (is_authenticated)
		lane_clear_alarm(lane, route, ALARM_LOGIN);
	lane->ops->want_kick(lane->ctx);
	return ls;
}

void
lane_dial_failed(struct lane *lane, struct route *route, const struct dsn *dsn,
    const struct peer *peer, const char *reply, int64_t patience_ms,
    struct moment now)
{
	CHECK(route->dialing > 0);
	route->dialing--;
	lane->dialing--;
	route->has_next = lane_has_next(lane, route);
	if (route->has_next)
		patience_ms = 0;
	route_on_dial_failed(route, dsn, peer, reply, patience_ms,
	    lane_next_random(lane), now.ms);
	lane_alarm_of_outage(lane, route, now.ms);
	lane->ops->want_kick(lane->ctx);
}

int64_t
lane_deadline_ms(const struct lane *lane)
{
	int64_t due = lane->look_again_ms;

	list_each (link, &lane->routes) {
		struct route *r = route_of(link);
		struct transaction *t = lane_first_waiting(r);

		if (t != NULL && lane_expiry_ms(lane, t) < due)
			due = lane_expiry_ms(lane, t);
		if (lane_parkings_expiry_ms(lane, r) < due)
			due = lane_parkings_expiry_ms(lane, r);
		list_each (s, &r->sessions) {
			struct session *session = session_of(s)->session;
			int64_t at = session_deadline_ms(session);

			if (session_load(session) == 0 &&
			    !session_is_finishing(session))
				at = session_idle_since_ms(session) +
				     lane->set->lane_connection_idle_limit_ms;
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

struct session *
lane_oldest_idle(
    const struct lane *lane, bool without_mail, lane_route_fn *is_of, void *ctx)
{
	struct session *oldest = NULL;

	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		if (is_of != NULL && !is_of(ctx, r))
			continue;
		list_each (l, &r->sessions) {
			struct session *s = session_of(l)->session;

			if ((without_mail && lane_unparked(r) > 0) ||
			    session_load(s) > 0 || session_is_finishing(s))
				continue;
			if (oldest == NULL || session_idle_since_ms(s) <
						  session_idle_since_ms(oldest))
				oldest = s;
		}
	}
	return oldest;
}

void
lane_close_idle(struct lane *lane, size_t count, lane_route_fn *is_of,
    void *ctx, struct moment now)
{
	struct session *s;

	for (; count > 0 &&
	       (s = lane_oldest_idle(lane, false, is_of, ctx)) != NULL;
	     count--)
		session_finish(s, LANE_WHY_WANTED, now.ms);
}

void
lane_drain(struct lane *lane, struct moment now)
{
	lane->is_draining = true;
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions) {
			struct lane_session *ls = session_of(s);
			struct transaction *t;

			while ((t = session_unsent(ls->session)) != NULL)
				CHECK(withdraw(lane, t));
			session_finish(ls->session, LANE_WHY_DRAINING, now.ms);
		}
	}
	lane->ops->want_kick(lane->ctx);
}

void
lane_abort(struct lane *lane, const char *why, struct moment now)
{
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions)
			session_abort(session_of(s)->session, why, now);
	}
	lane->ops->want_kick(lane->ctx);
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

void
lane_each_session(const struct lane *lane,
    void (*fn)(void *ctx, const struct lane_session *ls), void *ctx)
{
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions)
			fn(ctx, session_of(s));
	}
}
