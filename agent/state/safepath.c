#include "agent/state/safepath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 20 };

struct walk {
	struct safepath *to;
	const char *path;
	char rest[PATH_MAX]; /* still to be walked */
	int links;
	char *error;
	size_t n;
};

static int
fail(const struct walk *w, const char *name, const char *why)
{
	(void)snprintf(w->error, w->n, "%s: %s: %s", w->path, name, why);
	return -1;
}

/* The first component of the rest is cut off into name. */
static int
next(struct walk *w, char name[NAME_MAX + 1])
{
	size_t at = strspn(w->rest, "/"), n = strcspn(w->rest + at, "/");
	size_t after = at + n + strspn(w->rest + at + n, "/");

	if (n > NAME_MAX)
		return fail(w, w->rest, "name too long");
	memcpy(name, w->rest + at, n);
	name[n] = '\0';
	memmove(w->rest, w->rest + after, strlen(w->rest + after) + 1);
	return 0;
}

static int
check(struct walk *w, const char *name, const struct stat *st)
{
	struct safepath *to = w->to;

	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0 &&
	    (st->st_mode & S_ISVTX) == 0)
		return fail(w, name, "others may write to it");
	if (st->st_uid == 0 || st->st_uid == to->user)
		return 0;
	if (to->user != 0)
		return fail(w, name, "belongs to somebody else");
	to->user = st->st_uid;
	return 0;
}

static int
enter(struct walk *w, const char *name)
{
	struct stat st;
	int fd = openat(
	    w->to->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail(w, name, strerror(errno));
	(void)close(w->to->fd);
	w->to->fd = fd;
	if (fstat(fd, &st) != 0)
		return fail(w, name, strerror(errno));
	return check(w, name, &st);
}

static int
start(struct walk *w)
{
	if (w->to->fd >= 0)
		(void)close(w->to->fd);
	w->to->fd = open(
	    w->rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->to->fd >= 0 ? 0 : fail(w, "/", strerror(errno));
}

/* What a link says comes before the rest. */
static int
follow(struct walk *w, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n;
	size_t rest = strlen(w->rest);

	if (st->st_uid != 0)
		return fail(w, name, "is a symbolic link that is not root's");
	if (++w->links > LINKS_MAX)
		return fail(w, name, "too many symbolic links");
	n = readlinkat(w->to->fd, name, target, sizeof(target) - 1);
	if (n <= 0)
		return fail(w, name, n < 0 ? strerror(errno) : "empty link");
	if ((size_t)n + 1 + rest >= sizeof(w->rest))
		return fail(w, name, "name too long");
	memmove(w->rest + n + 1, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)n);
	w->rest[n] = '/';
	return target[0] == '/' ? start(w) : 0;
}

static int
step(struct walk *w, const char *name)
{
	struct stat st;

	if (*name == '\0')
		return 0;
	if (fstatat(w->to->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return fail(w, name, strerror(errno));
	return S_ISLNK(st.st_mode) ? follow(w, name, &st) : enter(w, name);
}

int
safepath_walk(struct safepath *out, const char *path, char *error, size_t n)
{
	struct walk w = {.to = out, .path = path, .error = error, .n = n};
	char name[NAME_MAX + 1];

	*out = (struct safepath){.fd = -1};
	if (strlen(path) >= sizeof(w.rest))
		return fail(&w, "the path", "too long");
	memcpy(w.rest, path, strlen(path) + 1);
	if (start(&w) != 0)
		return -1;
	for (;;) {
		if (next(&w, name) != 0)
			break;
		if (w.rest[0] == '\0') {
			memcpy(out->last, *name != '\0' ? name : ".",
			    *name != '\0' ? strlen(name) + 1 : 2);
			return 0;
		}
		if (step(&w, name) != 0)
			break;
	}
	if (out->fd >= 0)
		(void)close(out->fd);
	out->fd = -1;
	return -1;
}
