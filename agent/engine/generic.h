/* generic: addresses as smtp_generic_maps change them on their way out.
 *
 * An address is looked for as user+extension@domain, user@domain; where the
 * domain is myorigin or one of mydestination, as user+extension, user; then as
 * @domain. Keys are in external form ("a b"@example.com). A result of @domain
 * keeps the user; an extension that was not looked for is added again where
 * propagate_unmatched_extensions says so; then the result is completed as
 * trivial-rewrite(8) does it (append_at_myorigin and its like).
 *
 * A key that has to be asked for elsewhere is looked for among answers.
 *
 * Of smtp(8)'s, "[address of an interface]" as a domain of one's own is
 * missing. Source: generic(5); Postfix src/global/mail_addr_map.c,
 * mail_addr_find.c, split_addr.c.
 */
#ifndef GENERIC_H
#define GENERIC_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/rewriter.h"

struct answers;
struct settings;

struct generic {
	const struct settings *set;
	struct rewriter maps; /* fn NULL: nothing is changed */
	struct rewriter partial; /* the same for parts of an address */
	struct rewriter destinations; /* tables of mydestination */
};

/* address, in internal form, becomes what is put at the end of out, internal
 * too. KEPT: no such key; out is as it was. FAILED: a table gave an error, or
 * something that is no address; that was logged. UNKNOWN: answers, which may
 * be NULL where all tables answer at once, lacks a key that is wanted now. */
enum rewriter_result generic_map(const struct generic *generic,
    struct answers *answers, const char *address, struct buf *out);

#endif
