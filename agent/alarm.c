#include "agent/alarm.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/spawn.h"
#include "agent/webhook.h"
#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"

enum {
	RETRY_MS = 1000,
	TIMEOUT_MS = 10000,
	MINUTE_MS = 60000,
	TIME_SIZE = 32,
};

struct state {
	struct list link;
	char what[ALARM_WHAT_SIZE], smarthost[ALARM_HOST_SIZE];
	char reply[ALARM_REPLY_SIZE];
	char since[TIME_SIZE]; /* when it was raised or cleared */
	bool is_raised;
	bool is_told; /* the last that was told is that it is raised */
	bool is_repeated; /* raised again since it was told */
	int64_t told_ms; /* when it was last told to be raised; -1: never */
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
	int64_t minute_ms; /* begin of the minute that is counted */
	int told_count; /* in this minute */
};

static void look(void *ctx);

/* ---- telling ----------------------------------------------------------- */

static void
post(struct alarm *a, const struct state *st, const char *event)
{
	json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "event",
	    event, "lane", a->lane, "smarthost", st->smarthost, "what",
	    st->what, "reply", st->reply, "host", a->host, "time", st->since);
	char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

	if (text != NULL)
		webhook_post(a->hook, text);
	free(text);
	json_decref(object);
}

static void
run(struct alarm *a, const struct state *st, const char *event)
{
	char *env[] = {
	    mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin"),
	    mem_printf("LANE_EVENT=%s", event),
	    mem_printf("LANE_NAME=%s", a->lane),
	    mem_printf("LANE_SMARTHOST=%s", st->smarthost),
	    mem_printf("LANE_WHAT=%s", st->what),
	    mem_printf("LANE_REPLY=%s", st->reply),
	    mem_printf("LANE_HOST=%s", a->host),
	    mem_printf("LANE_TIME=%s", st->since),
	    NULL,
	};

	spawn_run(a->command, (const char *const *)env);
	for (char **e = env; *e != NULL; e++)
		mem_free(*e);
}

static void
tell(struct alarm *a, struct state *st, int64_t now_ms)
{
	const char *event = st->is_raised ? "alarm" : "clear";

	if (st->is_raised)
		log_warn("alarm: %s: lane %s has stopped at %s since %s: %s",
		    st->what, a->lane, st->smarthost, st->since, st->reply);
	else
		log_info("alarm cleared: %s: lane %s goes again at %s",
		    st->what, a->lane, st->smarthost);
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

	list_each (it, &a->states) {
		struct state *st = list_entry(it, struct state, link);
		int64_t due = due_ms(a, st);

		if (due <= now_ms) {
			if (may_tell(a, now_ms)) {
				tell(a, st, now_ms);
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
}

/* ---- states ------------------------------------------------------------ */

/* Cut to fit, then printable: in this order, as a character may be cut. */
static void
set_text(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
	log_safe(to, strlen(to));
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
find(struct alarm *a, const char *what, const char *smarthost)
{
	char key_what[ALARM_WHAT_SIZE], key_host[ALARM_HOST_SIZE];

	set_text(key_what, sizeof(key_what), what);
	set_text(key_host, sizeof(key_host), smarthost);
	list_each (it, &a->states) {
		struct state *st = list_entry(it, struct state, link);

		if (strcmp(st->what, key_what) == 0 &&
		    strcmp(st->smarthost, key_host) == 0)
			return st;
	}
	return NULL;
}

static void
state_free(struct alarm *a, struct state *st)
{
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
add(struct alarm *a, const char *what, const char *smarthost)
{
	struct state *st;

	if (a->state_count == ALARM_COUNT_MAX && !make_room(a))
		return NULL;
	st = mem_zalloc(sizeof(*st));
	set_text(st->what, sizeof(st->what), what);
	set_text(st->smarthost, sizeof(st->smarthost), smarthost);
	st->told_ms = -1;
	list_push(&a->states, &st->link);
	a->state_count++;
	return st;
}

void
alarm_raise(
    struct alarm *a, const char *what, const char *smarthost, const char *reply)
{
	struct state *st = find(a, what, smarthost);

	if (st == NULL)
		st = add(a, what, smarthost);
	if (st == NULL)
		return; /* as many as that were told, or will be */
	set_text(st->reply, sizeof(st->reply), reply);
	if (st->is_raised) {
		st->is_repeated = true;
	} else {
		st->is_raised = true;
		st->is_repeated = false;
		set_since(st);
	}
	look(a);
}

void
alarm_clear(struct alarm *a, const char *what, const char *smarthost)
{
	struct state *st = find(a, what, smarthost);

	if (st == NULL || !st->is_raised)
		return;
	st->is_raised = false;
	set_since(st);
	look(a);
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

struct alarm *
alarm_new(struct loop *loop, const struct settings *set, const char *lane_name)
{
	struct alarm *a = mem_zalloc(sizeof(*a));
	struct webhook_config config = {
	    .url = set->lane_alert_url,
	    .retry_ms = RETRY_MS,
	    .timeout_ms = TIMEOUT_MS,
	};

	a->loop = loop;
	a->interval_ms = set->lane_alert_interval_ms;
	a->lane = safe_dup(lane_name);
	a->host = safe_dup(set->myhostname);
	a->minute_ms = clock_mono_ms();
	list_init(&a->states);
	a->timer = loop_timer_new(loop, look, a);
	/* A bad value was reported, and must not do harm here. */
	if (config.url[0] != '\0')
		a->hook = webhook_new(loop, set, &config);
	if (set->lane_alert_command[0] == '/')
		a->command =
		    spawn_new(loop, set->lane_alert_command, ALARM_COMMAND_MS);
	return a;
}

void
alarm_drain(struct alarm *a)
{
	if (a->hook != NULL)
		webhook_drain(a->hook);
	if (a->command != NULL)
		spawn_drain(a->command);
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
	mem_free(a->lane);
	mem_free(a->host);
	mem_free(a);
}
