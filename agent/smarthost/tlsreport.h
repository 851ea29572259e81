/* tlsreport: what a finished handshake shows, as JSON.
 *
 *   {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "level":
 *    "secure", "is_resumed": false, "is_trusted": true, "is_matched": true,
 *    "why": "", "chain": [{"subject": "/CN=mx.example", "issuer": "/CN=CA",
 *    "names": ["mx.example"], "from_s": 1790000000, "until_s": 1800000000}]}
 *
 * The chain is as the server sent it, its own certificate first, at most
 * TLSREPORT_CHAIN_MAX of it; a date that cannot be understood is 0. Names are
 * those of hosts and addresses; where a certificate has none, its common name.
 * All texts are printable.
 */
#ifndef TLSREPORT_H
#define TLSREPORT_H

#include "agent/smarthost/tls.h"

enum { TLSREPORT_CHAIN_MAX = 8, TLSREPORT_NAMES_MAX = 100 };

struct json_t;

/* level: of the policy, by name. The caller's. */
struct json_t *tlsreport_of(
    struct ssl_st *ssl, const struct tls_facts *facts, const char *level);

#endif
