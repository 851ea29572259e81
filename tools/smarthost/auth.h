/* auth: the server side of AUTH (RFC 4954) for the simulator.
 *
 * PLAIN, LOGIN, CRAM-MD5 against --user, or any login when there is none;
 * XOAUTH2 and OAUTHBEARER against --tokens, or any token when there is none. A
 * token that is not taken gets a 334 with JSON, and 535 after the client's
 * answer to that (RFC 7628 3.2.3). One exchange at a time:
 *   auth_start("PLAIN AG..")  ->  AUTH_MORE with a challenge, or a verdict
 *   auth_line("...")          ->  the same
 */
#ifndef SMARTHOST_AUTH_H
#define SMARTHOST_AUTH_H

#include "common/base/slice.h"
#include "tools/smarthost/options.h"

enum auth_result {
	AUTH_MORE, /* send "334 " and challenge, wait for a line */
	AUTH_OK,
	AUTH_WRONG, /* 535 */
	AUTH_SYNTAX, /* 501 */
	AUTH_UNKNOWN, /* 504: mechanism not offered */
};

enum auth_mech {
	AUTH_PLAIN,
	AUTH_LOGIN,
	AUTH_CRAM_MD5,
	AUTH_XOAUTH2,
	AUTH_OAUTHBEARER,
};

enum { AUTH_NAME = 256, AUTH_TEXT = 24576 };

struct auth {
	enum auth_mech mech;
	unsigned step;
	char login[AUTH_NAME]; /* of the last AUTH_OK or attempt */
	char challenge[AUTH_TEXT]; /* base64, for AUTH_MORE */
	char nonce[AUTH_NAME];
	bool is_refused; /* the token: the client is to acknowledge that */
};

/* args: what follows "AUTH ". */
enum auth_result auth_start(
    struct auth *a, const struct options *o, struct slice args);
enum auth_result auth_line(
    struct auth *a, const struct options *o, struct slice line);

#endif
