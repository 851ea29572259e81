#include "monitor/advice.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/limits/rate.h"

static int
sessions_of(const struct settings *set)
{
	return set->lane_connection_limit < set->lane_account_connection_limit
		   ? set->lane_connection_limit
		   : set->lane_account_connection_limit;
}

/* Messages a second that the lane may send; 0: as many as it likes. */
static double
rate_of(const struct settings *set)
{
	const char *lists[] = {
	    set->lane_message_rate_limit, set->lane_account_message_rate_limit};
	double lowest = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct rate rates[RATE_LIST_MAX];
		char error[256];
		size_t count = 0;

		if (!rate_list_parse(slice_str(lists[i]), rates, RATE_LIST_MAX,
			&count, error, sizeof(error)))
			continue;
		for (size_t k = 0; k < count; k++) {
			double per_s = (double)rates[k].count_milli *
				       (US_PER_S / 1000) /
				       (double)rates[k].period_us;

			if (lowest <= 0 || per_s < lowest)
				lowest = per_s;
		}
	}
	return lowest;
}

/* Where a session gets so many a second. */
static int
depth_for(const struct settings *set, int64_t rtt_us, double per_s)
{
	double depth = ceil((double)rtt_us * per_s / US_PER_S) + ADVICE_SPARE;

	depth = fmin(depth, set->lane_messages_per_connection);
	return (int)fmin(depth, ADVICE_DEPTH_MAX);
}

int
advice_depth(const struct site_lane *lane, int64_t rtt_us)
{
	double limit = rate_of(&lane->set) / sessions_of(&lane->set);

	return depth_for(&lane->set, rtt_us,
	    limit > 0 ? fmin(limit, ADVICE_PER_S) : ADVICE_PER_S);
}

int
advice_window(const struct site_lane *lane, int depth)
{
	return 2 * sessions_of(&lane->set) * depth;
}

/* Round trips for so many octets, from such a window on. */
static int
trips_for(int64_t octets, int64_t window)
{
	int n = 1;

	for (int64_t sent = window; sent < octets; sent += window) {
		window *= 2;
		n++;
	}
	return n;
}

static int
trips_of_dial(const json_t *report)
{
	const json_t *steps = json_object_get(report, "steps");
	json_int_t n = 0;

	for (size_t i = 0; i < json_array_size(steps); i++)
		n += json_integer_value(
		    json_object_get(json_array_get(steps, i), "round_trips"));
	return (int)n;
}

/* The lane could send no more than that if it had a window in each dial. */
static bool
is_held_by_rate(
    const struct settings *set, const struct advice_tcp *tcp, double dial_us)
{
	double most = (double)sessions_of(set) * tcp->messages * US_PER_S;

	return rate_of(set) > 0 && rate_of(set) <= most / dial_us;
}

bool
advice_of_tcp(
    const struct site_lane *lane, const json_t *report, struct advice_tcp *out)
{
	const struct settings *set = &lane->set;
	const json_t *tcp = json_object_get(report, "tcp");
	int64_t rtt_us = json_integer_value(json_object_get(report, "rtt_us"));
	int64_t segment = json_integer_value(json_object_get(tcp, "segment"));
	int depth = depth_for(set, rtt_us, ADVICE_PER_S);
	int dial = trips_of_dial(report);
	int64_t octets;

	*out = (struct advice_tcp){0};
	out->begins = json_integer_value(json_object_get(tcp, "window"));
	if (out->begins <= 0 || segment <= 0 || rtt_us <= 0)
		return false;
	out->messages =
	    depth < set->lane_pipeline_depth ? depth : set->lane_pipeline_depth;
	octets = (int64_t)out->messages * ADVICE_OCTETS;
	if (octets > set->lane_pipeline_bytes)
		octets = set->lane_pipeline_bytes;
	out->trips = trips_for(octets, out->begins);
	out->fewer = trips_for(octets, segment * ADVICE_SEGMENTS);
	if (out->fewer > out->trips)
		out->fewer = out->trips;
	out->percent = 100 * (dial + out->trips) / (dial + out->fewer) - 100;
	return out->trips > 1 &&
	       !is_held_by_rate(
		   set, out, (double)(dial + out->trips) * (double)rtt_us);
}

static bool
is_offered(const json_t *report, const char *what)
{
	return json_is_true(
	    json_object_get(json_object_get(report, "offers"), what));
}

/* now: 0 is not known. */
static void
add(json_t *list, const char *name, int value, int now, const char *why)
{
	char text[32], now_text[32] = "";
	json_t *one;

	(void)snprintf(text, sizeof(text), "%d", value);
	if (now > 0)
		(void)snprintf(now_text, sizeof(now_text), "%d", now);
	one = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "value", text,
	    "now", now_text, "why", why);
	CHECK(one != NULL && json_array_append_new(list, one) == 0);
}

static void
add_window(json_t *list, const struct site_lane *lane, int depth)
{
	const struct settings *set = &lane->set;
	int now = set->transport_destination_concurrency_limit > 0
		      ? set->transport_destination_concurrency_limit
		      : set->default_destination_concurrency_limit;
	int window = advice_window(lane, depth);
	char name[300], why[200];

	/* 0 is without a limit. */
	if (now == 0 || now >= window)
		return;
	(void)snprintf(name, sizeof(name), "%s_destination_concurrency_limit",
	    lane->opt.service_name);
	(void)snprintf(why, sizeof(why),
	    "2 x %d sessions x %d messages under way: else they run dry",
	    sessions_of(set), depth);
	add(list, name, window, now, why);
	(void)snprintf(name, sizeof(name), "%s_initial_destination_concurrency",
	    lane->opt.service_name);
	add(list, name, window, 0, "the same from the first message on");
}

json_t *
advice_of(const struct site_lane *lane, const json_t *report)
{
	json_t *list = json_array();
	const struct settings *set = &lane->set;
	int64_t rtt_us = json_integer_value(json_object_get(report, "rtt_us"));
	int depth = 1, limit = set->lane_pipeline_depth;
	char why[200];

	CHECK(list != NULL);
	if (!json_is_true(json_object_get(report, "is_ready")))
		return list;
	if (is_offered(report, "pipelining")) {
		depth = advice_depth(lane, rtt_us);
		(void)snprintf(why, sizeof(why),
		    "a round trip takes %lld ms: so many can be on their way "
		    "on a session that is to carry what the rate allows, or "
		    "%d messages a second",
		    (long long)rtt_us / 1000, ADVICE_PER_S);
		if (depth > limit)
			add(list, "lane_pipeline_depth", depth, limit, why);
	}
	add_window(list, lane, depth);
	return list;
}

int
advice_wrapped_saves(const json_t *report, int64_t *us_out)
{
	const json_t *steps = json_object_get(report, "steps");
	const json_t *one;
	size_t i;
	bool is_after = false;
	int trips = 0;

	*us_out = 0;
	json_array_foreach(steps, i, one)
	{
		const char *what =
		    json_string_value(json_object_get(one, "what"));
		bool is_starttls =
		    what != NULL && strcmp(what, "starttls") == 0;

		/* STARTTLS, and the EHLO that has to be said again. */
		if (is_starttls ||
		    (is_after && what != NULL && strcmp(what, "ehlo") == 0)) {
			trips++;
			*us_out +=
			    json_integer_value(json_object_get(one, "us"));
		}
		is_after = is_after || is_starttls;
	}
	return trips;
}
