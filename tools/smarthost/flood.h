/* flood: TLS messages that carry no octet of SMTP, without end.
 *
 * A server that has them sent keeps a careless client inside SSL_read(), or
 * its cache of sessions busy. They are written by a process of their own, which
 * takes the connection over: OpenSSL sends them one at a time, and the
 * simulator goes on with its other connections; what OpenSSL does not send at
 * all is forge.h's. What the client answers is read and thrown away. The
 * process ends when the client hangs up or the simulator ends.
 */
#ifndef SMARTHOST_FLOOD_H
#define SMARTHOST_FLOOD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

enum flood_kind {
	FLOOD_KEYUPDATE, /* TLS 1.3 */
	FLOOD_KEYUPDATE_ASKING, /* ... each of which wants one back */
	FLOOD_HELLOREQUEST, /* TLS 1.2 */
	FLOOD_TICKET, /* TLS 1.3 */
	FLOOD_EMPTY, /* records with nothing in them */
	FLOOD_WARNING, /* alerts that end nothing */
	FLOOD_MIXED, /* of both so many as OpenSSL allows, then one octet */
	/* no flood: one record that is the last */
	FLOOD_ALERT, /* fatal */
	FLOOD_BROKEN, /* its tag is another's */
	FLOOD_TRUNCATED, /* half of it */
};

struct flood {
	enum flood_kind kind;
	uint64_t octets; /* on the wire, at least; then it only waits */
};

/* Octets of all floods of this process; NULL: no memory. */
uint64_t *flood_counter(void);

/* False: no such word. */
bool flood_kind_of(struct slice word, enum flood_kind *kind_out);

/* The connection is the other process's: the caller closes its descriptor and
 * frees ssl without a word to the client. False: there is no such process. */
bool flood_begin(
    SSL *ssl, int fd, const struct flood *flood, uint64_t *counter);

#endif
