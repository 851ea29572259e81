/* domainbook: what was used of the limits by recipient domain, in a file.
 *
 * lane_state_directory/domains.HASH, one for each lane with such limits: a
 * reload, a stop or a crash lets no new burst through, and quotas survive a
 * reboot (keepfile.h). Written at every message for a limited domain; where
 * the file cannot be used, a warning is all.
 */
#ifndef DOMAIN_STORE_H
#define DOMAIN_STORE_H

#include "agent/engine/domains.h"
#include "agent/state/statefile.h"

struct domainbook;

/* Makes domains (borrowed) go on from the file; NULL when none has a limit.
 * dir may be NULL. */
struct domainbook *domainbook_new(struct domains *domains,
    const struct statefile_dir *dir, const char *lane_name);

/* Another process goes on from here: nothing is written any more. */
void domainbook_drain(struct domainbook *book);

void domainbook_free(struct domainbook **book);

#endif
