#include "agent/smarthost/tls_summary.h"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "agent/smarthost/rpk.h"
#include "common/base/slice.h"
#include "common/base/words.h"

/* " key-exchange X25519", for TLS 1.3 only, as smtp(8). */
#if OPENSSL_VERSION_PREREQ(3, 2)
/* The group's own name, "x25519": one of two kinds of keys has no other. */
static int
add_key_exchange(SSL *ssl, char *out, size_t n)
{
	const char *group = SSL_get0_group_name(ssl);

	return group != NULL ? snprintf(out, n, " key-exchange %s", group) : 0;
}
#else
static int
add_key_exchange(SSL *ssl, char *out, size_t n)
{
	EVP_PKEY *key = NULL;
	char group[64] = "";
	const char *type;
	int used = 0;

	if (SSL_get_peer_tmp_key(ssl, &key) != 1 || key == NULL)
		return 0;
	type = EVP_PKEY_get0_type_name(key);
	if (type != NULL && strcmp(type, "EC") == 0) {
		(void)EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
		used = snprintf(out, n, " key-exchange ECDHE (%s)", group);
	} else if (type != NULL && strcmp(type, "DH") == 0) {
		used = snprintf(out, n, " key-exchange DHE (%d bits)",
		    EVP_PKEY_get_bits(key));
	} else if (type != NULL) {
		used = snprintf(out, n, " key-exchange %s", type);
	}
	EVP_PKEY_free(key);
	return used;
}
#endif

static const char *
signature_name(int nid)
{
	switch (nid) {
	case EVP_PKEY_RSA:
		return "RSA-PSS";
	case EVP_PKEY_RSA_PSS:
		return "RSA-PSS";
	case EVP_PKEY_EC:
		return "ECDSA";
	default:
		return OBJ_nid2sn(nid);
	}
}

static void
add_signature(SSL *ssl, char *out, size_t n)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	EVP_PKEY *key =
	    cert != NULL ? X509_get0_pubkey(cert) : rpk_of_peer(ssl);
	const char *raw = cert == NULL ? " raw public key" : "";
	char group[64] = "";
	int nid = NID_undef, used;

	if (key == NULL || SSL_session_reused(ssl) ||
	    SSL_get_peer_signature_type_nid(ssl, &nid) != 1)
		return;
	if (nid == EVP_PKEY_EC) {
		(void)EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
		used = snprintf(
		    out, n, " server-signature ECDSA (%s%s)", group, raw);
	} else if (nid == EVP_PKEY_RSA || nid == EVP_PKEY_RSA_PSS) {
		used = snprintf(out, n, " server-signature %s (%d bit%s)",
		    signature_name(nid), EVP_PKEY_get_bits(key),
		    cert == NULL ? raw : "s");
	} else {
		used = snprintf(out, n, " server-signature %s%s",
		    signature_name(nid),
		    cert == NULL ? " (raw public key)" : "");
	}
	if (used > 0 && (size_t)used < n &&
	    SSL_get_peer_signature_nid(ssl, &nid) == 1 && nid != NID_undef)
		(void)snprintf(out + used, n - (size_t)used,
		    " server-digest %s", OBJ_nid2sn(nid));
}

bool
tls_summary_is_wanted(const char *loglevel)
{
	static const char *const names[] = {
	    "routine", "summary", "debug", "ssl-expert", "ssl-developer"};
	struct slice rest = slice_str(loglevel != NULL ? loglevel : ""), word;

	while (words_cut(&rest, WORDS_SEPARATORS, &word)) {
		if (word.n == 1 && *word.p >= '1' && *word.p <= '9')
			return true;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (slice_eq_nocase(word, names[i]))
				return true;
	}
	return false;
}

void
tls_summary(struct ssl_st *ssl, const struct tls_facts *facts, const char *peer,
    char *out, size_t n)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	int all_bits = 0, bits = SSL_CIPHER_get_bits(cipher, &all_bits);
	int used = snprintf(out, n,
	    "%s TLS connection %s to %s: %s with cipher %s (%d/%d bits)",
	    !facts->has_cert && !facts->has_key ? "Anonymous"
	    : facts->is_secured                 ? "Verified"
	    : facts->is_trusted                 ? "Trusted"
						: "Untrusted",
	    facts->is_resumed ? "reused" : "established", peer,
	    SSL_get_version(ssl), SSL_CIPHER_get_name(cipher), bits, all_bits);

	if (used < 0 || (size_t)used >= n || SSL_version(ssl) < TLS1_3_VERSION)
		return;
	used += add_key_exchange(ssl, out + used, n - (size_t)used);
	if ((size_t)used < n)
		add_signature(ssl, out + used, n - (size_t)used);
}
