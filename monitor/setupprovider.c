#include "monitor/setupprovider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/smtp/nexthop.h"

#define NONE "none"

enum { ERRORS_MAX = 8192, NAMES_MAX = 4096 };

/* The first line alone; the rest would be read after it is mended. */
static void
tell_first(char *error, size_t n, const char *text, const char *advice)
{
	(void)snprintf(
	    error, n, "%.*s%s", (int)strcspn(text, "\n"), text, advice);
}

static void
free_names(char **names, int count)
{
	for (int i = 0; i < count; i++)
		mem_free(names[i]);
	mem_free(names);
}

char *
setupprovider_names(const char *directory)
{
	struct buf list;
	char **names, *text;
	int count = provider_set_names(directory, &names);

	buf_init(&list, NAMES_MAX);
	for (int i = 0; i < count; i++)
		(void)buf_addf(&list, "%s%s", i > 0 ? ", " : "", names[i]);
	text = mem_strdup(buf_str(&list));
	free_names(names, count);
	buf_fini(&list);
	return text;
}

/* ---- by the host ----------------------------------------------------------
 */

/* False: the file cannot be read, or is wrong. */
static bool
look_into(const char *directory, const char *name, const char *host,
    bool *has_out, char *error, size_t n)
{
	static const char advice[] = "; --provider NAME or none goes without";
	char *path = mem_printf("%s/%s.conf", directory, name);
	struct provider provider = {.file = NULL};
	struct rules *rules = rules_new();
	struct buf text, errors;
	int why;
	bool is_good = false;

	buf_init(&text, RULES_FILE_MAX);
	buf_init(&errors, ERRORS_MAX);
	why = provider_read_file(path, &text);
	if (why != 0) {
		(void)snprintf(
		    error, n, "%s: %s%s", path, strerror(why), advice);
	} else {
		is_good = provider_parse(
		    &provider, path, buf_slice(&text), rules, &errors);
		if (!is_good)
			tell_first(error, n, buf_str(&errors), advice);
		*has_out = is_good && provider_has_host(&provider, host);
		provider_fini(&provider);
	}
	rules_free(&rules);
	buf_fini(&text);
	buf_fini(&errors);
	mem_free(path);
	return is_good;
}

/* Into out->name, "" when no file has the host. */
static bool
find_by_host(struct setupprovider *out, char *error, size_t n)
{
	char **names;
	int count = provider_set_names(out->directory, &names);
	bool is_good = count >= 0 || errno == ENOENT, has = false;

	if (!is_good)
		(void)snprintf(
		    error, n, "%s: %s", out->directory, strerror(errno));
	for (int i = 0; i < count && is_good; i++, has = false) {
		is_good = look_into(
		    out->directory, names[i], out->host, &has, error, n);
		if (has && out->name[0] != '\0') {
			(void)snprintf(error, n,
			    "%s is a host of %s and of %s in %s: --provider "
			    "says which one is meant",
			    out->host, out->name, names[i], out->directory);
			is_good = false;
		} else if (has) {
			mem_free(out->name);
			out->name = mem_strdup(names[i]);
			out->why = SETUPPROVIDER_HOST;
		}
	}
	free_names(names, count);
	return is_good;
}

/* ---- what is known of it --------------------------------------------------
 */

/* As a lane would read it. */
static bool
load(struct setupprovider *out, const struct settings *set, char *error,
    size_t n)
{
	struct settings copy = *set;
	struct problems problems = {.count = 0};
	char none[] = "";
	bool is_good;

	copy.lane_provider = out->name;
	copy.lane_reply_rules = none;
	provider_set_load(&out->set, &copy, &problems);
	is_good = problems.count == 0;
	if (!is_good)
		tell_first(error, n, problems.text[0], "");
	problems_fini(&problems);
	return is_good;
}

static char *
host_of(const char *nexthop)
{
	struct slice list = slice_str(nexthop);
	struct nexthop first;
	const char *why;

	return mem_strdup(nexthop_next(&list, &first, &why) && !first.is_literal
			      ? first.host
			      : "");
}

bool
setupprovider_find(struct setupprovider *out, const struct settings *set,
    const char *nexthop, const char *wanted, char *error, size_t n)
{
	bool is_good = true;

	*out = (struct setupprovider){
	    .name = mem_strdup(
		wanted != NULL && strcmp(wanted, NONE) != 0 ? wanted : ""),
	    .host = host_of(nexthop),
	    .directory = mem_strdup(set->lane_provider_directory),
	    .why = wanted != NULL ? SETUPPROVIDER_ASKED : SETUPPROVIDER_UNKNOWN,
	};
	if (wanted != NULL && wanted[0] == '\0') {
		(void)snprintf(
		    error, n, "bad option: --provider: must be a name or none");
		is_good = false;
	} else if (wanted == NULL && out->host[0] != '\0') {
		is_good = find_by_host(out, error, n);
	}
	if (is_good && out->name[0] != '\0')
		is_good = load(out, set, error, n);
	if (!is_good)
		setupprovider_fini(out);
	return is_good;
}

void
setupprovider_fini(struct setupprovider *provider)
{
	mem_free(provider->name);
	mem_free(provider->host);
	mem_free(provider->directory);
	if (provider->set.rules != NULL)
		provider_set_fini(&provider->set);
	*provider = (struct setupprovider){.name = NULL};
}

int
setupprovider_connections(const struct setupprovider *provider)
{
	char value[32];

	if (provider->name[0] == '\0' ||
	    !provider_set_value(&provider->set, "lane_account_connection_limit",
		value, sizeof(value), NULL))
		return 0;
	return (int)strtol(value, NULL, 10);
}
