/* table: one lookup table, "type:name", as far as it can be read here.
 *
 *   hash, btree, lmdb, cdb, dbm, sdbm, texthash    listed by postmap -s
 *   inline, static, randmap, regexp, pcre, cidr    read and evaluated here
 *   fail                                           an error for every key
 *   unionmap, pipemap                              of what their parts say
 *   all others                                     table_preload(), postmap -q
 *
 * Values may be secrets. Everybody may read the arguments of a process, so a
 * name that has values in it is never given to a command: of types that only
 * postmap knows those with a brace in their name are refused. Keys are folded
 * to lower case except for tables of patterns, as users of dict(3) in Postfix
 * do. Source: DATABASE_README; what unionmap and pipemap give is from
 * dict_union(3) and dict_pipe(3).
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

struct table;

enum table_answer {
	TABLE_FOUND,
	TABLE_NONE,
	TABLE_ERROR,
	TABLE_ASK, /* only proxymap(8) may know */
};

enum {
	TABLE_ERROR_SIZE = 1024,
	/* A table that has to be asked over a network may be dead. */
	TABLE_ASK_LIMIT_MS = 5000,
};

/* Blocks. Takes name over. Never NULL: see table_bad(). The paths are
 * borrowed. */
struct table *table_open(
    char *name, const char *postmap, const char *config_directory);
void table_close(struct table **table);

/* Values are secrets: what was read of them at start is locked in memory and in
 * no core file (vault.h). Once, when all that is preloaded is there. False with
 * errno: it may be swapped out. Patterns and networks are left as they are. */
bool table_keep_in_memory(struct table *t);

/* As it may be shown: without values. */
const char *table_shown(const struct table *t);
/* What proxymap(8) knows it by. */
const char *table_proxied_name(const struct table *t);

/* Why it cannot be used at all; NULL: it can. */
const char *table_bad(const struct table *t);
/* Why it, or a part of it, could not be asked at start; NULL: it could, or
 * was not. */
const char *table_unasked(const struct table *t);

/* It can answer every key: nobody else is to be asked. */
bool table_is_whole(const struct table *t);

/* Asks, if it has to be asked, for a key that will be needed, and remembers
 * the answer. Blocks TABLE_ASK_LIMIT_MS at most; a table that gave none is
 * not asked again. */
void table_preload(struct table *t, const char *key);

/* Appends the value to *value (wipe it), or writes one line without secrets
 * to error. is_partial: the key is a part of an address, which tables of
 * patterns are not asked for, as a pattern would match it by accident. */
enum table_answer table_find(struct table *t, const char *key, bool is_partial,
    struct buf *value, char *error, size_t error_size);

/* True for tables of patterns: the key goes to proxymap as it is. */
bool table_keeps_case(const struct table *t);

/* fn for each entry; false: it cannot be listed. Parts of unionmap and
 * pipemap cannot. */
typedef void table_entry_fn(void *ctx, const char *key, const char *value);
bool table_each(const struct table *t, table_entry_fn *fn, void *ctx);

#endif
