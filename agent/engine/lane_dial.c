/* Is one more session worth it, and may it be dialled. */
#include "agent/engine/lane_state.h"

#include <math.h>

#include "common/base/log.h"

enum {
	/* How long a spent session's successor is tried for: QUIT and its
	 * reply. */
	SUCCESSION_US = 2500000,
	/* A route that wanted more sessions than it could have within that time
	 * has a backlog; else it is quiet, and each message is worth one. */
	BACKLOG_US = 10000000,
	/* A dial that has taken so many times as long as usual may well fail.
	 */
	DIAL_LATE_TIMES = 4,
};

int
lane_session_quota(const struct lane_session *ls, int64_t now_us)
{
	return route_quota(ls->route,
	    ls->lane->set->lane_messages_per_connection, ls->announced_quota,
	    now_us);
}

static bool
is_same_host(const struct route *r, const struct route *other)
{
	return other->level == r->level &&
	       other->may_be_plain == r->may_be_plain &&
	       strcmp(other->nexthops, r->nexthops) == 0 &&
	       strcmp(other->past, r->past) == 0;
}

void
lane_expect_as_others(const struct lane *lane, struct route *r)
{
	const struct route *best = NULL;

	/* A session whose login leads is there before a dial is known to have
	 * worked, and its depth and manner are in use. */
	if (r->worked_us != 0 || r->session_count > 0)
		return;
	list_each (link, &lane->routes) {
		const struct route *other = route_of(link);

		if (other->worked_us != 0 && is_same_host(r, other) &&
		    (best == NULL || route_is_example(other, best)))
			best = other;
	}
	if (best != NULL)
		route_expect_as(r, best);
}

static bool
start_dial(
    struct lane *lane, struct route *r, struct lane_no *no, int64_t now_us)
{
	CHECK(!lane->is_draining);
	if (!lane->ops.connections->start_dial(
		lane->ops.connections_ctx, r, no)) {
		if (no->reason == LANE_NO_SLOT ||
		    no->reason == LANE_NO_CONNECTION_RATE)
			r->full_us = now_us;
		if (no->reason == LANE_NO_SLOT && no->is_full)
			lane_ask_for_slot(lane, r, now_us);
		return false;
	}
	lane_expect_as_others(lane, r);
	if (r->short_us > 0)
		r->short_us = now_us;
	r->dialing++;
	route_on_dial(r, now_us);
	lane->dialing++;
	return true;
}

static bool
may_dial(struct lane *lane, struct route *r, bool is_probe, struct lane_no *no,
    int64_t now_us)
{
	if (lane->is_draining) {
		lane_no_set(no, LANE_NO_DRAINING, INT64_MAX);
		return false;
	}
	if (now_us < r->rest_until_us) {
		lane_no_set(no, LANE_NO_REST, r->rest_until_us);
		return false;
	}
	if (r->trust == ROUTE_ALARMED && r->session_count + r->dialing > 0) {
		lane_no_set(no, LANE_NO_ALARM, INT64_MAX);
		return false;
	}
	if (!route_may_replace(r) && route_is_being_tried(r)) {
		r->full_us = now_us;
		lane_no_set(no, LANE_NO_CONNECTION, INT64_MAX);
		return false;
	}
	if (!route_may_replace(r) && now_us < r->dial_not_before_us) {
		lane_no_set(no, LANE_NO_BACKOFF, r->dial_not_before_us);
		return false;
	}
	return lane_has_place(lane, r, is_probe, no, now_us);
}

bool
lane_add_dial(struct lane *lane, struct route *r, bool is_probe,
    struct lane_no *no, int64_t now_us)
{
	return may_dial(lane, r, is_probe, no, now_us) &&
	       start_dial(lane, r, no, now_us);
}

static bool
add_dial(struct lane *lane, struct route *r, struct lane_no *no, int64_t now_us)
{
	return lane_add_dial(lane, r, false, no, now_us);
}

/* Sessions that will last for the next `share` messages each, or are new; those
 * under way included. *busy_out: sessions in use now. */
static size_t
sessions_good_for(
    struct route *r, int64_t share, int64_t now_us, size_t *busy_out)
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
		n += begun == 0 ||
		     lane_session_quota(ls, now_us) - begun > share;
	}
	return n;
}

/* How many messages a new session may carry. */
static int
messages_per_session(
    const struct lane *lane, const struct route *r, int64_t now_us)
{
	return route_quota(
	    r, lane->set->lane_messages_per_connection, 0, now_us);
}

/* How many messages like this one the rates allow in so long, at most max. */
static int64_t
messages_expected(struct lane *lane, const struct route *r,
    const struct pacer_cost *cost, int64_t us, int64_t max)
{
	int64_t n = pacer_expected(&lane->pacer, cost, us, max);
	double learned = controller_rate(&r->pace->adapt) * (double)us / 1e6;

	return learned < (double)n ? (int64_t)learned : n;
}

/* How many messages like this one can go in the time that a dial takes. */
int64_t
lane_messages_per_dial_time(
    struct lane *lane, const struct route *r, const struct pacer_cost *cost)
{
	return messages_expected(
	    lane, r, cost, r->dial_took_us, (int64_t)lane_unparked(r));
}

/* Mail waits for a token that comes at at_us, and a bucket of one loses those
 * that come while a session is dialled: so the successor of a session that is
 * nearly spent is dialled as long before as that takes. share: messages that
 * are expected to go in that time. Returns when to look again. */
int64_t
lane_dial_ahead(struct lane *lane, struct route *r, int64_t share,
    int64_t at_us, int64_t now_us)
{
	struct lane_no no = {.not_before_us = INT64_MAX};
	int64_t took_us = r->dial_took_us;
	size_t busy, need;

	(void)sessions_good_for(r, 0, now_us, &busy);
	if (busy == 0)
		busy = 1;
	share /= (int64_t)busy;
	/* Where a session carries less than that, several follow on one. */
	need =
	    busy * (size_t)(1 + share / messages_per_session(lane, r, now_us));
	if (took_us == 0 ||
	    sessions_good_for(r, share, now_us, &(size_t){0}) >= need)
		return at_us;
	if (now_us < at_us - took_us)
		return at_us - took_us;
	while (sessions_good_for(r, share, now_us, &(size_t){0}) < need &&
	       add_dial(lane, r, &no, now_us))
		;
	return at_us;
}

/* The last session that was there has its share of messages. It was in use more
 * often than it would have been closed as idle, so more mail is expected in
 * that time, which should not wait for a dial. */
void
lane_succeed_spent(struct lane *lane, struct route *r, int64_t now_us)
{
	struct lane_no no;
	size_t busy;

	if (r->spent_us == 0)
		return;
	/* Its own place may be the only one, and is free when it has gone. */
	if (now_us - r->spent_us > SUCCESSION_US ||
	    lane_paused_to_us(r) > now_us ||
	    sessions_good_for(r, 0, now_us, &busy) > 0 ||
	    add_dial(lane, r, &no, now_us))
		r->spent_us = 0;
}

/* Messages like this one that may go at once. */
static size_t
may_go_now(struct lane *lane, const struct route *r,
    const struct pacer_cost *cost, int64_t now_us)
{
	size_t n = pacer_ready(&lane->pacer, cost, lane_unparked(r), now_us);
	const struct controller *pace = &r->pace->adapt;
	int room = controller_window(pace) - pace->in_flight;

	CHECK(pace->in_flight >= 0);
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
size_t
lane_dials_worth_it(struct lane *lane, const struct route *r,
    const struct pacer_cost *cost, int64_t now_us)
{
	size_t now = may_go_now(lane, r, cost, now_us);
	int64_t then = 1 + lane_messages_per_dial_time(lane, r, cost) /
			       messages_per_session(lane, r, now_us);

	return now > (size_t)then ? now : (size_t)then;
}

/* ---- who can do it as soon ---------------------------------------------- */

/* What they carry until a dial that is begun now has ended. */
struct outlook {
	const struct route *route;
	double dial_us;
	double carried; /* messages, beside those that they have */
	int64_t now_us;
	int64_t until_us; /* it is so no longer than that, if nothing moves */
};

static void
note_end(struct outlook *o, double at_us)
{
	if (at_us + 1 < (double)o->until_us)
		o->until_us = (int64_t)at_us + 1;
}

/* A dial under way began then: false when it is too late to count on.
 * That one has not ended yet shows how long they take at present. */
static bool
count_on_dial(struct outlook *o, int64_t began_us)
{
	double late_us = (double)DIAL_LATE_TIMES * o->route->tempo.dial_us;
	double age_us = (double)(o->now_us - began_us);

	CHECK(o->now_us >= began_us);
	if (age_us > late_us)
		return false;
	note_end(o, (double)began_us + late_us);
	if (age_us > o->dial_us)
		o->dial_us = age_us;
	return true;
}

/* They come so much sooner as they were begun. */
static void
add_dials(struct outlook *o, int quota)
{
	const struct route *r = o->route;

	for (size_t i = 0; i < r->dials_count; i++) {
		int64_t began_us =
		    r->dials_began_us[(r->dials_first + i) % ROUTE_DIALS];

		if (count_on_dial(o, began_us))
			o->carried +=
			    fmin(quota, tempo_messages(&r->tempo,
					    (double)(o->now_us - began_us)));
	}
}

/* One that has been at a message for as long as a dial takes may be so for
 * much longer. */
static void
add_session(struct outlook *o, const struct lane_session *ls)
{
	size_t load = session_load(ls->session);
	int left =
	    lane_session_quota(ls, o->now_us) - session_messages(ls->session);
	double busy_us = load > 0 ? (double)(o->now_us - ls->moved_us) : 0;
	double n;

	CHECK(ls->route == o->route);
	if (busy_us > o->dial_us)
		return;
	if (load > 0)
		note_end(o, (double)ls->moved_us + o->dial_us);
	n = tempo_messages(&o->route->tempo, o->dial_us + busy_us);
	o->carried += fmax(0, fmin(left, n - (double)load));
}

/* There is one, and how long things take is known. */
static bool
knows_backlog(const struct route *r, int64_t now_us)
{
	return r->tempo.knows_dial && r->tempo.knows_message &&
	       r->full_us != 0 && now_us - r->full_us <= BACKLOG_US;
}

/* A dial for t would come too late, as it looks. */
static bool
can_do_without(struct lane *lane, const struct route *r,
    const struct transaction *t, int64_t now_us, int64_t *until_us_out)
{
	struct outlook o = {r, r->tempo.dial_us, 0, now_us, INT64_MAX};
	struct pacer_cost cost = lane_cost_of(t);
	double most, allowed;

	if (!knows_backlog(r, now_us))
		return false;
	note_end(&o, (double)(r->full_us + BACKLOG_US));
	add_dials(&o, messages_per_session(lane, r, o.now_us));
	list_each (link, &r->sessions) {
		const struct lane_session *ls = session_of(link);

		if (!session_is_finishing(ls->session) && lane_fits(ls, t))
			add_session(&o, ls);
	}
	most = (double)lane_unparked(r) + tempo_coming(&r->tempo, o.now_us);
	allowed = (double)may_go_now(lane, r, &cost, now_us) +
		  (double)messages_expected(
		      lane, r, &cost, (int64_t)o.dial_us, (int64_t)most);
	*until_us_out = o.until_us;
	return fmin(most, allowed) <= o.carried;
}

bool
lane_add_dial_for(struct lane *lane, struct route *r,
    const struct transaction *t, struct lane_no *no, int64_t now_us)
{
	int64_t until_us;

	CHECK(t->route == r && t->carrier == NULL);
	if (!may_dial(lane, r, false, no, now_us))
		return false;
	if (can_do_without(lane, r, t, now_us, &until_us)) {
		lane_no_set(no, LANE_NO_CONNECTION, until_us);
		return false;
	}
	return start_dial(lane, r, no, now_us);
}

/* Its first octet leaves at once, and the server gets to it when it is through
 * with those before it. A dial that is late may end at any moment, or never. */
bool
lane_is_sooner_behind(
    const struct lane_session *ls, struct lane_no *no, int64_t now_us)
{
	const struct route *r = ls->route;
	int64_t began_us = r->dials_began_us[r->dials_first];
	int64_t late_us = DIAL_LATE_TIMES * (int64_t)r->tempo.dial_us;
	double left_us = (double)(began_us - now_us) + r->tempo.dial_us;
	double work_us = bdp_work_us(&r->bdp);

	if (!knows_backlog(r, now_us) || r->dials_count == 0)
		return false;
	if (now_us - began_us > late_us)
		return true;
	lane_no_set(no, LANE_NO_CONNECTION, began_us + late_us + 1);
	return (double)(now_us - ls->moved_us) < r->tempo.dial_us &&
	       (double)session_load(ls->session) * work_us < left_us;
}

/* Sessions that would be opened if there were slots. */
size_t
lane_dials_wanted(struct lane *lane, struct route *r, int64_t now_us)
{
	const struct transaction *t = lane_next_waiting(lane, r, now_us);
	size_t limit = (size_t)lane->set->lane_connection_limit;
	size_t open = lane->sessions + lane->dialing, could, want;
	struct pacer_cost cost;
	int64_t until_us;

	if (t == NULL || lane->is_draining || open >= limit ||
	    now_us < r->dial_not_before_us ||
	    can_do_without(lane, r, t, now_us, &until_us))
		return 0;
	cost = lane_cost_of(t);
	could = may_go_now(lane, r, &cost, now_us);
	want = could > r->dialing ? could - r->dialing : 0;
	return want < limit - open ? want : limit - open;
}
