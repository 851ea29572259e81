#include "common/limits/bucket.h"

#include <assert.h>

#include "common/base/log.h"

/* GCRA in exact numbers. One unit costs T = period / N. Spans of time are
 * held as whole nanoseconds plus a rest in parts of count_milli:
 *
 *   one unit = (period_us * 10^6 / count_milli) ns    (10^6: us to ns, milli)
 *
 * so that tat never gathers a rounding error. Products need 128 bits:
 * 10^12 units * 400 days is about 10^31 of these parts. */
__extension__ typedef __int128 wide;

/* Keeps every sum within 64 bits: no bucket goes further than 73 years from
 * now, in either direction. */
#define SPAN_MAX_NS INT64_C(2300000000000000000)
#define COST_MAX ((uint64_t)RATE_COUNT_MAX)

/* A stored layout: no padding. */
static_assert(sizeof(struct bucket) == 6 * sizeof(int64_t), "layout");

/* cost units, in parts (1 / count_milli ns). */
static wide
parts_of(const struct bucket *b, uint64_t cost)
{
	if (cost > COST_MAX)
		cost = COST_MAX;
	return (wide)cost * b->period_us * 1000000;
}

/* Sets tat to now plus parts, which may be negative. */
static void
set_tat(struct bucket *b, int64_t now_ns, wide parts)
{
	wide ns = parts / b->count_milli, rest = parts % b->count_milli;

	if (rest < 0) {
		rest += b->count_milli;
		ns--;
	}
	if (ns > SPAN_MAX_NS)
		ns = SPAN_MAX_NS;
	else if (ns < -SPAN_MAX_NS)
		ns = -SPAN_MAX_NS;
	b->tat_ns = now_ns + (int64_t)ns;
	b->tat_rest = (int64_t)rest;
}

/* What is taken and not refilled at now, in parts; 0 when full. */
static wide
parts_taken(const struct bucket *b, int64_t now_us)
{
	int64_t now_ns = now_us * 1000;

	if (b->tat_ns < now_ns)
		return 0;
	return (wide)(b->tat_ns - now_ns) * b->count_milli + b->tat_rest;
}

/* Parts that have to be refilled before cost may go; <= 0: it may. A cost
 * above the burst waits only for the bucket to be out of debt. */
static wide
parts_missing(const struct bucket *b, uint64_t cost, int64_t now_us)
{
	wide missing = parts_taken(b, now_us) - parts_of(b, (uint64_t)b->burst);

	if (cost <= (uint64_t)b->burst)
		missing += parts_of(b, cost);
	return cost == 0 ? 0 : missing;
}

void
bucket_init(struct bucket *b, const struct rate *rate, int64_t now_us)
{
	CHECK(!rate->is_quota && rate->count_milli > 0 && rate->period_us > 0 &&
	      rate->burst > 0);
	now_us = rate_clamp_now(INT64_MIN, now_us);
	*b = (struct bucket){
	    .count_milli = rate->count_milli,
	    .period_us = rate->period_us,
	    .burst = rate->burst,
	    .tat_ns = now_us * 1000,
	    .last_us = now_us,
	};
}

bool
bucket_take(struct bucket *b, uint64_t cost, int64_t now_us)
{
	now_us = rate_clamp_now(b->last_us, now_us);
	b->last_us = now_us;
	if (parts_missing(b, cost, now_us) > 0)
		return false;
	set_tat(b, now_us * 1000, parts_taken(b, now_us) + parts_of(b, cost));
	return true;
}

void
bucket_charge(struct bucket *b, uint64_t cost, int64_t now_us)
{
	now_us = rate_clamp_now(b->last_us, now_us);
	b->last_us = now_us;
	set_tat(b, now_us * 1000, parts_taken(b, now_us) + parts_of(b, cost));
}

int64_t
bucket_wait_us(const struct bucket *b, uint64_t cost, int64_t now_us)
{
	int64_t at = rate_clamp_now(b->last_us, now_us);
	wide missing = parts_missing(b, cost, at);
	wide part_us = (wide)b->count_milli * 1000;

	if (missing <= 0)
		return 0;
	/* A clock that is behind has to catch up first. */
	return (int64_t)((missing + part_us - 1) / part_us) +
	       (now_us < at ? at - now_us : 0);
}

void
bucket_give_back(struct bucket *b, uint64_t cost, int64_t taken_us)
{
	int64_t now_ns = b->last_us * 1000;
	wide taken = (wide)(b->tat_ns - now_ns) * b->count_milli + b->tat_rest;
	wide back = parts_of(b, cost);

	/* Without that take the bucket could have been full, refilling for
	 * nothing, at most all the time since. */
	if (taken_us < b->last_us)
		back -= (wide)(b->last_us - taken_us) * 1000 * b->count_milli;
	if (back > 0)
		set_tat(b, now_ns, taken - back);
}

/* parts of one rate as parts of another, for the same units; rounded up. */
static wide
convert_parts(wide parts, wide from_unit, wide to_unit)
{
	wide product;

	if (__builtin_mul_overflow(parts, to_unit, &product))
		return (parts / from_unit + 1) * to_unit;
	return product / from_unit + (product % from_unit != 0);
}

void
bucket_set_rate(struct bucket *b, const struct rate *rate, int64_t now_us)
{
	struct bucket next;

	now_us = rate_clamp_now(b->last_us, now_us);
	bucket_init(&next, rate, now_us);
	set_tat(&next, now_us * 1000,
	    convert_parts(
		parts_taken(b, now_us), parts_of(b, 1), parts_of(&next, 1)));
	*b = next;
}
