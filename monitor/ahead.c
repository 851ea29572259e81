#include "monitor/ahead.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/postfix/queueid.h"

enum { PATH_SIZE = 512 };

struct counting {
	struct timespec own;
	size_t before;
};

static bool
is_earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec
				      : a->tv_nsec < b->tv_nsec;
}

/* Of directory and, depth levels down, of those of hash_queue_names. */
static void
walk(struct counting *c, int parent_fd, const char *directory, int depth)
{
	int fd = openat(parent_fd, directory,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	struct stat st;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.' ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISREG(st.st_mode))
			c->before += is_earlier(&st.st_mtim, &c->own);
		else if (S_ISDIR(st.st_mode) && depth > 0)
			walk(c, fd, e->d_name, depth - 1);
	}
	(void)closedir(dir);
}

static bool
find_own(struct counting *c, const struct site *site, int fd, const char *queue,
    const char *id)
{
	struct buf path;
	struct stat st;
	bool is_found;

	buf_init(&path, PATH_SIZE);
	is_found = queueid_path(&path, queue, id, site->set.hash_queue_names,
		       site->set.hash_queue_depth) &&
		   fstatat(fd, buf_str(&path), &st, AT_SYMLINK_NOFOLLOW) == 0;
	buf_fini(&path);
	if (is_found)
		c->own = st.st_mtim;
	return is_found;
}

size_t
ahead_count(const struct site *site, const char *queue, const char *id)
{
	int fd =
	    open(site->set.queue_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct counting c = {.before = 0};

	if (fd < 0)
		return 0;
	if (find_own(&c, site, fd, queue, id)) {
		walk(&c, fd, "active", site->set.hash_queue_depth);
		if (strcmp(queue, "active") != 0)
			walk(&c, fd, queue, site->set.hash_queue_depth);
	}
	(void)close(fd);
	return c.before;
}
