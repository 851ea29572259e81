/* resolver: host names to addresses and services, without blocking.
 *
 * c-ares on the loop. Names are looked up where smtp_host_lookup says: in DNS
 * (dns), or where getaddrinfo(3) looks (native: the hosts file, then DNS with
 * the search list of resolv.conf). With both, native is asked for what DNS does
 * not have. Under dns the search list serves only if smtp_dns_resolver_options
 * says so: else a server of another domain could get mail and password. MX and
 * SRV records come from DNS alone.
 *
 * A question waits as long as resolv.conf's timeout and attempts allow. Where
 * both address families are asked, the one that has answered does not wait long
 * for the other. Answers are kept for their TTL, at most RESOLVER_CACHE_MAX
 * names and RESOLVER_TTL_MAX_S seconds; failures are not kept. What a
 * trusted resolver (below) does not validate is kept for RESOLVER_VOUCHED_MS at
 * most, and only while it validates. "localhost" is the loopback address,
 * whatever a name server says.
 */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "common/base/rewriter.h"
#include "common/smtp/tlsa.h"

enum {
	RESOLVER_CACHE_MAX = 256,
	RESOLVER_TTL_MAX_S = 3600,
	RESOLVER_ADDRS_MAX = 64, /* of one name; the rest is dropped */
	RESOLVER_MX_MAX = 32,
	RESOLVER_HOST_SIZE = 256,
	RESOLVER_REASON_SIZE = 400,
	RESOLVER_VOUCHED_MS = 60000,
};

enum resolver_status {
	RESOLVER_OK,
	RESOLVER_NOT_FOUND, /* no such name, or no such record */
	RESOLVER_TEMPORARY, /* try again later */
	RESOLVER_FAILED, /* the name server cannot answer this */
	RESOLVER_FILTERED, /* the filter leaves nothing of what there is */
};

/* What is asked for. RESOLVER_PROBE: anything, to see how it is answered. */
enum resolver_kind {
	RESOLVER_ADDRS,
	RESOLVER_MX,
	RESOLVER_SRV,
	RESOLVER_CNAME,
	RESOLVER_TLSA,
	RESOLVER_PROBE
};

/* A host that takes mail (RFC 5321 5.1), or offers a service (RFC 2782). */
struct resolver_mx {
	unsigned preference; /* of SRV: priority */
	unsigned weight, port; /* 0 for MX */
	char host[RESOLVER_HOST_SIZE];
};

/* Where records came from. */
struct resolver_origin {
	char name[RESOLVER_HOST_SIZE]; /* behind all aliases; "" of no DNS */
	bool is_secure; /* name, aliases and records were validated */
};

struct resolver_answer {
	enum resolver_status status;
	char reason[RESOLVER_REASON_SIZE]; /* smtp(8)'s words; "" when OK */
	size_t count;
	struct sockaddr_storage *addrs; /* of an address look-up; port 0 */
	struct resolver_mx *mx; /* of MX and SRV, by preference; a host of ""
				 * alone means "no mail", "no service";
				 * of an alias: what for */
	struct tlsa_set *tlsa; /* count is 1 when there is any record */
	struct resolver_origin origin, origin6; /* 6: of AAAA */
};

struct resolver;
struct resolver_query;

/* answer is valid during the call. */
typedef void resolver_fn(void *ctx, const struct resolver_answer *answer);

/* Reads resolv.conf: before chroot. Never NULL; when c-ares does not start,
 * every look-up fails for a while. */
struct resolver *resolver_new(struct loop *loop, const struct settings *set);
/* ... another file of that kind; servers: "127.0.0.1:5353,..." are asked in the
 * place of those that it names, NULL: those. */
struct resolver *resolver_new_from(struct loop *loop,
    const struct settings *set, const char *resolv_conf, const char *servers);
/* ... for mail: with smtp_dns_support_level = dnssec and smtp_tls_dane_resolver
 * that one alone is asked, with DO, and believed when it answers with AD
 * (RFC 4035 3.2.3); else as resolver_new(). */
struct resolver *resolver_new_secure(
    struct loop *loop, const struct settings *set, const char *resolv_conf);
void resolver_free(struct resolver **resolver);

/* It is asked for what is validated, and believed. / It has validated
 * a probe within RESOLVER_VOUCHED_MS. */
bool resolver_is_secure(const struct resolver *resolver);
bool resolver_has_vouched(const struct resolver *resolver);

/* Which records of DNS count from now on (dns_filter.h), native's are not asked
 * about; borrowed, NULL: all. Before the first question. */
void resolver_filter(struct resolver *resolver, const struct rewriter *filter);

/* Addresses of the families in inet_protocols, in the order received. The
 * callback comes from the loop, never from inside these calls. */
struct resolver_query *resolver_addrs(
    struct resolver *resolver, const char *host, resolver_fn *fn, void *ctx);
/* Of SRV, name is "_service._proto.domain"; of TLSA "_port._proto.host". */
struct resolver_query *resolver_ask(struct resolver *resolver,
    enum resolver_kind kind, const char *name, resolver_fn *fn, void *ctx);

/* Records of any type, DNS_TYPE_...; the answer has none, and what counts is
 * resolver_has_vouched() then. */
struct resolver_query *resolver_probe(struct resolver *resolver, unsigned type,
    const char *name, resolver_fn *fn, void *ctx);

/* No callback any more; *query may be NULL. Not from inside its callback. */
void resolver_cancel(struct resolver_query **query);

/* False: disable_dns_lookups, or smtp_dns_support_level = disabled. */
bool resolver_wants_dns(const struct settings *set);

/* inet_protocols allows this family. */
bool resolver_has_family(const struct resolver *resolver, int family);

#endif
