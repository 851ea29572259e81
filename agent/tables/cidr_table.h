/* cidr_table: a cidr: table of Postfix, evaluated here.
 *
 *   192.0.2.0/24 result      the first network that the address is in decides
 *   !192.0.2.0/24 result     ... that it is not in, of its family
 *   if 192.0.2.0/24 ... endif   lines that are skipped unless it is in
 *
 * What is no address is in no network. A table is good as a whole or not used
 * at all, as those of patterns are (pattern_table.h); Postfix skips what it
 * cannot read. Results may be passwords: they are wiped when freed, and no
 * error repeats them. Source: cidr_table(5).
 */
#ifndef CIDR_TABLE_H
#define CIDR_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

struct cidr_table;

/* text is the content of the file that errors call path. NULL: error has one
 * line, "PATH, line N: ...". */
struct cidr_table *cidr_table_new(
    const char *path, struct slice text, char *error, size_t error_size);
void cidr_table_free(struct cidr_table **table);

/* NULL: no network has it. Borrowed. */
const char *cidr_table_find(const struct cidr_table *table, const char *addr);

#endif
