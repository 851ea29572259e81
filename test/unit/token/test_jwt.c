#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "agent/token/jwt.h"
#include "common/base/mem.h"

static EVP_PKEY *key;
static X509 *cert;
static char *key_pem, *cert_pem, *other_pem, *small_pem, *ec_pem;

static char *
taken(BIO *bio)
{
	char *p = NULL, *text;
	long n = BIO_get_mem_data(bio, &p);

	text = mem_strndup(p, (size_t)n);
	BIO_free(bio);
	return text;
}

static char *
pem_of(EVP_PKEY *k)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(
	    PEM_write_bio_PrivateKey(bio, k, NULL, NULL, 0, NULL, NULL), 1);
	return taken(bio);
}

static char *
made(EVP_PKEY *k)
{
	char *pem = pem_of(k);

	EVP_PKEY_free(k);
	return pem;
}

static int
setup(void **state)
{
	BIO *bio = BIO_new(BIO_s_mem());

	(void)state;
	key = EVP_RSA_gen(2048);
	key_pem = pem_of(key);
	other_pem = made(EVP_RSA_gen(2048));
	small_pem = made(EVP_RSA_gen(1024));
	ec_pem = made(EVP_EC_gen("P-256"));
	cert = X509_new();
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	(void)X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	cert_pem = taken(bio);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	X509_free(cert);
	mem_free(key_pem);
	mem_free(cert_pem);
	mem_free(other_pem);
	mem_free(small_pem);
	mem_free(ec_pem);
	return 0;
}

/* By OpenSSL's own Base64, which wants "+/" and "=". */
static size_t
decode(const char *in, size_t n, unsigned char *out)
{
	char text[4096];
	int got;
	size_t pad = (4 - n % 4) % 4;

	assert_true(n + 4 < sizeof(text));
	for (size_t i = 0; i < n; i++)
		text[i] = in[i] == '-' ? '+' : in[i] == '_' ? '/' : in[i];
	memcpy(text + n, "====", pad);
	got = EVP_DecodeBlock(out, (const unsigned char *)text, (int)(n + pad));
	assert_true(got >= 0);
	return (size_t)got - pad;
}

static json_t *
part(const char *from, const char *to)
{
	unsigned char octets[4096];
	size_t n = decode(from, (size_t)(to - from), octets);
	json_t *json = json_loadb((char *)octets, n, 0, NULL);

	assert_true(json_is_object(json));
	return json;
}

static bool
is_signed(const char *jwt, const char *dot, bool is_pss)
{
	unsigned char signature[1024];
	size_t n = decode(dot + 1, strlen(dot + 1), signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options = NULL;
	bool ok;

	assert_int_equal(
	    EVP_DigestVerifyInit(ctx, &options, EVP_sha256(), NULL, key), 1);
	if (is_pss) {
		(void)EVP_PKEY_CTX_set_rsa_padding(
		    options, RSA_PKCS1_PSS_PADDING);
		(void)EVP_PKEY_CTX_set_rsa_pss_saltlen(options, 32);
	}
	ok = EVP_DigestVerify(ctx, signature, n, (const unsigned char *)jwt,
		 (size_t)(dot - jwt)) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static void
expect(const json_t *json, const char *name, const char *value)
{
	const char *found = json_string_value(json_object_get(json, name));

	assert_non_null(found);
	assert_string_equal(found, value);
}

static const struct jwt_claims claims = {
    .issuer = "me",
    .subject = "you@example.com",
    .audience = "https://login.example/token",
    .scope = "https://mail.google.com/",
    .id = "1234",
    .issued_at_s = 1700000000,
    .expires_at_s = 1700000600,
};

static void
assertion_is_verified_by_openssl(void **state)
{
	(void)state;
	for (int is_pss = 0; is_pss < 2; is_pss++) {
		char error[200];
		char *jwt = jwt_make(is_pss ? CONF_PS256 : CONF_RS256, key_pem,
		    "", &claims, error, sizeof(error));
		char *first, *second;
		json_t *header, *body;

		assert_non_null(jwt);
		first = strchr(jwt, '.');
		second = strchr(first + 1, '.');
		assert_true(is_signed(jwt, second, is_pss));
		assert_false(is_signed(jwt, second, !is_pss));
		header = part(jwt, first);
		expect(header, "alg", is_pss ? "PS256" : "RS256");
		expect(header, "typ", "JWT");
		assert_null(json_object_get(header, "x5t#S256"));
		assert_null(json_object_get(header, "kid"));
		body = part(first + 1, second);
		expect(body, "iss", "me");
		expect(body, "sub", "you@example.com");
		expect(body, "aud", "https://login.example/token");
		expect(body, "scope", "https://mail.google.com/");
		expect(body, "jti", "1234");
		assert_int_equal(
		    json_integer_value(json_object_get(body, "iat")),
		    1700000000);
		assert_int_equal(
		    json_integer_value(json_object_get(body, "exp")),
		    1700000600);
		json_decref(header);
		json_decref(body);
		mem_free(jwt);
	}
}

static void
certificate_is_named_by_its_thumbprint(void **state)
{
	unsigned char md[EVP_MAX_MD_SIZE], found[100];
	unsigned n = 0;
	char error[200];
	char *jwt = jwt_make(
	    CONF_RS256, key_pem, cert_pem, &claims, error, sizeof(error));
	const char *text;
	json_t *header;

	(void)state;
	assert_non_null(jwt);
	header = part(jwt, strchr(jwt, '.'));
	text = json_string_value(json_object_get(header, "x5t#S256"));
	assert_int_equal(X509_digest(cert, EVP_sha256(), md, &n), 1);
	assert_int_equal(decode(text, strlen(text), found), 32);
	assert_memory_equal(found, md, 32);
	text = json_string_value(json_object_get(header, "x5t"));
	assert_int_equal(X509_digest(cert, EVP_sha1(), md, &n), 1);
	assert_int_equal(decode(text, strlen(text), found), 20);
	assert_memory_equal(found, md, 20);
	json_decref(header);
	mem_free(jwt);
}

/* RFC 7515 4.1.4: for an endpoint that has several keys of ours. */
static void
key_is_named_where_it_has_a_name(void **state)
{
	struct jwt_claims named = claims;
	char error[200], *jwt;
	json_t *header;

	(void)state;
	named.key_id = "of-2026";
	jwt = jwt_make(CONF_PS256, key_pem, "", &named, error, sizeof(error));
	assert_non_null(jwt);
	header = part(jwt, strchr(jwt, '.'));
	expect(header, "kid", "of-2026");
	json_decref(header);
	mem_free(jwt);
}

static void
keys_that_do_not_do_are_said(void **state)
{
	const struct {
		const char *key, *cert, *error;
	} cases[] = {
	    {"", "",
		"the key cannot be read: must be PEM, without a "
		"passphrase"},
	    {"-----BEGIN PRIVATE KEY-----\nAAAA\n", "",
		"the key cannot be read: must be PEM, without a passphrase"},
	    {small_pem, "", "the key must be RSA of 2048 bits or more"},
	    {ec_pem, "", "the key must be RSA of 2048 bits or more"},
	    {key_pem, "x", "the certificate cannot be read: must be PEM"},
	    {other_pem, cert_pem, "the key is not that of the certificate"},
	};
	char error[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_false(jwt_check(
		    cases[i].key, cases[i].cert, error, sizeof(error)));
		assert_string_equal(error, cases[i].error);
	}
	assert_true(jwt_check(key_pem, "", error, sizeof(error)));
	assert_true(jwt_check(key_pem, cert_pem, error, sizeof(error)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(assertion_is_verified_by_openssl),
	    cmocka_unit_test(certificate_is_named_by_its_thumbprint),
	    cmocka_unit_test(key_is_named_where_it_has_a_name),
	    cmocka_unit_test(keys_that_do_not_do_are_said),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
