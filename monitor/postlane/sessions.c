/* sessions: what each open session does. */
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "monitor/model_json.h"
#include "monitor/postlane/command.h"
#include "monitor/say.h"

static void
print_session(const struct model_lane *lane, const struct model_session *s,
    int64_t now_ms)
{
	char since[SAY_SIZE], age[SAY_SIZE], where[2 * BOARD_NAME + 3];

	if (s->host[0] != '\0')
		(void)snprintf(
		    where, sizeof(where), "%s[%s]", s->host, s->peer);
	else
		(void)snprintf(where, sizeof(where), "%s",
		    s->peer[0] != '\0' ? s->peer : "-");
	printf("%-12s %-10s %-8s %8s %8s %6" PRIu64 " %4" PRIu64 "/%-4" PRIu64
	       " %10" PRIu64 " %s\n",
	    s->id, lane->name, s->state,
	    say_ms(now_ms - s->since_wall_ms, since, sizeof(since)),
	    say_ms(now_ms - s->opened_wall_ms, age, sizeof(age)), s->messages,
	    s->in_flight, s->depth, s->octets, where);
}

static void
print_json(const struct command *c, const struct model *m)
{
	json_t *document = json_object(), *lanes = json_array();

	for (size_t i = 0; i < m->lane_count; i++) {
		json_t *lane = model_json_lane(&m->lanes[i]);

		if (command_wants(c, &m->lanes[i]))
			(void)json_array_append_new(lanes,
			    json_pack("{s:O, s:O}", "name",
				json_object_get(lane, "name"), "sessions",
				json_object_get(lane, "sessions")));
		json_decref(lane);
	}
	(void)json_object_set_new(
	    document, "schema", json_integer(MODEL_SCHEMA));
	(void)json_object_set_new(document, "lanes", lanes);
	command_print_json(document);
}

int
sessions_run(struct command *c)
{
	struct model *m = model_read(&c->site, clock_moment());
	int64_t now_ms = model_wall_ms(m);

	if (c->is_json) {
		print_json(c, m);
	} else {
		printf("%-12s %-10s %-8s %8s %8s %6s %9s %10s %s\n", "SESSION",
		    "LANE", "STATE", "SINCE", "AGE", "SENT", "UNDER/MAX",
		    "OCTETS", "SMARTHOST");
		for (size_t i = 0; i < m->lane_count; i++)
			for (size_t k = 0; command_wants(c, &m->lanes[i]) &&
					   k < m->lanes[i].session_count;
			     k++)
				print_session(&m->lanes[i],
				    &m->lanes[i].sessions[k], now_ms);
	}
	model_free(&m);
	return 0;
}
