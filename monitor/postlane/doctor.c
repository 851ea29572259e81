/* doctor: what is set, where, and what of it does not fit. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "agent/settings/discreet.h"
#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"
#include "monitor/origin.h"
#include "monitor/postlane/command.h"

/* ---- what is in force ---------------------------------------------------- */

static json_t *
value_of(const struct site_lane *lane, const struct param *param)
{
	char *text = discreet_value(&lane->set, param);
	char from[ORIGIN_SIZE];
	json_t *one =
	    json_pack("{s:s, s:s, s:o, s:o}", "lane", lane->opt.service_name,
		"name", param->name, "value", clean_string(text), "from",
		clean_string(origin_place_of_parameter(
		    lane, param->name, from, sizeof(from))));

	CHECK(one != NULL);
	mem_free(text);
	return one;
}

/* What is set anywhere; the rest has its default. */
static json_t *
values_of(const struct site *site)
{
	json_t *list = json_array();

	for (size_t i = 0; i < site->lane_count; i++)
		for (size_t k = 0; k < params_count(); k++)
			if (site->lanes[i].origins.params[k] != CONFIG_BUILT_IN)
				CHECK(json_array_append_new(
					  list, value_of(&site->lanes[i],
						    params_get(k))) == 0);
	return list;
}

static void
print_values(const json_t *values)
{
	const char *lane = "";
	const json_t *one;
	size_t i;

	json_array_foreach(values, i, one)
	{
		const char *of =
		    json_string_value(json_object_get(one, "lane"));

		if (strcmp(of, lane) != 0)
			printf("lane %s: what is set\n", of);
		lane = of;
		printf("  %s = %s   # %s\n",
		    json_string_value(json_object_get(one, "name")),
		    json_string_value(json_object_get(one, "value")),
		    json_string_value(json_object_get(one, "from")));
	}
	if (i > 0)
		putchar('\n');
}

/* ---- what is wrong with it ----------------------------------------------- */

/* The same of several lanes is one thing to read. */
static bool
is_same(const struct finding *a, const struct finding *b)
{
	return strcmp(a->code, b->code) == 0 && a->severity == b->severity &&
	       a->lane[0] != '\0' && b->lane[0] != '\0' &&
	       strcmp(a->text, b->text) == 0;
}

static bool
is_told(const struct findings *f, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (is_same(&f->v[k], &f->v[i]))
			return true;
	return false;
}

/* With all lanes of which it is said, and the command of each. */
static void
print_finding(const struct findings *f, size_t i)
{
	const struct finding *one = &f->v[i];
	size_t last = i;

	for (size_t k = i + 1; k < f->count; k++)
		if (is_same(one, &f->v[k]))
			last = k;
	printf("%s %s: ", finding_severity_name(one->severity), one->code);
	if (one->lane[0] != '\0')
		printf("%s%s", last > i ? "lanes " : "lane ", one->lane);
	for (size_t k = i + 1; k <= last; k++)
		if (is_same(one, &f->v[k]))
			printf(", %s", f->v[k].lane);
	printf("%s%s\n", one->lane[0] != '\0' ? ": " : "", one->text);
	for (size_t k = i; k <= last; k++)
		if ((k == i || is_same(one, &f->v[k])) &&
		    f->v[k].fix[0] != '\0' &&
		    (k == i || strcmp(f->v[k].fix, one->fix) != 0))
			printf("    %s\n", f->v[k].fix);
}

static void
print_findings(const struct findings *f, bool is_quiet)
{
	for (size_t i = 0; i < f->count; i++)
		if (!is_told(f, i) &&
		    !(is_quiet && f->v[i].severity == FINDING_NOTE))
			print_finding(f, i);
	if (f->count == 0 && !is_quiet)
		printf("nothing was found\n");
}

static void
print_all(const struct command *c, const struct checkup *checkup)
{
	json_t *values;

	if (c->is_quiet) {
		print_findings(&checkup->findings, true);
		return;
	}
	values = values_of(&c->site);
	if (!c->is_json) {
		print_values(values);
		print_findings(&checkup->findings, false);
		json_decref(values);
		return;
	}
	command_print_json(json_pack("{s:i, s:o, s:o}", "schema", MODEL_SCHEMA,
	    "values", values, "findings", findings_json(&checkup->findings)));
}

static void
check_all(struct checkup *checkup)
{
	if (checkup->site->lane_count == 0)
		(void)findings_add(&checkup->findings, "NO-LANE", FINDING_ERROR,
		    NULL, "%s/master.cf has no lane: see postlane setup",
		    checkup->site->set.config_directory);
	checkup_services(checkup);
	checkup_settings(checkup);
	checkup_files(checkup);
	checkup_limits(checkup);
	checkup_queue(checkup);
	checkup_accounts(checkup);
	checkup_fleet(checkup);
	checkup_dane(checkup);
	checkup_wire(checkup);
	checkup_shared(checkup);
	checkup_reload(checkup);
}

int
doctor_run(struct command *c)
{
	struct checkup checkup;
	char error[512];
	int status = EX_CONFIG;

	if (geteuid() != 0) {
		command_complain("doctor: only root can read what lanes read "
				 "at their start");
		return EX_NOPERM;
	}
	if (checkup_open(&checkup, &c->site, error, sizeof(error))) {
		check_all(&checkup);
		print_all(c, &checkup);
		status = findings_status(&checkup.findings);
	} else {
		command_complain("%s", error);
	}
	checkup_close(&checkup);
	return status;
}
