#include "agent/state/budget_state.h"
#include "agent/state/fleet_store.h"
#include "common/base/clock.h"

/* By the clock and not by the turn's time: a process that was stopped goes on
 * with the time from before, and its host's share was another then. */
void
budget_look_at_share(struct budget *b, const struct slots_sum *sum)
{
	int64_t now_us = clock_mono_us(), share, limit;

	b->excess = 0;
	b->share = SLOTS_MAX;
	b->is_fewer = false;
	if (b->fleet == NULL)
		return;
	share = fleet_account_share(b->fleet, 0, now_us);
	limit = fleet_account_connection_limit(b->fleet, now_us);
	b->is_fewer = limit < share;
	if (limit < b->share)
		b->share = (int)limit;
	if (sum->held > limit && sum->mine > 0)
		b->excess =
		    (int)(((sum->held - limit) * sum->mine + sum->held - 1) /
			  sum->held);
}

void
budget_set_fleet(struct budget *b, struct fleet_account *fleet)
{
	b->fleet = fleet;
}

int
budget_excess(const struct budget *b)
{
	return b->excess;
}

int64_t
budget_limited_ms(const struct budget *b, int64_t now_ms, int *limit_out)
{
	const struct slots_head *head = &b->slots.head;

	*limit_out = slots_limit_now(head, b->limit_seen, now_ms);
	return slots_limited_ms(head, b->limit_seen, now_ms);
}
