#include "common/limiter.h"

#include <assert.h>
#include <string.h>

/* A stored layout: no padding. */
static_assert(sizeof(struct limiter) == (7 + QUOTA_SLOTS) * 8, "layout");

void
limiter_init(struct limiter *l, const struct rate *rate, int64_t now_us)
{
	memset(l, 0, sizeof *l);
	if (rate == NULL) {
		l->kind = LIMITER_NONE;
	} else if (rate->is_quota) {
		l->kind = LIMITER_QUOTA;
		quota_init(&l->quota, rate, now_us);
	} else {
		l->kind = LIMITER_BUCKET;
		bucket_init(&l->bucket, rate, now_us);
	}
}

bool
limiter_take(struct limiter *l, uint64_t cost, int64_t now_us)
{
	if (l->kind == LIMITER_BUCKET)
		return bucket_take(&l->bucket, cost, now_us);
	if (l->kind == LIMITER_QUOTA)
		return quota_take(&l->quota, cost, now_us);
	return true;
}

int64_t
limiter_wait_us(const struct limiter *l, uint64_t cost, int64_t now_us)
{
	if (l->kind == LIMITER_BUCKET)
		return bucket_wait_us(&l->bucket, cost, now_us);
	if (l->kind == LIMITER_QUOTA)
		return quota_wait_us(&l->quota, cost, now_us);
	return 0;
}

void
limiter_give_back(struct limiter *l, uint64_t cost, int64_t taken_us)
{
	if (l->kind == LIMITER_BUCKET)
		bucket_give_back(&l->bucket, cost, taken_us);
	else if (l->kind == LIMITER_QUOTA)
		quota_give_back(&l->quota, cost, taken_us);
}

bool
limiter_matches(const struct limiter *l, const struct rate *rate)
{
	if (rate == NULL)
		return l->kind == LIMITER_NONE;
	if (rate->is_quota)
		return l->kind == LIMITER_QUOTA &&
		       l->quota.limit == rate->count_milli / 1000 &&
		       l->quota.period_us == rate->period_us;
	return l->kind == LIMITER_BUCKET &&
	       l->bucket.count_milli == rate->count_milli &&
	       l->bucket.period_us == rate->period_us &&
	       l->bucket.burst == rate->burst;
}

void
limiter_set_rate(struct limiter *l, const struct rate *rate, int64_t now_us)
{
	if (limiter_matches(l, rate))
		return;
	if (rate != NULL && rate->is_quota && l->kind == LIMITER_QUOTA &&
	    l->quota.period_us == rate->period_us)
		l->quota.limit = rate->count_milli / 1000;
	else if (rate != NULL && !rate->is_quota && l->kind == LIMITER_BUCKET)
		bucket_set_rate(&l->bucket, rate, now_us);
	else
		limiter_init(l, rate, now_us);
}

void
limiter_shift(struct limiter *l, int64_t delta_us)
{
	if (l->kind == LIMITER_BUCKET) {
		l->bucket.tat_ns += delta_us * 1000;
		l->bucket.last_us += delta_us;
	} else if (l->kind == LIMITER_QUOTA) {
		l->quota.base_us += delta_us;
		l->quota.last_us += delta_us;
	}
}
