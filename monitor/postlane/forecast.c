/* forecast: when what waits will be gone. */
#include "monitor/forecast.h"

#include <stdio.h>

#include <jansson.h>

#include "monitor/postlane/command.h"
#include "monitor/say.h"

static void
print_lane(const struct look *look, const struct model_lane *lane)
{
	const struct backlog_share *share = look_share(look, lane);
	struct forecast f;
	char rate[SAY_SIZE], end[FORECAST_END_SIZE], least[SAY_SIZE] = "-";
	char messages[SAY_SIZE], limit[FORECAST_LIMIT_SIZE];
	int64_t now_ms = model_wall_ms(look->m);

	if (share == NULL) {
		printf("%-12s %s\n", lane->name,
		    lane->site == NULL ? "not in master.cf"
				       : look->backlog.why);
		return;
	}
	forecast_of(&f, look->m, lane, share);
	if (f.limit_s > 0)
		(void)say_ms(f.limit_s * 1000, least, sizeof(least));
	(void)snprintf(messages, sizeof(messages), "%s%zu",
	    look->backlog.is_exact ? "" : "~", f.messages - f.deferred);
	(void)forecast_say_limit(&f, now_ms, limit, sizeof(limit));
	printf("%-12s %-8s %-8zu %-10s %-10s %-20s %s\n", lane->name, messages,
	    f.deferred, say_rate(f.per_s, rate, sizeof(rate)), least,
	    limit[0] != '\0' ? limit : "-",
	    forecast_say_end(&f, lane, now_ms, end, sizeof(end)));
}

static json_t *
json_of(const struct look *look, const struct model_lane *lane)
{
	const struct backlog_share *share = look_share(look, lane);
	char end[FORECAST_END_SIZE];
	struct forecast f;

	if (share == NULL)
		return json_pack(
		    "{s:s, s:s}", "name", lane->name, "why", look->backlog.why);
	forecast_of(&f, look->m, lane, share);
	return json_pack(
	    "{s:s, s:b, s:I, s:I, s:f, s:I, s:I, s:s, s:I, s:b, s:b, s:b, s:b, "
	    "s:s, s:s}",
	    "name", lane->name, "is_exact", look->backlog.is_exact, "messages",
	    (json_int_t)(f.messages - f.deferred), "deferred",
	    (json_int_t)f.deferred, "per_s", f.per_s, "empty_s",
	    (json_int_t)f.empty_s, "limit_s", (json_int_t)f.limit_s, "limit",
	    f.limit, "begin_wall_ms", (json_int_t)f.begin_wall_ms, "is_held",
	    f.is_held, "is_stopped", f.is_stopped, "is_unseen", f.is_unseen,
	    "is_drained", f.is_drained, "unknown", f.unknown, "end",
	    forecast_say_end(
		&f, lane, model_wall_ms(look->m), end, sizeof(end)));
}

int
forecast_run(struct command *c)
{
	struct look look;
	json_t *lanes = json_array();

	look_begin(&look, c);
	if (!c->is_json)
		printf("%-12s %-8s %-8s %-10s %-10s %-20s %s\n", "LANE",
		    "QUEUED", "DEFERRED", "RATE/S", "AT LEAST", "BY THE LIMIT",
		    "GONE IN");
	for (size_t i = 0; i < look.m->lane_count; i++) {
		const struct model_lane *lane = &look.m->lanes[i];

		if (!command_wants(c, lane))
			continue;
		if (c->is_json)
			(void)json_array_append_new(
			    lanes, json_of(&look, lane));
		else
			print_lane(&look, lane);
	}
	if (c->is_json)
		command_print_json(json_pack(
		    "{s:i, s:O}", "schema", MODEL_SCHEMA, "lanes", lanes));
	json_decref(lanes);
	look_end(&look);
	return 0;
}
