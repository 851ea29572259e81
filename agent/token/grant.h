/* grant: what a token endpoint is asked, by the flow of NAME.conf.
 *
 *   client_credentials  RFC 6749 4.4: scope, and who we are
 *   refresh_token       RFC 6749 6: the refresh token, and who we are
 *   jwt_bearer          RFC 7523 2.1: an assertion for the subject
 *
 * Who we are: client_id and client_secret in the form (RFC 6749 2.3.1), or
 * client_id and a signed assertion (RFC 7523 2.2); or neither, when post sends
 * them as a header. */
#ifndef TOKEN_GRANT_H
#define TOKEN_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/token/conf.h"
#include "common/base/buf.h"

enum {
	GRANT_SKEW_S = 60, /* the endpoint's clock may be that much behind */
	GRANT_LIFE_S = 540, /* of an assertion */
};

/* Fills form. refresh_token: only in that flow. now_s: Unix time, as the
 * endpoint believes it to be. False: error has one line. */
bool grant_form(const struct conf *conf, const char *refresh_token,
    int64_t now_s, struct buf *form, char *error, size_t n);

/* Adds who we are. */
bool grant_add_client(const struct conf *conf, int64_t now_s, struct buf *form,
    char *error, size_t n);

#endif
