#include "agent/tables/rewrite_table.h"

#include "agent/tables/table_name.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"

struct rewrite_table {
	const char *param;
	struct maps *maps;
	struct rewriter rewriter, partial;
};

/* One look-up. */
struct asking {
	const char *param;
	struct buf *out;
	enum rewriter_result result;
};

static void
on_answer(
    void *ctx, enum maps_result result, const char *value, const char *error)
{
	struct asking *a = ctx;

	switch (result) {
	case MAPS_FOUND:
		a->result = buf_add_str(a->out, value) ? REWRITER_DONE
						       : REWRITER_FAILED;
		break;
	case MAPS_NOT_FOUND:
		a->result = REWRITER_KEPT;
		break;
	case MAPS_ERROR:
		log_warn("%s: %s", a->param, error);
		a->result = REWRITER_FAILED;
		break;
	}
}

static enum rewriter_result
look_up(struct rewrite_table *table, const char *key, bool is_partial,
    struct buf *out)
{
	struct asking asking = {table->param, out, REWRITER_FAILED};

	return maps_find_now(table->maps, key, is_partial, on_answer, &asking)
		   ? asking.result
		   : REWRITER_UNKNOWN;
}

static enum rewriter_result
rewrite(void *ctx, const char *text, struct buf *out)
{
	return look_up(ctx, text, false, out);
}

static enum rewriter_result
rewrite_partial(void *ctx, const char *text, struct buf *out)
{
	return look_up(ctx, text, true, out);
}

/* list without "proxy:" before what is read here; to be freed. */
static char *
read_here(const char *list)
{
	struct slice rest = slice_str(list), name;
	char *all = mem_strdup("");

	while (words_cut_braced(&rest, &name)) {
		char *one = mem_strndup(name.p, name.n), *longer;

		longer = mem_printf("%s%s%s", all, *all != '\0' ? ", " : "",
		    table_name_read_here(one));
		mem_free(one);
		mem_free(all);
		all = longer;
	}
	return all;
}

static struct rewrite_table *
open_tables(const struct maps_env *env, const char *param, const char *list,
    struct mapwatch *watch, struct problems *problems)
{
	struct rewrite_table *table = mem_zalloc(sizeof(*table));
	char *direct = read_here(list);

	table->param = param;
	mapwatch_add(watch, direct);
	table->maps = maps_open(env, param, direct, problems);
	if (!maps_is_empty(table->maps)) {
		table->rewriter = (struct rewriter){rewrite, table};
		table->partial = (struct rewriter){rewrite_partial, table};
	}
	mem_free(direct);
	return table;
}

struct rewrite_table *
rewrite_table_open(const struct maps_env *env, const char *param,
    const char *list, struct mapwatch *watch, struct problems *problems)
{
	struct maps_env alone = *env;
	struct rewrite_table *table;

	alone.loop = NULL;
	table = open_tables(&alone, param, list, watch, problems);
	if (!maps_is_whole(table->maps))
		problems_addf(problems,
		    "bad parameter: %s = %s: not supported by lane: must be of "
		    "types that can be read at start, such as hash, texthash, "
		    "regexp, pcre, cidr, inline and static",
		    param, list);
	return table;
}

struct rewrite_table *
rewrite_table_open_asked(const struct maps_env *env, const char *param,
    const char *list, struct mapwatch *watch, struct problems *problems)
{
	return open_tables(env, param, list, watch, problems);
}

void
rewrite_table_close(struct rewrite_table **table)
{
	struct rewrite_table *old = *table;

	*table = NULL;
	if (old == NULL)
		return;
	maps_close(&old->maps);
	mem_free(old);
}

bool
rewrite_table_is_whole(const struct rewrite_table *table)
{
	return maps_is_whole(table->maps);
}

struct maps_query *
rewrite_table_ask(
    const struct rewriter *rewriter, const char *key, maps_fn *fn, void *ctx)
{
	struct rewrite_table *table = rewriter->ctx;

	return rewriter->fn == rewrite_partial
		   ? maps_find_partial(table->maps, key, fn, ctx)
		   : maps_find(table->maps, key, fn, ctx);
}

const struct rewriter *
rewrite_table_rewriter(const struct rewrite_table *table)
{
	return &table->rewriter;
}

const struct rewriter *
rewrite_table_partial(const struct rewrite_table *table)
{
	return &table->partial;
}
