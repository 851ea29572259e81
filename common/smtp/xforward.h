/* xforward: where a message came from, told to the next server of a site.
 *
 *   XFORWARD NAME=mail.example ADDR=192.0.2.1 PORT=4321
 *   XFORWARD PROTO=ESMTP HELO=mail.example IDENT=4F69BA7A8B9 SOURCE=REMOTE
 *
 * Two commands, as smtp(8) has them. An attribute is sent when the server has
 * named it in its reply to EHLO and its value is known; a command without any
 * is left out. Values are xtext, where "=" stands for itself.
 *
 * Source: Postfix XFORWARD_README, src/smtp/smtp_proto.c.
 */
#ifndef XFORWARD_H
#define XFORWARD_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum xforward_attribute {
	XFORWARD_NAME,
	XFORWARD_ADDR,
	XFORWARD_PORT,
	XFORWARD_PROTO,
	XFORWARD_HELO,
	XFORWARD_IDENT,
	XFORWARD_SOURCE, /* "local", or anything else */
	XFORWARD_ATTRIBUTES,
};

/* Those of the first command, of the second, as masks. */
enum {
	XFORWARD_CLIENT =
	    1 << XFORWARD_NAME | 1 << XFORWARD_ADDR | 1 << XFORWARD_PORT,
	XFORWARD_PROTOCOL = 1 << XFORWARD_PROTO | 1 << XFORWARD_HELO |
			    1 << XFORWARD_IDENT | 1 << XFORWARD_SOURCE,
};

/* The bit of a word in the reply to EHLO; 0: no such attribute. */
unsigned xforward_bit(struct slice word);

/* The bits of those whose value is known. A value may be NULL. */
unsigned xforward_known(const char *const values[XFORWARD_ATTRIBUTES]);

/* Adds the command, CRLF included, with the attributes of mask, which are
 * known. false, and out as it was: it becomes too long for a line. */
bool xforward_command(struct buf *out,
    const char *const values[XFORWARD_ATTRIBUTES], unsigned mask)
    __attribute__((warn_unused_result));

#endif
