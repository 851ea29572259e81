/* lane_limits: the pace that a lane is held to, as one number. */
#ifndef LANE_LIMITS_H
#define LANE_LIMITS_H

#include "monitor/model.h"

/* The least that its own limits of messages and its account's allow on
 * average, in messages a second; 0: none is set. A quota is none: it may be
 * used up at any pace. */
double lane_limit_per_s(const struct model *m, const struct model_lane *lane);

#endif
