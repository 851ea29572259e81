#include "agent/token/jwt.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

enum { JWT_MAX = 16384, SIGNATURE_MAX = 2048, KEY_BITS_MIN = 2048 };

/* RFC 7515 2: without "=". */
static void
add_base64url(struct buf *out, const void *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *in = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		unsigned group = (unsigned)in[i] << 16;

		if (left > 1)
			group |= (unsigned)in[i + 1] << 8;
		if (left > 2)
			group |= in[i + 2];
		(void)buf_add_char(out, digits[group >> 18 & 63]);
		(void)buf_add_char(out, digits[group >> 12 & 63]);
		if (left > 1)
			(void)buf_add_char(out, digits[group >> 6 & 63]);
		if (left > 2)
			(void)buf_add_char(out, digits[group & 63]);
	}
}

/* A key with a passphrase is not asked for one. */
static int
no_passphrase(char *to, int size, int rwflag, void *ctx)
{
	(void)to;
	(void)size;
	(void)rwflag;
	(void)ctx;
	return -1;
}

static EVP_PKEY *
read_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(
					  bio, NULL, no_passphrase, NULL)
				    : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return key;
}

static X509 *
read_certificate(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert =
	    bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return cert;
}

static bool
complain(char *error, size_t n, const char *what)
{
	(void)snprintf(error, n, "%s", what);
	return false;
}

static bool
is_usable(EVP_PKEY *key, char *error, size_t n)
{
	if (key == NULL)
		return complain(error, n,
		    "the key cannot be read: must be PEM, without a "
		    "passphrase");
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
	    EVP_PKEY_get_bits(key) < KEY_BITS_MIN)
		return complain(
		    error, n, "the key must be RSA of 2048 bits or more");
	return true;
}

bool
jwt_check(const char *key_pem, const char *certificate, char *error, size_t n)
{
	EVP_PKEY *key = read_key(key_pem);
	X509 *cert = NULL;
	bool ok = is_usable(key, error, n);

	if (ok && *certificate != '\0') {
		cert = read_certificate(certificate);
		if (cert == NULL)
			ok = complain(error, n,
			    "the certificate cannot be read: must be PEM");
		else if (X509_check_private_key(cert, key) != 1)
			ok = complain(
			    error, n, "the key is not that of the certificate");
	}
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

static bool
add_thumbprint(
    json_t *header, const char *name, X509 *cert, const EVP_MD *digest)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct buf text;
	bool ok;

	if (X509_digest(cert, digest, md, &n) != 1)
		return false;
	buf_init(&text, 2 * EVP_MAX_MD_SIZE);
	add_base64url(&text, md, n);
	ok =
	    json_object_set_new(header, name, json_string(buf_str(&text))) == 0;
	buf_fini(&text);
	return ok;
}

static bool
add_json(struct buf *out, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(json);
	if (text == NULL)
		return false;
	add_base64url(out, text, strlen(text));
	mem_wipe(text, strlen(text));
	free(text);
	return true;
}

static bool
add_header(struct buf *out, enum conf_algorithm algorithm, const char *pem,
    const char *key_id)
{
	bool is_pss = algorithm == CONF_PS256, ok = true;
	json_t *header = json_pack(
	    "{s:s, s:s}", "alg", is_pss ? "PS256" : "RS256", "typ", "JWT");
	X509 *cert = *pem != '\0' ? read_certificate(pem) : NULL;

	if (key_id != NULL)
		ok = json_object_set_new(header, "kid", json_string(key_id)) ==
		     0;
	if (ok && cert != NULL)
		ok =
		    add_thumbprint(header, "x5t#S256", cert, EVP_sha256()) &&
		    (is_pss || add_thumbprint(header, "x5t", cert, EVP_sha1()));
	X509_free(cert);
	if (!ok) {
		json_decref(header);
		return false;
	}
	return add_json(out, header);
}

static bool
add_claims(struct buf *out, const struct jwt_claims *c)
{
	json_t *claims = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "iss",
	    c->issuer, "sub", c->subject, "aud", c->audience, "iat",
	    (json_int_t)c->issued_at_s, "nbf", (json_int_t)c->issued_at_s,
	    "exp", (json_int_t)c->expires_at_s);

	if (claims == NULL)
		return false;
	if (c->scope != NULL)
		(void)json_object_set_new(
		    claims, "scope", json_string(c->scope));
	if (c->id != NULL)
		(void)json_object_set_new(claims, "jti", json_string(c->id));
	return add_json(out, claims);
}

static bool
add_signature(struct buf *out, enum conf_algorithm algorithm, EVP_PKEY *key)
{
	struct slice text = buf_slice(out);
	unsigned char signature[SIGNATURE_MAX];
	size_t n = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options = NULL;
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, &options, EVP_sha256(),
				     NULL, key) == 1;

	if (ok && algorithm == CONF_PS256)
		ok = EVP_PKEY_CTX_set_rsa_padding(
			 options, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(
			 options, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestSign(ctx, signature, &n,
		       (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (!ok)
		return false;
	(void)buf_add_char(out, '.');
	add_base64url(out, signature, n);
	return buf_ok(out);
}

char *
jwt_make(enum conf_algorithm algorithm, const char *key_pem,
    const char *certificate, const struct jwt_claims *claims, char *error,
    size_t n)
{
	EVP_PKEY *key = read_key(key_pem);
	char *text = NULL;
	struct buf out;

	if (!is_usable(key, error, n)) {
		EVP_PKEY_free(key);
		return NULL;
	}
	buf_init(&out, JWT_MAX);
	if (add_header(&out, algorithm, certificate, claims->key_id) &&
	    buf_add_char(&out, '.') && add_claims(&out, claims) &&
	    add_signature(&out, algorithm, key))
		text = mem_strdup(buf_str(&out));
	else
		(void)complain(error, n, "the assertion cannot be signed");
	buf_fini_secret(&out);
	EVP_PKEY_free(key);
	return text;
}
