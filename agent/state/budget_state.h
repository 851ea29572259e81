/* budget_state: what the halves of budget share.
 *
 *   budget_file.c   the file of the slots, and what may become of it
 *   budget.c        who takes a slot, and when
 */
#ifndef BUDGET_STATE_H
#define BUDGET_STATE_H

#include "agent/state/budget.h"
#include "common/shared/slots.h"

enum {
	BUDGET_POLL_HOLD_MS = 100,
	/* in place of a row */
	BUDGET_NO_SLOT = -1, /* not given out */
	BUDGET_NO_ROW = -2, /* held, but entered nowhere */
};

struct budget {
	struct loop *loop; /* NULL in tests: then no timer */
	struct loop_timer *timer;
	budget_fn *on_room;
	void *ctx;
	struct board_writer *board; /* not owned, may be NULL */
	int fd; /* -1: this process alone counts */
	int dir_fd; /* borrowed; -1: the file is not followed */
	char name[32];
	int me; /* member index */
	int limit, reserve, lane_limit;
	int wants;
	int limit_seen; /* smallest of the running lanes, at the last look */
	int surplus; /* of ours that others could use */
	int mine_count;
	int64_t timer_ms; /* when it fires; 0: not set */
	int64_t rtt_ms; /* last one told */
	bool is_refused; /* the last take was, for want of a slot */
	bool is_all_mine; /* only we ourselves can make room */
	bool is_draining;
	int64_t missed_ms; /* since when the mutex is not had; 0: it is */
	bool is_alone; /* for so long that we go on without it */
	bool has_warned_limits, has_warned_io;
	bool is_damaged; /* told, and not mended yet */
	bool is_left; /* the file is another release's, all but its locks */
	int64_t followed_ms; /* no slot is taken for a moment; 0: never */
	bool mine[SLOTS_MAX]; /* by row */
	int row_of[SLOTS_MAX]; /* of each slot that was given out */
	struct slots slots; /* the file as last read; the truth without one */
	struct slots_locks locks;
};

/* To the file, if there is one; what fails is told once. */
void budget_put_row(void *ctx, int row);
void budget_put_me(struct budget *b);
void budget_put_head(struct budget *b);

/* b->slots as the file has it now, which is mended if it is damaged. */
void budget_read(struct budget *b);

/* Under the mutex. Somebody removed the file, or put another one in its place:
 * all lanes go over to what has the name now, or each new process would have
 * the account for itself. Nobody takes a slot there before all that hold one
 * have entered it; they look each POLL_HOLD_MS. False: not just now. */
bool budget_follow(struct budget *b, int wait_ms, int64_t now_ms);

#endif
