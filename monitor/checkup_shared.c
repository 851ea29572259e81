#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

/* As findings_fix() has room for. */
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

static void
check_shared(struct checkup *c, const struct site_lane *lane)
{
	struct edits edits = {.count = 0};
	struct buf names;

	buf_init(&names, LIST_MAX);
	for (size_t i = 0; i < params_count(); i++) {
		const char *value = shared_value(c, lane, i);
		const char *name = params_get(i)->name;

		if (value == NULL || !edits_set(&edits, lane, name, value))
			continue;
		(void)buf_addf(
		    &names, "%s%s", buf_len(&names) > 0 ? ", " : "", name);
	}
	if (edits.count > 0 && buf_ok(&names)) {
		findings_add(&c->findings, "SHARED", FINDING_NOTE,
		    lane->opt.service_name,
		    "main.cf sets for it what transports of smtp(8) read, "
		    "too, so that a change there would touch them: %s",
		    buf_str(&names));
		checkup_fix(c, &edits);
	}
	edits_fini(&edits);
	buf_fini(&names);
}

void
checkup_shared(struct checkup *c)
{
	for (size_t i = 0; has_smtp(c) && i < c->site->lane_count; i++)
		check_shared(c, &c->site->lanes[i]);
}
