#include "agent/state/recall_store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The file is an array of these; the first is the head: MAGIC and nothing. */
struct record {
	uint64_t list;
	char id[RECALL_ID_SIZE];
};

static_assert(sizeof(struct record) == 32, "a stored layout: no padding");

struct recall_store {
	const struct statefile_dir *dir; /* NULL: nothing is kept */
	char name[NAME_SIZE];
	int fd; /* -1: nothing is kept now */
	bool is_told; /* that it cannot be written */
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

		if (r->id[0] == '\0' && done_count < DONE_MAX)
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
	struct record head, *records;

	*count_out = 0;
	if (count == 0 || !statefile_read(fd, &head, sizeof(head), 0) ||
	    head.list != MAGIC)
		return NULL;
	/* The newest of a file that somebody made larger. */
	records = mem_zarray(
	    count < RECALL_RECORDS ? count : RECALL_RECORDS, sizeof(head));
	*count_out = count < RECALL_RECORDS ? count : RECALL_RECORDS;
	if (statefile_read(fd, records, *count_out * sizeof(head),
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

static bool
make_anew(struct recall_store *store)
{
	const struct record head = {.list = MAGIC};

	return ftruncate(store->fd, 0) == 0 &&
	       statefile_write(store->fd, &head, sizeof(head), 0);
}

/* Whatever it holds that is not ours; is_start: of another release as well. */
static bool
has_head(struct recall_store *store, bool is_start)
{
	struct record head = {0};
	struct stat st;
	bool is_other;

	if (fstat(store->fd, &st) != 0)
		return false;
	if (st.st_size == 0)
		return make_anew(store);
	if (statefile_read(store->fd, &head, sizeof(head), 0) &&
	    head.list == MAGIC)
		return true;
	is_other = (head.list & ~VERSION_MASK) == (MAGIC & ~VERSION_MASK) &&
		   (head.list & VERSION_MASK) != 0;
	if (is_other && !is_start) {
		leave(store, "is another release's");
		return false;
	}
	if (is_other)
		log_warn("%s in lane_state_directory is of version %u, this "
			 "release has version %u: it is made anew, what it "
			 "held is forgotten",
		    store->name, (unsigned)(head.list & VERSION_MASK),
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

	mem_free(records);
	return is_done;
}

static void
append(struct recall_store *store, uint64_t list, const char *id)
{
	struct record r = {.list = list};
	size_t count;

	(void)snprintf(r.id, sizeof(r.id), "%s", id);
	if (!begin(store, false))
		return;
	if (count_in(store->fd) >= RECALL_RECORDS && !write_anew(store))
		tell(store, statefile_why());
	count = count_in(store->fd);
	if (statefile_write(store->fd, &r, sizeof(r), place_of(count))) {
		store->is_told = false;
	} else {
		tell(store, statefile_why());
		(void)cut(store, count);
	}
	end(store);
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
	mem_free(old);
}

void
recall_store_each(struct recall_store *store, recall_fn *each, void *ctx)
{
	if (store->fd >= 0)
		recall_read(store->fd, each, ctx);
}

void
recall_store_add(
    struct recall_store *store, uint64_t list, const char *queue_id)
{
	if (*queue_id != '\0' && strlen(queue_id) < RECALL_ID_SIZE)
		append(store, list, queue_id);
}

void
recall_store_done(struct recall_store *store, uint64_t list)
{
	append(store, list, "");
}

void
recall_store_clear(struct recall_store *store)
{
	if (store->fd < 0 || count_in(store->fd) == 0 || !begin(store, false))
		return;
	if (!cut(store, 0))
		tell(store, statefile_why());
	end(store);
}
