#include "test/support/filedamage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

const char *const filedamage_names[DAMAGE_COUNT] = {"cut", "cut short",
    "zeroed", "noise", "older", "removed", "replaced", "moved empty"};

static char *kept;
static size_t kept_size;

static void
path_of(char path[512], const char *dir, const char *name)
{
	CHECK(snprintf(path, 512, "%s/%s", dir, name) < 512);
}

/* Files are told apart by when they were written: what comes now is later. */
static void
wait_for_the_next_millisecond(void)
{
	int64_t from_ms = clock_wall().tv_usec / US_PER_MS;

	while (clock_wall().tv_usec / US_PER_MS == from_ms)
		;
}

void
filedamage_keep(const char *dir, const char *name)
{
	char path[512];
	struct stat st;
	int fd;

	path_of(path, dir, name);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	mem_free(kept);
	kept_size = (size_t)st.st_size;
	kept = mem_alloc(kept_size + 1);
	CHECK(read(fd, kept, kept_size) == (ssize_t)kept_size);
	(void)close(fd);
	wait_for_the_next_millisecond();
}

static void
overwrite(const char *path, const char *p, size_t n, int flags)
{
	struct stat st;
	int fd;

	CHECK(stat(path, &st) == 0 || (flags & O_EXCL) != 0);
	fd = open(path, O_WRONLY | flags, 0600);
	CHECK(fd >= 0);
	CHECK(write(fd, p, n) == (ssize_t)n);
	(void)close(fd);
}

static void
fill(const char *path, bool is_noise)
{
	struct stat st;
	char *p;

	CHECK(stat(path, &st) == 0);
	p = mem_zalloc((size_t)st.st_size + 1);
	for (off_t i = 0; is_noise && i < st.st_size; i++)
		p[i] = (char)(i * 31 + 7);
	overwrite(path, p, (size_t)st.st_size, 0);
	mem_free(p);
}

void
filedamage_do(const char *dir, const char *name, enum filedamage what)
{
	char path[512], other[512];

	path_of(path, dir, name);
	path_of(other, dir, "put-there");
	switch (what) {
	case DAMAGE_CUT:
		CHECK(truncate(path, 0) == 0);
		break;
	case DAMAGE_CUT_SHORT:
		CHECK(truncate(path, 100) == 0);
		break;
	case DAMAGE_ZERO:
	case DAMAGE_NOISE:
		fill(path, what == DAMAGE_NOISE);
		break;
	case DAMAGE_OLDER:
		overwrite(path, kept, kept_size, O_TRUNC);
		break;
	case DAMAGE_REMOVED:
		CHECK(unlink(path) == 0);
		break;
	case DAMAGE_REPLACED:
	case DAMAGE_MOVED_EMPTY:
		overwrite(other, kept, what == DAMAGE_REPLACED ? kept_size : 0,
		    O_CREAT | O_EXCL);
		CHECK(rename(other, path) == 0);
		break;
	case DAMAGE_COUNT:
		break;
	}
}
