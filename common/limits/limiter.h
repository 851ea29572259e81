/* limiter: one configured limit, a bucket or a quota, or none.
 *
 * A plain value of fixed size without pointers, all of 64-bit integers: it may
 * live in a shared file (the caller locks). A zeroed struct is no limit. Times
 * are monotonic microseconds; see bucket.h and quota.h for what each admits.
 */
#ifndef LIMITER_H
#define LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits/bucket.h"
#include "common/limits/quota.h"
#include "common/limits/rate.h"

enum { LIMITER_NONE, LIMITER_BUCKET, LIMITER_QUOTA };

struct limiter {
	int64_t kind; /* LIMITER_* */
	union {
		struct bucket bucket;
		struct quota quota;
	};
};

/* rate NULL: no limit. */
void limiter_init(struct limiter *l, const struct rate *rate, int64_t now_us);

bool limiter_take(struct limiter *l, uint64_t cost, int64_t now_us)
    __attribute__((warn_unused_result));

/* 0: now; RATE_NEVER: never. Several limits in force at once: take from them
 * only when the wait of each is 0. */
int64_t limiter_wait_us(const struct limiter *l, uint64_t cost, int64_t now_us);

/* Takes that were not asked for, from since_us until now: more may be gone than
 * there was. A bucket has been refilled meanwhile. */
void limiter_charge(
    struct limiter *l, uint64_t cost, int64_t since_us, int64_t now_us);

/* Undoes a take of taken_us whose units were not used after all. */
void limiter_give_back(struct limiter *l, uint64_t cost, int64_t taken_us);

/* False for what no function here could have left behind, such as a damaged
 * file; such a limiter must not be used but by limiter_init(). */
bool limiter_is_valid(const struct limiter *l);

/* Is nothing of it used? A new one would be the same. */
bool limiter_is_full(const struct limiter *l, int64_t now_us);

/* The latest time it knows of; INT64_MIN: none. */
int64_t limiter_latest_us(const struct limiter *l);

/* Same rate in use? */
bool limiter_matches(const struct limiter *l, const struct rate *rate);

/* Goes over to another rate, keeping what is known to be used: always from
 * bucket to bucket, and from quota to quota of the same period; else anew. */
void limiter_set_rate(
    struct limiter *l, const struct rate *rate, int64_t now_us);

/* The clock was restarted (a reboot): moves all times by delta_us. Any delta
 * and any limiter will do, but then look whether it is valid. */
void limiter_shift(struct limiter *l, int64_t delta_us);

#endif
