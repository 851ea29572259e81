/* outages: what was deferred for want of a host, and its way back.
 *
 *   deferred --add--> [ids of list 1] --over--> flush(8), one after the other
 *            \------> [ids of list 2]
 *
 * Mail that an outage deferred would be tried again when its backoff is over
 * and the next run of the deferred queue begins, five to ten minutes after the
 * smarthost is back. So the ids are kept, for each list of nexthops apart, and
 * when one of its hosts works again all are called for (requeue.h), the oldest
 * first, the faster the more urgent the lane is, and no more at a time than
 * the active queue has room for.
 *
 * So is what a broken connection left in doubt, once for each message.
 *
 * At most REQUEUE_MAX of each list, and OUTAGES_MAX lists. What is forgotten,
 * with a process that ends for one, comes back by itself in its time.
 */
#ifndef OUTAGES_H
#define OUTAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"

enum { OUTAGES_MAX = 100, OUTAGES_DOUBTS_MAX = 10000 };

struct outages;

/* set is borrowed; weight: the lane's urgency, as pacer_weight() has it. */
struct outages *outages_new(
    struct loop *loop, const struct settings *set, int weight);
void outages_free(struct outages **outages);

/* The message is being deferred. False: it is not noted. */
bool outages_add(struct outages *outages, uint64_t list, const char *queue_id);

/* ... and may have been taken. False also when it was in doubt before, as far
 * as OUTAGES_DOUBTS_MAX are remembered: one that breaks the connection does so
 * once more at most, and then waits for its backoff. */
bool outages_add_doubtful(
    struct outages *outages, uint64_t list, const char *queue_id);

/* A host of the list can be used again: all of it may be called back. */
void outages_over(struct outages *outages, uint64_t list);

/* What is over calls back so many in all from now on, per_s of them a second
 * or as many as the lane's urgency deserves, if that is more; 0: none. */
void outages_allow(struct outages *outages, size_t room, double per_s);

size_t outages_count(const struct outages *outages); /* noted; */
size_t outages_due(const struct outages *outages); /* and to be called now */

#endif
