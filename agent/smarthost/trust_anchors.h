/* trust_anchors: smtp_tls_trust_anchor_file, and tafile= in a TLS policy.
 *
 * PEM files of certificates and public keys. For a destination that has some
 * they are believed in place of smtp_tls_CAfile and its like: a chain must lead
 * to one of them, or the server's own certificate, or its key, be one (which
 * may then be past its date). Names are checked all the same. Done by OpenSSL's
 * DANE with made-up records, as in smtp(8).
 *
 * A file that has none is an error. Source: postconf(5); Postfix
 * src/tls/tls_dane.c.
 */
#ifndef TRUST_ANCHORS_H
#define TRUST_ANCHORS_H

#include <stdbool.h>
#include <stddef.h>

struct trust_anchors;
struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

enum { TRUST_ANCHORS_DIGEST_SIZE = 65 };

/* Before any of its connections may have anchors. */
bool trust_anchors_allow(struct ssl_ctx_st *ctx);

/* files: their names, with any of separators between. NULL: one cannot be
 * read, and error has a line. */
struct trust_anchors *trust_anchors_load(
    const char *files, const char *separators, char *error, size_t error_size);
void trust_anchors_free(struct trust_anchors **anchors);

/* Before the handshake: ssl believes in these alone. false: in none of them,
 * as OpenSSL can use none. */
bool trust_anchors_use(const struct trust_anchors *anchors, struct ssl_st *ssl);

/* cert itself, or its key, is one of them. */
bool trust_anchors_have(
    const struct trust_anchors *anchors, struct x509_st *cert);

/* Text that differs when they do. */
const char *trust_anchors_digest(const struct trust_anchors *anchors);

#endif
