/* board_state: what the halves of board_writer share.
 *
 *   board_open.c     the file: opening, the lane's entry, what becomes of it
 *   board_writer.c   the figures in it
 */
#ifndef BOARD_STATE_H
#define BOARD_STATE_H

#include "agent/state/board_writer.h"
#include "common/base/clock.h"

enum { BOARD_OPEN_WAIT_MS = 200 }; /* for another lane that is opening it */

/* The entries as they were a second ago. */
struct board_keep {
	struct board_lane lane;
	struct board_account account;
};

struct board_writer {
	int fd; /* -1: private memory, the file cannot be had */
	struct board *board;
	struct board_lane *lane;
	struct board_account *account; /* NULL until set */
	int dir_fd;
	bool is_draining;
	/* rows this process put in hand or uses, so that a child does not
	 * touch its successor's */
	bool has_session[BOARD_SESSIONS];
	/* to begin with what is known when the file is lost */
	char *name, *class, *account_name;
	struct board_keep *keep;
	int64_t looked_ms;
	uint64_t beat_wall_ms; /* as we wrote it: nobody else does */
};

static inline uint64_t
board_now_wall_ms(void)
{
	struct timeval tv = clock_wall();

	return (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000;
}

static inline void
board_put_beat(struct board_writer *w)
{
	w->beat_wall_ms = board_now_wall_ms();
	board_store(&w->lane->beat_wall_ms, w->beat_wall_ms);
}

/* Once a second, and before a beat is written over one that is not ours: has
 * the file its name and our entry still? If not, another one gets what is
 * known. Not in a draining child. */
void board_open_look(struct board_writer *w);

#endif
