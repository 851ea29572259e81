#include "agent/tables/domain_tables.h"

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* So many wrong entries are told. */
enum { TABLES_MAX = 65536, TOLD_MAX = 10 };

struct loading {
	struct domains *domains;
	struct problems *problems;
};

static void
tell(struct problems *problems, const char *table, const char *why)
{
	problems_addf(problems,
	    "bad parameter: lane_domain_rate_limits: %s%s%s", table,
	    *table != '\0' ? ": " : "", why);
	log_lasting_fatal("%s", problems->text[problems->count - 1]);
}

static void
add_entry(void *ctx, const char *table, const char *key, const char *value)
{
	struct loading *l = ctx;
	char error[512];
	char *why;

	if (domains_add(l->domains, key, value, error, sizeof(error)) ||
	    l->problems->count >= TOLD_MAX)
		return;
	why = mem_printf("%s %s: %s", key, value, error);
	tell(l->problems, table, why);
	mem_free(why);
}

static void
load_tables(struct loading *l, const struct maps_env *env, const char *list)
{
	struct maps *maps =
	    maps_open(env, "lane_domain_rate_limits", list, NULL);
	char *error = NULL;

	if (!maps_each(maps, add_entry, l, &error)) {
		tell(l->problems, "", error);
		mem_free(error);
	}
	maps_close(&maps);
}

struct domains *
domain_tables_open(const struct maps_env *env, const struct settings *set,
    struct problems *problems)
{
	struct loading l = {domains_new(), problems};
	struct buf tables;
	char ignored[512];

	buf_init(&tables, TABLES_MAX);
	(void)domains_add_list(l.domains, set->lane_domain_rate_limits, &tables,
	    ignored, sizeof(ignored));
	if (buf_len(&tables) > 0)
		load_tables(&l, env, buf_str(&tables));
	buf_fini(&tables);
	return l.domains;
}
