#include "tools/smarthost/forge.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	SECRET_MAX = 64,
	KEY_MAX = 32,
	RANDOM = 32,
	SALT = 4, /* TLS 1.2: fixed part of the nonce */
	EXPLICIT = 8, /* and the part that is sent */
	TAG = 16,
	HEADER = 5,
	HANDSHAKE_FINISHED = 20,
};

/* What is known of a connection. */
struct watched {
	uint64_t written; /* records under the keys of the data */
	unsigned char secret[SECRET_MAX]; /* TLS 1.3: the server's */
	size_t secret_n;
};

static int watched_index = -1;

static void
free_watched(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long argl,
    void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	mem_free(p);
}

static void
on_message(int is_write, int version, int type, const void *data, size_t n,
    SSL *ssl, void *arg)
{
	struct watched *w = arg;

	(void)version;
	if (!is_write)
		return;
	if (type == SSL3_RT_HEADER)
		w->written++;
	/* From here on with other keys. */
	if (type == SSL3_RT_CHANGE_CIPHER_SPEC ||
	    (type == SSL3_RT_HANDSHAKE && n > 0 &&
		*(const unsigned char *)data == HANDSHAKE_FINISHED &&
		SSL_version(ssl) == TLS1_3_VERSION))
		w->written = 0;
}

/* "SERVER_TRAFFIC_SECRET_0 RANDOM SECRET" */
static void
on_key_line(const SSL *ssl, const char *line)
{
	static const char label[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct watched *w = SSL_get_ex_data(ssl, watched_index);
	const char *hex = strrchr(line, ' ');
	unsigned octet;

	if (w == NULL || strncmp(line, label, sizeof(label) - 1) != 0)
		return;
	for (hex++; w->secret_n < SECRET_MAX && sscanf(hex, "%2x", &octet) == 1;
	     hex += 2)
		w->secret[w->secret_n++] = (unsigned char)octet;
}

void
forge_listen(SSL_CTX *ctx)
{
	watched_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_watched);
	CHECK(watched_index >= 0);
	SSL_CTX_set_keylog_callback(ctx, on_key_line);
}

void
forge_watch(SSL *ssl)
{
	struct watched *w = mem_zalloc(sizeof(*w));

	CHECK(SSL_set_ex_data(ssl, watched_index, w) == 1);
	SSL_set_msg_callback(ssl, on_message);
	SSL_set_msg_callback_arg(ssl, w);
}

static bool
derive(const char *kdf_name, const OSSL_PARAM *params, unsigned char *out,
    size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, kdf_name, NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	bool is_done = EVP_KDF_derive(ctx, out, n, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return is_done;
}

/* HKDF-Expand-Label(secret, label, "", n): RFC 8446 7.1. */
static bool
expand(const struct watched *w, const char *digest, const char *label,
    unsigned char *out, size_t n)
{
	unsigned char info[32] = {0, (unsigned char)n};
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	size_t length = (size_t)snprintf(
	    (char *)info + 3, sizeof(info) - 3, "tls13 %s", label);
	const OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
	    OSSL_PARAM_utf8_string(
		OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
	    OSSL_PARAM_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)w->secret, w->secret_n),
	    OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, length + 4),
	    OSSL_PARAM_END};

	info[2] = (unsigned char)length;
	return derive("HKDF", params, out, n);
}

/* The key block: client's key, server's key, client's salt, server's. */
static bool
expand_tls12(SSL *ssl, const char *digest, unsigned char *out, size_t n)
{
	static const char label[] = "key expansion";
	unsigned char master[SSL_MAX_MASTER_KEY_LENGTH], seed[2 * RANDOM];
	size_t master_n = SSL_SESSION_get_master_key(
	    SSL_get_session(ssl), master, sizeof(master));
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_utf8_string(
		OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
	    OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, master, master_n),
	    OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED,
		(void *)(uintptr_t)label, sizeof(label) - 1),
	    OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
	    OSSL_PARAM_END};

	(void)SSL_get_server_random(ssl, seed, RANDOM);
	(void)SSL_get_client_random(ssl, seed + RANDOM, RANDOM);
	return derive("TLS1-PRF", params, out, n);
}

static bool
find_keys(struct forge *f, SSL *ssl, const char *digest, size_t key_n,
    unsigned char *key)
{
	struct watched *w = SSL_get_ex_data(ssl, watched_index);
	unsigned char block[2 * KEY_MAX + 2 * SALT];

	if (f->is_tls13)
		return expand(w, digest, "key", key, key_n) &&
		       expand(w, digest, "iv", f->iv, FORGE_IV);
	if (!expand_tls12(ssl, digest, block, 2 * key_n + 2 * SALT))
		return false;
	memcpy(key, block + key_n, key_n);
	memcpy(f->iv, block + 2 * key_n + SALT, SALT);
	return true;
}

bool
forge_begin(struct forge *f, SSL *ssl)
{
	const struct watched *w = SSL_get_ex_data(ssl, watched_index);
	const SSL_CIPHER *suite = SSL_get_current_cipher(ssl);
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(suite);
	const EVP_CIPHER *kind =
	    EVP_get_cipherbynid(SSL_CIPHER_get_cipher_nid(suite));
	unsigned char key[KEY_MAX];
	size_t key_n;

	*f = (struct forge){.number = w->written,
	    .is_tls13 = SSL_version(ssl) == TLS1_3_VERSION};
	if (kind == NULL || EVP_CIPHER_get_mode(kind) != EVP_CIPH_GCM_MODE)
		return false;
	key_n = (size_t)EVP_CIPHER_get_key_length(kind);
	f->cipher = EVP_CIPHER_CTX_new();
	return find_keys(f, ssl, EVP_MD_get0_name(md), key_n, key) &&
	       EVP_EncryptInit_ex(f->cipher, kind, NULL, key, NULL) == 1;
}

void
forge_end(struct forge *f)
{
	EVP_CIPHER_CTX_free(f->cipher);
	f->cipher = NULL;
}

static void
put_number(uint64_t number, unsigned char *p)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(number >> (56 - 8 * i));
}

/* aad: what is protected and not hidden; in: n octets; out: n and the tag. */
static bool
seal(struct forge *f, const unsigned char *nonce, const unsigned char *aad,
    int aad_n, const unsigned char *in, int n, unsigned char *out)
{
	int used = 0, last = 0;

	return EVP_EncryptInit_ex(f->cipher, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_EncryptUpdate(f->cipher, NULL, &used, aad, aad_n) == 1 &&
	       (n == 0 ||
		   EVP_EncryptUpdate(f->cipher, out, &used, in, n) == 1) &&
	       EVP_EncryptFinal_ex(f->cipher, out + n, &last) == 1 &&
	       EVP_CIPHER_CTX_ctrl(
		   f->cipher, EVP_CTRL_GCM_GET_TAG, TAG, out + n) == 1;
}

static size_t
record_tls13(
    struct forge *f, int type, const void *p, size_t n, unsigned char *out)
{
	unsigned char inner[FORGE_CONTENT_MAX + 1], nonce[FORGE_IV], number[8];
	size_t body = n + 1 + TAG;

	memcpy(inner, p, n);
	inner[n] = (unsigned char)type;
	put_number(f->number, number);
	memcpy(nonce, f->iv, FORGE_IV);
	for (int i = 0; i < 8; i++)
		nonce[FORGE_IV - 8 + i] ^= number[i];
	memcpy(out,
	    (unsigned char[HEADER]){
		SSL3_RT_APPLICATION_DATA, 3, 3, 0, (unsigned char)body},
	    HEADER);
	return seal(f, nonce, out, HEADER, inner, (int)n + 1, out + HEADER)
		   ? HEADER + body
		   : 0;
}

static size_t
record_tls12(
    struct forge *f, int type, const void *p, size_t n, unsigned char *out)
{
	unsigned char nonce[FORGE_IV], aad[8 + HEADER];
	size_t body = EXPLICIT + n + TAG;

	put_number(f->number, aad);
	memcpy(nonce, f->iv, SALT);
	memcpy(nonce + SALT, aad, EXPLICIT);
	memcpy(out,
	    (unsigned char[HEADER]){
		(unsigned char)type, 3, 3, 0, (unsigned char)body},
	    HEADER);
	memcpy(aad + 8, out, HEADER);
	aad[8 + HEADER - 1] = (unsigned char)n;
	memcpy(out + HEADER, nonce + SALT, EXPLICIT);
	return seal(f, nonce, aad, sizeof(aad), p, (int)n,
		   out + HEADER + EXPLICIT)
		   ? HEADER + body
		   : 0;
}

size_t
forge_record(
    struct forge *f, int type, const void *p, size_t n, unsigned char *out)
{
	size_t used;

	CHECK(n <= FORGE_CONTENT_MAX);
	used = f->is_tls13 ? record_tls13(f, type, p, n, out)
			   : record_tls12(f, type, p, n, out);
	f->number++;
	return used;
}
