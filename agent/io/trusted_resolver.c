#include "agent/io/trusted_resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/slice.h"
#include "common/base/words.h"
#include "common/smtp/nexthop.h"

enum { DNS_PORT = 53, WORD_SIZE = 80, IPV4_LOOPBACK = 127 };

/* "address", "address:port", "[address]:port": to its parts. */
static bool
cut(struct slice word, char address[WORD_SIZE], char port[WORD_SIZE])
{
	char text[WORD_SIZE], *end, *colon;

	if (word.n >= sizeof(text))
		return false;
	(void)snprintf(text, sizeof(text), "%.*s", (int)word.n, word.p);
	*port = '\0';
	if (*text == '[') {
		end = strchr(text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		*end = '\0';
		(void)snprintf(address, WORD_SIZE, "%s", text + 1);
		if (end[1] == ':')
			(void)snprintf(port, WORD_SIZE, "%s", end + 2);
		return end[1] == '\0' || *port != '\0';
	}
	colon = strchr(text, ':');
	/* several: it is all address */
	if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		*colon = '\0';
		(void)snprintf(port, WORD_SIZE, "%s", colon + 1);
		if (*port == '\0')
			return false;
	}
	(void)snprintf(address, WORD_SIZE, "%s", text);
	return true;
}

/* 0: no address. */
static int
family_of(const char *address, bool *is_loopback_out)
{
	struct in_addr in;
	struct in6_addr in6;

	if (inet_pton(AF_INET, address, &in) == 1) {
		*is_loopback_out = ntohl(in.s_addr) >> 24 == IPV4_LOOPBACK;
		return AF_INET;
	}
	if (inet_pton(AF_INET6, address, &in6) == 1) {
		*is_loopback_out = IN6_IS_ADDR_LOOPBACK(&in6);
		return AF_INET6;
	}
	return 0;
}

/* NULL, or what is wrong with it. */
static const char *
read_server(struct slice word, char *out, size_t size)
{
	static const char no_address[] =
	    "must be an address of loopback, 127.0.0.1 or [::1], and may have "
	    "a port behind \":\"";
	char address[WORD_SIZE], port[WORD_SIZE];
	bool is_loopback = false;
	unsigned number = DNS_PORT;
	int family, n;

	if (!cut(word, address, port))
		return no_address;
	family = family_of(address, &is_loopback);
	if (family == 0)
		return no_address;
	if (!is_loopback)
		return "must be a resolver on this host, at an address of "
		       "loopback: what another host answers may be changed "
		       "on its way";
	if (*port != '\0')
		number = nexthop_port_number(port);
	if (number == 0)
		return "must have a port from 1 to 65535 behind \":\"";
	n = snprintf(out, size, family == AF_INET6 ? "[%s]:%u" : "%s:%u",
	    address, number);
	return n < 0 || (size_t)n >= size ? "is too long" : NULL;
}

bool
trusted_resolver_server(const char *value, char *server_out, size_t size,
    char *why_out, size_t why_size)
{
	struct slice rest = slice_str(value), word, more;
	const char *why = "is empty";

	*server_out = '\0';
	if (words_cut(&rest, WORDS_SEPARATORS, &word))
		why = words_cut(&rest, WORDS_SEPARATORS, &more)
			  ? "must be one resolver: where it calls a name bogus "
			    "no other may be asked"
			  : read_server(word, server_out, size);
	(void)snprintf(why_out, why_size, "%s", why != NULL ? why : "");
	return why == NULL;
}

bool
trusted_resolver_is_wanted(const struct settings *set)
{
	return *set->smtp_tls_dane_resolver != '\0' &&
	       strcasecmp(set->smtp_dns_support_level, "dnssec") == 0;
}

const char *
trusted_resolver_missing(const struct settings *set)
{
	if (*set->smtp_tls_dane_resolver == '\0')
		return "smtp_tls_dane_resolver, the address of a resolver on "
		       "this host that validates DNSSEC (else use verify or "
		       "secure)";
	if (strcasecmp(set->smtp_dns_support_level, "dnssec") != 0)
		return "smtp_dns_support_level = dnssec";
	if (strcasestr(set->smtp_host_lookup, "dns") == NULL)
		return "dns in smtp_host_lookup";
	if (*set->smtp_dns_resolver_options != '\0')
		return "an empty smtp_dns_resolver_options";
	return NULL;
}
