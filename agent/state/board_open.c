#include "agent/state/board_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/state/mapguard.h"
#include "agent/state/statefile.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	CLAIM_WAIT_MS = 250, /* for the last process to let the entry go */
	DRAIN_FORGET_MS = 3600 * 1000, /* no draining child lives as long */
};

/* Opening ------------------------------------------------------------- */

/* Under the opening lock. The old file is left to those who have it mapped;
 * truncating it would kill them. */
static int
make_anew(int dir_fd, char *error, size_t n)
{
	struct board *b;
	int fd;

	if (unlinkat(dir_fd, "board.new", 0) != 0 && errno != ENOENT) {
		(void)snprintf(
		    error, n, "remove board.new: %s", strerror(errno));
		return -1;
	}
	fd = statefile_open(dir_fd, "board.new", error, n);
	if (fd < 0)
		return -1;
	if (!statefile_allocate(fd, BOARD_SIZE, error, n))
		goto fail;
	b = mapguard_map(fd, BOARD_SIZE);
	if (b == NULL) {
		(void)snprintf(error, n, "map board: %s", strerror(errno));
		goto fail;
	}
	board_init(b, board_now_wall_ms());
	mapguard_unmap(b);
	if (renameat(dir_fd, "board.new", dir_fd, "board") == 0)
		return fd;
	(void)snprintf(error, n, "rename board.new: %s", strerror(errno));
fail:
	(void)close(fd);
	(void)unlinkat(dir_fd, "board.new", 0);
	return -1;
}

/* Opens the board of our version, making it if need be. A lane that starts puts
 * its own in place of one of another version; one that runs leaves it to the
 * release that made it, or two of them would do so by turns. */
static int
open_board(const struct board_writer *w, char *error, size_t n)
{
	struct board_head head = {0};
	struct stat st = {0};
	char why[80] = "unreadable";
	int fd = statefile_open(w->dir_fd, "board", error, n);
	bool is_running = w->keep != NULL, is_new;

	if (fd < 0)
		return -1;
	is_new = fstat(fd, &st) == 0 && st.st_size == 0;
	if (!is_new && st.st_size > 0 &&
	    statefile_read(fd, &head, sizeof(head), 0) &&
	    board_check(&head, (uint64_t)st.st_size, why, sizeof(why)))
		return fd;
	if (is_running && head.magic == BOARD_MAGIC &&
	    head.version != BOARD_VERSION) {
		(void)snprintf(error, n, "it is %s", why);
		(void)close(fd);
		return -1;
	}
	if (!is_new)
		log_warn("the board is made anew, its figures start at zero: "
			 "the old file is %s",
		    why);
	(void)close(fd);
	return make_anew(w->dir_fd, error, n);
}

/* Two lanes may start at once: all of it happens under one lock. */
static bool
open_locked(struct board_writer *w, char *error, size_t n)
{
	int lock_fd = statefile_open(w->dir_fd, "board.lock", error, n);
	bool is_ok = false;

	if (lock_fd < 0)
		return false;
	if (!statefile_lock(lock_fd, 0, BOARD_OPEN_WAIT_MS)) {
		(void)snprintf(error, n, "lock board.lock: held too long");
		goto out;
	}
	w->fd = open_board(w, error, n);
	if (w->fd < 0)
		goto out;
	w->board = mapguard_map(w->fd, BOARD_SIZE);
	if (w->board == NULL)
		(void)snprintf(error, n, "map board: %s", strerror(errno));
	else
		is_ok = true;
out:
	(void)close(lock_fd);
	return is_ok;
}

/* The lane's entry ---------------------------------------------------- */

static bool
has_name(const struct board_lane *lane, const char *name)
{
	return board_load(&lane->state) != BOARD_LANE_FREE &&
	       strncmp(lane->name, name, sizeof(lane->name) - 1) == 0;
}

static bool
lock_lane(struct board_writer *w, int i, int wait_ms)
{
	return statefile_lock(w->fd, BOARD_LOCK_LANE + i, wait_ms);
}

static int
claim_own(struct board_writer *w, const char *name)
{
	int wait_ms = CLAIM_WAIT_MS;

	for (int i = 0; i < BOARD_LANES; i++) {
		if (!has_name(&w->board->lanes[i], name))
			continue;
		if (lock_lane(w, i, wait_ms)) {
			if (has_name(&w->board->lanes[i], name))
				return i;
			statefile_unlock(w->fd, BOARD_LOCK_LANE + i);
		}
		wait_ms = 0;
	}
	return -1;
}

/* A row never used, else the one whose lane is gone longest. */
static int
claim_other(struct board_writer *w)
{
	uint64_t oldest = UINT64_MAX;
	int best = -1;

	for (int i = 0; i < BOARD_LANES; i++) {
		struct board_lane *lane = &w->board->lanes[i];

		if (board_load(&lane->state) == BOARD_LANE_FREE &&
		    lock_lane(w, i, 0)) {
			if (board_load(&lane->state) == BOARD_LANE_FREE)
				return i;
			statefile_unlock(w->fd, BOARD_LOCK_LANE + i);
		}
	}
	for (int i = 0; i < BOARD_LANES; i++) {
		uint64_t beat = board_load(&w->board->lanes[i].beat_wall_ms);

		if (beat < oldest &&
		    !statefile_is_locked(w->fd, BOARD_LOCK_LANE + i)) {
			oldest = beat;
			best = i;
		}
	}
	if (best < 0 || !lock_lane(w, best, 0))
		return -1;
	memset(&w->board->lanes[best], 0, sizeof(w->board->lanes[best]));
	return best;
}

/* Notes in hand of a process that is gone without board_writer_close(): it
 * crashed with these messages in hand. A draining child's are its own affair.
 */
static void
settle_poison(struct board_lane *lane)
{
	uint64_t now = board_now_wall_ms();

	for (int i = 0; i < BOARD_POISON; i++) {
		struct board_poison *p = &lane->poison[i];
		uint64_t state = board_load(&p->state);

		if (state == BOARD_POISON_IN_HAND) {
			board_bump(&p->crashes, 1);
			board_store(&p->state, BOARD_POISON_CRASHED);
			board_store(&p->since_wall_ms, now);
		} else if (state == BOARD_POISON_DRAINING &&
			   board_load(&p->since_wall_ms) + DRAIN_FORGET_MS <
			       now) {
			board_store(&p->state, BOARD_POISON_FREE);
			board_store(&p->key, 0);
		}
	}
}

static void
clear_live(struct board_lane *lane)
{
	for (int i = 0; i < BOARD_GAUGE_WORDS; i++)
		board_store(&lane->gauges[i], 0);
	for (int i = 0; i < BOARD_SESSIONS; i++)
		board_store(&lane->sessions[i].state, BOARD_SESSION_FREE);
	board_store(&lane->held, 0);
	board_store(&lane->wants, 0);
	board_store_long(lane->waits_for, lane->waits_for_more, "");
}

static bool
claim_lane(struct board_writer *w, char *error, size_t n)
{
	struct board_lane *lane;
	int i = claim_own(w, w->name);

	if (i < 0)
		i = claim_other(w);
	if (i < 0) {
		(void)snprintf(error, n,
		    "all %d lane entries of the board are in use", BOARD_LANES);
		return false;
	}
	lane = w->lane = &w->board->lanes[i];
	settle_poison(lane);
	clear_live(lane);
	board_store_text(lane->name, sizeof(lane->name), w->name);
	board_store_text(lane->class, sizeof(lane->class), w->class);
	board_store(&lane->pid, (uint64_t)getpid());
	board_store(
	    &lane->generation, __atomic_add_fetch(&w->board->head.generations,
				   1, __ATOMIC_RELAXED));
	board_store(&lane->account, 0);
	board_store(&lane->started_wall_ms, board_now_wall_ms());
	if (board_load(&lane->counted_since_wall_ms) == 0)
		board_store(&lane->counted_since_wall_ms, board_now_wall_ms());
	board_put_beat(w);
	board_store(&lane->state, BOARD_LANE_RUNNING);
	return true;
}

static void
close_file(struct board_writer *w)
{
	if (w->board != NULL)
		mapguard_unmap(w->board);
	w->board = NULL;
	w->lane = NULL;
	w->account = NULL;
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
}

static bool
open_file(struct board_writer *w, char *error, size_t n)
{
	if (open_locked(w, error, n) && claim_lane(w, error, n)) {
		board_store(&w->board->head.boot, statefile_boot());
		return true;
	}
	close_file(w);
	return false;
}

static void
free_writer(struct board_writer *w)
{
	if (w->dir_fd >= 0)
		(void)close(w->dir_fd);
	mem_free(w->name);
	mem_free(w->class);
	mem_free(w->account_name);
	mem_free(w->keep);
	mem_free(w);
}

struct board_writer *
board_writer_open(const char *dir, const char *lane_name, const char *class,
    char *error, size_t n)
{
	struct board_writer *w = mem_zalloc(sizeof(*w));

	w->fd = -1;
	w->name = mem_strdup(lane_name);
	w->class = mem_strdup(class);
	w->dir_fd = statefile_open_dir(dir, error, n);
	if (w->dir_fd >= 0 && open_file(w, error, n)) {
		w->keep = mem_zalloc(sizeof(*w->keep));
		return w;
	}
	free_writer(w);
	return NULL;
}

static void
free_sessions(struct board_writer *w)
{
	for (int i = 0; i < BOARD_SESSIONS; i++)
		board_writer_session_free(w, i);
}

void
board_writer_close(struct board_writer **w)
{
	struct board_writer *old = *w;

	*w = NULL;
	if (old == NULL)
		return;
	if (!old->is_draining) {
		clear_live(old->lane);
		for (int i = 0; i < BOARD_POISON; i++) {
			struct board_poison *p = &old->lane->poison[i];

			if (board_load(&p->state) == BOARD_POISON_IN_HAND) {
				board_store(&p->state, BOARD_POISON_FREE);
				board_store(&p->key, 0);
			}
		}
		board_store(&old->lane->state, BOARD_LANE_STOPPED);
	}
	close_file(old);
	free_writer(old);
}

void
board_writer_drain(struct board_writer *w)
{
	if (w == NULL || w->is_draining)
		return;
	for (int i = 0; i < BOARD_POISON; i++) {
		struct board_poison *p = &w->lane->poison[i];

		if (board_load(&p->state) == BOARD_POISON_IN_HAND)
			board_store(&p->state, BOARD_POISON_DRAINING);
	}
	free_sessions(w);
	clear_live(w->lane);
	/* It is left in order; only then the next process may have it. */
	board_store(&w->lane->state, BOARD_LANE_STOPPED);
	w->is_draining = true;
	if (w->fd >= 0)
		statefile_unlock(w->fd,
		    BOARD_LOCK_LANE + (off_t)(w->lane - w->board->lanes));
}

/* When the file is lost ----------------------------------------------- */

static bool
is_ours(const struct board_writer *w)
{
	const struct board_head *h = &w->board->head;
	struct stat st;
	char why[80];

	return w->fd >= 0 && fstat(w->fd, &st) == 0 &&
	       st.st_size == BOARD_SIZE &&
	       statefile_is_named(w->dir_fd, "board", w->fd) &&
	       board_check(h, BOARD_SIZE, why, sizeof(why)) &&
	       board_load(&w->lane->pid) == (uint64_t)getpid() &&
	       board_load(&w->lane->beat_wall_ms) == w->beat_wall_ms &&
	       strncmp(w->lane->name, w->name, sizeof(w->lane->name) - 1) ==
		   0 &&
	       !mapguard_is_lost(w->board);
}

/* What is read while the file is cut is no more than half of it. */
static void
keep(struct board_writer *w)
{
	struct board_keep *now = mem_zalloc(sizeof(*now));

	memcpy(&now->lane, w->lane, sizeof(now->lane));
	if (w->account != NULL)
		memcpy(&now->account, w->account, sizeof(now->account));
	if (w->fd < 0 || is_ours(w))
		memcpy(w->keep, now, sizeof(*now));
	mem_free(now);
}

/* Without a file the figures are our own; whoever looks at the board sees none
 * of them. */
static void
go_on_alone(struct board_writer *w)
{
	w->board = mapguard_map(-1, BOARD_SIZE);
	CHECK(w->board != NULL);
	board_init(w->board, board_now_wall_ms());
	w->lane = &w->board->lanes[0];
}

static void
restore(struct board_writer *w)
{
	uint64_t generation = board_load(&w->lane->generation);

	/* Else it was lost before it was looked at once. */
	if (w->keep->lane.name[0] != '\0')
		memcpy(w->lane, &w->keep->lane, sizeof(*w->lane));
	board_store_text(w->lane->name, sizeof(w->lane->name), w->name);
	board_store_text(w->lane->class, sizeof(w->lane->class), w->class);
	board_store(&w->lane->state, BOARD_LANE_RUNNING);
	board_store(&w->lane->pid, (uint64_t)getpid());
	board_store(&w->lane->generation, generation);
	board_store(&w->lane->account, 0);
	board_put_beat(w);
}

/* The account's hosts, if nobody else has put them there. */
static void
restore_account(struct board_writer *w)
{
	struct board_account *a;
	char *name = w->account_name;

	w->account_name = NULL;
	if (name == NULL)
		return;
	if (w->fd < 0) {
		w->account = a = &w->board->accounts[0];
		board_store(&a->key, board_hash(name));
		w->account_name = mem_strdup(name);
	} else if (!board_writer_set_account(w, name)) {
		a = NULL;
	} else {
		a = w->account;
	}
	if (a != NULL && board_load(&a->hosts[0].key) == 0)
		memcpy(a->hosts, w->keep->account.hosts, sizeof(a->hosts));
	mem_free(name);
}

void
board_open_look(struct board_writer *w)
{
	enum { LOOK_MS = 1000, TRY_AGAIN_MS = 60000 };
	int64_t now_ms = clock_mono_ms();
	char error[256] = "";
	bool was_alone = w->fd < 0;
	/* The next beat would cover what an older copy says. */
	bool is_foreign =
	    !was_alone && board_load(&w->lane->beat_wall_ms) != w->beat_wall_ms;

	if (!is_foreign &&
	    now_ms - w->looked_ms < (was_alone ? TRY_AGAIN_MS : LOOK_MS))
		return;
	w->looked_ms = now_ms;
	if (is_ours(w)) {
		keep(w);
		return;
	}
	if (was_alone)
		keep(w);
	close_file(w);
	if (!open_file(w, error, sizeof(error)))
		go_on_alone(w);
	restore(w);
	restore_account(w);
	if (w->fd >= 0)
		log_warn("the board was changed, cut or removed by somebody "
			 "else: it has the figures of a second ago");
	else if (!was_alone)
		log_warn("the board was changed, cut or removed by somebody "
			 "else: going on with figures of our own: %s",
		    error);
}
