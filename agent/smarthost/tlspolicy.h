/* tlspolicy: which TLS one destination gets, from main.cf and the policy map.
 *
 *   "encrypt"                      "secure match=.example.com servername=h"
 *   "verify { match = nexthop } protocols=>=TLSv1.2"
 *
 * Pure text work. Levels: none, may, encrypt, fingerprint, dane, dane-only,
 * verify, secure. The DANE levels are refused in clear words without what they
 * need (agent/io/trusted_resolver.h); which level they come to is found out for
 * each host (dane.h).
 * Attributes of reports and of MTA-STS (policy_*, mx_host_pattern) are passed
 * over. connection_reuse says nothing here, and must be yes or no all the same;
 * enable_rpk=yes needs an OpenSSL that has raw public keys, and the last one
 * counts. What may be there once and stands there twice makes the policy
 * useless, as for smtp(8).
 */
#ifndef TLSPOLICY_H
#define TLSPOLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/settings.h"

enum tls_level {
	TLS_LEVEL_NONE,
	TLS_LEVEL_MAY,
	TLS_LEVEL_ENCRYPT,
	TLS_LEVEL_FINGERPRINT,
	TLS_LEVEL_HALF_DANE, /* of dane: a host found by insecure MX records */
	TLS_LEVEL_DANE,
	TLS_LEVEL_DANE_ONLY,
	TLS_LEVEL_VERIFY,
	TLS_LEVEL_SECURE,
};

enum { TLSPOLICY_TEXT_SIZE = 512, TLSPOLICY_ERROR_SIZE = 256 };

struct trust_anchors;
struct dane;

struct tlspolicy {
	enum tls_level level;
	char protocols[TLSPOLICY_TEXT_SIZE];
	char ciphers[32]; /* grade: high, medium, null */
	char exclude[TLSPOLICY_TEXT_SIZE]; /* blanks, commas or ":" between */
	char match[TLSPOLICY_TEXT_SIZE]; /* ":" (names) or "|" between */
	char servername[256]; /* "", a name, "hostname" or "nexthop" */
	bool enable_rpk; /* counts up to TLS_LEVEL_FINGERPRINT */
	char tafiles[TLSPOLICY_TEXT_SIZE]; /* a line for each; "": main.cf's */
	/* What they hold, for whoever is verified; NULL: authorities. Borrowed,
	 * and set by whoever reads them. */
	const struct trust_anchors *anchors;
	/* Who the server is, at the DANE levels; likewise. */
	const struct dane *dane;
	/* Given by the policy, whatever the level. */
	bool has_protocols, has_ciphers, has_exclude;
};

/* The level main.cf asks for, with the parameters that go with it. False when
 * the level's word is wrong or not supported, or smtp_tls_servername no name:
 * error says so. */
bool tlspolicy_init(struct tlspolicy *p, const struct settings *set,
    char *error, size_t error_size);

/* As above for an entry of smtp_tls_policy_maps. */
bool tlspolicy_parse(struct tlspolicy *p, const struct settings *set,
    const char *value, char *error, size_t error_size);

/* From a DANE level to another one, with main.cf's parameters for that where
 * the policy gives none. */
void tlspolicy_change_level(
    struct tlspolicy *p, const struct settings *set, enum tls_level level);

const char *tls_level_name(enum tls_level level);

/* What was asked for is to be found out by DANE. */
static inline bool
tls_level_is_dane(enum tls_level level)
{
	return level >= TLS_LEVEL_HALF_DANE && level <= TLS_LEVEL_DANE_ONLY;
}

/* At these levels the certificate must match, or there is no delivery. */
static inline bool
tls_level_must_match(enum tls_level level)
{
	return level >= TLS_LEVEL_FINGERPRINT;
}

/* Only the server's key need be known, if anything. */
static inline bool
tls_level_may_have_key(enum tls_level level)
{
	return level >= TLS_LEVEL_MAY && level <= TLS_LEVEL_FINGERPRINT;
}

/* The certificate must have been issued by somebody who is trusted. */
static inline bool
tls_level_has_issuer(enum tls_level level)
{
	return level >= TLS_LEVEL_VERIFY;
}

/* Versions a list like ">=TLSv1.1, !TLSv1.2" or "!SSLv2 !SSLv3" allows, as
 * bits 0 (TLSv1) to 3 (TLSv1.3). False for a word that is not understood. */
bool tlspolicy_versions(const char *protocols, unsigned *mask_out);

/* OpenSSL's cipher string of a policy, from tls_GRADE_cipherlist; false: no
 * such grade, an empty list, or too long. */
bool tlspolicy_cipher_list(
    const struct tlspolicy *p, const struct settings *set, char *out, size_t n);

#endif
