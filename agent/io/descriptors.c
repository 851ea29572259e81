#include "agent/io/descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>

enum {
	LOOKED_AT_MAX = 65536,
	/* A lane that is short of them has one account, and does without a
	 * webhook's when it must. */
	KEPT_MIN = 10,
	KEPT_MAX = 64,
};

void
descriptors_look(struct descriptors *d)
{
	struct rlimit limit;
	int end;

	d->limit = INT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur < (rlim_t)INT_MAX)
		d->limit = (int)limit.rlim_cur;
	end = d->limit < LOOKED_AT_MAX ? d->limit : LOOKED_AT_MAX;
	d->in_use = 0;
	for (int fd = 0; fd < end; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			d->in_use++;
}

static int
between(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

bool
descriptors_plan(
    struct descriptors *d, int sessions, int conversations, int *needed_out)
{
	int free = d->limit - d->in_use;

	*needed_out = d->in_use + KEPT_MIN + 1 + 1 + DESCRIPTORS_REQUEST;
	/* Reports are quick, but one must always be possible. */
	d->kept = between(free / 8, KEPT_MIN, KEPT_MAX);
	d->conversations = between(free / 16, 1, conversations);
	free -= d->kept + d->conversations;
	d->sessions = between(free / 4, 1, sessions);
	d->requests = (free - d->sessions) / DESCRIPTORS_REQUEST;
	return d->requests >= 1;
}
