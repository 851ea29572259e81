#include "monitor/backlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "monitor/envelope.h"
#include "monitor/transports.h"

enum { FILES_MAX = 5000000 };

/* Each file as likely as any other, by reservoir sampling: the n-th takes the
 * place of one of the sample with probability size / n. */
struct sample {
	char *paths[BACKLOG_SAMPLE]; /* below the queue directory */
	size_t count, seen;
	uint64_t random;
};

struct looking {
	struct backlog *b;
	const struct site *site;
	struct transports *transports;
	int queue_fd;
	size_t found[BACKLOG_QUEUES]; /* of the sample, that could be read */
};

const char *
backlog_queue_name(enum backlog_queue queue)
{
	switch (queue) {
	case BACKLOG_INCOMING:
		return "incoming";
	case BACKLOG_ACTIVE:
		return "active";
	case BACKLOG_DEFERRED:
		return "deferred";
	case BACKLOG_QUEUES:
		break;
	}
	return "";
}

static void
note_file(struct sample *s, const char *dir, const char *name)
{
	size_t at = s->count;

	s->seen++;
	if (s->count == BACKLOG_SAMPLE) {
		s->random = s->random * UINT64_C(6364136223846793005) +
			    UINT64_C(1442695040888963407);
		at = (size_t)(s->random >> 33) % s->seen;
		if (at >= BACKLOG_SAMPLE)
			return;
		mem_free(s->paths[at]);
	} else {
		s->count++;
	}
	s->paths[at] = mem_printf("%s/%s", dir, name);
}

static bool
walk(int queue_fd, const char *path, int depth, struct sample *s)
{
	int fd = openat(
	    queue_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		/* A hash directory may be removed at any time. */
		return errno == ENOENT && strchr(path, '/') != NULL;
	}
	while (s->seen < FILES_MAX && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (e->d_type != DT_DIR) {
			note_file(s, path, e->d_name);
		} else if (depth > 0) {
			char *sub = mem_printf("%s/%s", path, e->d_name);

			(void)walk(queue_fd, sub, depth - 1, s);
			mem_free(sub);
		}
	}
	(void)closedir(dir);
	return true;
}

/* Of "transport:nexthop". */
static bool
is_transport(const char *filter, const char *service)
{
	size_t n = strcspn(filter, ":");

	return strlen(service) == n && strncmp(filter, service, n) == 0;
}

static bool
is_service(const struct site *site, const char *name)
{
	for (size_t i = 0; i < site->entry_count; i++)
		if (strcmp(site->entries[i].fields[MASTERCF_SERVICE], name) ==
		    0)
			return true;
	return false;
}

/* transport: "transport:nexthop", or its name alone. */
static void
note_stray(struct looking *l, const char *transport)
{
	char name[sizeof(l->b->strays[0].transport)];
	int n = (int)strcspn(transport, ":");
	size_t i = 0;

	(void)snprintf(name, sizeof(name), "%.*s", n, transport);
	if (n == 0 || n >= (int)sizeof(name) || is_service(l->site, name))
		return;
	while (i < l->b->stray_count &&
	       strcmp(l->b->strays[i].transport, name) != 0)
		i++;
	if (i == BACKLOG_STRAYS)
		return;
	if (i == l->b->stray_count) {
		memcpy(l->b->strays[i].transport, name, sizeof(name));
		l->b->stray_count++;
	}
	l->b->strays[i].messages++;
}

/* Index of the lane that the message goes to; site->lane_count: another
 * transport; -1: it cannot be told. */
static int
lane_of(struct looking *l, const struct envelope *e)
{
	const char *transport = e->filter;

	if (transport == NULL && e->rcpt_count > 0)
		transport =
		    transports_of(l->transports, e->sender, e->rcpts[0]);
	if (transport == NULL)
		return e->rcpt_count > 0 ? -1 : (int)l->site->lane_count;
	for (size_t i = 0; i < l->site->lane_count; i++)
		if (is_transport(transport, l->site->lanes[i].opt.service_name))
			return (int)i;
	note_stray(l, transport);
	return (int)l->site->lane_count;
}

static void
note_oldest(struct backlog_share *share, int64_t wall_ms)
{
	if (wall_ms > 0 &&
	    (share->oldest_wall_ms == 0 || wall_ms < share->oldest_wall_ms))
		share->oldest_wall_ms = wall_ms;
}

/* False: nobody tells which transport it is. */
static bool
look_at(struct looking *l, enum backlog_queue queue, const char *path)
{
	struct envelope e;
	int lane;

	/* Gone meanwhile: delivered, or in another queue by now. */
	if (!envelope_read(&e, l->queue_fd, path))
		return true;
	lane = lane_of(l, &e);
	if (lane >= 0) {
		l->found[queue]++;
		if ((size_t)lane < l->b->lane_count) {
			l->b->lanes[lane].messages[queue]++;
			note_oldest(&l->b->lanes[lane], e.arrival_wall_ms);
		}
	}
	envelope_fini(&e);
	return lane >= 0;
}

static bool
look_at_all(struct looking *l, enum backlog_queue queue, struct sample *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!look_at(l, queue, s->paths[i])) {
			(void)snprintf(l->b->why, sizeof(l->b->why), "%s",
			    transports_why(l->transports));
			return false;
		}
	return true;
}

/* From the sample to the queue. */
static void
scale(struct looking *l, enum backlog_queue queue, const struct sample *s)
{
	l->b->total[queue] = s->seen;
	if (s->seen <= BACKLOG_SAMPLE)
		return;
	l->b->is_exact = false;
	for (size_t i = 0; i < l->b->lane_count && l->found[queue] > 0; i++) {
		size_t *n = &l->b->lanes[i].messages[queue];

		*n = (*n * s->seen + l->found[queue] / 2) / l->found[queue];
	}
}

static bool
read_queue(struct looking *l, enum backlog_queue queue)
{
	struct sample s = {.random = 1};
	bool is_good;

	is_good = walk(l->queue_fd, backlog_queue_name(queue),
	    l->site->set.hash_queue_depth, &s);
	if (!is_good)
		(void)snprintf(l->b->why, sizeof(l->b->why), "%s/%s: %s",
		    l->site->set.queue_directory, backlog_queue_name(queue),
		    strerror(errno));
	is_good = is_good && look_at_all(l, queue, &s);
	scale(l, queue, &s);
	for (size_t i = 0; i < s.count; i++)
		mem_free(s.paths[i]);
	return is_good;
}

void
backlog_read(struct backlog *b, const struct site *site)
{
	struct looking l = {.b = b, .site = site};
	const char *dir = site->set.queue_directory;

	memset(b, 0, sizeof(*b));
	b->lane_count = site->lane_count;
	b->lanes = mem_zarray(site->lane_count + 1, sizeof(b->lanes[0]));
	b->is_known = b->is_exact = true;
	/* To begin at; what may be read are the queues below it. */
	l.queue_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (l.queue_fd < 0) {
		(void)snprintf(
		    b->why, sizeof(b->why), "%s: %s", dir, strerror(errno));
		b->is_known = false;
		return;
	}
	l.transports = transports_open(dir, "rewrite");
	for (int i = 0; i < BACKLOG_QUEUES && b->is_known; i++)
		b->is_known = read_queue(&l, (enum backlog_queue)i);
	transports_close(&l.transports);
	(void)close(l.queue_fd);
}

void
backlog_fini(struct backlog *b)
{
	mem_free(b->lanes);
	memset(b, 0, sizeof(*b));
}

const struct backlog_share *
backlog_share_of(const struct backlog *b, const struct model *m,
    const struct model_lane *lane)
{
	size_t at = (size_t)(lane - m->lanes);

	return b != NULL && b->is_known && at < b->lane_count ? &b->lanes[at]
							      : NULL;
}
