#include "common/base/netblock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 100 }; /* no address with its mask is as long */

static bool
parse_bits(const char *text, int max, int *out)
{
	char *end;
	long bits;

	if (*text < '0' || *text > '9')
		return false;
	bits = strtol(text, &end, 10);
	*out = (int)bits;
	return *end == '\0' && bits <= max;
}

/* Takes the brackets out of text, in place; false: they are no pair. */
static bool
strip_brackets(char *text)
{
	char *close;

	if (*text != '[')
		return true;
	close = strchr(text, ']');
	if (close == NULL || (close[1] != '\0' && close[1] != '/'))
		return false;
	memmove(close, close + 1, strlen(close));
	memmove(text, text + 1, strlen(text));
	return true;
}

bool
netblock_parse(const char *text, struct netblock *out)
{
	char copy[TEXT_SIZE], *slash;
	int max;

	if (strlen(text) >= sizeof(copy))
		return false;
	(void)snprintf(copy, sizeof(copy), "%s", text);
	if (!strip_brackets(copy))
		return false;
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash = '\0';
	memset(out, 0, sizeof(*out));
	out->family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET;
	max = out->family == AF_INET6 ? 128 : 32;
	out->bits = max;
	return inet_pton(out->family, copy, out->octets) == 1 &&
	       (slash == NULL || parse_bits(slash + 1, max, &out->bits));
}

/* a and b have the same bits, as far as the network goes. */
static bool
is_same(const unsigned char a[16], const unsigned char b[16], int bits)
{
	size_t whole = (size_t)bits / 8;
	int rest = bits % 8;
	unsigned mask = (0xff00u >> rest) & 0xffu;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

bool
netblock_is_network(const struct netblock *net)
{
	int max = net->family == AF_INET6 ? 128 : 32;

	for (int bit = net->bits; bit < max; bit++)
		if ((net->octets[bit / 8] & (0x80u >> (bit % 8))) != 0)
			return false;
	return true;
}

bool
netblock_has(const struct netblock *net, const char *addr)
{
	unsigned char octets[16] = {0};

	return inet_pton(net->family, addr, octets) == 1 &&
	       is_same(octets, net->octets, net->bits);
}
