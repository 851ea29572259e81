/* fleet_demand: how much of a limit a lane could use, as it asks a fleet for.
 *
 *   takes of the last ten seconds --> the most in one of them, twice
 *   something had to wait ----------> all there is, for ten seconds
 *
 * Each lane of a host reckons with what it takes itself; their sum is what the
 * host wants. What it does not want is lent to others and comes back within two
 * seconds, so a little is always wanted: a two-hundredth of the base of a rate,
 * a fiftieth of a quota's. Connections
 * are known as they are, and are no takes: one is wanted until the last use is
 * a minute ago.
 *
 * A plain value without pointers; zeroed: nothing was ever taken. Times are
 * monotonic microseconds.
 */
#ifndef FLEET_DEMAND_H
#define FLEET_DEMAND_H

#include <stdint.h>

#include "common/limits/rate.h"
#include "common/shared/fleet.h"

enum { FLEET_DEMAND_SECONDS = 10 };

struct fleet_demand {
	int64_t units[FLEET_DEMAND_SECONDS]; /* of each second, by its number */
	int64_t second; /* the latest with takes */
	int64_t short_us; /* when something had to wait; 0: never */
	int64_t used_us; /* last use; 0: never */
};

void fleet_demand_take(struct fleet_demand *d, int64_t units, int64_t now_us);

/* Something waits for this limit. */
void fleet_demand_short(struct fleet_demand *d, int64_t now_us);

/* Of a rate, in thousandths of a unit in its period. */
int64_t fleet_demand_rate(const struct fleet_demand *d,
    const struct fleet_terms *terms, const struct rate *rate, int64_t now_us);

/* Of a quota, in units, beyond what is used: for a minute. */
int64_t fleet_demand_quota(const struct fleet_demand *d,
    const struct fleet_terms *terms, int64_t now_us);

/* Of connections: so many are had, dials included, and so many more wanted. */
int64_t fleet_demand_connections(struct fleet_demand *d,
    const struct fleet_terms *terms, int64_t held, int64_t more,
    int64_t now_us);

#endif
