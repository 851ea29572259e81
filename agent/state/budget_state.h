/* budget_state: what the halves of budget share.
 *
 *   budget_file.c   the file of the slots, and what may become of it
 *   budget_share.c  what of the account is this host's
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

/* What the file is to this process. */
enum budget_file {
	BUDGET_FILE_NONE, /* it counts alone, for good */
	BUDGET_FILE_SHARED,
	BUDGET_FILE_DAMAGED, /* told, and not mended yet */
	BUDGET_FILE_LEFT, /* another release's, all but its locks */
};

enum budget_mutex {
	BUDGET_MUTEX_HAD, /* whenever it was wanted */
	BUDGET_MUTEX_MISSED, /* since missed_ms */
	BUDGET_MUTEX_ALONE, /* for so long that we go on without it */
};

enum budget_need {
	BUDGET_CONTENT,
	BUDGET_REFUSED, /* the last take was, for want of a slot */
	BUDGET_DRAINING, /* takes none any more */
};

struct budget {
	struct loop *loop; /* NULL in tests: then no timer */
	struct loop_timer *timer;
	budget_fn *on_room;
	void *ctx;
	struct board_writer *board; /* not owned, may be NULL */
	int fd; /* -1: there is no file */
	enum budget_file file; /* written by budget_set_file() */
	enum budget_mutex mutex; /* these by functions of budget.c */
	enum budget_need need;
	int64_t missed_ms; /* when that was not had first */
	int dir_fd; /* borrowed; -1: the file is not followed */
	char name[32];
	int me; /* member index */
	int limit, lane_limit;
	int reserve_set, reserve; /* as set; no more than lane_limit */
	int wants;
	int limit_seen; /* smallest of the running lanes, at the last look */
	int surplus; /* of ours that others could use */
	struct fleet_account *fleet; /* NULL: the host has all of it */
	int share; /* of the account's limit, for this host */
	int excess; /* of ours, more than the host's share */
	bool is_fewer; /* than that, since another host was refused more */
	int mine_count;
	int64_t timer_ms; /* when it fires; 0: not set */
	int64_t rtt_ms; /* last one told */
	bool is_all_mine; /* only we ourselves can make room */
	bool has_warned_limits, has_warned_io;
	int64_t followed_ms; /* no slot is taken for a moment; 0: never */
	bool mine[SLOTS_MAX]; /* by row */
	int row_of[SLOTS_MAX]; /* of each slot that was given out */
	struct slots slots; /* the file as last read; the truth without one */
	struct slots_locks locks;
};

/* The one way to another state of the file; to the same one does nothing. */
void budget_set_file(struct budget *b, enum budget_file file);

/* To the file, if there is one; what fails is told once. */
void budget_put_row(void *ctx, int row);
void budget_put_me(struct budget *b);
void budget_put_head(struct budget *b);

/* b->share and b->excess, as of now. */
void budget_look_at_share(struct budget *b, const struct slots_sum *sum);

/* b->slots as the file has it now, which is mended if it is damaged. */
void budget_read(struct budget *b);

/* Under the mutex. Somebody removed the file, or put another one in its place:
 * all lanes go over to what has the name now, or each new process would have
 * the account for itself. Nobody takes a slot there before all that hold one
 * have entered it; they look each POLL_HOLD_MS. False: not just now. */
bool budget_follow(struct budget *b, int wait_ms, int64_t now_ms);

#endif
