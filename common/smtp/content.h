/* content: message lines into the octets that follow DATA or BDAT.
 *
 * Input is a sequence of pieces; a piece may end its line or leave it open, as
 * the N and L records of a queue file do. Output is appended to a buffer:
 *
 *   - each line ends with CRLF, the last one too;
 *   - with dot_stuffing a dot at the start of a line is doubled (RFC 5321
 *     section 4.5.2); never after a fold, which starts with a blank;
 *   - a bare CR or LF in the data becomes a blank, so that nobody downstream
 *     can take it for a line end;
 *   - a line longer than `limit` octets is broken by CRLF SPACE, the SPACE
 *     counting for the next part, a doubled dot not counting at all.
 *
 * The folds are smtp(8)'s to the octet, including one subtlety: an *open*
 * piece that fills a line exactly is folded at once, although nothing may
 * follow (then a line with only a blank is left); a piece that ends its line
 * there is not folded. Pieces may therefore be cut further by the caller at
 * any place but the very end of their data.
 *
 * No errors; the caller sizes the buffer and checks buf_ok(). Output is at
 * most content_room() octets per piece. NUL and 8-bit octets pass as they are.
 *
 * Source: Postfix src/smtp/smtp_proto.c (message content).
 */
#ifndef CONTENT_H
#define CONTENT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

struct content {
	size_t limit; /* smtp_line_length_limit; 0: never fold */
	size_t column; /* octets of the line so far; 0: at its start */
	bool has_dot_stuffing;
	bool is_open; /* the last piece did not end its line */
	bool was_folded; /* content_restart() keeps it */
};

/* line_length_limit below 1 means no limit. 1 would leave no room beside the
 * blank of a fold (smtp(8) never comes to an end then): it is taken as 2. */
void content_init(struct content *c, int line_length_limit, bool dot_stuffing);

/* From the start of a message again; limit and was_folded are kept. */
void content_restart(struct content *c, bool dot_stuffing);

void content_put(
    struct content *c, struct slice piece, bool ends_line, struct buf *out);

/* End of the message: closes a line that was left open. */
void content_end(struct content *c, struct buf *out);

/* Most octets that content_put() may append for a piece of n octets. */
size_t content_room(const struct content *c, size_t n);

#endif
