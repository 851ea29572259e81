/* slowdisk: a preloaded library that makes disks slow (scripts/slow-disk).
 *
 * fsync, fdatasync and unlink of a regular file take 50 ms more. In one
 * second of SECONDS, by chance, the disk stands still: who writes to a
 * regular file in it goes on when it is over. What lies in memory (tmpfs) is
 * as fast as ever.
 *
 * There is nothing to set, since Postfix's master clears the environment of
 * what it starts. Which seconds they are all processes find alike, from the
 * clock. Only calls made through the dynamic linker are seen: none of libc's
 * own, such as those of stdio.
 */
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_MS = 50, SECONDS = 15 };

#define REAL(name)                                                             \
	static __typeof__(&name) real_##name;                                  \
	if (real_##name == NULL)                                               \
	*(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static bool
is_memory(const struct statfs *fs)
{
	return fs->f_type == TMPFS_MAGIC || fs->f_type == RAMFS_MAGIC;
}

static bool
is_on_disk(int fd)
{
	struct stat st;
	struct statfs fs;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       fstatfs(fd, &fs) == 0 && !is_memory(&fs);
}

static bool
is_path_on_disk(int dir, const char *path)
{
	struct stat st;
	struct statfs fs;

	/* One elsewhere than below the working directory is taken as meant. */
	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && statfs(path, &fs) == 0 && !is_memory(&fs);
}

static void
pause_ns(int64_t ns)
{
	struct timespec left = {.tv_sec = (time_t)(ns / 1000000000),
	    .tv_nsec = (long)(ns % 1000000000)};
	int saved = errno;

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
	errno = saved;
}

/* Waits until the disk moves again. */
static void
await_disk(int fd)
{
	struct timespec now;
	uint64_t mixed;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	mixed = (uint64_t)now.tv_sec * UINT64_C(0x9e3779b97f4a7c15);
	if ((mixed >> 33) % SECONDS == 0 && is_on_disk(fd))
		pause_ns(1000000000 - now.tv_nsec);
}

int
fsync(int fd)
{
	REAL(fsync);
	if (is_on_disk(fd))
		pause_ns(SYNC_MS * INT64_C(1000000));
	return real_fsync(fd);
}

int
fdatasync(int fd)
{
	REAL(fdatasync);
	if (is_on_disk(fd))
		pause_ns(SYNC_MS * INT64_C(1000000));
	return real_fdatasync(fd);
}

int
unlink(const char *path)
{
	REAL(unlink);
	if (is_path_on_disk(AT_FDCWD, path))
		pause_ns(SYNC_MS * INT64_C(1000000));
	return real_unlink(path);
}

int
unlinkat(int dir, const char *path, int flags)
{
	REAL(unlinkat);
	if (is_path_on_disk(dir, path))
		pause_ns(SYNC_MS * INT64_C(1000000));
	return real_unlinkat(dir, path, flags);
}

ssize_t
write(int fd, const void *data, size_t n)
{
	REAL(write);
	await_disk(fd);
	return real_write(fd, data, n);
}

ssize_t
pwrite(int fd, const void *data, size_t n, off_t at)
{
	REAL(pwrite);
	await_disk(fd);
	return real_pwrite(fd, data, n, at);
}

ssize_t
pwrite64(int fd, const void *data, size_t n, off64_t at)
{
	REAL(pwrite64);
	await_disk(fd);
	return real_pwrite64(fd, data, n, at);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	REAL(writev);
	await_disk(fd);
	return real_writev(fd, parts, count);
}
