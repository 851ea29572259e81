/* rpk: a server's raw public key in place of its certificate (RFC 7250).
 *
 * OpenSSL 3.2 and later have them, and Postfix 3.9 and later: at the levels may
 * and encrypt, where nobody need be trusted, and fingerprint, which knows keys
 * as well as certificates. Names and issuers are in certificates only.
 */
#ifndef RPK_H
#define RPK_H

#include <openssl/opensslv.h>
#include <stdbool.h>

struct ssl_st;
struct evp_pkey_st;

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
enum { RPK_IS_THERE = true };
#else
enum { RPK_IS_THERE = false };
#endif

/* Before the handshake: the server may send its key alone, or a certificate as
 * ever. False: out of memory, or they are not there. */
bool rpk_ask(struct ssl_st *ssl);

/* What the server sent instead of a certificate; borrowed. NULL: nothing. */
struct evp_pkey_st *rpk_of_peer(const struct ssl_st *ssl);

#endif
