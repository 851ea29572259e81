/* dane_query: the TLSA records of a host that was found.
 *
 *   [host is an alias, its end not validated: is the alias?] ->
 *   _25._tcp.end of its aliases -> _25._tcp.host -> [dnssec_probe] -> fn
 *
 * As smtp(8) does it, with one question more: "not validated" is believed of a
 * resolver only when it has validated the answer to dnssec_probe within the
 * last minute. Else one that validates nothing, or no more, would make every
 * host look as if it had no records.
 */
#ifndef DANE_QUERY_H
#define DANE_QUERY_H

#include "agent/smarthost/dane.h"

struct dane_query;

struct dane_result {
	enum dane_finding finding;
	struct tlsa_set *records; /* FOUND: the receiver's, if it takes them */
	const char *base; /* ... and whose they are */
	const char *why; /* UNKNOWN: in a few words */
};

/* From the loop, never from inside the call that asks; once, unless the query
 * is cancelled. The query is gone with it. */
typedef void dane_query_fn(void *ctx, struct dane_result *result);

/* is_wanted: else there is nothing to find, and only whether that may be
 * believed. The candidate is copied, the rest borrowed. */
struct dane_query *dane_query_start(struct loop *loop,
    struct resolver *resolver, const struct settings *set,
    const struct candidate *at, bool is_wanted, dane_query_fn *fn, void *ctx);
void dane_query_cancel(struct dane_query **query);

#endif
