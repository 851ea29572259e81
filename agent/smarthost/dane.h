/* dane: what TLSA records mean for one host (RFC 7671, 7672), by smtp(8)'s
 * rules. Pure.
 *
 *   level        records of the host            comes to
 *   dane         none, or not validated         may
 *                none that can be used          encrypt
 *                some                           dane
 *                ... and its MX is not smtp_tls_dane_insecure_mx_policy:
 *                validated                      may, encrypt or halfdane
 *   dane-only    as the third line              dane-only, else no delivery
 *   both         nobody knows                   no delivery for now
 *
 * At dane and dane-only the server is known. At halfdane it is the one that the
 * records speak of, but whether mail belongs there nobody vouches for.
 */
#ifndef DANE_H
#define DANE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/settings.h"
#include "agent/smarthost/candidate.h"
#include "agent/smarthost/tlspolicy.h"
#include "common/smtp/tlsa.h"

enum { DANE_NAMES_MAX = 3, DANE_WHY_SIZE = 400 };

/* Who the server is: it must show what one of the records says. */
struct dane {
	struct tlsa_set *records;
	/* The first is the one that has the records, and is told in the
	 * handshake; any may be in a certificate of usage 2. */
	char names[DANE_NAMES_MAX][RESOLVER_HOST_SIZE];
	size_t name_count;
};

/* What was found of a host's records. */
enum dane_finding {
	DANE_NONE, /* none that is validated: there need be no TLS */
	DANE_UNUSABLE, /* some, but none that can be compared */
	DANE_FOUND,
	DANE_UNKNOWN, /* there was no answer, or none that can be believed */
};

/* False: of no host of this kind would records be used at this level. */
bool dane_wants_records(const struct candidate *at, enum tls_level level,
    const struct settings *set);

/* The level that dane or dane-only comes to. False: no delivery to this host,
 * and why says why not; so it does when the level is lowered. */
bool dane_decide(const struct candidate *at, enum tls_level level,
    const struct settings *set, enum dane_finding finding,
    enum tls_level *level_out, char *why_out, size_t why_size);

/* The names of a host whose records are those of base. */
void dane_set_names(
    struct dane *dane, const char *base, const struct candidate *at);

void dane_fini(struct dane *dane);

#endif
