#include "agent/io/hostsfile.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/io/resolver_records.h"

struct finding {
	struct resolver_answer *answer;
	bool wants_ipv4, wants_ipv6;
};

int
hostsfile_open(ares_channel *channel_out)
{
	struct ares_options options = {0};
	char lookups[] = "f";

	options.lookups = lookups;
	return ares_init_options(channel_out, &options, ARES_OPT_LOOKUPS);
}

static void
on_entry(void *ctx, int rc, int timeouts, struct ares_addrinfo *info)
{
	struct finding *f = ctx;

	(void)timeouts;
	for (struct ares_addrinfo_node *node = rc == ARES_SUCCESS ? info->nodes
								  : NULL;
	     node != NULL; node = node->ai_next) {
		const struct sockaddr_in *sin = (const void *)node->ai_addr;
		const struct sockaddr_in6 *sin6 = (const void *)node->ai_addr;

		if (node->ai_family == AF_INET && f->wants_ipv4)
			resolver_records_add_addr(f->answer, AF_INET,
			    &sin->sin_addr, sizeof(sin->sin_addr));
		else if (node->ai_family == AF_INET6 && f->wants_ipv6)
			resolver_records_add_addr(f->answer, AF_INET6,
			    &sin6->sin6_addr, sizeof(sin6->sin6_addr));
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
}

void
hostsfile_find(ares_channel channel, const char *name, bool wants_ipv4,
    bool wants_ipv6, struct resolver_answer *answer)
{
	struct finding f = {answer, wants_ipv4, wants_ipv6};
	struct ares_addrinfo_hints hints = {0};

	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	/* The order is ours to make; c-ares' would probe with sockets.
	 * CARES_HOSTS in the environment names another file; told to look for
	 * that when there is none, c-ares 1.34 reads no file at all. */
	hints.ai_flags = ARES_AI_NOSORT;
	if (getenv("CARES_HOSTS") != NULL)
		hints.ai_flags |= ARES_AI_ENVHOSTS;
	ares_getaddrinfo(channel, name, NULL, &hints, on_entry, &f);
}
