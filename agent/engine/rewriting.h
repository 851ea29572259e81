/* rewriting: the lines of a message as smtp(8) changes them on their way out.
 *
 *   records -> mime -> checks, generic -> lines -> content
 *
 * Conversion to 7 bit: mime.h. smtp_header_checks and its like: checks.h; they
 * see what was converted. smtp_generic_maps: addresses of the primary headers
 * that have some; one that a check replaced is such a header if it was one
 * before and is one now (smtp(8) goes by the length of the former name).
 *
 * Where none of this is wanted there is no rewriting: the message goes from
 * its records to the wire untouched. Tables that do not answer at once were
 * asked before (lookahead.h), by a rewriting that only looks ahead: it notes
 * what addresses want of them and gives no lines. Lines are taken out as they
 * are put in, so what is kept is one header, or one piece of the body.
 *
 * Source: generic(5), header_checks(5); Postfix src/smtp/smtp_proto.c
 * (smtp_header_rewrite, smtp_body_rewrite).
 */
#ifndef REWRITING_H
#define REWRITING_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/checks.h"
#include "agent/engine/generic.h"
#include "common/base/rewriter.h"
#include "common/base/slice.h"

struct answers;
struct rewriting;

/* What is wanted of each message; lives as long as the process. */
struct rewriting_rules {
	struct generic generic; /* set in it is never NULL */
	struct checks checks;
};

enum rewriting_result {
	REWRITING_OK,
	REWRITING_FAILED, /* a table gave an error; logged */
	REWRITING_TOO_DEEP, /* cannot be converted: nested too deeply */
};

/* Something may be changed by these rules, which may be NULL: then nothing is,
 * or by a conversion. */
bool rewriting_is_wanted(const struct rewriting_rules *rules, bool to_7bit);

/* For one message, from its first octet. All is borrowed; answers may be NULL
 * where all tables answer at once. */
struct rewriting *rewriting_new(const struct rewriting_rules *rules,
    struct answers *answers, const char *queue_id, bool to_7bit);
/* Likewise, to look ahead. */
struct rewriting *rewriting_foresee(
    const struct rewriting_rules *rules, struct answers *answers);
void rewriting_free(struct rewriting **r);

/* One record (content.h), or the end of all. What came of the one before must
 * have been taken. After a result other than OK nothing may be put. */
enum rewriting_result rewriting_put(struct rewriting *r, struct slice piece,
    bool ends_line) __attribute__((warn_unused_result));
enum rewriting_result rewriting_end(struct rewriting *r)
    __attribute__((warn_unused_result));

/* The next piece that came of it, borrowed until the next call; false: none. */
bool rewriting_take(
    struct rewriting *r, struct slice *piece_out, bool *ends_line_out);

/* No more addresses will come. */
bool rewriting_is_past_headers(const struct rewriting *r);

#endif
