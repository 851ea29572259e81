#include <stdio.h>
#include <string.h>

#include "agent/settings/foreign.h"
#include "agent/settings/params.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

/* As findings_fix() has room for. */
enum { LIST_MAX = 3500 };

/* What was said by a finding of its own, by name. */
struct told {
	const char **names;
	size_t count;
};

static void
note_told(struct told *told, const char *name)
{
	told->names = mem_realloc(
	    told->names, (told->count + 1) * sizeof(told->names[0]));
	told->names[told->count++] = name;
}

static bool
is_told(const struct told *told, const char *text)
{
	for (size_t i = 0; i < told->count; i++)
		if (strstr(text, told->names[i]) != NULL)
			return true;
	return false;
}

static const struct param *
param_of(const char *name)
{
	const struct param *param = params_find(name);

	return param != NULL ? param : params_find_old(name);
}

/* NULL: the value is allowed; else what is, for the caller to free. A value
 * that refers to others is postconf's matter. */
static char *
wrong_with(const struct param *param, const char *value)
{
	struct problems problems = {0};
	struct settings set;
	char *why = NULL;

	if (strchr(value, '$') != NULL)
		return NULL;
	memset(&set, 0, sizeof(set));
	params_init(&set);
	if (!params_set(&set, param, value, &problems))
		why = mem_strdup(
		    problems.count > 0 ? problems.text[0] : param->about);
	problems_fini(&problems);
	settings_free(&set);
	return why;
}

/* ---- -o of an entry ------------------------------------------------------ */

static void
fix_by_removal(
    struct checkup *c, const struct site_lane *lane, const char *name)
{
	char *place = mem_printf("%s/unix/%s", lane->opt.service_name, name);
	char *quoted = findings_quoted(place);

	findings_fix(&c->findings, "postconf %s-PX %s", c->conf, quoted);
	mem_free(quoted);
	mem_free(place);
}

static void
find_misplaced(struct checkup *c, const struct site_lane *lane,
    const struct option_override *o)
{
	char *place = mem_printf("%s/unix/%s", lane->opt.service_name, o->name);
	char *setting = mem_printf("%s = %s", o->name, o->value);
	char *first = findings_quoted(place),
	     *second = findings_quoted(setting);

	findings_add(&c->findings, "MISPLACED-OPTION", FINDING_ERROR,
	    lane->opt.service_name,
	    "-o %s=%s: the queue manager reads it, from main.cf alone: it is "
	    "without effect here",
	    o->name, o->value);
	findings_fix(&c->findings, "postconf %s-PX %s && postconf %s-e %s",
	    c->conf, first, c->conf, second);
	mem_free(first);
	mem_free(second);
	mem_free(place);
	mem_free(setting);
}

static void
check_override(struct checkup *c, const struct site_lane *lane,
    const struct option_override *o, struct told *told)
{
	const struct param *param = param_of(o->name);
	char *why;

	if (param != NULL) {
		why = wrong_with(param, o->value);
		if (why == NULL)
			return;
		findings_add(&c->findings, "BAD-VALUE", FINDING_ERROR,
		    lane->opt.service_name, "%s", why);
		fix_by_removal(c, lane, o->name);
		mem_free(why);
	} else if (foreign_is_of_queue_manager(o->name)) {
		find_misplaced(c, lane, o);
	} else if (strncmp(o->name, "lane_", 5) == 0) {
		findings_add(&c->findings, "UNKNOWN-NAME", FINDING_ERROR,
		    lane->opt.service_name,
		    "-o %s=%s: there is no such "
		    "parameter (see lane(5))",
		    o->name, o->value);
		fix_by_removal(c, lane, o->name);
	} else {
		return;
	}
	note_told(told, o->name);
}

/* ---- main.cf ------------------------------------------------------------- */

static void
check_main_cf(struct checkup *c, struct told *told)
{
	for (size_t i = 0; i < c->cf.count; i++) {
		const struct main_cf_setting *s = &c->cf.v[i];
		const struct param *param = param_of(s->name);
		char *why = NULL;

		if (strncmp(s->name, "lane_", 5) != 0)
			continue;
		if (param == NULL)
			findings_add(&c->findings, "UNKNOWN-NAME",
			    FINDING_ERROR, NULL,
			    "main.cf: %s = %s: there is no such parameter "
			    "(see lane(5))",
			    s->name, s->value);
		else if ((why = wrong_with(param, s->value)) != NULL)
			findings_add(&c->findings, "BAD-VALUE", FINDING_ERROR,
			    NULL, "main.cf: %s", why);
		else
			continue;
		findings_fix(
		    &c->findings, "postconf %s-X %s", c->conf, s->name);
		note_told(told, s->name);
		mem_free(why);
	}
}

/* ---- smtp(8)'s that lane does not obey ----------------------------------- */

/* The first value that asks for nothing; false: only postconf -d knows. */
static bool
harmless_value(const struct foreign *foreign, char *out, size_t n)
{
	const char *list = foreign->harmless;

	if (list == NULL || list[0] == '!')
		return false;
	(void)snprintf(out, n, "%.*s", (int)strcspn(list, "|"), list);
	if (strcmp(out, "-") == 0)
		out[0] = '\0';
	return true;
}

static void
check_foreign(struct checkup *c, const struct site_lane *lane,
    const struct foreign *foreign, const char *value, struct told *told)
{
	const char *name = foreign->name, *service = lane->opt.service_name;
	struct problems problems = {0};
	char harmless[256];

	foreign_judge(foreign, value, true, &problems);
	if (problems.count > 0) {
		findings_add(&c->findings, "NOT-SUPPORTED", FINDING_ERROR,
		    service, "%s", problems.text[0]);
		note_told(told, name);
	} else if (problems.warning_count > 0) {
		findings_add(&c->findings, "NOT-OBEYED", FINDING_NOTE, service,
		    "%s", problems.warning[0]);
	}
	if (problems.count + problems.warning_count == 0)
		return;
	if (options_override(&lane->opt, name) != NULL)
		fix_by_removal(c, lane, name);
	else if (harmless_value(foreign, harmless, sizeof(harmless)))
		checkup_fix_lane(c, lane, name, harmless);
	else
		findings_fix(&c->findings,
		    "postconf %s-P \"%s/unix/%s=$(postconf -dh %s)\"", c->conf,
		    service, name, name);
	problems_fini(&problems);
}

/* ---- what other transports read, too -------------------------------------
 */

static bool
has_smtp(const struct checkup *c)
{
	for (size_t i = 0; i < c->site->entry_count; i++)
		if (strcmp(mastercf_program(&c->site->entries[i]), "smtp") == 0)
			return true;
	return false;
}

/* Written in main.cf, and in force in the lane; not what may hold a secret. */
static const char *
shared_value(
    const struct checkup *c, const struct site_lane *lane, size_t param)
{
	const char *name = params_get(param)->name, *value;

	if (lane->origins.params[param] != CONFIG_MAIN_CF ||
	    strncmp(name, "smtp_", 5) != 0)
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
	struct buf names, fix;

	buf_init(&names, LIST_MAX);
	buf_init(&fix, LIST_MAX);
	for (size_t i = 0; i < params_count(); i++) {
		const char *value = shared_value(c, lane, i);
		const char *name = params_get(i)->name;
		char *setting, *quoted;

		if (value == NULL)
			continue;
		setting = mem_printf(
		    "%s/unix/%s=%s", lane->opt.service_name, name, value);
		quoted = findings_quoted(setting);
		(void)buf_addf(
		    &names, "%s%s", buf_len(&names) > 0 ? ", " : "", name);
		(void)buf_addf(&fix, " %s", quoted);
		mem_free(quoted);
		mem_free(setting);
	}
	if (buf_len(&names) > 0 && buf_ok(&names) && buf_ok(&fix)) {
		findings_add(&c->findings, "SHARED", FINDING_NOTE,
		    lane->opt.service_name,
		    "it has from main.cf what transports of smtp(8) read "
		    "there, too, and a change would touch: %s",
		    buf_str(&names));
		findings_fix(
		    &c->findings, "postconf %s-P%s", c->conf, buf_str(&fix));
	}
	buf_fini(&names);
	buf_fini(&fix);
}

/* ---- all of a lane ------------------------------------------------------- */

static void
check_lane(struct checkup *c, const struct site_lane *lane)
{
	struct told told = {.names = NULL};

	for (size_t i = 0; i < lane->opt.override_count; i++)
		check_override(c, lane, &lane->opt.overrides[i], &told);
	for (size_t i = 0; i < foreign_count(); i++)
		if (lane->origins.foreign[i] != NULL)
			check_foreign(c, lane, foreign_get(i),
			    lane->origins.foreign[i], &told);
	for (size_t i = 0; i < c->cf.count; i++)
		if (strncmp(c->cf.v[i].name, "lane_", 5) == 0)
			note_told(&told, c->cf.v[i].name);
	for (size_t i = 0; i < lane->problems.count; i++)
		if (!is_told(&told, lane->problems.text[i]))
			findings_add(&c->findings, "SETTING", FINDING_ERROR,
			    lane->opt.service_name,
			    "%s: the lane defers its mail",
			    lane->problems.text[i]);
	mem_free(told.names);
	if (has_smtp(c))
		check_shared(c, lane);
}

void
checkup_settings(struct checkup *c)
{
	struct told told = {.names = NULL};

	check_main_cf(c, &told);
	mem_free(told.names);
	for (size_t i = 0; i < c->site->lane_count; i++)
		check_lane(c, &c->site->lanes[i]);
}
