/* discreet: the value of a parameter as it may be shown to anybody.
 *
 * What lane -P prints is sent to others who are asked for help. A table that
 * stands in the value itself (inline:{...}, static:...) may hold secrets, the
 * path and the user of lane_alert_url often are one, and so may be the
 * arguments of lane_alert_command: "..." stands for them.
 */
#ifndef DISCREET_H
#define DISCREET_H

#include "agent/engine/settings.h"
#include "agent/settings/params.h"

/* The caller frees. */
char *discreet_value(const struct settings *set, const struct param *param);

#endif
