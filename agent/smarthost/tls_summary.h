/* tls_summary: the line that smtp(8) logs of a TLS session, word for word. */
#ifndef TLS_SUMMARY_H
#define TLS_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/smarthost/tls.h"

/* smtp_tls_loglevel has a word for it: one of 1 to 9 and their names, or
 * "summary". NULL as "". */
bool tls_summary_is_wanted(const char *loglevel);

/* That line; peer is "host[addr]:port". */
void tls_summary(struct ssl_st *ssl, const struct tls_facts *facts,
    const char *peer, char *out, size_t n);

#endif
