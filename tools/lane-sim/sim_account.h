/* sim_account: what the lanes of one account share: connections and rates.
 *
 *   lane 0 --ratebook--\
 *                       files in a directory of its own, as in production
 *   lane 1 --ratebook--/
 *        \---slots-----> struct slots in memory
 *
 * Rates, who gives way and pauses go through the agent's ratebook. Connections
 * follow the agent's arithmetic (common/shared/slots.h) without budget's file
 * and timers; lanes are told of new room as late as budget tells them: one that
 * waits looks every 25 ms, one that holds connections every 100 ms.
 */
#ifndef SIM_ACCOUNT_H
#define SIM_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/lane.h"
#include "agent/engine/settings.h"
#include "agent/state/rate_store.h"
#include "agent/state/statefile.h"
#include "common/shared/slots.h"

enum {
	SIM_LANES = 3,
	SIM_LOOK_WANT_MS = 25,
	SIM_LOOK_HOLD_MS = 100,
};

struct sim_member {
	int held, wants;
	int reserve;
	bool is_refused; /* the last take was */
	struct rate_store *book;
	struct rate_account *rates;
};

struct sim_account {
	struct slots slots;
	struct slots_locks locks;
	struct sim_member members[SIM_LANES];
	char *dir_name;
	struct statefile_dir dir;
};

/* Makes the directory; removed by sim_account_fini(). What cannot be made ends
 * the program. */
void sim_account_init(struct sim_account *a);
void sim_account_fini(struct sim_account *a);

/* Lane me joins with its settings, which are borrowed. */
void sim_account_join(
    struct sim_account *a, int me, const struct settings *set, int64_t now_us);

/* -1: no; *no says why and when. */
int sim_account_take(
    struct sim_account *a, int me, struct lane_no *no, int64_t now_ms);
void sim_account_release(struct sim_account *a, int me, int slot, bool is_clean,
    int64_t rtt_ms, int64_t now_ms);

/* So many more would be opened. */
void sim_account_want(struct sim_account *a, int me, int count);

/* A look: lane me waits and may have one now / so many of its own it should
 * give up. */
bool sim_account_has_room(struct sim_account *a, int me, int64_t now_ms);
int sim_account_surplus(struct sim_account *a, int me, int64_t now_ms);

/* The provider refused one while lane me had `open`. */
void sim_account_refused(
    struct sim_account *a, int me, int open, int64_t now_ms);

#endif
