/* fleetview: the hosts of each account that a fleet shares, as its engine
 * knows them.
 *
 *   model (the board) --- accounts, limits, this host ---.
 *   engine (fleetlink) -- hosts, leases, terms ----------+--> fleetview
 *
 * Each engine is asked once, by commands that change nothing. What it does not
 * answer is missing, and this host is shown as it knows itself. Amounts are as
 * in model_fleet.h. Host names are those of struct fleet_question.
 */
#ifndef FLEETVIEW_H
#define FLEETVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/fleet.h"
#include "monitor/fleetlink.h"
#include "monitor/model.h"

enum {
	FLEETVIEW_SCHEMA = 1,
	/* Who asked nothing for so long is silent. */
	FLEETVIEW_SILENT_US = 4000000,
};

struct fleetview_engine {
	const struct site_lane *lane; /* by whose settings it is reached */
	bool answers;
	char why[FLEETLINK_WHY_SIZE]; /* it does not; "": it does */
	char refused[FLEETLINK_WHY_SIZE]; /* a command that it would not do */
	char product[16], version[32]; /* redis, valkey; "": not told */
	char run[FLEET_LIFE_SIZE];
	char policy[32]; /* maxmemory_policy */
	int64_t up_s, memory, memory_max; /* max 0: no limit */
	int64_t clock_off_us; /* so much later than this host's */
	bool is_replica;
	bool is_kept; /* it writes what it knows to a disk */
};

enum fleetview_state {
	FLEETVIEW_ALIVE,
	FLEETVIEW_SILENT,
	FLEETVIEW_GONE, /* by the operator's word */
	FLEETVIEW_CLONED, /* this host: another one has its name */
	FLEETVIEW_REFUSED, /* this host: there are size others */
	FLEETVIEW_ALONE, /* this host: no engine answers it */
};

struct fleetview_host {
	char name[FLEET_NAME_SIZE];
	enum fleetview_state state;
	bool is_here;
	int64_t share; /* it may hold so much, */
	int64_t left_us; /* for so long; 0: the lease is over */
	int64_t want;
	int64_t heard_us; /* ago; -1: never */
	bool has_terms; /* what it goes by, as it told once a minute */
	struct fleet_terms terms;
};

struct fleetview_limit {
	const struct model_fleet_limit *own; /* unit, limit, base */
	bool is_known; /* the engine told of it; and it */
	int64_t learns_us; /* ... lends nothing new for so long, at most */
	struct fleetview_host *hosts;
	size_t count;
};

struct fleetview_account {
	const struct model_account *account;
	size_t engine; /* index */
	struct fleetview_limit limits[BOARD_FLEET_LIMITS]; /* of fleet.count */
};

struct fleetview {
	const struct model *m; /* borrowed */
	struct fleetview_engine *engines;
	size_t engine_count;
	struct fleetview_account *accounts;
	size_t account_count;
};

/* Never fails. */
void fleetview_read(struct fleetview *v, const struct model *m);
void fleetview_fini(struct fleetview *v);

/* alive, silent, gone, cloned, refused, alone */
const char *fleetview_state_name(enum fleetview_state state);

/* Something is not as it should be. */
bool fleetview_is_bad(const struct fleetview *v);

/* What becomes of a host that an operator gives up, of one limit. */
enum fleetview_word {
	FLEETVIEW_FORGOTTEN,
	FLEETVIEW_WAS_GONE,
	FLEETVIEW_IS_ALIVE, /* or what it used still counts */
	FLEETVIEW_UNKNOWN,
	FLEETVIEW_EMPTY, /* nobody asks this engine: it would not remember */
	FLEETVIEW_FAILED, /* link->why, or link->refused */
};

/* wait_us: for FLEETVIEW_IS_ALIVE, until it may be said. */
enum fleetview_word fleetview_forget(struct fleetlink *link,
    const struct fleetview_account *a, size_t limit, const char *host,
    int64_t *wait_us);

/* ---- texts of an engine, which are a peer's ------------------------------ */

/* A host's row at the time now. False: it is none. */
bool fleetview_read_row(
    const char *text, int64_t now_us, struct fleetview_host *out);
bool fleetview_read_terms(const char *text, struct fleet_terms *out);

/* The value of "name:" in what INFO says, cut to n - 1; "": there is none. */
const char *fleetview_info(
    const char *info, const char *name, char *out, size_t n);

#endif
