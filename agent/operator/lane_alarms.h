/* lane_alarms: what a lane finds wrong at its smarthosts, as alarms (alarm.h).
 *
 * An alarm is about a place: a login and a list of nexthops have names of their
 * own, all else is the route's nexthops.
 */
#ifndef LANE_ALARMS_H
#define LANE_ALARMS_H

#include "agent/engine/lane_ops.h"
#include "agent/operator/alarm.h"

/* A lane that is about to be made raises and clears these; borrowed. */
void lane_alarms_serve(struct alarm *alarm, struct lane_ops *ops);

#endif
