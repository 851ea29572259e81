#include "monitor/lanestat/events.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "monitor/lanestat/recorder.h"
#include "monitor/say.h"

enum { ACCOUNTS = 64 };

/* As seen last; what was told. */
struct lane_seen {
	char name[BOARD_NAME]; /* "": row not in use */
	int64_t at_ms;
	enum health_state told, other;
	int64_t other_since_ms;
	int64_t trouble_ms, trouble_told_ms;
	char trouble[MODEL_REPLY]; /* as it was told */
	int64_t started_ms;
	size_t order_count;
	struct steer_order orders[STEER_VERBS];
};

struct account_seen {
	const char *directory;
	uint64_t key, refusals; /* key 0: row not in use */
	int limit_now;
};

struct events {
	struct history *history;
	struct lane_seen lanes[HISTORY_LANES];
	struct account_seen accounts[ACCOUNTS];
};

struct events *
events_new(struct history *history)
{
	struct events *e = mem_zalloc(sizeof(*e));

	e->history = history;
	return e;
}

void
events_free(struct events **events)
{
	mem_free(*events);
	*events = NULL;
}

__attribute__((format(printf, 5, 6))) static void
tell(struct events *e, const struct model *m, const char *whose,
    enum health_state health, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	history_note(
	    e->history, model_wall_ms(m), whose, (uint32_t)health, text);
}

/* ---- lanes -------------------------------------------------------------- */

/* The row of the lane; *is_new_out: it was not seen before. */
static struct lane_seen *
seen_of(struct events *e, const char *name, bool *is_new_out)
{
	struct lane_seen *oldest = &e->lanes[0];

	*is_new_out = false;
	for (size_t i = 0; i < HISTORY_LANES; i++) {
		if (strcmp(e->lanes[i].name, name) == 0)
			return &e->lanes[i];
		if (e->lanes[i].at_ms < oldest->at_ms)
			oldest = &e->lanes[i];
	}
	*is_new_out = true;
	memset(oldest, 0, sizeof(*oldest));
	(void)snprintf(oldest->name, sizeof(oldest->name), "%s", name);
	return oldest;
}

/* As an earlier process told it last; now: none did. */
static enum health_state
told_before(const struct events *e, const char *lane, enum health_state now)
{
	const struct history_event *all[HISTORY_EVENTS];
	size_t count = history_events(e->history, all, HISTORY_EVENTS);

	for (size_t i = 0; i < count; i++) {
		enum health_state state = (enum health_state)all[i]->health;
		size_t n;

		if (all[i]->health > HEALTH_DOWN ||
		    strcmp(all[i]->lane, lane) != 0)
			continue;
		n = strlen(health_name(state));
		if (strncmp(all[i]->text, health_name(state), n) == 0 &&
		    all[i]->text[n] == ':')
			return state;
	}
	return now;
}

static void
look_at_health(struct events *e, const struct model *m,
    const struct model_lane *lane, struct lane_seen *s,
    const struct health *health)
{
	int64_t now_ms = model_wall_ms(m);

	if (health->state == s->told) {
		s->other = s->told;
		return;
	}
	if (health->state != s->other) {
		s->other = health->state;
		s->other_since_ms = now_ms;
	}
	if (health->state < HEALTH_ALARM &&
	    now_ms - s->other_since_ms < RECORDER_SETTLE_S * 1000)
		return;
	s->told = health->state;
	tell(e, m, lane->name, health->state, "%s: %s",
	    health_name(health->state), health->text);
}

static void
look_at_trouble(struct events *e, const struct model *m,
    const struct model_lane *lane, struct lane_seen *s)
{
	int64_t now_ms = model_wall_ms(m);
	int64_t rest_s = strcmp(lane->trouble, s->trouble) == 0
			     ? RECORDER_SAME_S
			     : RECORDER_TROUBLE_S;

	if (lane->trouble_wall_ms == s->trouble_ms ||
	    now_ms - s->trouble_told_ms < rest_s * 1000)
		return;
	s->trouble_ms = lane->trouble_wall_ms;
	s->trouble_told_ms = now_ms;
	(void)snprintf(s->trouble, sizeof(s->trouble), "%s", lane->trouble);
	tell(e, m, lane->name, HEALTH_SLOWED, "trouble: %s", lane->trouble);
}

static bool
is_same(const struct steer_order *a, const struct steer_order *b)
{
	return a->verb == b->verb && a->at_s == b->at_s &&
	       a->until_s == b->until_s && strcmp(a->value, b->value) == 0;
}

static bool
has(const struct steer_order *orders, size_t n, const struct steer_order *o)
{
	for (size_t i = 0; i < n; i++)
		if (is_same(&orders[i], o))
			return true;
	return false;
}

static const char *
value_of(const struct steer_order *o)
{
	return o->verb == STEER_RATE || o->verb == STEER_CONNECTIONS ? o->value
								     : "";
}

static void
look_at_orders(struct events *e, const struct model *m,
    const struct model_lane *lane, struct lane_seen *s)
{
	char until[SAY_SIZE];

	for (size_t i = 0; i < lane->order_count; i++) {
		const struct steer_order *o = &lane->orders[i];

		if (has(s->orders, s->order_count, o))
			continue;
		tell(e, m, lane->name, HEALTH_PAUSED,
		    "%s %s asked for by %s%s%s", steer_verb_name(o->verb),
		    value_of(o), o->who, o->until_s > 0 ? ", until " : "",
		    o->until_s > 0 ? say_clock(o->until_s * 1000,
					 model_wall_ms(m), until, sizeof(until))
				   : "");
	}
	for (size_t i = 0; i < s->order_count; i++)
		if (!has(lane->orders, lane->order_count, &s->orders[i]))
			tell(e, m, lane->name, HEALTH_WELL, "%s %s is over",
			    steer_verb_name(s->orders[i].verb),
			    value_of(&s->orders[i]));
}

static void
remember_orders(struct lane_seen *s, const struct model_lane *lane)
{
	s->order_count = lane->order_count;
	memcpy(s->orders, lane->orders, sizeof(s->orders));
}

static void
look_at_process(struct events *e, const struct model *m,
    const struct model_lane *lane, struct lane_seen *s)
{
	if (lane->process == MODEL_RUNNING &&
	    lane->started_wall_ms != s->started_ms)
		tell(e, m, lane->name, HEALTH_WELL,
		    "process %" PRIu64 " started", lane->pid);
	s->started_ms = lane->started_wall_ms;
}

void
events_look_lane(struct events *e, const struct model *m,
    const struct model_lane *lane, const struct health *health)
{
	bool is_new;
	struct lane_seen *s = seen_of(e, lane->name, &is_new);

	s->at_ms = model_wall_ms(m);
	if (is_new) {
		s->told = s->other = told_before(e, lane->name, health->state);
		s->trouble_ms = lane->trouble_wall_ms;
		s->started_ms = lane->started_wall_ms;
	} else {
		look_at_process(e, m, lane, s);
		look_at_orders(e, m, lane, s);
		look_at_trouble(e, m, lane, s);
		look_at_health(e, m, lane, s, health);
	}
	remember_orders(s, lane);
}

/* ---- accounts ----------------------------------------------------------- */

static struct account_seen *
account_of(struct events *e, const struct model_account *a)
{
	struct account_seen *room = NULL;

	for (size_t i = 0; i < ACCOUNTS; i++) {
		struct account_seen *s = &e->accounts[i];

		if (s->key == a->key && s->directory == a->directory)
			return s;
		if (s->key == 0 && room == NULL)
			room = s;
	}
	if (room != NULL)
		*room = (struct account_seen){.directory = a->directory,
		    .key = a->key,
		    .refusals = a->refusals,
		    .limit_now = a->limit_now};
	return room;
}

void
events_look_account(struct events *e, const struct model *m, size_t i)
{
	const struct model_account *a = &m->accounts[i];
	struct account_seen *s = account_of(e, a);

	if (s == NULL)
		return;
	if (a->limit_now < s->limit_now && a->refusals > s->refusals)
		tell(e, m, a->label, HEALTH_SLOWED,
		    "%d of %d connections from now on, the provider refused "
		    "more: %s",
		    a->limit_now, a->limit, a->refusal);
	else if (a->limit_now > s->limit_now && a->limit_now == a->limit)
		tell(e, m, a->label, HEALTH_WELL, "all %d connections again",
		    a->limit);
	s->limit_now = a->limit_now;
	s->refusals = a->refusals;
}
