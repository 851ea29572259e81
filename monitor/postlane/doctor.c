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

static void
print_findings(const struct findings *f, bool is_quiet)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct finding *one = &f->v[i];

		printf("%s %s: %s%s%s%s\n",
		    finding_severity_name(one->severity), one->code,
		    one->lane[0] != '\0' ? "lane " : "", one->lane,
		    one->lane[0] != '\0' ? ": " : "", one->text);
		if (one->fix[0] != '\0')
			printf("    %s\n", one->fix);
	}
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
