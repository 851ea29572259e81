#include "monitor/replay/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/lane.h"
#include "agent/engine/pacer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "tools/lane-sim/sim_meter.h"
#include "tools/lane-sim/sim_world.h"

/* One lane while it is replayed. */
struct playing {
	struct replay_lane *lane;
	const struct sim_mail *mail;
	struct sim_arrival *arrivals;
	float *waits_s;
	size_t wait_count;
	struct sim_meter *meters[REPLAY_QUOTAS]; /* owned */
	enum pacer_unit units[REPLAY_QUOTAS];
};

struct play {
	struct sim_world world;
	struct playing lanes[REPLAY_LANES];
	size_t count;
	int64_t from_ms; /* of the log: the world's beginning */
};

/* ---- quotas ---------------------------------------------------------------
 */

static void
add_quotas(struct playing *p, enum pacer_scope scope)
{
	struct replay_lane *lane = p->lane;
	struct limitset_rate rates[LIMITSET_MAX];
	char error[256];
	size_t count = 0;

	if (!pacer_rates(lane->set, scope, rates, &count, error, sizeof(error)))
		return;
	for (size_t i = 0; i < count && lane->quota_count < REPLAY_QUOTAS;
	     i++) {
		struct replay_quota *q = &lane->quotas[lane->quota_count];
		struct pacer_limit limit = {
		    .unit = (enum pacer_unit)rates[i].unit,
		    .is_shared = scope == PACER_ACCOUNT,
		};

		if (!rates[i].rate.is_quota)
			continue;
		(void)snprintf(q->parameter, sizeof(q->parameter), "%s",
		    pacer_parameter(&limit));
		rate_to_text(&rates[i].rate, q->limit, sizeof(q->limit));
		q->allowed = (double)rates[i].rate.count_milli / 1000;
		p->meters[lane->quota_count] =
		    mem_zalloc(sizeof(struct sim_meter));
		sim_meter_init(p->meters[lane->quota_count], q->limit);
		p->units[lane->quota_count++] = limit.unit;
	}
}

/* An account's quota is used by all of its lanes. */
static bool
is_counted(const struct playing *p, size_t quota, const struct playing *sender)
{
	static const char account[] = "lane_account_";

	return p == sender || strncmp(p->lane->quotas[quota].parameter, account,
				  strlen(account)) == 0;
}

/* ---- the world ------------------------------------------------------------
 */

static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_ERROR)
		(void)fprintf(stderr, "%s\n", line);
}

static void
count_in_quotas(const struct playing *p, const struct playing *sender,
    const struct sim_arrival *a, int64_t now_us)
{
	const double units[PACER_UNITS] = {
	    [PACER_MESSAGES] = 1,
	    [PACER_RECIPIENTS] = a->rcpts,
	    [PACER_OCTETS] = a->octets,
	};
	struct replay_lane *lane = p->lane;

	for (size_t q = 0; q < lane->quota_count; q++)
		if (is_counted(p, q, sender))
			sim_meter_count(
			    p->meters[q], units[p->units[q]], now_us);
}

static void
on_end(void *ctx, const struct sim_mail *mail, uint64_t number, int64_t took_ms,
    bool is_accepted)
{
	struct play *play = ctx;
	struct playing *p = play->lanes;

	while (p->mail != mail)
		p++;
	if (!is_accepted)
		return;
	p->waits_s[p->wait_count++] = (float)((double)took_ms / 1000);
	for (size_t i = 0; i < play->count; i++)
		count_in_quotas(&play->lanes[i], p, &p->arrivals[number],
		    play->world.now.us);
}

static void
note_backlog(struct replay_backlog *b, size_t waits, int64_t now_ms)
{
	if (waits > b->most) {
		b->most = waits;
		b->most_ms = now_ms;
		b->gone_ms = 0;
	} else if (b->gone_ms == 0 && waits * 100 <= b->most) {
		b->gone_ms = now_ms;
	}
}

static void
on_second(void *ctx, struct sim_world *w, int64_t second)
{
	struct play *play = ctx;

	(void)w;
	for (size_t i = 0; i < play->count; i++) {
		struct playing *p = &play->lanes[i];
		size_t waits = (size_t)(p->mail->came - p->mail->accepted -
					p->mail->bounced);

		note_backlog(
		    &p->lane->would, waits, play->from_ms + second * 1000);
	}
}

static void
make_arrivals(const struct play *play, struct playing *p)
{
	const struct maillog *log = p->lane->log;

	p->arrivals = mem_zarray(log->count + 1, sizeof(p->arrivals[0]));
	p->waits_s = mem_zarray(log->count + 1, sizeof(p->waits_s[0]));
	for (size_t i = 0; i < log->count; i++)
		p->arrivals[i] = (struct sim_arrival){
		    .at_ms = log->messages[i].came_ms - play->from_ms,
		    .rcpts = log->messages[i].rcpts,
		    .octets = log->messages[i].octets,
		};
}

static void
begin(struct play *play)
{
	struct sim_world *w = &play->world;
	double answer_ms = 0, apart_ms = 0, dial_ms = 0;

	sim_init(w);
	w->lane_count = (int)play->count;
	for (size_t i = 0; i < play->count; i++) {
		struct playing *p = &play->lanes[i];
		struct sim_mail *mail = &w->lanes[i].mail;
		const struct maillog *log = p->lane->log;

		w->lanes[i].set = *p->lane->set;
		p->mail = mail;
		make_arrivals(play, p);
		mail->arrivals = p->arrivals;
		mail->count = log->count;
		mail->on_end = on_end;
		mail->ctx = play;
		if (log->answer_ms > answer_ms)
			answer_ms = log->answer_ms;
		if (log->dial_ms > dial_ms)
			dial_ms = log->dial_ms;
		if (apart_ms == 0 ||
		    (log->apart_ms > 0 && log->apart_ms < apart_ms))
			apart_ms = log->apart_ms;
		add_quotas(p, PACER_LANE);
		add_quotas(p, PACER_ACCOUNT);
	}
	if (apart_ms > answer_ms)
		apart_ms = answer_ms;
	w->reply_us = (int64_t)(apart_ms * 1000);
	w->rtt_ms = (int64_t)ceil(answer_ms - apart_ms);
	if (w->rtt_ms < 1)
		w->rtt_ms = 1;
	/* How many sessions a burst is given depends on it. */
	if (dial_ms > 0)
		w->dial_rtts = (int64_t)ceil(dial_ms / (double)w->rtt_ms);
	w->on_second = on_second;
	w->ctx = play;
	sim_begin(w);
}

/* ---- figures ---------------------------------------------------------------
 */

static int
by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static double
quantile(const float *sorted, size_t count, double share)
{
	size_t i = (size_t)((double)count * share);

	return count == 0 ? 0 : (double)sorted[i < count ? i : count - 1];
}

static int
by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Of the messages that were sent, which are in the order of coming. */
static void
sum_up_backlog(struct replay_lane *lane, int64_t from_ms)
{
	const struct maillog *log = lane->log;
	int64_t *came = mem_zarray(log->count + 1, sizeof(came[0]));
	int64_t *ended = mem_zarray(log->count + 1, sizeof(ended[0]));
	size_t n = 0, in = 0, out = 0;

	for (size_t i = 0; i < log->count; i++)
		if (log->messages[i].took_ms >= 0) {
			came[n] = log->messages[i].came_ms;
			ended[n] = came[n] + log->messages[i].took_ms;
			n++;
		}
	qsort(ended, n, sizeof(ended[0]), by_time);
	for (int64_t now = from_ms; out < n; now += 1000) {
		while (in < n && came[in] <= now)
			in++;
		while (out < n && ended[out] <= now)
			out++;
		note_backlog(&lane->was, in - out, now);
	}
	mem_free(came);
	mem_free(ended);
}

static void
sum_up_log(struct replay_lane *lane)
{
	const struct maillog *log = lane->log;
	float *waits = mem_zarray(log->count + 1, sizeof(waits[0]));
	size_t n = 0;

	for (size_t i = 0; i < log->count; i++)
		if (log->messages[i].took_ms >= 0)
			waits[n++] =
			    (float)((double)log->messages[i].took_ms / 1000);
	qsort(waits, n, sizeof(waits[0]), by_value);
	lane->was_sent = n;
	lane->was_p50_s = quantile(waits, n, 0.5);
	lane->was_p95_s = quantile(waits, n, 0.95);
	lane->was_most_s = quantile(waits, n, 1);
	mem_free(waits);
}

static void
sum_up(struct play *play, struct playing *p)
{
	struct replay_lane *lane = p->lane;
	double before_s = lane->log->before_ms / 1000;
	size_t n = p->wait_count;

	qsort(p->waits_s, n, sizeof(p->waits_s[0]), by_value);
	lane->p50_s = quantile(p->waits_s, n, 0.5) + before_s;
	lane->p95_s = quantile(p->waits_s, n, 0.95) + before_s;
	lane->most_s = quantile(p->waits_s, n, 1) + before_s;
	lane->sent = n;
	lane->left = lane->log->count - n;
	lane->deferrals = p->mail->deferrals;
	/* The world ends with the last message. */
	if (lane->would.gone_ms == 0 && lane->left == 0)
		lane->would.gone_ms = play->from_ms +
				      play->world.now.us / US_PER_MS -
				      play->world.begin_ms;
	lane->sessions = play->world.lanes[p - play->lanes].sessions_most;
	for (size_t q = 0; q < lane->quota_count; q++)
		lane->quotas[q].most = p->meters[q]->most;
	sum_up_log(lane);
	sum_up_backlog(lane, play->from_ms);
}

static void
end(struct play *play)
{
	sim_fini(&play->world);
	for (size_t i = 0; i < play->count; i++) {
		struct playing *p = &play->lanes[i];

		mem_free(p->arrivals);
		mem_free(p->waits_s);
		for (size_t q = 0; q < p->lane->quota_count; q++) {
			sim_meter_fini(p->meters[q]);
			mem_free(p->meters[q]);
		}
	}
}

bool
replay_play(struct replay_lane *lanes, size_t count, char *error, size_t n)
{
	struct play *play;
	int64_t last_ms = 0;

	if (count == 0 || count > REPLAY_LANES) {
		(void)snprintf(
		    error, n, "at most %d lanes at a time", REPLAY_LANES);
		return false;
	}
	play = mem_zalloc(sizeof(*play));
	play->count = count;
	play->from_ms = INT64_MAX;
	for (size_t i = 0; i < count; i++) {
		const struct maillog *log = lanes[i].log;

		play->lanes[i].lane = &lanes[i];
		if (log->count > 0 && log->first_ms < play->from_ms)
			play->from_ms = log->first_ms;
		if (log->last_ms > last_ms)
			last_ms = log->last_ms;
	}
	log_set_sink(swallow, NULL);
	begin(play);
	(void)sim_run(
	    &play->world, (last_ms - play->from_ms) / 1000 + REPLAY_MAX_S);
	for (size_t i = 0; i < count; i++)
		sum_up(play, &play->lanes[i]);
	end(play);
	mem_free(play);
	return true;
}
