#include "agent/state/state_sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/fairshare_file.h"
#include "common/base/log.h"

enum {
	HASH_DIGITS = 16,
	ENTRIES_MAX = 100000,
	/* The longest period of a rate, and a day. */
	DOMAINS_AGE_S = 401 * 86400,
};

struct state_sweep {
	uint64_t boot;
	int64_t now_us;
};

static bool
holds_nothing(void *ctx, int fd)
{
	const struct state_sweep *s = ctx;

	return fairshare_file_is_spent(fd, s->boot, s->now_us);
}

static const struct kind {
	const char *name;
	int64_t age_s;
	bool (*may)(void *ctx, int fd); /* NULL: age is enough */
} kinds[] = {
    {"slots.", STATE_SWEEP_AGE_S, NULL},
    {"rates.", STATE_SWEEP_AGE_S, holds_nothing},
    {"connects.", STATE_SWEEP_AGE_S, holds_nothing},
    {"pace.", STATE_SWEEP_AGE_S, holds_nothing},
    {"domains.", DOMAINS_AGE_S, NULL},
    {"alarms.", STATE_SWEEP_AGE_S, NULL}, /* kept for seven days */
    {"recall.", STATE_SWEEP_AGE_S, NULL},
    {"tokens.", STATE_SWEEP_AGE_S, NULL},
};

static const struct kind *
kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].name);

		if (strncmp(name, kinds[i].name, n) == 0 &&
		    strspn(name + n, "0123456789abcdef") == HASH_DIGITS &&
		    name[n + HASH_DIGITS] == '\0')
			return &kinds[i];
	}
	return NULL;
}

int
state_sweep_state(const struct statefile_dir *dir, int64_t now_us)
{
	struct state_sweep s = {dir->boot, now_us};
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int count = 0;

	if (d == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	for (int i = 0; i < ENTRIES_MAX && (e = readdir(d)) != NULL; i++) {
		const struct kind *kind = kind_of(e->d_name);

		if (kind == NULL || !statefile_remove_if(dir->fd, e->d_name,
					kind->age_s, kind->may, &s))
			continue;
		log_info("lane_state_directory: removed %s: unused", e->d_name);
		count++;
	}
	(void)closedir(d);
	return count;
}
