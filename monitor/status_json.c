#include "monitor/status_json.h"

#include "agent/settings/params.h"
#include "common/base/clean.h"
#include "common/base/log.h"
#include "monitor/forecast.h"
#include "monitor/model_json.h"
#include "monitor/pending.h"

static void
put(json_t *object, const char *key, json_t *value)
{
	CHECK(json_object_set_new(object, key, value) == 0);
}

static json_t *
queue_of(const struct model *m, const struct model_lane *lane,
    const struct backlog *b)
{
	const struct backlog_share *share = backlog_share_of(b, m, lane);
	char end[FORECAST_END_SIZE];
	struct forecast f;
	json_t *o;

	if (share == NULL)
		return json_null();
	forecast_of(&f, m, lane, share);
	o = json_object();
	put(o, "is_exact", json_boolean(b->is_exact));
	put(o, "oldest_wall_ms", json_integer(share->oldest_wall_ms));
	put(o, "empty_s", json_integer(f.empty_s));
	for (int q = 0; q < BACKLOG_QUEUES; q++)
		put(o, backlog_queue_name((enum backlog_queue)q),
		    json_integer((json_int_t)share->messages[q]));
	put(o, "limit_s", json_integer(f.limit_s));
	put(o, "limit", clean_string(f.limit));
	put(o, "begin_wall_ms", json_integer(f.begin_wall_ms));
	put(o, "is_held", json_boolean(f.is_held));
	put(o, "is_unseen", json_boolean(f.is_unseen));
	put(o, "is_stopped", json_boolean(f.is_stopped));
	put(o, "is_drained", json_boolean(f.is_drained));
	put(o, "unknown", clean_string(f.unknown));
	put(o, "end",
	    clean_string(forecast_say_end(
		&f, lane, model_wall_ms(m), end, sizeof(end))));
	return o;
}

/* Names of settings that wait for a reload. */
static json_t *
pending_of(const struct model_lane *lane)
{
	json_t *array = json_array();
	struct pending p;

	pending_open(&p, lane);
	for (size_t i = 0; i < params_count(); i++)
		if (pending_name(&p, i) != NULL)
			CHECK(json_array_append_new(array,
				  json_string(pending_name(&p, i))) == 0);
	return array;
}

static json_t *
strays_of(const struct backlog *b)
{
	json_t *array = json_array();

	for (size_t i = 0; b != NULL && b->is_known && i < b->stray_count;
	     i++) {
		json_t *o = json_object();

		put(o, "transport", clean_string(b->strays[i].transport));
		put(o, "messages",
		    json_integer((json_int_t)b->strays[i].messages));
		CHECK(json_array_append_new(array, o) == 0);
	}
	return array;
}

json_t *
status_json(const struct model *m, const struct backlog *b,
    enum postfix_state postfix, const char *name)
{
	json_t *document = model_json(m);
	json_t *lanes = json_object_get(document, "lanes");
	enum health_state worst = HEALTH_WELL;
	struct health health;

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];
		json_t *o = json_array_get(lanes, i);

		health_of(&health, m, lane, b, postfix);
		put(o, "health", json_string(health_name(health.state)));
		put(o, "sentence", clean_string(health.text));
		put(o, "not_in_force", pending_of(lane));
		put(o, "queue", queue_of(m, lane, b));
		if (model_is_asked_for(lane, name) && health.state > worst)
			worst = health.state;
	}
	if (name == NULL && health_of_the_rest(m, b) > worst)
		worst = health_of_the_rest(m, b);
	put(document, "strays", strays_of(b));
	for (size_t i = 0; i < m->token_count; i++) {
		json_t *o =
		    json_array_get(json_object_get(document, "tokens"), i);

		health_of_token(&health, m, &m->tokens[i]);
		put(o, "health", json_string(health_name(health.state)));
		put(o, "sentence", clean_string(health.text));
	}
	put(document, "status", json_integer(health_status(worst)));
	return document;
}
