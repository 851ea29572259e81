/* lane_why: what mail in a lane waits for, in words for the operator.
 *
 * Only looks. The words are those that the log has when mail is deferred for
 * it: a parameter and its value where one is the reason.
 */
#ifndef LANE_WHY_H
#define LANE_WHY_H

#include <stddef.h>

#include "agent/engine/lane.h"
#include "common/shared/board.h"

enum { LANE_WHY_SIZE = 256 };

/* What most of the mail waits for; text (of n octets) says more. */
enum board_wait lane_waits_for(
    const struct lane *lane, struct moment now, char *text, size_t n);

#endif
