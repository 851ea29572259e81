#include "monitor/queuefind.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { ID_MAX = 100, LINE_SIZE = 2048 };

static const char *const queues[] = {
    "active", "incoming", "deferred", "hold", "corrupt"};

static bool
is_id(const char *id)
{
	size_t n = strlen(id);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]))
			return false;
	return n >= 4 && n <= ID_MAX;
}

/* The path of dir/.../id below fd, to be freed; NULL: there is none. */
static char *
find_in(int fd, const char *dir, const char *id, int depth)
{
	char *path = mem_printf("%s/%s", dir, id), *found = NULL;
	const struct dirent *e;
	int dir_fd;
	DIR *d;

	if (faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return path;
	mem_free(path);
	if (depth == 0)
		return NULL;
	dir_fd =
	    openat(fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = dir_fd >= 0 ? fdopendir(dir_fd) : NULL;
	if (d == NULL) {
		if (dir_fd >= 0)
			(void)close(dir_fd);
		return NULL;
	}
	/* Directories for hashing have names of one letter. */
	while (found == NULL && (e = readdir(d)) != NULL)
		if ((e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) &&
		    e->d_name[0] != '.' && e->d_name[1] == '\0') {
			char *sub = mem_printf("%s/%s", dir, e->d_name);

			found = find_in(fd, sub, id, depth - 1);
			mem_free(sub);
		}
	(void)closedir(d);
	return found;
}

static int
open_queue(const struct site *site)
{
	return open(
	    site->set.queue_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
look_once(struct queuefind *f, const struct site *site, int fd, const char *id)
{
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		char *path =
		    find_in(fd, queues[i], id, site->set.hash_queue_depth);

		if (path == NULL)
			continue;
		f->queue = queues[i];
		f->has_envelope = envelope_read(&f->envelope, fd, path);
		mem_free(path);
		if (f->has_envelope)
			return true;
	}
	return f->queue != NULL;
}

bool
queuefind_open(struct queuefind *f, const struct site *site, const char *id,
    char *error, size_t n)
{
	int fd = -1;

	memset(f, 0, sizeof(*f));
	error[0] = '\0';
	if (!is_id(id)) {
		(void)snprintf(error, n,
		    "bad queue id: %.100s: must be letters and digits, as in "
		    "the log or postqueue -p",
		    id);
		return false;
	}
	fd = open_queue(site);
	if (fd < 0 || faccessat(fd, "active", R_OK | X_OK, AT_EACCESS) != 0)
		(void)snprintf(error, n, "%s: %s", site->set.queue_directory,
		    strerror(errno));
	else if (!look_once(f, site, fd, id))
		/* It may have moved from one queue to another meanwhile. */
		(void)look_once(f, site, fd, id);
	if (fd >= 0)
		(void)close(fd);
	return f->queue != NULL;
}

void
queuefind_close(struct queuefind *f)
{
	if (f->has_envelope)
		envelope_fini(&f->envelope);
	memset(f, 0, sizeof(*f));
}

/* Records of the log, "name=value" a line, each begun by its recipient. */
static bool
scan(FILE *log, const char *rcpt, char *reason, size_t n)
{
	char line[LINE_SIZE];
	bool is_its = false, has = false;

	while (fgets(line, sizeof(line), log) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "recipient=", 10) == 0) {
			is_its = strcasecmp(line + 10, rcpt) == 0;
		} else if (is_its && strncmp(line, "reason=", 7) == 0) {
			(void)snprintf(reason, n, "%s", line + 7);
			log_safe(reason, strlen(reason));
			has = true;
		}
	}
	return has;
}

bool
queuefind_reason(const struct site *site, const char *id, const char *rcpt,
    char *reason, size_t n)
{
	int fd = open_queue(site), log_fd = -1;
	char *path = NULL;
	bool has = false;
	FILE *log;

	if (fd >= 0)
		path = find_in(fd, "defer", id, site->set.hash_queue_depth);
	if (path != NULL)
		log_fd = openat(
		    fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	log = log_fd >= 0 ? fdopen(log_fd, "r") : NULL;
	if (log != NULL) {
		has = scan(log, rcpt, reason, n);
		(void)fclose(log);
	} else if (log_fd >= 0) {
		(void)close(log_fd);
	}
	mem_free(path);
	if (fd >= 0)
		(void)close(fd);
	return has;
}
