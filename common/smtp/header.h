/* header: what is known of a message header by its name, and its words.
 *
 * Names are those that smtp(8) knows: the headers with addresses that
 * smtp_generic_maps apply to, and those that describe MIME content. Compared
 * without regard to case.
 *
 * Source: RFC 5322 2.2, RFC 2045 5.1; Postfix src/global/header_opts.c,
 * is_header.c, header_token.c.
 */
#ifndef HEADER_H
#define HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum header_kind {
	HEADER_OTHER,
	HEADER_ADDRESSES, /* a list of them, or one */
	HEADER_MIME, /* describes content */
	HEADER_CONTENT_TYPE, /* and so do these */
	HEADER_CONTENT_ENCODING,
};

/* Octets of the name in front of the colon when the line begins a header,
 * blanks between name and colon not counted; 0: it does not. */
size_t header_name_length(struct slice line);

/* By the name in front of the first colon of text. */
enum header_kind header_kind(const char *text);

enum { HEADER_WORD_SIZE = 2049 };

/* One word, "quoted string" (is_quoted), or special (is_special) of a
 * structured header; longer ones are cut. */
struct header_word {
	bool is_special, is_quoted;
	char text[HEADER_WORD_SIZE];
};

/* The next words up to `terminator` (0: none but the end), at most max of
 * them; those beyond are passed over, with a terminator, or left. Comments and
 * blanks are skipped. *text moves on. Returns their number, -1: none, at the
 * end of the text. */
int header_words(const char **text, const char *specials, char terminator,
    struct header_word *words, int max);

#endif
