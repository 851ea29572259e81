/* account: whose connections and rates a route's sessions take: the login at a
 * host, or lane_account.
 *
 *   route -> credentials looked up -> account -> budget and rates, shared by
 *   lanes
 *
 * What an earlier process or another lane of the account found out about the
 * host is put into the route when its account is known, and what this one
 * finds out goes to the board.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/lane.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/smarthost/credentials.h"
#include "agent/state/board_writer.h"
#include "agent/state/rate_store.h"
#include "agent/state/statefile.h"

struct account;
struct accounts;

/* All is borrowed. */
struct accounts_env {
	struct loop *loop;
	const struct settings *set;
	struct credentials *credentials;
	struct board_writer *board; /* may be NULL */
	const struct statefile_dir *state; /* may be NULL */
	struct rate_store *rates;
	struct fleet_store *fleet; /* hosts share accounts; NULL: not */
	const char *lane_name;
	/* Something changed: lane_kick() is due. */
	loop_fn *want_kick;
	void *ctx;
};

struct accounts *accounts_new(const struct accounts_env *env);

/* Will hear what a lane that is about to be made has to tell. */
void accounts_serve(struct accounts *accounts, struct lane_ops *ops);

/* That lane; before the first accounts_of(). Its rates are kept from now on. */
void accounts_set_lane(struct accounts *accounts, struct lane *lane);

void accounts_free(struct accounts **accounts);

/* The account of a route of the lane, for which a session is wanted; NULL: it
 * is being looked up, and a kick is wanted when it is known. The first answer
 * is always NULL: what is known of the account may forbid what the route was
 * just thought to be good for. */
struct account *accounts_of(struct accounts *accounts, struct route *route);
void accounts_forget_route(struct accounts *accounts, struct route *route);

/* A dial of the route begins, after accounts_of(); has ended. The first session
 * of those dialled together ends the wait that the board shows. */
void accounts_dial_begins(const struct route *route);
void accounts_dial_ends(const struct route *route, bool has_session);

/* The first host of a route's nexthops, in lower case; after accounts_of(). */
const char *accounts_host(const struct route *route);

/* A connection's slot, within the account's connections at a time and in a
 * time; false: no says why not. */
bool account_take(struct account *account, int *slot, struct lane_no *no);

/* After the server can have seen the end of the connection. */
void account_give_back(
    struct account *account, int slot, bool is_clean, int64_t rtt_us);

/* What other lanes were told by the smarthosts reaches this one. */
void accounts_listen(struct accounts *accounts, struct moment now);

/* After fork, in the draining child. */
void accounts_drain(struct accounts *accounts);

/* Writes what was learned to the board. */
void accounts_show(struct accounts *accounts);

#endif
