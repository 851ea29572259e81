/* tls_summary: the line that smtp(8) logs of a TLS session, word for word. */
#ifndef TLS_SUMMARY_H
#define TLS_SUMMARY_H

#include <stddef.h>

#include "agent/smarthost/tls.h"

/* The line of smtp_tls_loglevel >= 1; peer is "host[addr]:port". */
void tls_summary(struct ssl_st *ssl, const struct tls_facts *facts,
    const char *peer, char *out, size_t n);

#endif
