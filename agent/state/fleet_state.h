/* fleet_state: struct fleet_account for the files that are it.
 *
 *   fleet_store    life, the file, takes, who speaks
 *   fleet_lessons  what this host learned, for the others
 *   fleet_shown    rows of the board
 */
#ifndef FLEET_STATE_H
#define FLEET_STATE_H

#include "agent/engine/fleet_demand.h"
#include "agent/state/fleet_store.h"
#include "agent/state/persist.h"
#include "common/base/list.h"

enum { FLEET_TOLD_US = 5000000 }; /* what a lane told counts for so long */

struct fleet_account {
	struct list link;
	struct fleet_store *store;
	int users;
	char *name;
	char label[BOARD_NAME];
	struct persist *file;
	bool is_alone; /* there is no file: the base, for good */
	bool speaks, has_warned;
	bool is_clone_told;
	int64_t told_us; /* its terms, to the engine */
	int64_t stale_us; /* since when the name is another's; 0: it is not */
	int me; /* entry of this lane; -1: none */
	const struct fleet_account_ops *ops;
	void *ctx;
	size_t count;
	struct fleet_limit limits[FLEET_LIMITS];
	struct fleet_demand demand[FLEET_LIMITS];
	int held, more; /* connections */
	int64_t asked_us[FLEET_LIMITS]; /* 0: answered */
	int64_t told[FLEET_LIMITS]; /* what this lane could use, as it told */
	bool has_shrunk; /* a share, by an answer: the engine is to hear it */
	int tries; /* questions since the host wanted more */
	int64_t shown[FLEET_LIMITS]; /* shares, as on_share() was told of */
	/* The file as read last, sound and in times of now. */
	struct fleet_file known;
	uint64_t stores;
	bool is_known;
	bool is_strange_told; /* of a lesson that is not known here */
	struct fleet_heard heard_shown[FLEET_KINDS]; /* as shown[] */
};

struct fleet_store {
	const struct settings *set;
	const struct statefile_dir *dir;
	const char *lane_name;
	uint64_t name; /* of the host */
	struct list accounts;
	bool has_warned;
};

/* Of lanes that run and told lately. */
static inline bool
fleet_lane_counts(
    const struct fleet_account *a, const bool *in_use, int m, int64_t now_us)
{
	const struct fleet_lane *l = &a->known.lanes[m];

	return (m == a->me || in_use[m]) && l->told_us <= now_us &&
	       now_us - l->told_us < FLEET_TOLD_US;
}

/* What this host learned of the provider, for the others. */
void fleet_lessons_ask(
    struct fleet_account *a, struct fleet_question *q, int64_t now_us);

/* What others have, in an answer with FLEET_OK: into a->known. */
void fleet_lessons_answer(struct fleet_account *a,
    const struct fleet_answer *answer, int64_t in_use, int64_t now_us);

#endif
