/* Who waited in vain, or would. */
#include "agent/engine/lane_park.h"

#include "common/base/clock.h"
#include "common/base/log.h"

static void
explain(
    const struct transaction *t, int64_t now_us, char text[DOMAIN_TEXT_SIZE])
{
	struct pacer_cost cost = lane_cost_of(t);

	CHECK(t->domain != NULL);
	domain_explain(t->domain, &cost, now_us, text, DOMAIN_TEXT_SIZE);
}

/* True, with what to say of t, when it waited for its domain. */
static bool
explain_parked(struct lane *lane, const struct transaction *t, int64_t now_us,
    struct dsn *out)
{
	char text[DOMAIN_TEXT_SIZE];

	if (t->parking == NULL || parking_wait_us(t->parking, now_us) == 0)
		return false;
	explain(t, now_us, text);
	dsn_set(out, "4.4.5", "not sent within %llds: %s",
	    (long long)(lane->set->lane_wait_limit_us / US_PER_S), text);
	out->cause = DSN_CAUSE_DOMAIN;
	return true;
}

/* A wait that is known to be longer than lane_wait_limit is not begun: the
 * message, or all mail for a while, is the queue manager's to keep. */
void
lane_refuse_to_wait(struct lane *lane, struct transaction *t, int64_t wait_us)
{
	const struct pacer_limit *limit = lane->paced_by;
	char rate[RATE_TEXT_SIZE];
	struct dsn dsn;

	CHECK(lane->paced_by != NULL && wait_us > 0);
	rate_to_text(&limit->rate, rate, sizeof(rate));
	if (wait_us == RATE_NEVER) {
		dsn_set(&dsn, "4.4.5", "message exceeds %s = %s",
		    pacer_parameter(limit), rate);
	} else {
		dsn_set(&dsn, "4.4.5", "%s = %s is used up, more in %llds",
		    pacer_parameter(limit), rate,
		    (long long)(wait_us / US_PER_S));
		request_set_hop(t->req, &dsn, NULL);
	}
	dsn.cause = DSN_CAUSE_RATE;
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
}

/* What is said of a request that waited in vain; returns with whom it failed,
 * or NULL. */
static const struct peer *
explain_wait(const struct lane *lane, const struct transaction *t,
    int64_t now_us, struct dsn *out)
{
	const struct route *r = t->route;
	long long held_s = lane->set->lane_wait_limit_us / US_PER_S;
	char rate[RATE_TEXT_SIZE];

	if (r->no.reason == LANE_NO_OPERATOR) {
		lane_explain_hold(lane, out);
	} else if (r->no.reason == LANE_NO_RATE && lane->paced_by != NULL) {
		rate_to_text(&lane->paced_by->rate, rate, sizeof(rate));
		dsn_set(out, "4.4.5", "not sent within %llds: %s = %s", held_s,
		    pacer_parameter(lane->paced_by), rate);
		out->cause = DSN_CAUSE_RATE;
	} else if (r->pace->heard_until_us > now_us) {
		dsn_set(out, "4.4.5",
		    "not sent within %llds: the smarthost asked %s for a pause",
		    held_s, r->pace->heard_from);
		out->cause = DSN_CAUSE_PAUSE;
	} else if (r->reach != ROUTE_REACHABLE) {
		*out = r->failure;
		return r->failure_peer;
	} else if (t->last_error != NULL) {
		*out = *t->last_error;
		return t->last_peer;
	} else {
		dsn_set(out, "4.4.5", "not sent within %llds: %s", held_s,
		    lane_no_words(&r->no));
		out->cause = DSN_CAUSE_WAIT;
	}
	return NULL;
}

/* When a waiting transaction is deferred. */
static int64_t
expiry_us(const struct lane *lane, const struct transaction *t)
{
	int64_t held = t->waiting_since_us + lane->set->lane_wait_limit_us;

	return held < t->req->deadline_us ? held : t->req->deadline_us;
}

/* True when t is deferred: its time is over, or no host can be used. */
static bool
expire(struct lane *lane, struct transaction *t, int64_t now_us)
{
	struct route *r = t->route;
	const struct peer *peer = NULL;
	struct dsn dsn;

	CHECK(t->carrier == NULL && t->route != NULL);
	if (route_is_in_outage(r, now_us)) {
		/* Who is called back when it is over need not be kept from
		 * coming; nor others, while any host of the list works. */
		bool is_hop = !r->failure_kind.is_final &&
			      lane_is_lost(lane, t, now_us) &&
			      !lane_owe(lane, t, LANE_OWED_OUTAGE) &&
			      !r->failure_kind.is_soft;

		if (r->failure_kind.is_final)
			lane_bounce_waiting(lane, t, &r->failure,
			    r->failure_peer, r->failure_reply);
		else
			lane_defer_waiting(lane, t, &r->failure,
			    r->failure_peer, r->failure_reply, is_hop);
		return true;
	}
	if (now_us < expiry_us(lane, t))
		return false;
	if (lane_defer_held(lane, t))
		return true;
	if (!explain_parked(lane, t, now_us, &dsn))
		peer = explain_wait(lane, t, now_us, &dsn);
	lane_defer_waiting(lane, t, &dsn, peer, NULL, false);
	return true;
}

static struct transaction *
first_in(struct list *queue)
{
	struct list *link = list_first(queue);

	return link != NULL ? list_entry(link, struct transaction, link) : NULL;
}

static void
expire_queue(struct lane *lane, struct list *queue, struct moment now)
{
	struct transaction *t;

	while ((t = first_in(queue)) != NULL && expire(lane, t, now.us))
		continue;
}

/* While draining: what waits beside other parts of the same request that went,
 * since the request cannot be given back. */
static void
leave(struct lane *lane, struct list *waiting)
{
	struct dsn dsn;

	dsn_set(&dsn, "4.3.2", "delivery agent is stopping before its turn");
	list_each_safe (link, waiting) {
		struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (!lane_may_drop(t->req))
			lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
	}
}

void
lane_expire_waiting(struct lane *lane, struct route *r, struct moment now)
{
	expire_queue(lane, &r->waiting, now);
	list_each (link, &r->parkings)
		expire_queue(lane, &parking_of(link)->waiting, now);
	if (!lane->is_draining)
		return;
	leave(lane, &r->waiting);
	list_each (link, &r->parkings)
		leave(lane, &parking_of(link)->waiting);
}

int64_t
lane_expiry_us(const struct lane *lane, struct route *r)
{
	struct transaction *t = first_in(&r->waiting);
	int64_t due = t != NULL ? expiry_us(lane, t) : INT64_MAX;

	list_each (link, &r->parkings) {
		t = first_in(&parking_of(link)->waiting);
		if (t != NULL && expiry_us(lane, t) < due)
			due = expiry_us(lane, t);
	}
	return due;
}

int64_t
lane_oldest_us(const struct lane *lane)
{
	int64_t oldest = INT64_MAX;

	list_each (link, &lane->routes) {
		struct route *r = route_of(link);
		struct transaction *t = first_in(&r->waiting);

		if (t != NULL && t->req->received_us < oldest)
			oldest = t->req->received_us;
		list_each (each, &r->parkings) {
			t = first_in(&parking_of(each)->waiting);
			if (t != NULL && t->req->received_us < oldest)
				oldest = t->req->received_us;
		}
	}
	return oldest;
}

/* ---- for a domain's limit ----------------------------------------------- */

/* A wait that is known to be longer than lane_wait_limit is not begun. */
static void
refuse_parked(
    struct lane *lane, struct transaction *t, int64_t wait_us, int64_t now_us)
{
	char text[DOMAIN_TEXT_SIZE];
	struct dsn dsn;

	CHECK(t->parking != NULL && t->domain != NULL && wait_us > 0);
	if (lane_defer_held(lane, t))
		return;
	explain(t, now_us, text);
	if (wait_us == RATE_NEVER) {
		dsn_set(&dsn, "4.4.5", "message exceeds %s", text);
	} else {
		dsn_set(&dsn, "4.4.5", "%s is used up, more in %llds", text,
		    (long long)(wait_us / US_PER_S));
		/* Only where the queue manager keeps this domain's mail
		 * apart may it stop all that is for the same place. */
		if (request_is_to_nexthop(t->req))
			request_set_hop(t->req, &dsn, NULL);
	}
	dsn.cause = DSN_CAUSE_DOMAIN;
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
}

static void
look_at_parking(struct lane *lane, struct parking *p, int64_t now_us)
{
	int64_t hold_us = lane->set->lane_wait_limit_us, wait_us = 0;
	struct pacer_cost cost;
	size_t can_go = 0;

	while (p->count > 0 && (wait_us = parking_wait_us(p, now_us)) > hold_us)
		refuse_parked(lane, parking_first(p), wait_us, now_us);
	if (p->count > 0 && wait_us == 0) {
		cost = lane_cost_of(parking_first(p));
		can_go = domain_ready(p->domain, &cost, p->count, now_us);
		if (can_go == 0)
			can_go = 1;
	}
	parking_set_parked(lane, p, p->count - can_go);
}

void
lane_look_at_parkings(struct lane *lane, struct route *r, int64_t now_us)
{
	list_each (link, &r->parkings)
		look_at_parking(lane, parking_of(link), now_us);
}

/* Those of a parking that stand in the way of other domains' mail. */
static size_t
in_the_way(const struct parking *p)
{
	return p->parked < p->mixed ? p->parked : p->mixed;
}

static size_t
all_in_the_way(struct lane *lane)
{
	size_t n = 0;

	list_each (link, &lane->routes)
		list_each (l, &route_of(link)->parkings)
			n += in_the_way(parking_of(l));
	return n;
}

static size_t
length(const struct parking *p, bool of_mixed)
{
	return of_mixed ? in_the_way(p) : p->parked;
}

static struct parking *
longest(struct lane *lane, bool of_mixed)
{
	struct parking *most = NULL;

	list_each (link, &lane->routes)
		list_each (l, &route_of(link)->parkings)
			if (most == NULL || length(parking_of(l), of_mixed) >
						length(most, of_mixed))
				most = parking_of(l);
	return most;
}

/* The last that came goes first, and of the longest queue: a domain with much
 * mail leaves room to one with little. whose: what is full. */
static void
defer_last(struct lane *lane, bool of_mixed, const char *whose, size_t limit,
    int64_t now_us)
{
	struct parking *p = longest(lane, of_mixed);
	struct list *link;
	struct transaction *t;
	char text[DOMAIN_TEXT_SIZE];
	struct dsn dsn;

	CHECK(p != NULL && p->parked > 0);
	link = p->waiting.prev;
	while (of_mixed &&
	       !parking_is_mixed(list_entry(link, struct transaction, link)))
		link = link->prev;
	t = list_entry(link, struct transaction, link);
	parking_set_parked(lane, p, p->parked - 1);
	if (lane_defer_held(lane, t))
		return;
	explain(t, now_us, text);
	dsn_set(&dsn, "4.4.5", "%s%zu messages wait already; %s", whose, limit,
	    text);
	dsn.cause = DSN_CAUSE_DOMAIN;
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
}

void
lane_trim_parkings(struct lane *lane, int64_t now_us)
{
	size_t limit = (size_t)lane->set->lane_parked_limit;
	size_t half = lane_places(lane) / 2, extra;

	while (lane->parked > limit)
		defer_last(lane, false, "lane_parked_limit = ", limit, now_us);
	if (half < 1)
		half = 1;
	if (lane->parked <= half)
		return;
	extra = all_in_the_way(lane);
	for (extra -= extra < half ? extra : half; extra > 0; extra--)
		defer_last(lane, true, "half of the window, ", half, now_us);
}
