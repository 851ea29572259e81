#include "agent/smarthost/peer_list.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/netblock.h"

enum { ITEM_SIZE = 300 };

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
	struct netblock net;

	while (next_item(&list, item))
		if (netblock_parse(item, &net) ? netblock_has(&net, addr)
					       : is_named(item, host))
			return true;
	return false;
}

bool
peer_list_is_plain(const char *list, char *bad, size_t bad_size)
{
	char item[ITEM_SIZE];
	struct netblock net;

	while (next_item(&list, item)) {
		if (netblock_parse(item, &net) ||
		    strpbrk(item, "!/:[]") == NULL)
			continue;
		(void)snprintf(bad, bad_size, "%s", item);
		return false;
	}
	return true;
}
