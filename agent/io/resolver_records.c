#include "agent/io/resolver_records.h"

#include <netinet/in.h>
#include <string.h>

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

static bool
on_a(void *ctx, const unsigned char *msg, size_t msg_n,
    const unsigned char *data, size_t n)
{
	(void)msg;
	(void)msg_n;
	if (n != sizeof(struct in_addr))
		return false;
	resolver_records_add_addr(ctx, AF_INET, data, n);
	return true;
}

static bool
on_aaaa(void *ctx, const unsigned char *msg, size_t msg_n,
    const unsigned char *data, size_t n)
{
	(void)msg;
	(void)msg_n;
	if (n != sizeof(struct in6_addr))
		return false;
	resolver_records_add_addr(ctx, AF_INET6, data, n);
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
take_host(struct resolver_answer *a, size_t numbers, const unsigned char *msg,
    size_t msg_n, const unsigned char *data, size_t n,
    struct resolver_mx **mx_out)
{
	struct resolver_mx *mx;

	*mx_out = NULL;
	if (a->mx == NULL)
		a->mx = mem_zarray(RESOLVER_MX_MAX, sizeof(*a->mx));
	if (n < 2 * numbers + 1)
		return false;
	if (a->count == RESOLVER_MX_MAX)
		return true;
	mx = *mx_out = &a->mx[a->count++];
	mx->preference = number_at(data);
	return dnsreply_name(data + 2 * numbers, msg, msg_n, mx->host,
		   sizeof(mx->host)) > 0;
}

static bool
on_mx(void *ctx, const unsigned char *msg, size_t msg_n,
    const unsigned char *data, size_t n)
{
	struct resolver_mx *mx;

	return take_host(ctx, 1, msg, msg_n, data, n, &mx);
}

static bool
on_srv(void *ctx, const unsigned char *msg, size_t msg_n,
    const unsigned char *data, size_t n)
{
	struct resolver_mx *mx;
	bool is_good = take_host(ctx, 3, msg, msg_n, data, n, &mx);

	if (is_good && mx != NULL) {
		mx->weight = number_at(data + 2);
		mx->port = number_at(data + 4);
	}
	return is_good;
}

bool
resolver_records_read(struct resolver_answer *answer, unsigned type,
    const unsigned char *msg, size_t n, int *ttl_s)
{
	dnsreply_fn *fn = type == DNS_TYPE_A      ? on_a
			  : type == DNS_TYPE_AAAA ? on_aaaa
			  : type == DNS_TYPE_MX   ? on_mx
						  : on_srv;
	size_t before = answer->count;

	if (dnsreply_read(msg, n, type, fn, answer, ttl_s))
		return true;
	answer->count = before;
	return false;
}
