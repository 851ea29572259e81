/* dns_filter: which records of a DNS reply count (smtp_dns_reply_filter).
 *
 * As in Postfix (src/dns/dns_rr_filter.c): a table is asked for each record
 * that answers the question, as text
 *
 *   mx.example. 3600 IN AAAA 2001:db8::1
 *   example. 3600 IN MX 10 mx.example.
 *   _submission._tcp.example. 3600 IN SRV 0 5 587 mx.example.
 *
 * and "IGNORE" leaves it out, which is logged. Any other value is a mistake in
 * the table.
 */
#ifndef DNS_FILTER_H
#define DNS_FILTER_H

#include "agent/io/dnsreply.h"
#include "common/base/rewriter.h"

enum dns_filter_result {
	DNS_FILTER_KEEP,
	DNS_FILTER_DROP,
	DNS_FILTER_FAILED, /* logged */
};

/* table NULL, or without tables: all are kept. */
enum dns_filter_result dns_filter_ask(const struct rewriter *table,
    unsigned type, const struct dnsreply_record *record);

#endif
