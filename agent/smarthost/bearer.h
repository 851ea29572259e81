/* bearer: login with an OAuth2 access token, XOAUTH2 and OAUTHBEARER.
 *
 *   XOAUTH2      user=U ^A auth=Bearer T ^A ^A
 *   OAUTHBEARER  n,a=U, ^A host=H ^A port=P ^A auth=Bearer T ^A ^A  (RFC 7628)
 *
 * (^A is octet 1, the blanks stand here only.) The message is the initial
 * response. A server that does not take the token says so with a 334 that
 * carries JSON, waits for an empty line (XOAUTH2) or one ^A (OAUTHBEARER), and
 * then refuses. A server that asks with an empty 334 for what it was already
 * given (RFC 4954 4 allows to send it at once, not all listen) gets it again,
 * once.
 *
 * Plain text in and out, Base64 is the caller's. The token is borrowed and
 * never logged; what a server says of it is cleaned and cut.
 *
 * Sources: RFC 7628 3.1, 3.2.2, 3.2.3; RFC 5801 4 (the name in "a=");
 * developers.google.com/gmail/imap/xoauth2-protocol.
 */
#ifndef BEARER_H
#define BEARER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum { BEARER_REFUSAL_SIZE = 300 };

enum bearer_mech { BEARER_XOAUTH2, BEARER_OAUTHBEARER };

struct bearer {
	enum bearer_mech mech;
	const char *user, *token, *host;
	uint16_t port;
	bool is_repeated; /* the message was asked for again */
	char refusal[BEARER_REFUSAL_SIZE]; /* the server's JSON as words */
	bool is_refused;
};

/* Chooses of the offered mechanisms (blanks between): XOAUTH2 first, which
 * all providers have. NULL: none of both. */
const char *bearer_choose(struct bearer *b, struct slice offered);

/* Appends the message. False: out is full. */
bool bearer_message(const struct bearer *b, struct buf *out);

/* Answers a decoded challenge. False: the server is out of step. */
bool bearer_answer(struct bearer *b, struct slice challenge, struct buf *out);

#endif
