/* lane_holds: recipient domains that an operator holds back.
 *
 *   [r.waiting]    m1 m4       goes on
 *   [parking]      m2 m3       for a held domain: passed over
 *
 * Mail for a held domain waits in a queue of its own, as that for a limited one
 * does (lane_park.c), so that it delays nobody; what a session has already goes
 * out. A message for several domains goes in parts. As with a pause of the
 * whole lane, what would wait for longer than lane_wait_limit is deferred at
 * once, and called back when its domain is not held any more: each hold has an
 * id of its own among those of lane_outage_ops.
 */
#ifndef LANE_HOLDS_H
#define LANE_HOLDS_H

#include <stddef.h>
#include <stdint.h>

#include "agent/engine/domains.h"
#include "agent/engine/lane_steer.h"

struct lane_hold {
	char domain[DOMAIN_NAME_MAX + 1]; /* .example.com: all below */
	int64_t until_us; /* INT64_MAX: until it is told otherwise */
	char why[LANE_STEER_TEXT]; /* "paused by root" */
};

/* All that are held from now on, in the place of those before; no domain
 * twice. */
void lane_hold_domains(struct lane *lane, const struct lane_hold *holds,
    size_t count, struct moment now);

#endif
