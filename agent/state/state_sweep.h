/* state_sweep: removes what accounts and lanes left behind that are no more.
 *
 * slots.*, rates.*, connects.*, pace.*, domains.*, alarms.* and tokens.* of
 * lane_state_directory have the hash of a name in theirs, and nobody knows the
 * name once it is out of the configuration. One goes when it was not changed
 * for eight days (domains.*: 401), no process has it open and nothing in it
 * still counts, such as what was used of a quota of thirty days. Safe against a
 * lane that opens it in this moment (statefile_remove_if()).
 */
#ifndef STATE_SWEEP_H
#define STATE_SWEEP_H

#include <stdint.h>

#include "agent/state/statefile.h"

enum { STATE_SWEEP_AGE_S = 8 * 86400 };

/* Once, at start. The number of files removed. */
int state_sweep_state(const struct statefile_dir *dir, int64_t now_us);

#endif
