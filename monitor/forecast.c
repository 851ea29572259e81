#include "monitor/forecast.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "monitor/say.h"

enum { PACE_SPAN_LEAST = 5 }; /* seconds */

/* It lets nothing go until next_wall_ms. */
static bool
is_used_up(const struct model_rate *rate, int64_t now_ms)
{
	return rate->is_quota && rate->used >= rate->limit &&
	       rate->next_wall_ms > now_ms;
}

/* Seconds that one limit needs for so many messages, once they may begin. */
static double
seconds(const struct model_rate *rate, double messages, int64_t now_ms)
{
	double left = 0;

	if (strcmp(rate->unit, "messages") != 0 &&
	    strcmp(rate->unit, "recipients") != 0)
		return 0;
	if (is_used_up(rate, now_ms))
		left = (double)rate->limit; /* all of it may come back then */
	else if (rate->is_quota && rate->limit > rate->used)
		left = (double)(rate->limit - rate->used);
	if (messages <= left || rate->per_s <= 0)
		return 0;
	return (messages - left) / rate->per_s;
}

static int64_t
whole(double s)
{
	return s < 1e15 ? (int64_t)ceil(s) : INT64_MAX / 4;
}

static void
slowest(struct forecast *out, const struct model_rate *rates, size_t n,
    const char *whose, int64_t now_ms)
{
	for (size_t i = 0; i < n; i++) {
		int64_t s =
		    whole(seconds(&rates[i], (double)out->messages, now_ms));

		if (s <= out->limit_s)
			continue;
		out->limit_s = s;
		(void)snprintf(out->limit, sizeof(out->limit), "%s %s%s",
		    rates[i].text, rates[i].unit, whose);
	}
}

/* Of the last minute, of that part of it in which something was sent, or of the
 * last ten seconds: one that has just begun is not as slow as the silence
 * before. */
static double
pace_of(const struct model_lane *lane)
{
	size_t from = 0, span;
	double pace;

	while (from < MODEL_SECONDS && lane->sent_in[from] == 0)
		from++;
	span = MODEL_SECONDS - from;
	if (span == 0)
		return lane->per_s_1min;
	if (span < PACE_SPAN_LEAST)
		span = PACE_SPAN_LEAST;
	pace = lane->per_s_1min * MODEL_SECONDS / (double)span;
	return pace > lane->per_s_10s ? pace : lane->per_s_10s;
}

static void
begin_at(struct forecast *out, int64_t wall_ms, int64_t now_ms, const char *why)
{
	if (wall_ms <= now_ms || wall_ms <= out->begin_wall_ms)
		return;
	out->begin_wall_ms = wall_ms;
	out->begin_why = why;
}

/* The last thing to look at: a drain is told where it ends after all else. */
static void
look_at_orders(struct forecast *out, const struct model_lane *lane,
    size_t inside, int64_t now_ms)
{
	for (size_t i = 0; i < lane->order_count; i++) {
		const struct steer_order *o = &lane->orders[i];
		int64_t begin_wall_ms = out->begin_wall_ms;

		if ((o->verb != STEER_PAUSE && o->verb != STEER_DRAIN) ||
		    o->domain[0] != '\0')
			continue;
		if (o->verb == STEER_DRAIN && out->messages <= inside)
			continue;
		out->is_held |= o->until_s == 0;
		begin_at(out, o->until_s * 1000, now_ms,
		    o->verb == STEER_PAUSE ? "paused" : "drained");
		out->is_drained =
		    o->verb == STEER_DRAIN &&
		    (o->until_s == 0 || out->begin_wall_ms > begin_wall_ms);
	}
}

static void
look_at_quotas(struct forecast *out, const struct model_rate *rates, size_t n,
    int64_t now_ms)
{
	for (size_t i = 0; i < n; i++)
		if (is_used_up(&rates[i], now_ms))
			begin_at(out, rates[i].next_wall_ms, now_ms,
			    "a quota is used up");
}

static void
look_at_limits(struct forecast *out, const struct model *m,
    const struct model_lane *lane, int64_t now_ms)
{
	double learned = (double)lane->gauges[BOARD_GAUGE_rate_milli] / 1000;
	const struct model_account *a =
	    lane->account >= 0 ? &m->accounts[lane->account] : NULL;

	slowest(out, lane->rates, lane->rate_count, "", now_ms);
	look_at_quotas(out, lane->rates, lane->rate_count, now_ms);
	if (a != NULL) {
		slowest(
		    out, a->rates, a->rate_count, " of the account", now_ms);
		look_at_quotas(out, a->rates, a->rate_count, now_ms);
	}
	if (learned > 0 &&
	    whole((double)out->messages / learned) > out->limit_s) {
		out->limit_s = whole((double)out->messages / learned);
		(void)snprintf(out->limit, sizeof(out->limit),
		    "%.3g/1s, as replies taught", learned);
	}
}

/* An order that holds the mail of a recipient domain, which may be what is
 * deferred; NULL: there is none. */
static const struct steer_order *
order_of_domain(const struct model_lane *lane)
{
	for (size_t i = 0; i < lane->order_count; i++)
		if (lane->orders[i].domain[0] != '\0')
			return &lane->orders[i];
	return NULL;
}

/* Nothing is in the queue but what waits for Postfix to try it again. */
static void
say_deferred(
    struct forecast *out, const struct model_lane *lane, int64_t now_ms)
{
	static const char time[] = "tried again in its own time";
	const struct steer_order *o = order_of_domain(lane);
	char until[SAY_SIZE];

	if (o == NULL)
		(void)snprintf(out->unknown, sizeof(out->unknown),
		    "deferred mail is %s", time);
	else if (o->until_s > 0)
		(void)snprintf(out->unknown, sizeof(out->unknown),
		    "mail to %s not before %s (paused), other deferred mail "
		    "is %s",
		    o->domain,
		    say_clock(o->until_s * 1000, now_ms, until, sizeof(until)),
		    time);
	else
		(void)snprintf(out->unknown, sizeof(out->unknown),
		    "mail to %s not before \"postlane resume %s\", other "
		    "deferred mail is %s",
		    o->domain, o->domain, time);
}

/* False: what is not known is said. */
static bool
is_known(struct forecast *out, const struct model *m,
    const struct model_lane *lane, int64_t now_ms)
{
	if (out->is_held)
		return false;
	if (out->is_unseen) {
		(void)snprintf(out->unknown, sizeof(out->unknown),
		    "how the lane is cannot be seen");
		return false;
	}
	out->is_stopped =
	    standstill_say(m, lane, out->unknown, sizeof(out->unknown));
	if (out->is_stopped)
		return false;
	out->unknown[0] = '\0';
	if (out->begin_wall_ms == 0 && out->deferred == out->messages) {
		say_deferred(out, lane, now_ms);
		return false;
	}
	return out->per_s > 0;
}

/* inside: so many of them are in the lane. */
static void
foresee(struct forecast *out, const struct model *m,
    const struct model_lane *lane, size_t messages, size_t deferred,
    size_t inside)
{
	int64_t now_ms = model_wall_ms(m), begin_s;

	*out = (struct forecast){.messages = messages,
	    .deferred = deferred,
	    .per_s = pace_of(lane),
	    .is_unseen = model_is_unseen(m, lane),
	    .begin_why = ""};
	if (out->messages == 0)
		return;
	begin_at(out, lane->gauges[BOARD_GAUGE_paused_until_wall_ms], now_ms,
	    "the smarthost asked for a pause");
	look_at_limits(out, m, lane, now_ms);
	look_at_orders(out, lane, inside, now_ms);
	begin_s = out->begin_wall_ms > 0
		      ? (out->begin_wall_ms - now_ms + 999) / 1000
		      : 0;
	if (out->limit_s > 0)
		out->limit_s += begin_s;
	out->empty_s = -1;
	if (is_known(out, m, lane, now_ms))
		out->empty_s =
		    begin_s + whole((double)out->messages / out->per_s);
	if (out->empty_s >= 0 && out->empty_s < out->limit_s)
		out->empty_s = out->limit_s;
}

void
forecast_of(struct forecast *out, const struct model *m,
    const struct model_lane *lane, const struct backlog_share *share)
{
	size_t deferred = share->messages[BACKLOG_DEFERRED];

	foresee(out, m, lane,
	    share->messages[BACKLOG_INCOMING] +
		share->messages[BACKLOG_ACTIVE] + deferred,
	    deferred,
	    (size_t)(lane->gauges[BOARD_GAUGE_requests_waiting] +
		     lane->gauges[BOARD_GAUGE_requests_in_flight] +
		     lane->gauges[BOARD_GAUGE_reports_pending]));
}

void
forecast_behind(struct forecast *out, const struct model *m,
    const struct model_lane *lane, size_t before)
{
	foresee(out, m, lane, before + 1, 0, 0);
}

/* No number says it; NULL: one does. */
static const char *
say_standing(const struct forecast *f, const struct model_lane *lane,
    int64_t now_wall_ms, char *text, size_t n)
{
	const char *what = f->is_drained ? "what is not inside: " : "";
	char begin[SAY_SIZE];

	if (f->is_held)
		(void)snprintf(text, n, "%snot before \"postlane resume %s\"",
		    what, lane->name);
	else if (f->unknown[0] != '\0')
		(void)snprintf(text, n, "unknown: %s", f->unknown);
	else if (f->begin_wall_ms > 0)
		(void)snprintf(text, n, "%snot before %s (%s)", what,
		    say_clock(
			f->begin_wall_ms, now_wall_ms, begin, sizeof(begin)),
		    f->begin_why);
	else if (f->empty_s < 0)
		(void)snprintf(
		    text, n, "unknown: nothing was sent in the last minute");
	else
		return NULL;
	return text;
}

const char *
forecast_say_end(const struct forecast *f, const struct model_lane *lane,
    int64_t now_wall_ms, char *text, size_t n)
{
	char end[SAY_SIZE];
	size_t len;

	if (say_standing(f, lane, now_wall_ms, text, n) == NULL)
		return say_ms(f->empty_s * 1000, text, n);
	len = strlen(text);
	if (f->empty_s >= 0)
		(void)snprintf(text + len, n - len, ", in %s in all",
		    say_ms(f->empty_s * 1000, end, sizeof(end)));
	return text;
}

const char *
forecast_say_limit(
    const struct forecast *f, int64_t now_wall_ms, char *text, size_t n)
{
	char begin[SAY_SIZE];

	if (f->limit_s == 0 || f->begin_wall_ms == 0)
		(void)snprintf(text, n, "%s", f->limit);
	else
		(void)snprintf(text, n, "%s from %s on", f->limit,
		    say_clock(
			f->begin_wall_ms, now_wall_ms, begin, sizeof(begin)));
	return text;
}
