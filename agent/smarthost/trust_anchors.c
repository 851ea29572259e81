#include "agent/smarthost/trust_anchors.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/words.h"

/* RFC 6698 2.1: what a record is about, and that it holds it all. */
enum { USAGE_ANCHOR = 2, USAGE_SERVER = 3, MATCHES_ALL = 0 };
enum selector { SELECT_CERTIFICATE, SELECT_KEY };

struct anchor {
	enum selector selector;
	unsigned char *der; /* OpenSSL's */
	size_t n;
};

struct trust_anchors {
	struct anchor *all;
	size_t count;
	char digest[TRUST_ANCHORS_DIGEST_SIZE];
};

bool
trust_anchors_allow(struct ssl_ctx_st *ctx)
{
	return SSL_CTX_dane_enable(ctx) == 1;
}

/* As mem_alloc() does, rather than to take a file for a bad one. */
static void
check_memory(void)
{
	if (errno == ENOMEM ||
	    ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE)
		log_fatal("out of memory");
}

/* What is neither certificate nor public key is passed over. */
static void
add(struct trust_anchors *anchors, const char *name, unsigned char *der, long n)
{
	bool is_key = strcmp(name, PEM_STRING_PUBLIC) == 0;

	if (!is_key && strcmp(name, PEM_STRING_X509) != 0 &&
	    strcmp(name, PEM_STRING_X509_OLD) != 0) {
		OPENSSL_free(der);
		return;
	}
	anchors->all = mem_realloc(
	    anchors->all, (anchors->count + 1) * sizeof(anchors->all[0]));
	anchors->all[anchors->count++] = (struct anchor){
	    is_key ? SELECT_KEY : SELECT_CERTIFICATE, der, (size_t)n};
}

/* false: *why_out; a file ends where no more line begins a part of it. */
static bool
read_parts(struct trust_anchors *anchors, BIO *file, const char **why_out)
{
	size_t before = anchors->count;
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	bool is_end;
	long n;

	ERR_clear_error();
	while (PEM_read_bio(file, &name, &header, &der, &n) == 1) {
		add(anchors, name, der, n);
		OPENSSL_free(name);
		OPENSSL_free(header);
	}
	check_memory();
	is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	*why_out = !is_end ? "not in the form of PEM"
		   : anchors->count == before
		       ? "no certificate and no public key in it"
		       : NULL;
	return *why_out == NULL;
}

static bool
read_file(struct trust_anchors *anchors, const char *path, char *error,
    size_t error_size)
{
	const char *why = NULL;
	BIO *file;

	errno = 0;
	file = BIO_new_file(path, "r");
	if (file == NULL)
		why = strerror(errno);
	else
		(void)read_parts(anchors, file, &why);
	BIO_free(file);
	check_memory();
	ERR_clear_error();
	if (why != NULL)
		(void)snprintf(error, error_size,
		    "cannot read trust anchor file %s: %s", path, why);
	return why == NULL;
}

static void
make_digest(struct trust_anchors *anchors)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool is_ok =
	    md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; i < anchors->count && is_ok; i++) {
		const struct anchor *one = &anchors->all[i];

		is_ok = EVP_DigestUpdate(md, &one->n, sizeof(one->n)) == 1 &&
			EVP_DigestUpdate(md, one->der, one->n) == 1;
	}
	if (!is_ok || EVP_DigestFinal_ex(md, digest, &n) != 1)
		log_panic("EVP_Digest failed");
	EVP_MD_CTX_free(md);
	for (unsigned i = 0; i < (TRUST_ANCHORS_DIGEST_SIZE - 1) / 2; i++)
		(void)snprintf(
		    anchors->digest + (size_t)i * 2, 3, "%02x", digest[i]);
}

struct trust_anchors *
trust_anchors_load(
    const char *files, const char *separators, char *error, size_t error_size)
{
	struct trust_anchors *anchors = mem_zalloc(sizeof(*anchors));
	struct slice rest = slice_str(files), word;
	bool is_ok = true;

	while (is_ok && words_cut(&rest, separators, &word)) {
		char *path = mem_strndup(word.p, word.n);

		is_ok = read_file(anchors, path, error, error_size);
		mem_free(path);
	}
	if (!is_ok)
		trust_anchors_free(&anchors);
	else
		make_digest(anchors);
	return anchors;
}

void
trust_anchors_free(struct trust_anchors **anchors)
{
	struct trust_anchors *old = *anchors;

	*anchors = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->count; i++)
		OPENSSL_free(old->all[i].der);
	mem_free(old->all);
	mem_free(old);
}

static bool
add_record(SSL *ssl, uint8_t usage, const struct anchor *one)
{
	return SSL_dane_tlsa_add(ssl, usage, (uint8_t)one->selector,
		   MATCHES_ALL, one->der, one->n) == 1;
}

bool
trust_anchors_use(const struct trust_anchors *anchors, struct ssl_st *ssl)
{
	bool is_usable = false;

	if (SSL_dane_enable(ssl, NULL) != 1)
		return false;
	for (size_t i = 0; i < anchors->count; i++) {
		bool is_anchor =
		    add_record(ssl, USAGE_ANCHOR, &anchors->all[i]);
		bool is_server =
		    add_record(ssl, USAGE_SERVER, &anchors->all[i]);

		is_usable = is_usable || is_anchor || is_server;
	}
	ERR_clear_error();
	return is_usable;
}

static bool
is_one(const struct trust_anchors *anchors, enum selector selector,
    const unsigned char *der, int n)
{
	for (size_t i = 0; i < anchors->count; i++)
		if (anchors->all[i].selector == selector && n > 0 &&
		    anchors->all[i].n == (size_t)n &&
		    memcmp(anchors->all[i].der, der, (size_t)n) == 0)
			return true;
	return false;
}

bool
trust_anchors_have(const struct trust_anchors *anchors, struct x509_st *cert)
{
	unsigned char *whole = NULL, *key = NULL;
	int whole_n = i2d_X509(cert, &whole);
	int key_n = i2d_PUBKEY(X509_get0_pubkey(cert), &key);
	bool is_there = is_one(anchors, SELECT_CERTIFICATE, whole, whole_n) ||
			is_one(anchors, SELECT_KEY, key, key_n);

	OPENSSL_free(whole);
	OPENSSL_free(key);
	return is_there;
}

const char *
trust_anchors_digest(const struct trust_anchors *anchors)
{
	return anchors->digest;
}
