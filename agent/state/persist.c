#include "agent/state/persist.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	/* Only for a file that is being made: some microseconds. */
	OPEN_WAIT_MS = 200,
	/* lock octets, far behind the content */
	LOCK_MUTEX = 1 << 30,
	LOCK_MEMBER = LOCK_MUTEX + 1,
	/* Between two looks whether the file has still its name, where no lock
	 * is taken. */
	LOOK_US = 200000,
	VERSION_BITS = 16, /* of the magic, see persist_open() */
};

struct persist_head {
	uint64_t magic, size;
	uint64_t which; /* the copy that holds, 0 or 1 */
	uint64_t stores;
	uint64_t spare[12];
};

struct persist_copy {
	uint64_t boot;
	int64_t wall_us; /* wall clock less monotonic clock, when stored */
	uint64_t value[];
};

struct persist {
	int fd; /* -1: memory alone */
	int dir_fd;
	char *name;
	size_t size, copy_size, all_size;
	uint64_t magic, boot;
	struct persist_head head; /* as known last, sound */
	struct persist_copy *held; /* the copy that held then */
	struct persist_copy *scratch;
	uint64_t members; /* joined, by bit */
	bool is_locked; /* by persist_lock() */
	int64_t named_us; /* when the file's name was looked at */
	bool is_damaged; /* told, and not mended yet */
	bool is_failing; /* likewise, of writing */
};

static int64_t
wall_less_mono_us(void)
{
	struct timeval tv = clock_wall();

	return (int64_t)tv.tv_sec * 1000000 + tv.tv_usec - clock_mono_us();
}

static void
set_sizes(struct persist *k)
{
	k->copy_size = sizeof(struct persist_copy) + (k->size + 7) / 8 * 8;
	k->all_size = sizeof(k->head) + 2 * k->copy_size;
}

static off_t
place_of(const struct persist *k, uint64_t which)
{
	return (off_t)(sizeof(k->head) + (which & 1) * k->copy_size);
}

static bool
read_head(const struct persist *k, struct persist_head *head)
{
	return statefile_read(k->fd, head, sizeof(*head), 0) &&
	       head->magic == k->magic && head->size == k->size &&
	       head->which <= 1;
}

static unsigned
version_of(uint64_t magic)
{
	return (unsigned)(magic & ((1U << VERSION_BITS) - 1));
}

static bool
is_other_version(const struct persist *k, uint64_t magic)
{
	return magic != k->magic &&
	       magic >> VERSION_BITS == k->magic >> VERSION_BITS &&
	       version_of(magic) != 0;
}

/* Each release would make the other's file anew for ever. */
static void
leave_to_other_version(struct persist *k, uint64_t magic)
{
	log_warn("%s in lane_state_directory is of version %u by now, this "
		 "release has version %u: going on in memory",
	    k->name, version_of(magic), version_of(k->magic));
	(void)close(k->fd);
	k->fd = -1;
}

/* It is mended by the next store, of whatever lane. */
static void
note_damage(struct persist *k)
{
	if (!k->is_damaged)
		log_warn("%s in lane_state_directory was changed or cut by "
			 "somebody else: going on with what is known",
		    k->name);
	k->is_damaged = true;
}

/* What the file says, unless it was damaged or put back to what it was
 * before: then what is known holds. Whoever else has the file knows the same,
 * but for what was stored after we looked last. */
static void
refresh(struct persist *k)
{
	struct persist_head head;

	if (k->fd < 0)
		return;
	memset(&head, 0, sizeof(head));
	if (!read_head(k, &head) || head.stores < k->head.stores) {
		if (is_other_version(k, head.magic))
			leave_to_other_version(k, head.magic);
		else
			note_damage(k);
		return;
	}
	if (head.stores == k->head.stores)
		return;
	if (!statefile_read(
		k->fd, k->scratch, k->copy_size, place_of(k, head.which))) {
		note_damage(k);
		return;
	}
	memcpy(k->held, k->scratch, k->copy_size);
	k->head = head;
	k->is_damaged = false;
}

/* The value that is known, into the copy that does not hold, which then holds.
 * A value that cannot be written is kept in memory. */
static void
put(struct persist *k)
{
	k->head.which ^= 1;
	k->head.stores++;
	if (k->fd < 0)
		return;
	if (statefile_write(
		k->fd, k->held, k->copy_size, place_of(k, k->head.which)) &&
	    statefile_write(k->fd, &k->head, sizeof(k->head), 0)) {
		k->is_failing = k->is_damaged = false;
		return;
	}
	if (!k->is_failing)
		log_warn("%s in lane_state_directory cannot be written: %s: "
			 "going on in memory",
		    k->name, statefile_why());
	k->is_failing = true;
}

static void
begin_anew(struct persist *k)
{
	memset(k->held, 0, k->copy_size);
	k->held->boot = k->boot;
	k->head = (struct persist_head){
	    .magic = k->magic,
	    .size = k->size,
	    .which = 1, /* put() turns it round */
	};
}

/* Before the file is made anew; nothing of one that was not there before. */
static void
say_what_is_forgotten(const struct persist *k)
{
	struct persist_head head = {0};
	struct stat st;

	if (fstat(k->fd, &st) != 0 || st.st_size == 0)
		return;
	if (statefile_read(k->fd, &head, sizeof(head), 0) &&
	    is_other_version(k, head.magic))
		log_warn("%s in lane_state_directory is of version %u, this "
			 "release has version %u: it is made anew, what it "
			 "held is forgotten",
		    k->name, version_of(head.magic), version_of(k->magic));
	else
		log_warn("%s in lane_state_directory is damaged: it is made "
			 "anew, what it held is forgotten",
		    k->name);
}

/* Of another kind or version, or of none. */
static bool
make_file(struct persist *k, char *error, size_t n)
{
	say_what_is_forgotten(k);
	if (!statefile_allocate(k->fd, k->all_size, error, n))
		return false;
	begin_anew(k);
	put(k);
	if (k->is_failing)
		(void)snprintf(error, n, "%s cannot be written", k->name);
	return !k->is_failing;
}

static bool
load(struct persist *k)
{
	return read_head(k, &k->head) &&
	       statefile_read(
		   k->fd, k->held, k->copy_size, place_of(k, k->head.which));
}

static bool
open_file(
    struct persist *k, const struct statefile_dir *dir, char *error, size_t n)
{
	bool is_ok;

	if (dir == NULL || dir->fd < 0) {
		(void)snprintf(error, n, "no state directory");
		return false;
	}
	k->dir_fd = dir->fd;
	k->fd = statefile_open(dir->fd, k->name, error, n);
	if (k->fd < 0)
		return false;
	/* One that is there needs no lock, which a lane that is stopped may
	 * hold for ever. */
	if (load(k))
		return true;
	if (!statefile_lock(k->fd, LOCK_MUTEX, OPEN_WAIT_MS)) {
		(void)snprintf(error, n, "%s: lock held too long", k->name);
		return false;
	}
	/* Another lane may have made it just now. */
	is_ok = load(k) || make_file(k, error, n);
	statefile_unlock(k->fd, LOCK_MUTEX);
	return is_ok;
}

struct persist *
persist_open(const struct statefile_dir *dir, const char *name, uint64_t magic,
    size_t size, char *error, size_t n)
{
	struct persist *k = mem_zalloc(sizeof(*k));

	CHECK((magic & 0xffff) != 0 && size > 0);
	*error = '\0';
	k->fd = k->dir_fd = -1;
	k->name = mem_strdup(name);
	k->magic = magic;
	k->size = size;
	set_sizes(k);
	k->held = mem_zalloc(k->copy_size);
	k->scratch = mem_zalloc(k->copy_size);
	k->boot = dir != NULL ? dir->boot : 0;
	if (!open_file(k, dir, error, n)) {
		if (k->fd >= 0)
			(void)close(k->fd);
		k->fd = -1;
		begin_anew(k);
	}
	return k;
}

void
persist_close(struct persist **k)
{
	struct persist *old = *k;

	*k = NULL;
	if (old == NULL)
		return;
	if (old->fd >= 0)
		(void)close(old->fd);
	mem_free(old->name);
	mem_free(old->held);
	mem_free(old->scratch);
	mem_free(old);
}

/* Somebody removed the file, or put another one in its place: all lanes go on
 * with what has the name now, or each would have the account for itself. */
static void
follow_name(struct persist *k)
{
	char error[256];
	int fd;

	k->named_us = clock_mono_us();
	if (k->fd < 0 || statefile_is_named(k->dir_fd, k->name, k->fd))
		return;
	fd = statefile_open(k->dir_fd, k->name, error, sizeof(error));
	if (fd < 0) {
		note_damage(k);
		return;
	}
	for (int m = 0; m < PERSIST_MEMBERS; m++)
		if ((k->members >> m & 1) != 0 &&
		    !statefile_lock(fd, LOCK_MEMBER + m, 0)) {
			/* A stranger; ours is still somebody's. */
			(void)close(fd);
			note_damage(k);
			return;
		}
	(void)close(k->fd);
	k->fd = fd;
	note_damage(k);
}

const void *
persist_value(struct persist *k)
{
	refresh(k);
	return k->held->value;
}

const void *
persist_held(const struct persist *k)
{
	return k->held->value;
}

void
persist_store(struct persist *k, const void *value)
{
	CHECK(k->held != NULL && value != k->held->value);
	if (clock_mono_us() - k->named_us > LOOK_US)
		follow_name(k);
	refresh(k);
	k->held->boot = k->boot;
	k->held->wall_us = wall_less_mono_us();
	memcpy(k->held->value, value, k->size);
	put(k);
}

uint64_t
persist_stores(struct persist *k)
{
	struct persist_head head;

	if (k->fd >= 0 && read_head(k, &head) && head.stores >= k->head.stores)
		return head.stores;
	return k->head.stores;
}

static int64_t
shift_of(const struct persist_copy *copy, uint64_t boot)
{
	int64_t shift_us;

	if (copy->boot == boot)
		return 0;
	if (!__builtin_sub_overflow(
		copy->wall_us, wall_less_mono_us(), &shift_us))
		return shift_us;
	return INT64_MIN; /* damage: all of it is past */
}

int64_t
persist_shift_us(struct persist *k)
{
	refresh(k);
	return shift_of(k->held, k->boot);
}

bool
persist_read(int fd, uint64_t boot, uint64_t magic, void *value, size_t size,
    int64_t *shift_us_out)
{
	struct persist k = {.fd = fd, .size = size, .magic = magic};
	struct persist_head head;
	struct persist_copy copy;
	off_t at;

	set_sizes(&k);
	if (!read_head(&k, &head))
		return false;
	at = place_of(&k, head.which);
	if (!statefile_read(fd, &copy, sizeof(copy), at) ||
	    !statefile_read(fd, value, size, at + (off_t)sizeof(copy)))
		return false;
	*shift_us_out = shift_of(&copy, boot);
	return true;
}

bool
persist_lock(struct persist *k, int wait_ms)
{
	int fd;

	CHECK(!k->is_locked);
	do {
		fd = k->fd;
		if (fd >= 0 && !statefile_lock(fd, LOCK_MUTEX, wait_ms))
			return false;
		/* What it is about may have another file now. */
		follow_name(k);
	} while (k->fd != fd);
	k->is_locked = true;
	return true;
}

void
persist_unlock(struct persist *k)
{
	CHECK(k->is_locked);
	k->is_locked = false;
	if (k->fd >= 0)
		statefile_unlock(k->fd, LOCK_MUTEX);
}

bool
persist_join(struct persist *k, int member, int wait_ms)
{
	CHECK(member >= 0 && member < PERSIST_MEMBERS);
	if (k->fd >= 0 && !statefile_lock(k->fd, LOCK_MEMBER + member, wait_ms))
		return false;
	k->members |= UINT64_C(1) << member;
	return true;
}

void
persist_leave(struct persist *k, int member)
{
	CHECK(member >= 0 && member < PERSIST_MEMBERS);
	k->members &= ~(UINT64_C(1) << member);
	if (k->fd >= 0)
		statefile_unlock(k->fd, LOCK_MEMBER + member);
}

void
persist_members(const struct persist *k, bool map[PERSIST_MEMBERS])
{
	memset(map, 0, PERSIST_MEMBERS * sizeof(map[0]));
	if (k->fd >= 0)
		statefile_locked_map(
		    k->fd, LOCK_MEMBER, LOCK_MEMBER + PERSIST_MEMBERS, map);
}
