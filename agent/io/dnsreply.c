#include "agent/io/dnsreply.h"

#include <ares.h>
#include <stdint.h>
#include <stdio.h>

enum {
	HEADER_SIZE = 12,
	RR_FIXED_SIZE = 10, /* type, class, TTL, length */
};

size_t
dnsreply_name(const unsigned char *p, const unsigned char *msg, size_t n,
    char *out, size_t size)
{
	char *name = NULL;
	long used = 0;

	if (p >= msg + n ||
	    ares_expand_name(p, msg, (int)n, &name, &used) != ARES_SUCCESS)
		return 0;
	if (out != NULL)
		(void)snprintf(out, size, "%s", name);
	ares_free_string(name);
	return (size_t)used;
}

static unsigned
get16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Past the questions; 0 when malformed. */
static size_t
skip_questions(const unsigned char *msg, size_t n)
{
	size_t at = HEADER_SIZE, used;

	for (unsigned i = get16(msg + 4); i > 0; i--) {
		used = at < n ? dnsreply_name(msg + at, msg, n, NULL, 0) : 0;
		if (used == 0)
			return 0;
		at += used + 4;
	}
	return at;
}

bool
dnsreply_read(const unsigned char *msg, size_t n, unsigned type,
    dnsreply_fn *fn, void *ctx, int *ttl_s)
{
	size_t at = n < HEADER_SIZE ? 0 : skip_questions(msg, n), used, length;
	struct dnsreply_record r = {.msg = msg, .msg_n = n};

	if (at == 0)
		return false;
	for (unsigned i = get16(msg + 6); i > 0; i--) {
		used = at < n ? dnsreply_name(msg + at, msg, n, NULL, 0) : 0;
		if (used == 0 || at + used + RR_FIXED_SIZE > n)
			return false;
		r.owner = msg + at;
		at += used;
		r.ttl_s =
		    (uint32_t)get16(msg + at + 4) << 16 | get16(msg + at + 6);
		length = get16(msg + at + 8);
		if (length > n - at - RR_FIXED_SIZE)
			return false;
		if (r.ttl_s < (uint32_t)*ttl_s)
			*ttl_s = (int)r.ttl_s;
		r.data = msg + at + RR_FIXED_SIZE;
		r.n = length;
		if (get16(msg + at) == type &&
		    get16(msg + at + 2) == DNS_CLASS_IN && !fn(ctx, &r))
			return false;
		at += RR_FIXED_SIZE + length;
	}
	return true;
}
