#include "agent/state/recall_store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/queueid.h"
#include "common/shared/board.h"

/* "lane rcl" and the version of struct record. */
#define MAGIC UINT64_C(0x6c63722d656e0001)
#define VERSION_MASK UINT64_C(0xffff)

enum {
	LOCK_MUTEX = 1 << 30,
	LOCK_WAIT_MS = 1,
	OPEN_WAIT_MS = 200,
	NAME_SIZE = 64,
	DONE_MAX = 256, /* lists known to be called back, of one reading */
};

/* The file is an array of these, behind a head of the same size. */
struct record {
	uint64_t list;
	char id[RECALL_ID_SIZE];
};

struct head {
	uint64_t magic;
	uint64_t epoch; /* another each time that it is written anew */
	uint64_t unused[2];
};

static_assert(sizeof(struct head) == sizeof(struct record), "one array");
static_assert(sizeof(struct record) == 32, "a stored layout: no padding");

struct recall_store {
	const struct statefile_dir *dir; /* NULL: nothing is kept */
	char name[NAME_SIZE];
	int fd; /* -1: nothing is kept now */
	bool is_told; /* that it cannot be written */
	uint64_t epoch; /* of the file as it was read, */
	size_t read; /* and how many of its records were, */
	struct record *pending; /* of which these are still to be told */
	size_t pending_count;
};

void
recall_name(const char *lane_name, char *name, size_t n)
{
	(void)snprintf(name, n, "recall.%016llx",
	    (unsigned long long)board_hash(lane_name));
}

/* ---- reading ------------------------------------------------------------ */

/* Records behind the head; a torn one at the end does not count. */
static size_t
count_in(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct record))
		return 0;
	return (size_t)st.st_size / sizeof(struct record) - 1;
}

static off_t
place_of(size_t i)
{
	return (off_t)((i + 1) * sizeof(struct record));
}

static bool
is_id(const struct record *r)
{
	size_t n = strnlen(r->id, sizeof(r->id));

	return n < sizeof(r->id) && queueid_is_valid(slice_of(r->id, n));
}

static bool
is_in(const uint64_t *lists, size_t count, uint64_t list)
{
	for (size_t i = 0; i < count; i++)
		if (lists[i] == list)
			return true;
	return false;
}

/* A set of ids, by the place of each among the records: open addressing. */
struct ids {
	const struct record *records;
	uint32_t *slots; /* place + 1; 0: free */
	size_t mask;
};

/* False: it was in it. */
static bool
put_id(struct ids *set, size_t i)
{
	const char *id = set->records[i].id;
	size_t at = (size_t)board_hash(id) & set->mask;

	for (; set->slots[at] != 0; at = (at + 1) & set->mask)
		if (strcmp(set->records[set->slots[at] - 1].id, id) == 0)
			return false;
	set->slots[at] = (uint32_t)(i + 1);
	return true;
}

/* Leaves in the array what is to be called back: how many. */
static size_t
sift(struct record *records, size_t count)
{
	uint64_t done[DONE_MAX];
	size_t done_count = 0, room = 16, kept = 0;
	struct ids set = {.records = records};

	while (room < 2 * count)
		room *= 2;
	set.mask = room - 1;
	set.slots = mem_zarray(room, sizeof(set.slots[0]));
	/* From the newest on. The set looks at them where they are, so that
	 * they are moved only after. */
	for (size_t i = count, n = 0; i-- > 0;) {
		struct record *r = &records[i];
		bool is_kept = is_id(r) && n < RECALL_MAX &&
			       !is_in(done, done_count, r->list) &&
			       put_id(&set, i);

		/* A hole that a power failure left is no word of list 0. */
		if (r->list != 0 && r->id[0] == '\0' && done_count < DONE_MAX &&
		    !is_in(done, done_count, r->list))
			done[done_count++] = r->list;
		n += is_kept;
		if (!is_kept)
			r->id[0] = '\0';
	}
	mem_free(set.slots);
	for (size_t i = 0; i < count; i++)
		if (records[i].id[0] != '\0')
			records[kept++] = records[i];
	return kept;
}

/* The caller frees; NULL: none. */
static struct record *
read_all(int fd, size_t *count_out)
{
	size_t count = count_in(fd);
	struct record *records;
	struct head head;

	*count_out = 0;
	if (count == 0 || !statefile_read(fd, &head, sizeof(head), 0) ||
	    head.magic != MAGIC)
		return NULL;
	/* The newest of a file that somebody made larger. */
	*count_out = count < RECALL_RECORDS ? count : RECALL_RECORDS;
	records = mem_zarray(*count_out, sizeof(records[0]));
	if (statefile_read(fd, records, *count_out * sizeof(records[0]),
		place_of(count - *count_out))) {
		*count_out = sift(records, *count_out);
		return records;
	}
	mem_free(records);
	*count_out = 0;
	return NULL;
}

void
recall_read(int fd, recall_fn *each, void *ctx)
{
	size_t count;
	struct record *records = read_all(fd, &count);

	for (size_t i = 0; i < count; i++)
		each(ctx, records[i].list, records[i].id);
	mem_free(records);
}

/* ---- writing ------------------------------------------------------------ */

static void
tell(struct recall_store *store, const char *why)
{
	if (!store->is_told)
		log_warn("%s in lane_state_directory: %s: messages that are "
			 "deferred from now on are called back by this process "
			 "alone",
		    store->name, why);
	store->is_told = true;
}

static void
leave(struct recall_store *store, const char *why)
{
	tell(store, why);
	(void)close(store->fd);
	store->fd = -1;
}

static void
open_file(struct recall_store *store)
{
	char error[256] = "";

	store->fd =
	    statefile_open(store->dir->fd, store->name, error, sizeof(error));
	if (store->fd < 0)
		tell(store, error);
}

/* Cut to so many records, which are there. */
static bool
cut(struct recall_store *store, size_t count)
{
	return ftruncate(store->fd, place_of(count)) == 0;
}

static uint64_t
new_epoch(void)
{
	struct timeval now = clock_wall();

	return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_usec;
}

/* Empty, and all of it read. What was there is gone last, so that who looks
 * without the lock sees either. */
static bool
make_anew(struct recall_store *store)
{
	struct head head = {.magic = MAGIC, .epoch = new_epoch()};

	if (head.epoch == store->epoch)
		head.epoch++;
	if (!statefile_write(store->fd, &head, sizeof(head), 0) ||
	    !cut(store, 0))
		return false;
	store->epoch = head.epoch;
	store->read = 0;
	return true;
}

/* Whatever it holds that is not ours; is_start: of another release as well. */
static bool
has_head(struct recall_store *store, bool is_start)
{
	struct head head = {0};
	struct stat st;
	bool is_other;

	if (fstat(store->fd, &st) != 0)
		return false;
	if (st.st_size == 0)
		return make_anew(store);
	if (statefile_read(store->fd, &head, sizeof(head), 0) &&
	    head.magic == MAGIC)
		return true;
	is_other = (head.magic & ~VERSION_MASK) == (MAGIC & ~VERSION_MASK) &&
		   (head.magic & VERSION_MASK) != 0;
	if (is_other && !is_start) {
		leave(store, "is another release's");
		return false;
	}
	if (is_other)
		log_warn("%s in lane_state_directory is of version %u, this "
			 "release has version %u: it is made anew, what it "
			 "held is forgotten",
		    store->name, (unsigned)(head.magic & VERSION_MASK),
		    (unsigned)(MAGIC & VERSION_MASK));
	else
		log_warn("%s in lane_state_directory is damaged: it is made "
			 "anew, what it held is forgotten",
		    store->name);
	return make_anew(store);
}

/* False: it is not to be had, and nothing is written. */
static bool
begin(struct recall_store *store, bool is_start)
{
	if (store->dir == NULL)
		return false;
	if (store->fd >= 0 &&
	    !statefile_is_named(store->dir->fd, store->name, store->fd)) {
		(void)close(store->fd);
		open_file(store);
	}
	if (store->fd < 0 || !statefile_lock(store->fd, LOCK_MUTEX,
				 is_start ? OPEN_WAIT_MS : LOCK_WAIT_MS))
		return false;
	if (has_head(store, is_start))
		return true;
	if (store->fd >= 0) {
		tell(store, statefile_why());
		statefile_unlock(store->fd, LOCK_MUTEX);
	}
	return false;
}

static void
end(struct recall_store *store)
{
	statefile_unlock(store->fd, LOCK_MUTEX);
}

/* Room for count more, which take the place of the oldest. */
static void
make_room(struct recall_store *store, size_t count)
{
	size_t n = store->pending_count;

	CHECK(count <= RECALL_RECORDS);
	if (n + count > RECALL_RECORDS)
		n = sift(store->pending, n);
	if (n + count > RECALL_RECORDS) {
		size_t gone = n + count - RECALL_RECORDS;

		n -= gone;
		memmove(store->pending, store->pending + gone,
		    n * sizeof(store->pending[0]));
	}
	store->pending_count = n;
	store->pending = mem_realloc(
	    store->pending, (n + count) * sizeof(store->pending[0]));
}

/* What others noted, to be told by recall_store_each(). False: it cannot be
 * read. Under the lock. */
static bool
read_on(struct recall_store *store)
{
	size_t count = count_in(store->fd), from;
	struct head head;

	if (!statefile_read(store->fd, &head, sizeof(head), 0))
		return false;
	from = head.epoch == store->epoch && store->read <= count ? store->read
								  : 0;
	if (count - from > RECALL_RECORDS)
		from = count - RECALL_RECORDS;
	if (count > from) {
		make_room(store, count - from);
		if (!statefile_read(store->fd,
			store->pending + store->pending_count,
			(count - from) * sizeof(struct record), place_of(from)))
			return false;
		store->pending_count += count - from;
	}
	store->epoch = head.epoch;
	store->read = count;
	return true;
}

/* The old content is gone first: what is written then fits where it was. */
static bool
write_anew(struct recall_store *store)
{
	size_t count;
	struct record *records = read_all(store->fd, &count);
	bool is_done =
	    make_anew(store) &&
	    (count == 0 || statefile_write(store->fd, records,
			       count * sizeof(records[0]), place_of(0)));

	store->read = count_in(store->fd);
	mem_free(records);
	return is_done;
}

/* Under the lock, when all that is there was read. */
static void
append(struct recall_store *store, uint64_t list, const char *id)
{
	struct record r = {.list = list};
	size_t count;

	(void)snprintf(r.id, sizeof(r.id), "%s", id);
	if (count_in(store->fd) >= RECALL_RECORDS && !write_anew(store))
		tell(store, statefile_why());
	count = count_in(store->fd);
	if (statefile_write(store->fd, &r, sizeof(r), place_of(count))) {
		store->is_told = false;
		store->read = count + 1;
	} else {
		tell(store, statefile_why());
		(void)cut(store, count);
	}
}

/* ---- a lane's ------------------------------------------------------------ */

struct recall_store *
recall_store_open(const struct statefile_dir *dir, const char *lane_name)
{
	struct recall_store *store = mem_zalloc(sizeof(*store));

	store->dir = dir != NULL && dir->fd >= 0 ? dir : NULL;
	store->fd = -1;
	recall_name(lane_name, store->name, sizeof(store->name));
	if (store->dir == NULL)
		return store;
	open_file(store);
	if (begin(store, true))
		end(store);
	return store;
}

void
recall_store_close(struct recall_store **store)
{
	struct recall_store *old = *store;

	*store = NULL;
	if (old == NULL)
		return;
	if (old->fd >= 0)
		(void)close(old->fd);
	mem_free(old->pending);
	mem_free(old);
}

void
recall_store_each(struct recall_store *store, recall_fn *each, void *ctx)
{
	struct record *records;
	size_t count;

	if (begin(store, false)) {
		(void)read_on(store);
		end(store);
	}
	records = store->pending;
	count = sift(records, store->pending_count);
	store->pending = NULL;
	store->pending_count = 0;
	for (size_t i = 0; i < count; i++)
		each(ctx, records[i].list, records[i].id);
	mem_free(records);
}

void
recall_store_add(
    struct recall_store *store, uint64_t list, const char *queue_id)
{
	if (*queue_id == '\0' || strlen(queue_id) >= RECALL_ID_SIZE ||
	    !begin(store, false))
		return;
	if (read_on(store))
		append(store, list, queue_id);
	end(store);
}

/* Begins if nothing is there that is to be told first. */
static bool
begin_to_take_away(struct recall_store *store)
{
	if (!begin(store, false))
		return false;
	if (read_on(store) && store->pending_count == 0)
		return true;
	end(store);
	return false;
}

bool
recall_store_done(struct recall_store *store, uint64_t list)
{
	CHECK(list != 0);
	if (begin_to_take_away(store)) {
		append(store, list, "");
		end(store);
	}
	return store->pending_count == 0;
}

bool
recall_store_clear(struct recall_store *store)
{
	if (store->fd >= 0 && count_in(store->fd) > 0 &&
	    begin_to_take_away(store)) {
		if (!make_anew(store))
			tell(store, statefile_why());
		end(store);
	}
	return store->pending_count == 0;
}
