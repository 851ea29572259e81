/* learned: what a lane found out of its smarthost's pace, on the board.
 *
 * Kept in the lane's own entry, so that a reload, a stop or a crash does not
 * make it find the rate again by running into it. It belongs to a smarthost:
 * with another lane_smarthost, relayhost or account nothing is known. The age
 * counts too, see adapt.h.
 */
#ifndef LEARNED_H
#define LEARNED_H

#include "agent/boardwriter.h"
#include "agent/lane.h"
#include "agent/settings.h"
#include "common/clock.h"

/* Before the first message. */
void learned_load(struct board_writer *board, const struct settings *set,
    struct lane *lane, struct moment now);

/* Some times a second; shows rate and pause among the figures as well. board
 * may be NULL. */
void learned_save(struct board_writer *board, const struct settings *set,
    const struct lane *lane, struct moment now);

#endif
