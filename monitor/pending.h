/* pending: settings that a running lane has not read yet.
 *
 * What main.cf, master.cf and the provider's limits say now, against what the
 * process had when it started.
 */
#ifndef PENDING_H
#define PENDING_H

#include <stddef.h>

#include "monitor/model.h"

/* Their names, "a, b and 3 more"; how many. 0: none, or it is not known. */
size_t pending_settings(const struct model_lane *lane, char *text, size_t n);

#endif
