/* crowd: is the queue manager's active queue crowded with mail for this lane?
 *
 *   0      CROWD_BACK      CROWD_OFF      CROWD_ON                   limit
 *   |---------|---------------|---------------|------------------------|
 *    mail given back          relief ends     relief begins
 *    is called back
 *
 * All transports share qmgr_message_active_limit. Mail that waits for this
 * lane's turn stays in active/, and when active/ is full nothing else gets in:
 * a bulk lane's backlog would hold up urgent mail that no lane has seen yet.
 * So above CROWD_ON a lane that needs long for what is there gives its surplus
 * back to the deferred queue, message by message, until CROWD_OFF is reached.
 * What is left is still more than it can send soon; when it has sent that, what
 * was given back is called for again (recall.h).
 *
 * How long is long is a matter of lane_priority: a lane of weight 1 gives way
 * when the excess over CROWD_OFF would take it CROWD_PATIENCE_S, an urgent one
 * after sixteen times that. A lane that goes through its mail faster is left
 * alone however much it has.
 *
 * Counts directory entries, once in CROWD_LOOK_MS, more often while it relieves
 * so as to stop in time, and works in the queue
 * directory. Time is an argument.
 */
#ifndef ACTIVEQUEUE_H
#define ACTIVEQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"

enum {
	CROWD_LOOK_MS = 2000,
	CROWD_LOOK_ON_MS = 400, /* some thousand are given back a second */
	CROWD_ON_PERCENT = 60,
	CROWD_OFF_PERCENT = 45,
	CROWD_BACK_PERCENT = 35,
	CROWD_PATIENCE_S = 5,
};

struct crowd {
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

void crowd_init(struct crowd *c, const struct settings *set, int64_t now_ms);

/* When crowd_look() is due, as long as the lane has mail. */
int64_t crowd_due_ms(const struct crowd *c);

/* Looks, if it is time; c->is_on says whether surplus is better given back.
 * sent: messages sent by this lane so far; has_surplus: it has more than it
 * can send soon, and so its speed is known by what it sends. */
void crowd_look(
    struct crowd *c, uint64_t sent, bool has_surplus, int64_t now_ms);

/* One more message may be given back; and one was. Between two looks no more
 * than was above CROWD_OFF, so that a small queue is not emptied. */
bool crowd_gives_back(const struct crowd *c);
void crowd_on_given(struct crowd *c);

/* How many messages may be called back before the next look. */
size_t crowd_room(const struct crowd *c);

#endif
