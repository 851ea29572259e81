/* tls_proof: what a finished handshake proved, by the policy it was for.
 *
 * The certificate's names, its dates, its issuer and its digest; smtp(8)'s
 * rules and its words for what is missing.
 */
#ifndef TLS_PROOF_H
#define TLS_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/smarthost/tlspolicy.h"

struct ssl_st;
struct x509_st;

/* What is known after a handshake. */
struct tls_facts {
	bool has_cert, is_trusted, is_resumed;
	bool is_matched; /* what the policy asks for */
	bool is_secured; /* ... and that is who mail is meant for */
	bool has_key; /* instead of a certificate */
	int64_t end_s; /* of the server's certificate, since the epoch; 0: ? */
	char why[400]; /* why it is not trusted or not matched, else "" */
};

/* host: the name tried, of nexthop (without brackets and port). */
void tls_proof(const struct settings *set, struct ssl_st *ssl,
    const struct tlspolicy *policy, const char *host, const char *nexthop,
    struct tls_facts *out);

/* When a certificate ends, since the epoch; 0: it has no end that can be
 * understood. */
int64_t tls_proof_end_s(const struct x509_st *cert);

#endif
