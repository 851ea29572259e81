/* steering: an operator's orders, from the file that keeps them to the lane.
 *
 *   postlane --rename--> steer --read--> steering --lane_steer()--> lane
 *       '---- socket: "steer" ---ask.h-----^
 *
 * Read at start, when somebody says that it has changed, and when an order
 * ends. A file that cannot be understood is told, and what was in force
 * remains; at the start, when nothing was, the lane is paused until it can.
 */
#ifndef STEERING_H
#define STEERING_H

#include <stdint.h>

#include "agent/engine/lane_steer.h"
#include "agent/io/loop.h"
#include "agent/state/statefile.h"
#include "common/shared/steer.h"

struct steering;

/* dir (may be NULL: nothing is ever asked for) and the rest are borrowed. The
 * lane's orders are in force when it returns. */
struct steering *steering_new(struct loop *loop, struct lane *lane,
    const struct statefile_dir *dir, const char *lane_name);
void steering_free(struct steering **s);

/* Looks at the file again; *serial_out is the one in force, 0: none. False: the
 * file cannot be read or understood, which the log says. */
bool steering_look(struct steering *s, uint64_t *serial_out);

/* The orders of one lane as the engine takes them; now in both clocks. */
void steering_orders(const struct steer *file, const char *lane_name,
    struct moment now, struct lane_steering *out);

#endif
