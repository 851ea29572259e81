#include <stdio.h>

#include "agent/smarthost/account_state.h"
#include "agent/state/budget.h"
#include "common/base/clock.h"
#include "common/shared/fleet_lessons.h"

/* A pause that is shorter would be over before other hosts can hear of it. */
#define PAUSE_TELL_US (2 * US_PER_S)

static int64_t
fleet_in_use(void *ctx, const struct fleet_limit *limit, int64_t now_us)
{
	struct account *a = ctx;

	if (limit->kind == FLEET_CONNECTIONS)
		return budget_in_use(a->budget, clock_ms_from_us(now_us));
	if (limit->kind == FLEET_DIALS || !limit->whole.is_quota)
		return 0;
	return rate_store_quota_used(a->rates,
	    (enum pacer_unit)((int)limit->kind - (int)FLEET_MESSAGES),
	    limit->whole.period_us, now_us);
}

static void
on_fleet_share(void *ctx)
{
	struct account *a = ctx;

	if (!a->accounts->is_draining)
		a->accounts->env.want_kick(a->accounts->env.ctx);
}

static void
fleet_learned(void *ctx, struct fleet_lesson out[FLEET_LESSONS], int64_t now_us)
{
	struct account *a = ctx;
	int64_t pause_us = rate_store_paused_until(a->rates) - now_us;
	int64_t now_ms = clock_ms_from_us(now_us);
	int limit;

	if (pause_us >= PAUSE_TELL_US)
		a->pause_told_us = now_us + pause_us;
	/* To its end: what is not told any more is over. */
	if (pause_us > 0 && now_us < a->pause_told_us)
		out[FLEET_PAUSE].left_us =
		    fleet_least(pause_us, FLEET_LESSON_MAX_US);
	out[FLEET_FEWER].left_us = fleet_least(
	    clock_us_from_ms(budget_limited_ms(a->budget, now_ms, &limit)),
	    FLEET_LESSON_MAX_US);
	out[FLEET_FEWER].value = limit;
}

static int64_t
fleet_blocked(void *ctx)
{
	const struct account *a = ctx;

	list_each (link, &a->accounts->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		if (b->route->trust != ROUTE_ALARMED)
			b->blocked = 0;
		if (b->account == a && b->blocked > 0)
			return b->blocked;
	}
	return 0;
}

static const struct fleet_account_ops fleet_handlers = {
    .in_use = fleet_in_use,
    .on_share = on_fleet_share,
    .learned = fleet_learned,
    .blocked = fleet_blocked,
};

void
account_join_fleet(struct account *a)
{
	static const struct board_fleet none = {.size = 0};
	const struct accounts_env *env = &a->accounts->env;

	if (env->fleet == NULL) {
		board_writer_set_fleet(env->board, a->name, &none);
		return;
	}
	a->fleet =
	    fleet_store_account(env->fleet, a->name, loop_now_us(env->loop));
	fleet_account_set_ops(a->fleet, &fleet_handlers, a);
	budget_set_fleet(a->budget, a->fleet);
}

void
account_leave_fleet(struct account *a)
{
	if (a->fleet == NULL)
		return;
	fleet_account_set_ops(a->fleet, NULL, NULL);
	fleet_account_close(&a->fleet);
}

void
account_tell_demand(struct account *a)
{
	if (a->fleet != NULL)
		fleet_account_connections(a->fleet, a->held, a->wanted,
		    loop_now_us(a->accounts->env.loop));
}

/* One that is refused finds out by itself. A route with mail does, and once in
 * this process, however often it is said; another one when it has some: until
 * then its alarm would stand, and it could not be forgotten. */
static void
hear_refusal(struct binding *b, const struct fleet_heard *h, struct moment now)
{
	char code[FLEET_REFUSAL_SIZE], why[128];
	const struct route *r = b->route;

	if (b->doubted_us == h->since_us || r->waiting_count == 0)
		return;
	b->doubted_us = h->since_us;
	(void)snprintf(why, sizeof(why), "host %s of the fleet was told %s",
	    h->host, fleet_refusal_text(h->value, code));
	lane_doubt(b->accounts->lane, b->route, why, now);
}

static void
hear_pause(struct binding *b, struct moment now)
{
	const struct fleet_heard *h =
	    fleet_account_heard(b->account->fleet, FLEET_PAUSE, now.us);

	b->is_kept = h != NULL;
	lane_hear_pause(b->route, h != NULL ? h->until_us : 0,
	    h != NULL ? h->host : "", now);
}

void
account_hear_fleet(struct binding *b, bool is_listening, struct moment now)
{
	const struct fleet_heard *h;

	if (b->account == NULL || b->account->fleet == NULL)
		return;
	if (is_listening || b->is_kept)
		hear_pause(b, now);
	if (!is_listening)
		return;
	h = fleet_account_heard(b->account->fleet, FLEET_BLOCKED, now.us);
	if (h != NULL)
		hear_refusal(b, h, now);
}
