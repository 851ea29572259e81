/* jwt: a signed assertion of who we are (RFC 7515, RFC 7519, RFC 7523).
 *
 *   base64url(header) "." base64url(claims) "." base64url(signature)
 *
 * RS256 or PS256 (RFC 7518 3.3, 3.5) by OpenSSL. With a certificate the header
 * names it by its thumbprints, "x5t#S256" and, for RS256, "x5t".
 */
#ifndef TOKEN_JWT_H
#define TOKEN_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/token/conf.h"

struct jwt_claims {
	const char *issuer, *subject, *audience;
	const char *scope; /* NULL: none */
	const char *id; /* NULL: none */
	const char *key_id; /* "kid" in the header; NULL: none */
	int64_t issued_at_s, expires_at_s; /* Unix time */
};

/* key and certificate (may be "") are PEM texts. NULL: error has one line,
 * without secrets. To be freed; a secret, as whoever has it is believed to be
 * us until it expires. */
char *jwt_make(enum conf_algorithm algorithm, const char *key,
    const char *certificate, const struct jwt_claims *claims, char *error,
    size_t n);

/* Both texts can be used together: key and certificate fit. */
bool jwt_check(const char *key, const char *certificate, char *error, size_t n);

#endif
