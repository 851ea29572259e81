#include "monitor/slotsfile.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/statefile.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/boardfile.h"

/* A slot that is held by somebody who is no member any more is a draining
 * child's, see slots.h. */
static void
count_held(struct slotsfile *out, const struct slots *s,
    const struct slots_row *row, int place[SLOTS_MEMBERS])
{
	out->held++;
	if (row->member < SLOTS_MEMBERS && place[row->member] >= 0 &&
	    row->generation == s->members[row->member].generation)
		out->members[place[row->member]].holds++;
	else
		out->draining++;
}

static void
count(struct slotsfile *out, const struct slots *s,
    const struct slots_locks *locks, int64_t now_ms)
{
	int place[SLOTS_MEMBERS];

	for (int m = 0; m < SLOTS_MEMBERS; m++) {
		const struct slots_member *from = &s->members[m];
		struct slotsfile_member *to = &out->members[out->member_count];

		place[m] = -1;
		if (!locks->members[m])
			continue;
		place[m] = out->member_count++;
		(void)snprintf(to->name, sizeof(to->name), "%s", from->name);
		log_safe(to->name, strlen(to->name));
		to->reserve = from->reserve;
		to->wants = from->wants > 0 ? from->wants : 0;
		to->limit = from->limit;
		out->wants += to->wants;
	}
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct slots_row *row = &s->rows[i];

		if (locks->rows[i])
			count_held(out, s, row, place);
		else if (row->state == SLOTS_HELD ||
			 (row->state == SLOTS_RESTING && row->at_ms > now_ms))
			out->resting++;
	}
}

bool
slotsfile_read(struct slotsfile *out, int dir_fd, uint64_t key, int64_t now_ms)
{
	struct slots *s = mem_zalloc(sizeof(*s));
	struct slots_locks locks = {.rows = {false}};
	bool is_read = false;
	char name[32];
	int fd;

	memset(out, 0, sizeof(*out));
	(void)snprintf(
	    name, sizeof(name), "slots.%016llx", (unsigned long long)key);
	fd = boardfile_open(dir_fd, name);
	if (fd >= 0) {
		/* Locks before rows, as lanes do. */
		statefile_locked_map(fd, 0, SLOTS_MAX, locks.rows);
		statefile_locked_map(fd, SLOTS_LOCK_MEMBER,
		    SLOTS_LOCK_MEMBER + SLOTS_MEMBERS, locks.members);
		is_read = statefile_read(fd, s, sizeof(*s), 0) &&
			  s->head.magic == SLOTS_MAGIC &&
			  s->head.version == SLOTS_VERSION;
		(void)close(fd);
	}
	if (is_read) {
		slots_repair(s);
		out->refusals = s->head.refusals;
		count(out, s, &locks, now_ms);
	}
	mem_free(s);
	return is_read;
}
