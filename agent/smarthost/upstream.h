/* upstream: the lane's connections: slot, dial, link and session tied together.
 *
 *   start_dial -> slot taken -> dialling -> link + session -> ended -> slot
 *
 * The adapter behind lane_ops for everything that faces the smarthost. An
 * upstream keeps its slot of the account from before connect until the provider
 * can have seen the end.
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

/* The lane whose sessions these are; before the first dial. */
void upstreams_set_lane(struct upstreams *ups, struct lane *lane);

/* After lane_free(): what is left is closed without a word. */
void upstreams_free(struct upstreams **ups);

/* lane_ops, with ctx being the struct upstreams. */
bool upstreams_start_dial(void *ctx, struct route *route, struct lane_no *no);
void upstreams_on_want(void *ctx, struct route *route, size_t count);
void upstreams_on_output(void *ctx, struct lane_session *ls);
void upstreams_on_route_gone(void *ctx, struct route *route);
void upstreams_on_too_many(
    void *ctx, struct route *route, bool was_open, const char *reply);
void upstreams_on_turned_away(void *ctx, struct lane_session *ls);
void upstreams_hang_up(void *ctx, struct lane_session *ls);
void upstreams_on_session_ended(void *ctx, struct lane_session *ls,
    enum session_end how, bool is_clean, const char *why);

/* Where the rates of a route's account are kept; NULL: not known yet, and no
 * session of the route was dialled yet. */
struct rate_account *upstreams_rates(const struct route *route);

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
