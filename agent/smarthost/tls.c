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
	NAMES_SIZE = 300,
	ANCHORS_ERROR_SIZE = 600,
	DIGEST_TEXT_SIZE = EVP_MAX_MD_SIZE * 3 + 1,
	KEY_BITS_MIN = 80, /* of strength: what security level 1 asks for */
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
	if (tls->error == NULL && reason != NULL)
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

/* 0: it has no end that can be understood. */
static int64_t
end_of(const X509 *cert)
{
	struct tm tm = {0};

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
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
		int64_t end = cert != NULL ? end_of(cert) : 0;

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
	else if (!set_name(ssl, policy, host, nexthop))
		why = "invalid TLS server name";
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

/* RFC 9525 6.3: "*" stands for one whole label. It could stand for several in
 * smtp(8) before 3.6, which the parameter was about; later releases still have
 * the parameter and do not look at it. A pattern ".example.com" matches
 * subdomains. */
static bool
match_name(const struct settings *set, X509 *cert, const char *name)
{
	unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

	if (set->tls_wildcard_matches_multiple_labels &&
	    !version_at_least(set->mail_version, 3, 6))
		flags |= X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS;
	if (*name == '\0' || strcmp(name, ".") == 0)
		return false;
	if (nexthop_is_address(slice_str(name)))
		return X509_check_ip_asc(cert, name, 0) == 1;
	return X509_check_host(cert, name, strlen(name), flags, NULL) == 1;
}

/* The name that a pattern stands for; "" for none. */
static void
wanted_name(struct slice pattern, const char *host, const char *nexthop,
    char *out, size_t n)
{
	*out = '\0';
	if (slice_eq_nocase(pattern, "hostname"))
		(void)snprintf(out, n, "%s", host);
	else if (slice_eq_nocase(pattern, "nexthop"))
		(void)snprintf(out, n, "%s", nexthop);
	else if (!slice_eq_nocase(pattern, "dot-nexthop")) {
		if (pattern.n < n)
			(void)snprintf(
			    out, n, "%.*s", (int)pattern.n, pattern.p);
	} else if (!nexthop_is_address(slice_str(nexthop)))
		(void)snprintf(out, n, ".%s", nexthop);
}

static void
hex_text(const unsigned char *digest, unsigned n, char *out, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < n && used + 4 <= size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%02X",
		    i > 0 ? ":" : "", digest[i]);
}

/* The certificate's, if there is one, or its public key's digest is the wanted
 * one. */
static bool
match_fingerprint(
    X509 *cert, EVP_PKEY *pkey, const EVP_MD *md, struct slice wanted)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[DIGEST_TEXT_SIZE] = "";
	unsigned char *key = NULL;
	unsigned n = 0;
	int key_n;
	bool ok = false;

	if (cert != NULL && X509_digest(cert, md, digest, &n) == 1) {
		hex_text(digest, n, text, sizeof(text));
		ok = slice_eq_nocase(wanted, text);
	}
	key_n = i2d_PUBKEY(pkey, &key);
	if (!ok && key_n > 0 &&
	    EVP_Digest(key, (size_t)key_n, digest, &n, md, NULL) == 1) {
		hex_text(digest, n, text, sizeof(text));
		ok = slice_eq_nocase(wanted, text);
	}
	OPENSSL_free(key);
	return ok;
}

static bool
match_any_digest(
    struct tls *tls, X509 *cert, EVP_PKEY *pkey, const struct tlspolicy *policy)
{
	const EVP_MD *md =
	    EVP_get_digestbyname(tls->set->smtp_tls_fingerprint_digest);
	struct slice rest = slice_str(policy->match), word;

	while (md != NULL && words_cut(&rest, "|, \t", &word))
		if (match_fingerprint(cert, pkey, md, word))
			return true;
	return false;
}

static bool
match_any_name(struct tls *tls, X509 *cert, const struct tlspolicy *policy,
    const char *host, const char *nexthop)
{
	struct slice rest = slice_str(policy->match), word;
	char name[NAMES_SIZE];

	while (words_cut(&rest, ":, \t", &word)) {
		wanted_name(word, host, nexthop, name, sizeof(name));
		if (match_name(tls->set, cert, name))
			return true;
	}
	return false;
}

/* Appends "word" with ", " between; what does not fit shows as "...". */
static void
add_word(char *list, size_t size, const char *word, size_t word_n)
{
	size_t used = strlen(list);

	if (used + word_n + 8 < size)
		(void)snprintf(list + used, size - used, "%s%.*s",
		    used > 0 ? ", " : "", (int)word_n, word);
	else if (used + 6 < size)
		(void)snprintf(list + used, size - used, ", ...");
}

/* The host names in a certificate, as OpenSSL looks for them. */
static void
list_names(X509 *cert, char *out, size_t size)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char common[200] = "";

	*out = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_word(out, size,
			    (const char *)ASN1_STRING_get0_data(
				name->d.dNSName),
			    (size_t)ASN1_STRING_length(name->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	if (*out == '\0' &&
	    X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
		NID_commonName, common, sizeof(common)) > 0)
		add_word(out, size, common, strlen(common));
	if (*out == '\0')
		(void)snprintf(out, size, "(none)");
}

static void
describe_mismatch(X509 *cert, const struct tlspolicy *policy, const char *host,
    const char *nexthop, char *out, size_t size)
{
	char names[150], wanted[150] = "", name[NAMES_SIZE];
	struct slice rest = slice_str(policy->match), word;

	list_names(cert, names, sizeof(names));
	while (words_cut(&rest, ":, \t", &word)) {
		wanted_name(word, host, nexthop, name, sizeof(name));
		if (*name != '\0')
			add_word(wanted, sizeof(wanted), name, strlen(name));
	}
	(void)snprintf(out, size,
	    "num=%d:%s: certificate names: %s; wanted: %s",
	    X509_V_ERR_HOSTNAME_MISMATCH,
	    X509_verify_cert_error_string(X509_V_ERR_HOSTNAME_MISMATCH), names,
	    wanted);
}

/* "certificate has expired: notAfter=2026-01-31 23:59:59 UTC, /CN=x" when it
 * is not valid now, else false. */
static bool
describe_date(X509 *cert, char *out, size_t size)
{
	bool is_old = X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
	struct tm tm = {0};
	char date[40] = "", subject[200] = "";

	if (!is_old && X509_cmp_current_time(X509_get0_notBefore(cert)) <= 0)
		return false;
	if (ASN1_TIME_to_tm(
		is_old ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert),
		&tm) == 1)
		(void)strftime(
		    date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	(void)X509_NAME_oneline(
	    X509_get_subject_name(cert), subject, sizeof(subject));
	(void)snprintf(out, size, "certificate %s: %s=%s, %s",
	    is_old ? "has expired" : "not yet valid",
	    is_old ? "notAfter" : "notBefore", date, subject);
	return true;
}

/* The first of those that the server showed. */
static bool
describe_dates(SSL *ssl, X509 *leaf, char *out, size_t size)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

	if (describe_date(leaf, out, size))
		return true;
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (describe_date(sk_X509_value(chain, i), out, size))
			return true;
	return false;
}

static void
describe_untrusted(SSL *ssl, X509 *cert, char *out, size_t n)
{
	long code = SSL_get_verify_result(ssl);
	char issuer[200] = "";

	switch (code) {
	case X509_V_ERR_CERT_UNTRUSTED:
	case X509_V_ERR_DANE_NO_MATCH:
		(void)snprintf(out, n, "no trust anchor matches");
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		(void)snprintf(out, n, "self-signed certificate");
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		(void)X509_NAME_oneline(
		    X509_get_issuer_name(cert), issuer, sizeof(issuer));
		(void)snprintf(out, n, "untrusted issuer %s", issuer);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_HAS_EXPIRED:
		if (describe_dates(ssl, cert, out, n))
			break;
		__attribute__((fallthrough));
	default:
		(void)snprintf(out, n, "num=%ld:%s", code,
		    X509_verify_cert_error_string(code));
		break;
	}
}

/* smtp(8) has OpenSSL check this before it looks for the digest. */
static bool
is_key_strong(const EVP_PKEY *key)
{
	return key != NULL && EVP_PKEY_get_security_bits(key) >= KEY_BITS_MIN;
}

static void
judge_fingerprint(struct tls *tls, X509 *cert, EVP_PKEY *key,
    const struct tlspolicy *policy, struct tls_facts *out)
{
	if (!is_key_strong(key)) {
		(void)snprintf(out->why, sizeof(out->why),
		    "%s key is too small",
		    cert != NULL ? "the certificate's" : "the raw public");
		return;
	}
	out->is_matched = match_any_digest(tls, cert, key, policy);
	if (!out->is_matched)
		(void)snprintf(
		    out->why, sizeof(out->why), "fingerprint does not match");
}

static bool
is_anchor(const struct tlspolicy *policy, X509 *cert)
{
	return policy->anchors != NULL &&
	       trust_anchors_have(policy->anchors, cert);
}

static void
judge(struct tls *tls, SSL *ssl, X509 *cert, const struct tlspolicy *policy,
    const char *host, const char *nexthop, struct tls_facts *out)
{
	out->is_trusted = SSL_get_verify_result(ssl) == X509_V_OK;
	if (policy->level == TLS_LEVEL_FINGERPRINT) {
		judge_fingerprint(
		    tls, cert, X509_get0_pubkey(cert), policy, out);
		return;
	}
	if (!out->is_trusted) {
		describe_untrusted(ssl, cert, out->why, sizeof(out->why));
		return;
	}
	/* A session that is resumed brings the judgement of its beginning. What
	 * is trusted by name may be of any age. */
	if (!is_anchor(policy, cert) &&
	    describe_date(cert, out->why, sizeof(out->why))) {
		out->is_trusted = false;
		return;
	}
	if (!tls_level_must_match(policy->level))
		return;
	out->is_matched = match_any_name(tls, cert, policy, host, nexthop);
	if (!out->is_matched) {
		/* Before 3.10 smtp(8) has OpenSSL check the name with the
		 * chain, and calls the whole untrusted. */
		out->is_trusted =
		    version_at_least(tls->set->mail_version, 3, 10);
		describe_mismatch(
		    cert, policy, host, nexthop, out->why, sizeof(out->why));
	}
}

/* No name and no issuer is in it. */
static void
judge_key(struct tls *tls, EVP_PKEY *key, const struct tlspolicy *policy,
    struct tls_facts *out)
{
	if (policy->level == TLS_LEVEL_FINGERPRINT)
		judge_fingerprint(tls, NULL, key, policy, out);
	else
		(void)snprintf(
		    out->why, sizeof(out->why), "a raw public key was sent");
}

void
tls_judge(struct tls *tls, struct ssl_st *ssl, const struct tlspolicy *policy,
    const char *host, const char *nexthop, struct tls_facts *out)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	EVP_PKEY *key = cert == NULL ? rpk_of_peer(ssl) : NULL;

	CHECK(tls->sessions != NULL && SSL_is_init_finished(ssl));
	memset(out, 0, sizeof(*out));
	out->is_resumed = SSL_session_reused(ssl) == 1;
	out->has_cert = cert != NULL;
	out->has_key = key != NULL;
	out->end_s = cert != NULL ? end_of(cert) : 0;
	if (key != NULL)
		judge_key(tls, key, policy, out);
	else if (cert == NULL)
		(void)snprintf(
		    out->why, sizeof(out->why), "no certificate was sent");
	else
		judge(tls, ssl, cert, policy, host, nexthop, out);
	/* The names are the server's. */
	log_safe(out->why, strlen(out->why));
	ERR_clear_error();
	tlssession_judged(tls->sessions, ssl,
	    !tls_level_must_match(policy->level) || out->is_matched);
}

void
tls_key(
    const struct tlspolicy *policy, const char *where, char out[TLS_KEY_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char *text = mem_printf("%s\n%d %d\n%s\n%s\n%s\n%s\n%s\n%s", where,
	    (int)policy->level, (int)policy->enable_rpk, policy->protocols,
	    policy->ciphers, policy->exclude, policy->match, policy->servername,
	    policy->anchors != NULL ? trust_anchors_digest(policy->anchors)
				    : "");

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
