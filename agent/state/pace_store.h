/* pace_store: what a lane found out of its accounts' pace, on the board.
 *
 * Kept in the lane's own entry, so that a reload, a stop or a crash does not
 * make it find the rate again by running into it. A row for each account,
 * found by its name; of more accounts than rows those that learned something
 * last are kept. The age counts too, see controller.h.
 */
#ifndef PACE_STORE_H
#define PACE_STORE_H

#include <stdbool.h>

#include "agent/engine/lane.h"
#include "agent/state/board_writer.h"
#include "common/base/clock.h"

/* False: nothing is known. board may be NULL, here and below. */
bool pace_store_load(struct board_writer *board, uint64_t account,
    struct controller_stored *out);

/* Some times a second; shows rate and pause among the figures as well. */
void pace_store_store(
    struct board_writer *board, const struct lane *lane, struct moment now);

#endif
