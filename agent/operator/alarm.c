#include "agent/operator/alarm.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/operator/runner.h"
#include "agent/operator/spawn.h"
#include "agent/operator/webhook.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	RETRY_MS = 1000,
	TIMEOUT_MS = 10000,
	MINUTE_MS = 60000,
	SAVE_EVERY_S = 60, /* of what is raised again and again */
};

struct state {
	struct list link;
	enum alarm_kind kind;
	char smarthost[ALARM_HOST_SIZE];
	char reply[ALARM_REPLY_SIZE];
	char since[ALARM_TIME_SIZE]; /* when it was raised or cleared */
	bool is_raised;
	bool is_doubt; /* ... by alarm_doubt() */
	bool is_told; /* the last that was told is that it is raised */
	bool is_repeated; /* raised again since it was told */
	int64_t told_ms; /* when it was last told to be raised; -1: never */
	int64_t raised_wall_s; /* the last time, as kept: to SAVE_EVERY_S */
	int64_t met_wall_s; /* ... by this process; 0: never */
	size_t post; /* number of the POST that is not answered; 0: none */
};

struct alarm {
	struct loop *loop;
	int64_t interval_ms;
	char *lane, *host;
	struct webhook *hook; /* NULL: no URL */
	struct spawn *command; /* NULL: no command */
	struct list states;
	size_t state_count;
	struct loop_timer *timer; /* looks again */
	struct alarm_store *book; /* NULL: nothing is kept */
	size_t posts; /* of its life */
	bool is_drained;
	int64_t minute_ms; /* begin of the minute that is counted */
	int told_count; /* in this minute */
};

static void look(void *ctx);

/* ---- keeping ----------------------------------------------------------- */

static void
save(struct alarm *a)
{
	struct alarm_rows *rows;
	struct alarm_row *r;

	if (a->book == NULL)
		return;
	rows = mem_zalloc(sizeof(*rows));
	r = rows->row;
	list_each (it, &a->states) {
		const struct state *st = list_entry(it, struct state, link);

		(void)snprintf(
		    r->what, sizeof(r->what), "%s", alarm_kind_name(st->kind));
		memcpy(r->smarthost, st->smarthost, sizeof(r->smarthost));
		memcpy(r->reply, st->reply, sizeof(r->reply));
		memcpy(r->since, st->since, sizeof(r->since));
		r->raised = !st->is_raised ? ALARM_ROW_OVER
			    : st->is_doubt ? ALARM_ROW_DOUBT
					   : ALARM_ROW_RAISED;
		r->is_told = st->is_told;
		r->is_posting = st->post > 0;
		r->told_ms = st->told_ms;
		r->raised_wall_s = st->raised_wall_s;
		r++;
	}
	alarm_store_store(a->book, rows);
	mem_free(rows);
}

/* The web server has one more, or will never have it. */
static void
on_posted(void *ctx)
{
	struct alarm *a = ctx;
	size_t done = a->posts - webhook_pending(a->hook);

	list_each (it, &a->states) {
		struct state *st = list_entry(it, struct state, link);

		if (st->post <= done)
			st->post = 0;
	}
	save(a);
}

/* ---- telling ----------------------------------------------------------- */

static void
post(struct alarm *a, struct state *st, const char *event)
{
	json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "event",
	    event, "lane", a->lane, "smarthost", st->smarthost, "what",
	    alarm_kind_name(st->kind), "reply", st->reply, "host", a->host,
	    "time", st->since);
	char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

	if (text != NULL) {
		webhook_post(a->hook, text);
		st->post = ++a->posts;
	}
	free(text);
	json_decref(object);
}

/* Of variables; run() has their values. */
static const char *const variables[] = {"LANE_EVENT", "LANE_NAME",
    "LANE_SMARTHOST", "LANE_WHAT", "LANE_REPLY", "LANE_HOST", "LANE_TIME",
    NULL};

static void
run(struct alarm *a, const struct state *st, const char *event)
{
	const char *const values[] = {event, a->lane, st->smarthost,
	    alarm_kind_name(st->kind), st->reply, a->host, st->since, NULL};

	_Static_assert(sizeof(values) == sizeof(variables), "one for each");
	spawn_run(a->command, values);
}

static void
tell(struct alarm *a, struct state *st, int64_t now_ms)
{
	const char *what = alarm_kind_name(st->kind);
	const char *event = st->is_raised ? "alarm" : "clear";

	if (st->is_raised)
		log_warn("alarm: %s: lane %s has stopped at %s since %s: %s",
		    what, a->lane, st->smarthost, st->since, st->reply);
	else
		log_info("alarm cleared: %s: lane %s sends mail to %s again",
		    what, a->lane, st->smarthost);
	st->is_told = st->is_raised;
	st->is_repeated = false;
	if (st->is_raised)
		st->told_ms = now_ms;
	if (a->hook != NULL)
		post(a, st, event);
	if (a->command != NULL)
		run(a, st, event);
}

/* ---- when -------------------------------------------------------------- */

/* When this is to be told; INT64_MAX: there is nothing to tell. */
static int64_t
due_ms(const struct alarm *a, const struct state *st)
{
	int64_t pause_ms = a->interval_ms;

	if (!st->is_raised)
		return st->is_told ? 0 : INT64_MAX;
	if (st->told_ms < 0)
		return 0;
	if (st->is_told)
		return st->is_repeated ? st->told_ms + pause_ms : INT64_MAX;
	if (pause_ms > ALARM_PAUSE_MS)
		pause_ms = ALARM_PAUSE_MS;
	return st->told_ms + pause_ms;
}

static bool
may_tell(struct alarm *a, int64_t now_ms)
{
	if (now_ms - a->minute_ms >= MINUTE_MS) {
		a->minute_ms = now_ms;
		a->told_count = 0;
	}
	if (a->told_count == ALARM_PER_MINUTE)
		return false;
	a->told_count++;
	return true;
}

/* Tells what is due, and comes back for what is not yet. */
static void
look(void *ctx)
{
	struct alarm *a = ctx;
	int64_t now_ms = clock_mono_ms(), next_ms = INT64_MAX;
	bool is_news = false;

	list_each (it, &a->states) {
		struct state *st = list_entry(it, struct state, link);
		int64_t due = due_ms(a, st);

		if (due <= now_ms) {
			if (may_tell(a, now_ms)) {
				tell(a, st, now_ms);
				is_news = true;
				continue;
			}
			due = a->minute_ms + MINUTE_MS;
		}
		if (due < next_ms)
			next_ms = due;
	}
	if (next_ms == INT64_MAX)
		loop_timer_cancel(a->timer);
	else
		loop_timer_at(a->timer, next_ms);
	if (is_news)
		save(a);
}

/* ---- states ------------------------------------------------------------ */

/* Cut to fit, then printable: in this order, as a character may be cut. */
static void
set_text(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%.*s", (int)size - 1, from);
	log_safe(to, strlen(to));
}

/* It is told, kept and shown as the log shows it. */
static void
set_reply(struct state *st, const char *reply)
{
	char shown[LOG_LINE_MAX];

	(void)snprintf(shown, sizeof(shown), "%s", reply);
	log_filter(shown, sizeof(shown), NULL);
	set_text(st->reply, sizeof(st->reply), shown);
}

static void
set_since(struct state *st)
{
	struct timeval now = clock_wall();
	struct tm utc;

	if (gmtime_r(&now.tv_sec, &utc) == NULL ||
	    strftime(
		st->since, sizeof(st->since), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		st->since[0] = '\0';
}

static struct state *
find(const struct alarm *a, enum alarm_kind kind, const char *smarthost)
{
	char key_host[ALARM_HOST_SIZE];

	set_text(key_host, sizeof(key_host), smarthost);
	list_each (it, &a->states) {
		struct state *st = list_entry(it, struct state, link);

		if (st->kind == kind && strcmp(st->smarthost, key_host) == 0)
			return st;
	}
	return NULL;
}

static void
state_free(struct alarm *a, struct state *st)
{
	CHECK(a->state_count > 0);
	list_remove(&st->link);
	a->state_count--;
	mem_free(st);
}

/* Forgets the oldest that is over and told; false when there is none. */
static bool
make_room(struct alarm *a)
{
	list_each (it, &a->states) {
		struct state *st = list_entry(it, struct state, link);

		if (!st->is_raised && !st->is_told) {
			state_free(a, st);
			return true;
		}
	}
	return false;
}

static struct state *
add(struct alarm *a, enum alarm_kind kind, const char *smarthost)
{
	struct state *st;

	if (a->state_count == ALARM_COUNT_MAX && !make_room(a))
		return NULL;
	st = mem_zalloc(sizeof(*st));
	CHECK(a->state_count < ALARM_COUNT_MAX);
	st->kind = kind;
	set_text(st->smarthost, sizeof(st->smarthost), smarthost);
	st->told_ms = -1;
	list_push(&a->states, &st->link);
	a->state_count++;
	return st;
}

static void
raise_it(struct alarm *a, enum alarm_kind kind, const char *smarthost,
    const char *reply, bool is_doubt)
{
	int64_t wall_s = clock_wall().tv_sec;
	struct state *st;

	CHECK(smarthost != NULL && reply != NULL);
	if (a->is_drained)
		return;
	st = find(a, kind, smarthost);
	if (st == NULL)
		st = add(a, kind, smarthost);
	if (st == NULL)
		return; /* as many as that were told, or will be */
	if (st->is_raised && !st->is_doubt)
		is_doubt = false;
	set_reply(st, reply);
	st->met_wall_s = wall_s;
	if (st->is_raised && st->is_doubt == is_doubt &&
	    wall_s - st->raised_wall_s < SAVE_EVERY_S) {
		st->is_repeated = true;
		look(a);
		return;
	}
	st->is_repeated = st->is_raised;
	st->raised_wall_s = wall_s;
	if (!st->is_raised)
		set_since(st);
	st->is_raised = true;
	st->is_doubt = is_doubt;
	look(a);
	save(a);
}

void
alarm_raise(struct alarm *a, enum alarm_kind kind, const char *smarthost,
    const char *reply)
{
	raise_it(a, kind, smarthost, reply, false);
}

void
alarm_doubt(struct alarm *a, enum alarm_kind kind, const char *smarthost,
    const char *reply)
{
	raise_it(a, kind, smarthost, reply, true);
}

void
alarm_clear(struct alarm *a, enum alarm_kind kind, const char *smarthost)
{
	struct state *st = find(a, kind, smarthost);

	if (st == NULL || !st->is_raised || a->is_drained)
		return;
	st->is_raised = false;
	set_since(st);
	look(a);
	save(a);
}

bool
alarm_is_raised(
    const struct alarm *a, enum alarm_kind kind, const char *smarthost)
{
	const struct state *st = find(a, kind, smarthost);

	return st != NULL && st->is_raised;
}

bool
alarm_is_doubt(
    const struct alarm *a, enum alarm_kind kind, const char *smarthost)
{
	const struct state *st = find(a, kind, smarthost);

	return st != NULL && st->is_raised && st->is_doubt;
}

/* When it was raised; of a row that was damaged, when it was raised last. */
static uint64_t
since_wall_ms(const struct state *st)
{
	struct tm utc = {.tm_sec = 0};
	const char *end = strptime(st->since, "%Y-%m-%dT%H:%M:%SZ", &utc);
	int64_t at_s = end != NULL ? timegm(&utc) : st->raised_wall_s;

	return at_s > 0 ? (uint64_t)at_s * 1000 : 1;
}

static struct board_writer_alarm
show(const struct state *st)
{
	int64_t met_s = st->met_wall_s > st->raised_wall_s ? st->met_wall_s
							   : st->raised_wall_s;

	return (struct board_writer_alarm){
	    .what = alarm_kind_name(st->kind),
	    .where = st->smarthost,
	    .reply = st->reply,
	    .since_wall_ms = since_wall_ms(st),
	    .met_wall_ms = met_s > 0 ? (uint64_t)met_s * 1000 : 0,
	};
}

size_t
alarm_show(const struct alarm *a, struct board_writer_alarm *rows, size_t max)
{
	size_t n = 0;

	list_each (it, &a->states) {
		const struct state *st = list_entry(it, struct state, link);

		if (st->is_raised && n < max)
			rows[n++] = show(st);
	}
	return n;
}

size_t
alarm_count(const struct alarm *a)
{
	size_t n = 0;

	list_each (it, &a->states)
		n += list_entry(it, struct state, link)->is_raised;
	return n;
}

size_t
alarm_pending(const struct alarm *a)
{
	return (a->hook != NULL ? webhook_pending(a->hook) : 0) +
	       (a->command != NULL ? spawn_pending(a->command) : 0);
}

/* ---- life -------------------------------------------------------------- */

static char *
safe_dup(const char *text)
{
	char *copy = mem_strdup(text);

	log_safe(copy, strlen(copy));
	return copy;
}

/* A bad value was reported, and must not do harm here. */
static bool
has_command(const struct settings *set)
{
	return set->lane_alert_command[0] == '/';
}

bool
alarm_start_runner(const struct settings *set, bool (*begin)(void *ctx),
    void *ctx, int *fd_out)
{
	*fd_out = -1;
	if (!has_command(set))
		return true;
	*fd_out = runner_start(&(struct runner_plan){
	    .command = set->lane_alert_command,
	    .names = variables,
	    .limit_ms = ALARM_COMMAND_MS,
	    .begin = begin,
	    .ctx = ctx,
	});
	return *fd_out >= 0;
}

struct alarm *
alarm_new(struct loop *loop, const struct settings *set, const char *lane_name,
    int runner_fd)
{
	struct alarm *a = mem_zalloc(sizeof(*a));
	struct webhook_config config = {
	    .url = set->lane_alert_url,
	    .retry_ms = RETRY_MS,
	    .timeout_ms = TIMEOUT_MS,
	    .on_done = on_posted,
	    .ctx = a,
	};

	a->loop = loop;
	a->interval_ms = set->lane_alert_interval_us / US_PER_MS;
	a->lane = safe_dup(lane_name);
	a->host = safe_dup(set->myhostname);
	a->minute_ms = clock_mono_ms();
	list_init(&a->states);
	a->timer = loop_timer_new(loop, look, a);
	if (config.url[0] != '\0')
		a->hook = webhook_new(loop, set, &config);
	if (has_command(set))
		a->command = spawn_new(
		    loop, runner_fd, set->lane_alert_command, ALARM_COMMAND_MS);
	return a;
}

/* The web server's answer may have been lost with the last process. */
static void
recall(struct alarm *a, const struct alarm_row *r)
{
	enum alarm_kind kind;
	struct state *st;

	if (!alarm_kind_find(r->what, &kind)) {
		log_warn("alarm of a kind that this version does not know: "
			 "%s at %s: forgotten",
		    r->what, r->smarthost);
		return;
	}
	st = add(a, kind, r->smarthost);
	set_text(st->reply, sizeof(st->reply), r->reply);
	set_text(st->since, sizeof(st->since), r->since);
	st->is_raised = r->raised != ALARM_ROW_OVER;
	st->is_doubt = r->raised == ALARM_ROW_DOUBT;
	st->is_told = r->is_told;
	st->told_ms = r->told_ms;
	st->raised_wall_s = r->raised_wall_s;
	if (r->is_posting && a->hook != NULL)
		post(a, st, st->is_told ? "alarm" : "clear");
}

void
alarm_keep(struct alarm *a, const struct statefile_dir *dir)
{
	struct alarm_rows *rows = mem_zalloc(sizeof(*rows));

	CHECK(a->book == NULL && a->state_count == 0);
	a->book = alarm_store_open(dir, a->lane);
	alarm_store_load(a->book, rows);
	for (size_t i = 0; i < ALARM_COUNT_MAX; i++)
		if (rows->row[i].what[0] != '\0')
			recall(a, &rows->row[i]);
	mem_free(rows);
	/* One that ended while too many were told, for instance. */
	look(a);
	save(a);
}

void
alarm_drain(struct alarm *a)
{
	a->is_drained = true;
	loop_timer_cancel(a->timer);
	alarm_store_close(&a->book);
	if (a->hook != NULL)
		webhook_drain(a->hook);
}

void
alarm_free(struct alarm **alarm)
{
	struct alarm *a = *alarm;

	*alarm = NULL;
	if (a == NULL)
		return;
	while (!list_is_empty(&a->states))
		state_free(a, list_entry(a->states.next, struct state, link));
	webhook_free(&a->hook);
	spawn_free(&a->command);
	loop_timer_free(&a->timer);
	alarm_store_close(&a->book);
	mem_free(a->lane);
	mem_free(a->host);
	mem_free(a);
}
