/* probe: what a lane would find at a nexthop, told without sending mail.
 *
 *   lane probe NEXTHOP [options]
 *
 * Options are those of master.cf, with -u and -c as master(8) would pass them;
 * NEXTHOP "" is the lane's own: lane_smarthost, else relayhost. Reads settings
 * and tables, gives up privileges and enters the chroot as the lane does, dials
 * once, and prints one JSON object: survey.h, and
 *
 *   {"schema": 1, "problems": ["bad parameter: ..."], "remarks": [
 *    "warning: ..."], "own_end_s": 0}
 *
 * problems: for which the lane would defer its mail; the dial is tried all the
 * same. remarks: what was logged, from warnings on. own_end_s: when the first
 * of our client certificates ends; 0: there is none.
 *
 * For postlane(1), which puts it into words. Only root can read every table:
 * others are told so in a remark.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>

#include "agent/smarthost/tokens.h"

enum {
	PROBE_SCHEMA = 1,
	/* A token, waited for as long as a lane does, and then a minute. */
	PROBE_LIMIT_MS = TOKENS_TIMEOUT_MS + 60000,
};

/* The first word says so. */
bool probe_is_wanted(int argc, char *const *argv);

/* The exit status of the process: 0 with an object, also of a failed dial; else
 * 1, and stderr says why. */
int probe_main(int argc, char **argv);

#endif
