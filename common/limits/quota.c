#include "common/limits/quota.h"

#include <assert.h>
#include <string.h>

#include "common/base/log.h"

/* A stored layout: no padding. */
static_assert(
    sizeof(struct quota) == (6 + QUOTA_SLOTS) * sizeof(int64_t), "layout");

/* Slot k covers [base + k * slot, base + (k + 1) * slot). The window
 * that ends now reaches from the slot of now - period, all of it, to newest;
 * with slots of at least period / 59 these are at most 60. */

void
quota_init(struct quota *q, const struct rate *rate, int64_t now_us)
{
	CHECK(rate->is_quota && rate->count_milli >= 0 && rate->period_us > 0);
	now_us = rate_clamp_now(INT64_MIN, now_us);
	memset(q, 0, sizeof *q);
	q->limit = rate->count_milli / 1000;
	q->period_us = rate->period_us;
	q->slot_us = (rate->period_us + QUOTA_SLOTS - 2) / (QUOTA_SLOTS - 1);
	q->base_us = q->last_us = now_us;
}

/* The oldest slot that counts at now; slots before 0 are empty. */
static int64_t
oldest_slot(const struct quota *q, int64_t now_us)
{
	int64_t start = now_us - q->period_us - q->base_us;

	return start < 0 ? 0 : start / q->slot_us;
}

/* The oldest slot that counts and is still stored. */
static int64_t
first_slot(const struct quota *q, int64_t now_us)
{
	int64_t oldest = oldest_slot(q, now_us);
	int64_t stored = q->newest - QUOTA_SLOTS + 1;

	return oldest < stored ? stored : oldest;
}

int64_t
quota_used(const struct quota *q, int64_t now_us)
{
	int64_t used = 0;

	now_us = rate_clamp_now(q->last_us, now_us);
	for (int64_t k = first_slot(q, now_us); k <= q->newest; k++)
		if (k >= 0)
			used += q->slots[k % QUOTA_SLOTS];
	return used;
}

/* Makes the slot of now the newest one. */
static void
advance(struct quota *q, int64_t now_us)
{
	int64_t slot = (now_us - q->base_us) / q->slot_us;
	int64_t k = q->newest + 1;

	q->last_us = now_us;
	if (slot < k)
		return;
	if (slot - k >= QUOTA_SLOTS)
		k = slot - QUOTA_SLOTS + 1;
	for (; k <= slot; k++)
		q->slots[k % QUOTA_SLOTS] = 0;
	q->newest = slot;
}

static bool
quota_fits(const struct quota *q, int64_t used, uint64_t cost)
{
	return cost == 0 ||
	       (used <= q->limit && cost <= (uint64_t)(q->limit - used));
}

bool
quota_take(struct quota *q, uint64_t cost, int64_t now_us)
{
	now_us = rate_clamp_now(q->last_us, now_us);
	advance(q, now_us);
	if (!quota_fits(q, quota_used(q, now_us), cost))
		return false;
	q->slots[q->newest % QUOTA_SLOTS] += (int64_t)cost;
	return true;
}

void
quota_charge(struct quota *q, uint64_t cost, int64_t now_us)
{
	int64_t *slot;

	advance(q, rate_clamp_now(q->last_us, now_us));
	slot = &q->slots[q->newest % QUOTA_SLOTS];
	if (cost > (uint64_t)(RATE_COUNT_MAX - *slot))
		*slot = RATE_COUNT_MAX;
	else
		*slot += (int64_t)cost;
}

int64_t
quota_wait_us(const struct quota *q, uint64_t cost, int64_t now_us)
{
	int64_t at = rate_clamp_now(q->last_us, now_us);
	int64_t used = quota_used(q, at);

	if (quota_fits(q, used, cost))
		return 0;
	if (cost > (uint64_t)q->limit)
		return RATE_NEVER;
	for (int64_t k = first_slot(q, at); k <= q->newest; k++) {
		if (k < 0)
			continue;
		used -= q->slots[k % QUOTA_SLOTS];
		if (quota_fits(q, used, cost))
			return q->base_us + (k + 1) * q->slot_us +
			       q->period_us - now_us;
	}
	return RATE_NEVER;
}

void
quota_give_back(struct quota *q, uint64_t cost, int64_t taken_us)
{
	int64_t k = (taken_us - q->base_us) / q->slot_us;
	int64_t *slot;

	if (taken_us < q->base_us || k > q->newest ||
	    k <= q->newest - QUOTA_SLOTS)
		return;
	slot = &q->slots[k % QUOTA_SLOTS];
	*slot = cost < (uint64_t)*slot ? *slot - (int64_t)cost : 0;
}
