#include "common/limits/limiter.h"

#include <assert.h>
#include <string.h>

/* A stored layout: no padding. */
static_assert(
    sizeof(struct limiter) == (7 + QUOTA_SLOTS) * sizeof(int64_t), "layout");

/* Of rate_clamp_now(), with room: beyond, a stored time is damage. So is what
 * was taken from a bucket when it would take so long to come back. */
#define TIME_MAX_US INT64_C(4100000000000000)
#define DEBT_MAX_NS INT64_C(2400000000000000000)

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
limiter_charge(
    struct limiter *l, uint64_t cost, int64_t since_us, int64_t now_us)
{
	if (l->kind == LIMITER_BUCKET)
		bucket_charge(&l->bucket, cost, since_us);
	else if (l->kind == LIMITER_QUOTA)
		quota_charge(&l->quota, cost, now_us);
}

void
limiter_give_back(struct limiter *l, uint64_t cost, int64_t taken_us)
{
	if (l->kind == LIMITER_BUCKET)
		bucket_give_back(&l->bucket, cost, taken_us);
	else if (l->kind == LIMITER_QUOTA)
		quota_give_back(&l->quota, cost, taken_us);
}

static bool
bucket_is_valid(const struct bucket *b)
{
	int64_t debt_ns;

	return b->count_milli > 0 && b->period_us > 0 && b->burst > 0 &&
	       b->count_milli <= RATE_COUNT_MAX * 1000 &&
	       b->period_us <= RATE_PERIOD_MAX_US &&
	       b->burst <= RATE_COUNT_MAX && b->tat_rest >= 0 &&
	       b->tat_rest < b->count_milli && b->last_us > -TIME_MAX_US &&
	       b->last_us < TIME_MAX_US &&
	       !__builtin_sub_overflow(
		   b->tat_ns, b->last_us * 1000, &debt_ns) &&
	       debt_ns > -DEBT_MAX_NS && debt_ns < DEBT_MAX_NS;
}

static bool
quota_is_valid(const struct quota *q)
{
	if (q->limit < 0 || q->limit > RATE_COUNT_MAX || q->period_us <= 0 ||
	    q->period_us > RATE_PERIOD_MAX_US || q->newest < 0 ||
	    q->slot_us !=
		(q->period_us + QUOTA_SLOTS - 2) / (QUOTA_SLOTS - 1) ||
	    q->base_us <= -TIME_MAX_US || q->base_us > q->last_us ||
	    q->last_us >= TIME_MAX_US ||
	    q->newest != (q->last_us - q->base_us) / q->slot_us)
		return false;
	for (size_t i = 0; i < QUOTA_SLOTS; i++)
		if (q->slots[i] < 0 || q->slots[i] > RATE_COUNT_MAX)
			return false;
	return true;
}

bool
limiter_is_valid(const struct limiter *l)
{
	if (l->kind == LIMITER_BUCKET)
		return bucket_is_valid(&l->bucket);
	if (l->kind == LIMITER_QUOTA)
		return quota_is_valid(&l->quota);
	return l->kind == LIMITER_NONE;
}

bool
limiter_is_full(const struct limiter *l, int64_t now_us)
{
	if (l->kind == LIMITER_BUCKET)
		return l->bucket.tat_ns + 1 <= now_us * 1000;
	return l->kind != LIMITER_QUOTA || quota_used(&l->quota, now_us) == 0;
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

static int64_t
moved(int64_t at, int64_t delta)
{
	int64_t sum;

	if (!__builtin_add_overflow(at, delta, &sum))
		return sum;
	return delta < 0 ? INT64_MIN : INT64_MAX;
}

void
limiter_shift(struct limiter *l, int64_t delta_us)
{
	/* Clocks in a file may say anything: valid it is only afterwards. */
	if (delta_us > 2 * TIME_MAX_US)
		delta_us = 2 * TIME_MAX_US;
	else if (delta_us < -2 * TIME_MAX_US)
		delta_us = -2 * TIME_MAX_US;
	if (l->kind == LIMITER_BUCKET) {
		l->bucket.tat_ns = moved(l->bucket.tat_ns, delta_us * 1000);
		l->bucket.last_us = moved(l->bucket.last_us, delta_us);
	} else if (l->kind == LIMITER_QUOTA) {
		l->quota.base_us = moved(l->quota.base_us, delta_us);
		l->quota.last_us = moved(l->quota.last_us, delta_us);
	}
}

int64_t
limiter_latest_us(const struct limiter *l)
{
	if (l->kind == LIMITER_BUCKET)
		return l->bucket.last_us;
	return l->kind == LIMITER_QUOTA ? l->quota.last_us : INT64_MIN;
}
