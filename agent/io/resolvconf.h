/* resolvconf: what resolv.conf(5) says beside the name servers.
 *
 * The search list and how patient a question is. c-ares reads the name servers
 * itself; of the rest its releases know different parts, so it is read here
 * and given to c-ares. The environment's LOCALDOMAIN and RES_OPTIONS replace
 * and extend what the file says. A word that is not known is skipped, as the C
 * library does.
 */
#ifndef RESOLVCONF_H
#define RESOLVCONF_H

#include <stdbool.h>
#include <stddef.h>

/* The C library's: default and bound of each. */
enum {
	RESOLVCONF_DOMAINS_MAX = 6,
	RESOLVCONF_NAME_SIZE = 256,
	RESOLVCONF_NDOTS_MAX = 15,
	RESOLVCONF_TIMEOUT_MAX_S = 30,
	RESOLVCONF_ATTEMPTS_MAX = 5,
	RESOLVCONF_SERVERS_MAX = 3,
};

#define RESOLVCONF_PATH "/etc/resolv.conf"

struct resolvconf {
	char domains[RESOLVCONF_DOMAINS_MAX][RESOLVCONF_NAME_SIZE];
	size_t domain_count;
	int ndots; /* a name with fewer dots is searched first; 1 */
	int timeout_s; /* of one question to one server; 5 */
	int attempts; /* rounds through the servers; 2 */
	int server_count; /* at least 1 */
	bool rotate; /* begin with another server each time */
};

/* A file that cannot be read is an empty one. */
void resolvconf_read(struct resolvconf *conf, const char *path);

/* Which names the resolver asks for when it is given one. */
enum {
	RESOLVCONF_DEFNAMES = 1, /* name without a dot: in the first domain */
	RESOLVCONF_DNSRCH = 2, /* in every domain of the list */
};

/* The i-th absolute name, without the final dot, that stands for name when the
 * search flags are given; false when there are no more. Without flags there is
 * one, name itself. */
bool resolvconf_name(const struct resolvconf *conf, unsigned flags,
    const char *name, size_t i, char out[RESOLVCONF_NAME_SIZE]);

/* How long a question may take in all. */
int resolvconf_patience_ms(const struct resolvconf *conf);

#endif
