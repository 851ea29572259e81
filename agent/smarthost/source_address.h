/* source_address: where connections come from, by smtp(8)'s rules.
 *
 *   smtp_bind_address, smtp_bind_address6   the address for its family; when
 *       it cannot be bound there is a warning, and with
 *       smtp_bind_address_enforce no connection
 *   inet_interfaces                         else, when it stands for exactly
 *       one address of the family which is no loopback address: that one
 *
 * Source: postconf(5), smtp_bind_address. Host names in inet_interfaces are
 * looked up once, at start.
 */
#ifndef SOURCE_ADDRESS_H
#define SOURCE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/settings.h"

struct source_address {
	bool has_ipv4, has_ipv6;
	bool is_set_ipv4, is_set_ipv6; /* by smtp_bind_address(6) */
	bool must_bind; /* those that are set */
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

/* May look up host names, which blocks. False: why says which parameter is
 * bad, as for the log. */
bool source_address_init(struct source_address *source,
    const struct settings *set, char *why, size_t why_size);

/* Binds fd, of family AF_INET or AF_INET6. False: no connection may be made;
 * what went wrong was logged. */
bool source_address_bind(
    const struct source_address *source, int fd, int family);

#endif
