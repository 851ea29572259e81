#include "agent/smarthost/tlspolicy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/io/trusted_resolver.h"
#include "agent/smarthost/rpk.h"
#include "common/base/slice.h"
#include "common/base/words.h"
#include "common/postfix/version.h"
#include "common/smtp/nexthop.h"

static const char blanks[] = ", \t\r\n";

static const char *const level_names[] = {
    [TLS_LEVEL_NONE] = "none",
    [TLS_LEVEL_MAY] = "may",
    [TLS_LEVEL_ENCRYPT] = "encrypt",
    [TLS_LEVEL_FINGERPRINT] = "fingerprint",
    [TLS_LEVEL_HALF_DANE] = "halfdane", /* nobody can ask for it */
    [TLS_LEVEL_DANE] = "dane",
    [TLS_LEVEL_DANE_ONLY] = "dane-only",
    [TLS_LEVEL_VERIFY] = "verify",
    [TLS_LEVEL_SECURE] = "secure",
};

const char *
tls_level_name(enum tls_level level)
{
	return level_names[level];
}

static bool
copy(char *out, size_t size, struct slice s)
{
	if (s.n >= size)
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

static struct slice
trim(struct slice s)
{
	while (s.n > 0 && strchr(blanks, s.p[0]) != NULL) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && strchr(blanks, s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

/* As words_cut, but "{ a = b c }" is one word, without its braces. */
static bool
next_attribute(struct slice *list, struct slice *word_out, const char **error)
{
	const char *end;

	*error = NULL;
	while (list->n > 0 && strchr(blanks, *list->p) != NULL)
		*list = slice_of(list->p + 1, list->n - 1);
	if (list->n == 0 || *list->p != '{')
		return words_cut(list, blanks, word_out);
	end = memchr(list->p, '}', list->n);
	if (end == NULL) {
		*error = "missing \"}\"";
		return false;
	}
	*word_out = trim(slice_of(list->p + 1, (size_t)(end - list->p) - 1));
	list->n -= (size_t)(end + 1 - list->p);
	list->p = end + 1;
	return true;
}

static bool
parse_level(const struct settings *set, struct slice word, enum tls_level *out,
    char *error, size_t error_size)
{
	const char *missing;

	for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names);
	     i++) {
		enum tls_level level = (enum tls_level)i;

		if (level == TLS_LEVEL_HALF_DANE ||
		    !slice_eq_nocase(word, level_names[i]))
			continue;
		missing = tls_level_is_dane(level)
			      ? trusted_resolver_missing(set)
			      : NULL;
		if (missing != NULL) {
			(void)snprintf(error, error_size,
			    "TLS security level \"%s\" is not supported "
			    "without %s",
			    level_names[i], missing);
			return false;
		}
		*out = level;
		return true;
	}
	(void)snprintf(error, error_size, "invalid TLS security level \"%.*s\"",
	    (int)(word.n < 64 ? word.n : 64), word.p);
	return false;
}

static const char *
default_match(const struct settings *set, enum tls_level level)
{
	switch (level) {
	case TLS_LEVEL_FINGERPRINT:
		return set->smtp_tls_fingerprint_cert_match;
	case TLS_LEVEL_VERIFY:
		return set->smtp_tls_verify_cert_match;
	case TLS_LEVEL_SECURE:
		return set->smtp_tls_secure_cert_match;
	case TLS_LEVEL_NONE:
	case TLS_LEVEL_MAY:
	case TLS_LEVEL_ENCRYPT:
	case TLS_LEVEL_HALF_DANE:
	case TLS_LEVEL_DANE:
	case TLS_LEVEL_DANE_ONLY:
		break;
	}
	return "";
}

/* A value too long to hold becomes one that no later step accepts, so that
 * nothing is weaker than asked for. */
static void
take(char *out, size_t size, const char *value)
{
	if (strlen(value) >= size)
		(void)snprintf(out, size, "?");
	else
		(void)snprintf(out, size, "%s", value);
}

void
tlspolicy_change_level(
    struct tlspolicy *p, const struct settings *set, enum tls_level level)
{
	bool mandatory = level > TLS_LEVEL_MAY;
	char exclude[TLSPOLICY_TEXT_SIZE * 2];

	p->level = level;
	if (!p->has_protocols)
		take(p->protocols, sizeof(p->protocols),
		    mandatory ? set->smtp_tls_mandatory_protocols
			      : set->smtp_tls_protocols);
	if (!p->has_ciphers)
		take(p->ciphers, sizeof(p->ciphers),
		    mandatory ? set->smtp_tls_mandatory_ciphers
			      : set->smtp_tls_ciphers);
	(void)snprintf(exclude, sizeof(exclude), "%s %s",
	    set->smtp_tls_exclude_ciphers,
	    mandatory ? set->smtp_tls_mandatory_exclude_ciphers : "");
	if (!p->has_exclude)
		take(p->exclude, sizeof(p->exclude), exclude);
}

/* Puts a level in force, with main.cf's parameters for it. */
static void
set_level(struct tlspolicy *p, const struct settings *set, enum tls_level level)
{
	memset(p, 0, sizeof(*p));
	tlspolicy_change_level(p, set, level);
	take(p->match, sizeof(p->match), default_match(set, level));
	take(p->servername, sizeof(p->servername), set->smtp_tls_servername);
	p->enable_rpk = set->smtp_tls_enable_rpk;
}

/* Of main.cf, or of the policy: it is what the server is asked for. */
static bool
check_servername(const struct tlspolicy *p, char *error, size_t error_size)
{
	if (p->level == TLS_LEVEL_NONE || p->servername[0] == '\0' ||
	    nexthop_is_hostname(slice_str(p->servername)))
		return true;
	(void)snprintf(
	    error, error_size, "smtp_tls_servername: invalid host name");
	return false;
}

bool
tlspolicy_init(struct tlspolicy *p, const struct settings *set, char *error,
    size_t error_size)
{
	enum tls_level level = TLS_LEVEL_NONE;
	const char *word = set->smtp_tls_security_level;

	if (*word != '\0') {
		if (!parse_level(
			set, slice_str(word), &level, error, error_size)) {
			set_level(p, set, TLS_LEVEL_NONE);
			return false;
		}
	} else if (set->smtp_enforce_tls) {
		level = set->smtp_tls_enforce_peername ? TLS_LEVEL_VERIFY
						       : TLS_LEVEL_ENCRYPT;
	} else if (set->smtp_use_tls) {
		level = TLS_LEVEL_MAY;
	}
	set_level(p, set, level);
	return check_servername(p, error, error_size);
}

/* A policy, and which of its attributes were there. */
struct reading {
	struct tlspolicy *p;
	bool has_servername, has_match;
};

/* Appends "x" to a match list; the separator depends on the level. */
static bool
add_match(struct reading *r, struct slice value)
{
	struct tlspolicy *p = r->p;
	char separator = p->level == TLS_LEVEL_FINGERPRINT ? '|' : ':';
	size_t used = r->has_match ? strlen(p->match) : 0;

	if (used + value.n + 2 > sizeof(p->match))
		return false;
	if (used > 0)
		p->match[used++] = separator;
	memcpy(p->match + used, value.p, value.n);
	p->match[used + value.n] = '\0';
	r->has_match = true;
	return true;
}

static bool
add_tafile(struct tlspolicy *p, struct slice value)
{
	size_t used = strlen(p->tafiles);

	if (used + value.n + 2 > sizeof(p->tafiles))
		return false;
	(void)snprintf(p->tafiles + used, sizeof(p->tafiles) - used, "%.*s\n",
	    (int)value.n, value.p);
	return true;
}

static bool
is_ignored(struct slice name)
{
	static const char *const names[] = {"policy_ttl", "policy_type",
	    "policy_domain", "policy_string", "policy_failure",
	    "mx_host_pattern"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_eq_nocase(name, names[i]))
			return true;
	return false;
}

/* Of an attribute that may be there once. */
static const char *
set_once(bool *has, char *out, size_t size, struct slice value)
{
	if (*has)
		return "given more than once";
	*has = true;
	return copy(out, size, value) ? NULL : "value too long";
}

static const char *
set_match(struct reading *r, struct slice value)
{
	if (!tls_level_must_match(r->p->level) ||
	    tls_level_is_dane(r->p->level))
		return "not valid at this security level";
	return add_match(r, value) ? NULL : "value too long";
}

static const char *
set_tafile(struct tlspolicy *p, struct slice value)
{
	if (!tls_level_has_issuer(p->level))
		return "not valid at this security level";
	return add_tafile(p, value) ? NULL : "value too long";
}

/* Those that say yes or no. */
static const char *
set_switch(struct tlspolicy *p, struct slice name, struct slice value)
{
	bool is_yes = slice_eq_nocase(value, "yes");

	if (!is_yes && !slice_eq_nocase(value, "no"))
		return "must be yes or no";
	if (!slice_eq_nocase(name, "enable_rpk"))
		return NULL;
	p->enable_rpk = is_yes;
	return is_yes && !RPK_IS_THERE
		   ? "no raw public keys: OpenSSL is older than 3.2; level "
		     "fingerprint knows the key of a certificate, too"
		   : NULL;
}

static bool
is_switch(struct slice name)
{
	return slice_eq_nocase(name, "connection_reuse") ||
	       slice_eq_nocase(name, "enable_rpk");
}

/* NULL, or what is wrong with name=value. */
static const char *
set_attribute(struct reading *r, struct slice name, struct slice value)
{
	struct tlspolicy *p = r->p;

	if (is_ignored(name))
		return NULL;
	if (is_switch(name))
		return set_switch(p, name, value);
	if (slice_eq_nocase(name, "protocols"))
		return set_once(&p->has_protocols, p->protocols,
		    sizeof(p->protocols), value);
	if (slice_eq_nocase(name, "exclude"))
		return set_once(
		    &p->has_exclude, p->exclude, sizeof(p->exclude), value);
	if (value.n == 0)
		return "empty value";
	if (slice_eq_nocase(name, "ciphers"))
		return set_once(
		    &p->has_ciphers, p->ciphers, sizeof(p->ciphers), value);
	if (slice_eq_nocase(name, "servername"))
		return !nexthop_is_hostname(value)
			   ? "invalid host name"
			   : set_once(&r->has_servername, p->servername,
				 sizeof(p->servername), value);
	if (slice_eq_nocase(name, "match"))
		return set_match(r, value);
	if (slice_eq_nocase(name, "tafile"))
		return set_tafile(p, value);
	return "unknown attribute";
}

/* NULL, or what is wrong with "name=value". */
static const char *
take_attribute(struct reading *r, struct slice word, struct slice *name_out)
{
	const char *equals = memchr(word.p, '=', word.n);

	*name_out = word;
	if (equals == NULL)
		return "missing \"=\"";
	*name_out = trim(slice_of(word.p, (size_t)(equals - word.p)));
	return set_attribute(r, *name_out,
	    trim(slice_of(equals + 1, (size_t)(word.p + word.n - equals) - 1)));
}

bool
tlspolicy_parse(struct tlspolicy *p, const struct settings *set,
    const char *value, char *error, size_t error_size)
{
	struct slice list = slice_str(value), word, name;
	struct reading reading = {.p = p};
	enum tls_level level = TLS_LEVEL_NONE;
	const char *why;

	set_level(p, set, TLS_LEVEL_NONE);
	if (!words_cut(&list, blanks, &word)) {
		(void)snprintf(error, error_size, "invalid empty policy");
		return false;
	}
	if (!parse_level(set, word, &level, error, error_size))
		return false;
	set_level(p, set, level);
	while (next_attribute(&list, &word, &why)) {
		if (level == TLS_LEVEL_NONE)
			continue;
		why = take_attribute(&reading, word, &name);
		if (why != NULL) {
			(void)snprintf(error, error_size,
			    "attribute \"%.*s\": %s",
			    (int)(name.n < 64 ? name.n : 64), name.p, why);
			return false;
		}
	}
	if (why != NULL) {
		(void)snprintf(error, error_size, "%s", why);
		return false;
	}
	return check_servername(p, error, error_size);
}

static const char *const version_names[] = {
    "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};

/* The bit of a version, 0 for the SSL versions that no longer exist. */
static bool
version_bit(struct slice name, unsigned *bit_out)
{
	static const char *const hex[] = {"0301", "0302", "0303", "0304"};

	if (slice_eq_nocase(name, "SSLv2") || slice_eq_nocase(name, "SSLv3")) {
		*bit_out = 0;
		return true;
	}
	for (unsigned i = 0; i < 4; i++)
		if (slice_eq_nocase(name, version_names[i]) ||
		    slice_eq_nocase(name, hex[i]) ||
		    (name.n == 6 && strncasecmp(name.p, "0x", 2) == 0 &&
			slice_eq_nocase(
			    slice_of(name.p + 2, name.n - 2), hex[i]))) {
			*bit_out = 1U << i;
			return true;
		}
	return false;
}

/* "<=", ">=", "!" or nothing before a version; false when it is none. A floor
 * or ceiling may be empty (no limit) and applies to all words. */
static bool
apply_version(
    struct slice word, unsigned *wanted, unsigned *excluded, unsigned *range)
{
	bool is_floor = word.n >= 2 && memcmp(word.p, ">=", 2) == 0;
	bool is_ceiling = word.n >= 2 && memcmp(word.p, "<=", 2) == 0;
	bool is_not = *word.p == '!';
	size_t skip = is_floor || is_ceiling ? 2 : is_not ? 1 : 0;
	struct slice name = slice_of(word.p + skip, word.n - skip);
	unsigned bit;

	if (skip == 2 && name.n == 0)
		return true;
	if (!version_bit(name, &bit))
		return false;
	if (is_floor)
		*range &= bit == 0 ? ~0U : ~(bit - 1);
	else if (is_ceiling)
		*range &= bit == 0 ? 0 : bit * 2 - 1;
	else if (is_not)
		*excluded |= bit;
	else
		*wanted |= bit | 0x100;
	return true;
}

bool
tlspolicy_versions(const char *protocols, unsigned *mask_out)
{
	struct slice list = slice_str(protocols), word;
	unsigned wanted = 0, excluded = 0, range = ~0U;

	while (words_cut(&list, WORDS_SEPARATORS ":", &word)) {
		if (!apply_version(word, &wanted, &excluded, &range))
			return false;
	}
	if (wanted == 0)
		wanted = 0xf;
	*mask_out = wanted & ~excluded & range & 0xf;
	return true;
}

/* The former grades low and export mean medium from 3.8 on, where their lists
 * are no longer used. */
static const char *
grade_list(const struct settings *set, const char *grade)
{
	bool is_old = !version_at_least(set->mail_version, 3, 8);

	if (strcasecmp(grade, "high") == 0)
		return set->tls_high_cipherlist;
	if (strcasecmp(grade, "null") == 0)
		return set->tls_null_cipherlist;
	if (strcasecmp(grade, "low") == 0 && is_old &&
	    *set->tls_low_cipherlist != '\0')
		return set->tls_low_cipherlist;
	if (strcasecmp(grade, "export") == 0 && is_old &&
	    *set->tls_export_cipherlist != '\0')
		return set->tls_export_cipherlist;
	if (strcasecmp(grade, "medium") == 0 || strcasecmp(grade, "low") == 0 ||
	    strcasecmp(grade, "export") == 0)
		return set->tls_medium_cipherlist;
	return "";
}

bool
tlspolicy_cipher_list(
    const struct tlspolicy *p, const struct settings *set, char *out, size_t n)
{
	struct slice list = slice_str(p->exclude), word;
	const char *base = grade_list(set, p->ciphers);
	int used;

	if (*base == '\0')
		return false;
	used = snprintf(out, n, "%s%s", base,
	    tls_level_must_match(p->level) ? ":!aNULL" : "");
	if (used < 0 || (size_t)used >= n)
		return false;
	while (words_cut(&list, WORDS_SEPARATORS ":", &word)) {
		size_t left = n - (size_t)used;

		if (word.n + 3 > left)
			return false;
		used +=
		    snprintf(out + used, left, ":!%.*s", (int)word.n, word.p);
	}
	return true;
}
