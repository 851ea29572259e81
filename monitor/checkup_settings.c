#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/io/trusted_resolver.h"
#include "agent/settings/foreign.h"
#include "agent/settings/params.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"
#include "monitor/intended.h"

enum { NAMES_MAX = 16384 };

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

/* ... in a lane, where another setting may be missing. */
static char *
wrong_in(
    const struct site_lane *lane, const struct param *param, const char *value)
{
	char *why = wrong_with(param, value);
	const char *missing;

	if (why != NULL ||
	    strcmp(param->name, "smtp_tls_security_level") != 0 ||
	    strncasecmp(value, "dane", 4) != 0)
		return why;
	missing = trusted_resolver_missing(&lane->set);
	return missing == NULL
		   ? NULL
		   : mem_printf("bad parameter: %s = %s: not supported by lane "
				"without %s",
			 param->name, value, missing);
}

/* ---- what is written in a way that is refused ------------------------------
 */

/* False: as edits_set(). */
static bool
set_meant(struct checkup *c, const struct site_lane *lane, const char *name,
    const char *value, struct edits *edits)
{
	if (strcmp(name, "lane_connection_limit") == 0)
		checkup_fit_reserve(c, lane, strtol(value, NULL, 10), edits);
	return edits_set(edits, lane, name, value);
}

/* What is meant takes its place; where that is not known a person has to say,
 * since the lane without the setting would be one without the limit. */
static void
fix_value(struct checkup *c, const struct site_lane *lane,
    const struct param *param, const char *name, const char *value)
{
	char *meant = intended_value(param, value);
	struct edits edits = {.count = 0};

	if (meant != NULL && set_meant(c, lane, name, meant, &edits))
		checkup_fix(c, &edits);
	else
		findings_advise(&c->findings,
		    "write there what was meant (lane(5)); until then %s",
		    lane != NULL ? "the lane defers its mail"
				 : "lanes defer their mail");
	mem_free(meant);
}

/* As it is written where name is: -o of the lane, or main.cf. */
static const char *
written(const struct checkup *c, const struct site_lane *lane, const char *name)
{
	return lane != NULL ? options_override(&lane->opt, name)
			    : main_cf_find(&c->cf, name);
}

/* Nobody reads it; what it is like shall have its value. */
static void
fix_name(struct checkup *c, const struct site_lane *lane, const char *name,
    const char *value)
{
	const struct param *like = intended_param(name);
	const char *now = like != NULL ? written(c, lane, like->name) : NULL;
	char *why = like != NULL ? wrong_with(like, value) : NULL;
	char *meant =
	    why != NULL ? intended_value(like, value) : mem_strdup(value);
	struct edits edits = {.count = 0};

	if (like == NULL || meant == NULL) {
		findings_advise(&c->findings,
		    "nobody obeys it; write in its place what was meant, and "
		    "until then lanes defer their mail");
	} else if (now != NULL && strcmp(now, meant) != 0) {
		findings_advise(&c->findings,
		    "%s, which it is like, is %s: keep one of the two, under "
		    "that name",
		    like->name, now);
	} else {
		edits_unset(&edits, lane, name);
		if (now != NULL ||
		    set_meant(c, lane, like->name, meant, &edits))
			checkup_fix(c, &edits);
	}
	edits_fini(&edits);
	mem_free(meant);
	mem_free(why);
}

/* ---- -o of an entry ------------------------------------------------------ */

/* How often its entry gives the name; is_same: always the same value. */
static size_t
times_given(const struct site_lane *lane, const char *name, bool *is_same_out)
{
	const char *first = NULL;
	size_t n = 0;

	*is_same_out = true;
	for (size_t i = 0; i < lane->opt.override_count; i++) {
		const struct option_override *o = &lane->opt.overrides[i];

		if (strcmp(o->name, name) != 0)
			continue;
		if (first != NULL && strcmp(first, o->value) != 0)
			*is_same_out = false;
		first = o->value;
		n++;
	}
	return n;
}

static void
find_duplicate(struct checkup *c, const struct site_lane *lane,
    const struct option_override *o, size_t times, bool is_same)
{
	struct edits edits = {.count = 0};

	findings_add(&c->findings, "DUPLICATE", FINDING_ERROR,
	    lane->opt.service_name,
	    "-o %s is there %zu times in its entry, with %s: the lane defers "
	    "its mail",
	    o->name, times, is_same ? "the same value" : "values that differ");
	if (!is_same) {
		findings_advise(&c->findings, "keep the one that is meant");
		return;
	}
	edits_unset(&edits, lane, o->name);
	if (edits_set(&edits, lane, o->name, o->value))
		checkup_fix(c, &edits);
	edits_fini(&edits);
}

static void
check_override(struct checkup *c, const struct site_lane *lane,
    const struct option_override *o, struct told *told)
{
	const struct param *param = param_of(o->name);
	char *why;

	if (param != NULL) {
		why = wrong_in(lane, param, o->value);
		if (why == NULL)
			return;
		findings_add(&c->findings, "BAD-VALUE", FINDING_ERROR,
		    lane->opt.service_name, "%s", why);
		fix_value(c, lane, param, o->name, o->value);
		mem_free(why);
	} else if (strncmp(o->name, "lane_", 5) == 0) {
		findings_add(&c->findings, "UNKNOWN-NAME", FINDING_ERROR,
		    lane->opt.service_name,
		    "-o %s=%s: there is no such parameter (see lane(5))",
		    o->name, o->value);
		fix_name(c, lane, o->name, o->value);
	} else {
		return;
	}
	note_told(told, o->name);
}

static void
check_overrides(
    struct checkup *c, const struct site_lane *lane, struct told *told)
{
	for (size_t i = 0; i < lane->opt.override_count; i++) {
		const struct option_override *o = &lane->opt.overrides[i];
		bool is_same;
		size_t times = times_given(lane, o->name, &is_same);

		if (times == 1) {
			check_override(c, lane, o, told);
		} else if (options_override(&lane->opt, o->name) == o->value) {
			find_duplicate(c, lane, o, times, is_same);
			note_told(told, o->name);
		}
	}
}

/* ---- main.cf ------------------------------------------------------------- */

static void
check_main_cf(struct checkup *c, struct told *told)
{
	for (size_t i = 0; i < c->cf.count; i++) {
		const struct main_cf_setting *s = &c->cf.v[i];
		const struct param *param = param_of(s->name);
		char *why;

		if (strncmp(s->name, "lane_", 5) != 0)
			continue;
		if (param == NULL) {
			findings_add(&c->findings, "UNKNOWN-NAME",
			    FINDING_ERROR, NULL,
			    "main.cf: %s = %s: there is no such parameter "
			    "(see lane(5))",
			    s->name, s->value);
			fix_name(c, NULL, s->name, s->value);
			note_told(told, s->name);
			continue;
		}
		why = wrong_with(param, s->value);
		if (why == NULL)
			continue;
		findings_add(&c->findings, "BAD-VALUE", FINDING_ERROR, NULL,
		    "main.cf: %s", why);
		fix_value(c, NULL, param, s->name, s->value);
		note_told(told, s->name);
		mem_free(why);
	}
}

/* What main.cf says for smtp(8), which takes it, and lane does not: such as
 * smtp_tls_security_level = dane. */
static void
check_inherited(
    struct checkup *c, const struct site_lane *lane, struct told *told)
{
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		const char *value = main_cf_find(&c->cf, param->name);
		char *why;

		if (value == NULL || params_is_ours(param) ||
		    lane->origins.params[i] != CONFIG_MAIN_CF)
			continue;
		why = wrong_in(lane, param, value);
		if (why == NULL)
			continue;
		findings_add(&c->findings, "BAD-VALUE", FINDING_ERROR,
		    lane->opt.service_name, "main.cf: %s", why);
		fix_value(c, lane, param, param->name, value);
		note_told(told, param->name);
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

/* What says whom TLS trusts, and how: something has to come in its place
 * first, which is named with it. */
static bool
is_protection(const char *name)
{
	return (strncmp(name, "smtp_tls_", 9) == 0 ||
		   strncmp(name, "tls_", 4) == 0) &&
	       strcmp(name, "smtp_tls_note_starttls_offer") != 0 &&
	       strcmp(name, "smtp_tls_loglevel_maps") != 0;
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
	problems_fini(&problems);
	if (is_protection(name))
		findings_advise(&c->findings,
		    "then switch it off in its entry, by -o, until then the "
		    "lane defers its mail");
	else if (harmless_value(foreign, harmless, sizeof(harmless)))
		checkup_fix_lane(c, lane, name, harmless);
	else
		findings_fix(&c->findings,
		    "postconf %s-P \"%s/unix/%s=$(postconf -dh %s)\"", c->conf,
		    service, name, name);
}

/* ---- all of a lane ------------------------------------------------------- */

static void
check_lane(struct checkup *c, const struct site_lane *lane,
    const struct told *of_main_cf)
{
	struct told told = {.names = NULL};

	for (size_t i = 0; i < of_main_cf->count; i++)
		note_told(&told, of_main_cf->names[i]);
	check_overrides(c, lane, &told);
	check_inherited(c, lane, &told);
	for (size_t i = 0; i < foreign_count(); i++)
		if (lane->origins.foreign[i] != NULL)
			check_foreign(c, lane, foreign_get(i),
			    lane->origins.foreign[i], &told);
	for (size_t i = 0; i < lane->problems.count; i++)
		if (!is_told(&told, lane->problems.text[i]) &&
		    !checkup_is_told(c, lane, lane->problems.text[i]))
			findings_add(&c->findings, "SETTING", FINDING_ERROR,
			    lane->opt.service_name,
			    "%s: the lane defers its mail",
			    lane->problems.text[i]);
	mem_free(told.names);
}

/* Where an entry has the list that keeps postconf silent, each name that is set
 * belongs there. */
static void
check_mentions(struct checkup *c)
{
	struct edits edits = {.count = 0};
	struct buf names;

	buf_init(&names, NAMES_MAX);
	edits_mention_all(&edits, c->site, &c->cf);
	for (size_t i = 0; i < edits.count; i++)
		(void)buf_addf(
		    &names, "%s%s", i > 0 ? ", " : "", edits.v[i].name);
	if (edits.count > 0 && buf_ok(&names)) {
		findings_add(&c->findings, "UNUSED-NAME", FINDING_NOTE, NULL,
		    "commands of Postfix warn of an \"unused parameter\" each "
		    "time, since the last lines of no entry have it: %s",
		    buf_str(&names));
		checkup_fix(c, &edits);
	}
	edits_fini(&edits);
	buf_fini(&names);
}

void
checkup_settings(struct checkup *c)
{
	struct told told = {.names = NULL};

	check_main_cf(c, &told);
	for (size_t i = 0; i < c->site->lane_count; i++)
		check_lane(c, &c->site->lanes[i], &told);
	check_mentions(c);
	mem_free(told.names);
}
