#include "monitor/checkup.h"

#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "monitor/intended.h"

#define USUAL_DIRECTORY "/etc/postfix"

static const char *const suffixes[] = {
    "destination_concurrency_limit",
    "destination_rate_delay",
    "transport_rate_delay",
    "destination_recipient_limit",
    "destination_concurrency_failed_cohort_limit",
};

static const char *const names[] = {
    "initial_destination_concurrency",
    "qmgr_message_active_limit",
    "qmgr_message_recipient_limit",
    "default_transport",
    "relay_transport",
    "virtual_transport",
    "local_transport",
    "mailbox_transport",
    "fallback_transport",
    "content_filter",
    "transport_maps",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "mydestination",
};

static void
want(struct checkup *c, const char *between, const char *first,
    const char *second)
{
	char *name = mem_printf("%s%s%s", first, between, second);

	postconf_want(&c->values, name);
	mem_free(name);
}

static void
want_all(struct checkup *c)
{
	const struct site *site = c->site;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		postconf_want(&c->values, names[i]);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		want(c, "_", "default", suffixes[i]);
		for (size_t k = 0; k < site->lane_count; k++)
			want(c, "_", site->lanes[k].opt.service_name,
			    suffixes[i]);
	}
	for (size_t k = 0; k < site->lane_count; k++)
		want(c, "_", site->lanes[k].opt.service_name,
		    "initial_destination_concurrency");
}

bool
checkup_open(struct checkup *c, const struct site *site, char *error, size_t n)
{
	const char *directory = site->set.config_directory;
	char *program = config_command(site->set.command_directory, "postconf");
	const struct options none = {.override_count = 0};
	char *why = NULL;
	bool is_good;

	*c = (struct checkup){.site = site};
	c->conf = strcmp(directory, USUAL_DIRECTORY) != 0
		      ? mem_printf("-c %s ", directory)
		      : mem_strdup("");
	(void)main_cf_read(&c->cf, directory);
	want_all(c);
	is_good =
	    postconf_run(&c->values, program, directory, &none, &c->cf, &why);
	if (!is_good)
		(void)snprintf(error, n, "%s", why);
	mem_free(why);
	mem_free(program);
	return is_good && prober_open(&c->prober, site, error, n);
}

void
checkup_close(struct checkup *c)
{
	prober_close(&c->prober);
	postconf_fini(&c->values);
	main_cf_fini(&c->cf);
	findings_fini(&c->findings);
	mem_free(c->conf);
	c->conf = NULL;
}

/* ---- for the groups ------------------------------------------------------ */

const char *
checkup_value(const struct checkup *c, const char *name)
{
	const char *value = postconf_value(&c->values, name);

	return value != NULL ? value : "";
}

const char *
checkup_transport_value(
    const struct checkup *c, const struct site_lane *lane, const char *suffix)
{
	char *own = mem_printf("%s_%s", lane->opt.service_name, suffix);
	char *common = mem_printf("default_%s", suffix);
	const char *value = postconf_value(&c->values, own);

	if (value == NULL)
		value = checkup_value(c, common);
	mem_free(own);
	mem_free(common);
	return value;
}

static void
fix_with(struct checkup *c, const char *option, char *setting)
{
	char *quoted = findings_quoted(setting);

	findings_fix(&c->findings, "postconf %s%s %s", c->conf, option, quoted);
	mem_free(quoted);
	mem_free(setting);
}

void
checkup_fix(struct checkup *c, struct edits *edits)
{
	char *command = edits_command(edits, c->site, &c->cf, c->conf);

	findings_fix(&c->findings, "%s", command);
	mem_free(command);
	edits_fini(edits);
}

bool
checkup_is_told(
    const struct checkup *c, const struct site_lane *lane, const char *text)
{
	for (size_t i = 0; i < c->findings.count; i++)
		if (strcmp(c->findings.v[i].lane, lane->opt.service_name) ==
			0 &&
		    strstr(c->findings.v[i].text, text) != NULL)
			return true;
	return false;
}

bool
checkup_is_set_by_fix(
    const struct checkup *c, const struct site_lane *lane, const char *name)
{
	char *setting =
	    mem_printf("'%s/unix/%s=", lane->opt.service_name, name);
	bool is_set = false;

	for (size_t i = 0; i < c->findings.count; i++)
		is_set =
		    is_set || strstr(c->findings.v[i].fix, setting) != NULL;
	mem_free(setting);
	return is_set;
}

char *
checkup_meant(const struct site_lane *lane, const char *name)
{
	const struct param *param = params_find(name);
	const char *written = options_override(&lane->opt, name);
	char *value;

	CHECK(param != NULL);
	if (written != NULL && strchr(written, '$') == NULL) {
		struct settings set;
		struct problems problems = {0};

		memset(&set, 0, sizeof(set));
		params_init(&set);
		value = params_set(&set, param, written, &problems)
			    ? params_text(&set, param)
			    : intended_value(param, written);
		problems_fini(&problems);
		settings_free(&set);
		return value;
	}
	return params_text(&lane->set, param);
}

void
checkup_fix_lane(struct checkup *c, const struct site_lane *lane,
    const char *name, const char *value)
{
	struct edits edits = {.count = 0};

	if (edits_set(&edits, lane, name, value))
		checkup_fix(c, &edits);
}

void
checkup_fix_field(struct checkup *c, const struct site_lane *lane,
    const char *field, const char *value)
{
	fix_with(c, "-F",
	    mem_printf("%s/unix/%s=%s", lane->opt.service_name, field, value));
}

const char *
checkup_ending(const char *type)
{
	static const struct {
		const char *type, *ending;
	} rows[] = {{"hash", ".db"}, {"btree", ".db"}, {"lmdb", ".lmdb"},
	    {"cdb", ".cdb"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(type, rows[i].type) == 0)
			return rows[i].ending;
	return NULL;
}

bool
checkup_is_file_type(const char *type)
{
	return checkup_ending(type) != NULL || strcmp(type, "texthash") == 0 ||
	       strcmp(type, "regexp") == 0 || strcmp(type, "pcre") == 0 ||
	       strcmp(type, "cidr") == 0;
}

void
checkup_each_file(
    struct checkup *c, const char *tables, checkup_table_fn *fn, void *ctx)
{
	struct slice rest = slice_str(tables), word;

	while (words_cut_braced(&rest, &word)) {
		char *table = mem_strndup(word.p, word.n);
		char *colon = strchr(table, ':');

		if (colon != NULL && colon[1] == '/') {
			*colon = '\0';
			if (checkup_is_file_type(table))
				fn(c, ctx, table, colon + 1);
		}
		mem_free(table);
	}
}

const char *
checkup_nexthop(const struct site_lane *lane)
{
	return lane->set.lane_smarthost[0] != '\0' ? lane->set.lane_smarthost
						   : lane->set.relayhost;
}
