#include "monitor/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/io/command_output.h"
#include "agent/settings/main_cf.h"
#include "common/base/mem.h"
#include "common/base/words.h"

enum { POSTCONF_MS = 20000 };

static char *
path_of(const struct site *site, const char *name)
{
	return mem_printf("%s/%s", site->set.config_directory, name);
}

/* ---- master.cf ---------------------------------------------------------- */

/* What master(8) would pass: the service's name first. */
static void
parse_options(struct site_lane *lane)
{
	const struct mastercf_entry *entry = &lane->entry;
	char **argv = mem_zarray(entry->word_count + 3, sizeof(argv[0]));
	char option[] = "-n";
	size_t n = 0;

	argv[n++] = entry->words[0];
	argv[n++] = option;
	argv[n++] = entry->fields[MASTERCF_SERVICE];
	for (size_t i = 1; i < entry->word_count; i++)
		argv[n++] = entry->words[i];
	options_parse(&lane->opt, (int)n, argv, &lane->problems);
	mem_free(argv);
}

static void
close_lane(struct site_lane *lane)
{
	mem_free(lane->name);
	mastercf_fini(&lane->entry);
	provider_set_fini(&lane->provider);
	problems_fini(&lane->problems);
	settings_free(&lane->set);
	options_fini(&lane->opt);
	config_origins_fini(&lane->origins);
}

static void
load_lane(struct site_lane *lane)
{
	const char *instance;

	config_origins_init(&lane->origins);
	(void)config_load(&lane->set, &lane->provider, &lane->opt,
	    &lane->problems, &lane->origins);
	instance = lane->set.multi_instance_name;
	lane->name = instance[0] != '\0'
			 ? mem_printf("%s/%s", instance, lane->opt.service_name)
			 : mem_strdup(lane->opt.service_name);
}

/* The words of one entry, as they stand in master.cf. */
struct written {
	struct mastercf_entry *entry;
	bool is_found;
};

static void
take_written(void *ctx, const char *line)
{
	struct written *w = ctx;
	struct mastercf_entry entry;

	if (w->is_found || !mastercf_parse(&entry, line))
		return;
	w->is_found = strcmp(entry.fields[MASTERCF_SERVICE],
			  w->entry->fields[MASTERCF_SERVICE]) == 0 &&
		      strcmp(entry.fields[MASTERCF_TYPE],
			  w->entry->fields[MASTERCF_TYPE]) == 0;
	if (!w->is_found) {
		mastercf_fini(&entry);
		return;
	}
	mastercf_fini(w->entry);
	*w->entry = entry;
}

/* postconf takes -oNAME=VALUE apart, and drops what stands behind a brace:
 * what the process gets is what is written. */
static void
parse_as_written(
    const struct site *site, struct mastercf_entry *out, const char *line)
{
	char *path = path_of(site, "master.cf");
	struct written w = {out, false};

	(void)mastercf_parse(out, line);
	(void)main_cf_each_line(path, take_written, &w);
	mem_free(path);
}

/* One line of "postconf -M". */
static void
add_line(struct site *site, const char *line)
{
	struct site_lane lane = {.name = NULL};
	struct mastercf_entry entry;

	if (!mastercf_parse(&entry, line))
		return;
	site->entries = mem_realloc(
	    site->entries, (site->entry_count + 1) * sizeof(site->entries[0]));
	site->entries[site->entry_count++] = entry;
	if (!mastercf_is_lane(&entry))
		return;
	parse_as_written(site, &lane.entry, line);
	parse_options(&lane);
	load_lane(&lane);
	site->lanes = mem_realloc(
	    site->lanes, (site->lane_count + 1) * sizeof(site->lanes[0]));
	site->lanes[site->lane_count++] = lane;
}

/* ---- postconf ----------------------------------------------------------- */

static void
note_times(struct site *site)
{
	char *main_cf = path_of(site, "main.cf");
	char *master_cf = path_of(site, "master.cf");

	if (stat(main_cf, &site->main_cf) != 0)
		memset(&site->main_cf, 0, sizeof(site->main_cf));
	if (stat(master_cf, &site->master_cf) != 0)
		memset(&site->master_cf, 0, sizeof(site->master_cf));
	mem_free(main_cf);
	mem_free(master_cf);
}

static bool
read_master_cf(struct site *site, char *error, size_t n)
{
	char *postconf =
	    config_command(site->set.command_directory, "postconf");
	const char *argv[] = {
	    postconf, "-c", site->set.config_directory, "-M", NULL};
	struct command_output_result result;
	bool is_good;

	command_output_try(&result, argv, -1, POSTCONF_MS);
	is_good = result.status == 0 && buf_ok(&result.out);
	if (is_good) {
		struct lines lines = lines_of(buf_slice(&result.out));
		struct slice line;

		while (lines_next(&lines, &line)) {
			char *text = mem_strndup(line.p, line.n);

			add_line(site, text);
			mem_free(text);
		}
	} else {
		(void)snprintf(error, n, "%s -M: %s", postconf,
		    buf_len(&result.err) > 0 ? buf_str(&result.err)
					     : "no answer");
		error[strcspn(error, "\n")] = '\0';
	}
	command_output_fini(&result);
	mem_free(postconf);
	return is_good;
}

/* main.cf without the options of any entry. */
static bool
read_main_cf(struct site *site, char *error, size_t n)
{
	char name[] = "lane";
	char *const argv[] = {name, NULL};
	struct problems problems = {0};
	struct options opt;
	bool is_read;

	options_parse(&opt, 1, argv, &problems);
	is_read = config_load(&site->set, NULL, &opt, &problems, NULL);
	if (!is_read)
		(void)snprintf(
		    error, n, "%s", problems.text[problems.count - 1]);
	problems_fini(&problems);
	options_fini(&opt);
	return is_read;
}

bool
site_open(struct site *site, const char *directory, char *error, size_t n)
{
	memset(site, 0, sizeof(*site));
	if (directory != NULL && setenv("MAIL_CONFIG", directory, 1) != 0) {
		(void)snprintf(error, n, "no memory");
		return false;
	}
	if (!read_main_cf(site, error, n)) {
		settings_free(&site->set);
		return false;
	}
	note_times(site);
	if (read_master_cf(site, error, n))
		return true;
	site_close(site);
	return false;
}

void
site_close(struct site *site)
{
	for (size_t i = 0; i < site->lane_count; i++)
		close_lane(&site->lanes[i]);
	for (size_t i = 0; i < site->entry_count; i++)
		mastercf_fini(&site->entries[i]);
	mem_free(site->entries);
	mem_free(site->lanes);
	settings_free(&site->set);
	memset(site, 0, sizeof(*site));
}

static bool
is_other(const struct site *site, const char *name, const struct stat *was)
{
	char *path = path_of(site, name);
	struct stat now;
	bool is_there = stat(path, &now) == 0;

	mem_free(path);
	if (!is_there)
		return was->st_ino != 0;
	return now.st_ino != was->st_ino || now.st_dev != was->st_dev ||
	       now.st_size != was->st_size ||
	       now.st_mtim.tv_sec != was->st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != was->st_mtim.tv_nsec;
}

bool
site_has_changed(const struct site *site)
{
	return is_other(site, "main.cf", &site->main_cf) ||
	       is_other(site, "master.cf", &site->master_cf);
}

const struct site_lane *
site_find(const struct site *site, const char *service)
{
	for (size_t i = 0; i < site->lane_count; i++)
		if (strcmp(site->lanes[i].opt.service_name, service) == 0)
			return &site->lanes[i];
	return NULL;
}

static bool
is_first_with(const struct site *site, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(site->lanes[k].set.lane_state_directory,
			site->lanes[i].set.lane_state_directory) == 0)
			return false;
	return true;
}

const char *
site_state_directory(const struct site *site, size_t i)
{
	if (site->lane_count == 0)
		return i == 0 ? site->set.lane_state_directory : NULL;
	for (size_t k = 0; k < site->lane_count; k++)
		if (is_first_with(site, k) && i-- == 0)
			return site->lanes[k].set.lane_state_directory;
	return NULL;
}
