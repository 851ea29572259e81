#include "agent/engine/lane_state.h"

#include <math.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

static struct lane_pace *
pace_of(struct list *link)
{
	return list_entry(link, struct lane_pace, link);
}

static int
window_max(const struct lane *lane)
{
	return lane->set->lane_connection_limit *
	       lane->set->lane_pipeline_depth;
}

void
lane_look_at_windows(struct lane *lane)
{
	list_each (link, &lane->paces)
		controller_set_window_max(
		    &pace_of(link)->adapt, window_max(lane));
}

static struct lane_pace *
begin(struct lane *lane, uint64_t account, int64_t now_us)
{
	struct controller_config config = {
	    .floor_per_s = 0.01,
	    .ceiling_per_s = INFINITY,
	    .window_max = window_max(lane),
	};
	struct lane_pace *pace = mem_zalloc(sizeof(*pace));

	pace->account = account;
	controller_init(&pace->adapt, &config, now_us);
	list_init(&pace->link);
	list_push(&lane->paces, &pace->link);
	return pace;
}

static void
join(struct route *r, struct lane_pace *pace)
{
	r->pace = pace;
	pace->routes++;
}

void
lane_begin_pace(struct lane *lane, struct route *r, int64_t now_us)
{
	CHECK(r->pace == NULL);
	join(r, begin(lane, 0, now_us));
}

void
lane_leave_pace(struct route *r)
{
	struct lane_pace *pace = r->pace;

	CHECK(pace != NULL && pace->routes > 0);
	r->pace = NULL;
	if (--pace->routes > 0)
		return;
	list_remove(&pace->link);
	mem_free(pace);
}

static int64_t
wall_ms(struct moment now)
{
	return (int64_t)now.wall.tv_sec * 1000 + now.wall.tv_usec / 1000;
}

void
lane_set_account(struct lane *lane, struct route *r, uint64_t account,
    int in_the_air, const struct controller_stored *stored, struct moment now)
{
	struct lane_pace *pace = NULL;

	/* What is in the air is counted where it was taken. */
	CHECK(r->session_count == 0 && r->dialing == 0 && account != 0);
	list_each (link, &lane->paces)
		if (pace_of(link)->account == account)
			pace = pace_of(link);
	if (pace == NULL) {
		pace = begin(lane, account, now.us);
		if (stored != NULL && lane->set->lane_adaptive)
			controller_load(
			    &pace->adapt, stored, now.us, wall_ms(now));
		/* An earlier process has told it. */
		pace->told_settled = controller_settled(&pace->adapt);
	}
	if (pace->adapt.window < in_the_air)
		pace->adapt.window = in_the_air;
	lane_leave_pace(r);
	join(r, pace);
}

void
lane_each_pace(const struct lane *lane, struct moment now,
    void (*fn)(
	void *ctx, uint64_t account, const struct controller_stored *pace),
    void *ctx)
{
	struct controller_stored stored;

	list_each (link, &lane->paces) {
		const struct lane_pace *pace = pace_of(link);

		if (pace->account == 0)
			continue;
		controller_save(&pace->adapt, &stored, now.us, wall_ms(now));
		fn(ctx, pace->account, &stored);
	}
}

double
lane_learned_rate(const struct lane *lane)
{
	double least = INFINITY;

	list_each (link, &lane->paces) {
		double rate = controller_rate(&pace_of(link)->adapt);

		if (rate < least)
			least = rate;
	}
	return least;
}

static double
learned_in_all(const struct lane *lane)
{
	double sum = 0;
	bool is_any = false;

	list_each (link, &lane->paces)
		pace_of(link)->is_counted = false;
	list_each (link, &lane->routes) {
		const struct route *r = route_of(link);

		if (r->waiting_count + r->session_count == 0)
			continue;
		is_any = true;
		if (!r->pace->is_counted)
			sum += controller_rate(&r->pace->adapt);
		r->pace->is_counted = true;
	}
	return is_any ? sum : lane_learned_rate(lane);
}

static int64_t
window_in_all(const struct lane *lane)
{
	int64_t sum = 0;

	list_each (link, &lane->paces)
		sum += controller_window(&pace_of(link)->adapt);
	return sum;
}

void
lane_sum_up_paces(struct lane *lane)
{
	CHECK(lane->is_kicking);
	lane->learned_in_all = -1;
	if (lane->route_count <= ROUTE_MANY)
		return;
	lane->learned_in_all = learned_in_all(lane);
	lane->window_in_all = window_in_all(lane);
}

/* Of very many as the last kick found them: each message that is let in asks.
 */
double
lane_learned_in_all(const struct lane *lane)
{
	return lane->learned_in_all >= 0 && lane->route_count > ROUTE_MANY
		   ? lane->learned_in_all
		   : learned_in_all(lane);
}

int64_t
lane_window_in_all(const struct lane *lane)
{
	return lane->learned_in_all >= 0 && lane->route_count > ROUTE_MANY
		   ? lane->window_in_all
		   : window_in_all(lane);
}

static int64_t
paused_to_us(const struct lane_pace *pace)
{
	int64_t own_us = controller_paused_until(&pace->adapt);

	return pace->heard_until_us > own_us ? pace->heard_until_us : own_us;
}

int64_t
lane_paused_to_us(const struct route *r)
{
	return paused_to_us(r->pace);
}

int64_t
lane_paused_until_us(const struct lane *lane)
{
	int64_t latest_us = 0;

	list_each (link, &lane->paces) {
		int64_t us = paused_to_us(pace_of(link));

		if (us > latest_us)
			latest_us = us;
	}
	return latest_us;
}

void
lane_yield(
    struct lane *lane, struct route *r, int64_t sent_us, struct moment now)
{
	struct controller *pace = &r->pace->adapt;
	uint64_t before = pace->yields;

	if (!lane->set->lane_adaptive)
		return;
	controller_yield(pace, sent_us, now.us);
	if (pace->yields != before)
		log_info("pace=slower nexthop=%s rate=%.3g/s "
			 "reason=more-urgent-lane-refused",
		    r->nexthops, controller_rate(pace));
}

void
lane_pause(struct route *r, int64_t until_us, struct moment now)
{
	struct controller *pace = &r->pace->adapt;
	int64_t now_us = now.us;
	bool is_news = until_us > controller_paused_until(pace) + US_PER_S;

	CHECK(until_us >= 0);
	if (until_us <= now_us || until_us <= controller_paused_until(pace))
		return;
	if (until_us - now_us <= JUDGEMENT_PACE_US) {
		controller_wait_until(pace, until_us);
		return;
	}
	/* A stored one has lost some of its digits. */
	if (is_news)
		log_info("pace=pause nexthop=%s wait=%llds "
			 "reason=account-was-asked-for-it",
		    r->nexthops, (long long)((until_us - now_us) / US_PER_S));
	controller_pause_until(pace, until_us);
}

void
lane_hear_pause(
    struct route *r, int64_t until_us, const char *who, struct moment now)
{
	struct lane_pace *pace = r->pace;

	CHECK(until_us >= 0);
	if (until_us > now.us && pace->heard_until_us <= now.us)
		log_info("pace=pause nexthop=%s wait=%llds "
			 "reason=%s-was-asked-for-it",
		    r->nexthops, (long long)((until_us - now.us) / US_PER_S),
		    who);
	pace->heard_until_us = until_us;
	(void)snprintf(pace->heard_from, sizeof(pace->heard_from), "%s", who);
}

/* Its share of what the lane may send, in one round trip: a window that holds
 * more would only fill while the server stands still. */
void
lane_look_at_need(const struct lane *lane, struct route *r)
{
	size_t sessions = r->session_count > 0 ? r->session_count : 1;
	double per_s = controller_rate(&r->pace->adapt);

	if (lane->per_s < INT64_MAX)
		per_s = fmin(per_s, (double)lane->per_s);
	r->need = bdp_messages(&r->bdp, per_s / (double)sessions);
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

void
lane_count_taken(struct transaction *t, int64_t now_us)
{
	CHECK(t->carrier != NULL && t->route->pace != NULL);
	t->taken_us = now_us;
	t->is_throttled = false;
	controller_take(&t->route->pace->adapt, now_us);
}

void
lane_count_left(const struct transaction *t, bool is_accepted)
{
	struct controller *pace = &t->route->pace->adapt;

	if (t->is_throttled)
		return; /* counted when the reply was read */
	if (is_accepted)
		controller_on_accepted(pace, t->taken_us, t->left_us);
	else
		controller_on_other(pace);
}
