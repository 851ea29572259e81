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

/* A domain that was held when the log was told last. */
struct held {
	char domain[STEER_DOMAIN_SIZE], why[LANE_STEER_TEXT];
};

struct steering {
	struct loop *loop;
	struct lane *lane;
	const struct statefile_dir *dir;
	const char *name;
	steering_room_fn *room;
	void *ctx;
	struct loop_timer *timer; /* an order ends */
	uint64_t serial;
	bool has_orders; /* the file was read, or there was none */
	struct lane_steering told; /* what the log knows */
	struct held *held;
	size_t held_count;
	char remark[200];
};

/* How often a file is looked at that could not be read at the start. */
enum { LOOK_AGAIN_MS = 10000 };

static struct steer_now
now_of(struct moment now, uint64_t boot)
{
	return (struct steer_now){
	    .wall_s = now.wall.tv_sec,
	    .mono_ms = now.us / US_PER_MS,
	    .boot = boot,
	};
}

/* ---- from words to the engine ------------------------------------------- */

static void
explain(const struct steer_order *o, struct steer_now now, char *text, size_t n)
{
	char until[40] = "";
	time_t at = (time_t)steer_until_s(o, now);
	struct tm tm;

	if (at != 0 && localtime_r(&at, &tm) != NULL)
		(void)strftime(
		    until, sizeof(until), " until %Y-%m-%d %H:%M:%S", &tm);
	(void)snprintf(text, n, "%s by %s%s",
	    o->verb == STEER_DRAIN ? "drained" : "paused", o->who, until);
}

/* The moment of this boot at which it is over. */
static int64_t
until_us(const struct steer_order *o, struct steer_now now)
{
	int64_t left_ms = steer_left_ms(o, now);

	return left_ms == INT64_MAX ? INT64_MAX
				    : clock_us_from_ms(now.mono_ms + left_ms);
}

void
steering_orders(const struct steer *file, const char *lane_name,
    struct moment moment, uint64_t boot, struct lane_steering *out)
{
	struct steer_now now = now_of(moment, boot);
	const struct steer_order *o;

	memset(out, 0, sizeof(*out));
	o = steer_find(file, lane_name, STEER_PAUSE, now);
	if (o != NULL) {
		out->paused_until_us = until_us(o, now);
		out->is_drain = o->verb == STEER_DRAIN;
		out->asked_s = o->at_s;
		explain(o, now, out->why, sizeof(out->why));
	}
	o = steer_find(file, lane_name, STEER_RATE, now);
	if (o != NULL)
		(void)snprintf(out->rate, sizeof(out->rate), "%s", o->value);
	o = steer_find(file, lane_name, STEER_CONNECTIONS, now);
	if (o != NULL)
		out->connection_limit = (int)strtol(o->value, NULL, 10);
}

size_t
steering_holds(const struct steer *file, const char *lane_name,
    struct moment moment, uint64_t boot, struct lane_hold *out)
{
	struct steer_now now = now_of(moment, boot);
	size_t n = 0;

	for (size_t i = 0; i < file->count; i++) {
		const struct steer_order *o = &file->orders[i];

		if (o->domain[0] == '\0' || strcmp(o->lane, lane_name) != 0 ||
		    steer_left_ms(o, now) == 0)
			continue;
		(void)snprintf(
		    out[n].domain, sizeof(out[n].domain), "%s", o->domain);
		out[n].until_us = until_us(o, now);
		explain(o, now, out[n].why, sizeof(out[n].why));
		n++;
	}
	return n;
}

/* ---- telling ------------------------------------------------------------- */

static const char *
who(const struct steer *file, const char *name, enum steer_verb verb,
    struct steer_now now)
{
	const struct steer_order *o = steer_find(file, name, verb, now);

	return o != NULL ? o->who : "its end, or postlane";
}

static void
tell(struct steering *s, const struct steer *file,
    const struct lane_steering *order, struct steer_now now)
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

static const struct held *
find_held(const struct held *held, size_t count, const char *domain)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(held[i].domain, domain) == 0)
			return &held[i];
	return NULL;
}

static void
tell_holds(struct steering *s, const struct lane_hold *holds, size_t count)
{
	struct held *now = mem_zarray(count + 1, sizeof(now[0]));

	for (size_t i = 0; i < count; i++) {
		const struct held *was =
		    find_held(s->held, s->held_count, holds[i].domain);

		(void)snprintf(now[i].domain, sizeof(now[i].domain), "%s",
		    holds[i].domain);
		(void)snprintf(
		    now[i].why, sizeof(now[i].why), "%s", holds[i].why);
		if (was == NULL || strcmp(was->why, now[i].why) != 0)
			log_info("lane %s: mail to %s is %s", s->name,
			    now[i].domain, now[i].why);
	}
	for (size_t i = 0; i < s->held_count; i++)
		if (find_held(now, count, s->held[i].domain) == NULL)
			log_info(
			    "lane %s: mail to %s goes on: no longer paused",
			    s->name, s->held[i].domain);
	mem_free(s->held);
	s->held = now;
	s->held_count = count;
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

/* The next order that ends by itself, or when to look again. */
static void
set_timer(struct steering *s, const struct steer *file, struct steer_now now,
    int64_t again_ms)
{
	for (size_t i = 0; i < file->count; i++) {
		int64_t left_ms = steer_left_ms(&file->orders[i], now);

		if (strcmp(file->orders[i].lane, s->name) == 0 && left_ms > 0 &&
		    left_ms < again_ms - now.mono_ms)
			again_ms = now.mono_ms + left_ms;
	}
	if (again_ms == INT64_MAX)
		loop_timer_cancel(s->timer);
	else
		loop_timer_at(s->timer, again_ms + 10);
}

/* No more sessions than there are descriptors for. */
static void
fit(struct steering *s, struct lane_steering *order, int64_t *again_ms)
{
	int most, asked = order->connection_limit;

	s->remark[0] = '\0';
	if (s->room == NULL)
		return;
	most = s->room(s->ctx, asked, again_ms);
	if (asked <= most)
		return;
	order->connection_limit = most;
	(void)snprintf(s->remark, sizeof(s->remark),
	    "%d of %d: the limit of open files allows no more: "
	    "raise it where master is started (ulimit -n)",
	    most, asked);
	if (order->connection_limit != s->told.connection_limit)
		log_warn(
		    "lane %s: lane_connection_limit: %s", s->name, s->remark);
}

static void
obey(struct steering *s, const struct steer *file, struct moment now)
{
	struct steer_now clocks = now_of(now, s->dir->boot);
	struct lane_hold *holds = mem_zarray(STEER_ORDERS_MAX, sizeof(*holds));
	size_t count = steering_holds(file, s->name, now, s->dir->boot, holds);
	struct lane_steering order;
	int64_t again_ms = INT64_MAX;

	s->has_orders = true;
	steering_orders(file, s->name, now, s->dir->boot, &order);
	fit(s, &order, &again_ms);
	tell(s, file, &order, clocks);
	tell_holds(s, holds, count);
	lane_steer(s->lane, &order, now);
	lane_hold_domains(s->lane, holds, count, now);
	set_timer(s, file, clocks, again_ms);
	s->serial = file->serial;
	mem_free(holds);
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
	struct steer *file;
	char error[200];
	bool is_read;

	*serial_out = 0;
	if (s->dir == NULL)
		return true;
	file = mem_zalloc(sizeof(*file));
	is_read = read_file(s, file, error, sizeof(error));
	if (is_read)
		obey(s, file, now);
	else if (!s->has_orders)
		hold(s, error, now);
	else
		log_warn("steer in lane_state_directory: %s: what operators "
			 "asked for before stays in force",
		    error);
	*serial_out = s->serial;
	mem_free(file);
	return is_read;
}

const char *
steering_remark(const struct steering *s)
{
	return s->remark;
}

static void
on_timer(void *ctx)
{
	uint64_t serial;

	(void)steering_look(ctx, &serial);
}

struct steering *
steering_new(struct loop *loop, struct lane *lane,
    const struct statefile_dir *dir, const char *lane_name,
    steering_room_fn *room, void *ctx)
{
	struct steering *s = mem_zalloc(sizeof(*s));
	uint64_t serial;

	s->room = room;
	s->ctx = ctx;
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
	mem_free(old->held);
	mem_free(old);
}
