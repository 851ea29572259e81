#include "agent/tables/maps.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "agent/settings/config.h"
#include "agent/tables/pattern_table.h"
#include "agent/tables/proxymap.h"
#include "agent/tables/table.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"

struct maps {
	struct maps_env env;
	char *postmap;
	struct proxymap *proxymap;
	struct table **tables;
	size_t count;
	const char *missed; /* a name as shown, see maps_missed() */
};

struct maps_query {
	struct maps *maps;
	size_t at; /* table being asked */
	char *key, *folded;
	bool is_partial;
	bool is_now; /* no table is asked */
	maps_fn *fn;
	void *ctx;
	struct proxymap_query *pending;
};

void
maps_env_init(
    struct maps_env *env, struct loop *loop, const struct settings *set)
{
	*env = (struct maps_env){
	    .loop = loop,
	    .config_directory = set->config_directory,
	    .command_directory = set->command_directory,
	    .proxymap_path = "private/proxymap",
	    .mail_version = set->mail_version,
	    .timeout_ms = set->ipc_timeout_us / US_PER_MS,
	};
	/* An hour, Postfix's own limit, would hold mail for that long. */
	if (env->timeout_ms > 60000)
		env->timeout_ms = 60000;
}

static void
free_secret(char *text)
{
	if (text != NULL)
		mem_wipe(text, strlen(text));
	mem_free(text);
}

static char *
fold(const char *key)
{
	char *copy = mem_strdup(key);

	for (char *p = copy; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return copy;
}

static void
add_table(
    struct maps *maps, char *name, const char *param, struct problems *problems)
{
	struct table *t =
	    table_open(name, maps->postmap, maps->env.config_directory);

	maps->tables = mem_realloc(
	    maps->tables, (maps->count + 1) * sizeof(maps->tables[0]));
	maps->tables[maps->count++] = t;
	if (table_bad(t) != NULL && problems != NULL)
		problems_addf(problems, "bad parameter: %s = %s: %s", param,
		    table_shown(t), table_bad(t));
}

struct maps *
maps_open(const struct maps_env *env, const char *param, const char *list,
    struct problems *problems)
{
	struct maps *maps = mem_zalloc(sizeof(*maps));
	struct slice rest = slice_str(list), name;

	maps->env = *env;
	maps->postmap = config_command(env->command_directory, "postmap");
	while (words_cut_braced(&rest, &name))
		add_table(maps, mem_strndup(name.p, name.n), param, problems);
	if (maps->count > 0 && env->loop != NULL)
		maps->proxymap = proxymap_new(env->loop, env->proxymap_path,
		    env->mail_version, env->timeout_ms);
	return maps;
}

void
maps_close(struct maps **maps)
{
	struct maps *m = *maps;

	*maps = NULL;
	if (m == NULL)
		return;
	proxymap_free(&m->proxymap);
	for (size_t i = 0; i < m->count; i++)
		table_close(&m->tables[i]);
	mem_free(m->tables);
	mem_free(m->postmap);
	mem_free(m);
}

bool
maps_is_empty(const struct maps *maps)
{
	return maps->count == 0;
}

/* One table for a maps_each_fn. */
struct each {
	maps_each_fn *fn;
	void *ctx;
	const char *table;
};

static void
tell_entry(void *ctx, const char *key, const char *value)
{
	struct each *each = ctx;

	each->fn(each->ctx, each->table, key, value);
}

bool
maps_each(
    const struct maps *maps, maps_each_fn *fn, void *ctx, char **error_out)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct table *t = maps->tables[i];
		struct each each = {fn, ctx, table_proxied_name(t)};
		const char *why = table_bad(t);

		if (why == NULL && table_each(t, tell_entry, &each))
			continue;
		*error_out = mem_printf("%s: %s", table_shown(t),
		    why != NULL ? why : "this type of table cannot be listed");
		return false;
	}
	return true;
}

/* All tables for a maps_key_fn. */
struct each_key {
	maps_key_fn *fn;
	void *ctx;
};

static void
tell_key(void *ctx, const char *key, const char *value)
{
	struct each_key *each = ctx;

	(void)value;
	each->fn(each->ctx, key);
}

void
maps_each_key(const struct maps *maps, maps_key_fn *fn, void *ctx)
{
	struct each_key each = {fn, ctx};

	for (size_t i = 0; i < maps->count; i++)
		(void)table_each(maps->tables[i], tell_key, &each);
}

bool
maps_keep_in_memory(struct maps *maps)
{
	bool is_good = true;

	for (size_t i = 0; i < maps->count; i++)
		is_good = table_keep_in_memory(maps->tables[i]) && is_good;
	return is_good;
}

char *
maps_names(const struct maps *maps)
{
	char *names = mem_strdup("");

	for (size_t i = 0; i < maps->count; i++) {
		char *longer = mem_printf("%s%s%s", names, i > 0 ? ", " : "",
		    table_shown(maps->tables[i]));

		mem_free(names);
		names = longer;
	}
	return names;
}

bool
maps_is_whole(const struct maps *maps)
{
	for (size_t i = 0; i < maps->count; i++)
		if (!table_is_whole(maps->tables[i]))
			return false;
	return true;
}

void
maps_preload(struct maps *maps, const char *key)
{
	for (size_t i = 0; i < maps->count; i++)
		table_preload(maps->tables[i], key);
}

const char *
maps_missed(const struct maps *maps)
{
	return maps->missed;
}

static void
query_free(struct maps_query *q)
{
	free_secret(q->key);
	free_secret(q->folded);
	mem_free(q);
}

/* The last words of a query. */
static void
finish(struct maps_query *q, enum maps_result result, const char *value,
    const char *error)
{
	maps_fn *fn = q->fn;
	void *ctx = q->ctx;

	query_free(q);
	fn(ctx, result, value, error);
}

static void
finish_error(struct maps_query *q, const char *error)
{
	char *text = mem_printf(
	    "table %s: %s", table_shown(q->maps->tables[q->at]), error);

	finish(q, MAPS_ERROR, NULL, text);
	mem_free(text);
}

/* As in Postfix: whoever has no answer must not give an empty one. */
static void
finish_found(struct maps_query *q, const char *value)
{
	if (*value == '\0')
		finish_error(q, "it gives an empty result");
	else
		finish(q, MAPS_FOUND, value, NULL);
}

/* OVER: the query was finished (and freed). */
enum step { STEP_OVER, STEP_WAITS, STEP_UNKNOWN, STEP_NEXT };

static enum step search(struct maps_query *q);

/* What postmap said at start may be what is wrong. */
static void
finish_unasked(struct maps_query *q, const char *error)
{
	const struct table *t = q->maps->tables[q->at];
	const char *at_start = table_unasked(t);
	char *text = at_start != NULL
			 ? mem_printf("%s (at start: %s)", error, at_start)
			 : mem_strdup(error);

	if (at_start != NULL)
		q->maps->missed = table_shown(t);
	finish_error(q, text);
	mem_free(text);
}

static void
on_proxymap(void *ctx, enum proxymap_result result, const char *text)
{
	struct maps_query *q = ctx;

	q->pending = NULL;
	switch (result) {
	case PROXYMAP_FOUND:
		finish_found(q, text);
		break;
	case PROXYMAP_NOT_FOUND:
		q->at++;
		(void)search(q);
		break;
	case PROXYMAP_ERROR:
		finish_unasked(q, text);
		break;
	}
}

static void
ask(struct maps_query *q, const struct table *t)
{
	q->pending = proxymap_ask(q->maps->proxymap, table_proxied_name(t),
	    table_keeps_case(t) ? q->key : q->folded, on_proxymap, q);
}

static enum step
wait_for(struct maps_query *q, const struct table *t)
{
	if (q->is_now)
		return STEP_UNKNOWN;
	if (q->maps->proxymap != NULL) {
		ask(q, t);
		return STEP_WAITS;
	}
	finish_unasked(q, "it was not read at start");
	return STEP_OVER;
}

/* What one table has to say. */
static enum step
search_one(struct maps_query *q, struct table *t)
{
	char error[TABLE_ERROR_SIZE] = "";
	enum step step = STEP_OVER;
	struct buf value;

	buf_init(&value, PATTERN_RESULT_MAX);
	switch (table_find(
	    t, q->key, q->is_partial, &value, error, sizeof(error))) {
	case TABLE_FOUND:
		finish_found(q, buf_str(&value));
		break;
	case TABLE_ERROR:
		finish_error(q, error);
		break;
	case TABLE_ASK:
		step = wait_for(q, t);
		break;
	case TABLE_NONE:
		step = STEP_NEXT;
		break;
	}
	buf_fini_secret(&value);
	return step;
}

/* Goes on from table q->at; never NEXT. */
static enum step
search(struct maps_query *q)
{
	for (; q->at < q->maps->count; q->at++) {
		enum step step = search_one(q, q->maps->tables[q->at]);

		if (step != STEP_NEXT)
			return step;
	}
	finish(q, MAPS_NOT_FOUND, NULL, NULL);
	return STEP_OVER;
}

static struct maps_query *
query_new(
    struct maps *maps, const char *key, bool is_partial, maps_fn *fn, void *ctx)
{
	struct maps_query *q = mem_zalloc(sizeof(*q));

	q->maps = maps;
	q->key = mem_strdup(key);
	q->folded = fold(key);
	q->is_partial = is_partial;
	q->fn = fn;
	q->ctx = ctx;
	/* No table is asked for nothing. */
	if (*key == '\0')
		q->at = maps->count;
	return q;
}

static struct maps_query *
find(
    struct maps *maps, const char *key, bool is_partial, maps_fn *fn, void *ctx)
{
	struct maps_query *q = query_new(maps, key, is_partial, fn, ctx);

	return search(q) == STEP_OVER ? NULL : q;
}

bool
maps_find_now(
    struct maps *maps, const char *key, bool is_partial, maps_fn *fn, void *ctx)
{
	struct maps_query *q = query_new(maps, key, is_partial, fn, ctx);

	q->is_now = true;
	if (search(q) == STEP_OVER)
		return true;
	query_free(q);
	return false;
}

struct maps_query *
maps_find(struct maps *maps, const char *key, maps_fn *fn, void *ctx)
{
	CHECK(fn != NULL);
	return find(maps, key, false, fn, ctx);
}

struct maps_query *
maps_find_partial(struct maps *maps, const char *key, maps_fn *fn, void *ctx)
{
	return find(maps, key, true, fn, ctx);
}

void
maps_cancel(struct maps_query **query)
{
	if (*query == NULL)
		return;
	proxymap_cancel(&(*query)->pending);
	query_free(*query);
	*query = NULL;
}
