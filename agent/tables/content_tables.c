#include "agent/tables/content_tables.h"

#include <string.h>

#include "agent/tables/rewrite_table.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

enum { LIST_MAX = 1 << 20, CHECKS = 4 };

struct content_tables {
	struct rewrite_table *generic, *destinations, *checks[CHECKS];
	struct rewriting_rules rules;
};

/* Of mydestination only what is a table; names are looked at as they are. */
static void
pick_tables(const char *list, struct buf *out, struct problems *problems)
{
	static const char between[] = ", \t\r\n";
	size_t n;

	for (;; list += n) {
		list += strspn(list, between);
		n = strcspn(list, between);
		if (n == 0)
			return;
		if (list[0] == '/' ||
		    (list[0] == '!' && memchr(list, ':', n) != NULL)) {
			problems_addf(problems,
			    "bad parameter: mydestination: %.*s: not supported "
			    "by lane with smtp_generic_maps: must be names and "
			    "tables",
			    (int)n, list);
		} else if (memchr(list, ':', n) != NULL) {
			if (buf_len(out) > 0)
				(void)buf_add_str(out, ", ");
			(void)buf_add(out, list, n);
		}
	}
}

static void
open_generic(struct content_tables *tables, const struct maps_env *env,
    const struct settings *set, struct mapwatch *watch,
    struct problems *problems)
{
	struct generic *generic = &tables->rules.generic;
	struct buf list;

	generic->set = set;
	tables->generic = rewrite_table_open_asked(
	    env, "smtp_generic_maps", set->smtp_generic_maps, watch, problems);
	generic->maps = *rewrite_table_rewriter(tables->generic);
	generic->partial = *rewrite_table_partial(tables->generic);
	if (generic->maps.fn == NULL)
		return;
	buf_init(&list, LIST_MAX);
	pick_tables(set->mydestination, &list, problems);
	tables->destinations = rewrite_table_open_asked(
	    env, "mydestination", buf_str(&list), watch, problems);
	generic->destinations = *rewrite_table_rewriter(tables->destinations);
	buf_fini(&list);
}

static void
open_checks(struct content_tables *tables, const struct maps_env *env,
    const struct settings *set, struct mapwatch *watch,
    struct problems *problems)
{
	struct checks *checks = &tables->rules.checks;
	const struct {
		const char *param, *list;
		struct rewriter *rewriter;
	} all[CHECKS] = {
	    {"smtp_header_checks", set->smtp_header_checks, &checks->header},
	    {"smtp_mime_header_checks", set->smtp_mime_header_checks,
		&checks->mime_header},
	    {"smtp_nested_header_checks", set->smtp_nested_header_checks,
		&checks->nested_header},
	    {"smtp_body_checks", set->smtp_body_checks, &checks->body},
	};

	for (int i = 0; i < CHECKS; i++) {
		tables->checks[i] = rewrite_table_open(
		    env, all[i].param, all[i].list, watch, problems);
		*all[i].rewriter = *rewrite_table_rewriter(tables->checks[i]);
	}
}

struct content_tables *
content_tables_open(const struct maps_env *env, const struct settings *set,
    struct mapwatch *watch, struct problems *problems)
{
	struct content_tables *tables = mem_zalloc(sizeof(*tables));

	open_generic(tables, env, set, watch, problems);
	open_checks(tables, env, set, watch, problems);
	return tables;
}

void
content_tables_close(struct content_tables **tables)
{
	struct content_tables *old = *tables;

	*tables = NULL;
	if (old == NULL)
		return;
	rewrite_table_close(&old->generic);
	rewrite_table_close(&old->destinations);
	for (int i = 0; i < CHECKS; i++)
		rewrite_table_close(&old->checks[i]);
	mem_free(old);
}

const struct rewriting_rules *
content_tables_rules(const struct content_tables *tables)
{
	return &tables->rules;
}

bool
content_tables_must_ask(const struct content_tables *tables)
{
	return !rewrite_table_is_whole(tables->generic) ||
	       (tables->destinations != NULL &&
		   !rewrite_table_is_whole(tables->destinations));
}
