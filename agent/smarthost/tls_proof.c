#include "agent/smarthost/tls_proof.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/smarthost/dane_tls.h"
#include "agent/smarthost/rpk.h"
#include "agent/smarthost/trust_anchors.h"
#include "common/base/log.h"
#include "common/base/slice.h"
#include "common/base/words.h"
#include "common/postfix/version.h"
#include "common/smtp/nexthop.h"

enum {
	NAMES_SIZE = 300,
	DIGEST_TEXT_SIZE = EVP_MAX_MD_SIZE * 3 + 1,
	KEY_BITS_MIN = 80, /* of strength: what security level 1 asks for */
};

/* 0: it has no end that can be understood. */
int64_t
tls_proof_end_s(const X509 *cert)
{
	struct tm tm = {0};

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
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
match_any_digest(const struct settings *set, X509 *cert, EVP_PKEY *pkey,
    const struct tlspolicy *policy)
{
	const EVP_MD *md =
	    EVP_get_digestbyname(set->smtp_tls_fingerprint_digest);
	struct slice rest = slice_str(policy->match), word;

	while (md != NULL && words_cut(&rest, "|, \t", &word))
		if (match_fingerprint(cert, pkey, md, word))
			return true;
	return false;
}

static bool
match_any_name(const struct settings *set, X509 *cert,
    const struct tlspolicy *policy, const char *host, const char *nexthop)
{
	struct slice rest = slice_str(policy->match), word;
	char name[NAMES_SIZE];

	while (words_cut(&rest, ":, \t", &word)) {
		wanted_name(word, host, nexthop, name, sizeof(name));
		if (match_name(set, cert, name))
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
describe_untrusted(
    SSL *ssl, X509 *cert, const struct tlspolicy *policy, char *out, size_t n)
{
	long code = SSL_get_verify_result(ssl);
	char issuer[200] = "";

	switch (code) {
	case X509_V_ERR_CERT_UNTRUSTED:
	case X509_V_ERR_DANE_NO_MATCH:
		(void)snprintf(out, n, "no %s matches",
		    policy->dane != NULL ? "TLSA record" : "trust anchor");
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
judge_fingerprint(const struct settings *set, X509 *cert, EVP_PKEY *key,
    const struct tlspolicy *policy, struct tls_facts *out)
{
	if (!is_key_strong(key)) {
		(void)snprintf(out->why, sizeof(out->why),
		    "%s key is too small",
		    cert != NULL ? "the certificate's" : "the raw public");
		return;
	}
	out->is_matched = match_any_digest(set, cert, key, policy);
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
describe_no_name(X509 *cert, const struct dane *dane, char *out, size_t size)
{
	char names[150], wanted[150] = "";

	list_names(cert, names, sizeof(names));
	for (size_t i = 0; i < dane->name_count; i++)
		add_word(wanted, sizeof(wanted), dane->names[i],
		    strlen(dane->names[i]));
	(void)snprintf(out, size,
	    "num=%d:%s: certificate names: %s; wanted: %s",
	    X509_V_ERR_HOSTNAME_MISMATCH,
	    X509_verify_cert_error_string(X509_V_ERR_HOSTNAME_MISMATCH), names,
	    wanted);
}

/* OpenSSL has compared records, names and dates, as far as each record asks for
 * them; a session that is resumed had the same records and names, see
 * tls_key(). */
static void
judge_dane(
    SSL *ssl, X509 *cert, const struct tlspolicy *policy, struct tls_facts *out)
{
	out->is_matched = out->is_trusted && policy->dane != NULL &&
			  (out->is_resumed || dane_tls_has_matched(ssl));
	if (out->is_matched)
		return;
	out->is_trusted = false;
	if (policy->dane != NULL &&
	    SSL_get_verify_result(ssl) == X509_V_ERR_HOSTNAME_MISMATCH)
		describe_no_name(
		    cert, policy->dane, out->why, sizeof(out->why));
	else
		describe_untrusted(
		    ssl, cert, policy, out->why, sizeof(out->why));
}

static void
judge(const struct settings *set, SSL *ssl, X509 *cert,
    const struct tlspolicy *policy, const char *host, const char *nexthop,
    struct tls_facts *out)
{
	out->is_trusted = SSL_get_verify_result(ssl) == X509_V_OK;
	if (policy->level == TLS_LEVEL_FINGERPRINT) {
		judge_fingerprint(
		    set, cert, X509_get0_pubkey(cert), policy, out);
		return;
	}
	if (tls_level_is_dane(policy->level)) {
		judge_dane(ssl, cert, policy, out);
		return;
	}
	if (!out->is_trusted) {
		describe_untrusted(
		    ssl, cert, policy, out->why, sizeof(out->why));
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
	out->is_matched = match_any_name(set, cert, policy, host, nexthop);
	if (!out->is_matched) {
		/* Before 3.10 smtp(8) has OpenSSL check the name with the
		 * chain, and calls the whole untrusted. */
		out->is_trusted = version_at_least(set->mail_version, 3, 10);
		describe_mismatch(
		    cert, policy, host, nexthop, out->why, sizeof(out->why));
	}
}

/* No name and no issuer is in it. */
static void
judge_key(const struct settings *set, EVP_PKEY *key,
    const struct tlspolicy *policy, struct tls_facts *out)
{
	if (policy->level == TLS_LEVEL_FINGERPRINT)
		judge_fingerprint(set, NULL, key, policy, out);
	else
		(void)snprintf(
		    out->why, sizeof(out->why), "a raw public key was sent");
}

void
tls_proof(const struct settings *set, struct ssl_st *ssl,
    const struct tlspolicy *policy, const char *host, const char *nexthop,
    struct tls_facts *out)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	EVP_PKEY *key = cert == NULL ? rpk_of_peer(ssl) : NULL;

	memset(out, 0, sizeof(*out));
	out->is_resumed = SSL_session_reused(ssl) == 1;
	out->has_cert = cert != NULL;
	out->has_key = key != NULL;
	out->end_s = cert != NULL ? tls_proof_end_s(cert) : 0;
	if (key != NULL)
		judge_key(set, key, policy, out);
	else if (cert == NULL)
		(void)snprintf(
		    out->why, sizeof(out->why), "no certificate was sent");
	else
		judge(set, ssl, cert, policy, host, nexthop, out);
	out->is_secured =
	    out->is_matched && policy->level != TLS_LEVEL_HALF_DANE;
	/* The names are the server's. */
	log_safe(out->why, strlen(out->why));
	ERR_clear_error();
}
