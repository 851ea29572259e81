/*
 * form: fields as application/x-www-form-urlencoded has them (RFC 6749
 * appendix B): what a token endpoint is sent, and what an address asks.
 */
#ifndef AGENT_TOKEN_FORM_H
#define AGENT_TOKEN_FORM_H

#include "common/base/buf.h"

/* Three octets for one, of a file each, and four for three. */
enum { FORM_CREDENTIALS_MAX = 8 * 65536 };

/* Adds "name=value", behind "&" when the form is not empty. The name stands as
 * it is; of the value all but RFC 3986's unreserved characters is encoded. */
void form_add(struct buf *form, const char *name, const char *value);

/* What follows "Authorization: Basic " (RFC 6749 2.3.1: both are encoded as in
 * a form before they are joined). out has room for FORM_CREDENTIALS_MAX. */
void form_credentials(struct buf *out, const char *id, const char *secret);

#endif
