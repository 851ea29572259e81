/* resolver_records: what a DNS message says of a name, as a resolver's answer.
 *
 * Addresses beyond RESOLVER_ADDRS_MAX and hosts beyond RESOLVER_MX_MAX are
 * dropped.
 */
#ifndef RESOLVER_RECORDS_H
#define RESOLVER_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/io/resolver.h"
#include "common/base/rewriter.h"

enum resolver_records {
	RESOLVER_RECORDS_FOUND,
	RESOLVER_RECORDS_NONE,
	RESOLVER_RECORDS_DROPPED, /* all there are, by the filter */
	/* Nothing of the message is kept: */
	RESOLVER_RECORDS_MALFORMED,
	RESOLVER_RECORDS_FILTER_FAILED,
};

/* One more, of n octets as in a record of that family. */
void resolver_records_add_addr(
    struct resolver_answer *a, int family, const void *raw, size_t n);

/* Adds the records of a type (DNS_TYPE_...) and lowers *ttl_s. filter: of
 * dns_filter.h, or NULL. is_secure: all of the message was validated; what is
 * said of several names, or by a record that is left out, is not. */
enum resolver_records resolver_records_read(struct resolver_answer *answer,
    unsigned type, const struct rewriter *filter, bool is_secure,
    const unsigned char *msg, size_t n, int *ttl_s);

#endif
