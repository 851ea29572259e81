#include "monitor/edits.h"

#include <ctype.h>
#include <string.h>

#include "agent/settings/foreign.h"
#include "agent/settings/params.h"
#include "agent/settings/references.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/findings.h"

#define MENTIONS "smtpd_log_access_permit_actions"

enum { COMMAND_MAX = 65536 };

/* ---- the list ------------------------------------------------------------ */

static void
add(struct edits *e, enum edit_kind kind, const struct site_lane *lane,
    const char *name, char *value)
{
	e->v = mem_realloc(e->v, (e->count + 1) * sizeof(e->v[0]));
	e->v[e->count++] = (struct edit){.kind = kind,
	    .lane = lane,
	    .name = mem_strdup(name),
	    .value = value};
}

/* postconf -P takes no blanks. NULL: they are needed. */
static char *
without_blanks(const char *value)
{
	char *out = mem_strdup(value);
	size_t n = 0;

	for (const char *p = value; *p != '\0'; p++) {
		if (!isspace((unsigned char)*p)) {
			out[n++] = *p;
		} else if (strpbrk(value, "{}") != NULL) {
			mem_free(out);
			return NULL;
		} else if (n > 0 && out[n - 1] != ',' && p[1] != ',' &&
			   !isspace((unsigned char)p[1])) {
			out[n++] = ',';
		}
	}
	out[n] = '\0';
	return out;
}

bool
edits_set(struct edits *e, const struct site_lane *lane, const char *name,
    const char *value)
{
	char *text = lane != NULL ? without_blanks(value) : mem_strdup(value);

	if (text == NULL)
		return false;
	add(e, lane != NULL ? EDIT_OPTION : EDIT_MAIN, lane, name, text);
	return true;
}

void
edits_unset(struct edits *e, const struct site_lane *lane, const char *name)
{
	add(e, lane != NULL ? EDIT_UNSET_OPTION : EDIT_UNSET_MAIN, lane, name,
	    NULL);
}

void
edits_fini(struct edits *e)
{
	for (size_t i = 0; i < e->count; i++) {
		mem_free(e->v[i].name);
		mem_free(e->v[i].value);
	}
	mem_free(e->v);
	*e = (struct edits){NULL, 0};
}

/* ---- what postconf calls unused ------------------------------------------ */

static bool
is_of_a_lane(const struct site *site, const char *name)
{
	for (size_t i = 0; i < site->lane_count; i++) {
		const char *service = site->lanes[i].opt.service_name;
		size_t n = strlen(service);

		if (strncmp(name, service, n) == 0 && name[n] == '_')
			return true;
	}
	return false;
}

/* It knows no lane_... and of a transport's names only those of its own
 * programs' services. */
static bool
is_strange(const struct site *site, const char *name)
{
	const struct param *param = params_find(name);

	return strncmp(name, "lane_", 5) == 0 ||
	       (param != NULL && params_is_ours(param)) ||
	       (foreign_is_of_queue_manager(name) && is_of_a_lane(site, name));
}

static const char *
mentions_of(const struct site_lane *lane)
{
	return options_override(&lane->opt, MENTIONS);
}

static bool
mentions(const struct site_lane *lane, const char *name)
{
	const char *list = mentions_of(lane);

	return list != NULL && references_mention(list, name);
}

/* Where main.cf's names are referred to: in any entry, or in main.cf. */
static bool
is_mentioned(
    const struct site *site, const struct main_cf *cf, const char *name)
{
	for (size_t i = 0; i < cf->count; i++)
		if (references_mention(cf->v[i].value, name))
			return true;
	for (size_t i = 0; i < site->lane_count; i++)
		if (mentions(&site->lanes[i], name))
			return true;
	return false;
}

static const struct site_lane *
first_with_list(const struct site *site)
{
	for (size_t i = 0; i < site->lane_count; i++)
		if (mentions_of(&site->lanes[i]) != NULL)
			return &site->lanes[i];
	return NULL;
}

/* The entry whose list has to change for it; NULL: none. */
static const struct site_lane *
list_for(
    const struct edit *edit, const struct site *site, const struct main_cf *cf)
{
	const struct site_lane *lane = edit->lane;

	if (!is_strange(site, edit->name))
		return NULL;
	switch (edit->kind) {
	case EDIT_OPTION:
		return mentions_of(lane) != NULL && !mentions(lane, edit->name)
			   ? lane
			   : NULL;
	case EDIT_MAIN:
		return is_mentioned(site, cf, edit->name)
			   ? NULL
			   : first_with_list(site);
	case EDIT_UNSET_OPTION:
		return mentions(lane, edit->name) &&
			       main_cf_find(cf, edit->name) == NULL
			   ? lane
			   : NULL;
	case EDIT_MENTION: /* as edits_mention_all() found it */
		return lane != NULL ? lane : first_with_list(site);
	case EDIT_UNSET_MAIN:
		break;
	}
	for (size_t i = 0; i < site->lane_count; i++)
		if (mentions(&site->lanes[i], edit->name) &&
		    options_override(&site->lanes[i].opt, edit->name) == NULL)
			return &site->lanes[i];
	return NULL;
}

static bool
is_unset(const struct edit *edit)
{
	return edit->kind == EDIT_UNSET_OPTION || edit->kind == EDIT_UNSET_MAIN;
}

/* Not of those that nobody reads: a finding of its own has them. */
static bool
is_to_be_mentioned(const struct site *site, const char *name)
{
	return is_strange(site, name) &&
	       (strncmp(name, "lane_", 5) != 0 || params_find(name) != NULL);
}

void
edits_mention_all(
    struct edits *e, const struct site *site, const struct main_cf *cf)
{
	if (first_with_list(site) == NULL)
		return;
	for (size_t i = 0; i < cf->count; i++) {
		const char *name = cf->v[i].name;

		if (is_to_be_mentioned(site, name) &&
		    !is_mentioned(site, cf, name))
			add(e, EDIT_MENTION, NULL, name, NULL);
	}
	for (size_t i = 0; i < site->lane_count; i++) {
		const struct site_lane *lane = &site->lanes[i];

		for (size_t k = 0; k < lane->opt.override_count; k++) {
			const char *name = lane->opt.overrides[k].name;

			if (mentions_of(lane) != NULL &&
			    is_to_be_mentioned(site, name) &&
			    !mentions(lane, name))
				add(e, EDIT_MENTION, lane, name, NULL);
		}
	}
}

/* Its list as it is when the command runs, with these changes. */
static void
add_list(struct buf *out, const struct edits *e, const struct site *site,
    const struct main_cf *cf, const char *conf, const struct site_lane *lane)
{
	const char *service = lane->opt.service_name;
	struct buf added;

	buf_init(&added, COMMAND_MAX);
	(void)buf_addf(out,
	    " \"%s/unix/" MENTIONS "=$(postconf %s-Ph %s/unix/" MENTIONS
	    " 2>/dev/null | sed 's/[[:space:]]//g",
	    service, conf, service);
	for (size_t i = 0; i < e->count; i++) {
		if (list_for(&e->v[i], site, cf) != lane)
			continue;
		if (is_unset(&e->v[i]))
			(void)buf_addf(out, "; s/\\${%s?{}}//g", e->v[i].name);
		else
			(void)buf_addf(&added, "${%s?{}}", e->v[i].name);
	}
	(void)buf_add_str(out, "')\"");
	if (buf_len(&added) > 0)
		(void)buf_addf(out, "'%s'", buf_str(&added));
	buf_fini(&added);
}

static bool
changes_list(const struct edits *e, const struct site *site,
    const struct main_cf *cf, const struct site_lane *lane)
{
	for (size_t i = 0; i < e->count; i++)
		if (list_for(&e->v[i], site, cf) == lane)
			return true;
	return false;
}

/* ---- the command --------------------------------------------------------- */

static char *
word_of(const struct edit *edit)
{
	char *text = NULL, *word;

	switch (edit->kind) {
	case EDIT_UNSET_OPTION:
		text = mem_printf(
		    "%s/unix/%s", edit->lane->opt.service_name, edit->name);
		break;
	case EDIT_OPTION:
		text = mem_printf("%s/unix/%s=%s", edit->lane->opt.service_name,
		    edit->name, edit->value);
		break;
	case EDIT_UNSET_MAIN:
		return mem_strdup(edit->name);
	case EDIT_MAIN:
		text = mem_printf("%s = %s", edit->name, edit->value);
		break;
	case EDIT_MENTION: /* of the list alone */
		return mem_strdup("");
	}
	word = findings_quoted(text);
	mem_free(text);
	return word;
}

static void
begin(struct buf *out, const char *conf, enum edit_kind kind)
{
	static const char *const options[] = {"-PX", "-P", "-X", "-e"};

	(void)buf_addf(out, "%spostconf %s%s", buf_len(out) > 0 ? " && " : "",
	    conf, options[kind]);
}

char *
edits_command(const struct edits *e, const struct site *site,
    const struct main_cf *cf, const char *conf)
{
	struct buf out;
	char *command;

	buf_init(&out, COMMAND_MAX);
	for (int kind = EDIT_UNSET_OPTION; kind <= EDIT_MAIN; kind++) {
		bool is_begun = false;

		for (size_t i = 0; i < e->count; i++) {
			char *word;

			if ((int)e->v[i].kind != kind)
				continue;
			if (!is_begun)
				begin(&out, conf, (enum edit_kind)kind);
			is_begun = true;
			word = word_of(&e->v[i]);
			(void)buf_addf(&out, " %s", word);
			mem_free(word);
		}
		for (size_t i = 0; kind == EDIT_OPTION && i < site->lane_count;
		     i++) {
			if (!changes_list(e, site, cf, &site->lanes[i]))
				continue;
			if (!is_begun)
				begin(&out, conf, EDIT_OPTION);
			is_begun = true;
			add_list(&out, e, site, cf, conf, &site->lanes[i]);
		}
	}
	command = mem_strdup(buf_ok(&out) ? buf_str(&out) : "");
	buf_fini(&out);
	return command;
}
