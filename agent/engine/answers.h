/* answers: what lookup tables said that had to be asked elsewhere.
 *
 *   answers_find() --unknown--> wanted --answers_next()--> asked
 *                               asked --answers_put()--> known
 *
 * For one message (lookahead.h): its content and envelope are read in one go
 * later, and then find everything here. A table is known by the rewriter that
 * could not answer (REWRITER_UNKNOWN). What is held is bounded; what exceeds
 * that is a failure, not a forgotten answer.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/rewriter.h"

struct answers;

/* bytes_max: of keys and values, with what it takes to find them. */
struct answers *answers_new(size_t bytes_max);
void answers_free(struct answers **answers);

/* What table said of key, at the end of out. UNKNOWN: nothing yet; it is wanted
 * from now on. FAILED: too much is held, or answers is NULL; logged. */
enum rewriter_result answers_find(struct answers *answers,
    const struct rewriter *table, const char *key, struct buf *out);

/* The same without a want: true when it is known; *value_out is then NULL for
 * "no such key". Borrowed. */
bool answers_peek(const struct answers *answers, const struct rewriter *table,
    const char *key, const char **value_out);

/* The next key that is wanted, which counts as asked from now on; false: none.
 * Borrowed until answers_free(). */
bool answers_next(struct answers *answers, const struct rewriter **table_out,
    const char **key_out);

/* value NULL: no such key. What is known already stays. false: no room. */
bool answers_put(struct answers *answers, const struct rewriter *table,
    const char *key, const char *value);

/* Keys, whatever is known of them. */
size_t answers_count(const struct answers *answers);

#endif
