/* ahead: how many messages were ready for the queue manager before one.
 *
 * Of those in active/, or for one in incoming/ those in both: files of other
 * messages that were last written before its own. The queue manager hands them
 * out in about this order (a large mailing does not stand in front of others),
 * of all transports. One look at each file: some 50 ms for 20,000.
 */
#ifndef AHEAD_H
#define AHEAD_H

#include <stddef.h>

#include "monitor/site.h"

/* queue: "active" or "incoming", id: a message there. 0 when it is gone. */
size_t ahead_count(const struct site *site, const char *queue, const char *id);

#endif
