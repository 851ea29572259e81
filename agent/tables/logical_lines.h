/* logical_lines: the text of a table, line by line, continued lines joined.
 *
 * A line that begins with a blank belongs to the one before; empty lines and
 * those whose first character but blanks is # are none, wherever they stand.
 * Source: regexp_table(5), cidr_table(5).
 */
#ifndef LOGICAL_LINES_H
#define LOGICAL_LINES_H

#include <stdbool.h>

#include "common/base/slice.h"

enum { LOGICAL_LINES_MAX = 16 << 20 }; /* octets of a text */

/* Takes one line without blanks at its end, which it may change and which is
 * wiped afterwards; false ends the reading. */
typedef bool logical_line_fn(void *ctx, char *line);

/* *number_out is that of the (first) line being read. False: fn said so, then
 * *why_out is NULL, or it says what the text lacks. */
bool logical_lines_read(struct slice text, logical_line_fn *fn, void *ctx,
    int *number_out, const char **why_out);

#endif
