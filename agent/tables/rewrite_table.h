/* rewrite_table: lookup tables that are asked for a text.
 *
 * For smtp_reply_filter and its like, whose keys nobody knows at start and
 * whose answer cannot be waited for: tables that are read whole or evaluated
 * here (table.h), which answer at once. Others are refused, and the parameter
 * is a problem then, unless it is one whose keys can be asked for before they
 * are needed (lookahead.h): those tables answer UNKNOWN until then.
 *
 * "proxy:" is passed over where a table can be read here: its file is read as
 * root, like all others.
 */
#ifndef REWRITE_TABLE_H
#define REWRITE_TABLE_H

#include "agent/tables/maps.h"
#include "agent/tables/mapwatch.h"
#include "common/base/rewriter.h"

struct rewrite_table;

/* Reads the tables of list (may be empty) and has their files watched. param
 * is the parameter's name, kept by reference. Never NULL; what is wrong is
 * added to problems, and then every look-up fails. Blocks. */
struct rewrite_table *rewrite_table_open(const struct maps_env *env,
    const char *param, const char *list, struct mapwatch *watch,
    struct problems *problems);
/* The same, with tables that only proxymap(8) can ask. */
struct rewrite_table *rewrite_table_open_asked(const struct maps_env *env,
    const char *param, const char *list, struct mapwatch *watch,
    struct problems *problems);
void rewrite_table_close(struct rewrite_table **table);

/* Borrowed; lives as long as the table. */
const struct rewriter *rewrite_table_rewriter(
    const struct rewrite_table *table);

/* The same for parts of addresses, see maps_find_partial(). */
const struct rewriter *rewrite_table_partial(const struct rewrite_table *table);

/* It answers every key at once. */
bool rewrite_table_is_whole(const struct rewrite_table *table);

/* Asks for what the rewriter of such a table did not know; as maps_find(). */
struct maps_query *rewrite_table_ask(
    const struct rewriter *rewriter, const char *key, maps_fn *fn, void *ctx);

#endif
