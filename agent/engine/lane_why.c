#include "agent/engine/lane_why.h"

#include <stdio.h>

#include "agent/engine/lane_park.h"
#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "common/base/log.h"

/* Of the reasons that a lane has for itself. */
static enum board_wait
wait_of(enum lane_no_reason reason)
{
	switch (reason) {
	case LANE_NO_LOOK:
		return BOARD_WAIT_TURN;
	case LANE_NO_RATE:
		return BOARD_WAIT_RATE;
	case LANE_NO_PACE:
		return BOARD_WAIT_PACE;
	case LANE_NO_WINDOW:
		return BOARD_WAIT_WINDOW;
	case LANE_NO_CONNECTION:
		return BOARD_WAIT_CONNECTION;
	case LANE_NO_CONNECTION_LIMIT:
		return BOARD_WAIT_CONNECTION_LIMIT;
	case LANE_NO_CONNECTION_RATE:
		return BOARD_WAIT_CONNECTION_RATE;
	case LANE_NO_REST:
		return BOARD_WAIT_REST;
	case LANE_NO_ALARM:
		return BOARD_WAIT_ALARM;
	case LANE_NO_BACKOFF:
		return BOARD_WAIT_BACKOFF;
	case LANE_NO_ACCOUNT:
		return BOARD_WAIT_CONNECTION;
	case LANE_NO_SLOT:
		return BOARD_WAIT_SLOT;
	case LANE_NO_DRAINING:
		return BOARD_WAIT_STOPPING;
	case LANE_NO_OPERATOR:
		return BOARD_WAIT_OPERATOR;
	}
	return BOARD_WAIT_TURN;
}

/* No session of the lane may be begun, and each of the route's has as much in
 * hand as it may have. */
static bool
is_full(const struct lane *lane, const struct route *r)
{
	/* It may come to have more. */
	if (route_window(r) < r->need &&
	    route_window(r) < lane->set->lane_pipeline_depth)
		return false;
	if (lane->sessions + lane->dialing <
	    (size_t)lane->set->lane_connection_limit)
		return false;
	list_each (link, &r->sessions)
		if (session_load(session_of(link)->session) <
		    (size_t)route_window(r))
			return false;
	return r->session_count > 0;
}

static enum board_wait
explain_connections(const struct lane *lane, char *text, size_t n)
{
	(void)snprintf(text, n, "%s = %d: as many are in use",
	    lane->steering.connection_limit > 0 ? "postlane connections"
						: "lane_connection_limit",
	    lane->set->lane_connection_limit);
	return BOARD_WAIT_CONNECTION_LIMIT;
}

static void
explain_pause(const struct route *r, int64_t left_us, char *text, size_t n)
{
	long long left_s = (left_us + US_PER_S - 1) / US_PER_S;

	if (controller_paused_until(&r->pace->adapt) == lane_paused_to_us(r))
		(void)snprintf(text, n,
		    "the smarthost asked for a pause, %llds are left", left_s);
	else
		(void)snprintf(text, n,
		    "the smarthost asked %s for a pause, %llds are left",
		    r->pace->heard_from, left_s);
}

static enum board_wait
explain_route(const struct lane *lane, const struct route *r, int64_t now_us,
    char *text, size_t n)
{
	int64_t paused_us = lane_paused_to_us(r) - now_us;
	char rate[RATE_TEXT_SIZE];

	if (r->no.reason == LANE_NO_OPERATOR) {
		(void)snprintf(text, n, "%s", lane->steering.why);
		return BOARD_WAIT_OPERATOR;
	}
	if (route_is_in_outage(r, now_us)) {
		(void)snprintf(text, n, "%s", r->failure.text);
		return BOARD_WAIT_OUTAGE;
	}
	if (paused_us > 0) {
		explain_pause(r, paused_us, text, n);
		return BOARD_WAIT_PAUSE;
	}
	/* All places are dials: it waits for one of them to become a session.
	 */
	if (r->no.reason == LANE_NO_CONNECTION_LIMIT && r->dialing > 0 &&
	    r->session_count == 0) {
		(void)snprintf(text, n, "waiting for a connection");
		return BOARD_WAIT_CONNECTION;
	}
	/* What the smarthost is known to take is no more than what there is to
	 * send it by. */
	if (r->no.reason == LANE_NO_CONNECTION_LIMIT ||
	    (r->no.reason == LANE_NO_WINDOW && is_full(lane, r)))
		return explain_connections(lane, text, n);
	if (r->no.reason == LANE_NO_BACKOFF && r->failing_since_us > 0) {
		(void)snprintf(text, n, "%s", r->failure.text);
	} else if (r->no.reason == LANE_NO_BACKOFF && r->ended_why != NULL) {
		(void)snprintf(text, n, "%s", r->ended_why);
	} else if (r->no.reason == LANE_NO_RATE && lane->paced_by != NULL) {
		rate_to_text(&lane->paced_by->rate, rate, sizeof(rate));
		(void)snprintf(
		    text, n, "%s = %s", pacer_parameter(lane->paced_by), rate);
	} else {
		(void)snprintf(text, n, "%s", lane_no_words(&r->no));
	}
	return wait_of(r->no.reason);
}

/* Where most mail waits that may go as far as its domain is concerned. */
static const struct route *
busiest(const struct lane *lane)
{
	const struct route *most = NULL;

	list_each (link, &lane->routes) {
		const struct route *r = route_of(link);

		if (r->waiting_count > r->parked_count &&
		    (most == NULL ||
			r->waiting_count - r->parked_count >
			    most->waiting_count - most->parked_count))
			most = r;
	}
	return most;
}

/* Held for its domain, where nothing else waits; NULL: something does. */
static const struct transaction *
first_held(const struct lane *lane)
{
	const struct transaction *held = NULL, *t;

	list_each (link, &lane->routes)
		list_each (each, &route_of(link)->parkings) {
			t = parking_first(parking_of(each));
			if (t != NULL && !domain_is_blocked(t->domain))
				return NULL;
			if (t != NULL)
				held = t;
		}
	return held;
}

/* What came to it was deferred and is to be called back; NULL: none. */
static const struct route *
unreachable(const struct lane *lane)
{
	list_each (link, &lane->routes) {
		const struct route *r = route_of(link);

		if (r->owed > 0 && r->reach == ROUTE_DOWN &&
		    r->session_count == 0)
			return r;
	}
	return NULL;
}

enum board_wait
lane_waits_for(const struct lane *lane, struct moment now, char *text, size_t n)
{
	const struct route *r = busiest(lane);
	const struct transaction *t;

	text[0] = '\0';
	if (r != NULL)
		return explain_route(lane, r, now.us, text, n);
	r = unreachable(lane);
	if (r != NULL) {
		(void)snprintf(text, n, "%s", r->failure.text);
		return BOARD_WAIT_OUTAGE;
	}
	if (lane->parked == 0)
		return BOARD_WAIT_NOTHING;
	t = first_held(lane);
	if (t != NULL) {
		(void)snprintf(text, n, "mail to %s is %s",
		    domain_name(t->domain), domain_why(t->domain));
		return BOARD_WAIT_OPERATOR;
	}
	(void)snprintf(text, n, "limits of recipient domains");
	return BOARD_WAIT_DOMAIN;
}

/* ---- one of them -------------------------------------------------------- */

enum { SPAN_MAX_S = 400 * 86400 };

static struct list *
queue_of(const struct transaction *t)
{
	return t->parking != NULL ? &t->parking->waiting : &t->route->waiting;
}

static void
find_place(const struct transaction *t, struct lane_why *why)
{
	const struct list *queue = queue_of(t);

	for (const struct list *l = queue->next; l != queue; l = l->next) {
		why->of++;
		if (l == &t->link)
			why->place = why->of;
	}
	CHECK(why->place > 0);
}

/* How many like t the limits allow in a span of time. */
static int64_t
allowed(const struct lane *lane, const struct transaction *t, int64_t span_s,
    int64_t max)
{
	struct pacer_cost cost = lane_cost_of(t);
	int64_t n = pacer_expected(&lane->pacer, &cost, span_s * US_PER_S, max);
	double learned = lane_learned_rate(lane) * (double)span_s;

	if (t->parking != NULL) {
		int64_t of_domain =
		    domain_expected(t->domain, &cost, span_s * US_PER_S, max);

		if (of_domain < n)
			n = of_domain;
	}
	return learned < (double)n ? (int64_t)learned : n;
}

/* Until those before it have gone, by the limits that are known; 0 also where
 * none is. */
static int64_t
ahead_us(const struct lane *lane, const struct transaction *t, size_t before)
{
	int64_t n = (int64_t)before, low = 0, high = 1;

	if (n == 0 || allowed(lane, t, 1, n) >= n)
		return 0;
	while (high < SPAN_MAX_S && allowed(lane, t, high, n) < n) {
		low = high;
		high *= 2;
	}
	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (allowed(lane, t, middle, n) < n)
			low = middle;
		else
			high = middle;
	}
	return high * US_PER_S;
}

/* Until the first of its queue may go. */
static int64_t
first_us(const struct lane *lane, const struct transaction *t,
    enum board_wait wait, int64_t now_us)
{
	const struct route *r = t->route;
	int64_t until_us = r->no.not_before_us;

	if (wait == BOARD_WAIT_PAUSE)
		until_us = lane_paused_to_us(r);
	if (wait == BOARD_WAIT_OPERATOR && t->parking != NULL &&
	    domain_is_blocked(t->domain))
		wait = BOARD_WAIT_DOMAIN;
	if (wait == BOARD_WAIT_OPERATOR)
		until_us = lane->steering.paused_until_us;
	if (wait == BOARD_WAIT_DOMAIN) {
		int64_t wait_us = parking_wait_us(t->parking, now_us);

		return wait_us == RATE_NEVER ? -1 : wait_us;
	}
	if (until_us == INT64_MAX)
		return -1;
	return until_us > now_us ? until_us - now_us : 0;
}

static void
explain_waiting(const struct lane *lane, const struct transaction *t,
    struct moment now, struct lane_why *why)
{
	int64_t now_us = now.us, first;
	struct pacer_cost cost = lane_cost_of(t);

	find_place(t, why);
	why->wait =
	    explain_route(lane, t->route, now.us, why->text, sizeof(why->text));
	if (t->parking != NULL && parking_wait_us(t->parking, now_us) > 0) {
		why->wait = domain_is_blocked(t->domain) ? BOARD_WAIT_OPERATOR
							 : BOARD_WAIT_DOMAIN;
		domain_explain(
		    t->domain, &cost, now_us, why->text, sizeof(why->text));
	}
	first = first_us(lane, t, why->wait, now.us);
	why->expected_us =
	    first < 0 ? -1 : first + ahead_us(lane, t, why->place - 1);
}

/* A reason that one setting is. */
static const char *
parameter_of(const struct lane *lane, enum board_wait wait)
{
	switch (wait) {
	case BOARD_WAIT_RATE:
		return lane->paced_by != NULL ? pacer_parameter(lane->paced_by)
					      : "";
	case BOARD_WAIT_CONNECTION_LIMIT:
		return "lane_connection_limit";
	case BOARD_WAIT_CONNECTION_RATE:
		return "lane_connection_rate_limit";
	case BOARD_WAIT_SLOT:
		return "lane_account_connection_limit";
	case BOARD_WAIT_DOMAIN:
		return "lane_domain_rate_limits";
	case BOARD_WAIT_ALARM:
		return "lane_alert_retry";
	case BOARD_WAIT_NOTHING:
	case BOARD_WAIT_TURN:
	case BOARD_WAIT_PACE:
	case BOARD_WAIT_PAUSE:
	case BOARD_WAIT_WINDOW:
	case BOARD_WAIT_CONNECTION:
	case BOARD_WAIT_REST:
	case BOARD_WAIT_BACKOFF:
	case BOARD_WAIT_OUTAGE:
	case BOARD_WAIT_OPERATOR:
	case BOARD_WAIT_STOPPING:
	case BOARD_WAIT_SETTINGS:
	case BOARD_WAIT_COUNT:
		break;
	}
	return "";
}

void
lane_why_each(const struct lane *lane, const struct request *req,
    struct moment now, lane_why_fn *fn, void *ctx)
{
	for (const struct transaction *t = req->lane_data; t != NULL;
	     t = t->sibling) {
		struct lane_why why = {.route = t->route, .expected_us = -1};

		if (t->carrier != NULL) {
			const struct lane_session *ls = t->carrier;

			why.expected_us = 0;
			why.peer = session_peer(ls->session);
			(void)snprintf(
			    why.text, sizeof(why.text), "it is with a session");
		} else {
			explain_waiting(lane, t, now, &why);
		}
		why.parameter = parameter_of(lane, why.wait);
		fn(ctx, &why, t);
	}
}
