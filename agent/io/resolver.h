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
 * names and RESOLVER_TTL_MAX_S seconds; failures are not kept. "localhost" is
 * the loopback address, whatever a name server says.
 */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "common/base/rewriter.h"

enum {
	RESOLVER_CACHE_MAX = 256,
	RESOLVER_TTL_MAX_S = 3600,
	RESOLVER_ADDRS_MAX = 64, /* of one name; the rest is dropped */
	RESOLVER_MX_MAX = 32,
	RESOLVER_HOST_SIZE = 256,
	RESOLVER_REASON_SIZE = 400,
};

enum resolver_status {
	RESOLVER_OK,
	RESOLVER_NOT_FOUND, /* no such name, or no such record */
	RESOLVER_TEMPORARY, /* try again later */
	RESOLVER_FAILED, /* the name server cannot answer this */
	RESOLVER_FILTERED, /* the filter leaves nothing of what there is */
};

/* What is asked for. */
enum resolver_kind { RESOLVER_ADDRS, RESOLVER_MX, RESOLVER_SRV };

/* A host that takes mail (RFC 5321 5.1), or offers a service (RFC 2782). */
struct resolver_mx {
	unsigned preference; /* of SRV: priority */
	unsigned weight, port; /* 0 for MX */
	char host[RESOLVER_HOST_SIZE];
};

struct resolver_answer {
	enum resolver_status status;
	char reason[RESOLVER_REASON_SIZE]; /* smtp(8)'s words; "" when OK */
	size_t count;
	struct sockaddr_storage *addrs; /* of an address look-up; port 0 */
	struct resolver_mx *mx; /* of other look-ups, by preference; a host of
				 * "" alone means "no mail", "no service" */
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
void resolver_free(struct resolver **resolver);

/* Which records of DNS count from now on (dns_filter.h), native's are not asked
 * about; borrowed, NULL: all. Before the first question. */
void resolver_filter(struct resolver *resolver, const struct rewriter *filter);

/* Addresses of the families in inet_protocols, in the order received. The
 * callback comes from the loop, never from inside these calls. */
struct resolver_query *resolver_addrs(
    struct resolver *resolver, const char *host, resolver_fn *fn, void *ctx);
struct resolver_query *resolver_mx(
    struct resolver *resolver, const char *domain, resolver_fn *fn, void *ctx);
/* name: "_service._tcp.domain" */
struct resolver_query *resolver_srv(
    struct resolver *resolver, const char *name, resolver_fn *fn, void *ctx);

/* No callback any more; *query may be NULL. Not from inside its callback. */
void resolver_cancel(struct resolver_query **query);

/* False: disable_dns_lookups, or smtp_dns_support_level = disabled. */
bool resolver_wants_dns(const struct settings *set);

/* inet_protocols allows this family. */
bool resolver_has_family(const struct resolver *resolver, int family);

#endif
