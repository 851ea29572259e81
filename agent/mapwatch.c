#include "agent/mapwatch.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/list.h"
#include "common/mem.h"

struct watched {
	struct list link;
	char *table, *path;
	struct stat seen;
};

struct mapwatch {
	struct list all;
	int64_t looked_ms;
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

		mem_free(w->table);
		mem_free(w->path);
		mem_free(w);
	}
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

static void
add_one(struct mapwatch *watch, const char *table)
{
	char *path = path_of(table);
	struct watched *w;
	struct stat seen;

	if (path == NULL || stat(path, &seen) != 0) {
		mem_free(path);
		return;
	}
	w = mem_zalloc(sizeof(*w));
	w->table = mem_strdup(table);
	w->path = path;
	w->seen = seen;
	list_init(&w->link);
	list_push(&watch->all, &w->link);
}

void
mapwatch_add(struct mapwatch *watch, const char *tables)
{
	static const char blanks[] = ", \t\r\n";

	for (const char *p = tables + strspn(tables, blanks); *p != '\0';) {
		size_t n = strcspn(p, blanks);
		char *table = mem_strndup(p, n);

		add_one(watch, table);
		mem_free(table);
		p += n;
		p += strspn(p, blanks);
	}
}

static bool
is_different(const struct stat *a, const struct stat *b)
{
	return a->st_ino != b->st_ino || a->st_dev != b->st_dev ||
	       a->st_size != b->st_size ||
	       a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	       a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

const char *
mapwatch_changed(struct mapwatch *watch, int64_t now_ms)
{
	if (now_ms - watch->looked_ms < MAPWATCH_EVERY_MS)
		return NULL;
	watch->looked_ms = now_ms;
	list_each (link, &watch->all) {
		struct watched *w = list_entry(link, struct watched, link);
		struct stat now;

		/* A table that is gone is being made anew. */
		if (stat(w->path, &now) == 0 && is_different(&now, &w->seen))
			return w->table;
	}
	return NULL;
}
