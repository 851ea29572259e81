/* bucket: GCRA, the arithmetic of a rate; time is an argument, monotonic us.
 *
 *   `tat` is the moment the bucket will be full again; the later, the emptier:
 *
 *      now          tat        now + burst
 *       |-- taken ---|--- free ---|             (a span = units / rate)
 *
 * Never more than burst + rate * window in any window (plus the excess of
 * costs above burst, below), and exact: fractions of a nanosecond are carried,
 * so no rounding adds up. A cost above the burst is admitted when the bucket
 * is not in debt, and puts it into debt. A cost of 0 is always admitted.
 *
 * A plain value of fixed size without pointers: it may live in a shared file
 * (the caller locks). A clock that goes backwards stands still instead.
 */
#ifndef BUCKET_H
#define BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits/rate.h"

struct bucket {
	int64_t count_milli, period_us, burst; /* as in struct rate */
	int64_t tat_ns; /* when full again, */
	int64_t tat_rest; /* plus tat_rest / count_milli ns */
	int64_t last_us; /* latest time seen */
};

/* Full. rate must not be a quota. */
void bucket_init(struct bucket *b, const struct rate *rate, int64_t now_us);

/* Takes cost units if they may go now. */
bool bucket_take(struct bucket *b, uint64_t cost, int64_t now_us)
    __attribute__((warn_unused_result));

/* A take that is not asked for. */
void bucket_charge(struct bucket *b, uint64_t cost, int64_t now_us);

/* Microseconds until cost units may go; 0: now. Exact: a take after that time
 * succeeds unless somebody else took meanwhile. */
int64_t bucket_wait_us(const struct bucket *b, uint64_t cost, int64_t now_us);

/* Undoes a take whose units were not used after all. taken_us is the time it
 * was taken at: the part that the bucket could have refilled since then is
 * not given back, or a full bucket would let more than its burst go. */
void bucket_give_back(struct bucket *b, uint64_t cost, int64_t taken_us);

/* Changes the rate; the units taken and not yet refilled stay taken. */
void bucket_set_rate(struct bucket *b, const struct rate *rate, int64_t now_us);

#endif
