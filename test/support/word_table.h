/* word_table: a rewriter whose table stands in its context, "key=value|...".
 */
#ifndef WORD_TABLE_H
#define WORD_TABLE_H

#include "common/base/buf.h"
#include "common/base/rewriter.h"

/* ctx: the table, a string. A value of "!" is an error of the table. */
enum rewriter_result word_table_ask(
    void *ctx, const char *text, struct buf *to);

#endif
