#include "agent/tables/rewrite_table.h"

#include "common/base/log.h"
#include "common/base/mem.h"

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

/* Without a loop there is nobody who could be waited for. */
static enum rewriter_result
rewrite(void *ctx, const char *text, struct buf *out)
{
	struct rewrite_table *table = ctx;
	struct asking asking = {table->param, out, REWRITER_FAILED};

	CHECK(maps_find(table->maps, text, on_answer, &asking) == NULL);
	return asking.result;
}

static enum rewriter_result
rewrite_partial(void *ctx, const char *text, struct buf *out)
{
	struct rewrite_table *table = ctx;
	struct asking asking = {table->param, out, REWRITER_FAILED};

	CHECK(maps_find_partial(table->maps, text, on_answer, &asking) == NULL);
	return asking.result;
}

struct rewrite_table *
rewrite_table_open(const struct maps_env *env, const char *param,
    const char *list, struct mapwatch *watch, struct problems *problems)
{
	struct rewrite_table *table = mem_zalloc(sizeof(*table));
	struct maps_env alone = *env;

	alone.loop = NULL;
	table->param = param;
	mapwatch_add(watch, list);
	table->maps = maps_open(&alone, param, list, problems);
	if (!maps_is_whole(table->maps))
		problems_addf(problems,
		    "bad parameter: %s = %s: not supported by lane: must be of "
		    "types that can be read at start, such as hash, texthash, "
		    "regexp, pcre, cidr, inline and static",
		    param, list);
	if (!maps_is_empty(table->maps)) {
		table->rewriter = (struct rewriter){rewrite, table};
		table->partial = (struct rewriter){rewrite_partial, table};
	}
	return table;
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
