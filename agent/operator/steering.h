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

#include "agent/engine/lane_holds.h"
#include "agent/engine/lane_steer.h"
#include "agent/io/loop.h"
#include "agent/state/statefile.h"
#include "common/shared/steer.h"

struct steering;

/* How many sessions the process has room for when so many are asked for (0: as
 * set): what it set aside at the start was for others. *again_ms (else left
 * alone): more then, perhaps. NULL in the place of it: for any number. */
typedef int steering_room_fn(void *ctx, int sessions, int64_t *again_ms);

/* dir (may be NULL: nothing is ever asked for) and the rest are borrowed. The
 * lane's orders are in force when it returns. */
struct steering *steering_new(struct loop *loop, struct lane *lane,
    const struct statefile_dir *dir, const char *lane_name,
    steering_room_fn *room, void *ctx);
void steering_free(struct steering **s);

/* Looks at the file again; *serial_out is the one in force, 0: none. False: the
 * file cannot be read or understood, which the log says. */
bool steering_look(struct steering *s, uint64_t *serial_out);

/* What is in force otherwise than it was asked for, one sentence; "": nothing.
 */
const char *steering_remark(const struct steering *s);

/* The orders of one lane as the engine takes them; boot: this one, as
 * statefile_boot() says. / Those for domains: how many, at most
 * STEER_ORDERS_MAX. */
void steering_orders(const struct steer *file, const char *lane_name,
    struct moment now, uint64_t boot, struct lane_steering *out);
size_t steering_holds(const struct steer *file, const char *lane_name,
    struct moment now, uint64_t boot, struct lane_hold *out);

#endif
