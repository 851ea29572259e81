#include "tools/lane-sim/sim_fleet.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/fleet_engine.h"
#include "agent/engine/fleet_heard.h"
#include "agent/engine/fleet_rate.h"
#include "agent/engine/fleet_share.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	TICK_US = 50000,
	ASK_US = 1000000,
	HURRY_US = 250000, /* who wants more, or has less, asks so soon */
	HURRIES = 12,
	EVENTS_MAX = 8192,
	USES_MAX = 64, /* seconds of a quota's period */
	BUSY_MOST_US = 3000000, /* a message under way takes so long at most */
	TROUBLES = 5, /* of the engine */
	RATE_MILLI = 100000, /* messages per second, in thousandths */
	STORED_AGES = 4, /* what replicas may know of the engine */
	/* Where all is well a lesson is obeyed so long after it began, and so
	 * long after its end, with all that may go wrong, not any more: the way
	 * of a question and of an answer, and what a clock is set back by
	 * unseen in each lease that a dead host's minute has. */
	HEARD_US = 2500000,
	HEARD_END_US = 30000000,
};

/* The engine's clock, in the beginning: no time is below 0. */
#define EPOCH_US (1000000 * US_PER_S)
#define BEGIN_US (1000 * US_PER_S)

enum event_kind { EVENT_QUESTION, EVENT_ANSWER };

struct event {
	int64_t at_us;
	uint64_t order; /* of those at the same time */
	enum event_kind kind;
	int host;
	int64_t process; /* of the host, that waits for the answer */
	int64_t number;
	struct fleet_question question;
	struct fleet_answer answer;
};

struct host {
	char name[FLEET_NAME_SIZE];
	struct fleet_share share;
	int64_t offset_us; /* of its clock */
	double pace; /* of its clock, near 1 */
	int64_t next_us, cut_us, dead_us;
	int64_t stopped_us; /* it neither asks nor hears until then */
	int64_t process;
	int64_t want, in_use;
	int hurries; /* since it wanted more */
	int64_t busy_us; /* what is above the share ends then */
	int64_t uses[USES_MAX]; /* of a quota, by second */
	struct limiter limiter; /* its part of a rate */
	/* What it learned: since when and until, and what it told of that. */
	int64_t learned_us[FLEET_KINDS], forgets_us[FLEET_KINDS];
	int64_t told_us[FLEET_KINDS];
	struct fleet_heard heard[FLEET_KINDS];
};

struct world {
	const struct sim_fleet_plan *plan;
	struct sim_fleet_result *out;
	struct fleet_terms terms;
	/* The second's use changes nothing of what the first chooses. */
	uint64_t random, lesson_random;
	int64_t now_us;
	int host_count;
	struct host hosts[FLEET_HOSTS_MAX];
	struct fleet_engine engine, ages[STORED_AGES];
	char run[FLEET_LIFE_SIZE];
	int64_t runs, away_us;
	int trouble; /* of the engine, that comes again and again; -1: any */
	int64_t engine_offset_us, stepped_us;
	struct event *events; /* a heap */
	size_t event_count;
	size_t turns_done;
	/* Of a rate: all of it (no count: it is none), and what was sent and
	 * not made up for, in millionths of a unit. */
	struct rate rate;
	int64_t sent_micro;
	uint64_t event_order;
};

/* ---- chance -------------------------------------------------------------- */

static uint64_t
next_random(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

/* From 0 to n - 1. */
static int64_t
below(struct world *w, int64_t n)
{
	return (int64_t)((next_random(w) >> 11) % (uint64_t)n);
}

/* Once in n times, where things go wrong. */
static bool
happens(struct world *w, int64_t n)
{
	return w->plan->has_faults && below(w, n) == 0;
}

static int64_t
span_us(struct world *w, int64_t least_ms, int64_t most_ms)
{
	return (least_ms + below(w, most_ms - least_ms)) * US_PER_MS;
}

/* ---- events -------------------------------------------------------------- */

static bool
is_before(const struct event *a, const struct event *b)
{
	return a->at_us < b->at_us ||
	       (a->at_us == b->at_us && a->order < b->order);
}

static void
push(struct world *w, struct event *e)
{
	size_t i = w->event_count++, parent;

	CHECK(i < EVENTS_MAX);
	e->order = w->event_order++;
	while (i > 0 && is_before(e, &w->events[parent = (i - 1) / 2])) {
		w->events[i] = w->events[parent];
		i = parent;
	}
	w->events[i] = *e;
}

static struct event
pop(struct world *w)
{
	struct event first = w->events[0];
	const struct event *last = &w->events[--w->event_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->event_count) {
		if (child + 1 < w->event_count &&
		    is_before(&w->events[child + 1], &w->events[child]))
			child++;
		if (!is_before(&w->events[child], last))
			break;
		w->events[i] = w->events[child];
		i = child;
	}
	w->events[i] = *last;
	return first;
}

static int64_t
delay_us(struct world *w)
{
	static const int64_t delays_ms[] = {1, 5, 50, 400, 1500, 6000};

	if (!w->plan->has_faults || below(w, 10) >= 3)
		return 2 * US_PER_MS;
	return delays_ms[below(w, 6)] * US_PER_MS;
}

/* One of twenty is lost, one of twenty comes twice. */
static void
send(struct world *w, struct event *e)
{
	if (happens(w, 20))
		return;
	e->at_us = w->now_us + delay_us(w);
	push(w, e);
	if (!happens(w, 20))
		return;
	e->at_us = w->now_us + delay_us(w);
	push(w, e);
}

/* ---- hosts --------------------------------------------------------------- */

static int64_t
host_clock(const struct world *w, const struct host *h)
{
	return h->offset_us + (int64_t)((double)w->now_us * h->pace);
}

static bool
is_dead(const struct world *w, const struct host *h)
{
	return w->now_us < h->dead_us;
}

static bool
is_awake(const struct world *w, const struct host *h)
{
	return !is_dead(w, h) && w->now_us >= h->stopped_us;
}

static int64_t
allowed(const struct world *w, const struct host *h)
{
	return is_dead(w, h)
		   ? 0
		   : fleet_share_now(&h->share, &w->terms, host_clock(w, h));
}

/* Kinds that are known and, to the engine, others. */
static void
tell_lessons(const struct world *w, struct host *h, struct fleet_question *q)
{
	for (int k = 0; k < FLEET_KINDS; k++) {
		int64_t left_us = h->forgets_us[k] - w->now_us;

		if (left_us <= 0)
			continue;
		q->lessons[k] = (struct fleet_lesson){
		    .left_us = left_us, .value = h->forgets_us[k] % 20};
		h->told_us[k] = h->forgets_us[k];
		q->lessons[FLEET_LESSONS - 1 - k] = q->lessons[k];
	}
}

static void
ask(struct world *w, int i)
{
	struct host *h = &w->hosts[i];
	struct event e = {
	    .kind = EVENT_QUESTION, .host = i, .process = h->process};

	h->next_us = w->now_us + ASK_US;
	fleet_share_ask(&h->share, &w->terms, h->want, h->in_use,
	    host_clock(w, h), &e.question);
	(void)snprintf(e.question.host, sizeof(e.question.host), "%s", h->name);
	e.number = e.question.number;
	tell_lessons(w, h, &e.question);
	if (w->now_us >= h->cut_us)
		send(w, &e);
}

static void
on_question(struct world *w, struct event *e)
{
	struct host *h = &w->hosts[e->host];

	if (w->now_us < w->away_us || w->now_us < h->cut_us)
		return;
	w->out->questions++;
	fleet_engine_renew(&w->engine, &w->terms, w->run, &e->question,
	    w->now_us + w->engine_offset_us, &e->answer);
	if (w->plan->ops != NULL && w->plan->ops->renew != NULL)
		w->plan->ops->renew(w->plan->ctx, &w->terms, w->run,
		    &e->question, w->now_us + w->engine_offset_us, &e->answer);
	e->kind = EVENT_ANSWER;
	send(w, e);
}

/* The next question does not wait for its second. */
static void
hurry(const struct world *w, struct host *h, int64_t before,
    const struct fleet_answer *answer)
{
	int64_t share = allowed(w, h);

	if (answer->word == FLEET_OK &&
	    (share < before ||
		(answer->target > share && h->hurries++ < HURRIES)))
		h->next_us = fleet_least(h->next_us, w->now_us + HURRY_US);
}

/* Messages under way above a new share are at their end before the lease that
 * they began in would have been: what was above the share already began in an
 * earlier one. */
static void
on_answer(struct world *w, struct event *e)
{
	struct host *h = &w->hosts[e->host];
	int64_t left_us = h->share.end_us - host_clock(w, h);
	int64_t before = allowed(w, h);

	if (w->now_us < h->stopped_us) {
		e->at_us = h->stopped_us;
		push(w, e);
		return;
	}
	if (is_dead(w, h) || w->now_us < h->cut_us || e->process != h->process)
		return;
	if (!fleet_share_answer(
		&h->share, &w->terms, e->number, &e->answer, host_clock(w, h)))
		return;
	hurry(w, h, before, &e->answer);
	if (e->answer.word == FLEET_OK)
		fleet_heard_take(
		    h->heard, &e->answer, h->in_use, host_clock(w, h));
	if (left_us > BUSY_MOST_US)
		left_us = BUSY_MOST_US;
	if (left_us > 0 && before >= h->in_use && allowed(w, h) < h->in_use)
		h->busy_us = w->now_us + below(w, left_us);
}

static void
handle_events(struct world *w)
{
	while (w->event_count > 0 && w->events[0].at_us <= w->now_us) {
		struct event e = pop(w);

		if (e.kind == EVENT_QUESTION)
			on_question(w, &e);
		else
			on_answer(w, &e);
	}
}

/* ---- what is in use ------------------------------------------------------ */

/* Connections are as many as are wanted and allowed, but those above the share
 * finish what they are at. */
static void
use_connections(const struct world *w, struct host *h)
{
	int64_t n = allowed(w, h);

	if (h->want < n)
		n = h->want;
	if (n > h->in_use || w->now_us >= h->busy_us || is_dead(w, h))
		h->in_use = n;
}

/* Of a quota all counts that was used in its period. */
static void
use_quota(struct world *w, struct host *h)
{
	int64_t second = w->now_us / US_PER_S;
	int64_t period = w->terms.linger_us / US_PER_S * 4 / 5;
	int64_t room;

	CHECK(period <= USES_MAX);
	if (w->now_us % US_PER_S == 0)
		h->uses[second % period] = 0;
	h->in_use = 0;
	for (int64_t i = 0; i < period; i++)
		h->in_use += h->uses[i];
	room = allowed(w, h) - h->in_use;
	if (room <= 0 || h->want == 0 || below(w, 4) != 0)
		return;
	room = 1 + below(w, room);
	h->uses[second % period] += room;
	h->in_use += room;
}

/* As much as its part of the rate lets go. */
static int64_t
send_messages(struct world *w, struct host *h)
{
	struct rate part;
	int64_t n = 0;

	fleet_rate_part(&w->rate, allowed(w, h), &part);
	fleet_rate_apply(&h->limiter, &part, w->now_us);
	if (h->want == 0 || is_dead(w, h))
		return 0;
	while (limiter_take(&h->limiter, 1, w->now_us))
		n++;
	return n;
}

/* In every span: no more than the rate, its burst and one for each host. */
static void
check_rate(struct world *w)
{
	int64_t most = (w->rate.burst + w->host_count) * 1000000, n = 0;

	if (w->rate.count_milli == 0)
		return;
	for (int i = 0; i < w->host_count; i++)
		n += send_messages(w, &w->hosts[i]);
	w->sent_micro -= w->rate.count_milli * TICK_US / 1000;
	if (w->sent_micro < 0)
		w->sent_micro = 0;
	w->sent_micro += n * 1000000;
	if (w->sent_micro > most && w->out->over++ == 0)
		w->out->first_over_us = w->now_us - BEGIN_US;
}

static void
tell_second(const struct world *w, int64_t possible, int64_t used)
{
	struct sim_fleet_second now = {
	    .second = (w->now_us - BEGIN_US) / US_PER_S,
	    .possible = possible,
	    .used = used,
	};

	if (w->plan->ops == NULL || w->plan->ops->on_second == NULL ||
	    w->now_us % US_PER_S != 0)
		return;
	for (int i = 0; i < w->host_count; i++) {
		const struct host *h = &w->hosts[i];

		now.allowed += allowed(w, h);
		now.alone +=
		    is_dead(w, h) || host_clock(w, h) >= h->share.end_us;
	}
	w->plan->ops->on_second(w->plan->ctx, &now);
}

static void
count_use(struct world *w)
{
	int64_t sum = 0, wanted = 0, used = 0;

	for (int i = 0; i < w->host_count; i++) {
		struct host *h = &w->hosts[i];
		int64_t may;

		if (w->terms.linger_us > 0)
			use_quota(w, h);
		else
			use_connections(w, h);
		may = allowed(w, h);
		sum += may > h->in_use ? may : h->in_use;
		wanted += is_dead(w, h) ? 0 : h->want;
		used += h->in_use < h->want ? h->in_use : h->want;
	}
	if (wanted > w->terms.limit)
		wanted = w->terms.limit;
	w->out->ticks++;
	if (sum - w->terms.limit > w->out->worst)
		w->out->worst = sum - w->terms.limit;
	if (sum > w->terms.limit && w->out->over++ == 0)
		w->out->first_over_us = w->now_us - BEGIN_US;
	w->out->possible += (double)wanted;
	w->out->used += (double)used;
	check_rate(w);
	tell_second(w, wanted, used);
}

/* ---- what is learned ----------------------------------------------------- */

static void
learn_lessons(struct world *w)
{
	for (int i = 0; i < w->host_count; i++) {
		struct host *h = &w->hosts[i];

		for (int k = 0; k < FLEET_KINDS; k++) {
			/* sooner than it was told to last */
			if (h->forgets_us[k] > w->now_us) {
				if (below(w, 100) == 0)
					h->forgets_us[k] = w->now_us;
			} else if (below(w, 100) == 0) {
				h->learned_us[k] = w->now_us;
				h->forgets_us[k] =
				    w->now_us + span_us(w, 500, 60000);
			}
		}
	}
}

/* The latest end of what others than it told of this kind, as of now; and since
 * when one of them has told of one that lasts. */
static void
look_at_others(
    const struct world *w, int me, int k, int64_t *end_us, int64_t *since_us)
{
	*end_us = 0;
	*since_us = INT64_MAX;
	for (int i = 0; i < w->host_count; i++) {
		const struct host *h = &w->hosts[i];

		if (i == me)
			continue;
		*end_us = fleet_most(*end_us, h->told_us[k]);
		if (h->forgets_us[k] > w->now_us)
			*since_us = fleet_least(*since_us, h->learned_us[k]);
	}
}

static void
check_lesson(struct world *w, int i, int k)
{
	const struct host *h = &w->hosts[i];
	bool holds = fleet_heard_holds(&h->heard[k], host_clock(w, h));
	int64_t end_us, since_us;

	look_at_others(w, i, k, &end_us, &since_us);
	w->out->heard += holds;
	if (holds && w->now_us > end_us + HEARD_END_US)
		w->out->untold++;
	if (!w->plan->has_faults && w->plan->turns == NULL && !holds &&
	    since_us < w->now_us - HEARD_US)
		w->out->unheard++;
}

/* Once a second, of a few: all would be most of the work of large fleets. */
static void
check_lessons(struct world *w)
{
	int64_t count = fleet_least(w->host_count, 4);
	uint64_t random = w->random;

	if (w->now_us % US_PER_S != 0)
		return;
	w->random = w->lesson_random;
	learn_lessons(w);
	for (int64_t n = 0; n < count; n++)
		check_lesson(w, (int)below(w, w->host_count),
		    (int)below(w, FLEET_KINDS));
	w->lesson_random = w->random;
	w->random = random;
}

/* ---- what goes wrong ----------------------------------------------------- */

static void
name_run(struct world *w)
{
	(void)snprintf(w->run, sizeof(w->run), "run%lld", (long long)w->runs++);
}

static void
die(struct host *h, int64_t until_us, uint64_t nonce)
{
	h->dead_us = until_us;
	h->process++;
	fleet_share_begin(&h->share, nonce);
}

/* It goes on with what it had stored, after a reboot by another clock, or
 * without. */
static void
crash(struct world *w, struct host *h)
{
	int64_t until_us = w->now_us + span_us(w, 100, 20000);
	int64_t clock_us;

	if (below(w, 3) == 0) {
		clock_us = host_clock(w, h);
		h->offset_us = below(w, 1000) * US_PER_S;
		fleet_share_shift(&h->share, host_clock(w, h) - clock_us);
		memset(h->heard, 0, sizeof(h->heard));
	} else if (below(w, 3) == 0) {
		/* The clock of when it begins: what follows is later. */
		fleet_share_init(&h->share, &w->terms, host_clock(w, h));
		h->share.end_us += until_us - w->now_us;
		h->limiter = (struct limiter){0};
		memset(h->heard, 0, sizeof(h->heard));
	}
	die(h, until_us, next_random(w));
}

static void
trouble_hosts(struct world *w)
{
	for (int i = 0; i < w->host_count; i++) {
		struct host *h = &w->hosts[i];

		if (happens(w, 1400))
			h->cut_us = w->now_us + span_us(w, 500, 40000);
		if (happens(w, 2000))
			h->stopped_us = w->now_us + span_us(w, 100, 5000);
		if (happens(w, 5000))
			crash(w, h);
	}
}

static void
tell_memory(const struct world *w)
{
	if (w->plan->ops != NULL && w->plan->ops->remember != NULL)
		w->plan->ops->remember(w->plan->ctx, &w->engine);
}

static void
start_empty(struct world *w)
{
	w->engine = (struct fleet_engine){0};
	name_run(w);
	tell_memory(w);
}

static void
trouble_engine(struct world *w)
{
	if (!happens(w, w->trouble < 0 ? 1000 : 300))
		return;
	if (w->trouble < 0 && below(w, 2) == 0)
		w->away_us = w->now_us + span_us(w, 0, 40000);
	switch (w->trouble < 0 ? below(w, TROUBLES) : w->trouble) {
	case 0: /* started empty */
		start_empty(w);
		break;
	case 1: /* another, which has another clock */
		w->engine = w->ages[below(w, STORED_AGES)];
		w->engine_offset_us = EPOCH_US + span_us(w, -1000000, 1000000);
		name_run(w);
		break;
	case 2: /* its clock is set by much */
		w->engine_offset_us += span_us(w, -3600000, 3600000);
		break;
	case 3: /* ... by little, once in a lease */
		if (w->now_us < w->stepped_us + w->terms.ttl_us)
			break;
		w->stepped_us = w->now_us;
		w->engine_offset_us += span_us(w, -3000, 3000);
		break;
	default: /* it stood still */
		break;
	}
	tell_memory(w);
}

static void
remember(struct world *w)
{
	if (w->now_us % (5 * US_PER_S) == 0)
		w->ages[below(w, STORED_AGES)] = w->engine;
}

/* ---- what is to happen ---- */

static void
do_to_host(struct world *w, struct host *h, bool is_meant,
    const struct sim_fleet_turn *turn)
{
	if (turn->deed == SIM_FLEET_WANT)
		h->want = is_meant ? w->terms.limit : 0;
	else if (turn->deed == SIM_FLEET_CUT && is_meant)
		h->cut_us = w->now_us + turn->for_us;
	else if (turn->deed == SIM_FLEET_DEAD && is_meant)
		die(h, w->now_us + turn->for_us, next_random(w));
	else if (turn->deed == SIM_FLEET_FORGET && is_meant)
		(void)fleet_engine_forget(&w->engine, h->name);
}

static void
take_turn(struct world *w, const struct sim_fleet_turn *turn)
{
	for (int i = 0; i < w->host_count; i++)
		do_to_host(w, &w->hosts[i], i < turn->hosts, turn);
	if (turn->deed == SIM_FLEET_AWAY)
		w->away_us = w->now_us + turn->for_us;
	if (turn->deed == SIM_FLEET_EMPTY)
		start_empty(w);
	if (turn->deed == SIM_FLEET_CLOCK)
		w->engine_offset_us += turn->for_us;
}

static void
take_turns(struct world *w)
{
	const struct sim_fleet_plan *plan = w->plan;

	while (w->turns_done < plan->turn_count &&
	       plan->turns[w->turns_done].at_us <= w->now_us - BEGIN_US)
		take_turn(w, &plan->turns[w->turns_done++]);
}

/* ---- a run --------------------------------------------------------------- */

static void
change_wants(struct world *w)
{
	static const int64_t parts[] = {0, 0, 1, 3};

	for (int i = 0; i < w->host_count; i++) {
		struct host *h = &w->hosts[i];
		int64_t kind = below(w, 6), before = h->want;

		if (w->plan->turns != NULL)
			continue;
		if (below(w, 500) == 0)
			h->want = kind < 4 ? parts[kind] : w->terms.limit;
		if (h->want <= before)
			continue;
		h->hurries = 0;
		if (h->share.asked_us == 0)
			h->next_us = fleet_least(h->next_us, w->now_us);
	}
}

static void
choose_terms(struct world *w)
{
	static const int64_t limits[] = {7, 10, 20, 30, 100, RATE_MILLI};
	const struct sim_fleet_plan *plan = w->plan;
	struct fleet_terms *t = &w->terms;
	int most = plan->hosts_most;

	/* Small fleets are what most have. */
	if (most > 4 && below(w, 3) != 0)
		most = 4;
	w->host_count =
	    plan->hosts > 0 ? plan->hosts : 2 + (int)below(w, most - 1);
	CHECK(w->host_count <= FLEET_HOSTS_MAX);
	*t = (struct fleet_terms){
	    .size = w->host_count,
	    .limit = plan->limit > 0 ? plan->limit : limits[below(w, 6)],
	    .ttl_us = plan->ttl_us > 0 ? plan->ttl_us : 10 * US_PER_S,
	};
	if (!plan->has_faults)
		return;
	if (t->limit == RATE_MILLI) {
		w->rate = (struct rate){
		    RATE_MILLI, US_PER_S, 1 + below(w, 40), false};
		t->limit = fleet_rate_limit(&w->rate, t->size);
	} else if (below(w, 4) == 0)
		t->linger_us = 20 * US_PER_S;
	if (below(w, 4) == 0)
		t->forget_us = 30 * US_PER_S;
	t->minimum = fleet_base(t) > 0 ? below(w, 2) : 0;
}

static void
set_up(struct world *w)
{
	w->now_us = BEGIN_US;
	w->engine_offset_us = EPOCH_US;
	w->trouble = below(w, 2) == 0 ? -1 : (int)below(w, TROUBLES);
	name_run(w);
	choose_terms(w);
	for (int i = 0; i < w->host_count; i++) {
		struct host *h = &w->hosts[i];

		(void)snprintf(h->name, sizeof(h->name), "host%d", i);
		h->offset_us = below(w, 1000) * US_PER_S;
		h->pace = 1 + ((double)below(w, 1001) - 500) / 1e6;
		h->next_us = w->now_us + below(w, ASK_US / TICK_US) * TICK_US;
		fleet_share_init(&h->share, &w->terms, host_clock(w, h));
		fleet_share_begin(&h->share, next_random(w));
	}
}

static void
tick(struct world *w)
{
	w->now_us += TICK_US;
	take_turns(w);
	trouble_engine(w);
	trouble_hosts(w);
	change_wants(w);
	remember(w);
	handle_events(w);
	for (int i = 0; i < w->host_count; i++)
		if (is_awake(w, &w->hosts[i]) &&
		    w->now_us >= w->hosts[i].next_us)
			ask(w, i);
	count_use(w);
	check_lessons(w);
}

void
sim_fleet_run(const struct sim_fleet_plan *plan, struct sim_fleet_result *out)
{
	struct world *w = mem_zalloc(sizeof(*w));

	*out =
	    (struct sim_fleet_result){.worst = INT64_MIN, .first_over_us = -1};
	w->plan = plan;
	w->out = out;
	/* Neighbouring seeds are to be far apart, and none is 0. */
	w->random = (plan->seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	w->lesson_random = w->random;
	w->events = mem_zalloc(EVENTS_MAX * sizeof(*w->events));
	set_up(w);
	tell_memory(w);
	for (int64_t t = 0; t < plan->span_us; t += TICK_US)
		tick(w);
	out->terms = w->terms;
	mem_free(w->events);
	mem_free(w);
}
