#include "monitor/prober.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "agent/io/command_output.h"
#include "agent/settings/assignment.h"
#include "agent/settings/postconf.h"
#include "common/base/clean.h"
#include "common/base/mem.h"

/* ---- where the program is ------------------------------------------------ */

static char *
value_of(const struct postconf *pc, const char *name)
{
	const char *value = postconf_value(pc, name);

	return mem_strdup(value != NULL ? value : "");
}

bool
prober_open(struct prober *p, const struct site *site, char *error, size_t n)
{
	char *program = config_command(site->set.command_directory, "postconf");
	const struct options none = {.override_count = 0};
	const struct main_cf nothing = {.count = 0};
	struct postconf pc = {.asked = NULL};
	char *why = NULL;
	bool is_told;

	*p = (struct prober){.site = site};
	postconf_want(&pc, "daemon_directory");
	postconf_want(&pc, "compatibility_level");
	is_told = postconf_run(
	    &pc, program, site->set.config_directory, &none, &nothing, &why);
	if (is_told) {
		p->daemon_directory = value_of(&pc, "daemon_directory");
		p->compatibility_level = value_of(&pc, "compatibility_level");
	} else {
		(void)snprintf(error, n, "%s", why);
	}
	mem_free(why);
	mem_free(program);
	postconf_fini(&pc);
	return is_told;
}

void
prober_close(struct prober *p)
{
	mem_free(p->daemon_directory);
	mem_free(p->compatibility_level);
	*p = (struct prober){.site = NULL};
}

/* ---- its words ----------------------------------------------------------- */

struct words {
	char **v;
	size_t n;
};

static void
add(struct words *w, const char *text)
{
	w->v = mem_realloc(w->v, (w->n + 2) * sizeof(w->v[0]));
	w->v[w->n++] = mem_strdup(text);
	w->v[w->n] = NULL;
}

/* An override is of the name that the option has. */
static bool
is_overridden(const char *option, const char *const *overrides)
{
	char *name, *value;
	bool found = false;

	if (!assignment_split(option, &name, &value))
		return false;
	for (size_t i = 0; overrides != NULL && overrides[i] != NULL; i++) {
		size_t n = strcspn(overrides[i], "=");

		found = found || (strlen(name) == n &&
				     strncmp(name, overrides[i], n) == 0);
	}
	mem_free(name);
	mem_free(value);
	return found;
}

static void
add_arguments(struct words *w, const struct mastercf_entry *entry,
    const char *const *overrides)
{
	for (size_t i = 1; i < entry->word_count; i++) {
		const char *next =
		    i + 1 < entry->word_count ? entry->words[i + 1] : "";

		if (strcmp(entry->words[i], "-o") == 0 &&
		    is_overridden(next, overrides))
			i++;
		else
			add(w, entry->words[i]);
	}
}

static void
add_words(struct words *w, const struct prober *p, const struct site_lane *lane,
    const char *nexthop, const char *const *overrides)
{
	char *program = mem_printf("%s/%s", p->daemon_directory,
	    lane != NULL ? lane->entry.words[0] : "lane");

	add(w, program);
	add(w, "probe");
	add(w, nexthop);
	add(w, "-n");
	add(w, lane != NULL ? lane->opt.service_name : "lane");
	if (lane == NULL || mastercf_is_yes(&lane->entry, MASTERCF_UNPRIVILEGED,
				p->compatibility_level))
		add(w, "-u");
	if (lane != NULL && mastercf_is_yes(&lane->entry, MASTERCF_CHROOT,
				p->compatibility_level))
		add(w, "-c");
	if (lane != NULL)
		add_arguments(w, &lane->entry, overrides);
	for (size_t i = 0; overrides != NULL && overrides[i] != NULL; i++) {
		add(w, "-o");
		add(w, overrides[i]);
	}
	mem_free(program);
}

/* ---- its answer ---------------------------------------------------------- */

static json_t *
read_report(struct command_output_result *result, const char *program,
    char *error, size_t n)
{
	json_error_t where;
	json_t *report = NULL;

	if (result->status == 0 && buf_ok(&result->out)) {
		report = json_loads(
		    buf_str(&result->out), JSON_REJECT_DUPLICATES, &where);
		if (json_is_object(report)) {
			clean_all(report);
			return report;
		}
		(void)snprintf(error, n,
		    "%s: malformed answer: is it of this release?", program);
	} else {
		(void)snprintf(error, n, "%s: %s", program,
		    buf_len(&result->err) > 0 ? buf_str(&result->err)
					      : "it gives no answer");
		error[strcspn(error, "\n")] = '\0';
	}
	json_decref(report);
	return NULL;
}

json_t *
prober_run(const struct prober *p, const struct site_lane *lane,
    const char *nexthop, const char *const *overrides, char *error, size_t n)
{
	struct command_output_result result;
	struct words w = {.v = NULL};
	json_t *report;

	add_words(&w, p, lane, nexthop, overrides);
	command_output_try(
	    &result, (const char *const *)w.v, -1, PROBER_LIMIT_MS);
	report = read_report(&result, w.v[0], error, n);
	command_output_fini(&result);
	for (size_t i = 0; i < w.n; i++)
		mem_free(w.v[i]);
	mem_free(w.v);
	return report;
}
