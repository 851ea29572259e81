#include "common/limits/limitset.h"

#include <assert.h>
#include <string.h>

#include "common/base/log.h"

__extension__ typedef __int128 wide;

/* A stored layout: no padding. */
static_assert(sizeof(struct limitset_limit) ==
		  2 * sizeof(int64_t) + sizeof(struct limiter),
    "layout");

enum {
	LATENESS_MAX_US = 10000,
	RESERVE_SHARE = 4, /* of a bucket, one part is left to others */
};

/* Bounded, so that centuries of it fit. */
#define COST_MAX_NS INT64_C(3600000000000)

/* ---- what is stored ---------------------------------------------------- */

static int64_t
latest_us(const struct limitset_limit *limits, size_t n)
{
	int64_t latest = INT64_MIN;

	for (size_t i = 0; i < n; i++) {
		int64_t us = limiter_latest_us(&limits[i].limiter);

		if (us > latest)
			latest = us;
	}
	return latest;
}

static bool
is_sound(const struct limitset_limit *l, int64_t users)
{
	return l->unit >= 0 && l->unit < LIMITSET_UNITS && l->users >= 0 &&
	       (l->users & ~users) == 0 &&
	       (l->users == 0 || l->limiter.kind != LIMITER_NONE) &&
	       limiter_is_valid(&l->limiter);
}

bool
limitset_repair(
    struct limitset_limit *limits, size_t n, int64_t users, int64_t now_us)
{
	bool was_wrong = false;

	for (size_t i = 0; i < n; i++)
		if (!is_sound(&limits[i], users)) {
			memset(&limits[i], 0, sizeof(limits[i]));
			was_wrong = true;
		}
	if (latest_us(limits, n) > now_us) {
		/* A bucket whose clock is ahead would stand still. */
		limitset_shift(limits, n, now_us - latest_us(limits, n));
		was_wrong = true;
	}
	return was_wrong;
}

void
limitset_shift(struct limitset_limit *limits, size_t n, int64_t delta_us)
{
	for (size_t i = 0; i < n; i++)
		limiter_shift(&limits[i].limiter, delta_us);
}

/* ---- what is asked for -------------------------------------------------- */

static bool
is_alike(const struct limiter *l, const struct rate *rate)
{
	if (rate->is_quota)
		return l->kind == LIMITER_QUOTA &&
		       l->quota.period_us == rate->period_us;
	return l->kind == LIMITER_BUCKET;
}

static int64_t
period_us(const struct limiter *l)
{
	return l->kind == LIMITER_QUOTA ? l->quota.period_us
					: l->bucket.period_us;
}

struct limitset_limit *
limitset_find(struct limitset_limit *limits, size_t n,
    const struct limitset_rate *like, int64_t bit)
{
	struct limitset_limit *found = NULL;

	for (size_t i = 0; i < n; i++) {
		struct limitset_limit *l = &limits[i];

		if (l->unit != like->unit ||
		    !is_alike(&l->limiter, &like->rate) ||
		    period_us(&l->limiter) != like->rate.period_us)
			continue;
		if ((l->users & bit) != 0)
			return l;
		if (found == NULL || (found->users == 0 && l->users != 0))
			found = l;
	}
	return found;
}

/* A row for one more limit; one that is not in force loses its count. */
static struct limitset_limit *
room(struct limitset_limit *limits, size_t n)
{
	struct limitset_limit *found = NULL;

	for (size_t i = 0; i < n; i++) {
		struct limitset_limit *l = &limits[i];

		if (l->limiter.kind == LIMITER_NONE)
			return l;
		if (l->users == 0 &&
		    (found == NULL || limiter_latest_us(&l->limiter) <
					  limiter_latest_us(&found->limiter)))
			found = l;
	}
	return found;
}

static struct limitset_limit *
find_exact(struct limitset_limit *limits, size_t n,
    const struct limitset_rate *want, int64_t bit)
{
	for (size_t i = 0; i < n; i++) {
		struct limitset_limit *l = &limits[i];

		if (l->limiter.kind != LIMITER_NONE && l->unit == want->unit &&
		    (l->users & bit) == 0 &&
		    limiter_matches(&l->limiter, &want->rate))
			return l;
	}
	return NULL;
}

/* What is known of a limit that was set to another value: best of one that
 * nobody asks for, since that is the one that was changed. */
static struct limitset_limit *
find_alike(struct limitset_limit *limits, size_t n,
    const struct limitset_rate *want, int64_t bit)
{
	struct limitset_limit *found = NULL;

	for (size_t i = 0; i < n; i++) {
		struct limitset_limit *l = &limits[i];

		if (l->unit != want->unit || (l->users & bit) != 0 ||
		    !is_alike(&l->limiter, &want->rate))
			continue;
		if (found == NULL || (found->users != 0 && l->users == 0))
			found = l;
	}
	return found;
}

static bool
add_limit(struct limitset_limit *limits, size_t n,
    const struct limitset_rate *want, int64_t bit, int64_t now_us)
{
	struct limitset_limit *from = find_alike(limits, n, want, bit),
			      *to = from;

	if (from == NULL || from->users != 0) {
		to = room(limits, n);
		if (to == NULL)
			return false;
		to->unit = want->unit;
		if (from != NULL)
			to->limiter = from->limiter;
		else
			limiter_init(&to->limiter, NULL, now_us);
	}
	limiter_set_rate(&to->limiter, &want->rate, now_us);
	to->users = bit;
	return true;
}

bool
limitset_configure(struct limitset_limit *limits, size_t n, int64_t bit,
    int64_t keep, const struct limitset_rate *rates, size_t count,
    int64_t now_us)
{
	bool is_done[LIMITSET_MAX] = {false};
	bool has_all = count <= n;

	CHECK(n <= LIMITSET_MAX);
	if (!has_all)
		count = n;
	for (size_t i = 0; i < n; i++)
		limits[i].users &= keep;
	for (size_t i = 0; i < count; i++) {
		struct limitset_limit *l =
		    find_exact(limits, n, &rates[i], bit);

		is_done[i] = l != NULL;
		if (l != NULL)
			l->users |= bit;
	}
	for (size_t i = 0; i < count; i++)
		if (!is_done[i] &&
		    !add_limit(limits, n, &rates[i], bit, now_us))
			has_all = false;
	return has_all;
}

bool
limitset_is_limited(const struct limitset_limit *limits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (limits[i].users != 0)
			return true;
	return false;
}

bool
limitset_is_full(const struct limitset_limit *limits, size_t n, int64_t now_us)
{
	for (size_t i = 0; i < n; i++)
		if (!limiter_is_full(&limits[i].limiter, now_us))
			return false;
	return true;
}

/* ---- takes --------------------------------------------------------------- */

/* What is left in a bucket for others. It costs no throughput: the bucket never
 * overflows for it. One that holds a single token has nothing to spare. */
static uint64_t
reserve_of(const struct limitset_limit *l, uint64_t cost)
{
	uint64_t burst, reserve;

	if (l->limiter.kind != LIMITER_BUCKET || l->limiter.bucket.burst < 2)
		return 0;
	burst = (uint64_t)l->limiter.bucket.burst;
	reserve = burst < RESERVE_SHARE ? 1 : burst / RESERVE_SHARE;
	return cost > 0 && cost <= burst - reserve ? reserve : 0;
}

int64_t
limitset_wait_us(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, bool leave_some, int64_t now_us,
    const struct limitset_limit **limit_out)
{
	int64_t longest = 0;

	for (size_t i = 0; i < n; i++) {
		const struct limitset_limit *l = &limits[i];
		uint64_t units = cost->units[l->unit];
		int64_t wait;

		if (l->users == 0)
			continue;
		if (leave_some)
			units += reserve_of(l, units);
		wait = limiter_wait_us(&l->limiter, units, now_us);
		if (wait <= longest)
			continue;
		longest = wait;
		if (limit_out != NULL)
			*limit_out = l;
	}
	return longest;
}

int64_t
limitset_time_of_take(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, bool leave_some, int64_t due_us,
    int64_t now_us)
{
	if (due_us > 0 && due_us <= now_us &&
	    now_us - due_us <= LATENESS_MAX_US &&
	    limitset_wait_us(limits, n, cost, leave_some, due_us, NULL) == 0)
		return due_us;
	return now_us;
}

bool
limitset_take(struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t at_us)
{
	bool did_all = true;

	for (size_t i = 0; i < n; i++) {
		struct limitset_limit *l = &limits[i];

		if (!limiter_take(&l->limiter, cost->units[l->unit], at_us) &&
		    l->users != 0)
			did_all = false;
	}
	return did_all;
}

void
limitset_give_back(struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t taken_us)
{
	for (size_t i = 0; i < n; i++)
		limiter_give_back(
		    &limits[i].limiter, cost->units[limits[i].unit], taken_us);
}

void
limitset_charge(struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t since_us, int64_t now_us)
{
	for (size_t i = 0; i < n; i++) {
		struct limitset_limit *l = &limits[i];

		if (l->users != 0)
			limiter_charge(&l->limiter, cost->units[l->unit],
			    since_us, now_us);
	}
}

/* ---- figures ----------------------------------------------------------- */

/* The bucket of a limit that is in force; NULL: it is none. */
static const struct bucket *
bucket_of(const struct limitset_limit *l)
{
	return l->users != 0 && l->limiter.kind == LIMITER_BUCKET
		   ? &l->limiter.bucket
		   : NULL;
}

static int64_t
span_ns(const struct bucket *b, uint64_t units)
{
	wide ns;

	if (units > (uint64_t)RATE_COUNT_MAX)
		units = (uint64_t)RATE_COUNT_MAX;
	ns = (wide)units * b->period_us * 1000000 / b->count_milli;
	return ns < COST_MAX_NS ? (int64_t)ns : COST_MAX_NS;
}

int64_t
limitset_cost_ns(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, const struct limitset_limit **limit_out)
{
	int64_t longest = 0;

	for (size_t i = 0; i < n; i++) {
		const struct bucket *b = bucket_of(&limits[i]);
		int64_t ns =
		    b == NULL ? 0 : span_ns(b, cost->units[limits[i].unit]);

		if (ns <= longest)
			continue;
		longest = ns;
		if (limit_out != NULL)
			*limit_out = &limits[i];
	}
	return longest;
}

int64_t
limitset_fill_ns(const struct limitset_limit *limits, size_t n, int64_t max)
{
	for (size_t i = 0; i < n; i++) {
		const struct bucket *b = bucket_of(&limits[i]);
		int64_t ns = b == NULL ? max : span_ns(b, (uint64_t)b->burst);

		if (ns < max)
			max = ns;
	}
	return max;
}

/* A multiple of a cost that is above the burst would be let through as one
 * oversized message; several messages would not. */
static bool
are_ready(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, size_t times, int64_t now_us)
{
	for (size_t i = 0; i < n; i++) {
		const struct limitset_limit *l = &limits[i];
		const struct bucket *b = bucket_of(l);
		uint64_t all = cost->units[l->unit] * times;

		if (l->users == 0)
			continue;
		if (times > 1 && b != NULL && all > (uint64_t)b->burst)
			return false;
		if (limiter_wait_us(&l->limiter, all, now_us) > 0)
			return false;
	}
	return true;
}

size_t
limitset_ready(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, size_t max, int64_t now_us)
{
	size_t low = 0, high = max;

	if (!limitset_is_limited(limits, n))
		return max;
	while (low < high) {
		size_t middle = low + (high - low + 1) / 2;

		if (are_ready(limits, n, cost, middle, now_us))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

int64_t
limitset_expected(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t span_us, int64_t max)
{
	double least = (double)max;

	for (size_t i = 0; i < n; i++) {
		const struct bucket *b = bucket_of(&limits[i]);
		double units = (double)cost->units[limits[i].unit], may;

		if (b == NULL || units < 1)
			continue;
		may = (double)b->count_milli / 1000 * (double)span_us /
		      (double)b->period_us / units;
		if (may < least)
			least = may;
	}
	return (int64_t)least;
}

int64_t
limitset_per_s(
    const struct limitset_limit *limits, size_t n, int unit, int64_t now_us)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		const struct bucket *b = bucket_of(&limits[i]);
		const struct quota *q = &limits[i].limiter.quota;
		int64_t per_s;

		if (limits[i].users == 0 || limits[i].unit != unit)
			continue;
		if (b != NULL)
			per_s = (int64_t)((double)b->count_milli * 1000.0 /
					  (double)b->period_us);
		else /* A quota says how many, not how fast. */
			per_s = q->limit - quota_used(q, now_us);
		if (per_s < 0)
			per_s = 0;
		if (per_s < least)
			least = per_s;
	}
	return least;
}
