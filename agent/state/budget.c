/* How a slot is taken, several processes at work:
 *
 *   lane A                        slots file              lane B (killed)
 *   mutex ----------------------> octet 4096
 *   GETLK: who is alive, locked   octets 0..1055
 *   read rows                     row 3 HELD, unlocked <- was B's: rests
 *   lock octet 4, row 4 HELD
 *   mutex off
 *   ... session ...
 *   row 4 CLEAN, unlock octet 4   no mutex: it is ours alone until the unlock
 *
 * Locks are read before rows: a release writes its row before it unlocks, so
 * what looks unlocked and HELD was truly left behind.
 *
 * Nothing tells a lane that another gave a slot back, so a lane that was
 * refused looks every POLL_WANT_MS, and one that holds sessions looks every
 * POLL_HOLD_MS whether others are in want. A lane that neither holds nor wants
 * sets no timer.
 */
#include "agent/state/budget.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/state/board_writer.h"
#include "agent/state/budget_state.h"
#include "agent/state/fleet_store.h"
#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"
#include "common/shared/slots.h"

enum {
	POLL_WANT_MS = 25,
	ASK_AGAIN_MS = 1000, /* on_room comes long before */
	/* The mutex is held for a tenth of a millisecond. */
	MUTEX_WAIT_MS = 1,
	OPEN_WAIT_MS = 200, /* a file that is being made: once */
	/* A holder that takes so long is stopped; see why_not(). */
	ALONE_AFTER_MS = 2000,
	/* Whoever holds a slot has looked by then, see budget_follow(). */
	FOLLOWED_MS = 4 * BUDGET_POLL_HOLD_MS,
};

#define TO(state) (1U << (state))

static const unsigned mutex_moves[] = {
    [BUDGET_MUTEX_HAD] = TO(BUDGET_MUTEX_MISSED),
    [BUDGET_MUTEX_MISSED] = TO(BUDGET_MUTEX_HAD) | TO(BUDGET_MUTEX_ALONE),
    [BUDGET_MUTEX_ALONE] = TO(BUDGET_MUTEX_HAD),
};

static const unsigned need_moves[] = {
    [BUDGET_CONTENT] = TO(BUDGET_REFUSED) | TO(BUDGET_DRAINING),
    [BUDGET_REFUSED] = TO(BUDGET_CONTENT) | TO(BUDGET_DRAINING),
    [BUDGET_DRAINING] = 0,
};

static void
set_need(struct budget *b, enum budget_need need)
{
	if (b->need == need)
		return;
	CHECK((need_moves[b->need] & TO(need)) != 0);
	b->need = need;
}

static void
set_mutex(struct budget *b, enum budget_mutex mutex, int64_t now_ms)
{
	bool was_alone = b->mutex == BUDGET_MUTEX_ALONE;

	if (b->mutex == mutex)
		return;
	CHECK((mutex_moves[b->mutex] & TO(mutex)) != 0);
	b->mutex = mutex;
	if (mutex == BUDGET_MUTEX_MISSED)
		b->missed_ms = now_ms;
	if (mutex == BUDGET_MUTEX_ALONE)
		log_warn("connection slots of %s: another lane keeps the file "
			 "locked, going on with a part of them",
		    b->slots.head.label);
	else if (was_alone)
		log_info("connection slots of %s: shared again",
		    b->slots.head.label);
}

static bool
is_in_want(const struct budget *b)
{
	return b->need == BUDGET_REFUSED && b->wants > 0;
}

/* Who could not have it once does not wait for it any more, until it is had
 * again: its holder may be stopped. */
static bool
lock_mutex(struct budget *b, int wait_ms, int64_t now_ms)
{
	if (b->mutex != BUDGET_MUTEX_HAD)
		wait_ms = 0;
	if (b->fd < 0 || (statefile_lock(b->fd, SLOTS_LOCK_MUTEX, wait_ms) &&
			     budget_follow(b, wait_ms, now_ms))) {
		set_mutex(b, BUDGET_MUTEX_HAD, now_ms);
		return true;
	}
	if (b->mutex == BUDGET_MUTEX_HAD)
		set_mutex(b, BUDGET_MUTEX_MISSED, now_ms);
	else if (now_ms - b->missed_ms >= ALONE_AFTER_MS)
		set_mutex(b, BUDGET_MUTEX_ALONE, now_ms);
	return false;
}

static void
unlock_mutex(struct budget *b)
{
	if (b->fd >= 0)
		statefile_unlock(b->fd, SLOTS_LOCK_MUTEX);
}

/* Locks first, rows after; see above. */
static void
read_all(struct budget *b)
{
	memcpy(b->locks.rows, b->mine, sizeof(b->mine));
	memset(b->locks.members, 0, sizeof(b->locks.members));
	b->locks.members[b->me] = true;
	if (b->fd < 0)
		return;
	statefile_locked_map(b->fd, 0, SLOTS_MAX, b->locks.rows);
	statefile_locked_map(b->fd, SLOTS_LOCK_MEMBER,
	    SLOTS_LOCK_MEMBER + SLOTS_MEMBERS, b->locks.members);
	budget_read(b);
	slots_repair(&b->slots);
}

static void
warn_limits(struct budget *b, const struct slots_sum *sum)
{
	if (sum->limit >= b->limit || b->has_warned_limits)
		return;
	b->has_warned_limits = true;
	log_warn("lanes of account %s disagree on "
		 "lane_account_connection_limit: %d here; using the smallest, "
		 "%d",
	    b->slots.head.label, b->limit, sum->limit);
}

/* What this host may hold: what the provider allows the account, and no more
 * than the share. */
static int
most(const struct budget *b, const struct slots_sum *sum)
{
	return sum->limit_now < b->share ? sum->limit_now : b->share;
}

/* What holds now. Without the mutex a slot that is just being taken looks
 * abandoned, so nothing is put to rest then. */
static void
look(struct budget *b, int64_t now_ms, bool has_mutex, struct slots_sum *sum)
{
	read_all(b);
	if (has_mutex)
		(void)slots_rest_abandoned(
		    &b->slots, &b->locks, now_ms, budget_put_row, b);
	slots_count(&b->slots, &b->locks, b->me, now_ms, sum);
	budget_look_at_share(b, sum);
	warn_limits(b, sum);
	b->limit_seen = sum->limit;
	b->is_all_mine = sum->held == b->mine_count && sum->resting == 0;
	/* Giving up what our own reserve keeps helps nobody. */
	b->surplus = sum->mine - b->reserve;
	if (b->surplus > sum->others_want)
		b->surplus = sum->others_want;
	if (b->surplus < 0)
		b->surplus = 0;
}

static void
show_mine(struct budget *b)
{
	board_writer_set_slots(
	    b->board, b->mine_count, b->reserve, b->wants, b->lane_limit);
}

static void
show(struct budget *b, const struct slots_sum *sum, int64_t now_ms)
{
	if (b->board == NULL || b->need == BUDGET_DRAINING)
		return;
	show_mine(b);
	board_writer_set_limits(b->board, sum->limit, sum->limit_now,
	    slots_limited_ms(&b->slots.head, sum->limit, now_ms), sum->held,
	    sum->resting);
}

/* Opening ------------------------------------------------------------- */

static void
init_head(struct budget *b, const char *account, uint64_t boot)
{
	struct slots_head *h = &b->slots.head;
	char label[BOARD_NAME];

	h->magic = SLOTS_MAGIC;
	h->version = SLOTS_VERSION;
	h->row_count = SLOTS_MAX;
	h->boot = boot;
	board_label(account, label, sizeof(label));
	board_store_text(h->label, sizeof(h->label), label);
}

static bool
is_in_order(int fd, uint64_t boot)
{
	struct slots_head head;

	return statefile_read(fd, &head, sizeof(head), 0) &&
	       head.magic == SLOTS_MAGIC && head.version == SLOTS_VERSION &&
	       head.row_count == SLOTS_MAX && head.boot == boot;
}

static bool
is_empty(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == 0;
}

/* What is known from before. The file itself is never replaced: the locks of
 * running lanes are on it. Rows of unknown meaning become CLEAN. */
static bool
load_or_reset(struct budget *b, const struct statefile_dir *dir,
    const char *account, char *error, size_t n)
{
	struct slots_head old;
	bool is_made = is_empty(b->fd);
	bool is_read = statefile_read(b->fd, &old, sizeof(old), 0);
	bool is_known = is_read && old.magic == SLOTS_MAGIC &&
			old.version == SLOTS_VERSION &&
			old.row_count == SLOTS_MAX;

	if (is_read && slots_is_other_version(&old))
		log_warn(
		    "%s in lane_state_directory is of version %u, this "
		    "release has version %u: it is made anew; slots in use "
		    "stay in use",
		    b->name, old.version, (unsigned)SLOTS_VERSION);
	if (!is_known && !statefile_allocate(b->fd, sizeof(b->slots), error, n))
		return false;
	if (is_known)
		is_known =
		    statefile_read(b->fd, &b->slots, sizeof(b->slots), 0);
	slots_repair(&b->slots);
	if (is_known && old.boot == dir->boot)
		return true;
	/* After a reboot no connection and no time is left. */
	memset(&b->slots, 0, sizeof(b->slots));
	init_head(b, account, dir->boot);
	/* Somebody removed one: lanes that hold slots there follow soon. */
	if (is_made && !dir->is_new)
		b->slots.head.made_ms = clock_mono_ms();
	if (statefile_write(b->fd, &b->slots, sizeof(b->slots), 0))
		return true;
	(void)snprintf(error, n, "write: %s", statefile_why());
	return false;
}

static bool
join(struct budget *b, char *error, size_t n)
{
	for (b->me = 0; b->me < SLOTS_MEMBERS; b->me++)
		if (statefile_lock(b->fd, SLOTS_LOCK_MEMBER + b->me, 0))
			return true;
	b->me = 0;
	(void)snprintf(
	    error, n, "all %d lane entries are in use", SLOTS_MEMBERS);
	return false;
}

static bool
open_file(struct budget *b, const struct statefile_dir *dir,
    const char *account, char *error, size_t n)
{
	(void)snprintf(b->name, sizeof(b->name), "slots.%016llx",
	    (unsigned long long)board_hash(account));
	b->fd = statefile_open(dir->fd, b->name, error, n);
	if (b->fd < 0)
		return false;
	/* What is in order needs no mutex to join. */
	if (!statefile_lock(b->fd, SLOTS_LOCK_MUTEX, MUTEX_WAIT_MS) &&
	    !is_in_order(b->fd, dir->boot) &&
	    !statefile_lock(b->fd, SLOTS_LOCK_MUTEX, OPEN_WAIT_MS)) {
		(void)snprintf(error, n, "%s: lock held too long", b->name);
		return false;
	}
	if (!load_or_reset(b, dir, account, error, n) || !join(b, error, n))
		return false;
	return true;
}

static void
become_member(struct budget *b, const char *lane_name)
{
	struct slots_member *m = &b->slots.members[b->me];

	/* Another than any before. Counted it would be only under the mutex,
	 * which we may not have. */
	*m = (struct slots_member){
	    .generation = (uint64_t)clock_mono_us() << 22 | (uint64_t)getpid(),
	    .pid = (uint64_t)getpid(),
	    .limit = b->limit,
	    .reserve = b->reserve,
	};
	board_store_text(m->name, sizeof(m->name), lane_name);
	budget_put_me(b);
}

static int
clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

static void on_poll(void *ctx);
static void set_timer(struct budget *b);

struct budget *
budget_open(struct loop *loop, const struct settings *set,
    const struct statefile_dir *dir, const char *lane_name, const char *account,
    budget_fn *on_room, void *ctx)
{
	struct statefile_dir own = {-1, 0, false};
	struct budget *b = mem_zalloc(sizeof(*b));
	char error[256] = "";

	CHECK(lane_name != NULL && account != NULL);
	b->loop = loop;
	b->on_room = on_room;
	b->ctx = ctx;
	b->fd = -1;
	b->dir_fd = dir != NULL ? dir->fd : -1;
	memset(b->row_of, 0xff, sizeof(b->row_of)); /* -1 */
	b->limit = clamp(set->lane_account_connection_limit, 1, SLOTS_MAX);
	b->limit_seen = b->limit;
	b->share = SLOTS_MAX;
	b->reserve_set = clamp(set->lane_connection_reserve, 0, b->limit);
	b->lane_limit = set->lane_connection_limit > 0
			    ? set->lane_connection_limit
			    : SLOTS_MAX;
	b->reserve = clamp(b->reserve_set, 0, b->lane_limit);
	if (dir == NULL && statefile_dir_open(&own, set->lane_state_directory,
			       error, sizeof(error)))
		dir = &own;
	if (dir == NULL || !open_file(b, dir, account, error, sizeof(error))) {
		log_warn("connection slots are counted for this lane alone, "
			 "other lanes of the account are not seen: %s: %s",
		    set->lane_state_directory, error);
		if (b->fd >= 0)
			(void)close(b->fd);
		b->fd = -1;
		memset(&b->slots, 0, sizeof(b->slots));
		init_head(b, account, 0);
	} else {
		budget_set_file(b, BUDGET_FILE_SHARED);
	}
	statefile_dir_close(&own);
	become_member(b, lane_name);
	unlock_mutex(b);
	if (loop != NULL)
		b->timer = loop_timer_new(loop, on_poll, b);
	return b;
}

void
budget_set_board(struct budget *b, struct board_writer *board)
{
	b->board = board;
	show_mine(b);
}

void
budget_close(struct budget **budget)
{
	struct budget *b = *budget;

	*budget = NULL;
	if (b == NULL)
		return;
	if (b->timer != NULL)
		loop_timer_free(&b->timer);
	if (b->fd >= 0)
		(void)close(b->fd);
	mem_free(b);
}

void
budget_drain(struct budget *b)
{
	set_need(b, BUDGET_DRAINING);
	b->board = NULL;
	b->fleet = NULL;
	b->excess = 0;
	b->wants = 0;
	b->surplus = 0;
	/* It looks on whether the file is still the one all have. */
	if (b->timer != NULL)
		set_timer(b);
	/* The lane's next process is the member now. */
	if (b->fd >= 0)
		statefile_unlock(b->fd, SLOTS_LOCK_MEMBER + b->me);
}

/* NULL: one more may be taken. A lane that is stopped while it has the mutex
 * must not stop the others: each goes on with its part of the account then, the
 * same for all or its reserve, and a slot is still one octet's lock. */
static const char *
why_not(const struct budget *b, const struct slots_sum *sum)
{
	struct slots_sum ours = *sum;
	int lanes = 0, part;

	ours.limit_now = most(b, sum);
	if (b->mutex == BUDGET_MUTEX_ALONE) {
		for (int m = 0; m < SLOTS_MEMBERS; m++)
			lanes += b->locks.members[m];
		part = ours.limit_now / (lanes > 0 ? lanes : 1);
		if (part < 1)
			part = 1;
		if (sum->mine >= (part > b->reserve ? part : b->reserve))
			return "another lane keeps the slots locked";
	}
	if (ours.limit_now < sum->limit_now && sum->held >= ours.limit_now)
		return b->is_fewer ? "the server refused another host of the "
				     "fleet more connections"
				   : "this host's share of the account's "
				     "connections is in use";
	return slots_why_not(&ours, b->reserve);
}

/* Polling ------------------------------------------------------------- */

/* Never later than it is set already: a lane that takes and releases all the
 * time must still look. */
static void
set_timer(struct budget *b)
{
	int64_t at_ms;

	if (b->timer == NULL)
		return;
	at_ms = loop_now_ms(b->loop);
	if (is_in_want(b) && !b->is_all_mine) {
		at_ms += POLL_WANT_MS;
	} else if (b->mine_count > 0 && b->fd >= 0) {
		at_ms += BUDGET_POLL_HOLD_MS;
	} else {
		b->timer_ms = 0;
		loop_timer_cancel(b->timer);
		return;
	}
	if (b->timer_ms != 0 && b->timer_ms <= at_ms)
		return;
	b->timer_ms = at_ms;
	loop_timer_at(b->timer, at_ms);
}

void
budget_look(struct budget *b, int64_t now_ms)
{
	struct slots_sum sum;
	bool has_mutex, has_room;

	has_mutex = lock_mutex(b, 0, now_ms);
	if (!has_mutex && b->mutex != BUDGET_MUTEX_ALONE) {
		set_timer(b);
		return;
	}
	look(b, now_ms, has_mutex, &sum);
	if (has_mutex)
		unlock_mutex(b);
	set_timer(b);
	if (b->need == BUDGET_DRAINING)
		return;
	show(b, &sum, now_ms);
	has_room = is_in_want(b) && why_not(b, &sum) == NULL;
	if (has_room || b->surplus > 0 || b->excess > 0)
		b->on_room(b->ctx); /* may close the budget */
}

static void
on_poll(void *ctx)
{
	struct budget *b = ctx;

	b->timer_ms = 0;
	budget_look(b, loop_now_ms(b->loop));
}

/* Taking and giving back ---------------------------------------------- */

/* Others see what we want only while we are refused: a lane that gets its
 * slots must not make others close sessions. */
static void
publish_wants(struct budget *b)
{
	struct slots_member *m = &b->slots.members[b->me];
	int32_t wants = is_in_want(b) ? b->wants : 0;

	if (m->wants == wants || b->need == BUDGET_DRAINING)
		return;
	m->wants = wants;
	budget_put_me(b);
}

/* What the lane may not open is not kept from the others. */
static void
publish_reserve(struct budget *b)
{
	struct slots_member *m = &b->slots.members[b->me];

	if (m->reserve == b->reserve || b->need == BUDGET_DRAINING)
		return;
	m->reserve = b->reserve;
	budget_put_me(b);
}

static bool
refuse(struct budget *b, const char *why, int64_t not_before_ms,
    struct budget_answer *out)
{
	out->slot = -1;
	out->is_full = false;
	out->why = why;
	out->not_before_ms = not_before_ms;
	board_writer_add(b->board, BOARD_COUNTER_slots_refused, 1);
	return false;
}

static bool
refuse_for_now(struct budget *b, const char *why, int64_t not_before_ms,
    struct budget_answer *out)
{
	set_need(b, BUDGET_REFUSED);
	publish_wants(b);
	set_timer(b);
	return refuse(b, why, not_before_ms, out);
}

/* Under the mutex, so the lock is ours unless a stranger plays with it; without
 * it, another lane may be quicker. Rows from `most` on are free only when more
 * rest than the limit has room for: two lanes without the mutex must not have
 * them. */
static int
take_row(struct budget *b, int most, int64_t now_ms)
{
	int i, slot;

	while ((i = slots_pick(&b->slots, &b->locks, now_ms)) >= 0) {
		if (i >= most)
			return -1;
		if (b->fd < 0 || statefile_lock(b->fd, i, 0))
			break;
		b->locks.rows[i] = true;
	}
	if (i < 0)
		return -1;
	CHECK(i < SLOTS_MAX && !b->mine[i]);
	b->slots.rows[i] = (struct slots_row){
	    .state = SLOTS_HELD,
	    .member = (uint32_t)b->me,
	    .generation = b->slots.members[b->me].generation,
	    .at_ms = now_ms,
	    .rtt_ms = b->rtt_ms,
	};
	budget_put_row(b, i);
	b->mine[i] = true;
	b->mine_count++;
	/* Its row's number, but after rows had to be changed. */
	slot = i;
	while (b->row_of[slot] != BUDGET_NO_SLOT)
		slot = (slot + 1) % SLOTS_MAX;
	b->row_of[slot] = i;
	return slot;
}

static bool
is_lately(int64_t at_ms, int64_t now_ms)
{
	return at_ms != 0 && now_ms >= at_ms && now_ms - at_ms < FOLLOWED_MS;
}

bool
budget_take(struct budget *b, int64_t now_ms, struct budget_answer *out)
{
	struct slots_sum sum;
	const char *why;
	bool has_mutex, is_moving, is_full;
	int slot = -1;

	CHECK(b->mine_count >= 0 && b->lane_limit > 0);
	if (b->need == BUDGET_DRAINING)
		return refuse(b, "draining", INT64_MAX, out);
	if (b->mine_count >= b->lane_limit)
		return refuse(b, "lane_connection_limit reached",
		    now_ms + ASK_AGAIN_MS, out);
	has_mutex = lock_mutex(b, MUTEX_WAIT_MS, now_ms);
	if (!has_mutex && b->mutex != BUDGET_MUTEX_ALONE)
		return refuse_for_now(b, "another lane is taking a slot",
		    now_ms + POLL_WANT_MS, out);
	look(b, now_ms, has_mutex, &sum);
	is_moving = is_lately(b->followed_ms, now_ms) ||
		    is_lately(b->slots.head.made_ms, now_ms);
	why = is_moving ? "the file of slots was made anew a moment ago"
			: why_not(b, &sum);
	is_full = !is_moving && why != NULL;
	if (why == NULL) {
		slot =
		    take_row(b, has_mutex ? SLOTS_MAX : most(b, &sum), now_ms);
		if (slot >= 0)
			sum.held++;
		else
			why = "no slot can be locked";
	}
	if (has_mutex)
		unlock_mutex(b);
	show(b, &sum, now_ms);
	if (slot < 0) {
		(void)refuse_for_now(b, why,
		    sum.rest_over_ms < now_ms + ASK_AGAIN_MS
			? sum.rest_over_ms
			: now_ms + ASK_AGAIN_MS,
		    out);
		out->is_full = is_full;
		return false;
	}
	set_need(b, BUDGET_CONTENT);
	publish_wants(b);
	set_timer(b);
	board_writer_add(b->board, BOARD_COUNTER_slots_taken, 1);
	*out = (struct budget_answer){.slot = slot, .why = "granted"};
	return true;
}

/* rests_until_ms 0: at once. */
static void
leave_row(struct budget *b, int i, int64_t rests_until_ms)
{
	b->slots.rows[i] = (struct slots_row){
	    .state = rests_until_ms != 0 ? SLOTS_RESTING : SLOTS_CLEAN,
	    .at_ms = rests_until_ms,
	};
	budget_put_row(b, i);
	b->mine[i] = false;
	if (b->fd >= 0)
		statefile_unlock(b->fd, i);
}

void
budget_release(
    struct budget *b, int slot, bool is_clean, int64_t rtt_ms, int64_t now_ms)
{
	CHECK(
	    slot >= 0 && slot < SLOTS_MAX && b->row_of[slot] != BUDGET_NO_SLOT);
	CHECK(b->mine_count > 0);
	if (rtt_ms > 0)
		b->rtt_ms = rtt_ms;
	if (b->row_of[slot] >= 0)
		leave_row(b, b->row_of[slot],
		    is_clean ? 0 : now_ms + slots_rest_ms(rtt_ms));
	b->row_of[slot] = BUDGET_NO_SLOT;
	b->mine_count--;
	show_mine(b);
	if (b->surplus > 0)
		b->surplus--;
	if (!is_clean)
		b->is_all_mine = false;
	set_timer(b);
	/* Whoever waits for a slot should not wait for the next look. */
	if (b->timer != NULL && is_clean && is_in_want(b)) {
		b->timer_ms = loop_now_ms(b->loop);
		loop_timer_at(b->timer, b->timer_ms);
	}
}

void
budget_set_lane_limit(struct budget *b, int limit)
{
	CHECK(limit > 0);
	if (b->lane_limit == limit)
		return;
	b->lane_limit = limit;
	b->reserve = clamp(b->reserve_set, 0, limit);
	publish_reserve(b);
	show_mine(b);
}

void
budget_want(struct budget *b, int count)
{
	CHECK(count >= 0);
	if (b->need == BUDGET_DRAINING || b->wants == count)
		return;
	b->wants = count;
	if (count == 0)
		set_need(b, BUDGET_CONTENT);
	publish_wants(b);
	show_mine(b);
	set_timer(b);
}

int
budget_in_use(struct budget *b, int64_t now_ms)
{
	struct slots_sum sum;
	bool has_mutex = lock_mutex(b, MUTEX_WAIT_MS, now_ms);

	look(b, now_ms, has_mutex, &sum);
	if (has_mutex)
		unlock_mutex(b);
	return sum.held + sum.resting;
}

int
budget_surplus(const struct budget *b)
{
	return b->surplus;
}

void
budget_refused(struct budget *b, int held_count, int64_t now_ms)
{
	struct slots_sum sum;
	bool is_locked;
	int before;

	CHECK(held_count >= 0);
	if (b->need == BUDGET_DRAINING)
		return;
	/* Without the mutex two refusals at once may count as one. */
	is_locked = lock_mutex(b, MUTEX_WAIT_MS, now_ms);
	look(b, now_ms, is_locked, &sum);
	before = sum.limit_now;
	slots_refuse(
	    &b->slots.head, held_count + sum.held - b->mine_count, now_ms);
	budget_put_head(b);
	if (is_locked)
		unlock_mutex(b);
	slots_count(&b->slots, &b->locks, b->me, now_ms, &sum);
	show(b, &sum, now_ms);
	/* The peer may say so at every dial: news only. */
	if (sum.limit_now < before)
		log_info(
		    "account %s: the server refused a connection beyond %d; "
		    "limit now %d of %d",
		    b->slots.head.label, (int)b->slots.head.refused_to,
		    sum.limit_now, sum.limit);
}
