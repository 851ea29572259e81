/* inline_table: tables whose content stands in their name.
 *
 *   inline:{key = value, { key = value with blanks }, ...}
 *   static:value   static:{ value with blanks }
 *   regexp:{ { /pattern/ result }, ... }   and likewise pcre:, cidr:
 *   randmap:{ value, ... }   unionmap:{ type:name, ... }   and likewise
 * pipemap:
 *
 * They are read here and not by postmap(1), for which everybody could see the
 * values, passwords perhaps, among the arguments of a process. Source:
 * DATABASE_README; errors are one static line and repeat nothing.
 */
#ifndef INLINE_TABLE_H
#define INLINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Calls fn for each entry of what is behind "inline:". false: it is no table,
 * *why_out says so; fn may have been called. */
typedef void inline_entry_fn(void *ctx, const char *key, const char *value);
bool inline_entries(
    const char *text, inline_entry_fn *fn, void *ctx, const char **why_out);

/* The value behind "static:"; NULL: *why_out. To be wiped and freed. */
char *inline_static(const char *text, const char **why_out);

/* The rules behind "regexp:", a line for each; likewise. */
char *inline_rules(const char *text, const char **why_out);

/* What is between the braces of "randmap:{...}" or "unionmap:{...}"; likewise.
 * Its items one by one, copies to be wiped and freed; NULL at the end. */
char *inline_list(const char *text, const char **why_out);
char *inline_next(const char **list);

#endif
