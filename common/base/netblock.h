/* netblock: a network, "192.0.2.0/24" or "2001:db8::/32", and what is in it.
 *
 * An address is a network of all its bits. Brackets may stand round the
 * address or the whole, as in Postfix's lists: [2001:db8::]/32,
 * [2001:db8::/32]. Source: cidr_table(5).
 */
#ifndef NETBLOCK_H
#define NETBLOCK_H

#include <stdbool.h>

struct netblock {
	int family; /* AF_INET, AF_INET6 */
	unsigned char octets[16];
	int bits;
};

/* False: it is none. */
bool netblock_parse(const char *text, struct netblock *out);

/* No bit of the address is set behind the network's: 192.0.2.1/24 is a slip,
 * which the user has to judge. */
bool netblock_is_network(const struct netblock *net);

/* False, too, for what is no address or one of the other family. */
bool netblock_has(const struct netblock *net, const char *addr);

#endif
