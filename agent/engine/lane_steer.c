#include "agent/engine/lane_steer.h"

#include <stdio.h>

#include "agent/engine/lane_state.h"
#include "common/base/log.h"

int64_t
lane_steer_paused_until_us(const struct lane *lane, int64_t now_us)
{
	int64_t until_us = lane->steering.paused_until_us;

	return until_us > now_us ? until_us : 0;
}

int
lane_connection_limit(const struct lane *lane)
{
	return lane->set->lane_connection_limit;
}

bool
lane_is_held(
    const struct lane *lane, const struct transaction *t, int64_t now_us)
{
	return lane_steer_paused_until_us(lane, now_us) > 0 &&
	       (!lane->steering.is_drain ||
		   t->req->received_us >= lane->steered_us);
}

bool
lane_hold(struct lane *lane, struct transaction *t, struct lane_no *no,
    int64_t now_us)
{
	int64_t until_us = lane_steer_paused_until_us(lane, now_us);
	struct dsn dsn;

	if (until_us - now_us <= lane->set->lane_wait_limit_us) {
		lane_no_set(no, LANE_NO_OPERATOR, until_us);
		return false;
	}
	lane_explain_hold(lane, &dsn);
	(void)lane_owe(lane, t, LANE_OWED_OUTAGE);
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
	return true;
}

void
lane_explain_hold(const struct lane *lane, struct dsn *out)
{
	dsn_set(out, "4.3.2", "%s", lane->steering.why);
	out->cause = DSN_CAUSE_PAUSE;
}

/* The session that is missed least: an idle one, else the least loaded. */
static struct session *
least_loaded(const struct lane *lane, lane_route_fn *is_of, void *ctx)
{
	struct session *best = lane_oldest_idle(lane, false, is_of, ctx);

	if (best != NULL)
		return best;
	list_each (link, &lane->routes)
		list_each (l, &route_of(link)->sessions) {
			struct session *s = session_of(l)->session;

			if (!session_is_finishing(s) &&
			    (is_of == NULL || is_of(ctx, route_of(link))) &&
			    (best == NULL ||
				session_load(s) < session_load(best)))
				best = s;
		}
	return best;
}

void
lane_shed_sessions(struct lane *lane, int64_t now_us)
{
	size_t limit = (size_t)lane->set->lane_connection_limit;

	CHECK(lane->sessions >= lane->finishing);
	if (lane->steering.connection_limit == 0)
		return;
	while (lane->sessions - lane->finishing > limit) {
		struct session *s = least_loaded(lane, NULL, NULL);

		if (s == NULL)
			return;
		session_finish(s, FINISH_WANTED, now_us);
		lane->finishing++;
	}
}

void
lane_end_sessions(struct lane *lane, size_t count, lane_route_fn *is_of,
    void *ctx, struct moment now)
{
	size_t ending = 0;

	list_each (link, &lane->all_sessions) {
		const struct lane_session *ls =
		    list_entry(link, struct lane_session, of_lane);

		ending +=
		    is_of(ctx, ls->route) && session_is_finishing(ls->session);
	}
	for (; ending < count; ending++) {
		struct session *s = least_loaded(lane, is_of, ctx);

		if (s == NULL)
			return;
		session_finish(s, FINISH_WANTED, now.us);
	}
}

/* What a pause deferred comes back. */
static void
call_back_all(struct lane *lane)
{
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		if (r->owed == 0)
			continue;
		r->owed = 0;
		lane->ops.outages->on_back(lane->ops.outages_ctx, r->id);
	}
	lane_release(lane);
}

static void
apply_settings(struct lane *lane, struct moment now)
{
	const struct lane_steering *order = &lane->steering;

	lane->steered = *lane->as_set;
	if (order->connection_limit > 0)
		lane->steered.lane_connection_limit = order->connection_limit;
	if (order->rate[0] != '\0')
		lane->steered.lane_message_rate_limit = lane->steering.rate;
	lane->set = &lane->steered;
	pacer_reconfigure(&lane->pacer, lane->set, lane->as_set, now.us);
	lane_look_at_windows(lane);
}

/* What came since it was asked for is not let go by an order of another kind.
 */
static bool
is_same_drain(const struct lane_steering *a, const struct lane_steering *b)
{
	return a->is_drain && b->is_drain && a->asked_s == b->asked_s;
}

void
lane_steer(
    struct lane *lane, const struct lane_steering *order, struct moment now)
{
	bool was_paused = lane_steer_paused_until_us(lane, now.us) > 0;

	CHECK(order->paused_until_us >= 0);
	if (!is_same_drain(&lane->steering, order))
		lane->steered_us = now.us;
	lane->steering = *order;
	apply_settings(lane, now);
	if (was_paused && lane_steer_paused_until_us(lane, now.us) == 0)
		call_back_all(lane);
	lane->was_paused = lane_steer_paused_until_us(lane, now.us) > 0;
	lane_want_kick(lane);
}

/* A pause ends by itself as well. */
void
lane_look_at_pause(struct lane *lane, int64_t now_us)
{
	bool is_paused = lane_steer_paused_until_us(lane, now_us) > 0;

	if (is_paused && lane->steering.paused_until_us < lane->look_again_us)
		lane->look_again_us = lane->steering.paused_until_us;
	if (lane->was_paused && !is_paused)
		call_back_all(lane);
	lane->was_paused = is_paused;
}

bool
lane_retry(struct lane *lane, struct moment now)
{
	bool is_paused = lane_steer_paused_until_us(lane, now.us) > 0;

	list_each (link, &lane->routes)
		route_retry(route_of(link));
	/* What came back now would be deferred again; its end calls it. */
	if (!is_paused)
		call_back_all(lane);
	lane_want_kick(lane);
	return !is_paused;
}
