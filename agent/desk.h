/* desk: where operators ask a lane, and what they asked for is obeyed.
 *
 * The questions of common/shared/askproto.h, answered in the turn of the loop
 * in which they come, and the orders that are kept (agent/operator/steering.h).
 * A process that hands over closes it: from then on the next one is asked.
 */
#ifndef DESK_H
#define DESK_H

#include "agent/agent.h"
#include "agent/engine/lane.h"
#include "agent/operator/dialogue.h"
#include "agent/postfix/intake.h"

struct desk;

/* lane NULL: the configuration cannot be used, and every question is answered
 * with env->problem. All borrowed; intake lets in no more than there are
 * descriptors for beside the sessions that are asked for. Never NULL. */
struct desk *desk_open(struct loop *loop, struct lane *lane,
    struct intake *intake, struct dialogue *dialogue,
    const struct agent_env *env);
void desk_close(struct desk **desk);

#endif
