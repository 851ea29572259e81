/* events: tells what changed of lanes and accounts since the last look.
 *
 * The first look at each is where it begins, and no event, but for health that
 * was told otherwise by the process before.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "monitor/health.h"
#include "monitor/lanestat/history.h"
#include "monitor/model.h"

struct events;

struct events *events_new(struct history *history); /* borrowed */
void events_free(struct events **events);

void events_look_lane(struct events *e, const struct model *m,
    const struct model_lane *lane, const struct health *health);
void events_look_account(struct events *e, const struct model *m, size_t i);

#endif
