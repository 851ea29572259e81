#include "agent/smarthost/dane.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"

/* Its name may be forged. */
static bool
is_mx_insecure(const struct candidate *at)
{
	return at->has_mx && !at->mx_origin.is_secure;
}

bool
dane_wants_records(const struct candidate *at, enum tls_level level,
    const struct settings *set)
{
	return !is_mx_insecure(at) ||
	       (level == TLS_LEVEL_DANE &&
		   strcasecmp(set->smtp_tls_dane_insecure_mx_policy, "may") !=
		       0);
}

/* Without proof of who the server is: dane goes on, dane-only does not. */
static bool
do_without(
    enum tls_level level, enum tls_level instead, enum tls_level *level_out)
{
	*level_out = instead;
	return level == TLS_LEVEL_DANE;
}

bool
dane_decide(const struct candidate *at, enum tls_level level,
    const struct settings *set, enum dane_finding finding,
    enum tls_level *level_out, char *why, size_t n)
{
	bool is_encrypted =
	    strcasecmp(set->smtp_tls_dane_insecure_mx_policy, "encrypt") == 0;

	CHECK(level == TLS_LEVEL_DANE || level == TLS_LEVEL_DANE_ONLY);
	*level_out = level;
	*why = '\0';
	if (finding == DANE_UNKNOWN) {
		(void)snprintf(why, n, "TLSA lookup error for %s:%u", at->host,
		    (unsigned)at->port);
		return false;
	}
	if (!dane_wants_records(at, level, set)) {
		(void)snprintf(why, n, "non DNSSEC destination");
		return do_without(level, TLS_LEVEL_MAY, level_out);
	}
	if (finding == DANE_NONE) {
		(void)snprintf(why, n, "no TLSA records found");
		return do_without(level, TLS_LEVEL_MAY, level_out);
	}
	if (finding == DANE_UNUSABLE) {
		(void)snprintf(why, n, "TLSA records unusable");
		return do_without(level, TLS_LEVEL_ENCRYPT, level_out);
	}
	if (is_mx_insecure(at)) {
		(void)snprintf(why, n, "MX RRset is insecure");
		*level_out =
		    is_encrypted ? TLS_LEVEL_ENCRYPT : TLS_LEVEL_HALF_DANE;
	}
	return true;
}

static void
add_name(struct dane *dane, const char *name)
{
	if (*name == '\0' || dane->name_count == DANE_NAMES_MAX)
		return;
	for (size_t i = 0; i < dane->name_count; i++)
		if (strcasecmp(dane->names[i], name) == 0)
			return;
	(void)snprintf(dane->names[dane->name_count++], sizeof(dane->names[0]),
	    "%s", name);
}

/* A name of SRV is no host's. */
void
dane_set_names(struct dane *dane, const char *base, const struct candidate *at)
{
	dane->name_count = 0;
	add_name(dane, base);
	if (!at->has_mx || at->is_srv)
		return;
	add_name(dane, at->mx_origin.name);
	add_name(dane, at->domain);
}

void
dane_fini(struct dane *dane)
{
	tlsa_set_free(&dane->records);
	memset(dane, 0, sizeof(*dane));
}
