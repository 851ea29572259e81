#include "agent/state/persist.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum {
	/* Only for a file that is being made: some microseconds. */
	OPEN_WAIT_MS = 200,
	/* lock octets, far behind the content */
	LOCK_MUTEX = 1 << 30,
	LOCK_MEMBER = LOCK_MUTEX + 1,
};

struct keepfile_head {
	uint64_t magic, size;
	uint64_t which; /* the copy that holds, 0 or 1 */
	uint64_t stores;
	uint64_t spare[12];
};

struct keepfile_copy {
	uint64_t boot;
	int64_t wall_us; /* wall clock less monotonic clock, when stored */
	uint64_t value[];
};

struct persist {
	int fd; /* -1: memory alone */
	size_t size, copy_size, all_size;
	struct keepfile_head *map;
	uint64_t boot;
};

static int64_t
wall_less_mono_us(void)
{
	struct timeval tv = clock_wall();

	return (int64_t)tv.tv_sec * 1000000 + tv.tv_usec - clock_mono_us();
}

static struct keepfile_copy *
copy_of(const struct persist *k, uint64_t which)
{
	char *copies = (char *)(k->map + 1);

	return (void *)(copies + (which & 1) * k->copy_size);
}

static uint64_t
which_holds(const struct persist *k)
{
	return __atomic_load_n(&k->map->which, __ATOMIC_ACQUIRE) & 1;
}

static void
set_sizes(struct persist *k)
{
	k->copy_size = sizeof(struct keepfile_copy) + (k->size + 7) / 8 * 8;
	k->all_size = sizeof(*k->map) + 2 * k->copy_size;
}

static bool
is_known(const struct persist *k, uint64_t magic)
{
	struct keepfile_head head;

	return statefile_read(k->fd, &head, sizeof(head), 0) &&
	       head.magic == magic && head.size == k->size && head.which <= 1;
}

/* Never shorter than it was: others may have it mapped. */
static bool
make_long_enough(const struct persist *k, char *error, size_t n)
{
	struct stat st;

	if (fstat(k->fd, &st) == 0 && st.st_size >= (off_t)k->all_size)
		return true;
	return statefile_allocate(k->fd, k->all_size, error, n);
}

static bool
map_file(struct persist *k, uint64_t magic, char *error, size_t n)
{
	bool is_ours = is_known(k, magic);
	void *p;

	if (!make_long_enough(k, error, n))
		return false;
	p = mmap(
	    NULL, k->all_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (p == MAP_FAILED) {
		(void)snprintf(error, n, "map: %s", strerror(errno));
		return false;
	}
	k->map = p;
	if (!is_ours) {
		memset(k->map, 0, k->all_size);
		copy_of(k, 0)->boot = k->boot;
		k->map->size = k->size;
		k->map->magic = magic;
	}
	return true;
}

static bool
open_file(struct persist *k, const struct statefile_dir *dir, const char *name,
    uint64_t magic, char *error, size_t n)
{
	bool is_ok, is_made;

	if (dir == NULL || dir->fd < 0) {
		(void)snprintf(error, n, "no state directory");
		return false;
	}
	k->fd = statefile_open(dir->fd, name, error, n);
	if (k->fd < 0)
		return false;
	/* One that is there needs no lock, which a lane that is stopped may
	 * hold for ever. */
	is_made = !is_known(k, magic);
	if (is_made && !persist_lock(k, OPEN_WAIT_MS)) {
		(void)snprintf(error, n, "%s: lock held too long", name);
		return false;
	}
	is_ok = map_file(k, magic, error, n);
	if (is_made)
		persist_unlock(k);
	return is_ok;
}

struct persist *
persist_open(const struct statefile_dir *dir, const char *name, uint64_t magic,
    size_t size, char *error, size_t n)
{
	struct persist *k = mem_zalloc(sizeof(*k));

	*error = '\0';
	k->fd = -1;
	k->size = size;
	set_sizes(k);
	k->boot = dir != NULL ? dir->boot : 0;
	if (!open_file(k, dir, name, magic, error, n)) {
		if (k->fd >= 0)
			(void)close(k->fd);
		k->fd = -1;
		k->map = mem_zalloc(k->all_size);
		copy_of(k, 0)->boot = k->boot;
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
	if (old->fd >= 0) {
		(void)munmap(old->map, old->all_size);
		(void)close(old->fd);
	} else {
		mem_free(old->map);
	}
	mem_free(old);
}

bool
persist_is_shared(const struct persist *k)
{
	return k->fd >= 0;
}

const void *
persist_value(const struct persist *k)
{
	return copy_of(k, which_holds(k))->value;
}

void
persist_store(struct persist *k, const void *value)
{
	uint64_t next = which_holds(k) ^ 1;
	struct keepfile_copy *copy = copy_of(k, next);

	copy->boot = k->boot;
	copy->wall_us = wall_less_mono_us();
	memcpy(copy->value, value, k->size);
	__atomic_store_n(&k->map->which, next, __ATOMIC_RELEASE);
	(void)__atomic_add_fetch(&k->map->stores, 1, __ATOMIC_RELEASE);
}

uint64_t
persist_stores(const struct persist *k)
{
	return __atomic_load_n(&k->map->stores, __ATOMIC_ACQUIRE);
}

static int64_t
shift_of(const struct keepfile_copy *copy, uint64_t boot)
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
persist_shift_us(const struct persist *k)
{
	return shift_of(copy_of(k, which_holds(k)), k->boot);
}

bool
persist_read(int fd, uint64_t boot, uint64_t magic, void *value, size_t size,
    int64_t *shift_us_out)
{
	struct persist k = {.fd = fd, .size = size};
	struct keepfile_head head;
	struct keepfile_copy copy;
	off_t at;

	set_sizes(&k);
	if (!is_known(&k, magic) || !statefile_read(fd, &head, sizeof(head), 0))
		return false;
	at = (off_t)(sizeof(head) + (head.which & 1) * k.copy_size);
	if (!statefile_read(fd, &copy, sizeof(copy), at) ||
	    !statefile_read(fd, value, size, at + (off_t)sizeof(copy)))
		return false;
	*shift_us_out = shift_of(&copy, boot);
	return true;
}

bool
persist_lock(struct persist *k, int wait_ms)
{
	return k->fd < 0 || statefile_lock(k->fd, LOCK_MUTEX, wait_ms);
}

void
persist_unlock(struct persist *k)
{
	if (k->fd >= 0)
		statefile_unlock(k->fd, LOCK_MUTEX);
}

bool
persist_join(struct persist *k, int member, int wait_ms)
{
	return k->fd < 0 ||
	       statefile_lock(k->fd, LOCK_MEMBER + member, wait_ms);
}

void
persist_leave(struct persist *k, int member)
{
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
