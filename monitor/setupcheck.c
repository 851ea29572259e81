#include "monitor/setupcheck.h"

#include <stdio.h>
#include <string.h>

#include "agent/io/command_output.h"
#include "agent/settings/config.h"
#include "common/base/mem.h"
#include "monitor/setupfile.h"
#include "monitor/setupuse.h"

#define SEPARATORS " \t\r\n,"

enum { POSTCONF_MS = 20000, LANES = 2 };

/* ---- what postconf says ---------------------------------------------------
 */

/* With directory where text has scratch: $config_directory. The caller's. */
static char *
renamed(const char *text, const char *scratch, const char *directory)
{
	struct buf out;
	const char *at;
	char *result;

	buf_init(&out, COMMAND_OUTPUT_MAX);
	while ((at = strstr(text, scratch)) != NULL) {
		(void)buf_addf(
		    &out, "%.*s%s", (int)(at - text), text, directory);
		text = at + strlen(scratch);
	}
	(void)buf_add_str(&out, text);
	result = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return result;
}

static char *
ask(const struct site *site, const char *directory, const char *option,
    char *error, size_t n)
{
	char *program = config_command(site->set.command_directory, "postconf");
	const char *argv[] = {program, "-c", directory, option, NULL};
	struct command_output_result result;
	char *text = NULL;

	command_output_try(&result, argv, -1, POSTCONF_MS);
	if (result.status == 0) {
		text = mem_strdup(buf_str(&result.out));
	} else {
		(void)snprintf(error, n, "%s %s: %s", program, option,
		    buf_str(&result.err));
		error[strcspn(error, "\n")] = '\0';
	}
	command_output_fini(&result);
	mem_free(program);
	return text;
}

static char *
ask_scratch(const struct site *site, const struct setupplan *plan,
    const char *scratch, const char *option, char *error, size_t n)
{
	char *text = ask(site, scratch, option, error, n), *result;

	if (text == NULL)
		return NULL;
	result = renamed(text, scratch, plan->directory);
	mem_free(text);
	return result;
}

static bool
read_main_cf(struct main_cf *cf, const char *directory, char *error, size_t n)
{
	int status = main_cf_read(cf, directory);

	if (status != 0)
		(void)snprintf(
		    error, n, "%s/main.cf: %s", directory, strerror(status));
	return status == 0;
}

bool
setupcheck_read(struct setupcheck *check, const struct site *site,
    const struct setupplan *plan, const char *scratch, char *error, size_t n)
{
	*check = (struct setupcheck){.settings = NULL};
	if (!read_main_cf(&check->before, plan->directory, error, n) ||
	    !read_main_cf(&check->after, scratch, error, n))
		return false;
	check->services_before = ask(site, plan->directory, "-M", error, n);
	if (check->services_before == NULL)
		return false;
	check->services = ask_scratch(site, plan, scratch, "-M", error, n);
	if (check->services == NULL)
		return false;
	check->settings = ask_scratch(site, plan, scratch, "-nx", error, n);
	if (check->settings == NULL)
		return false;
	check->options = ask_scratch(site, plan, scratch, "-Px", error, n);
	if (check->options == NULL)
		return false;
	check->unexpanded = ask_scratch(site, plan, scratch, "-P", error, n);
	return check->unexpanded != NULL;
}

void
setupcheck_fini(struct setupcheck *check)
{
	main_cf_fini(&check->before);
	main_cf_fini(&check->after);
	mem_free(check->services_before);
	mem_free(check->services);
	mem_free(check->settings);
	mem_free(check->options);
	mem_free(check->unexpanded);
}

/* ---- lines of it ----------------------------------------------------------
 */

struct setting {
	char *name, *value; /* of line */
	char *line;
};

/* The next "name = value"; *text goes on behind it. False: there is none. The
 * one before is freed. */
static bool
next_setting(struct setting *s, const char **text)
{
	mem_free(s->line);
	*s = (struct setting){.line = NULL};
	while (**text != '\0') {
		size_t n = strcspn(*text, "\n");
		char *line = mem_strndup(*text, n), *equals;

		*text += n + ((*text)[n] == '\n');
		equals = strstr(line, " =");
		if (equals != NULL) {
			*equals = '\0';
			s->line = s->name = line;
			s->value = equals + 2 + strspn(equals + 2, " ");
			return true;
		}
		mem_free(line);
	}
	return false;
}

static bool
has_line(const char *text, const char *line, size_t n)
{
	for (; *text != '\0'; text += *text == '\n') {
		size_t length = strcspn(text, "\n");

		if (length == n && strncmp(text, line, n) == 0)
			return true;
		text += length;
	}
	return false;
}

static bool
is_service(const char *line, const char *service)
{
	size_t n = strlen(service);

	return strncmp(line, service, n) == 0 && strchr(" \t", line[n]) != NULL;
}

static bool
has_service(const char *services, const char *service)
{
	for (; *services != '\0'; services += *services == '\n') {
		if (is_service(services, service))
			return true;
		services += strcspn(services, "\n");
	}
	return false;
}

/* ---- nothing else changes -------------------------------------------------
 */

/* What is there now has all of it in this order, and else what was added. */
static bool
is_less(const char *before, const char *after, const char *added)
{
	after += strspn(after, SEPARATORS);
	while (*(before += strspn(before, SEPARATORS)) != '\0') {
		size_t n = strcspn(before, SEPARATORS);
		size_t m = strcspn(after, SEPARATORS);
		char *word = mem_strndup(before, n);
		bool is_added = strstr(added, word) != NULL;

		mem_free(word);
		if (n == m && strncmp(before, after, n) == 0) {
			after += m;
			after += strspn(after, SEPARATORS);
		} else if (!is_added) {
			return false;
		}
		before += n;
	}
	return *after == '\0';
}

/* "name = ..." is a line of what was added. */
static bool
is_added(const char *added, const char *name)
{
	size_t n = strlen(name);

	for (; *added != '\0'; added += *added == '\n') {
		if (strncmp(added, name, n) == 0 &&
		    strncmp(added + n, " =", 2) == 0)
			return true;
		added += strcspn(added, "\n");
	}
	return false;
}

static bool
is_as_meant(const struct setupcheck *check, const char *name,
    const char *before, const char *added)
{
	const char *after = main_cf_find(&check->after, name);

	if (after != NULL && strcmp(before, after) == 0)
		return true;
	if (after != NULL &&
	    (setupuse_is_of_transports(name) || !is_added(added, name)))
		return is_less(before, after, added);
	return is_added(added, name);
}

static const char *
changed_setting(const struct setupcheck *check, const char *added)
{
	const struct main_cf *before = &check->before, *after = &check->after;

	for (size_t i = 0; i < before->count; i++)
		if (!is_as_meant(
			check, before->v[i].name, before->v[i].value, added))
			return before->v[i].name;
	for (size_t i = 0; i < after->count; i++)
		if (main_cf_find(before, after->v[i].name) == NULL)
			return after->v[i].name;
	return NULL;
}

/* The first line that only one of the two has, beside the lanes'. */
static const char *
changed_service(
    const char *one, const char *other, const struct setupplan *plan)
{
	for (; *one != '\0'; one += *one == '\n') {
		size_t n = strcspn(one, "\n");

		if (!is_service(one, plan->fast) &&
		    !is_service(one, plan->slow) && !has_line(other, one, n))
			return one;
		one += n;
	}
	return NULL;
}

static bool
is_nothing_else_changed(const struct setupcheck *check,
    const struct setupplan *plan, const char *added, char *error, size_t n)
{
	const char *name = changed_setting(check, added), *file = "main.cf";

	if (name == NULL) {
		file = "master.cf";
		name = changed_service(
		    check->services_before, check->services, plan);
	}
	if (name == NULL)
		name = changed_service(
		    check->services, check->services_before, plan);
	if (name == NULL)
		return true;
	(void)snprintf(error, n,
	    "%s/%s: %.*s would change with what setup added: take that out by "
	    "hand first",
	    plan->directory, file, (int)strcspn(name, SEPARATORS), name);
	return false;
}

/* ---- nothing names what is gone -------------------------------------------
 */

struct gone {
	const struct setupplan *plan;
	const char *lanes[LANES];
	size_t count;
	struct buf *told;
	char *error;
	size_t error_size;
};

static void
tell_opaque(const struct gone *g, const char *name, struct slice table)
{
	(void)buf_addf(g->told,
	    "%.*s, a table of %s, cannot be read as text: see that it names "
	    "neither %s nor %s\n",
	    (int)table.n, table.p, name, g->plan->fast, g->plan->slow);
}

static bool
is_table_free(const struct gone *g, const char *name, struct slice table,
    const char *path, const char *file)
{
	bool is_of_transports = setupuse_is_of_transports(name);
	char *text = path[0] == '/' ? setupfile_read(path) : NULL;

	if (text == NULL && is_of_transports)
		tell_opaque(g, name, table);
	for (size_t i = 0; i < g->count && text != NULL; i++) {
		if (!setupuse_table_names(text, g->lanes[i], is_of_transports))
			continue;
		(void)snprintf(g->error, g->error_size,
		    "%s, a table of %s in %s/%s, names %s, which would be "
		    "gone: put another transport there (smtp) first",
		    path, name, g->plan->directory, file, g->lanes[i]);
		mem_free(text);
		return false;
	}
	mem_free(text);
	return true;
}

static bool
are_tables_free(const struct gone *g, const struct setting *s, const char *file)
{
	const char *value = s->value;
	struct slice table, path;
	enum setupuse_table kind;
	bool is_free = true;

	while (is_free && (kind = setupuse_next_table(&value, &table, &path)) !=
			      SETUPUSE_END) {
		char *at = mem_strndup(path.p, path.n);

		if (kind == SETUPUSE_TEXT)
			is_free = is_table_free(g, s->name, table, at, file);
		else if (setupuse_is_of_transports(s->name))
			tell_opaque(g, s->name, table);
		mem_free(at);
	}
	return is_free;
}

static bool
is_free(const struct gone *g, const struct setting *s, const char *file)
{
	for (size_t i = 0; i < g->count; i++) {
		if (!setupuse_value_names(s->name, s->value, g->lanes[i]))
			continue;
		(void)snprintf(g->error, g->error_size,
		    "%s/%s: %s names %s, which would be gone: set it to "
		    "another transport (smtp) first",
		    g->plan->directory, file, s->name, g->lanes[i]);
		return false;
	}
	return are_tables_free(g, s, file);
}

static bool
are_free(const struct gone *g, const char *text, const char *file)
{
	struct setting s = {.line = NULL};
	bool is_good = true;

	while (is_good && next_setting(&s, &text))
		is_good = is_free(g, &s, file);
	mem_free(s.line);
	return is_good;
}

/* ---- nothing needs a setting that is gone ---------------------------------
 */

static bool
is_unneeded(
    const struct gone *g, const struct setupcheck *check, const char *gone)
{
	const struct main_cf *after = &check->after;
	const char *text = check->unexpanded, *by = NULL;
	struct setting s = {.line = NULL};

	for (size_t i = 0; i < after->count && by == NULL; i++)
		if (setupuse_refers(after->v[i].value, gone))
			by = after->v[i].name;
	while (by == NULL && next_setting(&s, &text))
		if (setupuse_refers(s.value, gone))
			by = s.name;
	if (by != NULL)
		(void)snprintf(g->error, g->error_size,
		    "%s: %s refers to %s, which would be gone: set it to a "
		    "value of its own first",
		    g->plan->directory, by, gone);
	mem_free(s.line);
	return by == NULL;
}

/* fast_..., slow_..., lane_... */
static bool
is_of_lanes(const struct gone *g, const char *name)
{
	bool is = strncmp(name, "lane_", strlen("lane_")) == 0;

	for (size_t i = 0; i < g->count; i++) {
		size_t n = strlen(g->lanes[i]);

		is = is ||
		     (strncmp(name, g->lanes[i], n) == 0 && name[n] == '_');
	}
	return is;
}

static bool
are_unneeded(const struct gone *g, const struct setupcheck *check)
{
	for (size_t i = 0; i < check->before.count; i++) {
		const char *name = check->before.v[i].name;

		if (is_of_lanes(g, name) &&
		    main_cf_find(&check->after, name) == NULL &&
		    !is_unneeded(g, check, name))
			return false;
	}
	return true;
}

bool
setupcheck_is_well(const struct setupcheck *check, const struct setupplan *plan,
    const char *added, struct buf *told, char *error, size_t n)
{
	const char *const lanes[LANES] = {plan->fast, plan->slow};
	struct gone g = {
	    .plan = plan, .told = told, .error = error, .error_size = n};

	for (size_t i = 0; i < LANES; i++)
		if (!has_service(check->services, lanes[i]))
			g.lanes[g.count++] = lanes[i];
	return is_nothing_else_changed(check, plan, added, error, n) &&
	       (g.count == 0 || (are_free(&g, check->settings, "main.cf") &&
				    are_free(&g, check->options, "master.cf") &&
				    are_unneeded(&g, check)));
}

bool
setupcheck_has_path(const struct setupcheck *check, const char *path)
{
	const char *const texts[] = {check->settings, check->options};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i] != NULL && setupuse_has_path(texts[i], path))
			return true;
	return false;
}
