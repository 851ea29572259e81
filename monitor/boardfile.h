/* boardfile: a copy of the board, as it is now.
 *
 * Read with pread(): nothing is mapped and no lock is taken, so that nothing
 * here can disturb a lane, and a file that is cut meanwhile costs an error and
 * no process. Only entries in use are copied: some 100 kB. A lane writes while
 * it is read, so figures of one copy may be some microseconds apart; texts are
 * bounded, numbers may be anything.
 */
#ifndef BOARDFILE_H
#define BOARDFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/shared/board.h"

enum boardfile_result {
	BOARDFILE_OK,
	BOARDFILE_ABSENT, /* no lane has run here */
	BOARDFILE_BAD, /* not to be read, cut, foreign, of another version */
};

struct boardfile {
	struct board_head head;
	/* owned; NULL: the entry is not in use */
	struct board_account *accounts[BOARD_ACCOUNTS];
	struct board_lane *lanes[BOARD_LANES];
	bool is_running[BOARD_LANES]; /* a process has the entry */
};

/* Opens a file of the directory to be read; -1 with errno. */
int boardfile_open(int dir_fd, const char *name);

/* Always fills *b; unless it says OK nothing is in use, and why (of n octets)
 * is what is wrong, one sentence. */
enum boardfile_result boardfile_read(
    struct boardfile *b, int dir_fd, char *why, size_t n);
void boardfile_fini(struct boardfile *b);

#endif
