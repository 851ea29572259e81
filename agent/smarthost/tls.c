#include "agent/smarthost/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "agent/io/trusted_resolver.h"
#include "agent/smarthost/dane_tls.h"
#include "agent/smarthost/rpk.h"
#include "agent/smarthost/tlssession.h"
#include "agent/smarthost/trust_anchors.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/words.h"
#include "common/postfix/version.h"
#include "common/smtp/nexthop.h"

enum {
	CIPHERS_SIZE = 2048,
	GROUPS_SIZE = 1024,
	ANCHORS_ERROR_SIZE = 600,
};

static const char group_separators[] = ":, \t\r\n";

struct tls {
	const struct settings *set;
	SSL_CTX *ctx;
	struct tlssession_cache *sessions;
	struct trust_anchors *anchors;
	char *error, *anchors_error;
};

/* What memory was short for must not pass for a wrong parameter, which would be
 * believed until the next reload, nor for a file with one certificate less.
 * OpenSSL says so, or leaves it in errno, which tls_new() has cleared. */
static void
check_memory(void)
{
	if (errno == ENOMEM ||
	    ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE)
		log_fatal("out of memory");
}

/* Takes the first error off OpenSSL's queue, empties it, and keeps what went
 * wrong when nothing did before. */
static void
set_error(struct tls *tls, const char *what, const char *value)
{
	unsigned long code = ERR_peek_error();
	/* It has no words for what the system says. */
	const char *reason = ERR_SYSTEM_ERROR(code)
				 ? strerror(ERR_GET_REASON(code))
				 : ERR_reason_error_string(code);

	check_memory();
	if (tls->error == NULL && code == 0)
		tls->error = mem_printf("%s %s", what, value);
	else if (tls->error == NULL && reason != NULL)
		tls->error = mem_printf("%s %s: %s", what, value, reason);
	else if (tls->error == NULL)
		tls->error = mem_printf(
		    "%s %s: error %08lX of OpenSSL", what, value, code);
	ERR_clear_error();
}

static void
load_cas(struct tls *tls)
{
	const struct settings *set = tls->set;
	const char *file = set->smtp_tls_CAfile;
	const char *path = set->smtp_tls_CApath;

	if (*file != '\0' && SSL_CTX_load_verify_file(tls->ctx, file) != 1)
		set_error(tls, "cannot load smtp_tls_CAfile", file);
	if (*path != '\0' && SSL_CTX_load_verify_dir(tls->ctx, path) != 1)
		set_error(tls, "cannot use smtp_tls_CApath", path);
	if (strcasecmp(set->tls_append_default_CA, "yes") == 0 &&
	    SSL_CTX_set_default_verify_paths(tls->ctx) != 1)
		set_error(tls, "cannot load", "the system's CA certificates");
}

/* Only levels that ask for an issuer need them. */
static void
load_anchors(struct tls *tls)
{
	const char *files = tls->set->smtp_tls_trust_anchor_file;
	char error[ANCHORS_ERROR_SIZE];

	if (!trust_anchors_allow(tls->ctx))
		set_error(tls, "cannot use", "trust anchors");
	if (*files == '\0')
		return;
	tls->anchors =
	    trust_anchors_load(files, WORDS_SEPARATORS, error, sizeof(error));
	if (tls->anchors == NULL)
		tls->anchors_error = mem_strdup(error);
}

const struct trust_anchors *
tls_anchors(const struct tls *tls, const char **why_out)
{
	*why_out = tls->anchors_error;
	return tls->anchors;
}

/* "none" is how one entry of master.cf undoes a certificate of main.cf. */
static bool
is_set(const char *value)
{
	return *value != '\0' && strcasecmp(value, "none") != 0;
}

static void
load_pair(struct tls *tls, const char *cert, const char *key)
{
	if (!is_set(cert))
		return;
	if (!is_set(key))
		key = cert;
	if (SSL_CTX_use_certificate_chain_file(tls->ctx, cert) != 1)
		set_error(tls, "cannot load client certificate", cert);
	else if (SSL_CTX_use_PrivateKey_file(tls->ctx, key, SSL_FILETYPE_PEM) !=
		     1 ||
		 SSL_CTX_check_private_key(tls->ctx) != 1)
		set_error(tls, "cannot load client key", key);
}

static void
load_client_certs(struct tls *tls)
{
	const struct settings *set = tls->set;
	const char *files = set->smtp_tls_chain_files;
	struct slice rest = slice_str(files != NULL ? files : ""), word;
	char file[1024];

	/* Key and chain together in each file; they replace the pairs. */
	if (is_set(files)) {
		while (words_cut(&rest, WORDS_SEPARATORS, &word)) {
			if (word.n >= sizeof(file))
				continue;
			(void)snprintf(
			    file, sizeof(file), "%.*s", (int)word.n, word.p);
			load_pair(tls, file, file);
		}
		return;
	}
	load_pair(tls, set->smtp_tls_cert_file, set->smtp_tls_key_file);
	load_pair(tls, set->smtp_tls_eccert_file, set->smtp_tls_eckey_file);
}

int64_t
tls_own_end_s(const struct tls *tls)
{
	int64_t first = 0;

	if (tls->ctx == NULL ||
	    SSL_CTX_set_current_cert(tls->ctx, SSL_CERT_SET_FIRST) != 1)
		return 0;
	do {
		const X509 *cert = SSL_CTX_get0_certificate(tls->ctx);
		int64_t end = cert != NULL ? tls_proof_end_s(cert) : 0;

		if (end > 0 && (first == 0 || end < first))
			first = end;
	} while (SSL_CTX_set_current_cert(tls->ctx, SSL_CERT_SET_NEXT) == 1);
	return first;
}

/* Digits of a number of base 16, as smtp(8) has it for what has no name. */
static bool
read_mask(const char *word, uint64_t *mask_out)
{
	const char *digits = strncasecmp(word, "0x", 2) == 0 ? word + 2 : word;
	size_t n = strlen(digits);

	if (n == 0 || n > 16 || strspn(digits, "0123456789abcdefABCDEF") != n)
		return false;
	*mask_out = strtoull(digits, NULL, 16);
	return true;
}

/* tls_ssl_options: what smtp(8) knows by name, and bits of OpenSSL. Those that
 * parameters of their own are for are left alone. */
static void
set_options(struct tls *tls)
{
	const uint64_t managed = SSL_OP_ALL | SSL_OP_NO_SSL_MASK |
				 SSL_OP_CIPHER_SERVER_PREFERENCE |
				 SSL_OP_IGNORE_UNEXPECTED_EOF;
	static const struct {
		const char *name;
		uint64_t bit;
	} known[] = {
	    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
	    {"NO_TICKET", SSL_OP_NO_TICKET},
	    {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
	    {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
	    {"NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
		SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
	    {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
	    {"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
	};
	struct slice rest = slice_str(tls->set->tls_ssl_options), each;
	char word[64];
	uint64_t mask = 0;
	size_t i;

	while (words_cut(&rest, WORDS_SEPARATORS, &each)) {
		(void)snprintf(word, sizeof(word), "%.*s", (int)each.n, each.p);
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (strcasecmp(known[i].name, word) == 0)
				break;
		if (i < sizeof(known) / sizeof(known[0]))
			mask = known[i].bit;
		else if (!read_mask(word, &mask))
			set_error(tls, "not supported: tls_ssl_options", word);
		(void)SSL_CTX_set_options(tls->ctx, mask & ~managed);
	}
}

/* Adds the group to a list with ":" between when this OpenSSL knows it. */
static void
add_group(SSL_CTX *scratch, struct slice word, char *list, size_t size)
{
	size_t used = strlen(list);
	char name[64];

	(void)snprintf(name, sizeof(name), "%.*s", (int)word.n, word.p);
	if (word.n < sizeof(name) && used + word.n + 2 < size &&
	    SSL_CTX_set1_groups_list(scratch, name) == 1)
		(void)snprintf(list + used, size - used, "%s%s",
		    used > 0 ? ":" : "", name);
	ERR_clear_error();
}

/* smtp(8) skips the groups that the library does not know, since its default
 * names those of later releases. With none left it takes others; we do not. */
static void
set_groups(struct tls *tls)
{
	const char *const lists[] = {
	    tls->set->tls_eecdh_auto_curves, tls->set->tls_ffdhe_auto_groups};
	SSL_CTX *scratch = SSL_CTX_new(TLS_client_method());
	char known[GROUPS_SIZE] = "";
	bool is_given = false;

	for (size_t i = 0; scratch != NULL && i < 2; i++) {
		struct slice rest = slice_str(lists[i]), word;

		while (words_cut(&rest, group_separators, &word)) {
			is_given = true;
			add_group(scratch, word, known, sizeof(known));
		}
	}
	SSL_CTX_free(scratch);
	/* OpenSSL 3.5 takes a list of none for its own. */
	if (is_given &&
	    (*known == '\0' || SSL_CTX_set1_groups_list(tls->ctx, known) != 1))
		set_error(tls, "no usable group in tls_eecdh_auto_curves",
		    tls->set->tls_eecdh_auto_curves);
}

/* A digest less would make records unusable, and TLS without a proof do. */
static void
set_dane_digests(struct tls *tls)
{
	char bad[64];

	if (trusted_resolver_is_wanted(tls->set) &&
	    !dane_tls_digests(
		tls->ctx, tls->set->tls_dane_digests, bad, sizeof(bad)))
		set_error(tls, "not supported: tls_dane_digests", bad);
}

/* At every level, as for smtp(8). */
static void
check_digest(struct tls *tls)
{
	const char *name = tls->set->smtp_tls_fingerprint_digest;

	if (EVP_get_digestbyname(name) == NULL && tls->error == NULL)
		tls->error = mem_printf(
		    "smtp_tls_fingerprint_digest %s: no such digest", name);
}

struct tls *
tls_new(const struct settings *set)
{
	struct tls *tls = mem_zalloc(sizeof(*tls));

	(void)signal(SIGPIPE, SIG_IGN);
	tls->set = set;
	errno = 0;
	tls->ctx = SSL_CTX_new(TLS_client_method());
	if (tls->ctx == NULL) {
		set_error(tls, "cannot start", "OpenSSL");
		return tls;
	}
	/* The cipher lists decide, as in smtp(8), not the distribution's. */
	SSL_CTX_set_security_level(tls->ctx, 0);
	(void)SSL_CTX_set_min_proto_version(tls->ctx, TLS1_VERSION);
	(void)SSL_CTX_set_mode(tls->ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	/* Truncation cannot hurt SMTP, which frames itself, and to OpenSSL an
	 * unannounced end would spoil the tickets. */
	(void)SSL_CTX_set_options(tls->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF |
						SSL_OP_NO_RENEGOTIATION |
						SSL_OP_LEGACY_SERVER_CONNECT);
	/* OpenSSL counts the trusted one, too. */
	SSL_CTX_set_verify_depth(tls->ctx, set->smtp_tls_scert_verifydepth + 1);
	tls->sessions = tlssession_cache_new(
	    tls->ctx, set->smtp_tls_session_cache_timeout_us / US_PER_S);
	check_digest(tls);
	set_options(tls);
	set_groups(tls);
	check_memory();
	load_cas(tls);
	check_memory();
	load_anchors(tls);
	set_dane_digests(tls);
	check_memory();
	load_client_certs(tls);
	check_memory();
	return tls;
}

void
tls_free(struct tls **tls)
{
	struct tls *old = *tls;

	*tls = NULL;
	if (old == NULL)
		return;
	tlssession_cache_free(&old->sessions);
	SSL_CTX_free(old->ctx);
	trust_anchors_free(&old->anchors);
	mem_free(old->anchors_error);
	mem_free(old->error);
	mem_free(old);
}

const char *
tls_error(const struct tls *tls)
{
	return tls->error;
}

bool
tls_are_useless(const struct tls *tls, const struct tlsa_set *records)
{
	return dane_tls_is_useless(tls->ctx, records);
}

static bool
set_versions(SSL *ssl, const char *protocols)
{
	static const uint64_t off[] = {SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1,
	    SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3};
	unsigned mask;

	if (!tlspolicy_versions(protocols, &mask) || mask == 0)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if ((mask & (1U << i)) == 0)
			(void)SSL_set_options(ssl, off[i]);
	return true;
}

static bool
set_name(SSL *ssl, const struct tlspolicy *policy, const char *host,
    const char *nexthop)
{
	const char *name = policy->servername;
	char copy[256]; /* the macro below wants a writable one */

	if (strcasecmp(name, "hostname") == 0)
		name = host;
	else if (strcasecmp(name, "nexthop") == 0)
		name = nexthop;
	/* An address is no server name (RFC 6066 3). */
	if (*name == '\0' || nexthop_is_address(slice_str(name)))
		return true;
	(void)snprintf(copy, sizeof(copy), "%s", name);
	return SSL_set_tlsext_host_name(ssl, copy) == 1;
}

struct ssl_st *
tls_open(struct tls *tls, const struct tlspolicy *policy, const char *host,
    const char *nexthop, const char *key, char *error, size_t error_size)
{
	char ciphers[CIPHERS_SIZE];
	const char *why = NULL;
	SSL *ssl;

	if (tls->error != NULL) {
		(void)snprintf(error, error_size, "%s", tls->error);
		return NULL;
	}
	ssl = SSL_new(tls->ctx);
	if (ssl == NULL)
		why = "out of memory";
	else if (!set_versions(ssl, policy->protocols))
		why = "invalid list of TLS protocols";
	else if (!tlspolicy_cipher_list(
		     policy, tls->set, ciphers, sizeof(ciphers)) ||
		 SSL_set_cipher_list(ssl, ciphers) != 1)
		why = "invalid TLS cipher grade or exclusion list";
	else if (policy->dane == NULL && tls_level_is_dane(policy->level))
		why = "no TLSA records at a DANE level";
	else if (policy->dane == NULL && !set_name(ssl, policy, host, nexthop))
		why = "invalid TLS server name";
	else if (policy->dane != NULL && !dane_tls_use(policy->dane, ssl))
		why = "cannot use the TLSA records";
	else if (policy->enable_rpk && tls_level_may_have_key(policy->level) &&
		 !rpk_ask(ssl))
		why = "no raw public keys";
	else if (policy->anchors != NULL &&
		 !trust_anchors_use(policy->anchors, ssl))
		why = "no usable trust anchor";
	ERR_clear_error();
	if (why != NULL) {
		(void)snprintf(error, error_size, "%s", why);
		SSL_free(ssl);
		return NULL;
	}
	/* Who speaks without RFC 5746 may be spoken to by somebody else first;
	 * opportunistic TLS is better than none even so. */
	if (policy->level > TLS_LEVEL_MAY)
		(void)SSL_clear_options(ssl, SSL_OP_LEGACY_SERVER_CONNECT);
	if (tls_level_must_match(policy->level))
		SSL_set_security_level(ssl, 1);
	SSL_set_connect_state(ssl);
	tlssession_use(tls->sessions, ssl, key);
	return ssl;
}

void
tls_judge(struct tls *tls, struct ssl_st *ssl, const struct tlspolicy *policy,
    const char *host, const char *nexthop, struct tls_facts *out)
{
	CHECK(tls->sessions != NULL && SSL_is_init_finished(ssl));
	tls_proof(tls->set, ssl, policy, host, nexthop, out);
	tlssession_judged(tls->sessions, ssl,
	    !tls_level_must_match(policy->level) || out->is_matched);
}

void
tls_key(
    const struct tlspolicy *policy, const char *where, char out[TLS_KEY_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char records[DANE_DIGEST_TEXT_SIZE] = "";
	char *text;

	if (policy->dane != NULL)
		dane_tls_digest(policy->dane, records);
	text = mem_printf("%s\n%d %d\n%s\n%s\n%s\n%s\n%s\n%s\n%s", where,
	    (int)policy->level, (int)policy->enable_rpk, policy->protocols,
	    policy->ciphers, policy->exclude, policy->match, policy->servername,
	    policy->anchors != NULL ? trust_anchors_digest(policy->anchors)
				    : "",
	    records);
	if (EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL) != 1)
		log_panic("EVP_Digest failed");
	CHECK(n * 2 >= TLS_KEY_SIZE - 1);
	for (unsigned i = 0; i < (TLS_KEY_SIZE - 1) / 2; i++)
		(void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
	mem_free(text);
}

void
tls_forget(struct tls *tls, const char *key)
{
	if (tls->sessions != NULL)
		tlssession_forget(tls->sessions, key);
}
