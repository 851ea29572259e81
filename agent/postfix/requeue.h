/* requeue: calls mail back that this lane gave to the deferred queue.
 *
 *   add --> [oldest ... newest] --pace--> flush(8): send_file ID --> incoming/
 *
 * Mail that was deferred only because the active queue was crowded
 * (activequeue.h) would come back when its backoff is over and the next run of
 * the deferred queue begins, five to ten minutes later by Postfix's defaults;
 * by then the lane has long run dry. So its ids are kept in their order, and
 * when there is room the oldest are asked for, as `postqueue -i ID` does, from
 * the service that Postfix has for it. The queue manager's files are not
 * touched.
 *
 * One question at a time, evenly paced, so that new mail in incoming/ does not
 * stand behind a heap of old. An id that has left the deferred queue meanwhile
 * is passed over; a young one may not be there yet: it is looked for each
 * REQUEUE_LOOK_MS, and asked for as soon as it is. At most REQUEUE_MAX are
 * remembered, the oldest of more are forgotten: such mail comes back by itself
 * in its time.
 *
 * Works in the queue directory. Without an answer it rests REQUEUE_REST_MS.
 */
#ifndef REQUEUE_H
#define REQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/recall_store.h"

enum {
	REQUEUE_MAX = RECALL_MAX,
	REQUEUE_YOUNG_MS = 2000,
	REQUEUE_LOOK_MS = 50,
	REQUEUE_REST_MS = 60000,
	REQUEUE_PER_S_MIN = 20,
	REQUEUE_ID_SIZE = RECALL_ID_SIZE,
};

struct requeue;

/* set is borrowed. */
struct requeue *requeue_new(struct loop *loop, const struct settings *set);
void requeue_free(struct requeue **recall);

/* The message is being deferred. */
void requeue_add(struct requeue *recall, const char *queue_id);

/* Calls back so many in all from now on, per_s of them a second (not less
 * than REQUEUE_PER_S_MIN); 0: no more. */
void requeue_allow(struct requeue *recall, size_t count, double per_s);

/* Asks for the oldest that is in the deferred queue, allowed or not: whatever
 * process serves the lane then has mail. False: there is none. */
bool requeue_wake(struct requeue *recall);

/* The one that was called back last has not been delivered or deferred yet. */
bool requeue_is_under_way(const struct requeue *requeue);

bool requeue_is_busy(const struct requeue *requeue); /* a question is asked */
size_t requeue_count(const struct requeue *recall); /* still to be called */
uint64_t requeue_called(const struct requeue *recall); /* so far */

#endif
