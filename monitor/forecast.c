#include "monitor/forecast.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PACE_SPAN_LEAST = 5 }; /* seconds */

/* Seconds that one limit needs for so many messages. */
static double
seconds(const struct model_rate *rate, double messages)
{
	double left = 0;

	if (strcmp(rate->unit, "messages") != 0 &&
	    strcmp(rate->unit, "recipients") != 0)
		return 0;
	if (rate->is_quota)
		left = rate->limit > rate->used
			   ? (double)(rate->limit - rate->used)
			   : 0;
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
    const char *whose)
{
	for (size_t i = 0; i < n; i++) {
		int64_t s = whole(seconds(&rates[i], (double)out->messages));

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

static bool
is_held(const struct model_lane *lane)
{
	for (size_t i = 0; i < lane->order_count; i++)
		if ((lane->orders[i].verb == STEER_PAUSE ||
			lane->orders[i].verb == STEER_DRAIN) &&
		    lane->orders[i].domain[0] == '\0')
			return true;
	return false;
}

void
forecast_of(struct forecast *out, const struct model *m,
    const struct model_lane *lane, const struct backlog_share *share)
{
	double learned = (double)lane->gauges[BOARD_GAUGE_rate_milli] / 1000;

	*out = (struct forecast){
	    .messages = share->messages[BACKLOG_INCOMING] +
			share->messages[BACKLOG_ACTIVE],
	    .per_s = pace_of(lane),
	    .is_held = is_held(lane),
	};
	if (out->messages > 0 && out->per_s > 0 && !out->is_held)
		out->empty_s = whole((double)out->messages / out->per_s);
	else if (out->messages > 0)
		out->empty_s = -1;
	slowest(out, lane->rates, lane->rate_count, "");
	if (lane->account >= 0)
		slowest(out, m->accounts[lane->account].rates,
		    m->accounts[lane->account].rate_count, " of the account");
	if (learned > 0 &&
	    whole((double)out->messages / learned) > out->limit_s) {
		out->limit_s = whole((double)out->messages / learned);
		(void)snprintf(out->limit, sizeof(out->limit),
		    "%.3g/1s, as replies taught", learned);
	}
	if (out->empty_s >= 0 && out->empty_s < out->limit_s)
		out->empty_s = out->limit_s;
}
