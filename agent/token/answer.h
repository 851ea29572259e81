/* answer: what a token endpoint, or a device endpoint, said.
 *
 * JSON from outside, of at most ANSWER_MAX octets (RFC 6749 5, RFC 8628 3.2).
 * A token that is no token (tokenproto.h), a life that is none, another kind of
 * token than Bearer: no answer at all. expires_in may be a number or, as some
 * say it, its digits as a string; without it a token is taken to live ten
 * minutes, as to fetch it too often does no harm.
 *
 * The error is made of "error" and "error_description", cleaned and cut. An
 * endpoint that repeats what it was sent does not know better, so everything
 * that was secret in the question is looked for and left out, as is what looks
 * like an assertion.
 */
#ifndef TOKEN_ANSWER_H
#define TOKEN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

enum {
	ANSWER_MAX = 128 << 10,
	ANSWER_TEXT_SIZE = 320,
	ANSWER_CODE_SIZE = 64,
	ANSWER_LIFE_MAX_S = 86400, /* longer lives are cut to this */
	ANSWER_LIFE_UNKNOWN_S = 600,
	ANSWER_DEVICE_LIFE_S = 900, /* when it is not said */
	ANSWER_DEVICE_MAX = 4096,
};

enum answer_kind {
	ANSWER_TOKEN,
	ANSWER_DEVICE, /* only a device endpoint's */
	ANSWER_ERROR, /* in the form of RFC 6749 5.2 */
	ANSWER_GARBAGE,
};

struct answer {
	enum answer_kind kind;
	/* a token */
	char *access_token; /* secrets, wiped by answer_free() */
	char *refresh_token; /* NULL: none was sent */
	int64_t life_s; /* of a device code, too */
	/* a device: what the user is told */
	char *device_code; /* a secret */
	char *user_code, *verification_uri; /* printable */
	int64_t interval_s;
	/* an error, or what is wrong with it */
	char code[ANSWER_CODE_SIZE]; /* "invalid_grant" */
	char text[ANSWER_TEXT_SIZE]; /* "invalid_grant: AADSTS70008: ..." */
};

/* secrets (count of them; each may be NULL) are not to be seen in text. */
void answer_parse(struct answer *out, struct slice body,
    const char *const *secrets, size_t count);
void answer_free(struct answer *answer);

/* The error says that a retry without a change cannot help: all but
 * temporarily_unavailable, server_error and slow_down. */
bool answer_is_lasting(const struct answer *answer);

#endif
