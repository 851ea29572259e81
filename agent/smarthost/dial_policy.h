/* dial_policy: which TLS the address in hand gets.
 *
 *   smtp_tls_policy_maps, or main.cf's level -> [DANE] -> trust anchors -> end
 */
#ifndef DIAL_POLICY_H
#define DIAL_POLICY_H

#include "agent/smarthost/dial.h"

/* Finds dial->policy. Ends in on_end(), called once, from inside or from the
 * loop: without a policy that will do dial->result says why, and candidates
 * know whether another host of the nexthop may have one. */
void dial_policy_find(struct dial *dial, dial_policy_fn *on_end);

#endif
