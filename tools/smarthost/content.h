/* content: what one message's octets look like, judged as they arrive.
 *
 * The canonical content is what DATA carries after its dots were undone and
 * what BDAT carries as it is. content_add() digests it (SHA-256), finds
 * line-ending faults (RFC 5321 2.3.8, 4.5.3.1.6) and keeps the start of the
 * header for content_header(). dot_feed() undoes RFC 5321 4.5.2 and finds the
 * end; only CRLF.CRLF ends a message.
 *
 * Lengths are in octets. A kept body is bounded by the caller, who stops
 * adding; everything else has a fixed size.
 */
#ifndef SMARTHOST_CONTENT_H
#define SMARTHOST_CONTENT_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum {
	CONTENT_HEADER_MAX = 16384,
	CONTENT_LINE_MAX = 998,
	CONTENT_DIGEST = 32,
};

struct content {
	EVP_MD_CTX *md; /* made at the first content_start() */
	uint64_t octets;
	size_t line_len; /* octets of the line so far, a CR included */
	bool prev_cr;
	bool has_8bit, has_bare, has_long, has_no_end; /* faults found */
	bool in_header;
	struct buf header;
	struct buf body; /* all octets, when is_kept */
	bool is_kept;
};

struct dot {
	enum { DOT_LINE_START, DOT_DOT, DOT_DOT_CR, DOT_INSIDE } state;
	bool prev_cr;
	bool has_unstuffed; /* a line began with one dot and went on */
};

void content_init(struct content *c);
void content_fini(struct content *c);

/* Forgets the last message; is_kept: keep all octets in body. */
void content_start(struct content *c, bool is_kept);
void content_add(struct content *c, const char *p, size_t n);

/* Ends the message: faults are final, the digest is written as hex. */
void content_end(struct content *c, char hex_out[2 * CONTENT_DIGEST + 1]);

/* The value of the first header line of that name (without colon), blanks
 * trimmed, only its first line; empty when absent. Borrowed. */
struct slice content_header(const struct content *c, const char *name);

void dot_start(struct dot *d);

/* Takes octets of a DATA stream, gives their canonical form to c; returns how
 * many were used, all unless *is_end_out (the final dot was read). */
size_t dot_feed(struct dot *d, struct content *c, const char *p, size_t n,
    bool *is_end_out);

#endif
