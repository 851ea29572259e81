/* crowd: is the queue manager's active queue crowded with mail for this lane?
 *
 * All transports share qmgr_message_active_limit. Mail that waits here for its
 * turn stays in active/, and when active/ is full nothing else gets in: the
 * slow lane's backlog would hold up urgent mail that no lane has seen yet.
 * So above 60 % full a lane that cannot send what is there within
 * lane_hold_limit gives its surplus back to the deferred queue, message by
 * message, until 35 % is reached; what is left is still more than it can send
 * meanwhile.
 *
 * Counts directory entries, at most every CROWD_LOOK_MS and only while the
 * lane has surplus. Works in the queue directory.
 */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/settings.h"

enum {
	CROWD_LOOK_MS = 2000,
	CROWD_ON_PERCENT = 60,
	CROWD_OFF_PERCENT = 35,
};

struct crowd {
	const struct settings *set;
	int64_t looked_ms;
	bool is_on;
	int count; /* messages in active/ at the last look */
	/* the lane's own speed, from look to look */
	uint64_t sent_before;
	double per_s;
	int looks;
};

void crowd_init(struct crowd *c, const struct settings *set, int64_t now_ms);

/* To be asked while the lane has more than it takes in: true when a request
 * is better deferred than kept waiting. sent: recipients or messages sent by
 * this lane so far. */
bool crowd_is_on(struct crowd *c, uint64_t sent, int64_t now_ms);

#endif
