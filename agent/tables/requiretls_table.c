#include "agent/tables/requiretls_table.h"

#include <string.h>

#include "agent/tables/rewrite_table.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/smtp/nexthop.h"

enum { VALUE_MAX = 1000 };

static const char param[] = "smtp_requiretls_policy";

struct item {
	struct rewrite_table *table; /* NULL: a word, that is action */
	enum requiretls action;
};

struct requiretls_table {
	struct item *items;
	size_t count;
};

static bool
read_action(struct slice word, enum requiretls *out)
{
	static const char *const words[] = {
	    [REQUIRETLS_ENFORCE] = "enforce",
	    [REQUIRETLS_STARTTLS] = "opportunistic+starttls",
	    [REQUIRETLS_OPPORTUNISTIC] = "opportunistic",
	    [REQUIRETLS_DISABLE] = "disable",
	    [REQUIRETLS_ERROR] = "error",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eq_nocase(word, words[i])) {
			*out = (enum requiretls)i;
			return true;
		}
	return false;
}

static void
add_item(struct requiretls_table *table, struct item item)
{
	table->items = mem_realloc(
	    table->items, (table->count + 1) * sizeof(table->items[0]));
	table->items[table->count++] = item;
}

struct requiretls_table *
requiretls_table_open(const struct maps_env *env, const char *list,
    struct mapwatch *watch, struct problems *problems)
{
	struct requiretls_table *table = mem_zalloc(sizeof(*table));
	struct slice rest = slice_str(list), word;

	while (words_cut_braced(&rest, &word)) {
		char *text = mem_strndup(word.p, word.n);
		struct item item = {NULL, REQUIRETLS_ERROR};

		if (strchr(text, ':') != NULL)
			item.table = rewrite_table_open(
			    env, param, text, watch, problems);
		else if (!read_action(word, &item.action))
			problems_addf(problems,
			    "bad parameter: %s = %s: must be of enforce, "
			    "opportunistic+starttls, opportunistic, disable "
			    "and tables",
			    param, list);
		add_item(table, item);
		mem_free(text);
	}
	return table;
}

void
requiretls_table_close(struct requiretls_table **table)
{
	struct requiretls_table *old = *table;

	*table = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->count; i++)
		rewrite_table_close(&old->items[i].table);
	mem_free(old->items);
	mem_free(old);
}

/* true: the table knows the name, or fails. */
static bool
ask(const struct rewriter *rewriter, const char *name, enum requiretls *out)
{
	struct buf value;
	enum rewriter_result result;

	buf_init(&value, VALUE_MAX);
	result = rewriter_ask(rewriter, name, &value);
	*out = REQUIRETLS_ERROR;
	if (result == REWRITER_DONE && !read_action(buf_slice(&value), out))
		log_warn("%s: bad result \"%s\" for %s: must be one word, such "
			 "as enforce",
		    param, buf_str(&value), name);
	buf_fini(&value);
	return result != REWRITER_KEPT;
}

/* The domain, then what it belongs to. */
static bool
find(
    const struct rewrite_table *table, const char *domain, enum requiretls *out)
{
	const char *parent = domain;

	if (ask(rewrite_table_rewriter(table), domain, out))
		return true;
	if (nexthop_is_address(slice_str(domain)))
		return false;
	while ((parent = strchr(parent + 1, '.')) != NULL)
		if (ask(rewrite_table_partial(table), parent, out))
			return true;
	return false;
}

enum requiretls
requiretls_table_find(const struct requiretls_table *table, const char *domain)
{
	enum requiretls action;

	for (size_t i = 0; i < table->count; i++) {
		const struct item *item = &table->items[i];

		if (item->table == NULL)
			return item->action;
		if (*domain != '\0' && find(item->table, domain, &action))
			return action;
	}
	return REQUIRETLS_ENFORCE;
}
