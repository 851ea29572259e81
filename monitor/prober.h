/* prober: runs "lane probe" (agent/probe.h) as master(8) would run the lane:
 * its program, its options, its privileges, its chroot.
 *
 * Blocks until the dial is over, PROBER_LIMIT_MS at most.
 */
#ifndef PROBER_H
#define PROBER_H

#include <stddef.h>

#include "monitor/site.h"

enum {
	/* More than PROBE_LIMIT_MS: what it found is to be heard. */
	PROBER_LIMIT_MS = 150000,
	PROBER_OVERRIDES_MAX = 8,
};

struct json_t;

/* What the program is run with. */
struct prober {
	const struct site *site;
	char *daemon_directory, *compatibility_level;
};

/* False: error has one line. */
bool prober_open(
    struct prober *p, const struct site *site, char *error, size_t n);
void prober_close(struct prober *p);

/* lane NULL: one that has no entry in master.cf yet. nexthop "": the lane's
 * own. overrides: "name=value", each in the place of what the entry says of
 * that name; NULL-terminated, may be NULL. NULL: error has one line; else the
 * caller's. */
struct json_t *prober_run(const struct prober *p, const struct site_lane *lane,
    const char *nexthop, const char *const *overrides, char *error, size_t n);

#endif
