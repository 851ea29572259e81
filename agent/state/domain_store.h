/* domain_store: what was used of the limits by recipient domain, in a file.
 *
 * lane_state_directory/domains.HASH, one for each lane with such limits: a
 * reload, a stop or a crash lets no new burst through, and quotas survive a
 * reboot (persist.h). Written at every message for a limited domain; where
 * the file cannot be used, a warning is all.
 */
#ifndef DOMAIN_STORE_H
#define DOMAIN_STORE_H

#include "agent/engine/domains.h"
#include "agent/state/statefile.h"

struct domain_store;

/* Makes domains (borrowed) go on from the file; NULL when none has a limit.
 * dir may be NULL. */
struct domain_store *domain_store_open(struct domains *domains,
    const struct statefile_dir *dir, const char *lane_name);

/* Another process goes on from here: nothing is written any more. */
void domain_store_drain(struct domain_store *store);

void domain_store_close(struct domain_store **store);

#endif
