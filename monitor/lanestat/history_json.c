#include "monitor/lanestat/history_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clean.h"
#include "common/base/log.h"
#include "monitor/health.h"

static const struct column {
	const char *name;
	size_t at;
	bool is_small; /* an octet, not a word */
} columns[] = {
#define WORD(field)                                                            \
	{                                                                      \
#field, offsetof(struct history_sample, field), false          \
	}
    WORD(at_s),
    WORD(sent),
    WORD(deferred),
    WORD(bounced),
    WORD(slowed),
    WORD(limit_milli),
    WORD(learned_milli),
    WORD(waiting),
    WORD(in_flight),
    WORD(sessions),
    WORD(backlog),
    WORD(postfix_p95),
    WORD(lane_p95),
    WORD(wire_p95),
    {"waits", offsetof(struct history_sample, waits), true},
    {"health", offsetof(struct history_sample, health), true},
};

struct span {
	int64_t from_s, to_s, step_s;
};

static const struct history_sample *
sample_at(const struct history *h, const struct span *span, const char *lane,
    int64_t at_s)
{
	return span->step_s == 1 ? history_second(h, lane, at_s)
				 : history_minute(h, lane, at_s);
}

static void
write_value(struct buf *out, const struct history_sample *s,
    const struct column *column)
{
	const char *p = (const char *)s + column->at;
	uint32_t word;

	if (column->is_small) {
		(void)buf_addf(out, "%u", (unsigned)(unsigned char)*p);
		return;
	}
	memcpy(&word, p, sizeof(word));
	if (word == UINT32_MAX)
		(void)buf_add_str(out, "-1");
	else
		(void)buf_addf(out, "%" PRIu32, word);
}

static void
write_column(struct buf *out, const struct history *h, const struct span *span,
    const char *lane, const struct column *column)
{
	bool is_first = true;

	(void)buf_addf(out, ",\"%s\":[", column->name);
	for (int64_t t = span->from_s; t <= span->to_s; t += span->step_s) {
		const struct history_sample *s = sample_at(h, span, lane, t);

		if (s == NULL)
			continue;
		if (!is_first)
			(void)buf_add_char(out, ',');
		is_first = false;
		write_value(out, s, column);
	}
	(void)buf_add_char(out, ']');
}

static void
write_json(struct buf *out, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	CHECK(text != NULL);
	(void)buf_add_str(out, text);
	free(text);
	json_decref(value);
}

static json_t *
events_of(const struct history *h)
{
	const struct history_event *events[HISTORY_EVENTS];
	size_t n = history_events(h, events, HISTORY_EVENTS);
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct history_event *e = events[i];
		enum health_state health = e->health <= HEALTH_DOWN
					       ? (enum health_state)e->health
					       : HEALTH_WELL;
		json_t *o = json_object();

		CHECK(json_object_set_new(o, "at_ms",
			  json_integer((json_int_t)e->at_wall_ms)) == 0 &&
		      json_object_set_new(o, "lane", clean_string(e->lane)) ==
			  0 &&
		      json_object_set_new(
			  o, "health", json_string(health_name(health))) == 0 &&
		      json_object_set_new(o, "text", clean_string(e->text)) ==
			  0 &&
		      json_array_append_new(array, o) == 0);
	}
	return array;
}

static json_t *
names(size_t count, const char *(*name)(uint64_t))
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		CHECK(json_array_append_new(array, json_string(name(i))) == 0);
	return array;
}

static const char *
name_of_health(uint64_t i)
{
	return health_name((enum health_state)i);
}

static struct span
span_of(int64_t now_s, int64_t step_s, int64_t since_s)
{
	int64_t count = step_s == 1 ? HISTORY_SECONDS : HISTORY_MINUTES;
	struct span span = {
	    .to_s = now_s - now_s % step_s,
	    .step_s = step_s,
	};

	span.from_s = span.to_s - (count - 1) * step_s;
	/* Rounded up to a whole step, and never beyond it. */
	if (since_s > span.from_s && since_s <= now_s)
		span.from_s = since_s + (step_s - since_s % step_s) % step_s;
	else if (since_s > now_s)
		span.from_s = span.to_s + step_s;
	return span;
}

void
history_json_write(struct buf *out, const struct history *h,
    const struct model *m, int64_t step_s, int64_t since_s)
{
	struct span span = span_of(m->now.wall.tv_sec, step_s, since_s);

	(void)buf_addf(out,
	    "{\"schema\":1,\"now_s\":%" PRId64 ",\"step_s\":%" PRId64
	    ",\"waits_names\":",
	    (int64_t)m->now.wall.tv_sec, step_s);
	write_json(out, names(BOARD_WAIT_COUNT, board_wait_name));
	(void)buf_add_str(out, ",\"health_names\":");
	write_json(out, names(HEALTH_DOWN + 1, name_of_health));
	(void)buf_add_str(out, ",\"lanes\":[");
	for (size_t i = 0, n = 0; i < m->lane_count; i++) {
		const char *name = m->lanes[i].name;

		if (!model_is_asked_for(&m->lanes[i], NULL))
			continue;
		(void)buf_add_str(out, n++ > 0 ? ",{\"name\":" : "{\"name\":");
		write_json(out, clean_string(name));
		for (size_t k = 0; k < sizeof(columns) / sizeof(columns[0]);
		     k++)
			write_column(out, h, &span, name, &columns[k]);
		(void)buf_add_char(out, '}');
	}
	(void)buf_add_str(out, "],\"events\":");
	write_json(out, events_of(h));
	(void)buf_add_char(out, '}');
}
