/* recallfile: messages that a lane deferred and calls back
 * (agent/state/recall_store.h). Read without a lock; a file that is not there
 * or not to be read holds none.
 */
#ifndef RECALLFILE_H
#define RECALLFILE_H

#include <stddef.h>

#include "agent/state/recall_store.h"

/* Each that is noted. / How many are. */
void recallfile_each(
    const char *directory, const char *lane_name, recall_fn *each, void *ctx);
size_t recallfile_count(const char *directory, const char *lane_name);

#endif
