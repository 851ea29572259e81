#include "monitor/pending.h"

#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"

enum { TOLD_MAX = 5 };

void
pending_open(struct pending *p, const struct model_lane *lane)
{
	memset(p, 0, sizeof(*p));
	if (lane->process != MODEL_RUNNING || lane->site == NULL ||
	    lane->site->problems.count > 0 ||
	    !fingerprint_is_known(lane->settings))
		return;
	p->is_known = true;
	fingerprint_take(p->now, &lane->site->set);
	memcpy(p->then, lane->settings, sizeof(p->then));
}

const char *
pending_name(const struct pending *p, size_t i)
{
	return p->is_known && fingerprint_differs(p->now, p->then, i)
		   ? params_get(i)->name
		   : NULL;
}

size_t
pending_settings(const struct model_lane *lane, char *text, size_t n)
{
	struct pending p;
	size_t count = 0, len = 0;

	text[0] = '\0';
	pending_open(&p, lane);
	for (size_t i = 0; i < params_count(); i++) {
		const char *name = pending_name(&p, i);

		if (name != NULL && count++ < TOLD_MAX && len < n)
			len += (size_t)snprintf(text + len, n - len, "%s%s",
			    len > 0 ? ", " : "", name);
	}
	if (count > TOLD_MAX && len < n)
		(void)snprintf(
		    text + len, n - len, " and %zu more", count - TOLD_MAX);
	return count;
}
