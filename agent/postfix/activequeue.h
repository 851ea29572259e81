/* activequeue: is the active queue of the queue manager crowded with mail for
 * this lane?
 *
 *   0      ACTIVEQUEUE_BACK      ACTIVEQUEUE_OFF      ACTIVEQUEUE_ON limit
 *   |---------|---------------|---------------|------------------------|
 *    mail given back          relief ends     relief begins
 *    is called back
 *
 * All transports share qmgr_message_active_limit. Mail that waits for this
 * lane's turn stays in active/, and when active/ is full nothing else gets in:
 * a bulk lane's backlog would hold up urgent mail that no lane has seen yet.
 * So above ACTIVEQUEUE_ON a lane that needs long for what is there gives its
 * surplus back to the deferred queue, message by message, until ACTIVEQUEUE_OFF
 * is reached. What is left is still more than it can send soon; when it has
 * sent that, what was given back is called for again (requeue.h).
 *
 * How long is long is a matter of lane_priority: a lane of weight 1 gives way
 * when the excess over ACTIVEQUEUE_OFF would take it ACTIVEQUEUE_PATIENCE_S, an
 * urgent one after sixteen times that. A lane that goes through its mail faster
 * is left alone however much it has.
 *
 * Counts directory entries, once in ACTIVEQUEUE_LOOK_MS, more often while it
 * relieves so as to stop in time, and works in the queue directory. Time is an
 * argument.
 */
#ifndef ACTIVEQUEUE_H
#define ACTIVEQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"

enum {
	ACTIVEQUEUE_LOOK_MS = 2000,
	ACTIVEQUEUE_LOOK_ON_MS =
	    400, /* some thousand are given back a second */
	ACTIVEQUEUE_ON_PERCENT = 60,
	ACTIVEQUEUE_OFF_PERCENT = 45,
	ACTIVEQUEUE_BACK_PERCENT = 35,
	ACTIVEQUEUE_PATIENCE_S = 5,
};

struct activequeue {
	const struct settings *set;
	int weight; /* of lane_priority */
	int64_t looked_ms;
	bool is_on;
	int count; /* messages in active/ at the last look */
	int excess; /* may be given back until the next one */
	/* the lane's own speed, from look to look while it has surplus */
	uint64_t sent_before;
	double per_s;
	int looks;
};

void activequeue_init(
    struct activequeue *c, const struct settings *set, int64_t now_ms);

/* When activequeue_look() is due, as long as the lane has mail. */
int64_t activequeue_due_ms(const struct activequeue *c);

/* Looks, if it is time; c->is_on says whether surplus is better given back.
 * sent: messages sent by this lane so far; has_surplus: it has more than it
 * can send soon, and so its speed is known by what it sends. */
void activequeue_look(
    struct activequeue *c, uint64_t sent, bool has_surplus, int64_t now_ms);

/* One more message may be given back; and one was. Between two looks no more
 * than was above ACTIVEQUEUE_OFF, so that a small queue is not emptied. */
bool activequeue_gives_back(const struct activequeue *c);
void activequeue_on_given(struct activequeue *c);

/* How many messages may be called back before the next look. */
size_t activequeue_room(const struct activequeue *c);

#endif
