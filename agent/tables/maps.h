/* maps: lookup tables, "type:name, type:name" as in main.cf.
 *
 * maps_open() reads what can be read whole (table.h), which therefore comes
 * before privileges are dropped: a password table readable by root only is the
 * usual case. Of others (ldap, mysql, tcp, ...) maps_preload() asks for the
 * keys known at start; what comes later goes through proxymap(8), as does all
 * of "proxy:". The tables are asked in order, the first hit counts, an error
 * or an empty value ends the search. For an empty key none is asked, whatever
 * it would say of one.
 *
 * Values may be secrets: they are wiped when freed.
 */
#ifndef MAPS_H
#define MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/settings/problems.h"

struct maps;
struct maps_query;

struct maps_env {
	struct loop *loop; /* may be NULL: then no proxymap */
	const char *config_directory; /* for postmap -c */
	const char *command_directory; /* where postmap is */
	const char *proxymap_path; /* socket, relative to the queue directory */
	const char *mail_version; /* decides proxymap's protocol */
	int64_t timeout_ms; /* for one answer of proxymap */
};

enum maps_result {
	MAPS_FOUND,
	MAPS_NOT_FOUND,
	MAPS_ERROR, /* unreadable, refused, timed out */
};

/* value: only if found; error: only on error, one line, no secrets. Both are
 * valid during the call. */
typedef void maps_fn(
    void *ctx, enum maps_result result, const char *value, const char *error);

/* The usual environment; pointers are into set. */
void maps_env_init(
    struct maps_env *env, struct loop *loop, const struct settings *set);

/* Opens the tables of list (may be empty). Never NULL: a table that cannot be
 * read is remembered, finds that reach it give MAPS_ERROR, and problems (may
 * be NULL) gets a line that names param, e.g. "smtp_tls_policy_maps". Blocks.
 * What env points to must outlive the maps. */
struct maps *maps_open(const struct maps_env *env, const char *param,
    const char *list, struct problems *problems);
void maps_close(struct maps **maps);

/* No table in the list. */
bool maps_is_empty(const struct maps *maps);

/* Every key can be answered here: no table that only proxymap(8) may know. */
bool maps_is_whole(const struct maps *maps);

/* Every entry of the tables, in their order. false, with *error (to be freed):
 * a table could not be read, or is of a type that cannot be listed. */
typedef void maps_each_fn(
    void *ctx, const char *table, const char *key, const char *value);
bool maps_each(
    const struct maps *maps, maps_each_fn *fn, void *ctx, char **error_out);

/* The keys of those tables that could be listed; values are not told. */
typedef void maps_key_fn(void *ctx, const char *key);
void maps_each_key(const struct maps *maps, maps_key_fn *fn, void *ctx);

/* "hash:/etc/x, regexp:/etc/y", without values in names; to be freed. */
char *maps_names(const struct maps *maps);

/* Asks the tables that could not be read whole for key now, and remembers the
 * answer. Blocks; only at start. */
void maps_preload(struct maps *maps, const char *key);

/* Their values are secrets: see table_keep_in_memory(). */
bool maps_keep_in_memory(struct maps *maps);

/* The table, as it may be shown, that a query was in want of although it was to
 * be asked at start: a process that starts now may find it. NULL: none. */
const char *maps_missed(const struct maps *maps);

/* Looks key up. The callback may come from inside this call; then NULL is
 * returned. Otherwise it comes from the loop, unless cancelled before. */
struct maps_query *maps_find(
    struct maps *maps, const char *key, maps_fn *fn, void *ctx);

/* The same for a part of an address ("@domain", "user"), which tables of
 * patterns are not asked for: a pattern would match it by accident. */
struct maps_query *maps_find_partial(
    struct maps *maps, const char *key, maps_fn *fn, void *ctx);

/* The answer, if no table has to be asked for it: the callback comes from
 * inside this call. false: one has; there is no callback. is_partial: as for
 * maps_find_partial(). */
bool maps_find_now(struct maps *maps, const char *key, bool is_partial,
    maps_fn *fn, void *ctx);

/* No callback any more; *query may be NULL. Not from inside its callback. */
void maps_cancel(struct maps_query **query);

#endif
