/* table_name: what "type:name" tells of a lookup table before it is opened.
 *
 * A name may have values in it, passwords perhaps: inline:{...}, static:...,
 * unionmap:{...} and all that is built of them. Source: DATABASE_README.
 */
#ifndef TABLE_NAME_H
#define TABLE_NAME_H

#include <stdbool.h>

/* What Postfix has had by 3.12. Anything else is no table, but perhaps a login
 * that stands where its table should. */
bool table_name_is_known(const char *type);

/* Its name is its content, or has some of it. */
bool table_name_has_values(const char *name);

/* As it may be shown, without values; to be freed. */
char *table_name_shown(const char *name);

/* The type of "type:name"; of unionmap and pipemap that of the first table
 * inside, which decides how they are asked. To be freed. */
char *table_name_type(const char *name);

/* DICT_FLAG_PATTERN in Postfix: such a table is asked for whole keys, as they
 * are. */
bool table_name_is_pattern(const char *type);

bool table_name_is_proxied(const char *name);

/* Without the "proxy:" of a table that can be read, or evaluated, here as well;
 * points into name. */
const char *table_name_read_here(const char *name);

#endif
