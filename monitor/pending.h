/* pending: settings that a running lane has not read yet.
 *
 * What main.cf, master.cf and the provider's limits say now, against what the
 * process had when it started.
 */
#ifndef PENDING_H
#define PENDING_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/fingerprint.h"
#include "monitor/model.h"

/* Both sides, as far as they are known. */
struct pending {
	bool is_known;
	uint64_t now[FINGERPRINT_WORDS], then[FINGERPRINT_WORDS];
};

void pending_open(struct pending *p, const struct model_lane *lane);

/* The name of the parameter i (params_get()); NULL: it is in force, or that is
 * not known. */
const char *pending_name(const struct pending *p, size_t i);

/* Their names, "a, b and 3 more"; how many. 0: none, or it is not known. */
size_t pending_settings(const struct model_lane *lane, char *text, size_t n);

#endif
