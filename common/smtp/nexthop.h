/* nexthop: destinations as relayhost, transport(5) and the queue name them.
 *
 *   example.com          MX look-up          example.com:587
 *   [mail.example.com]   host, no MX         [mail.example.com]:submission
 *   [127.0.0.1]:2525  [ipv6:::1]  [::1]:25   address literals
 *   [a]:25, [b]:25 c     several, in order of preference (commas or blanks)
 *
 * The port is a number (1..65535) or a service name that the caller looks up;
 * "" means the default. Hosts are ASCII: letters, digits, "-", "_" and dots;
 * names in other scripts must be written in their xn-- form.
 */
#ifndef NEXTHOP_H
#define NEXTHOP_H

#include <stdbool.h>

#include "common/base/slice.h"

enum { NEXTHOP_HOST_SIZE = 256, NEXTHOP_PORT_SIZE = 32 };

struct nexthop {
	char host[NEXTHOP_HOST_SIZE]; /* no brackets, no "ipv6:", as written */
	char port[NEXTHOP_PORT_SIZE];
	bool use_mx; /* a bare name */
	bool is_literal; /* host is an IPv4 or IPv6 address */
};

/* Takes the next destination off *list. False at the end, with *error NULL,
 * or when it is malformed (and was taken off): then *error says why, a
 * constant text, and the caller may go on with the rest. */
bool nexthop_next(
    struct slice *list, struct nexthop *out, const char **error_out);

/* Host name by the rules above: labels of 1..63 octets, 255 in all, not all
 * digits and dots, no "-" at a label's ends. No trailing dot. */
bool nexthop_is_hostname(struct slice name);

/* "127.0.0.1", "::1"; no brackets, no prefix, no scope. */
bool nexthop_is_address(struct slice text);

/* 1..65535 in decimal: the number, else 0. */
unsigned nexthop_port_number(const char *port);

/* Takes the next port off a list of them, with blanks or commas between. False
 * at the end; *port_out is 0 when what was taken off is no port number. */
bool nexthop_next_port(struct slice *list, unsigned *port_out);

#endif
