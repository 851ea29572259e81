#include "agent/smarthost/dane_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/words.h"

/* RFC 7671 2.1.3 and what IANA keeps of it. */
enum {
	MATCHES_SHA256 = 1,
	MATCHES_SHA512 = 2,
	MATCHES_PRIVATE = 255,
	WORD_SIZE = 64,
};

/* "sha256=1": to its parts, 0 where there is no number. */
static bool
cut(struct slice word, char name[WORD_SIZE], unsigned *number_out)
{
	char *equals, *end;
	unsigned long number = 0;

	if (word.n >= WORD_SIZE)
		return false;
	(void)snprintf(name, WORD_SIZE, "%.*s", (int)word.n, word.p);
	equals = strchr(name, '=');
	if (equals != NULL) {
		*equals = '\0';
		if (strspn(equals + 1, "0123456789") != strlen(equals + 1))
			return false;
		number = strtoul(equals + 1, &end, 10);
		if (end == equals + 1 || number == 0 ||
		    number >= MATCHES_PRIVATE)
			return false;
	}
	*number_out = (unsigned)number;
	return true;
}

/* The number of a digest's matching type; 0: none it can have. */
static unsigned
number_of(const char *name, unsigned given)
{
	unsigned known = strcasecmp(name, "sha256") == 0   ? MATCHES_SHA256
			 : strcasecmp(name, "sha512") == 0 ? MATCHES_SHA512
							   : 0;

	if (known != 0)
		return given == 0 || given == known ? known : 0;
	return given > MATCHES_SHA512 ? given : 0;
}

static bool
set_digest(SSL_CTX *ctx, const EVP_MD *md, unsigned number, unsigned rank)
{
	return SSL_CTX_dane_mtype_set(
		   ctx, md, (uint8_t)number, (uint8_t)rank) == 1;
}

/* rank: the higher the better. */
static bool
add_digest(
    SSL_CTX *ctx, struct slice word, bool seen[MATCHES_PRIVATE], unsigned rank)
{
	char name[WORD_SIZE];
	unsigned number;
	const EVP_MD *md;

	if (!cut(word, name, &number))
		return false;
	if (*name == '\0')
		return number == 0 || set_digest(ctx, NULL, number, 0);
	md = EVP_get_digestbyname(name);
	number = number_of(name, number);
	if (md == NULL || number == 0 || seen[number])
		return false;
	seen[number] = true;
	return set_digest(ctx, md, number, rank);
}

bool
dane_tls_digests(
    struct ssl_ctx_st *ctx, const char *list, char *bad_out, size_t bad_size)
{
	struct slice rest = slice_str(list), word = {list, 0};
	bool seen[MATCHES_PRIVATE] = {false};
	unsigned rank = MATCHES_PRIVATE - 1;
	bool is_good = set_digest(ctx, NULL, MATCHES_SHA256, 0) &&
		       set_digest(ctx, NULL, MATCHES_SHA512, 0);

	while (is_good && rank > 0 && words_cut(&rest, WORDS_SEPARATORS, &word))
		is_good = add_digest(ctx, word, seen, rank--);
	(void)snprintf(bad_out, bad_size, "%.*s", (int)word.n, word.p);
	ERR_clear_error();
	return is_good;
}

/* How many of them are of any use; -1: there is no memory for one. */
static int
add_records(SSL *ssl, const struct tlsa_set *records)
{
	int usable = 0;

	for (size_t i = 0; i < records->count; i++) {
		const struct tlsa *one = &records->records[i];
		char text[TLSA_TEXT_SIZE];
		int rc;

		CHECK(one->usage == TLSA_USAGE_AUTHORITY ||
		      one->usage == TLSA_USAGE_SERVER);
		rc = SSL_dane_tlsa_add(ssl, one->usage, one->selector,
		    one->matching, one->data, one->n);
		if (rc < 0)
			return -1;
		if (rc == 0)
			log_debug("unusable TLSA RR: %s", tlsa_text(one, text));
		usable += rc > 0;
	}
	return usable;
}

/* Trouble of our own says nothing about them. */
bool
dane_tls_is_useless(struct ssl_ctx_st *ctx, const struct tlsa_set *records)
{
	SSL *ssl = SSL_new(ctx);
	bool is_useless = ssl != NULL && SSL_dane_enable(ssl, NULL) == 1 &&
			  add_records(ssl, records) == 0;

	SSL_free(ssl);
	ERR_clear_error();
	return is_useless;
}

bool
dane_tls_use(const struct dane *dane, struct ssl_st *ssl)
{
	char
	    base[RESOLVER_HOST_SIZE]; /* the macro below wants a writable one */

	CHECK(dane->name_count > 0);
	(void)snprintf(base, sizeof(base), "%s", dane->names[0]);
	if (SSL_dane_enable(ssl, NULL) != 1)
		return false;
	/* RFC 7672 3.1.1: the server's own certificate needs no name. */
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 0; i < dane->name_count; i++)
		if (SSL_add1_host(ssl, dane->names[i]) != 1)
			return false;
	return SSL_set_tlsext_host_name(ssl, base) == 1 &&
	       add_records(ssl, dane->records) > 0;
}

bool
dane_tls_has_matched(struct ssl_st *ssl)
{
	return SSL_get0_dane_authority(ssl, NULL, NULL) >= 0;
}

void
dane_tls_matched(struct ssl_st *ssl, char out[TLSA_TEXT_SIZE])
{
	struct tlsa one = {0, 0, 0, NULL, 0};
	const unsigned char *data = NULL;

	*out = '\0';
	if (SSL_get0_dane_tlsa(ssl, &one.usage, &one.selector, &one.matching,
		&data, &one.n) < 0)
		return;
	one.data = mem_alloc(one.n);
	memcpy(one.data, data, one.n);
	(void)tlsa_text(&one, out);
	mem_free(one.data);
}

void
dane_tls_digest(const struct dane *dane, char out[DANE_DIGEST_TEXT_SIZE])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool is_ok =
	    md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; i < dane->name_count && is_ok; i++)
		is_ok = EVP_DigestUpdate(md, dane->names[i],
			    strlen(dane->names[i]) + 1) == 1;
	for (size_t i = 0; i < dane->records->count && is_ok; i++) {
		const struct tlsa *one = &dane->records->records[i];
		const unsigned char head[3] = {
		    one->usage, one->selector, one->matching};

		is_ok = EVP_DigestUpdate(md, head, sizeof(head)) == 1 &&
			EVP_DigestUpdate(md, &one->n, sizeof(one->n)) == 1 &&
			EVP_DigestUpdate(md, one->data, one->n) == 1;
	}
	if (!is_ok || EVP_DigestFinal_ex(md, digest, &n) != 1)
		log_panic("EVP_Digest failed");
	EVP_MD_CTX_free(md);
	for (unsigned i = 0; i < (DANE_DIGEST_TEXT_SIZE - 1) / 2; i++)
		(void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
}
