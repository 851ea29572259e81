/* anonymize: what stands in a text in the place of mail addresses.
 *
 *             john.doe@example.com                  shows
 *   SMART     j***@example.com                      whose provider it is
 *   HASH      9c0d5be0a1f2c3d4@5b1a90cc71e2.invalid  that two are the same
 *
 * An address is found wherever there is an "@", as a log line or a server's
 * reply has it: bare, in <>, quoted, with %40 or =40; behind to=, orig_to= and
 * from= all that stands in <> is one. Its local part is hidden as well where a
 * server repeats it alone. Rather too much is hidden than too little. What was
 * hidden already stays as it is.
 *
 * SMART keeps the first letter of a local part that has four or more, and the
 * domain, since troubles are those of a provider; who has a domain of his own
 * can be told by it. HASH keeps neither: 64 bits of a keyed digest of the whole
 * address and 48 of its domain, letters of ASCII in lower case, in a name that
 * cannot exist (RFC 2606), so that log tools count senders, recipients and
 * domains as before.
 */
#ifndef ANONYMIZE_H
#define ANONYMIZE_H

#include "common/base/buf.h"
#include "common/base/slice.h"

enum anonymize_mode {
	ANONYMIZE_NONE,
	ANONYMIZE_SMART,
	ANONYMIZE_HASH,
};

enum { ANONYMIZE_DIGEST_SIZE = 32 };

struct anonymize {
	enum anonymize_mode mode;
	/* Of HASH: what only they can compute who have the key. */
	void (*digest)(void *ctx, struct slice text,
	    unsigned char out[ANONYMIZE_DIGEST_SIZE]);
	void *ctx;
};

/* Appends what is shown of address, with or without a domain. */
void anonymize_address(
    const struct anonymize *a, struct slice address, struct buf *out);

/* Appends text, its addresses anonymized. about: the address that all of text
 * is about, for whose local part it is searched as well; "": that is known of
 * addresses in the text only, and looked for in what a server said. */
void anonymize_text(const struct anonymize *a, struct slice text,
    struct slice about, struct buf *out);

#endif
