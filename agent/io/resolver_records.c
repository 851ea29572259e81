#include "agent/io/resolver_records.h"

#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "agent/io/dns_filter.h"
#include "agent/io/dnsreply.h"
#include "common/base/mem.h"

void
resolver_records_add_addr(
    struct resolver_answer *a, int family, const void *raw, size_t n)
{
	struct sockaddr_in *sin;
	struct sockaddr_in6 *sin6;

	if (a->addrs == NULL)
		a->addrs = mem_zarray(RESOLVER_ADDRS_MAX, sizeof(*a->addrs));
	if (a->count == RESOLVER_ADDRS_MAX)
		return;
	sin = (void *)&a->addrs[a->count];
	sin6 = (void *)&a->addrs[a->count++];
	sin->sin_family = (sa_family_t)family;
	memcpy(family == AF_INET ? (void *)&sin->sin_addr
				 : (void *)&sin6->sin6_addr,
	    raw, n);
}

/* One reading of a message. */
struct reading {
	struct resolver_answer *answer;
	unsigned type;
	const struct rewriter *filter;
	bool is_secure;
	bool is_dropped, has_failed; /* a record, by the filter */
	size_t owners; /* different names that have records */
};

static bool
take_addr(struct resolver_answer *a, int family, size_t size,
    const struct dnsreply_record *r)
{
	if (r->n != size)
		return false;
	resolver_records_add_addr(a, family, r->data, r->n);
	return true;
}

static unsigned
number_at(const unsigned char *data)
{
	return (unsigned)data[0] << 8 | data[1];
}

/* A record of so many numbers before a name; true: *mx_out is where it goes, or
 * NULL, as there are enough. */
static bool
take_host(struct resolver_answer *a, size_t numbers,
    const struct dnsreply_record *r, struct resolver_mx **mx_out)
{
	struct resolver_mx *mx;

	*mx_out = NULL;
	if (a->mx == NULL)
		a->mx = mem_zarray(RESOLVER_MX_MAX, sizeof(*a->mx));
	if (r->n < 2 * numbers + 1)
		return false;
	if (a->count == RESOLVER_MX_MAX)
		return true;
	mx = *mx_out = &a->mx[a->count++];
	mx->preference = numbers > 0 ? number_at(r->data) : 0;
	return dnsreply_name(r->data + 2 * numbers, r->msg, r->msg_n, mx->host,
		   sizeof(mx->host)) > 0;
}

/* Where an alias leads. */
static bool
take_alias(struct resolver_answer *a, const struct dnsreply_record *r)
{
	struct resolver_mx *mx;

	return take_host(a, 0, r, &mx);
}

static bool
take_tlsa(struct resolver_answer *a, const struct dnsreply_record *r)
{
	if (a->tlsa == NULL)
		a->tlsa = tlsa_set_new();
	a->count = 1;
	tlsa_set_add(a->tlsa, r->data, r->n);
	return true;
}

static bool
take_service(struct resolver_answer *a, const struct dnsreply_record *r)
{
	struct resolver_mx *mx;
	bool is_good = take_host(a, 3, r, &mx);

	if (is_good && mx != NULL) {
		mx->weight = number_at(r->data + 2);
		mx->port = number_at(r->data + 4);
	}
	return is_good;
}

static bool
take(const struct reading *reading, const struct dnsreply_record *r)
{
	struct resolver_answer *a = reading->answer;
	struct resolver_mx *mx;

	switch (reading->type) {
	case DNS_TYPE_A:
		return take_addr(a, AF_INET, sizeof(struct in_addr), r);
	case DNS_TYPE_AAAA:
		return take_addr(a, AF_INET6, sizeof(struct in6_addr), r);
	case DNS_TYPE_MX:
		return take_host(a, 1, r, &mx);
	case DNS_TYPE_CNAME:
		return take_alias(a, r);
	case DNS_TYPE_TLSA:
		return take_tlsa(a, r);
	default:
		return take_service(a, r);
	}
}

/* The name that has the record, which must be the same for all. */
static void
note_owner(struct reading *reading, const struct dnsreply_record *r)
{
	struct resolver_answer *a = reading->answer;
	struct resolver_origin *origin =
	    reading->type == DNS_TYPE_AAAA ? &a->origin6 : &a->origin;
	char owner[sizeof(origin->name)] = "";

	if (dnsreply_name(r->owner, r->msg, r->msg_n, owner, sizeof(owner)) ==
		0 ||
	    reading->owners == 0 || strcasecmp(owner, origin->name) != 0)
		reading->owners++;
	memcpy(origin->name, owner, sizeof(owner));
	origin->is_secure = reading->is_secure && reading->owners == 1;
}

static bool
on_record(void *ctx, const struct dnsreply_record *r)
{
	struct reading *reading = ctx;

	switch (dns_filter_ask(reading->filter, reading->type, r)) {
	case DNS_FILTER_KEEP:
		note_owner(reading, r);
		return take(reading, r);
	case DNS_FILTER_DROP:
		reading->is_dropped = true;
		return true;
	case DNS_FILTER_FAILED:
		break;
	}
	reading->has_failed = true;
	return false;
}

enum resolver_records
resolver_records_read(struct resolver_answer *answer, unsigned type,
    const struct rewriter *filter, bool is_secure, const unsigned char *msg,
    size_t n, int *ttl_s)
{
	struct reading reading = {.answer = answer,
	    .type = type,
	    .filter = filter,
	    .is_secure = is_secure};
	size_t before = answer->count;

	if (!dnsreply_read(msg, n, type, on_record, &reading, ttl_s)) {
		answer->count = before;
		return reading.has_failed ? RESOLVER_RECORDS_FILTER_FAILED
					  : RESOLVER_RECORDS_MALFORMED;
	}
	if (answer->count > before)
		return RESOLVER_RECORDS_FOUND;
	return reading.is_dropped ? RESOLVER_RECORDS_DROPPED
				  : RESOLVER_RECORDS_NONE;
}
