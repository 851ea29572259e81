/* host_part: the limits of an account, or what this host has of them in a
 * fleet.
 *
 *   as configured  --[fleet_account: our share now]-->  in force here
 *
 * Without a fleet the host has all. A limit that is none of the fleet's (two of
 * one kind in the same period) is split evenly. Shares come and go by
 * themselves: they are asked for by the clock and not by the time of a turn,
 * as are connections, since another host may have what we had.
 */
#ifndef HOST_PART_H
#define HOST_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/pacer.h"
#include "agent/engine/settings.h"
#include "agent/state/fleet_store.h"
#include "common/limits/fairshare.h"
#include "common/limits/limitset.h"

struct host_part {
	const struct settings *set;
	enum pacer_scope scope; /* which of its limits */
	struct fleet_account *fleet; /* NULL: the host has all */
	struct limitset_rate rates[LIMITSET_MAX]; /* as configured */
	size_t count;
};

/* set is borrowed; fleet is the part's own from now on, and may be NULL. */
void host_part_init(struct host_part *part, const struct settings *set,
    enum pacer_scope scope, struct fleet_account *fleet);
void host_part_fini(struct host_part *part);

/* What is in force now: part->count of them. */
void host_part_rates(
    const struct host_part *part, struct limitset_rate out[LIMITSET_MAX]);

/* Brings the limits of the lane of this bit (limitset_find(); 0: of nobody) to
 * what the fleet's shares are now. True: some limit is another one. */
bool host_part_apply(
    const struct host_part *part, struct limitset *set, int64_t bit);
/* Whether that would change nothing. */
bool host_part_is_applied(
    const struct host_part *part, struct limitset *set, int64_t bit);

/* For the fleet: something waits for this limit. / So much was taken. */
void host_part_short(const struct host_part *part,
    const struct limitset_limit *limit, int64_t now_us);
void host_part_taken(const struct host_part *part,
    const struct limitset_cost *cost, int64_t now_us);

/* At most wait_us: a share may be more in a moment. */
int64_t host_part_wait_us(const struct host_part *part, int64_t wait_us);

#endif
