/* mime: the lines of a message, told apart as headers and body.
 *
 *   primary headers            MIME_PRIMARY
 *   --boundary
 *   headers of a part          MIME_MULTIPART
 *   message/rfc822: headers    MIME_NESTED
 *   all else                   on_body
 *
 * Input is a sequence of pieces; a piece may end its line or leave it open, as
 * the N and L records of a queue file do. A header is told as a whole, its
 * lines joined by LF; more than `header_limit` octets of it (and one piece) are
 * dropped; a NUL ends what is taken of a piece. "Name :" becomes "Name:".
 * Body pieces are told as they come. A line that ends the primary headers and
 * is neither empty nor a header gets an empty one before it.
 *
 * With to_7bit, parts whose Content-Transfer-Encoding says 8bit or binary are
 * converted: leaves to quoted-printable, their header says so; headers of
 * multipart and message parts say 7bit. Everything else keeps its octets, so
 * a signature over parts that were 7bit already stays good. RFC 6152 3.
 *
 * What is malformed is passed on as it is; the one error is a nesting deeper
 * than nesting_limit while converting. Holds one header and the boundaries
 * around the present part. Equal to smtp(8)'s results to the octet. Source:
 * RFC 2045, RFC 2046; Postfix src/global/mime_state.c.
 */
#ifndef MIME_H
#define MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "common/smtp/header.h"

enum mime_class { MIME_PRIMARY, MIME_MULTIPART, MIME_NESTED, MIME_BODY };

struct mime_ops {
	/* text: the header without its last line end; may be changed. */
	void (*on_header)(void *ctx, enum mime_class class,
	    enum header_kind kind, struct buf *text);
	void (*on_body)(void *ctx, struct slice piece, bool ends_line);
};

struct mime_limits {
	size_t header_size; /* header_size_limit */
	size_t boundary_length; /* mime_boundary_length_limit */
	int nesting; /* mime_nesting_limit */
};

struct mime;

/* headers_only: parts and nested messages are not looked for; then there is
 * no conversion. limits is copied, ops borrowed. */
struct mime *mime_new(const struct mime_limits *limits, bool headers_only,
    bool to_7bit, const struct mime_ops *ops, void *ctx);
void mime_free(struct mime **m);

/* false: nested too deeply; nothing more may be asked. */
bool mime_put(struct mime *m, struct slice piece, bool ends_line)
    __attribute__((warn_unused_result));

/* The end of the message: tells what was kept back. */
bool mime_end(struct mime *m) __attribute__((warn_unused_result));

#endif
