/* setupprovider: whose a next hop is, for the limits of the account there.
 *
 *   --provider NAME   NAME.conf in lane_provider_directory; none: nobody's
 *   without           the file there that has the host of the next hop
 *
 * It becomes lane_provider, so that limits and the meaning of replies come from
 * the file, also when that is newer one day. Where two files have the host, or
 * one that is looked into is wrong, somebody has to say which one is meant.
 */
#ifndef SETUPPROVIDER_H
#define SETUPPROVIDER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/provider_set.h"

enum setupprovider_why {
	SETUPPROVIDER_UNKNOWN, /* no file has the host */
	SETUPPROVIDER_HOST, /* its file has it */
	SETUPPROVIDER_ASKED, /* --provider */
};

struct setupprovider {
	enum setupprovider_why why;
	char *name, *host, *directory; /* name "": none */
	struct provider_set set; /* what its file has */
};

/* wanted: --provider, or NULL. A nexthop that is none has no provider. False:
 * one line in error; nothing is to be freed. */
bool setupprovider_find(struct setupprovider *out, const struct settings *set,
    const char *nexthop, const char *wanted, char *error, size_t n);
void setupprovider_fini(struct setupprovider *provider);

/* The names that are known, "a, b, c"; the caller's. */
char *setupprovider_names(const char *directory);

/* The connections of the account that it is known for; 0: none. */
int setupprovider_connections(const struct setupprovider *provider);

#endif
