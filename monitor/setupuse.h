/* setupuse: what names a lane that is about to go, or a table, in values as
 * they are in force ("postconf -nx", "postconf -Px") and in tables' sources.
 *
 *   relay_transport = slow:                     a transport
 *   transport_maps = static:slow inline:{...}   a word of such a table
 *   header_checks = regexp:{{/x/ FILTER slow:}} anywhere
 *
 * Pure. Where a word may mean something else it is taken for the lane's name:
 * who asks wants to know that nothing names it.
 */
#ifndef SETUPUSE_H
#define SETUPUSE_H

#include <stdbool.h>

#include "common/base/slice.h"

/* name: of a setting; of master.cf it is "service/type/name". */
bool setupuse_is_of_transports(const char *name); /* tables of transports */
bool setupuse_value_names(
    const char *name, const char *value, const char *lane);

/* A line of a table's source has lane as what is found. */
bool setupuse_table_names(
    const char *text, const char *lane, bool is_of_transports);

enum setupuse_table {
	SETUPUSE_END,
	SETUPUSE_TEXT, /* its source is a file of lines */
	SETUPUSE_OPAQUE, /* only a lookup says what it has */
};

/* The next table of a value, "proxy:" left out; *value goes on behind it. */
enum setupuse_table setupuse_next_table(
    const char **value, struct slice *table, struct slice *path);

/* A word of value is path, alone or behind "type:". */
bool setupuse_has_path(const char *value, const char *path);

/* value needs the setting: $name, ${name}, $(name), but not ${name?...}. */
bool setupuse_refers(const char *value, const char *name);

#endif
