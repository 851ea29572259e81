#include "agent/operator/steering.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct steering {
	struct loop *loop;
	struct lane *lane;
	const struct statefile_dir *dir;
	const char *name;
	struct loop_timer *timer; /* an order ends */
	uint64_t serial;
	bool has_orders; /* the file was read, or there was none */
	struct lane_steering told; /* what the log knows */
};

/* How often a file is looked at that could not be read at the start. */
enum { LOOK_AGAIN_MS = 10000 };

/* ---- from words to the engine ------------------------------------------- */

static void
explain(const struct steer_order *o, char *text, size_t n)
{
	char until[40] = "";
	time_t at = (time_t)o->until_s;
	struct tm tm;

	if (o->until_s != 0 && localtime_r(&at, &tm) != NULL)
		(void)strftime(
		    until, sizeof(until), " until %Y-%m-%d %H:%M:%S", &tm);
	(void)snprintf(text, n, "%s by %s%s",
	    o->verb == STEER_DRAIN ? "drained" : "paused", o->who, until);
}

/* The moment of this boot that a time of day is. */
static int64_t
until_us(int64_t until_s, struct moment now)
{
	if (until_s == 0)
		return INT64_MAX;
	return now.us + (until_s - now.wall.tv_sec) * US_PER_S;
}

void
steering_orders(const struct steer *file, const char *lane_name,
    struct moment now, struct lane_steering *out)
{
	int64_t now_s = now.wall.tv_sec;
	const struct steer_order *o;

	memset(out, 0, sizeof(*out));
	o = steer_find(file, lane_name, STEER_PAUSE, now_s);
	if (o != NULL) {
		out->paused_until_us = until_us(o->until_s, now);
		out->is_drain = o->verb == STEER_DRAIN;
		out->asked_s = o->at_s;
		explain(o, out->why, sizeof(out->why));
	}
	o = steer_find(file, lane_name, STEER_RATE, now_s);
	if (o != NULL)
		(void)snprintf(out->rate, sizeof(out->rate), "%s", o->value);
	o = steer_find(file, lane_name, STEER_CONNECTIONS, now_s);
	if (o != NULL)
		out->connection_limit = (int)strtol(o->value, NULL, 10);
}

/* ---- telling ------------------------------------------------------------- */

static const char *
who(const struct steer *file, const char *name, enum steer_verb verb,
    struct moment now)
{
	const struct steer_order *o =
	    steer_find(file, name, verb, now.wall.tv_sec);

	return o != NULL ? o->who : "its end, or postlane";
}

static void
tell(struct steering *s, const struct steer *file,
    const struct lane_steering *order, struct moment now)
{
	bool is_paused = order->paused_until_us > 0;

	if (strcmp(order->why, s->told.why) != 0)
		log_info("lane %s: %s", s->name,
		    is_paused ? order->why : "goes on: no longer paused");
	if (strcmp(order->rate, s->told.rate) != 0)
		log_info("lane %s: lane_message_rate_limit %s%s, by %s",
		    s->name, order->rate[0] != '\0' ? "is now " : "is as set",
		    order->rate, who(file, s->name, STEER_RATE, now));
	if (order->connection_limit != s->told.connection_limit)
		log_info("lane %s: lane_connection_limit %s%.0d, by %s",
		    s->name,
		    order->connection_limit > 0 ? "is now " : "is as set",
		    order->connection_limit,
		    who(file, s->name, STEER_CONNECTIONS, now));
	s->told = *order;
}

/* ---- the file ------------------------------------------------------------ */

/* False: there is one that cannot be read or understood; error says why. */
static bool
read_file(
    const struct steering *s, struct steer *out, char *error, size_t error_n)
{
	int fd = openat(s->dir->fd, "steer",
	    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	char text[STEER_FILE_MAX];
	ssize_t n;

	memset(out, 0, sizeof(*out));
	if (fd < 0 && errno == ENOENT)
		return true;
	n = fd >= 0 ? pread(fd, text, sizeof(text), 0) : -1;
	if (n < 0)
		(void)snprintf(error, error_n, "%s", strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return n >= 0 &&
	       steer_parse(slice_of(text, (size_t)n), out, error, error_n);
}

/* The next order that ends by itself. */
static void
set_timer(struct steering *s, const struct steer *file, struct moment now)
{
	int64_t next_s = INT64_MAX;

	for (size_t i = 0; i < file->count; i++) {
		const struct steer_order *o = &file->orders[i];

		if (strcmp(o->lane, s->name) == 0 &&
		    o->until_s > now.wall.tv_sec && o->until_s < next_s)
			next_s = o->until_s;
	}
	if (next_s == INT64_MAX)
		loop_timer_cancel(s->timer);
	else
		loop_timer_at(
		    s->timer, clock_ms_from_us(until_us(next_s, now)) + 10);
}

/* Whoever has paused this lane must not find it sending because the file that
 * says so was damaged. */
static void
hold(struct steering *s, const char *error, struct moment now)
{
	struct lane_steering order;

	memset(&order, 0, sizeof(order));
	order.paused_until_us = INT64_MAX;
	order.asked_s = now.wall.tv_sec;
	(void)snprintf(order.why, sizeof(order.why),
	    "paused: steer in lane_state_directory: %.120s", error);
	if (strcmp(order.why, s->told.why) != 0)
		log_warn("lane %s: %s: correct or remove the file", s->name,
		    order.why);
	s->told = order;
	lane_steer(s->lane, &order, now);
	loop_timer_at(s->timer, clock_ms_from_us(now.us) + LOOK_AGAIN_MS);
}

bool
steering_look(struct steering *s, uint64_t *serial_out)
{
	struct moment now = clock_moment();
	struct lane_steering order;
	struct steer *file;
	char error[200];
	bool is_read;

	*serial_out = 0;
	if (s->dir == NULL)
		return true;
	file = mem_zalloc(sizeof(*file));
	is_read = read_file(s, file, error, sizeof(error));
	if (!is_read && !s->has_orders)
		hold(s, error, now);
	else if (!is_read)
		log_warn("steer in lane_state_directory: %s: what operators "
			 "asked for before stays in force",
		    error);
	else {
		s->has_orders = true;
		steering_orders(file, s->name, now, &order);
		tell(s, file, &order, now);
		lane_steer(s->lane, &order, now);
		set_timer(s, file, now);
		s->serial = file->serial;
	}
	*serial_out = s->serial;
	mem_free(file);
	return is_read;
}

static void
on_timer(void *ctx)
{
	uint64_t serial;

	(void)steering_look(ctx, &serial);
}

struct steering *
steering_new(struct loop *loop, struct lane *lane,
    const struct statefile_dir *dir, const char *lane_name)
{
	struct steering *s = mem_zalloc(sizeof(*s));
	uint64_t serial;

	s->loop = loop;
	s->lane = lane;
	s->dir = dir;
	s->name = lane_name;
	s->timer = loop_timer_new(loop, on_timer, s);
	(void)steering_look(s, &serial);
	return s;
}

void
steering_free(struct steering **s)
{
	struct steering *old = *s;

	*s = NULL;
	if (old == NULL)
		return;
	loop_timer_free(&old->timer);
	mem_free(old);
}
