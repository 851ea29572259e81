#include "monitor/lanestat/recorder.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "monitor/health.h"
#include "monitor/lanestat/events.h"
#include "monitor/lanestat/lane_limits.h"

enum { PARTS = 3 };

static const enum board_hist_id parts[PARTS] = {
    BOARD_HIST_postfix_wait, BOARD_HIST_queue_wait, BOARD_HIST_wire_time};

/* A lane as it was seen last. */
struct seen {
	char name[BOARD_NAME]; /* "": row not in use */
	int64_t at_s;
	uint64_t counters[BOARD_COUNTER_COUNT];
	struct board_hist hists[PARTS];
};

struct recorder {
	struct history *history;
	struct events *events;
	int64_t at_s; /* the last second that was seen; 0: none */
	struct seen seen[HISTORY_LANES];
};

struct recorder *
recorder_new(struct history *history)
{
	struct recorder *r = mem_zalloc(sizeof(*r));

	r->history = history;
	r->events = events_new(history);
	return r;
}

void
recorder_free(struct recorder **recorder)
{
	struct recorder *r = *recorder;

	*recorder = NULL;
	if (r == NULL)
		return;
	events_free(&r->events);
	mem_free(r);
}

static uint32_t
bounded(uint64_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t
whole(double n)
{
	return n > 0 ? bounded((uint64_t)(n < 1e18 ? n : 1e18)) : 0;
}

static uint32_t
gauge(const struct model_lane *lane, enum board_gauge which)
{
	int64_t n = lane->gauges[which];

	return n > 0 ? bounded((uint64_t)n) : 0;
}

/* The row of the lane, or of one that was not seen in the last second. */
static struct seen *
seen_of(struct recorder *r, const char *name)
{
	struct seen *oldest = &r->seen[0];

	for (size_t i = 0; i < HISTORY_LANES; i++) {
		if (strcmp(r->seen[i].name, name) == 0)
			return &r->seen[i];
		if (r->seen[i].at_s < oldest->at_s)
			oldest = &r->seen[i];
	}
	memset(oldest, 0, sizeof(*oldest));
	(void)snprintf(oldest->name, sizeof(oldest->name), "%s", name);
	return oldest;
}

static uint64_t
grown(const struct seen *s, const struct model_lane *lane,
    enum board_counter which)
{
	uint64_t was = s->counters[which], now = lane->counters[which];

	return now > was ? now - was : 0;
}

/* 95 % of what came in took at most, in tenths of a millisecond. */
static uint32_t
p95(const struct board_hist *was, const struct board_hist *now)
{
	struct board_hist h = {0};

	for (size_t i = 0; i < BOARD_HIST_BUCKETS; i++)
		if (now->buckets[i] > was->buckets[i])
			h.buckets[i] = now->buckets[i] - was->buckets[i];
	return bounded((board_hist_quantile(&h, 0.95) + 99) / 100);
}

static uint32_t
backlog_of(const struct model *m, const struct model_lane *lane,
    const struct backlog *backlog)
{
	const struct backlog_share *share = backlog_share_of(backlog, m, lane);

	if (share == NULL)
		return UINT32_MAX;
	return bounded(share->messages[BACKLOG_INCOMING] +
		       share->messages[BACKLOG_ACTIVE]);
}

static void
take_state(struct history_sample *to, const struct model *m,
    const struct model_lane *lane, const struct backlog *backlog,
    const struct health *health)
{
	*to = (struct history_sample){
	    .limit_milli = whole(lane_limit_per_s(m, lane) * 1000),
	    .learned_milli = gauge(lane, BOARD_GAUGE_rate_milli),
	    .waiting = gauge(lane, BOARD_GAUGE_requests_waiting),
	    .in_flight = gauge(lane, BOARD_GAUGE_requests_in_flight),
	    .sessions = bounded(lane->session_count),
	    .backlog = backlog_of(m, lane, backlog),
	    .waits = (uint8_t)lane->waits,
	    .health = (uint8_t)health->state,
	};
}

static void
take_times(struct history_sample *to, const struct seen *s,
    const struct model_lane *lane)
{
	to->postfix_p95 = p95(&s->hists[0], &lane->hists[parts[0]]);
	to->lane_p95 = p95(&s->hists[1], &lane->hists[parts[1]]);
	to->wire_p95 = p95(&s->hists[2], &lane->hists[parts[2]]);
}

/* The share of one second of several; the last has what is over. */
static uint32_t
share(uint64_t all, int64_t spans, bool is_last)
{
	uint64_t each = all / (uint64_t)spans;

	return bounded(is_last ? all - each * (uint64_t)(spans - 1) : each);
}

static void
put(struct recorder *r, const struct seen *s, const struct model_lane *lane,
    struct history_sample *sample, int64_t now_s)
{
	int64_t spans = now_s - s->at_s;
	uint64_t sent = grown(s, lane, BOARD_COUNTER_messages_sent);
	uint64_t deferred = grown(s, lane, BOARD_COUNTER_recipients_deferred);
	uint64_t bounced = grown(s, lane, BOARD_COUNTER_recipients_bounced);
	uint64_t slowed = grown(s, lane, BOARD_COUNTER_throttled) +
			  grown(s, lane, BOARD_COUNTER_replies_421);

	for (int64_t at_s = s->at_s + 1; at_s <= now_s; at_s++) {
		sample->at_s = (uint32_t)at_s;
		sample->sent = share(sent, spans, at_s == now_s);
		sample->deferred = share(deferred, spans, at_s == now_s);
		sample->bounced = share(bounced, spans, at_s == now_s);
		sample->slowed = share(slowed, spans, at_s == now_s);
		history_put(r->history, lane->name, sample);
	}
}

static void
note_lane(struct recorder *r, const struct model *m,
    const struct model_lane *lane, const struct backlog *backlog,
    const struct health *health)
{
	int64_t now_s = m->now.wall.tv_sec;
	struct seen *s = seen_of(r, lane->name);
	struct history_sample sample;

	if (s->at_s > 0 && now_s - s->at_s <= RECORDER_GAP_S &&
	    now_s > s->at_s) {
		take_state(&sample, m, lane, backlog, health);
		take_times(&sample, s, lane);
		put(r, s, lane, &sample, now_s);
	}
	s->at_s = now_s;
	memcpy(s->counters, lane->counters, sizeof(s->counters));
	for (size_t i = 0; i < PARTS; i++)
		s->hists[i] = lane->hists[parts[i]];
}

void
recorder_note(struct recorder *r, const struct model *m,
    const struct backlog *backlog, enum postfix_state postfix)
{
	int64_t now_s = m->now.wall.tv_sec;

	if (now_s == r->at_s)
		return;
	r->at_s = now_s;
	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];
		struct health health;

		if (!model_is_asked_for(lane, NULL))
			continue;
		health_of(&health, m, lane, backlog, postfix);
		note_lane(r, m, lane, backlog, &health);
		events_look_lane(r->events, m, lane, &health);
	}
	for (size_t i = 0; i < m->account_count; i++)
		events_look_account(r->events, m, i);
}
