#include "common/base/words.h"
#include "common/smtp/nexthop.h"

#include <arpa/inet.h>
#include <string.h>

enum { LABEL_MAX = 63 };

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static bool
is_label(struct slice label, bool *is_numeric)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' ||
	    label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];

		if (c == '-' || (is_letter_or_digit(c) && (c < '0' || c > '9')))
			*is_numeric = false;
		else if (!is_letter_or_digit(c) && c != '_')
			return false;
	}
	return true;
}

bool
nexthop_is_hostname(struct slice name)
{
	bool is_numeric = true;
	size_t start = 0;

	if (name.n == 0 || name.n >= NEXTHOP_HOST_SIZE)
		return false;
	for (size_t i = 0; i <= name.n; i++) {
		if (i < name.n && name.p[i] != '.')
			continue;
		if (!is_label(slice_of(name.p + start, i - start), &is_numeric))
			return false;
		start = i + 1;
	}
	return !is_numeric;
}

bool
nexthop_is_address(struct slice text)
{
	char copy[INET6_ADDRSTRLEN];
	unsigned char address[16];

	if (text.n == 0 || text.n >= sizeof copy ||
	    memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return inet_pton(AF_INET, copy, address) == 1 ||
	       inet_pton(AF_INET6, copy, address) == 1;
}

unsigned
nexthop_port_number(const char *port)
{
	unsigned value = 0;

	if (*port == '\0')
		return 0;
	for (; *port != '\0'; port++) {
		if (*port < '0' || *port > '9')
			return 0;
		value = value * 10 + (unsigned)(*port - '0');
		if (value > 65535)
			return 0;
	}
	return value;
}

bool
nexthop_next_port(struct slice *list, unsigned *port_out)
{
	char port[NEXTHOP_PORT_SIZE];
	struct slice word;

	*port_out = 0;
	if (!words_cut(list, WORDS_SEPARATORS, &word))
		return false;
	if (word.n < sizeof(port) && memchr(word.p, '\0', word.n) == NULL) {
		memcpy(port, word.p, word.n);
		port[word.n] = '\0';
		*port_out = nexthop_port_number(port);
	}
	return true;
}

/* A number in range or a service name; empty is fine. */
static const char *
set_port(struct slice port, struct nexthop *out)
{
	if (port.n >= sizeof out->port)
		return "service name too long";
	for (size_t i = 0; i < port.n; i++)
		if (!is_letter_or_digit(port.p[i]) && port.p[i] != '-' &&
		    port.p[i] != '_')
			return "bad character in port or service name";
	if (port.n > 0)
		memcpy(out->port, port.p, port.n);
	out->port[port.n] = '\0';
	if (port.n > 0 && port.p[0] >= '0' && port.p[0] <= '9' &&
	    nexthop_port_number(out->port) == 0)
		return "a port number is 1 to 65535";
	return NULL;
}

static const char *
set_host(struct slice host, struct nexthop *out)
{
	out->is_literal = nexthop_is_address(host);
	if (host.n == 0)
		return "missing host";
	if (!out->is_literal && !nexthop_is_hostname(host))
		return "host name or network address required";
	if (out->is_literal)
		out->use_mx = false;
	memcpy(out->host, host.p, host.n);
	out->host[host.n] = '\0';
	return NULL;
}

/* "[host]", "[host]:", "[host]:port" */
static const char *
parse_bracketed(struct slice word, struct nexthop *out)
{
	static const char prefix[] = "ipv6:";
	size_t n = sizeof prefix - 1;
	const char *close = memchr(word.p, ']', word.n);
	struct slice host, port;
	const char *error;
	bool is_ipv6;

	if (close == NULL)
		return "missing \"]\"";
	host = slice_of(word.p + 1, (size_t)(close - word.p) - 1);
	port = slice_of(close + 1, word.n - host.n - 2);
	if (port.n > 0 && port.p[0] != ':')
		return "garbage after \"]\"";
	if (port.n > 0)
		port = slice_of(port.p + 1, port.n - 1);
	is_ipv6 = host.n >= n && strncasecmp(host.p, prefix, n) == 0;
	if (is_ipv6)
		host = slice_of(host.p + n, host.n - n);
	if (is_ipv6 && (host.n == 0 || memchr(host.p, ':', host.n) == NULL ||
			   !nexthop_is_address(host)))
		return "malformed IPv6 address";
	out->use_mx = false;
	error = set_host(host, out);
	return error != NULL ? error : set_port(port, out);
}

/* "host", "host:", "host:port" */
static const char *
parse_bare(struct slice word, struct nexthop *out)
{
	const char *colon = memrchr(word.p, ':', word.n);
	struct slice host = word, port = slice_of(word.p, 0);
	const char *error;

	if (colon != NULL) {
		host.n = (size_t)(colon - word.p);
		port = slice_of(colon + 1, word.n - host.n - 1);
	}
	out->use_mx = true;
	error = set_host(host, out);
	return error != NULL ? error : set_port(port, out);
}

bool
nexthop_next(struct slice *list, struct nexthop *out, const char **error_out)
{
	struct slice word;

	*error_out = NULL;
	memset(out, 0, sizeof *out);
	if (!words_cut(list, WORDS_SEPARATORS, &word))
		return false;
	*error_out = word.p[0] == '[' ? parse_bracketed(word, out)
				      : parse_bare(word, out);
	return *error_out == NULL;
}
