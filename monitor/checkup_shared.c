#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

enum { LIST_MAX = 3500 };

static bool
has_smtp(const struct checkup *c)
{
	for (size_t i = 0; i < c->site->entry_count; i++)
		if (strcmp(mastercf_program(&c->site->entries[i]), "smtp") == 0)
			return true;
	return false;
}

/* Written in main.cf, and in force in the lane; not what may hold a secret, nor
 * what is to have another value there. */
static const char *
shared_value(
    const struct checkup *c, const struct site_lane *lane, size_t param)
{
	const char *name = params_get(param)->name, *value;

	if (lane->origins.params[param] != CONFIG_MAIN_CF ||
	    strncmp(name, "smtp_", 5) != 0 ||
	    checkup_is_set_by_fix(c, lane, name))
		return NULL;
	value = main_cf_find(&c->cf, name);
	return value != NULL && strstr(value, "inline:") == NULL &&
		       strstr(value, "static:") == NULL
		   ? value
		   : NULL;
}

/* False: no lane has it from main.cf. */
static bool
add_edits(const struct checkup *c, size_t param, struct edits *edits)
{
	bool is_shared = false;

	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *lane = &c->site->lanes[i];
		const char *value = shared_value(c, lane, param);

		if (value != NULL &&
		    edits_set(edits, lane, params_get(param)->name, value))
			is_shared = true;
	}
	return is_shared;
}

/* Once, of all lanes. */
void
checkup_shared(struct checkup *c)
{
	struct edits edits = {.count = 0};
	struct buf names;

	buf_init(&names, LIST_MAX);
	for (size_t i = 0; has_smtp(c) && i < params_count(); i++)
		if (add_edits(c, i, &edits))
			(void)buf_addf(&names, "%s%s",
			    buf_len(&names) > 0 ? ", " : "",
			    params_get(i)->name);
	if (edits.count > 0 && buf_ok(&names)) {
		findings_add(&c->findings, "SHARED", FINDING_NOTE, NULL,
		    "lanes and smtp(8) both obey these lines of main.cf: %s; "
		    "nothing is wrong with that. To change one for lanes "
		    "alone, make it their own first",
		    buf_str(&names));
		checkup_fix(c, &edits);
	}
	edits_fini(&edits);
	buf_fini(&names);
}
