/* candidate: the addresses of a list of nexthops, one after the other.
 *
 *   "[a]:25, b"
 *      a: A, AAAA     -> order -> candidate, candidate
 *      b: MX -> A...  -> order -> candidate ...
 *         SRV -> A... the same, with its ports, where use_srv_lookup has the
 *         service; then, if it may be, MX
 *      addresses at rest, held back above -> candidate, then the end
 *
 * Within a nexthop: MX preference (of SRV: priority, then a choice by weight,
 * RFC 2782), then smtp_address_preference, equals
 * shuffled (smtp_randomize_addresses), at most smtp_mx_address_limit. An
 * address that failed within CANDIDATE_REST_MS comes after all others, so
 * that a dead first host costs no dial its timeout, and is not left out.
 *
 * Whoever keeps hosts of different preference apart asks for one level of
 * them, 0 being the best there is.
 */
#ifndef CANDIDATE_H
#define CANDIDATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/io/resolver.h"
#include "common/smtp/dsn.h"

enum {
	CANDIDATE_ALL_LEVELS = -1,
	CANDIDATE_REST_MS = 60000,
	CANDIDATE_RESTS_MAX = 64,
	CANDIDATE_NEXTHOP_SIZE = 320,
};

/* One address to try. */
struct candidate {
	char nexthop[CANDIDATE_NEXTHOP_SIZE]; /* as written, "[host]:port" */
	char domain[256]; /* the nexthop without brackets and port */
	bool use_mx; /* the nexthop was a bare name */
	char host[256]; /* MX host or the nexthop's */
	char addr[64]; /* numeric */
	uint16_t port;
	struct sockaddr_storage sa; /* with port */
	unsigned preference;
	unsigned turn; /* among hosts of one priority, chosen by weight */
	int nexthop_number; /* which of the list */
	/* What the resolver validated (agent/io/resolver.h): the address, and
	 * the MX or SRV record that names the host, if one does. */
	struct resolver_origin address_origin, mx_origin;
	bool has_mx;
	bool is_srv; /* of these two: SRV */
};

/* Addresses that failed lately; shared by all dials. */
struct candidate_rests {
	struct {
		struct sockaddr_storage sa;
		int64_t until_ms;
	} rests[CANDIDATE_RESTS_MAX];
};

struct candidates;

/* The next address, NULL at the end; borrowed during the call. */
typedef void candidate_fn(void *ctx, const struct candidate *candidate);

/* All arguments are borrowed; nexthops and past are copied. level: of MX
 * preferences, or CANDIDATE_ALL_LEVELS; past: the "address:port" of one that is
 * left out, or "". */
struct candidates *candidates_new(struct loop *loop, struct resolver *resolver,
    const struct settings *set, const struct candidate_rests *rests,
    const char *nexthops, int level, const char *past);
void candidates_free(struct candidates **candidates);

/* Asks for the next one; the callback comes from the loop. */
void candidates_next(
    struct candidates *candidates, candidate_fn *fn, void *ctx);

/* No further address of this nexthop is wanted. */
void candidates_skip_nexthop(struct candidates *candidates, int number);

/* Of the last nexthop: preferences among its addresses, and addresses of the
 * level asked for. */
int candidates_levels(const struct candidates *candidates);
int candidates_alike(const struct candidates *candidates);

/* Why the last nexthop gave no address; NULL when it gave one. */
const struct dsn *candidates_problem(const struct candidates *candidates);

/* It is one of the configuration: trying again without a change is in vain. */
bool candidates_is_mistake(const struct candidates *candidates);

/* Notes that an address failed, or works. */
void candidate_rest(struct candidate_rests *rests,
    const struct sockaddr_storage *sa, int64_t now_ms);
void candidate_wake(
    struct candidate_rests *rests, const struct sockaddr_storage *sa);

#endif
