#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/io/command_output.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "monitor/checkup.h"
#include "monitor/setupplan.h"

#define VERIFY_SENDERS "address_verify_sender_dependent_default_transport_maps"

enum {
	TABLE_MS = 10000,
	DOMAINS_MAX = 20, /* looked at */
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

/* "fast:" as a word of its own. */
static bool
has_transport(const char *line, const char *name)
{
	for (const char *at = strstr(line, name); at != NULL;
	     at = strstr(at + 1, name))
		if (at > line && strchr(" \t", at[-1]) != NULL)
			return true;
	return false;
}

/* The text of a table. */
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
		if (line[0] != '#' && has_transport(line, name))
			l->is_found = true;
	if (file != NULL)
		(void)fclose(file);
	mem_free(name);
}

/* With $name, to stay what it is. */
static const char *
as_written(const struct checkup *c, const char *name)
{
	const char *written = main_cf_find(&c->cf, name);

	return written != NULL ? written : checkup_value(c, name);
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

/* default_transport becomes the lane as postlane setup does it: senders with a
 * relay of their own keep it, and verify(8) goes on as it did. */
static void
fix_default(struct checkup *c, const char *service)
{
	static const char senders[] = "sender_dependent_default_transport_maps";
	const char *relays = as_written(c, "sender_dependent_relayhost_maps");
	const char *now = as_written(c, senders);
	char *maps = setupplan_sender_maps(now, relays);
	struct edits e = {.count = 0};

	(void)edits_set(&e, NULL, "default_transport", service);
	if (main_cf_find(&c->cf, "address_verify_default_transport") == NULL)
		(void)edits_set(
		    &e, NULL, "address_verify_default_transport", "smtp");
	if (relays[0] != '\0') {
		if (main_cf_find(&c->cf, VERIFY_SENDERS) == NULL)
			(void)edits_set(&e, NULL, VERIFY_SENDERS, now);
		(void)edits_set(&e, NULL, senders, maps);
	}
	checkup_fix(c, &e);
	mem_free(maps);
}

static void
check_use(struct checkup *c, const struct site_lane *lane, const char *star)
{
	const char *usual = checkup_value(c, "default_transport");
	struct looking l = {.service = lane->opt.service_name};

	look_into_settings(c, &l);
	look_into_maps(c, &l, "transport_maps");
	look_into_maps(c, &l, "sender_dependent_default_transport_maps");
	if (l.is_found || l.is_unknown || names_service(star, l.service))
		return;
	findings_add(&c->findings, "NOT-USED", FINDING_WARNING, l.service,
	    "no mail goes to it, but what FILTER sends there: neither "
	    "default_transport and its like nor the tables of transport_maps "
	    "name it");
	/* Two lanes cannot both have what no rule takes. */
	if (is_default_for_another(c, lane))
		findings_advise(&c->findings,
		    "put the domains that are its own into a table of "
		    "transport_maps, such as \"example.com %s:\"",
		    l.service);
	else if (star[0] != '\0')
		findings_advise(&c->findings,
		    "\"* %s\" of transport_maps is for what no other rule "
		    "takes, and default_transport is not asked",
		    star);
	else if (strcmp(usual, "smtp") != 0)
		findings_advise(&c->findings,
		    "what no rule takes goes to \"%s\", default_transport: set "
		    "that to %s if it shall go to the lane",
		    usual, l.service);
	else
		fix_default(c, l.service);
}

/* ---- tables ---------------------------------------------------------------
 */

/* Postfix's own answer; value_out (may be NULL): what was found, the caller's.
 * False: nothing, or, with why_out (the caller's), why not. */
static bool
ask(const struct checkup *c, const char *map, const char *key, char **value_out,
    char **why_out)
{
	char *postmap =
	    config_command(c->site->set.command_directory, "postmap");
	const char *argv[] = {
	    postmap, "-c", c->site->set.config_directory, "-q", key, map, NULL};
	struct command_output_result result;
	bool is_found;

	command_output_try(&result, argv, -1, TABLE_MS);
	is_found = result.status == 0 && buf_ok(&result.out);
	if (is_found && value_out != NULL)
		*value_out = mem_strndup(
		    buf_str(&result.out), strcspn(buf_str(&result.out), "\n"));
	if (!is_found && why_out != NULL) {
		const char *text = buf_str(&result.err);
		const char *fatal = strstr(text, "fatal: ");

		if (fatal != NULL)
			text = fatal + strlen("fatal: ");
		*why_out = mem_strndup(text, strcspn(text, "\n"));
	}
	command_output_fini(&result);
	mem_free(postmap);
	return is_found;
}

static const char *
without_proxy(const char *map)
{
	return strncmp(map, "proxy:", 6) == 0 ? map + 6 : map;
}

/* What repairs a table that is a file: postmap(1), if its text is there. */
static void
fix_table(struct checkup *c, const char *name, const char *map)
{
	char *type = mem_strndup(map, strcspn(map, ":"));
	const char *path = map + strlen(type) + 1;
	char *quoted = findings_quoted(map);

	if (checkup_is_file_type(type) && access(path, F_OK) != 0)
		findings_advise(&c->findings,
		    "write it, if only an empty one, or take it out of %s",
		    name);
	else if (checkup_ending(type) != NULL)
		findings_fix(&c->findings, "postmap %s%s", c->conf, quoted);
	mem_free(quoted);
	mem_free(type);
}

/* postmap(1) ends alike for a key that is not there and a table that is not.
 * With something behind it that has every key only the second remains. */
static void
check_table(struct checkup *c, const char *name, const char *map)
{
	char *both = mem_printf("unionmap:{%s, static:there}", map);
	char *why = NULL;

	if (!ask(c, both, "*", NULL, &why)) {
		findings_add(&c->findings, "TRANSPORT-TABLE", FINDING_ERROR,
		    NULL,
		    "%s: %s cannot be asked, and Postfix defers mail for that: "
		    "%s",
		    name, map,
		    why[0] != '\0' ? why : "postmap gives no reason");
		if (strchr(map, ':') != NULL)
			fix_table(c, name, map);
	}
	mem_free(why);
	mem_free(both);
}

typedef void map_fn(struct checkup *c, const char *name, const char *map);

static void
each_map(struct checkup *c, const char *name, map_fn *fn)
{
	struct slice rest = slice_str(checkup_value(c, name)), word;

	while (words_cut_braced(&rest, &word)) {
		char *map = mem_strndup(word.p, word.n);

		fn(c, name, without_proxy(map));
		mem_free(map);
	}
}

/* What the first table of transport_maps says of a key; the caller's. */
static char *
transport_of(const struct checkup *c, const char *key)
{
	struct slice rest = slice_str(checkup_value(c, "transport_maps")), word;
	char *value = NULL;

	while (value == NULL && words_cut_braced(&rest, &word)) {
		char *map = mem_strndup(word.p, word.n);

		(void)ask(c, without_proxy(map), key, &value, NULL);
		mem_free(map);
	}
	return value != NULL ? value : mem_strdup("");
}

/* A domain of this host that "*" catches; the caller's. "": none. */
static char *
own_domain_caught(const struct checkup *c)
{
	struct slice rest = slice_str(checkup_value(c, "mydestination")), word;
	char *caught = NULL;
	int n = 0;

	while (caught == NULL && n++ < DOMAINS_MAX &&
	       words_cut_braced(&rest, &word)) {
		char *domain = mem_strndup(word.p, word.n), *value;

		if (strpbrk(domain, ":/") == NULL) {
			value = transport_of(c, domain);
			if (value[0] == '\0')
				caught = mem_strdup(domain);
			mem_free(value);
		}
		mem_free(domain);
	}
	return caught != NULL ? caught : mem_strdup("");
}

/* "*" goes before default_transport, and before local delivery. */
static void
check_star(struct checkup *c, const char *star)
{
	const char *usual = checkup_value(c, "default_transport");
	char *service = mem_strndup(star, strcspn(star, ":"));
	char *domain;

	if (names_service(usual, service)) {
		mem_free(service);
		return;
	}
	domain = own_domain_caught(c);
	if (site_find(c->site, service) == NULL) {
		for (size_t i = 0; i < c->site->lane_count; i++)
			if (names_service(
				usual, c->site->lanes[i].opt.service_name))
				findings_add(&c->findings, "TRANSPORT-STAR",
				    FINDING_WARNING, usual,
				    "transport_maps has \"* %s\": what no "
				    "other "
				    "rule takes goes there, and nothing by "
				    "default_transport = %s",
				    star, usual);
	} else if (domain[0] != '\0') {
		findings_add(&c->findings, "TRANSPORT-STAR", FINDING_NOTE,
		    service,
		    "transport_maps has \"* %s\", which takes mail for this "
		    "host's own domains, too, such as %s; default_transport "
		    "does not",
		    star, domain);
	}
	mem_free(domain);
	mem_free(service);
}

/* ---- services ------------------------------------------------------------ */

static bool
has_service(const struct checkup *c, const char *transport)
{
	size_t n = strcspn(transport, ":");

	for (size_t i = 0; i < c->site->entry_count; i++) {
		const char *service =
		    c->site->entries[i].fields[MASTERCF_SERVICE];

		if (strlen(service) == n &&
		    strncmp(service, transport, n) == 0 &&
		    strcmp(c->site->entries[i].fields[MASTERCF_TYPE], "inet") !=
			0)
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
	findings_advise(&c->findings,
	    "name one of its services there; its mail is deferred until then");
}

void
checkup_queue(struct checkup *c)
{
	static const char *const maps[] = {"transport_maps",
	    "sender_dependent_default_transport_maps",
	    "sender_dependent_relayhost_maps"};
	char *star = transport_of(c, "*");

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		each_map(c, maps[i], check_table);
	/* ":" and ":nexthop" leave the choice to default_transport. */
	if (star[0] == ':')
		star[0] = '\0';
	if (star[0] != '\0')
		check_star(c, star);
	for (size_t i = 0; i < c->site->lane_count; i++)
		check_use(c, &c->site->lanes[i], star);
	check_transport(c, "default_transport");
	check_transport(c, "relay_transport");
	mem_free(star);
}
