/* dnsreply: the records of one type in the answer section of a DNS message.
 *
 * RFC 1035 4.1. c-ares' own parsers drop the TTLs of MX records and differ by
 * release; its ares_expand_name() reads the names.
 */
#ifndef DNSREPLY_H
#define DNSREPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DNS_CLASS_IN = 1,
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_MX = 15,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_SRV = 33,
	DNS_TYPE_TLSA = 52,
};

/* A record of the type asked for, in its message; all borrowed. */
struct dnsreply_record {
	const unsigned char *msg;
	size_t msg_n;
	const unsigned char *owner; /* its name, for dnsreply_name() */
	uint32_t ttl_s;
	const unsigned char *data; /* n octets */
	size_t n;
};

/* False ends the reading. */
typedef bool dnsreply_fn(void *ctx, const struct dnsreply_record *record);

/* Calls fn for each record and lowers *ttl_s to the least TTL, aliases
 * included. False: malformed, or fn said so. */
bool dnsreply_read(const unsigned char *msg, size_t n, unsigned type,
    dnsreply_fn *fn, void *ctx, int *ttl_s);

/* The name at p; 0 when malformed, else its length there. out may be NULL. */
size_t dnsreply_name(const unsigned char *p, const unsigned char *msg, size_t n,
    char *out, size_t size);

#endif
