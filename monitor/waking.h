/* waking: a process for a lane that has none, though messages are noted that it
 * calls back.
 *
 * master(8) starts one for mail alone. So flush(8) is asked, by postqueue(1),
 * for the first of each list (agent/state/recall_store.h) that is in the
 * deferred queue; the lane's process, once there, calls back the others when
 * what they wait for is over.
 */
#ifndef WAKING_H
#define WAKING_H

#include <stddef.h>

#include "monitor/site.h"

/* How many were asked for; set: of the lane. As root or mail_owner. why: "", or
 * why it gave up: the first question that was not answered, or no time left,
 * is the last, since each of the others would wait as long. */
size_t waking_run(const char *directory, const char *lane_name,
    const struct settings *set, char *why, size_t n);

#endif
