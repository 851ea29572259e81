#include "agent/state/budget_state.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define TO(state) (1U << BUDGET_FILE_##state)

static const unsigned moves[] = {
    [BUDGET_FILE_NONE] = TO(SHARED),
    [BUDGET_FILE_SHARED] = TO(DAMAGED) | TO(LEFT),
    [BUDGET_FILE_DAMAGED] = TO(SHARED) | TO(LEFT),
    [BUDGET_FILE_LEFT] = TO(SHARED) | TO(DAMAGED),
};

void
budget_set_file(struct budget *b, enum budget_file file)
{
	if (b->file == file)
		return;
	CHECK((moves[b->file] & 1U << file) != 0);
	CHECK(b->fd >= 0);
	b->file = file;
}

/* The file ------------------------------------------------------------ */

static void
io_failed(struct budget *b, const char *what)
{
	if (!b->has_warned_io)
		log_warn("connection slots of %s: %s: %s", b->slots.head.label,
		    what, statefile_why());
	b->has_warned_io = true;
}

static void
put(struct budget *b, const void *p, size_t n, size_t at)
{
	if (b->file != BUDGET_FILE_NONE && b->file != BUDGET_FILE_LEFT &&
	    !statefile_write(b->fd, p, n, (off_t)at))
		io_failed(b, "write");
}

void
budget_put_row(void *ctx, int row)
{
	struct budget *b = ctx;

	put(b, &b->slots.rows[row], sizeof(b->slots.rows[row]),
	    offsetof(struct slots, rows) +
		(size_t)row * sizeof(struct slots_row));
}

void
budget_put_me(struct budget *b)
{
	put(b, &b->slots.members[b->me], sizeof(b->slots.members[b->me]),
	    offsetof(struct slots, members) +
		(size_t)b->me * sizeof(struct slots_member));
}

void
budget_put_head(struct budget *b)
{
	put(b, &b->slots.head, sizeof(b->slots.head), 0);
}

static void
note_damage(struct budget *b)
{
	if (b->file != BUDGET_FILE_DAMAGED)
		log_warn(
		    "connection slots of %s: the file was changed, cut or "
		    "removed by somebody else: going on with what is known",
		    b->slots.head.label);
	budget_set_file(b, BUDGET_FILE_DAMAGED);
}

static bool
is_head_sound(const struct slots_head *head)
{
	return head->magic == SLOTS_MAGIC && head->version == SLOTS_VERSION &&
	       head->row_count == SLOTS_MAX;
}

/* A release that runs beside this one made the file anew. What it holds is the
 * other's; the locks are the same in all versions, and keep the limit. */
static void
leave_to_other_version(struct budget *b, uint32_t version)
{
	if (b->file != BUDGET_FILE_LEFT)
		log_warn("connection slots of %s: the file is of version %u by "
			 "now, this release has version %u: only its locks are "
			 "shared",
		    b->slots.head.label, version, (unsigned)SLOTS_VERSION);
	budget_set_file(b, BUDGET_FILE_LEFT);
}

/* Our own member is written by nobody else; so is a row that we hold. */
static bool
is_as_left(const struct budget *b, const struct slots *now)
{
	const struct slots_member *m = &b->slots.members[b->me];

	if (!is_head_sound(&now->head) || now->head.boot != b->slots.head.boot)
		return false;
	if (b->need != BUDGET_DRAINING &&
	    (now->members[b->me].limit != m->limit ||
		now->members[b->me].generation != m->generation))
		return false;
	for (int i = 0; i < SLOTS_MAX; i++)
		if (b->mine[i] && now->rows[i].state != SLOTS_HELD)
			return false;
	return true;
}

/* Each lane puts back what is its own, and rests that are not over: the locks
 * are on the file all the while, so nobody takes too much meanwhile. */
static void
mend(struct budget *b, struct slots *now)
{
	int64_t now_ms = clock_mono_ms();

	if (!is_head_sound(&now->head) || now->head.boot != b->slots.head.boot)
		budget_put_head(b);
	if (b->need != BUDGET_DRAINING)
		budget_put_me(b);
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct slots_row *known = &b->slots.rows[i];

		if (b->mine[i] ||
		    (known->state == SLOTS_RESTING && known->at_ms > now_ms &&
			now->rows[i].state == SLOTS_CLEAN))
			budget_put_row(b, i);
	}
	if (statefile_read(b->fd, now, sizeof(*now), 0))
		budget_set_file(b, BUDGET_FILE_SHARED);
}

void
budget_read(struct budget *b)
{
	struct slots *now = mem_zalloc(sizeof(*now));
	char error[160];
	bool is_whole = statefile_read(b->fd, now, sizeof(*now), 0);

	if (slots_is_other_version(&now->head)) {
		leave_to_other_version(b, now->head.version);
		mem_free(now);
		return;
	}
	if (is_whole && is_as_left(b, now)) {
		budget_set_file(b, BUDGET_FILE_SHARED);
	} else {
		note_damage(b);
		/* It keeps its length and its blocks; on a full disk each
		 * write may fail and is told. */
		if (!is_whole)
			(void)statefile_allocate(
			    b->fd, sizeof(*now), error, sizeof(error));
		mend(b, now);
	}
	if (b->file == BUDGET_FILE_SHARED)
		b->slots = *now;
	mem_free(now);
}

/* A row for a slot that we hold, the same if it can be had. */
static int
lock_row(int fd, int row, const bool *taken)
{
	if (!taken[row] && statefile_lock(fd, row, 0))
		return row;
	for (int i = 0; i < SLOTS_MAX; i++)
		if (!taken[i] && statefile_lock(fd, i, 0))
			return i;
	return BUDGET_NO_ROW;
}

static void
enter_rows(struct budget *b, int fd)
{
	struct slots_row rows[SLOTS_MAX];
	bool taken[SLOTS_MAX] = {false};

	memcpy(rows, b->slots.rows, sizeof(rows));
	memset(b->mine, 0, sizeof(b->mine));
	for (int i = 0; i < SLOTS_MAX; i++) {
		int row = b->row_of[i];

		if (row < 0)
			continue;
		b->row_of[i] = lock_row(fd, row, taken);
		if (b->row_of[i] < 0)
			continue;
		taken[b->row_of[i]] = b->mine[b->row_of[i]] = true;
		b->slots.rows[b->row_of[i]] = rows[row];
		b->slots.rows[b->row_of[i]].member = (uint32_t)b->me;
	}
}

bool
budget_follow(struct budget *b, int wait_ms, int64_t now_ms)
{
	char error[256];
	int fd, me = b->me;

	if (b->dir_fd < 0 || statefile_is_named(b->dir_fd, b->name, b->fd))
		return true;
	note_damage(b);
	fd = statefile_open(b->dir_fd, b->name, error, sizeof(error));
	if (fd < 0)
		return true; /* what we have is shared with those before us */
	if (!statefile_lock(fd, SLOTS_LOCK_MUTEX, wait_ms)) {
		(void)close(fd);
		statefile_unlock(b->fd, SLOTS_LOCK_MUTEX);
		return false;
	}
	for (int i = 0; b->need != BUDGET_DRAINING && i < SLOTS_MEMBERS &&
			!statefile_lock(fd, SLOTS_LOCK_MEMBER + me, 0);
	     i++)
		me = (b->me + i + 1) % SLOTS_MEMBERS;
	if (me != b->me)
		b->slots.members[me] = b->slots.members[b->me];
	b->me = me;
	enter_rows(b, fd);
	(void)close(b->fd);
	b->fd = fd;
	/* For who opens the file next, if nobody made it in order before. */
	b->slots.head.made_ms = b->followed_ms = now_ms;
	return true;
}
