#include "agent/state/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/state/safepath.h"
#include "common/base/clock.h"
#include "common/shared/board.h"

enum {
	OPEN_TRIES = 200,
	/* read-locked by all who have the file open; behind all other locks */
	LOCK_USE = (1 << 30) + 4096,
	NEW_DIR_S = 10,
};

static int fail(char *error, size_t n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
fail(char *error, size_t n, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(error, n, format, ap);
	va_end(ap);
	return -1;
}

int
statefile_open_dir(const char *dir, char *error, size_t n)
{
	struct safepath way;
	struct stat st;
	int fd;

	/* mail_owner, or anybody else, must not choose the place where root
	 * makes files. */
	if (safepath_walk(&way, dir, error, n) != 0)
		return -1;
	fd = openat(
	    way.fd, way.last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		(void)fail(error, n, "open %s: %s", dir, strerror(errno));
	(void)close(way.fd);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0)
		(void)fail(error, n, "stat %s: %s", dir, strerror(errno));
	else if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0)
		(void)fail(error, n, "%s belongs to uid %lu, not to %lu", dir,
		    (unsigned long)st.st_uid, (unsigned long)geteuid());
	else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		(void)fail(error, n, "%s may be written by others", dir);
	else if (way.user != 0 && st.st_uid != 0 && st.st_uid != way.user)
		(void)fail(error, n,
		    "%s belongs to uid %lu, a directory "
		    "above it to %lu",
		    dir, (unsigned long)st.st_uid, (unsigned long)way.user);
	else
		return fd;
	(void)close(fd);
	return -1;
}

/* A file system that keeps no time of birth says nothing. */
static bool
is_newborn(int fd)
{
	struct statx st;
	time_t now = time(NULL);

	return fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 &&
	       (st.stx_mask & STATX_BTIME) != 0 &&
	       now - st.stx_btime.tv_sec < NEW_DIR_S &&
	       now - st.stx_btime.tv_sec > -NEW_DIR_S;
}

bool
statefile_dir_open(
    struct statefile_dir *d, const char *dir, char *error, size_t n)
{
	d->fd = statefile_open_dir(dir, error, n);
	d->boot = statefile_boot();
	d->is_new = is_newborn(d->fd);
	return d->fd >= 0;
}

void
statefile_dir_close(struct statefile_dir *d)
{
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
}

/* Root shares the files with lanes that run as the directory's owner. */
static bool
find_owner(int dir_fd, uid_t *uid_out, gid_t *gid_out)
{
	struct stat st;

	*uid_out = geteuid();
	*gid_out = getegid();
	if (*uid_out != 0)
		return true;
	if (fstat(dir_fd, &st) != 0)
		return false;
	*uid_out = st.st_uid;
	*gid_out = st.st_gid;
	return true;
}

/* The file that is there, or a new one given to its owner. */
static int
open_or_make(int dir_fd, const char *name, uid_t uid, gid_t gid)
{
	/* O_NONBLOCK: a FIFO put there must not stop us. */
	const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd;

	do {
		fd = openat(dir_fd, name, flags);
		if (fd >= 0 || errno != ENOENT)
			return fd;
		fd = openat(dir_fd, name, flags | O_CREAT | O_EXCL, 0600);
	} while (fd < 0 && errno == EEXIST);
	if (fd >= 0 && uid != geteuid() && fchown(fd, uid, gid) != 0) {
		int error = errno;

		/* Left behind it would be nobody's of use. */
		(void)unlinkat(dir_fd, name, 0);
		(void)close(fd);
		errno = error;
		fd = -1;
	}
	return fd;
}

static int
open_checked(int dir_fd, const char *name, char *error, size_t n)
{
	struct stat st;
	uid_t uid;
	gid_t gid;
	int fd;

	if (!find_owner(dir_fd, &uid, &gid))
		return fail(error, n, "stat directory: %s", strerror(errno));
	fd = open_or_make(dir_fd, name, uid, gid);
	if (fd < 0)
		return fail(error, n, "open %s: %s", name, strerror(errno));
	if (fstat(fd, &st) != 0)
		(void)fail(error, n, "stat %s: %s", name, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		(void)fail(error, n, "%s is not a regular file", name);
	else if (st.st_uid != uid)
		(void)fail(error, n, "%s belongs to uid %lu, not to %lu", name,
		    (unsigned long)st.st_uid, (unsigned long)uid);
	else if (st.st_nlink > 1)
		(void)fail(error, n, "%s has several hard links", name);
	else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		(void)fail(error, n, "%s may be written by others", name);
	else
		return fd;
	(void)close(fd);
	return -1;
}

static bool
set_lock(int fd, off_t octet, short type)
{
	struct flock lock = {
	    .l_type = type,
	    .l_whence = SEEK_SET,
	    .l_start = octet,
	    .l_len = 1,
	};

	while (fcntl(fd, F_OFD_SETLK, &lock) != 0)
		if (errno != EINTR)
			return false;
	return true;
}

bool
statefile_is_named(int dir_fd, const char *name, int fd)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 &&
	       fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

int
statefile_open(int dir_fd, const char *name, char *error, size_t n)
{
	const struct timespec pause = {0, 1000 * 1000};

	for (int i = 0; i < OPEN_TRIES; i++) {
		int fd = open_checked(dir_fd, name, error, n);

		/* Nobody removes it from now on; and nobody has just done. */
		if (fd < 0 || (set_lock(fd, LOCK_USE, F_RDLCK) &&
				  statefile_is_named(dir_fd, name, fd)))
			return fd;
		(void)close(fd);
		(void)nanosleep(&pause, NULL);
	}
	return fail(error, n, "%s cannot be kept from being removed", name);
}

bool
statefile_remove_if(int dir_fd, const char *name, int64_t age_s,
    bool (*may)(void *ctx, int fd), void *ctx)
{
	struct stat st;
	int fd =
	    openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	bool did;

	if (fd < 0)
		return false;
	did = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	      st.st_mtim.tv_sec + age_s < clock_wall().tv_sec &&
	      set_lock(fd, LOCK_USE, F_WRLCK) &&
	      statefile_is_named(dir_fd, name, fd) &&
	      (may == NULL || may(ctx, fd)) && unlinkat(dir_fd, name, 0) == 0;
	(void)close(fd);
	return did;
}

bool
statefile_allocate(int fd, size_t size, char *error, size_t n)
{
	int e = posix_fallocate(fd, 0, (off_t)size);

	if (e != 0)
		(void)fail(
		    error, n, "allocate %zu octets: %s", size, strerror(e));
	return e == 0;
}

bool
statefile_lock(int fd, off_t octet, int wait_ms)
{
	const struct timespec pause = {0, 100 * 1000};
	int64_t end_ms;

	if (set_lock(fd, octet, F_WRLCK))
		return true;
	if (wait_ms <= 0)
		return false;
	end_ms = clock_mono_ms() + wait_ms;
	do {
		(void)nanosleep(&pause, NULL);
		if (set_lock(fd, octet, F_WRLCK))
			return true;
	} while (clock_mono_ms() < end_ms);
	return false;
}

void
statefile_unlock(int fd, off_t octet)
{
	(void)set_lock(fd, octet, F_UNLCK);
}

/* A run of octets in [from, end) that one other holder has. */
static bool
find_run(int fd, off_t from, off_t end, off_t *begin_out, off_t *end_out)
{
	struct flock lock = {
	    .l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = from,
	    .l_len = end - from,
	};

	if (end <= from || fcntl(fd, F_OFD_GETLK, &lock) != 0 ||
	    lock.l_type == F_UNLCK)
		return false;
	*begin_out = lock.l_start > from ? lock.l_start : from;
	/* l_len 0: without end */
	*end_out = lock.l_len == 0 ? end : lock.l_start + lock.l_len;
	if (*end_out > end)
		*end_out = end;
	return *end_out > *begin_out;
}

/* The kernel names any of the conflicting runs, not the first: both sides of
 * it are still unknown. Each level takes away at least one octet. */
void
statefile_locked_map(int fd, off_t from, off_t end, bool *map)
{
	off_t start = from, run, run_end;

	while (find_run(fd, from, end, &run, &run_end)) {
		for (off_t i = run; i < run_end; i++)
			map[i - start] = true;
		statefile_locked_map(fd, from, run, map + (from - start));
		from = run_end;
	}
}

bool
statefile_is_locked(int fd, off_t octet)
{
	off_t run, run_end;

	return find_run(fd, octet, octet + 1, &run, &run_end);
}

bool
statefile_read(int fd, void *p, size_t n, off_t at)
{
	char *to = p;

	while (n > 0) {
		ssize_t got = pread(fd, to, n, at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = 0; /* damage, see statefile_why() */
		if (got <= 0)
			return false;
		to += got;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

bool
statefile_write(int fd, const void *p, size_t n, off_t at)
{
	const char *from = p;

	while (n > 0) {
		ssize_t put = pwrite(fd, from, n, at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = 0;
		if (put <= 0)
			return false;
		from += put;
		at += put;
		n -= (size_t)put;
	}
	return true;
}

const char *
statefile_why(void)
{
	return errno != 0 ? strerror(errno) : "the file ends too early";
}

uint64_t
statefile_boot(void)
{
	char id[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, id, sizeof(id) - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	id[n] = '\0';
	return board_hash(id);
}
