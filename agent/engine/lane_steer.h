/* lane_steer: what an operator asked of a lane while it runs.
 *
 *   pause        nothing is given to a session; what is on the wire ends
 *   drain        the same for what came after it was asked for: what is inside
 *                is sent
 *   rate         in the place of lane_message_rate_limit; its quotas hold on
 *                where the order names none
 *   connections  in the place of lane_connection_limit: sessions beyond end
 *                when what they carry is answered
 *
 * Mail waits here for lane_wait_limit and no longer; when the pause is known to
 * last longer it is deferred at once, so that the active queue is free for
 * others, and called back when the pause is over. Where orders come from and
 * are kept is the caller's.
 */
#ifndef LANE_STEER_H
#define LANE_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/lane.h"

enum { LANE_STEER_TEXT = 160 };

struct lane_steering {
	int64_t paused_until_us; /* 0: it is not; INT64_MAX: until resume */
	bool is_drain;
	int64_t asked_s; /* when, as its order says: another is another drain */
	char why[LANE_STEER_TEXT]; /* of the pause, as the log has it */
	char rate[LANE_STEER_TEXT]; /* "": as set; checked by the caller */
	int connection_limit; /* 0: as set */
};

/* All that is in force from now on, in the place of what was before; zeroed:
 * nothing but the settings. */
void lane_steer(
    struct lane *lane, const struct lane_steering *order, struct moment now);

/* Dials at once where it waits after failed ones, or was told to, and calls
 * back what was deferred for want of a host. False: the lane is paused, and the
 * end of the pause will call it back. */
bool lane_retry(struct lane *lane, struct moment now);

/* lane_connection_limit, or what was asked for in its place. */
int lane_connection_limit(const struct lane *lane);

/* The end of the pause that holds everything back; 0: there is none. */
int64_t lane_steer_paused_until_us(const struct lane *lane, int64_t now_us);

#endif
