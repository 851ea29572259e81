#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/words.h"
#include "monitor/checkup.h"

enum {
	TABLE_LINE = 4096,
	TABLE_LINES_MAX = 1000000,
};

/* ---- where mail is sent to ----------------------------------------------- */

static const char *const transport_names[] = {"default_transport",
    "relay_transport", "virtual_transport", "local_transport",
    "mailbox_transport", "fallback_transport", "content_filter"};

struct looking {
	const char *service;
	bool is_found, is_unknown;
};

static bool
names_service(const char *value, const char *service)
{
	size_t n = strlen(service);

	return strncmp(value, service, n) == 0 &&
	       (value[n] == '\0' || value[n] == ':');
}

/* "fast:" stands anywhere in the text of the table. */
static void
look_into(struct checkup *c, void *ctx, const char *type, const char *path)
{
	struct looking *l = ctx;
	FILE *file = fopen(path, "re");
	char line[TABLE_LINE];
	char *name = mem_printf("%s:", l->service);

	(void)c;
	(void)type;
	l->is_unknown = l->is_unknown || file == NULL;
	for (int i = 0; file != NULL && i < TABLE_LINES_MAX &&
			fgets(line, sizeof(line), file) != NULL;
	     i++)
		if (line[0] != '#' && strstr(line, name) != NULL)
			l->is_found = true;
	if (file != NULL)
		(void)fclose(file);
	mem_free(name);
}

static void
count_table(struct checkup *c, void *ctx, const char *type, const char *path)
{
	(void)c;
	(void)type;
	(void)path;
	++*(size_t *)ctx;
}

static void
look_into_maps(struct checkup *c, struct looking *l, const char *name)
{
	const char *maps = checkup_value(c, name);
	struct slice rest = slice_str(maps), word;
	size_t words = 0, files = 0;

	while (words_cut_braced(&rest, &word))
		words++;
	checkup_each_file(c, maps, count_table, &files);
	l->is_unknown = l->is_unknown || files != words;
	checkup_each_file(c, maps, look_into, l);
}

/* -o content_filter=fast: or the like. */
static bool
sends_to(const struct mastercf_entry *entry, const char *service)
{
	for (size_t i = 2; i < entry->word_count; i++) {
		const char *value = strcmp(entry->words[i - 1], "-o") == 0
					? strchr(entry->words[i], '=')
					: NULL;

		if (value != NULL && names_service(value + 1, service))
			return true;
	}
	return false;
}

/* A parameter of main.cf, or one that an entry of master.cf sets. */
static void
look_into_settings(struct checkup *c, struct looking *l)
{
	for (size_t i = 0;
	     i < sizeof(transport_names) / sizeof(transport_names[0]); i++)
		if (names_service(
			checkup_value(c, transport_names[i]), l->service))
			l->is_found = true;
	for (size_t i = 0; i < c->site->entry_count; i++)
		if (sends_to(&c->site->entries[i], l->service))
			l->is_found = true;
}

/* Another lane takes what no rule does, or is there for it. */
static bool
is_default_for_another(const struct checkup *c, const struct site_lane *lane)
{
	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *other = &c->site->lanes[i];

		if (other == lane)
			continue;
		if (names_service(checkup_value(c, "default_transport"),
			other->opt.service_name))
			return true;
		if (strcmp(other->opt.class, "slow") == 0 &&
		    strcmp(lane->opt.class, "slow") != 0)
			return true;
	}
	return false;
}

static void
check_use(struct checkup *c, const struct site_lane *lane)
{
	struct looking l = {.service = lane->opt.service_name};

	look_into_settings(c, &l);
	look_into_maps(c, &l, "transport_maps");
	look_into_maps(c, &l, "sender_dependent_default_transport_maps");
	if (l.is_found || l.is_unknown)
		return;
	findings_add(&c->findings, "NOT-USED", FINDING_WARNING, l.service,
	    "no mail goes to it: neither default_transport and its like nor "
	    "the tables of transport_maps name it");
	/* Two lanes cannot both have what no rule takes. */
	if (is_default_for_another(c, lane))
		findings_advise(&c->findings,
		    "put the domains that are its own into a table of "
		    "transport_maps, such as \"example.com %s:\"",
		    l.service);
	else
		checkup_fix_main(c, "default_transport", l.service);
}

static bool
has_service(const struct checkup *c, const char *transport)
{
	size_t n = strcspn(transport, ":");

	for (size_t i = 0; i < c->site->entry_count; i++) {
		const char *service =
		    c->site->entries[i].fields[MASTERCF_SERVICE];

		if (strlen(service) == n && strncmp(service, transport, n) == 0)
			return true;
	}
	return n == 0;
}

static void
check_transport(struct checkup *c, const char *name)
{
	const char *value = checkup_value(c, name);

	if (has_service(c, value))
		return;
	findings_add(&c->findings, "TRANSPORT-MISSING", FINDING_ERROR, NULL,
	    "%s is %s, and master.cf has no such service", name, value);
	findings_fix(&c->findings, "postconf %s-X %s", c->conf, name);
}

void
checkup_queue(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++) {
		check_use(c, &c->site->lanes[i]);
	}
	check_transport(c, "default_transport");
	check_transport(c, "relay_transport");
}
