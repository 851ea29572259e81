/* bucket: the arithmetic of limits; time is an argument, in monotonic us.
 *
 *   bucket   GCRA. `tat` is the moment the bucket will be full again; the
 *            later it is, the emptier the bucket:
 *
 *              now          tat        now + burst
 *               |-- taken ---|--- free ---|           (time = units / rate)
 *
 *            Never more than burst + rate * window in any window (plus the
 *            excess of costs above burst, below), and exact: fractions of a
 *            nanosecond are carried, so no rounding adds up.
 *   quota    counts in slots of 1/59 period; of 60 slots the oldest counts in
 *            full, so there are never more than N in any window of the period.
 *   limiter  either of them, after a struct rate.
 *
 * Plain values of fixed size without pointers: they may live in a shared file
 * (the caller locks). A clock that goes backwards stands still instead.
 *
 * A cost above the bucket's burst is admitted when the bucket is not in debt,
 * and puts it into debt. A cost above a quota's N is never admitted: the wait
 * is BUCKET_NEVER. A cost of 0 is always admitted. Waits are exact: taking
 * after the time told succeeds unless somebody else took meanwhile.
 */
#ifndef BUCKET_H
#define BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rate.h"

#define BUCKET_NEVER INT64_MAX

enum { QUOTA_SLOTS = 60 };

struct bucket {
	int64_t count_milli, period_us, burst; /* as in struct rate */
	int64_t tat_ns; /* when full again */
	int64_t tat_rest; /* + tat_rest / count_milli ns */
	int64_t last_us; /* latest time seen */
};

struct quota {
	int64_t limit; /* N */
	int64_t slot_us; /* length of a slot */
	int64_t base_us; /* start of slot 0 */
	int64_t newest; /* number of the newest slot; in slots[newest % 60] */
	int64_t last_us; /* latest time seen */
	int64_t period_us;
	int64_t slots[QUOTA_SLOTS];
};

enum { LIMITER_NONE, LIMITER_BUCKET, LIMITER_QUOTA };

struct limiter {
	int64_t kind; /* LIMITER_*; a zeroed struct is no limit */
	union {
		struct bucket bucket;
		struct quota quota;
	};
};

/* Full. rate must not be a quota. */
void bucket_init(struct bucket *b, const struct rate *rate, int64_t now_us);

/* Takes cost units if they may go now. */
bool bucket_take(struct bucket *b, uint64_t cost, int64_t now_us)
    __attribute__((warn_unused_result));

/* Microseconds until cost units may go; 0: now. */
int64_t bucket_wait_us(const struct bucket *b, uint64_t cost, int64_t now_us);

/* Undoes a take whose units were not used after all. */
void bucket_give_back(struct bucket *b, uint64_t cost, int64_t now_us);

/* Changes the rate; the units taken and not yet refilled stay taken. */
void bucket_set_rate(struct bucket *b, const struct rate *rate, int64_t now_us);

/* Empty; rate must be a quota. */
void quota_init(struct quota *q, const struct rate *rate, int64_t now_us);
bool quota_take(struct quota *q, uint64_t cost, int64_t now_us)
    __attribute__((warn_unused_result));
int64_t quota_wait_us(const struct quota *q, uint64_t cost, int64_t now_us);
void quota_give_back(struct quota *q, uint64_t cost, int64_t now_us);

/* Units counted in the window that ends now (an upper bound). */
int64_t quota_used(const struct quota *q, int64_t now_us);

/* rate NULL: no limit. */
void limiter_init(struct limiter *l, const struct rate *rate, int64_t now_us);
bool limiter_take(struct limiter *l, uint64_t cost, int64_t now_us)
    __attribute__((warn_unused_result));
int64_t limiter_wait_us(const struct limiter *l, uint64_t cost, int64_t now_us);
void limiter_give_back(struct limiter *l, uint64_t cost, int64_t now_us);

/* Same rate in use? */
bool limiter_matches(const struct limiter *l, const struct rate *rate);

/* Goes over to another rate, keeping what is known to be used: always from
 * bucket to bucket, and from quota to quota of the same period. */
void limiter_set_rate(
    struct limiter *l, const struct rate *rate, int64_t now_us);

/* The clock restarted (a reboot): moves all times by delta_us. */
void limiter_shift(struct limiter *l, int64_t delta_us);

#endif
