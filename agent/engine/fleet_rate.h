/* fleet_rate: a share of a rate or quota, as a limit of this host's own.
 *
 *   100/1s:20 of all    limit 100000 - size     share 40000 --> 40.001/1s:8
 *
 * A rate's share is in thousandths of a unit per period, a quota's in units. A
 * host whose share is 0 has a thousandth, which is why that much is left out of
 * the limit. A rate's burst is split as the rate is, but a host has at least
 * one; so in any span all hosts together send no more than the rate gives in
 * it, its burst, and one unit for each of them.
 */
#ifndef FLEET_RATE_H
#define FLEET_RATE_H

#include <stdint.h>

#include "common/limits/limiter.h"
#include "common/limits/rate.h"

/* fleet_terms.limit; below size: it cannot be shared by so many. */
int64_t fleet_rate_limit(const struct rate *whole, int64_t size);

/* A quota of which the share is 0 has a count of 0: nothing goes. */
void fleet_rate_part(const struct rate *whole, int64_t share, struct rate *out);

/* Goes over to another part. What is used stays used, and what a burst grows by
 * has to be earned: somebody else may just have spent it. A limiter of another
 * kind, or none, begins empty. */
void fleet_rate_apply(
    struct limiter *l, const struct rate *part, int64_t now_us);

#endif
