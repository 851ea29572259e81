#include "agent/smarthost/peer_list.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ITEM_SIZE = 300 };

/* A net, or an address, which is one of all its bits. */
struct net {
	int family;
	unsigned char octets[16];
	long bits;
};

static bool
next_item(const char **list, char item[ITEM_SIZE])
{
	static const char gaps[] = ", \t\r\n";
	size_t n;

	*list += strspn(*list, gaps);
	n = strcspn(*list, gaps);
	(void)snprintf(item, ITEM_SIZE, "%.*s", (int)n, *list);
	*list += n;
	return n > 0;
}

/* "192.0.2.0/24", "[2001:db8::]/32"; without brackets, too. */
static bool
parse_net(const char *item, struct net *net)
{
	char text[ITEM_SIZE], *slash, *end;
	size_t n;

	(void)snprintf(text, sizeof(text), "%s", item + (*item == '['));
	slash = strchr(text, '/');
	if (slash != NULL)
		*slash++ = '\0';
	n = strlen(text);
	if (*item == '[' && n > 0 && text[n - 1] == ']')
		text[n - 1] = '\0';
	net->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	net->bits = net->family == AF_INET6 ? 128 : 32;
	if (inet_pton(net->family, text, net->octets) != 1)
		return false;
	if (slash == NULL)
		return true;
	if (*slash < '0' || *slash > '9' || strtol(slash, &end, 10) > net->bits)
		return false;
	net->bits = strtol(slash, &end, 10);
	return *end == '\0';
}

static bool
is_in(const struct net *net, const char *addr)
{
	unsigned char octets[16];
	size_t whole = (size_t)net->bits / 8;
	int rest = (int)(net->bits % 8);
	unsigned mask = (0xff00u >> rest) & 0xffu;

	if (inet_pton(net->family, addr, octets) != 1 ||
	    memcmp(octets, net->octets, whole) != 0)
		return false;
	return rest == 0 ||
	       (octets[whole] & mask) == (net->octets[whole] & mask);
}

/* parent_domain_matches_subdomains has debug_peer_list in it. */
static bool
is_named(const char *item, const char *host)
{
	size_t n = strlen(item), len = strlen(host);

	if (len < n || strcasecmp(host + len - n, item) != 0)
		return false;
	return len == n || *item == '.' || host[len - n - 1] == '.';
}

bool
peer_list_has(const char *list, const char *host, const char *addr)
{
	char item[ITEM_SIZE];
	struct net net;

	while (next_item(&list, item))
		if (parse_net(item, &net) ? is_in(&net, addr)
					  : is_named(item, host))
			return true;
	return false;
}

bool
peer_list_is_plain(const char *list, char *bad, size_t bad_size)
{
	char item[ITEM_SIZE];
	struct net net;

	while (next_item(&list, item)) {
		if (parse_net(item, &net) || strpbrk(item, "!/:[]") == NULL)
			continue;
		(void)snprintf(bad, bad_size, "%s", item);
		return false;
	}
	return true;
}
