#include "agent/io/dns_filter.h"

#include <arpa/inet.h>
#include <strings.h>

#include "common/base/log.h"

/* Two letters for each octet of a record. */
enum { NAME_SIZE = 256, TEXT_MAX = 2 * 65535 + 512, VALUE_MAX = 1024 };

/* So many numbers and a name: of MX one, of SRV three. False: malformed. */
static bool
put_host(struct buf *out, const struct dnsreply_record *r, size_t numbers)
{
	char name[NAME_SIZE];

	if (r->n < 2 * numbers + 1 ||
	    dnsreply_name(r->data + 2 * numbers, r->msg, r->msg_n, name,
		sizeof(name)) == 0)
		return false;
	for (size_t i = 0; i < numbers; i++)
		(void)buf_addf(out, "%u ",
		    (unsigned)r->data[2 * i] << 8 | r->data[2 * i + 1]);
	return buf_addf(out, "%s.", name);
}

static bool
put_address(struct buf *out, const struct dnsreply_record *r, int family)
{
	char text[INET6_ADDRSTRLEN];
	size_t n = family == AF_INET ? 4 : 16;

	return r->n == n &&
	       inet_ntop(family, r->data, text, sizeof(text)) != NULL &&
	       buf_add_str(out, text);
}

static bool
put_tlsa(struct buf *out, const struct dnsreply_record *r)
{
	if (r->n < 3)
		return buf_add_str(out, "[truncated record]");
	(void)buf_addf(out, "%u %u %u ", (unsigned)r->data[0],
	    (unsigned)r->data[1], (unsigned)r->data[2]);
	for (size_t i = 3; i < r->n; i++)
		(void)buf_addf(out, "%02x", (unsigned)r->data[i]);
	return true;
}

/* How many stand before the name. */
static size_t
numbers_of(unsigned type)
{
	return type == DNS_TYPE_MX ? 1 : type == DNS_TYPE_SRV ? 3 : 0;
}

/* False: it is malformed, which whoever reads it finds as well. */
static bool
put_record(struct buf *out, unsigned type, const struct dnsreply_record *r)
{
	static const struct {
		unsigned type;
		const char *name;
	} types[] = {{DNS_TYPE_A, "A"}, {DNS_TYPE_AAAA, "AAAA"},
	    {DNS_TYPE_MX, "MX"}, {DNS_TYPE_SRV, "SRV"},
	    {DNS_TYPE_CNAME, "CNAME"}, {DNS_TYPE_TLSA, "TLSA"}};
	char owner[NAME_SIZE];

	if (dnsreply_name(r->owner, r->msg, r->msg_n, owner, sizeof(owner)) ==
	    0)
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			(void)buf_addf(out, "%s. %lu IN %s ", owner,
			    (unsigned long)r->ttl_s, types[i].name);
	if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA)
		return put_address(
		    out, r, type == DNS_TYPE_A ? AF_INET : AF_INET6);
	if (type == DNS_TYPE_TLSA)
		return put_tlsa(out, r);
	return put_host(out, r, numbers_of(type));
}

/* The first word alone counts. */
static enum dns_filter_result
obey(const char *value, const char *text)
{
	size_t n = strcspn(value, " \t");

	if (n == 6 && strncasecmp(value, "IGNORE", n) == 0) {
		log_info("ignoring DNS RR: %s", text);
		return DNS_FILTER_DROP;
	}
	log_warn(
	    "smtp_dns_reply_filter: unknown DNS filter action: \"%s\"", value);
	return DNS_FILTER_FAILED;
}

enum dns_filter_result
dns_filter_ask(const struct rewriter *table, unsigned type,
    const struct dnsreply_record *record)
{
	enum dns_filter_result result = DNS_FILTER_KEEP;
	struct buf text, value;

	if (table == NULL || table->fn == NULL)
		return DNS_FILTER_KEEP;
	buf_init(&text, TEXT_MAX);
	buf_init(&value, VALUE_MAX);
	if (put_record(&text, type, record))
		switch (rewriter_ask(table, buf_str(&text), &value)) {
		case REWRITER_KEPT:
			break;
		case REWRITER_DONE:
			result = obey(buf_str(&value), buf_str(&text));
			break;
		case REWRITER_FAILED:
		case REWRITER_UNKNOWN:
			result = DNS_FILTER_FAILED;
			break;
		}
	buf_fini(&value);
	buf_fini(&text);
	return result;
}
