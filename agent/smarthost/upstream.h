/* upstream: the lane's connections: slot, dial, link and session tied together.
 *
 *   start_dial -> slot taken -> dialling -> link + session -> ended -> slot
 *
 * The adapter behind lane_connection_ops, with account behind lane_account_ops
 * and pacer_ops: everything that faces the smarthost. An upstream keeps its
 * slot of the account from before connect until the provider can have seen the
 * end.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/lane.h"
#include "agent/smarthost/account.h"
#include "agent/smarthost/dialer.h"

struct upstreams;

/* The dialer is borrowed. */
struct upstreams *upstreams_new(
    struct dialer *dialer, const struct accounts_env *env);

/* Will open and close the sessions of a lane that is about to be made. */
void upstreams_serve(struct upstreams *ups, struct lane_ops *ops);

/* That lane; before the first dial. */
void upstreams_set_lane(struct upstreams *ups, struct lane *lane);

/* After lane_free(): what is left is closed without a word. */
void upstreams_free(struct upstreams **ups);

/* What other lanes were told by the smarthosts reaches this one; before each
 * lane_kick(). */
void upstreams_listen(struct upstreams *ups, struct moment now);

/* Breaks off all dials (the lane is told). */
void upstreams_cancel_dials(struct upstreams *ups);

/* After fork, in the draining child. */
void upstreams_drain(struct upstreams *ups);

/* Writes what the board shows of the sessions. */
void upstreams_show(struct upstreams *ups);

#endif
