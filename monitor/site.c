#include "monitor/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/io/command_output.h"
#include "agent/settings/main_cf.h"
#include "common/base/mem.h"
#include "common/base/words.h"

#define BLANKS " \t\r\n"

enum {
	FIELDS = 7, /* service ... maxproc */
	POSTCONF_MS = 20000,
};

/* ---- master.cf ---------------------------------------------------------- */

/* As master(8) cuts a line: at blanks that are not within braces. */
static bool
next_word(struct slice *rest, struct slice *word_out)
{
	size_t n = 0, depth = 0;

	while (rest->n > 0 && strchr(BLANKS, rest->p[0]) != NULL)
		*rest = slice_of(rest->p + 1, rest->n - 1);
	for (; n < rest->n; n++) {
		if (rest->p[n] == '{')
			depth++;
		else if (rest->p[n] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(BLANKS, rest->p[n]) != NULL)
			break;
	}
	*word_out = slice_of(rest->p, n);
	*rest = slice_of(rest->p + n, rest->n - n);
	return n > 0;
}

char **
site_words(const char *line, size_t *count_out)
{
	struct slice rest = slice_str(line), word;
	char **words = mem_zalloc(sizeof(words[0]));
	size_t n = 0;

	for (int i = 0; i < FIELDS; i++)
		if (!next_word(&rest, &word))
			rest = slice_of("", 0);
	while (next_word(&rest, &word)) {
		words = mem_realloc(words, (n + 2) * sizeof(words[0]));
		words[n++] = mem_strndup(word.p, word.n);
		words[n] = NULL;
	}
	*count_out = n;
	return words;
}

void
site_free_words(char **words)
{
	for (size_t i = 0; words[i] != NULL; i++)
		mem_free(words[i]);
	mem_free(words);
}

static bool
is_lane(const char *command)
{
	const char *slash = strrchr(command, '/');

	return strcmp(slash != NULL ? slash + 1 : command, "lane") == 0;
}

/* What master(8) would pass: the service's name first. */
static void
parse_options(
    struct site_lane *lane, struct slice service, char **words, size_t count)
{
	char **argv = mem_zarray(count + 3, sizeof(argv[0]));
	char option[] = "-n";
	char *name = mem_strndup(service.p, service.n);
	size_t n = 0;

	argv[n++] = words[0];
	argv[n++] = option;
	argv[n++] = name;
	for (size_t i = 1; i < count; i++)
		argv[n++] = words[i];
	options_parse(&lane->opt, (int)n, argv, &lane->problems);
	mem_free(name);
	mem_free(argv);
}

static void
close_lane(struct site_lane *lane)
{
	mem_free(lane->name);
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

/* One line of "postconf -M". */
static void
add_line(struct site *site, const char *line)
{
	struct slice rest = slice_str(line), service, type;
	size_t count;
	char **words = site_words(line, &count);
	struct site_lane lane = {.name = NULL};

	if (count == 0 || !is_lane(words[0]) || !next_word(&rest, &service) ||
	    !next_word(&rest, &type))
		goto out;
	parse_options(&lane, service, words, count);
	if (lane.opt.is_token) {
		problems_fini(&lane.problems);
		options_fini(&lane.opt);
		goto out;
	}
	load_lane(&lane);
	site->lanes = mem_realloc(
	    site->lanes, (site->lane_count + 1) * sizeof(site->lanes[0]));
	site->lanes[site->lane_count++] = lane;
out:
	site_free_words(words);
}

/* ---- postconf ----------------------------------------------------------- */

static char *
path_of(const struct site *site, const char *name)
{
	return mem_printf("%s/%s", site->set.config_directory, name);
}

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
