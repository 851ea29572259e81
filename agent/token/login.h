/* login: gets the first refresh token of a NAME, with a person's consent.
 *
 *   device code (RFC 8628)   says where to go and what to type in, and waits
 *   authorisation code       says where to go, and asks for the address that
 *   (RFC 6749 4.1, 7636)     the browser then shows; where there is no
 *                            device_endpoint
 *
 * On a terminal, blocking. The refresh token is stored as the service does it,
 * and never shown.
 */
#ifndef TOKEN_LOGIN_H
#define TOKEN_LOGIN_H

#include "agent/token/confdir.h"

/* Exit status: 0: stored. What goes wrong is said on stderr. */
int login_run(const struct confdir_entry *entry);

/* The value of name in the query of a URL, decoded, to be freed; NULL: it has
 * none. */
char *login_query_value(const char *url, const char *name);

#endif
