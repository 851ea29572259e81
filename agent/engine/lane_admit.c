/* What may come in, and what had better not: the queue manager's window for a
 * destination, the sessions and the limits each have a say.
 */
#include "agent/engine/lane_state.h"

#include <math.h>

#include "common/base/log.h"

enum {
	/* Requests inside a lane without a limit: two windows for every
	 * session, so that a session never waits for the queue manager. */
	WINDOWS_ADMITTED = 2,
	ADMITTED_MAX = 20000,
	/* Inside a lane with a limit: what can go in so many seconds. */
	SECONDS_ADMITTED = 2,
	ADMITTED_MIN = 4,
};

/* Two windows of that depth of all sessions; where more routes wait for one, of
 * the deepest for each of those: what of a login's mail is here goes together.
 */
static int64_t
windows(const struct lane *lane, int depth)
{
	int64_t sessions = lane->set->lane_connection_limit;
	int64_t most;

	if ((int64_t)lane->contenders > sessions) {
		sessions = (int64_t)lane->contenders;
		depth = lane->set->lane_pipeline_depth;
	}
	most = sessions * depth * WINDOWS_ADMITTED;
	return most < ADMITTED_MAX ? most : ADMITTED_MAX;
}

/* The deepest that a session of those with mail may come to have. */
static int
depth_needed(const struct lane *lane)
{
	int most = 0, limit = lane->set->lane_pipeline_depth;

	list_each (link, &lane->routes) {
		const struct route *r = route_of(link);

		if (r->waiting_count + r->session_count > 0 && r->need > most)
			most = r->need;
	}
	return most > 0 && most < limit ? most : limit;
}

size_t
lane_places(const struct lane *lane)
{
	int64_t window = lane->set->transport_destination_concurrency_limit;
	int64_t most = windows(lane, lane->set->lane_pipeline_depth);

	if (window == 0)
		window = lane->set->default_destination_concurrency_limit;
	return (size_t)(window > 0 && window < most ? window : most);
}

/* INT64_MAX: no limit. */
static int64_t
messages_per_s(const struct lane *lane, int64_t now_us)
{
	int64_t per_s = pacer_messages_per_s(&lane->pacer, now_us);
	double learned = lane_learned_in_all(lane);

	return learned < (double)per_s ? (int64_t)learned : per_s;
}

/* As long as nobody knows how fast it goes, what is let in waits here for as
 * long as the smarthost likes: no more then than is known to do no harm. */
static int64_t
most_inside(const struct lane *lane)
{
	int64_t window = lane_window_in_all(lane) * WINDOWS_ADMITTED;
	int64_t most = windows(lane, depth_needed(lane));

	if (!lane->set->lane_adaptive || window == 0 || window >= most ||
	    isfinite(lane_learned_in_all(lane)))
		return most;
	return window;
}

bool
lane_has_surplus(const struct lane *lane, int64_t now_us)
{
	int64_t per_s = messages_per_s(lane, now_us);
	size_t enough = lane_places(lane) / 2;
	size_t inside = (size_t)most_inside(lane);

	CHECK(lane->waiting >= lane->parked);
	/* Half of what is let in is in flight; and it is never quite full. */
	if (enough > inside / 4)
		enough = inside / 4;
	if (per_s < (int64_t)enough / SECONDS_ADMITTED)
		enough = (size_t)per_s * SECONDS_ADMITTED;
	if (enough < 1)
		enough = 1;
	return lane->waiting - lane->parked >= enough;
}

bool
lane_may_admit(const struct lane *lane, size_t coming, int64_t now_us,
    int64_t *until_us_out)
{
	int64_t waiting = (int64_t)(lane->waiting - lane->parked + coming);
	int64_t inside = waiting + (int64_t)lane->in_flight;
	int64_t per_s = messages_per_s(lane, now_us);

	CHECK(lane->waiting >= lane->parked);
	*until_us_out = INT64_MAX;
	if (lane->is_draining)
		return false;
	if (inside >= most_inside(lane))
		return false;
	if (per_s == INT64_MAX)
		return true;
	/* In an outage each request is answered at once; that is how the
	 * queue manager learns of it. */
	list_each (link, &lane->routes)
		if (lane_is_list_down(lane, route_of(link), now_us))
			return true;
	if (per_s * SECONDS_ADMITTED < ADMITTED_MIN)
		return waiting < ADMITTED_MIN;
	return waiting < per_s * SECONDS_ADMITTED;
}
