/* See resolver.c; before the header, which includes ares.h. */
#define CARES_NO_DEPRECATED
#include "agent/io/dnsquestion.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/io/dnsreply.h"

enum {
	HEADER_SIZE = 12,
	FLAG_TC = 0x02, /* in the first octet of flags, RFC 1035 4.1.1 */
	FLAG_AD = 0x20, /* in the second octet of flags, RFC 4035 3.1.6 */
	RCODE = 0x0f,
	/* OPT is the last record, without data (RFC 6891 6.1.2): its flags
	 * stand before the length. */
	OPT_FLAGS_FROM_END = 4,
	OPT_DO = 0x80,
};

void
dnsquestion_send(ares_channel channel, const char *name, unsigned type,
    ares_callback fn, void *ctx)
{
	unsigned char *msg = NULL;
	int n = 0;
	int rc = ares_create_query(name, DNS_CLASS_IN, (int)type,
	    (unsigned short)arc4random_uniform(0x10000), 1, &msg, &n,
	    DNSQUESTION_UDP_SIZE);

	if (rc != ARES_SUCCESS) {
		fn(ctx, rc, 0, NULL, 0);
		return;
	}
	msg[3] |= FLAG_AD;
	msg[n - OPT_FLAGS_FROM_END] |= OPT_DO;
	ares_send(channel, msg, n, fn, ctx);
	ares_free_string(msg);
}

int
dnsquestion_status(const unsigned char *msg, size_t n)
{
	static const int statuses[] = {[1] = ARES_EFORMERR,
	    [2] = ARES_ESERVFAIL,
	    [3] = ARES_ENOTFOUND,
	    [4] = ARES_ENOTIMP,
	    [5] = ARES_EREFUSED};
	unsigned rcode;

	/* Half of the records would be no less authentic. */
	if (n < HEADER_SIZE || (msg[2] & FLAG_TC) != 0)
		return ARES_EBADRESP;
	rcode = msg[3] & RCODE;
	if (rcode == 0)
		return msg[6] == 0 && msg[7] == 0 ? ARES_ENODATA : ARES_SUCCESS;
	return rcode < sizeof(statuses) / sizeof(statuses[0]) ? statuses[rcode]
							      : ARES_ESERVFAIL;
}

bool
dnsquestion_is_authentic(const unsigned char *msg, size_t n)
{
	return n >= HEADER_SIZE && (msg[3] & FLAG_AD) != 0;
}

static const struct {
	unsigned type;
	const char *name;
} types[] = {{DNS_TYPE_A, "A"}, {DNS_TYPE_NS, "NS"}, {DNS_TYPE_CNAME, "CNAME"},
    {DNS_TYPE_SOA, "SOA"}, {DNS_TYPE_PTR, "PTR"}, {DNS_TYPE_MX, "MX"},
    {DNS_TYPE_TXT, "TXT"}, {DNS_TYPE_AAAA, "AAAA"}, {DNS_TYPE_SRV, "SRV"},
    {DNS_TYPE_TLSA, "TLSA"}};

const char *
dnsquestion_type_name(unsigned type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			return types[i].name;
	return "?";
}

unsigned
dnsquestion_type(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strlen(types[i].name) == n &&
		    strncasecmp(types[i].name, name, n) == 0)
			return types[i].type;
	return 0;
}

bool
dnsquestion_probe(const char *text, unsigned *type_out, const char **name_out)
{
	size_t n = strcspn(text, ":");

	*name_out = text[n] == ':' ? text + n + 1 : text;
	*type_out = dnsquestion_type(text, n);
	return *text == '\0' ||
	       (*type_out != 0 && text[n] == ':' && text[n + 1] != '\0');
}
