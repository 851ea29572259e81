#include "agent/engine/lane_why.h"

#include <stdio.h>

#include "agent/engine/lane_park.h"
#include "agent/engine/lane_state.h"

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
	}
	return BOARD_WAIT_TURN;
}

static enum board_wait
explain_route(const struct lane *lane, const struct route *r, int64_t now_ms,
    char *text, size_t n)
{
	int64_t paused_us =
	    controller_paused_until(&r->pace->adapt) - now_ms * 1000;
	char rate[RATE_TEXT_SIZE];

	if (route_is_in_outage(r, now_ms)) {
		(void)snprintf(text, n, "%s", r->failure.text);
		return BOARD_WAIT_OUTAGE;
	}
	if (paused_us > 0) {
		(void)snprintf(text, n,
		    "the smarthost asked for a pause, %llds are left",
		    (long long)((paused_us + 999999) / 1000000));
		return BOARD_WAIT_PAUSE;
	}
	if (r->no.reason == LANE_NO_BACKOFF && r->failing_since_ms > 0) {
		(void)snprintf(text, n, "%s", r->failure.text);
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

enum board_wait
lane_waits_for(const struct lane *lane, struct moment now, char *text, size_t n)
{
	const struct route *r = busiest(lane);

	text[0] = '\0';
	if (r != NULL)
		return explain_route(lane, r, now.ms, text, n);
	if (lane->parked == 0)
		return BOARD_WAIT_NOTHING;
	(void)snprintf(text, n, "limits of recipient domains");
	return BOARD_WAIT_DOMAIN;
}
