/* tls: the simulator's server side context and its self-signed certificate.
 */
#ifndef SMARTHOST_TLS_H
#define SMARTHOST_TLS_H

#include <openssl/ssl.h>

#include "tools/smarthost/options.h"

/* A context for TLS 1.2 and 1.3 with session tickets, certificate and key
 * from the options or made now (EC P-256; localhost, the host name, loopback
 * addresses; --write-cert writes it). Errors are fatal. */
SSL_CTX *tls_context(const struct options *o);

/* The oldest OpenSSL error as text, for a log line; empties the queue. */
const char *tls_error(void);

#endif
