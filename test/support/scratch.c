#include "test/support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];
static pid_t owner;

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
clean(void)
{
	/* A forked child runs exit handlers too. */
	if (getpid() == owner)
		(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *
scratch_dir(void)
{
	if (dir[0] == '\0') {
		(void)snprintf(dir, sizeof(dir), "/tmp/lane-test-XXXXXX");
		assert_non_null(mkdtemp(dir));
		assert_int_equal(chmod(dir, 0755), 0);
		owner = getpid();
		(void)atexit(clean);
	}
	return dir;
}

const char *
scratch_path(const char *name)
{
	static char path[8][256];
	static unsigned at;
	char *p = path[at++ % 8];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", scratch_dir(), name);
	return p;
}

static void
make_parent(const char *path)
{
	char parent[256];

	(void)snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	assert_true(mkdir(parent, 0755) == 0 || errno == EEXIST);
}

void
scratch_write(const char *name, const char *content)
{
	const char *path = scratch_path(name);
	FILE *file;

	make_parent(path);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Postfix's programs wait up to 2 s for a main.cf to be at rest. */
static void
let_it_rest(const char *name)
{
	struct timespec times[2] = {
	    {.tv_sec = time(NULL) - 10}, {.tv_sec = time(NULL) - 10}};

	assert_int_equal(utimensat(AT_FDCWD, scratch_path(name), times, 0), 0);
}

void
scratch_config(const char *lines)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "compatibility_level = 3.6\n"
	    "queue_directory = %s/queue\n"
	    "data_directory = %s/data\n"
	    "myhostname = mx.example.com\n"
	    "%s",
	    scratch_dir(), scratch_dir(), lines);
	scratch_write("config/main.cf", text);
	let_it_rest("config/main.cf");
	scratch_write("config/master.cf", "");
	assert_int_equal(setenv("MAIL_CONFIG", scratch_path("config"), 1), 0);
}
