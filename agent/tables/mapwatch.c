#include "agent/tables/mapwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* A name in a directory, which is open since before chroot. */
struct watched {
	struct list link;
	char *table, *name;
	int dir_fd;
	int wd; /* of the directory at inotify; -1: none */
	bool is_told; /* inotify saw somebody write it */
	struct stat seen;
};

enum { FOLLOWED_MAX = 4 };

struct mapwatch {
	struct list all;
	const struct maps *followed[FOLLOWED_MAX];
	size_t followed_count;
	int64_t began_ms, looked_ms; /* when it was asked first, last */
	int inotify_fd; /* -1: there is none */
};

static const struct {
	const char *type, *suffix;
} file_types[] = {
    {"hash", ".db"},
    {"btree", ".db"},
    {"lmdb", ".lmdb"},
    {"cdb", ".cdb"},
    {"texthash", ""},
    {"regexp", ""},
    {"pcre", ""},
    {"cidr", ""},
};

struct mapwatch *
mapwatch_new(void)
{
	struct mapwatch *watch = mem_zalloc(sizeof(*watch));

	list_init(&watch->all);
	watch->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return watch;
}

void
mapwatch_free(struct mapwatch **watch)
{
	struct mapwatch *old = *watch;

	*watch = NULL;
	if (old == NULL)
		return;
	list_each_safe (link, &old->all) {
		struct watched *w = list_entry(link, struct watched, link);

		(void)close(w->dir_fd);
		mem_free(w->table);
		mem_free(w->name);
		mem_free(w);
	}
	if (old->inotify_fd >= 0)
		(void)close(old->inotify_fd);
	mem_free(old);
}

/* The file of "type:name", to be freed; NULL when there is none. */
static char *
path_of(const char *table)
{
	const char *colon;

	if (strncmp(table, "proxy:", 6) == 0)
		return NULL; /* proxymap(8) looks after its own tables */
	colon = strchr(table, ':');
	if (colon == NULL || colon[1] != '/')
		return NULL;
	for (size_t i = 0; i < sizeof(file_types) / sizeof(*file_types); i++) {
		const char *type = file_types[i].type;

		if (strlen(type) == (size_t)(colon - table) &&
		    strncmp(table, type, strlen(type)) == 0)
			return mem_printf(
			    "%s%s", colon + 1, file_types[i].suffix);
	}
	return NULL;
}

static bool
look(const struct watched *w, struct stat *out)
{
	return fstatat(w->dir_fd, w->name, out, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
add_path(struct mapwatch *watch, const char *table, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = mem_strndup(path, (size_t)(slash - path) + 1);
	struct watched *w = mem_zalloc(sizeof(*w));

	w->table = mem_strdup(table);
	w->name = mem_strdup(slash + 1);
	w->wd = -1;
	list_init(&w->link);
	list_push(&watch->all, &w->link);
	w->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (watch->inotify_fd >= 0)
		w->wd = inotify_add_watch(
		    watch->inotify_fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO);
	(void)look(w, &w->seen);
	mem_free(dir);
}

/* A link leads elsewhere after chroot: both it and what it leads to. */
static void
add_one(struct mapwatch *watch, const char *table)
{
	char *path = path_of(table), real[PATH_MAX];

	if (path != NULL && realpath(path, real) != NULL) {
		add_path(watch, table, real);
		if (strcmp(path, real) != 0)
			add_path(watch, table, path);
	}
	mem_free(path);
}

void
mapwatch_add(struct mapwatch *watch, const char *tables)
{
	static const char blanks[] = ", \t\r\n{}";

	for (const char *p = tables + strspn(tables, blanks); *p != '\0';) {
		size_t n = strcspn(p, blanks);
		char *table = mem_strndup(p, n);

		add_one(watch, table);
		mem_free(table);
		p += n;
		p += strspn(p, blanks);
	}
}

void
mapwatch_follow(struct mapwatch *watch, const struct maps *maps)
{
	CHECK(watch->followed_count < FOLLOWED_MAX);
	if (maps != NULL)
		watch->followed[watch->followed_count++] = maps;
}

static bool
is_different(const struct stat *a, const struct stat *b)
{
	return a->st_ino != b->st_ino || a->st_dev != b->st_dev ||
	       a->st_size != b->st_size ||
	       a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	       a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

static void
note_event(struct mapwatch *watch, const struct inotify_event *e)
{
	list_each (link, &watch->all) {
		struct watched *w = list_entry(link, struct watched, link);

		/* After long quiet more may have happened than fits. */
		if ((e->mask & IN_Q_OVERFLOW) != 0 ||
		    (w->wd == e->wd && e->len > 0 &&
			strcmp(w->name, e->name) == 0))
			w->is_told = true;
	}
}

static void
read_events(struct mapwatch *watch)
{
	_Alignas(struct inotify_event) char octets[8192];
	ssize_t n;

	while (watch->inotify_fd >= 0 &&
	       (n = read(watch->inotify_fd, octets, sizeof(octets))) > 0)
		for (char *p = octets; p < octets + n;) {
			const struct inotify_event *e = (const void *)p;

			note_event(watch, e);
			p += sizeof(*e) + e->len;
		}
}

/* Where we may not look inotify does, whose word has to do: the table was
 * written, if perhaps with the same content. A table that is gone is being
 * made anew. */
static bool
is_changed(const struct watched *w)
{
	struct stat now;

	if (look(w, &now))
		return is_different(&now, &w->seen);
	return errno == EACCES && w->is_told;
}

static const char *
missed(const struct mapwatch *watch, int64_t now_ms)
{
	const char *table = NULL;

	for (size_t i = 0; table == NULL && i < watch->followed_count; i++)
		table = maps_missed(watch->followed[i]);
	return now_ms - watch->began_ms >= MAPWATCH_MISSED_MS ? table : NULL;
}

const char *
mapwatch_changed(struct mapwatch *watch, int64_t now_ms)
{
	if (now_ms - watch->looked_ms < MAPWATCH_EVERY_MS)
		return NULL;
	watch->looked_ms = now_ms;
	if (watch->began_ms == 0)
		watch->began_ms = now_ms;
	read_events(watch);
	list_each (link, &watch->all) {
		struct watched *w = list_entry(link, struct watched, link);

		if (is_changed(w))
			return w->table;
	}
	return missed(watch, now_ms);
}
