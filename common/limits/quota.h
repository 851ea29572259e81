/* quota: a sliding count; time is an argument, in monotonic us.
 *
 *     | k-59 | k-58 |  ...  | k-1 |  k  |      slots of 1/59 period
 *        ^--- now - period           ^--- now
 *
 * Of at most 60 slots the oldest counts in full, so there are never more than
 * N units in any window of the period; the price is up to 1/59 of the period
 * of waiting too long. A cost above N is never admitted: the wait is
 * RATE_NEVER. A cost of 0 is always admitted.
 *
 * A plain value of fixed size without pointers: it may live in a shared file
 * (the caller locks). A clock that goes backwards stands still instead.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits/rate.h"

enum { QUOTA_SLOTS = 60 };

struct quota {
	int64_t limit; /* N */
	int64_t period_us;
	int64_t slot_us; /* length of a slot */
	int64_t base_us; /* start of slot 0 */
	int64_t newest; /* number of the newest slot */
	int64_t last_us; /* latest time seen */
	int64_t slots[QUOTA_SLOTS]; /* slot k in slots[k % QUOTA_SLOTS] */
};

/* Empty; rate must be a quota, which may be 0 where it is a share of one. */
void quota_init(struct quota *q, const struct rate *rate, int64_t now_us);

/* Takes cost units if they may go now. */
bool quota_take(struct quota *q, uint64_t cost, int64_t now_us)
    __attribute__((warn_unused_result));

/* A take that is not asked for. */
void quota_charge(struct quota *q, uint64_t cost, int64_t now_us);

/* Microseconds until cost units may go; 0: now; RATE_NEVER. Exact. */
int64_t quota_wait_us(const struct quota *q, uint64_t cost, int64_t now_us);

/* Undoes a take of taken_us whose units were not used after all. */
void quota_give_back(struct quota *q, uint64_t cost, int64_t taken_us);

/* Units counted in the window that ends now (an upper bound). */
int64_t quota_used(const struct quota *q, int64_t now_us);

#endif
