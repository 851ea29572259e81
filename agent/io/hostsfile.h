/* hostsfile: addresses out of /etc/hosts, by c-ares; nobody is asked.
 */
#ifndef HOSTSFILE_H
#define HOSTSFILE_H

#include <ares.h>
#include <stdbool.h>

#include "agent/io/resolver.h"

/* A channel that reads the file and no more: an ARES status. */
int hostsfile_open(ares_channel *channel_out);

/* Adds the addresses of name that are of a wanted family; they are there when
 * this returns. */
void hostsfile_find(ares_channel channel, const char *name, bool wants_ipv4,
    bool wants_ipv6, struct resolver_answer *answer);

#endif
