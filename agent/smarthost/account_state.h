/* account_state: the inside of accounts, for the files that are them.
 *
 *   account        life, connections, what is learned and told
 *   account_fleet  what other hosts of a fleet hear of it, and tell
 */
#ifndef ACCOUNT_STATE_H
#define ACCOUNT_STATE_H

#include "agent/smarthost/account.h"
#include "common/base/list.h"

/* Whose slots a route's sessions take. */
struct account {
	struct list link;
	struct accounts *accounts;
	char *name;
	struct budget *budget;
	struct rate_account *rates;
	struct fleet_account *fleet; /* NULL: the host has all of it */
	int held, wanted;
	int64_t pause_told_us; /* the end of the last that hosts are told of */
};

/* Which account a route belongs to, found out once. */
struct binding {
	struct list link;
	struct accounts *accounts;
	struct route *route;
	char *host;
	struct account *account; /* NULL: still looking */
	struct credentials_query *query;
	size_t want, dials;
	int64_t wanting_since_us; /* for a session; 0: no mail wants one */
	int depth_known; /* as it stands on the board, */
	int64_t quota_known_us; /* and when the quota there was learned */
	int manner_known; /* as it stands there */
	uint64_t wordings_known[2]; /* likewise */
	int64_t wordings_told_us; /* 0: not yet */
	int64_t blocked; /* fleet_refusal() that stopped the route */
	int64_t doubted_us; /* what was heard of one, and acted upon */
	bool is_kept; /* by a pause that another host was asked for */
	int64_t stranger_told_us; /* it took one, there since then; 0: not */
};

struct accounts {
	struct accounts_env env;
	struct lane *lane;
	struct list all, bindings;
	size_t count;
	bool is_draining;
};

static inline struct binding *
binding_of(const struct route *route)
{
	return route->io;
}

/* ---- account_fleet.c ---------------------------------------------------- */

/* A new account / one whose host leaves the fleet. */
void account_join_fleet(struct account *a);
void account_leave_fleet(struct account *a);

/* What the fleet is asked for. */
void account_tell_demand(struct account *a);

/* What other hosts were told: for a route that is listening, and for one that
 * would not hear of the end of a pause otherwise. */
void account_hear_fleet(
    struct binding *b, bool is_listening, struct moment now);

#endif
