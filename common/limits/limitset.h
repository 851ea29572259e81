/* limitset: limits in force together, in several units.
 *
 *   5/1m messages, 100/1h! messages, 20/1s recipients
 *
 * A cost may go when all of them let it. A lane's own limits, those of an
 * account (fairshare.h adds whose turn it is) and those of a recipient domain
 * are such sets; what the units are is the caller's affair.
 *
 * A plain value of fixed size without pointers, all of 64-bit integers: it may
 * live in a shared file (the caller locks). Zeroed: no limits. Times are
 * monotonic microseconds. Functions take n limits in a row, so that a set may
 * be smaller than struct limitset.
 */
#ifndef LIMITSET_H
#define LIMITSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits/limiter.h"
#include "common/limits/rate.h"

enum { LIMITSET_MAX = 12, LIMITSET_UNITS = 3, LIMITSET_USERS_MAX = 62 };

struct limitset_cost {
	uint64_t units[LIMITSET_UNITS];
};

struct limitset_rate {
	int unit; /* index of limitset_cost.units */
	struct rate rate;
};

struct limitset_limit {
	int64_t unit;
	int64_t users; /* bit per user that asks for it; 0: not in force */
	struct limiter limiter; /* LIMITER_NONE: row not in use */
};

struct limitset {
	struct limitset_limit limits[LIMITSET_MAX];
};

/* What the user of this bit asks for from now on; of the other users only
 * those in keep still ask. A limit that nobody asks for keeps its count, and is
 * used again if it comes back; one that changes keeps what is known to be used
 * where that can be said (limiter_set_rate). false: there is no room for
 * all. */
bool limitset_configure(struct limitset_limit *limits, size_t n, int64_t bit,
    int64_t keep, const struct limitset_rate *rates, size_t count,
    int64_t now_us);

/* The limit in this unit and period, a rate or a quota as this one is, whatever
 * its value: one that the user of this bit (0: nobody) asks for, else one in
 * force, else one that was. NULL: none. */
struct limitset_limit *limitset_find(struct limitset_limit *limits, size_t n,
    const struct limitset_rate *like, int64_t bit);

/* Resets what no function here could have left behind, such as damage in a
 * file (users: bits that may be set), and moves times after now. True: there
 * was such. */
bool limitset_repair(
    struct limitset_limit *limits, size_t n, int64_t users, int64_t now_us);

/* The clock was restarted (a reboot): moves all times by delta_us. */
void limitset_shift(struct limitset_limit *limits, size_t n, int64_t delta_us);

/* Is any limit in force? */
bool limitset_is_limited(const struct limitset_limit *limits, size_t n);

/* Nothing is known that a new one would not know. */
bool limitset_is_full(
    const struct limitset_limit *limits, size_t n, int64_t now_us);

/* Microseconds until cost may go; 0: now; RATE_NEVER. leave_some: without the
 * quarter of a bucket that is kept for others. *limit_out (may be NULL) is then
 * the limit that holds it back for longest. */
int64_t limitset_wait_us(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, bool leave_some, int64_t now_us,
    const struct limitset_limit **limit_out);

/* What comes within 10 ms after the time it was told (due_us; 0: it was not)
 * counts as of that time, if it could go then: timers are late by a moment,
 * every time, and a bucket of one would lose that much with every message. */
int64_t limitset_time_of_take(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, bool leave_some, int64_t due_us,
    int64_t now_us);

/* Takes it, also of limits that are not in force. False: one that is had not
 * so much; ask first how long to wait. */
bool limitset_take(struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t at_us)
    __attribute__((warn_unused_result));

/* Undoes a take of taken_us: nothing was sent. */
void limitset_give_back(struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t taken_us);

/* Takes what went without asking, from since_us until now: the limits may be in
 * debt then. */
void limitset_charge(struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t since_us, int64_t now_us);

/* Nanoseconds that the rates need for a cost, at most an hour; 0: only quotas
 * are in force. *limit_out (may be NULL): the one that needs longest. */
int64_t limitset_cost_ns(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, const struct limitset_limit **limit_out);

/* ... that the bucket which is full soonest needs from empty to full, at most
 * max. */
int64_t limitset_fill_ns(
    const struct limitset_limit *limits, size_t n, int64_t max);

/* How many of that cost may go now, counting at most up to max. */
size_t limitset_ready(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, size_t max, int64_t now_us);

/* How many of that cost the rates allow in a span of time, apart from bursts
 * and quotas; at most max. */
int64_t limitset_expected(const struct limitset_limit *limits, size_t n,
    const struct limitset_cost *cost, int64_t span_us, int64_t max);

/* Units that can go within the next second, apart from a burst: of a quota
 * what is left; the least over all limits in that unit. INT64_MAX: no limit. */
int64_t limitset_per_s(
    const struct limitset_limit *limits, size_t n, int unit, int64_t now_us);

#endif
