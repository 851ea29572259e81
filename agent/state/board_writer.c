#include "agent/state/board_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	OPEN_WAIT_MS = 200, /* for another lane that is opening the board */
	CLAIM_WAIT_MS = 250, /* for the last process to let the entry go */
	LEARNED_MAX = 10000,
	DRAIN_FORGET_MS = 3600 * 1000, /* no draining child lives as long */
};

struct board_writer {
	int fd;
	struct board *board;
	struct board_lane *lane;
	struct board_account *account; /* NULL until set */
	int dir_fd;
	bool is_draining;
	/* rows this process put in hand or uses, so that a child does not
	 * touch its successor's */
	bool has_session[BOARD_SESSIONS];
};

static uint64_t
now_wall_ms(void)
{
	struct timeval tv = clock_wall();

	return (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000;
}

/* Opening ------------------------------------------------------------- */

static struct board *
map_board(int fd)
{
	void *p =
	    mmap(NULL, BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

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
	b = map_board(fd);
	if (b == NULL) {
		(void)snprintf(error, n, "map board: %s", strerror(errno));
		goto fail;
	}
	board_init(b, now_wall_ms());
	(void)munmap(b, BOARD_SIZE);
	if (renameat(dir_fd, "board.new", dir_fd, "board") == 0)
		return fd;
	(void)snprintf(error, n, "rename board.new: %s", strerror(errno));
fail:
	(void)close(fd);
	(void)unlinkat(dir_fd, "board.new", 0);
	return -1;
}

/* Opens the board of our version, making it if need be. */
static int
open_board(int dir_fd, char *error, size_t n)
{
	struct board_head head;
	struct stat st;
	const char *wrong = NULL;
	int fd = statefile_open(dir_fd, "board", error, n);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || st.st_size < 0)
		wrong = "unreadable";
	else if (st.st_size == 0)
		wrong = ""; /* just made */
	else if (!statefile_read(fd, &head, sizeof(head), 0))
		wrong = "unreadable";
	else
		wrong = board_check(&head, (uint64_t)st.st_size);
	if (wrong == NULL)
		return fd;
	if (*wrong != '\0')
		log_warn("the board is made anew, its figures start at zero: "
			 "the old file is %s",
		    wrong);
	(void)close(fd);
	return make_anew(dir_fd, error, n);
}

/* Two lanes may start at once: all of it happens under one lock. */
static bool
open_locked(struct board_writer *w, char *error, size_t n)
{
	int lock_fd = statefile_open(w->dir_fd, "board.lock", error, n);
	bool is_ok = false;

	if (lock_fd < 0)
		return false;
	if (!statefile_lock(lock_fd, 0, OPEN_WAIT_MS)) {
		(void)snprintf(error, n, "lock board.lock: held too long");
		goto out;
	}
	w->fd = open_board(w->dir_fd, error, n);
	if (w->fd < 0)
		goto out;
	w->board = map_board(w->fd);
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
	uint64_t now = now_wall_ms();

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
}

static bool
claim_lane(struct board_writer *w, const char *name, const char *class,
    char *error, size_t n)
{
	struct board_lane *lane;
	int i = claim_own(w, name);

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
	board_store_text(lane->name, sizeof(lane->name), name);
	board_store_text(lane->class, sizeof(lane->class), class);
	board_store(&lane->pid, (uint64_t)getpid());
	board_store(
	    &lane->generation, __atomic_add_fetch(&w->board->head.generations,
				   1, __ATOMIC_RELAXED));
	board_store(&lane->account, 0);
	board_store(&lane->started_wall_ms, now_wall_ms());
	board_store(&lane->beat_wall_ms, now_wall_ms());
	board_store(&lane->state, BOARD_LANE_RUNNING);
	return true;
}

struct board_writer *
board_writer_open(const char *dir, const char *lane_name, const char *class,
    char *error, size_t n)
{
	struct board_writer *w = mem_zalloc(sizeof(*w));

	w->fd = -1;
	w->dir_fd = statefile_open_dir(dir, error, n);
	if (w->dir_fd >= 0 && open_locked(w, error, n) &&
	    claim_lane(w, lane_name, class, error, n)) {
		board_store(&w->board->head.boot, statefile_boot());
		return w;
	}
	if (w->board != NULL)
		(void)munmap(w->board, BOARD_SIZE);
	if (w->fd >= 0)
		(void)close(w->fd);
	if (w->dir_fd >= 0)
		(void)close(w->dir_fd);
	mem_free(w);
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
	(void)munmap(old->board, BOARD_SIZE);
	(void)close(old->fd);
	(void)close(old->dir_fd);
	mem_free(old);
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
	w->is_draining = true;
	statefile_unlock(
	    w->fd, BOARD_LOCK_LANE + (off_t)(w->lane - w->board->lanes));
}

/* The account --------------------------------------------------------- */

static bool
account_in_use(struct board_writer *w, int i)
{
	for (int k = 0; k < BOARD_LANES; k++) {
		struct board_lane *lane = &w->board->lanes[k];

		if (board_load(&lane->account) == (uint64_t)i + 1 &&
		    (lane == w->lane ||
			statefile_is_locked(w->fd, BOARD_LOCK_LANE + k)))
			return true;
	}
	return false;
}

/* The account's row; else a free one; else the one unused longest. */
static int
find_account(struct board_writer *w, uint64_t key)
{
	uint64_t oldest = UINT64_MAX;
	int best = -1;

	for (int i = 0; i < BOARD_ACCOUNTS; i++) {
		const struct board_account *a = &w->board->accounts[i];

		if (board_load(&a->key) == key)
			return i;
	}
	for (int i = 0; i < BOARD_ACCOUNTS; i++) {
		const struct board_account *a = &w->board->accounts[i];
		uint64_t used = board_load(&a->used_wall_ms);

		if (board_load(&a->key) == 0)
			return i;
		if (used < oldest && !account_in_use(w, i)) {
			oldest = used;
			best = i;
		}
	}
	return best;
}

bool
board_writer_set_account(struct board_writer *w, const char *account)
{
	uint64_t key = board_hash(account);
	char error[160], label[BOARD_NAME];
	struct board_account *a;
	int lock_fd, i;

	if (w == NULL)
		return false;
	board_store(&w->lane->account, 0);
	w->account = NULL;
	lock_fd = statefile_open(w->dir_fd, "board.lock", error, sizeof(error));
	if (lock_fd < 0)
		return false;
	if (!statefile_lock(lock_fd, 0, OPEN_WAIT_MS) ||
	    (i = find_account(w, key)) < 0) {
		(void)close(lock_fd);
		return false;
	}
	a = &w->board->accounts[i];
	if (board_load(&a->key) != key) {
		memset(a, 0, sizeof(*a));
		board_label(account, label, sizeof(label));
		board_store_text(a->label, sizeof(a->label), label);
		board_store(&a->key, key);
	}
	board_store(&a->used_wall_ms, now_wall_ms());
	board_store(&w->lane->account, (uint64_t)i + 1);
	w->account = a;
	(void)close(lock_fd);
	return true;
}

bool
board_writer_is_drained(const struct board_writer *w)
{
	return w != NULL && w->is_draining;
}

struct board_lane *
board_writer_lane(struct board_writer *w)
{
	return w != NULL ? w->lane : NULL;
}

struct board_account *
board_writer_account(struct board_writer *w)
{
	return w != NULL ? w->account : NULL;
}

void
board_writer_set_limits(struct board_writer *w, int limit, int limit_now,
    int64_t limited_ms, int held, int resting)
{
	struct board_account *a = board_writer_account(w);

	if (a == NULL)
		return;
	board_store(&a->limit, (uint64_t)limit);
	board_store(&a->limit_now, (uint64_t)limit_now);
	board_store(&a->limited_until_wall_ms,
	    limited_ms > 0 ? now_wall_ms() + (uint64_t)limited_ms : 0);
	board_store(&a->held, (uint64_t)held);
	board_store(&a->resting, (uint64_t)resting);
}

void
board_writer_refusal(struct board_writer *w, const char *reply)
{
	struct board_account *a = board_writer_account(w);

	if (a == NULL)
		return;
	board_bump(&a->refusals, 1);
	board_store(&a->refused_wall_ms, now_wall_ms());
	board_store_text(a->refusal, sizeof(a->refusal), reply);
}

/* A row once taken by a host stays its own until all are taken; then the one
 * not heard of longest gives way. */
static struct board_host *
find_host(struct board_writer *w, const char *host, bool make)
{
	struct board_account *a = board_writer_account(w);
	uint64_t key = board_hash(host);
	struct board_host *best;

	if (a == NULL)
		return NULL;
	best = &a->hosts[0];
	for (int i = 0; i < BOARD_HOSTS; i++) {
		struct board_host *h = &a->hosts[i];

		if (board_load(&h->key) == key)
			return h;
		if (board_load(&h->updated_wall_ms) <
		    board_load(&best->updated_wall_ms))
			best = h;
	}
	if (!make)
		return NULL;
	board_store(&best->key, 0);
	board_store(&best->depth, 0);
	board_store(&best->messages, 0);
	board_store(&best->messages_wall_ms, 0);
	board_store(&best->rtt_us, 0);
	board_store_text(best->host, sizeof(best->host), host);
	board_store(&best->key, key);
	return best;
}

static int
learned(const uint64_t *word)
{
	uint64_t value = board_load(word);

	return value < LEARNED_MAX ? (int)value : LEARNED_MAX;
}

int
board_writer_host_depth(struct board_writer *w, const char *host)
{
	const struct board_host *h = find_host(w, host, false);

	return h != NULL ? learned(&h->depth) : 0;
}

int
board_writer_host_messages(
    struct board_writer *w, const char *host, int64_t *age_ms_out)
{
	const struct board_host *h = find_host(w, host, false);
	uint64_t now = now_wall_ms(), then;

	*age_ms_out = 0;
	if (h == NULL)
		return 0;
	then = board_load(&h->messages_wall_ms);
	if (then < now)
		*age_ms_out = (int64_t)(now - then);
	return learned(&h->messages);
}

void
board_writer_set_host_depth(struct board_writer *w, const char *host, int depth)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(&h->depth, depth > 0 ? (uint64_t)depth : 0);
	board_store(&h->updated_wall_ms, now_wall_ms());
}

void
board_writer_set_host_messages(
    struct board_writer *w, const char *host, int messages)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(&h->messages, messages > 0 ? (uint64_t)messages : 0);
	board_store(&h->messages_wall_ms, now_wall_ms());
	board_store(&h->updated_wall_ms, now_wall_ms());
}

void
board_writer_set_host_rtt(struct board_writer *w, const char *host, int64_t us)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(&h->rtt_us, us > 0 ? (uint64_t)us : 0);
	board_store(&h->updated_wall_ms, now_wall_ms());
}

bool
board_writer_learned(struct board_writer *w, uint64_t words[BOARD_LEARNED])
{
	if (w == NULL)
		return false;
	for (int i = 0; i < BOARD_LEARNED; i++)
		words[i] = board_load(&w->lane->learned[i]);
	return true;
}

void
board_writer_set_learned(
    struct board_writer *w, const uint64_t words[BOARD_LEARNED])
{
	if (w == NULL || w->is_draining)
		return;
	for (int i = 0; i < BOARD_LEARNED; i++)
		board_store(&w->lane->learned[i], words[i]);
}

/* Figures ------------------------------------------------------------- */

void
board_writer_add(struct board_writer *w, enum board_counter which, uint64_t n)
{
	if (w != NULL)
		board_bump(&w->lane->counters[which], n);
}

void
board_writer_set(struct board_writer *w, enum board_gauge which, int64_t value)
{
	if (w != NULL && !w->is_draining)
		board_store(&w->lane->gauges[which], (uint64_t)value);
}

void
board_writer_observe(
    struct board_writer *w, enum board_hist_id which, int64_t us)
{
	if (w != NULL)
		board_hist_add(
		    &w->lane->hists[which], us > 0 ? (uint64_t)us : 0);
}

void
board_writer_beat(struct board_writer *w)
{
	if (w != NULL && !w->is_draining)
		board_store(&w->lane->beat_wall_ms, now_wall_ms());
}

void
board_writer_set_slots(
    struct board_writer *w, int held, int reserve, int wants, int limit)
{
	if (w == NULL || w->is_draining)
		return;
	board_store(&w->lane->held, (uint64_t)held);
	board_store(&w->lane->reserve, (uint64_t)reserve);
	board_store(&w->lane->wants, (uint64_t)wants);
	board_store(&w->lane->connection_limit, (uint64_t)limit);
}

/* Session rows -------------------------------------------------------- */

static struct board_session *
session_row(struct board_writer *w, int row)
{
	if (w == NULL || row < 0 || row >= BOARD_SESSIONS ||
	    !w->has_session[row])
		return NULL;
	return &w->lane->sessions[row];
}

int
board_writer_session_new(struct board_writer *w)
{
	if (w == NULL || w->is_draining)
		return -1;
	for (int i = 0; i < BOARD_SESSIONS; i++) {
		struct board_session *s = &w->lane->sessions[i];

		if (w->has_session[i])
			continue;
		w->has_session[i] = true;
		memset(s, 0, sizeof(*s));
		board_store(&s->opened_wall_ms, now_wall_ms());
		board_writer_session_state(w, i, BOARD_SESSION_DIALING);
		return i;
	}
	return -1;
}

void
board_writer_session_peer(struct board_writer *w, int row, const char *peer)
{
	struct board_session *s = session_row(w, row);

	if (s != NULL)
		board_store_text(s->peer, sizeof(s->peer), peer);
}

void
board_writer_session_state(
    struct board_writer *w, int row, enum board_writer_session_state state)
{
	struct board_session *s = session_row(w, row);

	if (s == NULL || board_load(&s->state) == state)
		return;
	board_store(&s->since_wall_ms, now_wall_ms());
	board_store(&s->state, state);
}

void
board_writer_session_figures(struct board_writer *w, int row, uint64_t messages,
    uint64_t in_flight, uint64_t depth, uint64_t octets)
{
	struct board_session *s = session_row(w, row);

	if (s == NULL)
		return;
	board_store(&s->messages, messages);
	board_store(&s->in_flight, in_flight);
	board_store(&s->depth, depth);
	board_store(&s->octets, octets);
}

void
board_writer_session_free(struct board_writer *w, int row)
{
	struct board_session *s = session_row(w, row);

	if (s == NULL)
		return;
	board_store(&s->state, BOARD_SESSION_FREE);
	w->has_session[row] = false;
}

/* Poison notes -------------------------------------------------------- */

static struct board_poison *
find_poison(struct board_lane *lane, uint64_t key)
{
	for (int i = 0; i < BOARD_POISON; i++)
		if (board_load(&lane->poison[i].key) == key)
			return &lane->poison[i];
	return NULL;
}

/* A free row; else the oldest note of a message that crashed us only once
 * long ago; never one in hand. NULL: the message goes without a note. */
static struct board_poison *
room_for_poison(struct board_lane *lane)
{
	struct board_poison *oldest = NULL;

	for (int i = 0; i < BOARD_POISON; i++) {
		struct board_poison *p = &lane->poison[i];

		if (board_load(&p->state) == BOARD_POISON_FREE)
			return p;
		if (board_load(&p->state) == BOARD_POISON_CRASHED &&
		    (oldest == NULL || board_load(&p->since_wall_ms) <
					   board_load(&oldest->since_wall_ms)))
			oldest = p;
	}
	return oldest;
}

int
board_writer_poison_begin(struct board_writer *w, const char *queue_id)
{
	uint64_t key = board_hash(queue_id), crashes;
	struct board_poison *p;

	if (w == NULL)
		return 0;
	p = find_poison(w->lane, key);
	if (p == NULL) {
		p = room_for_poison(w->lane);
		if (p == NULL)
			return 0;
		board_store(&p->crashes, 0);
		board_store_text(p->id, sizeof(p->id), queue_id);
		board_store(&p->key, key);
	}
	board_store(&p->since_wall_ms, now_wall_ms());
	board_store(&p->state,
	    w->is_draining ? BOARD_POISON_DRAINING : BOARD_POISON_IN_HAND);
	crashes = board_load(&p->crashes);
	return crashes < LEARNED_MAX ? (int)crashes : LEARNED_MAX;
}

void
board_writer_poison_end(
    struct board_writer *w, const char *queue_id, bool survived)
{
	struct board_poison *p;

	if (w == NULL)
		return;
	p = find_poison(w->lane, board_hash(queue_id));
	if (p == NULL)
		return;
	if (survived || board_load(&p->crashes) == 0) {
		board_store(&p->state, BOARD_POISON_FREE);
		board_store(&p->key, 0);
	} else {
		board_store(&p->state, BOARD_POISON_CRASHED);
	}
}
