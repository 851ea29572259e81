#include "monitor/pending.h"

#include <stdio.h>
#include <string.h>

#include "agent/settings/fingerprint.h"
#include "agent/settings/params.h"

enum { TOLD_MAX = 5 };

size_t
pending_settings(const struct model_lane *lane, char *text, size_t n)
{
	uint64_t now[FINGERPRINT_WORDS];
	size_t count = 0, len = 0;

	text[0] = '\0';
	if (lane->process != MODEL_RUNNING || lane->site == NULL ||
	    lane->site->problems.count > 0 ||
	    !fingerprint_is_known(lane->settings))
		return 0;
	fingerprint_take(now, &lane->site->set);
	for (size_t i = 0; i < params_count(); i++) {
		if (!fingerprint_differs(now, lane->settings, i))
			continue;
		if (count++ < TOLD_MAX && len < n)
			len += (size_t)snprintf(text + len, n - len, "%s%s",
			    len > 0 ? ", " : "", params_get(i)->name);
	}
	if (count > TOLD_MAX && len < n)
		(void)snprintf(
		    text + len, n - len, " and %zu more", count - TOLD_MAX);
	return count;
}
