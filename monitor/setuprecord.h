/* setuprecord: what setup has done, as a file beside main.cf.
 *
 *   NAME_setup.json      the next hop, each step as a hunk (hunk.h) in order,
 *                        whether there is a login, which TLS level the lanes
 *                        were given, and which tables were not
 *                        there before
 *   "unfinished": true   while files are being changed: of who was killed then
 *
 * It has no secret. Undo goes by it; without it nothing was added.
 */
#ifndef SETUPRECORD_H
#define SETUPRECORD_H

#include <jansson.h>
#include <stdbool.h>

#include "monitor/setupplan.h"

/* Of what is to be done: tables are looked at as they are before. hunks:
 * [{"file", "old", "new", "replaces"}], shared. json_decref() is the caller's,
 * as with what is read. */
json_t *setuprecord_make(const struct setupplan *plan, json_t *hunks);

/* NULL: it is not there (setuprecord_exists()), or is none. */
json_t *setuprecord_read(const char *path);
bool setuprecord_exists(const char *path);

/* In one step. False: errno says why, and nothing was changed. */
bool setuprecord_write(
    const char *path, const json_t *record, bool is_unfinished);

/* "": it does not say. */
const char *setuprecord_nexthop(const json_t *record);
const char *setuprecord_tls_level(const json_t *record);
const json_t *setuprecord_hunks(const json_t *record);
/* "unfinished", "no_login", "made_login", "had_login", "unended_login",
 * "made_transport". */
bool setuprecord_is_set(const json_t *record, const char *key);

/* The next hop of the lanes of this name that were added; NULL: there is no
 * record, or none that can be read. The caller's. */
char *setuprecord_nexthop_of(const char *directory, const char *name);

/* An apply or undo of the lanes of this name was killed in the middle. */
bool setuprecord_is_unfinished(const char *directory, const char *name);

#endif
