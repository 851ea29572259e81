/* tokenproto: what lanes and the token service say to each other.
 *
 *   service: protocol=lane_token_protocol
 *   lane:    request=token  name=NAME refused=SERIAL
 *            request=status name=NAME
 *   service: status=0 serial=N token=T        the token
 *            status=1 or 2 reason=TEXT        none now; somebody has to see to
 * it status=0 lives=SECONDS reason=TEXT   for request=status: 0 s, none
 *
 * as attribute lists (attr.h), one question for each connection. serial counts
 * the tokens of a NAME from 1; refused is that of a token which a server did
 * not take, or 0. Texts are printable, in one line, without secrets.
 */
#ifndef TOKENPROTO_H
#define TOKENPROTO_H

#include <stdbool.h>

#include "common/base/slice.h"

#define TOKENPROTO_PROTOCOL "lane_token_protocol"

enum {
	TOKENPROTO_NAME_MAX = 64,
	TOKENPROTO_TOKEN_MAX = 32768, /* octets of an access token */
};

enum tokenproto_status {
	TOKENPROTO_OK,
	TOKENPROTO_LATER,
	TOKENPROTO_WRONG,
};

/* Letters and digits, and "-", "_", "." but not first: a name of a file. */
bool tokenproto_name_is_valid(const char *name);

/* Octets that a token may have: RFC 6750 2.1, and whatever else is printable
 * and no blank. Without any, or with others, it is none. */
bool tokenproto_token_is_valid(struct slice token);

#endif
