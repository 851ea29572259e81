/* tls: OpenSSL contexts, what a handshake proved, and session resumption.
 *
 * One context for the process; what differs by destination (struct tlspolicy)
 * is set on each TLS object. The handshake is always completed and judged
 * afterwards, as smtp(8) does: a certificate that fails can then be named in
 * the log and the session ended with QUIT.
 *
 * At the levels that ask for a certificate OpenSSL's security level is 1, as in
 * smtp(8): no keys and signatures below 80 bits, no TLS before 1.2.
 *
 * Sessions are kept in memory by a key that names address and policy, once the
 * link they belong to was judged good: see tlssession.h.
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/smarthost/tls_proof.h"
#include "agent/smarthost/tlspolicy.h"

struct tls;
struct ssl_st;
struct tlsa_set;

/* Two tickets for each of twenty sessions: fewer, and a full pool of spent
 * sessions is replaced by full handshakes. */
enum { TLS_SESSIONS_PER_KEY = 40, TLS_KEYS_MAX = 64 };

/* Reads CA and client certificates: before privileges are dropped. Never
 * NULL; see tls_error(). SIGPIPE is ignored from here on: OpenSSL writes with
 * write(2). */
struct tls *tls_new(const struct settings *set);
void tls_free(struct tls **tls);

/* What could not be loaded, NULL if all was: TLS must not be used then. */
const char *tls_error(const struct tls *tls);

/* smtp_tls_trust_anchor_file; NULL: there is none, or *why_out says why not. */
const struct trust_anchors *tls_anchors(
    const struct tls *tls, const char **why_out);

/* Of a host's TLSA records none can be used by this OpenSSL. */
bool tls_are_useless(const struct tls *tls, const struct tlsa_set *records);

/* When the first of our client certificates ends, in seconds since the epoch;
 * 0: there is none. */
int64_t tls_own_end_s(const struct tls *tls);

/* A client object for host (name tried) under nexthop (without brackets and
 * port), resuming a session of key if there is one. NULL: error says why. */
struct ssl_st *tls_open(struct tls *tls, const struct tlspolicy *policy,
    const char *host, const char *nexthop, const char *key, char *error,
    size_t error_size);

/* Judges a finished handshake. Tickets are kept only when it was good. */
void tls_judge(struct tls *tls, struct ssl_st *ssl,
    const struct tlspolicy *policy, const char *host, const char *nexthop,
    struct tls_facts *out);

/* A text of n octets that names all that must be equal for a session to be
 * resumed: the policy and where (address, port, names). */
enum { TLS_KEY_SIZE = 65 };
void tls_key(
    const struct tlspolicy *policy, const char *where, char out[TLS_KEY_SIZE]);

/* Drops the sessions of a key (the server choked on one). */
void tls_forget(struct tls *tls, const char *key);

#endif
