#include "monitor/lanestat/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/state/statefile.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { LOCK_OWNER = 1 << 30 };

struct head {
	uint64_t magic, version, size, lanes, seconds, minutes, events;
	uint64_t spare[57];
};

struct name {
	char text[BOARD_NAME];
	uint64_t seen_s; /* 0: not in use */
	uint64_t spare[7];
};

struct lane_rings {
	struct history_sample seconds[HISTORY_SECONDS];
	struct history_sample minutes[HISTORY_MINUTES];
};

struct file {
	struct head head;
	struct name names[HISTORY_LANES];
	struct history_event events[HISTORY_EVENTS];
	struct lane_rings lanes[HISTORY_LANES];
};

/* The layout of version 1. */
_Static_assert(sizeof(struct history_sample) == 64, "sample");
_Static_assert(sizeof(struct history_event) == 256, "event");
_Static_assert(sizeof(struct head) == 512, "head");
_Static_assert(sizeof(struct name) == 128, "name");
_Static_assert(offsetof(struct file, events) == 4608, "events");
_Static_assert(offsetof(struct file, lanes) == 20992, "lanes");
_Static_assert(sizeof(struct lane_rings) == 322560, "rings");

struct history {
	int dir_fd, fd; /* -1: in memory */
	bool is_owner; /* what is put goes into the file */
	bool is_told; /* that it cannot be written */
	int64_t tried_s; /* to become the owner */
	uint32_t serial;
	struct name names[HISTORY_LANES];
	struct history_event events[HISTORY_EVENTS];
	struct lane_rings *lanes[HISTORY_LANES]; /* NULL: not in use */
};

static const struct head head_now = {
    .magic = HISTORY_MAGIC,
    .version = HISTORY_VERSION,
    .size = sizeof(struct file),
    .lanes = HISTORY_LANES,
    .seconds = HISTORY_SECONDS,
    .minutes = HISTORY_MINUTES,
    .events = HISTORY_EVENTS,
};

/* ---- the file ----------------------------------------------------------- */

static off_t
at_lane(size_t i)
{
	return (off_t)(offsetof(struct file, lanes) +
		       i * sizeof(struct lane_rings));
}

static void
tell_once(struct history *h, const char *what)
{
	if (!h->is_told)
		log_warn("the history of lanes is kept in memory only: %s: %s",
		    what, statefile_why());
	h->is_told = true;
}

static void
store(struct history *h, const void *p, size_t n, off_t at)
{
	if (!h->is_owner)
		return;
	if (statefile_write(h->fd, p, n, at))
		h->is_told = false;
	else
		tell_once(h, "write");
}

/* NULL: it is one of ours, or new. */
static const char *
damage_of(int fd, bool *is_new_out)
{
	struct head head;
	struct stat st;

	*is_new_out = false;
	if (fstat(fd, &st) != 0)
		return "unreadable";
	*is_new_out = st.st_size == 0;
	if (*is_new_out)
		return NULL;
	if (st.st_size != (off_t)sizeof(struct file))
		return "of the wrong size";
	if (!statefile_read(fd, &head, sizeof(head), 0))
		return "unreadable";
	if (head.magic == HISTORY_MAGIC && head.version != HISTORY_VERSION)
		return "of another version";
	return memcmp(&head, &head_now, sizeof(head)) == 0 ? NULL : "damaged";
}

/* Sparse: a lane that is not there takes no room. */
static bool
make_anew(int fd)
{
	return ftruncate(fd, 0) == 0 &&
	       ftruncate(fd, (off_t)sizeof(struct file)) == 0 &&
	       statefile_write(fd, &head_now, sizeof(head_now), 0);
}

/* A name must be one, and a text end somewhere. */
static void
repair(struct history *h)
{
	for (size_t i = 0; i < HISTORY_LANES; i++) {
		char *text = h->names[i].text;

		text[BOARD_NAME - 1] = '\0';
		log_safe(text, strlen(text));
	}
	for (size_t i = 0; i < HISTORY_EVENTS; i++) {
		struct history_event *e = &h->events[i];

		e->lane[sizeof(e->lane) - 1] = '\0';
		log_safe(e->lane, strlen(e->lane));
		e->text[sizeof(e->text) - 1] = '\0';
		log_safe(e->text, strlen(e->text));
		if (e->at_wall_ms > INT64_MAX / 2)
			e->at_wall_ms = 0;
		if (e->at_wall_ms != 0 && e->serial > h->serial)
			h->serial = e->serial;
	}
}

static bool
load(struct history *h)
{
	if (!statefile_read(h->fd, h->names, sizeof(h->names),
		offsetof(struct file, names)) ||
	    !statefile_read(h->fd, h->events, sizeof(h->events),
		offsetof(struct file, events)))
		return false;
	repair(h);
	for (size_t i = 0; i < HISTORY_LANES; i++) {
		if (h->names[i].seen_s == 0)
			continue;
		if (h->lanes[i] == NULL)
			h->lanes[i] = mem_zalloc(sizeof(*h->lanes[i]));
		if (!statefile_read(
			h->fd, h->lanes[i], sizeof(*h->lanes[i]), at_lane(i)))
			return false;
	}
	return true;
}

static void
forget_all(struct history *h)
{
	memset(h->names, 0, sizeof(h->names));
	memset(h->events, 0, sizeof(h->events));
	for (size_t i = 0; i < HISTORY_LANES; i++) {
		mem_free(h->lanes[i]);
		h->lanes[i] = NULL;
	}
}

/* What was kept in memory meanwhile gives way to what is in the file. */
static void
take_over(struct history *h)
{
	bool is_new;
	const char *damage = damage_of(h->fd, &is_new);

	if (damage != NULL)
		log_warn("the history of lanes is made anew: the old file is "
			 "%s",
		    damage);
	if ((is_new || damage != NULL) && !make_anew(h->fd)) {
		tell_once(h, "make it anew");
		return;
	}
	h->is_owner = true;
	forget_all(h);
	if (!load(h)) {
		forget_all(h);
		tell_once(h, "read");
	}
}

/* Once a second: another process may have left, or the file be gone. */
static void
look(struct history *h, int64_t now_s)
{
	char error[256];

	if (now_s == h->tried_s)
		return;
	h->tried_s = now_s;
	if (h->fd >= 0 && !statefile_is_named(h->dir_fd, "history", h->fd)) {
		(void)close(h->fd);
		h->fd = -1;
		h->is_owner = false;
	}
	if (h->is_owner || h->dir_fd < 0)
		return;
	if (h->fd < 0)
		h->fd =
		    statefile_open(h->dir_fd, "history", error, sizeof(error));
	if (h->fd < 0) {
		if (!h->is_told)
			log_warn("the history of lanes is kept in memory "
				 "only: %s",
			    error);
		h->is_told = true;
		return;
	}
	if (statefile_lock(h->fd, LOCK_OWNER, 0))
		take_over(h);
}

struct history *
history_open(int dir_fd, int64_t now_s)
{
	struct history *h = mem_zalloc(sizeof(*h));

	h->dir_fd = dir_fd;
	h->fd = -1;
	look(h, now_s);
	return h;
}

void
history_close(struct history **history)
{
	struct history *h = *history;

	*history = NULL;
	if (h == NULL)
		return;
	forget_all(h);
	if (h->fd >= 0)
		(void)close(h->fd);
	mem_free(h);
}

/* ---- lanes -------------------------------------------------------------- */

static int
find(const struct history *h, const char *lane)
{
	for (int i = 0; i < HISTORY_LANES; i++)
		if (h->names[i].seen_s != 0 &&
		    strncmp(h->names[i].text, lane, BOARD_NAME - 1) == 0)
			return i;
	return -1;
}

/* A row that is not in use, else the one that was not seen for longest, if that
 * is long enough. */
static int
room_for(const struct history *h, int64_t now_s)
{
	int best = -1;

	for (int i = 0; i < HISTORY_LANES; i++) {
		uint64_t seen_s = h->names[i].seen_s;

		if (seen_s == 0)
			return i;
		if (seen_s + HISTORY_FORGET_S < (uint64_t)now_s &&
		    (best < 0 || seen_s < h->names[best].seen_s))
			best = i;
	}
	return best;
}

static void
store_name(struct history *h, int i, int64_t now_s)
{
	h->names[i].seen_s = (uint64_t)now_s;
	store(h, &h->names[i], sizeof(h->names[i]),
	    (off_t)(offsetof(struct file, names) +
		    (size_t)i * sizeof(struct name)));
}

static int
make_row(struct history *h, const char *lane, int64_t now_s)
{
	int i = room_for(h, now_s);

	if (i < 0)
		return -1;
	if (h->lanes[i] == NULL)
		h->lanes[i] = mem_alloc(sizeof(*h->lanes[i]));
	memset(h->lanes[i], 0, sizeof(*h->lanes[i]));
	store(h, h->lanes[i], sizeof(*h->lanes[i]), at_lane((size_t)i));
	memset(&h->names[i], 0, sizeof(h->names[i]));
	(void)snprintf(h->names[i].text, BOARD_NAME, "%s", lane);
	store_name(h, i, now_s);
	return i;
}

/* ---- samples ------------------------------------------------------------ */

static void
store_sample(struct history *h, int i, const struct history_sample *s)
{
	size_t at = (size_t)((const char *)s - (const char *)h->lanes[i]);

	store(h, s, sizeof(*s), at_lane((size_t)i) + (off_t)at);
}

static uint32_t
greater(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Sums, what is so at the end, and of waits and health the worst. */
static void
add_to_minute(struct history_sample *minute, const struct history_sample *s)
{
	struct history_sample sum = *s;

	sum.at_s = s->at_s - s->at_s % 60;
	if (minute->at_s == sum.at_s) {
		sum.sent += minute->sent;
		sum.deferred += minute->deferred;
		sum.bounced += minute->bounced;
		sum.slowed += minute->slowed;
		sum.postfix_p95 = greater(s->postfix_p95, minute->postfix_p95);
		sum.lane_p95 = greater(s->lane_p95, minute->lane_p95);
		sum.wire_p95 = greater(s->wire_p95, minute->wire_p95);
		if (minute->health > sum.health)
			sum.health = minute->health;
		if (s->waits == BOARD_WAIT_NOTHING)
			sum.waits = minute->waits;
	}
	*minute = sum;
}

void
history_put(
    struct history *h, const char *lane, const struct history_sample *sample)
{
	int64_t at_s = sample->at_s;
	struct history_sample *second, *minute;
	int i;

	look(h, at_s);
	i = find(h, lane);
	if (i < 0)
		i = make_row(h, lane, at_s);
	if (i < 0)
		return;
	second = &h->lanes[i]->seconds[at_s % HISTORY_SECONDS];
	minute = &h->lanes[i]->minutes[at_s / 60 % HISTORY_MINUTES];
	*second = *sample;
	add_to_minute(minute, sample);
	store_sample(h, i, second);
	store_sample(h, i, minute);
	if (at_s % 60 == 0)
		store_name(h, i, at_s);
}

const struct history_sample *
history_second(const struct history *h, const char *lane, int64_t at_s)
{
	int i = find(h, lane);
	const struct history_sample *s;

	if (i < 0 || at_s <= 0)
		return NULL;
	s = &h->lanes[i]->seconds[at_s % HISTORY_SECONDS];
	return s->at_s == at_s ? s : NULL;
}

const struct history_sample *
history_minute(const struct history *h, const char *lane, int64_t at_s)
{
	int i = find(h, lane);
	const struct history_sample *s;

	if (i < 0 || at_s <= 0)
		return NULL;
	s = &h->lanes[i]->minutes[at_s / 60 % HISTORY_MINUTES];
	return s->at_s == at_s ? s : NULL;
}

/* ---- events ------------------------------------------------------------- */

void
history_note(struct history *h, int64_t wall_ms, const char *lane,
    uint32_t health, const char *text)
{
	size_t at = ++h->serial % HISTORY_EVENTS;
	struct history_event *e = &h->events[at];

	memset(e, 0, sizeof(*e));
	e->at_wall_ms = (uint64_t)wall_ms;
	e->health = health;
	e->serial = h->serial;
	(void)snprintf(e->lane, sizeof(e->lane), "%s", lane);
	(void)snprintf(e->text, sizeof(e->text), "%s", text);
	store(h, e, sizeof(*e),
	    (off_t)(offsetof(struct file, events) + at * sizeof(*e)));
}

size_t
history_events(
    const struct history *h, const struct history_event **events, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < HISTORY_EVENTS && count < n; i++) {
		uint32_t serial = h->serial - (uint32_t)i;
		const struct history_event *e =
		    &h->events[serial % HISTORY_EVENTS];

		if (e->at_wall_ms != 0 && e->serial == serial)
			events[count++] = e;
	}
	return count;
}
