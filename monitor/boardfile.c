#include "monitor/boardfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/state/statefile.h"
#include "common/base/mem.h"

int
boardfile_open(int dir_fd, const char *name)
{
	/* A pipe that somebody put there must not make us wait. */
	return openat(
	    dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

static bool
read_accounts(struct boardfile *b, int fd)
{
	for (size_t i = 0; i < BOARD_ACCOUNTS; i++) {
		struct board_account *a;
		off_t at =
		    (off_t)(offsetof(struct board, accounts) + i * sizeof(*a));
		uint64_t key;

		if (!statefile_read(fd, &key, sizeof(key), at))
			return false;
		if (key == 0)
			continue;
		a = b->accounts[i] = mem_zalloc(sizeof(*a));
		if (!statefile_read(fd, a, sizeof(*a), at))
			return false;
	}
	return true;
}

static bool
read_lanes(struct boardfile *b, int fd)
{
	for (size_t i = 0; i < BOARD_LANES; i++) {
		struct board_lane *lane;
		off_t at =
		    (off_t)(offsetof(struct board, lanes) + i * sizeof(*lane));
		uint64_t state;

		if (!statefile_read(fd, &state, sizeof(state),
			at + (off_t)offsetof(struct board_lane, state)))
			return false;
		if (state == BOARD_LANE_FREE)
			continue;
		lane = b->lanes[i] = mem_zalloc(sizeof(*lane));
		if (!statefile_read(fd, lane, sizeof(*lane), at))
			return false;
	}
	statefile_locked_map(
	    fd, BOARD_LOCK_LANE, BOARD_LOCK_LANE + BOARD_LANES, b->is_running);
	return true;
}

static bool
read_head(struct boardfile *b, int fd, char *why, size_t n)
{
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) != 0) {
		(void)snprintf(why, n, "the board: %s", strerror(errno));
		return false;
	}
	got = pread(fd, &b->head, sizeof(b->head), 0);
	if (got < 0) {
		(void)snprintf(why, n, "the board: %s", strerror(errno));
		return false;
	}
	if (board_check(&b->head, (uint64_t)st.st_size, why, n))
		return true;
	if (b->head.magic == BOARD_MAGIC && b->head.version != BOARD_VERSION)
		(void)snprintf(why, n,
		    "the board is of version %llu, not %d: another release of "
		    "lane wrote it than this postlane belongs to",
		    (unsigned long long)b->head.version, BOARD_VERSION);
	else if (st.st_size == BOARD_SIZE)
		(void)snprintf(why, n,
		    "the board is damaged: a lane that runs, or the next one, "
		    "makes it anew");
	else
		(void)snprintf(why, n,
		    "the board is damaged (%lld octets, %d expected): a lane "
		    "that runs, or the next one, makes it anew, if there is "
		    "room",
		    (long long)st.st_size, BOARD_SIZE);
	return false;
}

enum boardfile_result
boardfile_read(struct boardfile *b, int dir_fd, char *why, size_t n)
{
	enum boardfile_result result = BOARDFILE_BAD;
	int fd = boardfile_open(dir_fd, "board");

	memset(b, 0, sizeof(*b));
	if (fd < 0) {
		(void)snprintf(why, n, "the board: %s", strerror(errno));
		if (errno != ENOENT)
			return BOARDFILE_BAD;
		(void)snprintf(why, n, "no lane has run here");
		return BOARDFILE_ABSENT;
	}
	if (read_head(b, fd, why, n)) {
		if (read_accounts(b, fd) && read_lanes(b, fd))
			result = BOARDFILE_OK;
		else
			(void)snprintf(why, n,
			    "the board was cut while it was read: %s",
			    statefile_why());
	}
	if (result != BOARDFILE_OK)
		boardfile_fini(b);
	(void)close(fd);
	return result;
}

void
boardfile_fini(struct boardfile *b)
{
	for (size_t i = 0; i < BOARD_ACCOUNTS; i++)
		mem_free(b->accounts[i]);
	for (size_t i = 0; i < BOARD_LANES; i++)
		mem_free(b->lanes[i]);
	memset(b, 0, sizeof(*b));
}
