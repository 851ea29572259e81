#include "common/base/clock.h"
#include "monitor/checkup.h"
#include "monitor/model.h"
#include "monitor/pending.h"

enum { NAMES_MAX = 512 };

void
checkup_reload(struct checkup *c)
{
	struct model *m = model_read(c->site, clock_moment());
	bool has_errors = findings_status(&c->findings) == FINDING_ERROR;
	char names[NAMES_MAX];

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];

		if (pending_settings(lane, names, sizeof(names)) == 0)
			continue;
		findings_add(&c->findings, "RELOAD", FINDING_NOTE,
		    lane->site->opt.service_name,
		    "changed since its process started, and not in force yet: "
		    "%s",
		    names);
		if (has_errors)
			findings_advise(&c->findings,
			    "repair what is wrong above, then reload");
		else
			findings_fix(&c->findings, "postfix %sreload", c->conf);
	}
	model_free(&m);
}
