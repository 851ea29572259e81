#include "monitor/steerfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/boardfile.h"

enum { LOCK_MS = 2000 };

struct steer_now
steerfile_now(struct moment now)
{
	return (struct steer_now){
	    .wall_s = now.wall.tv_sec,
	    .mono_ms = now.us / US_PER_MS,
	    .boot = statefile_boot(),
	};
}

static bool
fail(char *error, size_t n, const char *what)
{
	(void)snprintf(error, n, "%s: %s", what, strerror(errno));
	return false;
}

static bool
read_in(int dir_fd, struct steer *out, char *error, size_t n)
{
	char text[STEER_FILE_MAX], why[128];
	int fd = boardfile_open(dir_fd, "steer");
	ssize_t got;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return errno == ENOENT || fail(error, n, "steer");
	got = pread(fd, text, sizeof(text), 0);
	(void)close(fd);
	if (got < 0)
		return fail(error, n, "steer");
	if (steer_parse(slice_of(text, (size_t)got), out, why, sizeof(why)))
		return true;
	(void)snprintf(error, n,
	    "steer: %s: correct or remove the file, it has what operators "
	    "asked for",
	    why);
	return false;
}

bool
steerfile_read(const char *directory, struct steer *out, char *error, size_t n)
{
	int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_read;

	memset(out, 0, sizeof(*out));
	if (dir_fd < 0)
		return errno == ENOENT || fail(error, n, directory);
	is_read = read_in(dir_fd, out, error, n);
	(void)close(dir_fd);
	return is_read;
}

static bool
put_in_place(int dir_fd, struct slice text, char *error, size_t n)
{
	bool is_there;
	int fd;

	if (unlinkat(dir_fd, "steer.new", 0) != 0 && errno != ENOENT)
		return fail(error, n, "steer.new");
	fd = statefile_open(dir_fd, "steer.new", error, n);
	if (fd < 0)
		return false;
	is_there = statefile_write(fd, text.p, text.n, 0) && fsync(fd) == 0 &&
		   renameat(dir_fd, "steer.new", dir_fd, "steer") == 0;
	if (!is_there)
		(void)fail(error, n, "steer.new");
	(void)close(fd);
	return is_there;
}

/* What could not be read back must not take the place of what can. */
static bool
is_read_back(const struct steer *s, struct slice text, char *error, size_t n)
{
	struct steer *again = mem_zalloc(sizeof(*again));
	char why[128];
	bool is_same = steer_parse(text, again, why, sizeof(why)) &&
		       again->count == s->count;

	for (size_t i = 0; is_same && i < s->count; i++)
		is_same =
		    strcmp(again->orders[i].lane, s->orders[i].lane) == 0 &&
		    strcmp(again->orders[i].domain, s->orders[i].domain) == 0 &&
		    again->orders[i].verb == s->orders[i].verb;
	if (!is_same)
		(void)snprintf(
		    error, n, "steer: an order that cannot be written in it");
	mem_free(again);
	return is_same;
}

static bool
write_in(int dir_fd, const struct steer *s, char *error, size_t n)
{
	bool is_written = false;
	struct buf text;

	buf_init(&text, STEER_FILE_MAX);
	steer_print(s, &text);
	CHECK(buf_ok(&text));
	if (is_read_back(s, buf_slice(&text), error, n))
		is_written = put_in_place(dir_fd, buf_slice(&text), error, n);
	buf_fini(&text);
	return is_written;
}

bool
steerfile_change(const char *directory, steerfile_fn *change, void *ctx,
    struct steer *out, char *error, size_t n)
{
	int dir_fd = statefile_open_dir(directory, error, n), lock_fd;
	bool is_done = false;

	if (dir_fd < 0) {
		/* Not made here: a lane takes one that is not new and has no
		 * slots for one that lost them. */
		if (access(directory, F_OK) != 0 && errno == ENOENT)
			(void)snprintf(error, n,
			    "not there: no lane has run yet, and the first one "
			    "makes it, with its first message; until then "
			    "main.cf and master.cf say how it begins");
		return false;
	}
	lock_fd = statefile_open(dir_fd, "steer.lock", error, n);
	if (lock_fd >= 0 && !statefile_lock(lock_fd, 0, LOCK_MS)) {
		(void)snprintf(
		    error, n, "steer.lock: somebody else keeps it locked");
	} else if (lock_fd >= 0 && read_in(dir_fd, out, error, n)) {
		steer_expire(out, steerfile_now(clock_moment()));
		if (change(ctx, out)) {
			out->serial++;
			is_done = write_in(dir_fd, out, error, n);
		} else {
			is_done = true;
		}
	}
	if (lock_fd >= 0)
		(void)close(lock_fd);
	(void)close(dir_fd);
	return is_done;
}
