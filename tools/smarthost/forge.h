/* forge: TLS records that OpenSSL does not send, in an established connection.
 *
 *   forge_watch() before the handshake: counts the records that are written
 *   forge_begin() after it: the keys, and the number of the next record
 *   forge_record() one record after the other; OpenSSL must write no more
 *
 * A server by OpenSSL cannot be made to send empty records or warnings; this
 * encrypts them with the connection's own keys. TLS 1.3 (RFC 8446 5.2, 7.3) and
 * TLS 1.2 (RFC 5246 6.3, RFC 5288), AES-GCM alone.
 */
#ifndef SMARTHOST_FORGE_H
#define SMARTHOST_FORGE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FORGE_RECORD_MAX = 64, /* octets on the wire of a record... */
	FORGE_CONTENT_MAX = 16, /* ... with so many in it */
	FORGE_IV = 12,
};

struct forge {
	EVP_CIPHER_CTX *cipher;
	unsigned char iv[FORGE_IV];
	uint64_t number; /* of the next record */
	bool is_tls13;
};

/* Once for a context, once for each of its connections. */
void forge_listen(SSL_CTX *ctx);
void forge_watch(SSL *ssl);

/* False: not a cipher that is known here. */
bool forge_begin(struct forge *f, SSL *ssl);
void forge_end(struct forge *f);

/* The octets of a record of this type (SSL3_RT_ALERT, ...); 0: OpenSSL
 * failed. out has FORGE_RECORD_MAX. */
size_t forge_record(
    struct forge *f, int type, const void *p, size_t n, unsigned char *out);

#endif
