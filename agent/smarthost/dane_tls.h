/* dane_tls: a server's TLSA records in OpenSSL.
 *
 *   tls_dane_digests = sha512 sha256     of several records for one usage and
 *                                        selector the best digest alone counts
 *                                        (RFC 7671 9)
 */
#ifndef DANE_TLS_H
#define DANE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/smarthost/dane.h"

struct ssl_ctx_st;
struct ssl_st;

enum { DANE_DIGEST_TEXT_SIZE = 65 };

/* The digests of a list in force, on a context where DANE was allowed; "name",
 * or "name=N" with the number of its matching type; "=N": not that one. False:
 * bad_out is the word that cannot be obeyed. */
bool dane_tls_digests(
    struct ssl_ctx_st *ctx, const char *list, char *bad_out, size_t bad_size);

/* No record can be compared with what any server shows. */
bool dane_tls_is_useless(
    struct ssl_ctx_st *ctx, const struct tlsa_set *records);

/* Before the handshake: ssl believes the records alone, and asks for the server
 * by its name. False: none of them can be used, or there is no memory. */
bool dane_tls_use(const struct dane *dane, struct ssl_st *ssl);

/* After it, of a handshake that was not resumed: a record matched. */
bool dane_tls_has_matched(struct ssl_st *ssl);

/* Which one, as text; "" if that is not known. */
void dane_tls_matched(struct ssl_st *ssl, char out[TLSA_TEXT_SIZE]);

/* Text that differs when records or names do. */
void dane_tls_digest(const struct dane *dane, char out[DANE_DIGEST_TEXT_SIZE]);

#endif
