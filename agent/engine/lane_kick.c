#include "agent/engine/lane_state.h"

#include <math.h>

#include "common/base/log.h"

/* How long a spent session's successor is tried for: QUIT and its reply. */
enum { SUCCESSION_MS = 2500 };

static void
bury_ended(struct lane *lane, struct route *r, int64_t now_ms)
{
	list_each_safe (link, &r->sessions) {
		struct lane_session *ls = session_of(link);

		if (!session_is_over(ls->session))
			continue;
		if (ls->end_how != SESSION_END_QUIT &&
		    ls->end_how != SESSION_END_OURS)
			lane->figures.lost++;
		if (ls->is_used_up)
			ls->end_how = SESSION_END_421;
		route_on_session_end(r, ls->end_how,
		    session_accepted(ls->session),
		    session_in_doubt(ls->session), lane_next_random(lane),
		    now_ms);
		lane_on_turned_away(lane, ls, now_ms);
		lane->ops->on_session_ended(
		    lane->ctx, ls, ls->end_how, ls->end_is_clean, ls->end_why);
		lane_free_session(ls);
	}
}

static void
count_finishing(struct lane *lane, struct route *r)
{
	r->claimed = 0;
	list_each (link, &r->sessions)
		lane->finishing +=
		    session_is_finishing(session_of(link)->session);
}

static int
quota_of(const struct lane_session *ls, int64_t now_ms)
{
	return route_quota(ls->route,
	    ls->lane->set->lane_messages_per_connection, ls->announced_quota,
	    now_ms);
}

/* Sessions that are spent, or idle for too long, say QUIT. */
static void
retire(struct lane *lane, struct route *r, int64_t now_ms)
{
	list_each_safe (link, &r->sessions) {
		struct lane_session *ls = session_of(link);
		struct session *s = ls->session;

		if (session_is_finishing(s))
			continue;
		if (session_is_spent(s, quota_of(ls, now_ms), now_ms))
			session_finish(s, LANE_WHY_SPENT, now_ms);
		else if (session_load(s) == 0 &&
			 now_ms - session_idle_since_ms(s) >=
			     lane->set->lane_connection_idle_limit_ms)
			session_finish(s, LANE_WHY_IDLE, now_ms);
		else if (lane->is_draining)
			session_finish(s, LANE_WHY_DRAINING, now_ms);
	}
}

/* The session to take one more message: an idle one, the most recently used
 * first so that surplus ages out; else the least loaded within depth. */
static struct lane_session *
pick_session(struct route *r, int depth, int64_t now_ms)
{
	struct lane_session *best = NULL;

	list_each (link, &r->sessions) {
		struct lane_session *ls = session_of(link);
		size_t load = session_load(ls->session), least;

		if (!session_has_room(
			ls->session, depth, quota_of(ls, now_ms), now_ms))
			continue;
		if (best == NULL) {
			best = ls;
			continue;
		}
		least = session_load(best->session);
		if (load < least ||
		    (load == 0 && least == 0 &&
			session_idle_since_ms(ls->session) >
			    session_idle_since_ms(best->session)))
			best = ls;
	}
	return best;
}

/* As lane_oldest_idle(), which there need not be one of for very many routes:
 * it is not looked for again before something has moved. */
static struct session *
find_idle(struct lane *lane)
{
	struct session *idle = NULL;

	if (lane->none_idle_at != lane->moves)
		idle = lane_oldest_idle(lane, true, NULL, NULL);
	if (idle == NULL)
		lane->none_idle_at = lane->moves;
	return idle;
}

/* Routes share lane_connection_limit: those that have idle sessions give them
 * up to this one, as many as it can use. */
static void
make_room(struct lane *lane, struct route *r, int64_t now_ms)
{
	size_t waiting = lane_unparked(r);

	for (; r->claimed + r->dialing < waiting; r->claimed++) {
		struct session *idle;

		if (lane->claimed == lane->finishing) {
			idle = find_idle(lane);
			if (idle == NULL)
				return;
			session_finish(idle, LANE_WHY_WANTED, now_ms);
			lane->finishing++;
		}
		lane->claimed++;
	}
}

static bool
start_dial(
    struct lane *lane, struct route *r, struct lane_no *no, int64_t now_ms)
{
	if (!lane->ops->start_dial(lane->ctx, r, no))
		return false;
	r->dialing++;
	route_on_dial(r, now_ms);
	lane->dialing++;
	return true;
}

bool
lane_add_dial(struct lane *lane, struct route *r, bool is_probe,
    struct lane_no *no, int64_t now_ms)
{
	if (lane->is_draining) {
		lane_no_set(no, LANE_NO_DRAINING, INT64_MAX);
		return false;
	}
	if (lane->sessions + lane->dialing +
		(is_probe ? 0 : lane->places_kept) >=
	    (size_t)lane->set->lane_connection_limit) {
		make_room(lane, r, now_ms);
		lane_no_set(no, LANE_NO_CONNECTION_LIMIT, INT64_MAX);
		return false;
	}
	if (now_ms < r->rest_until_ms) {
		lane_no_set(no, LANE_NO_REST, r->rest_until_ms);
		return false;
	}
	if (r->is_alarmed && r->session_count + r->dialing > 0) {
		lane_no_set(no, LANE_NO_ALARM, INT64_MAX);
		return false;
	}
	if (route_may_replace(r))
		return start_dial(lane, r, no, now_ms);
	if (route_is_being_tried(r)) {
		lane_no_set(no, LANE_NO_CONNECTION, INT64_MAX);
		return false;
	}
	if (now_ms < r->dial_not_before_ms) {
		lane_no_set(no, LANE_NO_BACKOFF, r->dial_not_before_ms);
		return false;
	}
	return start_dial(lane, r, no, now_ms);
}

static bool
add_dial(struct lane *lane, struct route *r, struct lane_no *no, int64_t now_ms)
{
	return lane_add_dial(lane, r, false, no, now_ms);
}

struct pacer_cost
lane_cost_of(const struct transaction *t)
{
	return (struct pacer_cost){
	    {
		[PACER_MESSAGES] = 1,
		[PACER_RECIPIENTS] = t->count,
		[PACER_OCTETS] =
		    (uint64_t)(t->req->size > 0 ? t->req->size : 0),
	    },
	    t->route};
}

static void
assign(struct lane *lane, struct lane_session *ls, struct transaction *t,
    struct moment now)
{
	struct pacer_cost cost = lane_cost_of(t);

	lane_take_token(t, &cost, now.ms * 1000);
	lane_take_waiting(lane, t);
	t->carrier = ls;
	t->has_other_host =
	    lane_has_other_host(lane, t, session_peer(ls->session));
	lane->in_flight++;
	lane_count_taken(t, now.ms * 1000);
	session_assign(ls->session, t, now);
	if (!session_is_over(ls->session) &&
	    session_is_spent(ls->session, quota_of(ls, now.ms), now.ms)) {
		/* QUIT travels in its last group. */
		session_finish(ls->session, LANE_WHY_SPENT, now.ms);
		/* A session of one message says nothing of the next. */
		if (session_messages(ls->session) > 1)
			t->route->spent_ms = now.ms;
	}
}

/* A wait that is known to be longer than lane_hold_limit is not begun: the
 * message, or all mail for a while, is the queue manager's to keep. */
static void
refuse_to_wait(struct lane *lane, struct transaction *t, int64_t wait_us)
{
	const struct pacer_limit *limit = lane->paced_by;
	char rate[RATE_TEXT_SIZE];
	struct dsn dsn;

	rate_to_text(&limit->rate, rate, sizeof(rate));
	if (wait_us == RATE_NEVER) {
		dsn_set(&dsn, "4.4.5", "message is above %s = %s",
		    pacer_parameter(limit), rate);
	} else {
		dsn_set(&dsn, "4.4.5", "%s = %s is used up, more in %llds",
		    pacer_parameter(limit), rate,
		    (long long)(wait_us / 1000000));
		request_set_hop(t->req, &dsn, NULL);
	}
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
}

/* Sessions that will last for the next `share` messages each, or are new; those
 * under way included. *busy_out: sessions in use now. */
static size_t
lasting(struct route *r, int64_t share, int64_t now_ms, size_t *busy_out)
{
	size_t n = r->dialing;

	*busy_out = 0;
	list_each (link, &r->sessions) {
		struct lane_session *ls = session_of(link);
		const struct session *s = ls->session;
		int begun = session_messages(s);

		if (session_is_finishing(s))
			continue;
		*busy_out += session_load(s) > 0;
		n += begun == 0 || quota_of(ls, now_ms) - begun > share;
	}
	return n;
}

/* How many messages a new session may carry. */
static int64_t
carries(const struct lane *lane, const struct route *r, int64_t now_ms)
{
	return route_quota(
	    r, lane->set->lane_messages_per_connection, 0, now_ms);
}

/* How many messages like this one can go in the time that a dial takes. */
static int64_t
expected(
    struct lane *lane, const struct route *r, const struct pacer_cost *cost)
{
	int64_t us = r->dial_took_ms * 1000;
	int64_t n =
	    pacer_expected(&lane->pacer, cost, us, (int64_t)lane_unparked(r));
	double learned = controller_rate(&r->pace->adapt) * (double)us / 1e6;

	return learned < (double)n ? (int64_t)learned : n;
}

/* Mail waits for a token that comes at at_ms, and a bucket of one loses those
 * that come while a session is dialled: so the successor of a session that is
 * nearly spent is dialled as long before as that takes. share: messages that
 * are expected to go in that time. Returns when to look again. */
static int64_t
dial_ahead(struct lane *lane, struct route *r, int64_t share, int64_t at_ms,
    int64_t now_ms)
{
	struct lane_no no = {.not_before_ms = INT64_MAX};
	int64_t took_ms = r->dial_took_ms;
	size_t busy, need;

	(void)lasting(r, 0, now_ms, &busy);
	if (busy == 0)
		busy = 1;
	share /= (int64_t)busy;
	/* Where a session carries less than that, several follow on one. */
	need = busy * (size_t)(1 + share / carries(lane, r, now_ms));
	if (took_ms == 0 || lasting(r, share, now_ms, &(size_t){0}) >= need)
		return at_ms;
	if (now_ms < at_ms - took_ms)
		return at_ms - took_ms;
	while (lasting(r, share, now_ms, &(size_t){0}) < need &&
	       add_dial(lane, r, &no, now_ms))
		;
	return at_ms;
}

/* The last session that was there has its share of messages. It was in use more
 * often than it would have been closed as idle, so more mail is expected in
 * that time, which should not wait for a dial. */
static void
succeed_spent(struct lane *lane, struct route *r, int64_t now_ms)
{
	struct lane_no no;
	size_t busy;

	if (r->spent_ms == 0)
		return;
	/* Its own place may be the only one, and is free when it has gone. */
	if (now_ms - r->spent_ms > SUCCESSION_MS ||
	    controller_paused_until(&r->pace->adapt) > now_ms * 1000 ||
	    lasting(r, 0, now_ms, &busy) > 0 || add_dial(lane, r, &no, now_ms))
		r->spent_ms = 0;
}

/* The smarthost's own pace, as found out: true when t may go now. */
static bool
may_go(struct lane *lane, struct transaction *t, const struct pacer_cost *cost,
    struct lane_no *no, bool *refused_out, struct moment now)
{
	struct controller *pace = &t->route->pace->adapt;
	int64_t paused_us = controller_paused_until(pace) - now.ms * 1000;
	int64_t wait_us = lane->set->lane_adaptive
			      ? controller_wait_us(pace, now.ms * 1000)
			  : paused_us > 0 ? paused_us
					  : 0;
	struct dsn dsn;

	*refused_out = false;
	if (paused_us / 1000 > lane->set->lane_hold_limit_ms) {
		dsn_set(&dsn, "4.4.5",
		    "the smarthost asked for a pause, %llds are left",
		    (long long)(paused_us / 1000000));
		request_set_hop(t->req, &dsn, NULL);
		lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
		*refused_out = true;
		return false;
	}
	if (wait_us == INT64_MAX)
		lane_no_set(no, LANE_NO_WINDOW, INT64_MAX);
	else if (wait_us > 0)
		lane_no_set(no, LANE_NO_PACE,
		    dial_ahead(lane, t->route, expected(lane, t->route, cost),
			now.ms + (wait_us + 999) / 1000, now.ms));
	return wait_us == 0;
}

/* Messages like this one that may go at once. */
static size_t
ready(struct lane *lane, const struct route *r, const struct pacer_cost *cost,
    int64_t now_us)
{
	size_t n = pacer_ready(&lane->pacer, cost, lane_unparked(r), now_us);
	const struct controller *pace = &r->pace->adapt;
	int room = controller_window(pace) - pace->in_flight;

	if (!lane->set->lane_adaptive)
		return n;
	if (isfinite(controller_rate(pace)) && room > 1)
		room = 1; /* one by one */
	if (room < 0)
		room = 0;
	return n < (size_t)room ? n : (size_t)room;
}

/* Each dial under way is for one that waits and may go, or for as many as a
 * session carries of those that may go until it is there. */
static size_t
useful_dials(struct lane *lane, const struct route *r,
    const struct pacer_cost *cost, int64_t now_us)
{
	size_t now = ready(lane, r, cost, now_us);
	int64_t then =
	    1 + expected(lane, r, cost) / carries(lane, r, now_us / 1000);

	return now > (size_t)then ? now : (size_t)then;
}

/* Gives away the next that waits; false: nothing more can go now. */
static bool
serve_first(struct lane *lane, struct route *r, struct lane_no *no,
    struct moment now, int64_t now_us)
{
	struct transaction *t = lane_next_waiting(lane, r, now_us);
	struct pacer_cost cost = lane_cost_of(t);
	int64_t wait_us =
	    pacer_wait_us(&lane->pacer, &cost, now_us, &lane->paced_by);
	struct lane_session *ls;
	bool is_refused;

	if (wait_us / 1000 > lane->set->lane_hold_limit_ms) {
		refuse_to_wait(lane, t, wait_us);
		return true;
	}
	if (wait_us > 0) {
		lane_no_set(no, LANE_NO_RATE,
		    dial_ahead(lane, r, expected(lane, r, &cost),
			now.ms + (wait_us + 999) / 1000, now.ms));
		return false;
	}
	if (!may_go(lane, t, &cost, no, &is_refused, now))
		return is_refused;
	ls = pick_session(r, 1, now.ms);
	if (ls == NULL) {
		lane_no_set(no, LANE_NO_CONNECTION, INT64_MAX);
		if (r->dialing >= lane_unparked(r))
			return false;
		if (r->dialing < useful_dials(lane, r, &cost, now_us) &&
		    add_dial(lane, r, no, now.ms))
			return true;
		/* What the pace lets go now is lost when it waits. */
		ls = pick_session(r, r->depth, now.ms);
		if (ls == NULL)
			return false;
	}
	if (!pacer_take(&lane->pacer, &cost, now_us))
		return true; /* and ask again: another lane was quicker */
	assign(lane, ls, t, now);
	return true;
}

/* What is said of a request that waited in vain; returns with whom it failed,
 * or NULL. */
static const struct peer *
explain_wait(
    const struct lane *lane, const struct transaction *t, struct dsn *out)
{
	const struct route *r = t->route;
	long long held_s = (long long)lane->set->lane_hold_limit_ms / 1000;
	char rate[RATE_TEXT_SIZE];

	if (r->no.reason == LANE_NO_RATE && lane->paced_by != NULL) {
		rate_to_text(&lane->paced_by->rate, rate, sizeof(rate));
		dsn_set(out, "4.4.5", "not sent within %llds: %s = %s", held_s,
		    pacer_parameter(lane->paced_by), rate);
	} else if (r->failing_since_ms > 0) {
		*out = r->failure;
		return r->failure_peer;
	} else if (t->last_error != NULL) {
		*out = *t->last_error;
		return t->last_peer;
	} else {
		dsn_set(out, "4.4.5", "not sent within %llds: %s", held_s,
		    lane_no_words(&r->no));
	}
	return NULL;
}

bool
lane_is_in_outage(const struct route *r, int64_t now_ms)
{
	return r->is_down && r->session_count == 0 && r->dialing == 0 &&
	       now_ms < r->dial_not_before_ms;
}

int64_t
lane_expiry_ms(const struct lane *lane, const struct transaction *t)
{
	int64_t held = t->waiting_since_ms + lane->set->lane_hold_limit_ms;

	return held < t->req->deadline_ms ? held : t->req->deadline_ms;
}

bool
lane_expire(struct lane *lane, struct transaction *t, int64_t now_ms)
{
	struct route *r = t->route;
	const struct peer *peer = NULL;
	struct dsn dsn;

	if (lane_is_in_outage(r, now_ms)) {
		/* Who is called back when it is over need not be kept from
		 * coming; nor others, while any host of the list works. */
		bool is_hop = !r->is_failure_final &&
			      lane_is_lost(lane, t, now_ms) &&
			      !lane_owe(lane, t) && !r->is_failure_soft;

		if (r->is_failure_final)
			lane_bounce_waiting(lane, t, &r->failure,
			    r->failure_peer, r->failure_reply);
		else
			lane_defer_waiting(lane, t, &r->failure,
			    r->failure_peer, r->failure_reply, is_hop);
		return true;
	}
	if (now_ms < lane_expiry_ms(lane, t))
		return false;
	if (!lane_explain_parked(lane, t, now_ms * 1000, &dsn))
		peer = explain_wait(lane, t, &dsn);
	lane_defer_waiting(lane, t, &dsn, peer, NULL, false);
	return true;
}

/* Requests that waited too long, or cannot be served, go back. */
static void
expire_waiting(struct lane *lane, struct route *r, struct moment now)
{
	struct transaction *t;

	while (
	    (t = lane_first_waiting(r)) != NULL && lane_expire(lane, t, now.ms))
		continue;
	lane_expire_parkings(lane, r, now);
	if (lane->is_draining)
		lane_leave_parts(lane, r);
}

/* Sessions that would be opened if there were slots. */
static size_t
wanted(struct lane *lane, struct route *r, int64_t now_us)
{
	const struct transaction *t = lane_next_waiting(lane, r, now_us);
	size_t limit = (size_t)lane->set->lane_connection_limit;
	size_t open = lane->sessions + lane->dialing, could, want;
	struct pacer_cost cost;

	if (t == NULL || lane->is_draining || open >= limit ||
	    now_us < r->dial_not_before_ms * 1000)
		return 0;
	cost = lane_cost_of(t);
	could = ready(lane, r, &cost, now_us);
	want = could > r->dialing ? could - r->dialing : 0;
	return want < limit - open ? want : limit - open;
}

/* One round, as long as anything can go; false: there was nothing. Whoever
 * took a domain's tokens leaves the others of its queue another wait, so what
 * is parked is counted anew for each round. */
static bool
serve(struct lane *lane, struct route *r, struct lane_no *no, struct moment now)
{
	int64_t now_us = now.ms * 1000;
	bool is_served = false;

	lane_look_at_parkings(lane, r, now_us);
	while (lane_next_waiting(lane, r, now_us) != NULL &&
	       serve_first(lane, r, no, now, now_us))
		is_served = true;
	return is_served;
}

/* When the first of a limited domain may go, or a dial for it is due. */
static void
await_token(struct lane *lane, struct route *r, struct moment now)
{
	int64_t share, at_us = lane_next_token(r, now.ms * 1000, &share), at_ms;

	if (at_us == INT64_MAX)
		return;
	at_ms = dial_ahead(lane, r, share, (at_us + 999) / 1000, now.ms);
	if (at_ms < lane->look_again_ms)
		lane->look_again_ms = at_ms;
}

/* True when something was started. */
static bool
kick_route(struct lane *lane, struct route *r, struct moment now)
{
	struct lane_no no = {.not_before_ms = INT64_MAX};
	int64_t now_us = now.ms * 1000;
	bool is_served = false;

	expire_waiting(lane, r, now);
	while (serve(lane, r, &no, now))
		is_served = true;
	lane_forget_parkings(r);
	retire(lane, r, now.ms);
	succeed_spent(lane, r, now.ms);
	await_token(lane, r, now);
	if (lane_unparked(r) > 0) {
		r->no = no;
		if (no.not_before_ms < lane->look_again_ms)
			lane->look_again_ms = no.not_before_ms;
	}
	lane->ops->on_want(lane->ctx, r, wanted(lane, r, now_us));
	return is_served;
}

/* Forgets a route that was not used for long. */
static void
forget_unused(struct lane *lane, struct route *r, int64_t now_ms)
{
	int64_t memory_ms = lane->route_count > ROUTE_MANY
				? ROUTE_MEMORY_SHORT_MS
				: ROUTE_MEMORY_MS;

	if (r->waiting_count + r->session_count + r->dialing > 0) {
		r->used_ms = now_ms;
		return;
	}
	if (r->is_alarmed || r->owed > 0 || now_ms - r->used_ms < memory_ms)
		return; /* remembered until mail goes again */
	/* And a pause until it is over; of very many routes the account alone
	 * remembers it. */
	if (lane->route_count <= ROUTE_MANY &&
	    controller_paused_until(&r->pace->adapt) > now_ms * 1000)
		return;
	if (lane->ops->on_route_gone != NULL)
		lane->ops->on_route_gone(lane->ctx, r);
	lane->route_count--;
	lane_leave_pace(r);
	route_free(&r);
}

/* Dials of hosts that mail is kept from. One that had no place has the next
 * that is free. */
static void
probe(struct lane *lane, struct moment now)
{
	lane->places_kept = 0;
	list_each (link, &lane->routes)
		lane_probe(lane, route_of(link), now);
	list_each (link, &lane->routes)
		if (lane_is_probe_due(lane, route_of(link), now.ms))
			lane->places_kept = 1;
}

void
lane_kick(struct lane *lane, struct moment now)
{
	CHECK(!lane->is_kicking);
	lane->is_kicking = true;
	lane->look_again_ms = INT64_MAX;
	/* All of them first: whose turn it is chooses among all slots. */
	lane->finishing = lane->claimed = 0;
	lane->none_idle_at = lane->moves - 1;
	list_each (link, &lane->routes) {
		bury_ended(lane, route_of(link), now.ms);
		count_finishing(lane, route_of(link));
	}
	lane_pass_on(lane, now);
	probe(lane, now);
	list_each_safe (link, &lane->routes)
		if (kick_route(lane, route_of(link), now)) {
			/* Next time the others choose first. */
			list_remove(link);
			list_push(&lane->routes, link);
		}
	lane_trim_parkings(lane, now.ms * 1000);
	if (lane->domains != NULL)
		domains_sweep(lane->domains, now.ms * 1000);
	list_each_safe (link, &lane->routes)
		forget_unused(lane, route_of(link), now.ms);
	lane->is_kicking = false;
}
