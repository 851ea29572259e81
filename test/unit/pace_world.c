#include "test/unit/pace_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/preset.h"
#include "common/log.h"
#include "common/mem.h"

enum {
	WAITED_MAX = 100000,
	LONG_PAUSE_US = 300 * 1000000, /* that a hold does not bridge */
};

static const int64_t second_us = 1000000;
static const int64_t begin_us = 1000000; /* adapt wants times above 0 */
static const int64_t dial_rtts = 4; /* TCP, TLS, EHLO, AUTH */

enum event_kind {
	EVENT_KICK,
	EVENT_DIAL_ARRIVES,
	EVENT_DIAL_ENDS,
	EVENT_ARRIVES,
	EVENT_REPLY,
	EVENT_GONE, /* the provider sees the end of a connection */
	EVENT_SECOND,
};

struct pace_event {
	int64_t at_us;
	uint64_t order;
	enum event_kind kind;
	int lane, conn;
	int64_t came_us, sent_us; /* of a message */
	const char *reply; /* NULL: accepted */
	char text[80];
};

/* ---- events: a heap ---------------------------------------------------- */

static bool
is_before(const struct pace_event *a, const struct pace_event *b)
{
	if (a->at_us != b->at_us)
		return a->at_us < b->at_us;
	return a->order < b->order;
}

static void
swap(struct pace_event *a, struct pace_event *b)
{
	struct pace_event c = *a;

	*a = *b;
	*b = c;
}

static void
push(struct pace_world *w, struct pace_event e)
{
	size_t i = w->heap_count;

	if (w->heap_count == w->heap_room) {
		w->heap_room = w->heap_room > 0 ? w->heap_room * 2 : 256;
		w->heap =
		    mem_realloc(w->heap, w->heap_room * sizeof(w->heap[0]));
	}
	e.order = w->order++;
	w->heap[w->heap_count++] = e;
	for (; i > 0 && is_before(&w->heap[i], &w->heap[(i - 1) / 2]);
	     i = (i - 1) / 2)
		swap(&w->heap[i], &w->heap[(i - 1) / 2]);
}

static struct pace_event
pop(struct pace_world *w)
{
	struct pace_event first = w->heap[0];
	size_t i = 0;

	w->heap[0] = w->heap[--w->heap_count];
	for (;;) {
		size_t least = i;

		for (size_t c = 2 * i + 1; c <= 2 * i + 2; c++)
			if (c < w->heap_count &&
			    is_before(&w->heap[c], &w->heap[least]))
				least = c;
		if (least == i)
			return first;
		swap(&w->heap[i], &w->heap[least]);
		i = least;
	}
}

/* ---- the provider ------------------------------------------------------ */

static void
refuse(struct pace_event *e, const char *text)
{
	(void)snprintf(e->text, sizeof(e->text), "%s", text);
	e->reply = e->text;
}

static bool
is_window_full(struct pace_provider *p, struct pace_event *e, int64_t now_us)
{
	int64_t left;

	if (p->window_count == 0)
		return false;
	if (now_us - p->window_from_us >= p->window_us) {
		p->window_from_us =
		    now_us - (now_us - p->window_from_us) % p->window_us;
		p->in_window = 0;
	}
	if (p->in_window < p->window_count) {
		p->in_window++;
		return false;
	}
	left = p->window_from_us + p->window_us - now_us;
	if (!p->window_says_when) {
		refuse(e, "454 4.7.0 Message rate limit exceeded");
	} else {
		(void)snprintf(e->text, sizeof(e->text),
		    "550 5.7.0 Too many messages, try again in %lld seconds",
		    (long long)(left / second_us + 1));
		e->reply = e->text;
	}
	return true;
}

static bool
is_bucket_empty(struct pace_provider *p, struct pace_event *e, int64_t now_us)
{
	if (p->rate_per_s <= 0)
		return false;
	p->tokens += (double)(now_us - p->filled_us) * p->rate_per_s / 1e6;
	p->filled_us = now_us;
	if (p->tokens > p->burst)
		p->tokens = p->burst;
	if (p->tokens >= 1) {
		p->tokens -= 1;
		return false;
	}
	refuse(e, "454 Throttling failure: Maximum sending rate exceeded.");
	return true;
}

static bool
is_day_over(struct pace_provider *p, struct pace_event *e, int64_t now_us)
{
	if (p->day_quota == 0)
		return false;
	if (now_us - p->day_from_us >= 86400 * second_us) {
		p->day_from_us += 86400 * second_us;
		p->in_day = 0;
	}
	if (p->in_day < p->day_quota) {
		p->in_day++;
		return false;
	}
	refuse(e, "452 4.5.3 Daily message limit exceeded");
	return true;
}

/* The whole message is there: take it, or say why not. */
static void
judge(struct pace_world *w, struct pace_event *e)
{
	struct pace_provider *p = &w->provider;
	struct pace_conn *c = &w->lanes[e->lane].conns[e->conn];

	if (p->closes_after > 0 && c->taken >= p->closes_after) {
		c->is_cut = true;
		refuse(e, "421 4.7.0 Too many messages in this session");
	} else if (!is_day_over(p, e, w->now_us) &&
		   !is_window_full(p, e, w->now_us) &&
		   !is_bucket_empty(p, e, w->now_us)) {
		c->taken++;
	}
}

/* ---- mail of a lane ---------------------------------------------------- */

static void
add_waiting(struct pace_lane *l, int64_t came_us, bool is_first)
{
	if (l->waiting == l->waiting_room) {
		size_t room = l->waiting_room > 0 ? l->waiting_room * 2 : 64;
		int64_t *ring = mem_zarray(room, sizeof(ring[0]));

		for (size_t i = 0; i < l->waiting; i++)
			ring[i] = l->waiting_us[(l->waiting_from + i) %
						l->waiting_room];
		mem_free(l->waiting_us);
		l->waiting_us = ring;
		l->waiting_from = 0;
		l->waiting_room = room;
	}
	if (is_first) {
		l->waiting_from =
		    (l->waiting_from + l->waiting_room - 1) % l->waiting_room;
		l->waiting_us[l->waiting_from] = came_us;
	} else {
		l->waiting_us[(l->waiting_from + l->waiting) %
			      l->waiting_room] = came_us;
	}
	l->waiting++;
}

static int64_t
take_waiting(struct pace_lane *l)
{
	int64_t came_us = l->waiting_us[l->waiting_from];

	l->waiting_from = (l->waiting_from + 1) % l->waiting_room;
	l->waiting--;
	return came_us;
}

static bool
has_arrivals(const struct pace_lane *l)
{
	return l->messages == 0 || l->arrived_upto < (double)l->messages;
}

/* What came since the last look. An endless backlog has always one more. */
static void
arrive(struct pace_world *w, struct pace_lane *l)
{
	double upto;

	if (isinf(l->arrivals_per_s)) {
		if (l->waiting == 0 && has_arrivals(l)) {
			l->arrived_upto += 1;
			add_waiting(l, w->now_us, false);
		}
		return;
	}
	upto = (double)(w->now_us - begin_us) * l->arrivals_per_s / 1e6;
	while (l->arrived_upto + 1 <= upto + 1e-9 && has_arrivals(l)) {
		l->arrived_upto += 1;
		add_waiting(l,
		    begin_us +
			(int64_t)(l->arrived_upto * 1e6 / l->arrivals_per_s),
		    false);
	}
}

/* ---- sessions ---------------------------------------------------------- */

int
pace_sessions(const struct pace_lane *l)
{
	int n = 0;

	for (int i = 0; i < PACE_CONNS; i++)
		n += l->conns[i].state == PACE_OPEN;
	return n;
}

static int
quota_of(const struct pace_lane *l)
{
	return l->quota > 0 && l->quota < l->messages_per_connection
		   ? l->quota
		   : l->messages_per_connection;
}

static void
close_conn(struct pace_world *w, int lane, int conn)
{
	struct pace_conn *c = &w->lanes[lane].conns[conn];

	if (c->state != PACE_OPEN || c->load > 0)
		return;
	c->state = PACE_CLOSED;
	push(w, (struct pace_event){.at_us = w->now_us + w->provider.rtt_us / 2,
		    .kind = EVENT_GONE,
		    .lane = lane,
		    .conn = conn});
}

static int
pick_conn(const struct pace_lane *l)
{
	int best = -1;

	for (int i = 0; i < PACE_CONNS; i++) {
		const struct pace_conn *c = &l->conns[i];

		if (c->state == PACE_OPEN && !c->is_cut && c->load < l->depth &&
		    c->sent < quota_of(l) &&
		    (best < 0 || c->load < l->conns[best].load))
			best = i;
	}
	return best;
}

static void
dial(struct pace_world *w, int lane)
{
	struct pace_lane *l = &w->lanes[lane];
	int most = adapt_connections(&l->adapt, w->now_us), conn = 0;

	if (most > l->sessions_max)
		most = l->sessions_max;
	if (pace_sessions(l) + l->dialing >= most ||
	    w->now_us < l->dial_not_before_us)
		return;
	while (conn < PACE_CONNS && l->conns[conn].state != PACE_FREE)
		conn++;
	if (conn == PACE_CONNS)
		return;
	l->conns[conn] = (struct pace_conn){.state = PACE_DIALING};
	l->dialing++;
	push(w, (struct pace_event){.at_us = w->now_us + w->provider.rtt_us / 2,
		    .kind = EVENT_DIAL_ARRIVES,
		    .lane = lane,
		    .conn = conn});
}

/* ---- the lane ---------------------------------------------------------- */

static void
kick_at(struct pace_world *w, int lane, int64_t at_us)
{
	struct pace_lane *l = &w->lanes[lane];

	if (l->kick_us > w->now_us && l->kick_us <= at_us)
		return;
	l->kick_us = at_us;
	push(w, (struct pace_event){
		    .at_us = at_us, .kind = EVENT_KICK, .lane = lane});
}

/* Gives one message away; false: nothing more can go now. */
static bool
serve(struct pace_world *w, int lane)
{
	static const struct pacer_cost one = {{1, 1, 1000}, NULL};
	struct pace_lane *l = &w->lanes[lane];
	int64_t wait, paced;
	int conn;

	arrive(w, l);
	if (l->waiting == 0) {
		if (has_arrivals(l))
			kick_at(w, lane,
			    begin_us +
				(int64_t)((l->arrived_upto + 1) * 1e6 /
					  l->arrivals_per_s) +
				1);
		return false;
	}
	wait = adapt_wait_us(&l->adapt, w->now_us);
	paced = pacer_wait_us(&l->pacer, &one, w->now_us, NULL);
	if (paced > wait)
		wait = paced;
	if (wait > 0) {
		if (wait < INT64_MAX / 2)
			kick_at(w, lane, w->now_us + wait);
		return false;
	}
	conn = pick_conn(l);
	if (conn < 0 || l->conns[conn].load > 0)
		dial(w, lane);
	if (conn < 0)
		return false;
	pacer_take(&l->pacer, &one, w->now_us);
	adapt_take(&l->adapt, w->now_us);
	l->conns[conn].load++;
	l->conns[conn].sent++;
	l->sent++;
	push(w, (struct pace_event){.at_us = w->now_us + w->provider.rtt_us / 2,
		    .kind = EVENT_ARRIVES,
		    .lane = lane,
		    .conn = conn,
		    .came_us = take_waiting(l),
		    .sent_us = w->now_us});
	return true;
}

static void
kick(struct pace_world *w, int lane)
{
	if (!w->lanes[lane].is_used)
		return;
	while (serve(w, lane))
		;
}

static struct rule_hit
meaning(struct pace_world *w, enum rule_stage stage, const char *text)
{
	char status[16] = "";
	struct rules_query q = {stage, (int)strtol(text, NULL, 10), status,
	    text, w->now_us / second_us};
	struct rule_hit hit;

	if (text[5] == '.')
		(void)snprintf(status, sizeof(status), "%.5s", text + 4);
	(void)rules_match(w->rules, &q, &hit);
	return hit;
}

static void
on_refused(struct pace_world *w, const struct pace_event *e)
{
	struct pace_lane *l = &w->lanes[e->lane];
	struct rule_hit hit = meaning(w, RULE_EOD, e->reply);
	int64_t wait_us = hit.wait_ms * 1000;
	struct pace_lane *lower = NULL;

	for (int i = e->lane + 1; i < PACE_LANES; i++)
		if (w->lanes[i].is_used && w->lanes[i].waiting > 0)
			lower = &w->lanes[i];
	switch (hit.outcome) {
	case RULE_RECONNECT:
		l->reconnects++;
		l->quota = l->conns[e->conn].taken;
		adapt_on_other(&l->adapt);
		return;
	case RULE_SLOW:
	case RULE_PAUSE:
		l->refused++;
		l->in_second_refused++;
		if (wait_us > LONG_PAUSE_US) {
			adapt_on_other(&l->adapt);
			adapt_pause_until(&l->adapt, w->now_us + wait_us);
			return;
		}
		adapt_on_throttled(
		    &l->adapt, e->sent_us, wait_us, lower != NULL, w->now_us);
		if (lower != NULL)
			adapt_yield(&lower->adapt, e->sent_us, w->now_us);
		return;
	case RULE_OK:
	case RULE_CONNECTIONS:
	case RULE_ALARM:
	case RULE_DEFER:
	case RULE_BOUNCE:
		break;
	}
	log_panic("no rule for: %s", e->reply);
}

static void
on_accepted(struct pace_world *w, const struct pace_event *e)
{
	struct pace_lane *l = &w->lanes[e->lane];

	l->accepted++;
	l->in_second_accepted++;
	adapt_on_accepted(&l->adapt, e->sent_us, w->now_us);
	if (l->waited_us == NULL)
		l->waited_us = mem_zarray(WAITED_MAX, sizeof(int64_t));
	if (l->waited_count < WAITED_MAX)
		l->waited_us[l->waited_count++] = w->now_us - e->came_us;
	if (w->now_us - e->came_us > l->hold_us)
		l->held_long++;
}

static void
on_reply(struct pace_world *w, struct pace_event *e)
{
	struct pace_lane *l = &w->lanes[e->lane];
	struct pace_conn *c = &l->conns[e->conn];

	c->load--;
	if (e->reply == NULL) {
		on_accepted(w, e);
	} else {
		if (e->reply[0] == '-')
			adapt_on_other(&l->adapt);
		else
			on_refused(w, e);
		add_waiting(l, e->came_us, true);
	}
	if (c->is_cut || c->sent >= quota_of(l))
		close_conn(w, e->lane, e->conn);
	kick(w, e->lane);
}

static void
on_dial_arrives(struct pace_world *w, struct pace_event *e)
{
	struct pace_provider *p = &w->provider;
	struct pace_conn *c = &w->lanes[e->lane].conns[e->conn];

	if (p->connections > 0 && p->live >= p->connections) {
		refuse(e, "421 4.4.5 Too many connections");
	} else {
		p->live++;
		c->is_counted = true;
	}
	e->kind = EVENT_DIAL_ENDS;
	e->at_us = w->now_us +
		   (e->reply != NULL ? p->rtt_us / 2 : p->rtt_us * dial_rtts);
	push(w, *e);
}

static void
on_dial_ends(struct pace_world *w, struct pace_event *e)
{
	struct pace_lane *l = &w->lanes[e->lane];
	struct pace_conn *c = &l->conns[e->conn];
	struct rule_hit hit;

	l->dialing--;
	if (e->reply == NULL) {
		c->state = PACE_OPEN;
		adapt_on_connected(&l->adapt, pace_sessions(l), w->now_us);
		kick(w, e->lane);
		return;
	}
	hit = meaning(w, RULE_CONNECT, e->text);
	CHECK(hit.outcome == RULE_CONNECTIONS);
	l->dials_refused++;
	c->state = PACE_FREE;
	adapt_on_too_many_connections(&l->adapt, pace_sessions(l) + l->dialing,
	    hit.wait_ms * 1000, w->now_us);
	kick(w, e->lane);
}

static void
on_arrives(struct pace_world *w, struct pace_event *e)
{
	if (w->lanes[e->lane].conns[e->conn].is_cut)
		refuse(e, "-"); /* the stream ended before it */
	else
		judge(w, e);
	e->kind = EVENT_REPLY;
	e->at_us = w->now_us + w->provider.rtt_us / 2;
	push(w, *e);
}

static void
on_gone(struct pace_world *w, const struct pace_event *e)
{
	struct pace_conn *c = &w->lanes[e->lane].conns[e->conn];

	if (c->is_counted)
		w->provider.live--;
	c->state = PACE_FREE;
	kick(w, e->lane);
}

static void
on_second(struct pace_world *w)
{
	if (w->on_second != NULL)
		w->on_second(w->ctx, w, (w->now_us - begin_us) / second_us);
	for (int i = 0; i < PACE_LANES; i++) {
		w->lanes[i].in_second_accepted = 0;
		w->lanes[i].in_second_refused = 0;
		kick(w, i);
	}
	push(w, (struct pace_event){
		    .at_us = w->now_us + second_us, .kind = EVENT_SECOND});
}

static void
handle(struct pace_world *w, struct pace_event *e)
{
	switch (e->kind) {
	case EVENT_KICK:
		kick(w, e->lane);
		break;
	case EVENT_DIAL_ARRIVES:
		on_dial_arrives(w, e);
		break;
	case EVENT_DIAL_ENDS:
		on_dial_ends(w, e);
		break;
	case EVENT_ARRIVES:
		on_arrives(w, e);
		break;
	case EVENT_REPLY:
		if (e->reply != NULL)
			e->reply = e->text; /* it was copied */
		on_reply(w, e);
		break;
	case EVENT_GONE:
		on_gone(w, e);
		break;
	case EVENT_SECOND:
		on_second(w);
		break;
	}
}

/* ---- life -------------------------------------------------------------- */

void
pace_init(struct pace_world *w)
{
	*w = (struct pace_world){.now_us = begin_us};
	w->rules = rules_new();
	w->provider.rtt_us = 50000;
	for (int i = 0; i < PACE_LANES; i++)
		w->lanes[i] = (struct pace_lane){
		    .arrivals_per_s = INFINITY,
		    .sessions_max = 20,
		    .depth = 1,
		    .messages_per_connection = 50,
		    .rate_limit = "none",
		    .hold_us = 300 * second_us,
		};
	w->lanes[0].is_used = true;
}

void
pace_fini(struct pace_world *w)
{
	for (int i = 0; i < PACE_LANES; i++) {
		mem_free(w->lanes[i].waiting_us);
		mem_free(w->lanes[i].waited_us);
	}
	rules_free(&w->rules);
	mem_free(w->heap);
}

bool
pace_read_rules(struct pace_world *w, const char *path)
{
	FILE *file = fopen(path, "re");
	struct preset preset;
	struct buf errors;
	char *text;
	size_t n;
	bool is_good;

	if (file == NULL)
		return false;
	text = mem_alloc(RULES_FILE_MAX);
	buf_init(&errors, 4096);
	n = fread(text, 1, RULES_FILE_MAX, file);
	(void)fclose(file);
	is_good =
	    preset_parse(&preset, path, slice_of(text, n), w->rules, &errors);
	if (!is_good)
		log_error("%s", buf_str(&errors));
	preset_fini(&preset);
	buf_fini(&errors);
	mem_free(text);
	return is_good;
}

static void
begin_lane(struct pace_world *w, struct pace_lane *l)
{
	struct adapt_config config = {
	    0.001, INFINITY, l->sessions_max * l->depth};
	char limit[200], none[] = "none", error[200];
	struct settings set = {.lane_message_rate_limit = limit,
	    .lane_recipient_rate_limit = none,
	    .lane_byte_rate_limit = none};

	(void)snprintf(limit, sizeof(limit), "%s", l->rate_limit);
	adapt_init(&l->adapt, &config, w->now_us);
	if (!pacer_init(&l->pacer, &set, w->now_us, error, sizeof(error)))
		log_fatal("%s", error);
}

void
pace_begin(struct pace_world *w)
{
	struct pace_provider *p = &w->provider;

	p->tokens = p->burst;
	p->filled_us = p->window_from_us = p->day_from_us = w->now_us;
	for (int i = 0; i < PACE_LANES; i++) {
		begin_lane(w, &w->lanes[i]);
		kick(w, i);
	}
	push(w, (struct pace_event){
		    .at_us = w->now_us + second_us, .kind = EVENT_SECOND});
}

static bool
is_done(const struct pace_world *w)
{
	for (int i = 0; i < PACE_LANES; i++) {
		const struct pace_lane *l = &w->lanes[i];

		if (l->is_used &&
		    (l->messages == 0 || l->accepted < l->messages))
			return false;
	}
	return true;
}

int64_t
pace_run(struct pace_world *w, int64_t until_s)
{
	while (
	    !is_done(w) && w->heap[0].at_us <= begin_us + until_s * second_us) {
		struct pace_event e = pop(w);

		w->now_us = e.at_us;
		handle(w, &e);
	}
	return w->now_us - begin_us;
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

int64_t
pace_quantile_us(struct pace_lane *l, double share)
{
	size_t i = (size_t)((double)l->waited_count * share);

	if (l->waited_count == 0)
		return 0;
	qsort(l->waited_us, l->waited_count, sizeof(int64_t), by_value);
	return l->waited_us[i < l->waited_count ? i : l->waited_count - 1];
}
