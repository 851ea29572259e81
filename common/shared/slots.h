/* slots: who may hold how many connections of an account; pure arithmetic
 * and the layout of the file slots.<account> it is kept in.
 *
 *   head | members[32]: lanes that run | rows[1024]: one per slot
 *
 * A slot is a write lock (F_OFD_SETLK) on octet i of that file; a member (a
 * running lane) one on octet SLOTS_LOCK_MEMBER + m. The rows tell what the
 * locks cannot: whose a slot is, and whether it was given back in order. All
 * but a slot's release happens under SLOTS_LOCK_MUTEX. The same description
 * serves all: a draining child keeps its slots but gives its member up, so its
 * sessions count against the limit and towards nobody's reserve: the lane's
 * next process gets the whole reserve.
 *
 *   row        locked            free
 *   CLEAN      being taken       may be taken
 *   HELD       in use            the holder died: rests, from when it is seen
 *   RESTING    (not possible)    counts as used until at_ms
 *
 * Locks mean the same in every version of the layout. A release that finds a
 * file of another version makes it anew when it starts, and leaves it alone
 * when it becomes one later: then another release runs beside it.
 *
 * Times are monotonic milliseconds of the boot that head.boot names; a rest
 * that ends further away than any rest lasts is over. Limits, each lane's own
 * view, differ: the smallest of the running lanes holds.
 *
 * A lane may take a slot when  free > sum over other running lanes of
 *                                     max(0, reserve - what they hold)
 * with two exceptions that matter when reserves exceed the limit (a provider
 * that allows fewer than configured): within its own reserve a lane needs just
 * a free slot, and reserves never keep all slots from the others.
 */
#ifndef SLOTS_H
#define SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_MAGIC UINT64_C(0x31746f6c73656e6c) /* "lneslot1" */

enum {
	SLOTS_VERSION = 1,
	SLOTS_MAX = 1024, /* also the highest limit that can be kept */
	SLOTS_MEMBERS = 32,
	SLOTS_LOCK_MEMBER = SLOTS_MAX,
	SLOTS_LOCK_MUTEX = 4096,

	SLOTS_REST_MIN_MS = 1000,
	SLOTS_REST_MAX_MS = 60000,
	/* A refusal counts in full so long, and twice as long each time the
	 * same number is met again after that; */
	SLOTS_REFUSED_HOLD_MS = 60000,
	SLOTS_REFUSED_HOLD_MAX_MS = 3600000,
	SLOTS_REFUSED_STEP_MS = 30000, /* then one more slot each. */
};

enum slots_state { SLOTS_CLEAN, SLOTS_HELD, SLOTS_RESTING };

struct slots_row {
	uint32_t state; /* enum slots_state */
	uint32_t member; /* whose; check it */
	uint64_t generation; /* of the member when it was taken */
	int64_t at_ms; /* taken at, or rests until */
	int64_t rtt_ms; /* 0 unknown */
};

struct slots_member {
	char name[64];
	uint64_t generation; /* new for each process */
	uint64_t pid;
	int32_t limit, reserve;
	int32_t wants; /* slots asked for in vain */
	int32_t spare[9];
};

struct slots_head {
	uint64_t magic;
	uint32_t version, row_count;
	uint64_t boot;
	uint64_t unused;
	int64_t refused_to; /* slots that were open; 0: never refused */
	int64_t refused_at_ms;
	uint64_t refusals;
	char label[64]; /* board_label() */
	int64_t refused_hold_ms; /* how long that counts in full */
	/* The file was made in the place of one where slots may be held; 0: or
	 * nobody can have had one. */
	int64_t made_ms;
	uint64_t spare[15];
};

/* Slots, but as another release of lane keeps them. */
bool slots_is_other_version(const struct slots_head *head);

struct slots {
	struct slots_head head;
	struct slots_member members[SLOTS_MEMBERS];
	struct slots_row rows[SLOTS_MAX];
};

/* What the locks say; own slots and members included. */
struct slots_locks {
	bool rows[SLOTS_MAX];
	bool members[SLOTS_MEMBERS];
};

struct slots_sum {
	int limit; /* configured: smallest of the running lanes */
	int limit_now; /* in force after refusals */
	int held; /* locked */
	int resting; /* free but not to be used yet */
	int mine;
	int unfilled; /* slots kept for other lanes' reserves */
	int64_t rest_over_ms; /* when the first rest ends; INT64_MAX none */
	int others_want; /* slots they asked for in vain */
};

/* What a file says may be anything: afterwards its texts end. Numbers need
 * nothing, each function here takes any. */
void slots_repair(struct slots *s);

/* Rows of dead holders begin their rest. Locks must have been read before
 * rows, under the mutex. Returns the number of rows changed, each put down by
 * changed(ctx, row index). */
typedef void slots_changed_fn(void *ctx, int row);
int slots_rest_abandoned(struct slots *s, const struct slots_locks *locks,
    int64_t now_ms, slots_changed_fn *changed, void *ctx);

/* me: the asking lane's member index. Abandoned rows not yet at rest count as
 * resting. */
void slots_count(const struct slots *s, const struct slots_locks *locks, int me,
    int64_t now_ms, struct slots_sum *out);

/* May the lane with that reserve take one more? NULL: yes; else why not. */
const char *slots_why_not(const struct slots_sum *sum, int my_reserve);

/* The first row that is free and at rest no more; -1: none. */
int slots_pick(
    const struct slots *s, const struct slots_locks *locks, int64_t now_ms);

/* How long a slot rests whose end the provider has not seen. */
int64_t slots_rest_ms(int64_t rtt_ms);

/* The provider refused while open_count sessions of the account were open. A
 * number that it keeps to is tried beyond less and less often; one that was
 * lower or higher this time counts as new: others use the account, too. */
void slots_refuse(struct slots_head *head, int open_count, int64_t now_ms);

/* The limit in force, between 1 and limit. */
int slots_limit_now(const struct slots_head *head, int limit, int64_t now_ms);
/* Milliseconds until the whole limit is back; 0: it is. */
int64_t slots_limited_ms(
    const struct slots_head *head, int limit, int64_t now_ms);

#endif
