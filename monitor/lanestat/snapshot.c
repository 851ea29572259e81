#include "monitor/lanestat/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/health.h"
#include "monitor/lanestat/history_json.h"
#include "monitor/lanestat/page.h"
#include "monitor/lanestat/recorder.h"
#include "monitor/status_json.h"

enum { FORMATS = 2, STEPS = 2, PAGE_MAX = 4 << 20 };

struct snapshot {
	const struct site *site;
	struct model *m;
	struct backlog backlog;
	int64_t backlog_due_ms, asked_ms;
	struct history *history;
	struct recorder *recorder;
	/* made for this look; empty: not yet */
	struct buf metrics[FORMATS], page, sentences, history_json[STEPS];
	int64_t since_s[STEPS]; /* of history_json */
	char *status;
};

/* lanestat is master's child: while it lives, Postfix runs. */
static const enum postfix_state postfix = POSTFIX_RUNS;

static void
forget_answers(struct snapshot *s)
{
	for (size_t i = 0; i < FORMATS; i++)
		buf_reset(&s->metrics[i]);
	for (size_t i = 0; i < STEPS; i++)
		buf_reset(&s->history_json[i]);
	buf_reset(&s->page);
	buf_reset(&s->sentences);
	free(s->status);
	s->status = NULL;
}

static void
look_at_queue(struct snapshot *s)
{
	int64_t began_ms = clock_mono_ms(), took_ms, wait_ms;

	if (began_ms < s->backlog_due_ms)
		return;
	backlog_fini(&s->backlog);
	backlog_read(&s->backlog, s->site);
	took_ms = clock_mono_ms() - began_ms;
	wait_ms = began_ms - s->asked_ms < SNAPSHOT_ASKED_MS
		      ? SNAPSHOT_BACKLOG_MS
		      : SNAPSHOT_BACKLOG_IDLE_MS;
	if (wait_ms < took_ms * 20)
		wait_ms = took_ms * 20;
	s->backlog_due_ms = began_ms + wait_ms;
}

void
snapshot_look(struct snapshot *s, struct moment now)
{
	forget_answers(s);
	model_free(&s->m);
	s->m = model_read(s->site, now);
	look_at_queue(s);
	recorder_note(s->recorder, s->m, &s->backlog, postfix);
}

struct snapshot *
snapshot_new(const struct site *site, int state_fd, struct moment now)
{
	struct snapshot *s = mem_zalloc(sizeof(*s));

	s->site = site;
	s->asked_ms = -SNAPSHOT_ASKED_MS;
	s->history = history_open(state_fd, now.wall.tv_sec);
	s->recorder = recorder_new(s->history);
	for (size_t i = 0; i < FORMATS; i++)
		buf_init(&s->metrics[i], METRICS_MAX);
	for (size_t i = 0; i < STEPS; i++)
		buf_init(&s->history_json[i], HISTORY_JSON_MAX);
	buf_init(&s->page, PAGE_MAX);
	buf_init(&s->sentences, PAGE_MAX);
	snapshot_look(s, now);
	return s;
}

void
snapshot_free(struct snapshot **snapshot)
{
	struct snapshot *s = *snapshot;

	*snapshot = NULL;
	if (s == NULL)
		return;
	forget_answers(s);
	for (size_t i = 0; i < FORMATS; i++)
		buf_fini(&s->metrics[i]);
	for (size_t i = 0; i < STEPS; i++)
		buf_fini(&s->history_json[i]);
	buf_fini(&s->page);
	buf_fini(&s->sentences);
	recorder_free(&s->recorder);
	history_close(&s->history);
	backlog_fini(&s->backlog);
	model_free(&s->m);
	mem_free(s);
}

static void
note_question(struct snapshot *s)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms - s->asked_ms >= SNAPSHOT_ASKED_MS &&
	    s->backlog_due_ms > now_ms + SNAPSHOT_BACKLOG_MS)
		s->backlog_due_ms = now_ms;
	s->asked_ms = now_ms;
}

struct slice
snapshot_metrics(struct snapshot *s, enum metrics_format format)
{
	struct buf *out = &s->metrics[format];

	note_question(s);
	if (buf_len(out) == 0)
		metrics_write(out, format, s->m, &s->backlog, postfix);
	return buf_slice(out);
}

struct slice
snapshot_status(struct snapshot *s)
{
	note_question(s);
	if (s->status == NULL) {
		json_t *document =
		    status_json(s->m, &s->backlog, postfix, NULL);

		s->status = json_dumps(document, JSON_COMPACT);
		CHECK(s->status != NULL);
		json_decref(document);
	}
	return slice_str(s->status);
}

struct slice
snapshot_history(struct snapshot *s, int64_t step_s, int64_t since_s)
{
	size_t which = step_s == 1 ? 0 : 1;
	struct buf *out = &s->history_json[which];

	note_question(s);
	if (buf_len(out) > 0 && s->since_s[which] != since_s)
		buf_reset(out);
	s->since_s[which] = since_s;
	if (buf_len(out) == 0)
		history_json_write(out, s->history, s->m, step_s, since_s);
	return buf_slice(out);
}

struct slice
snapshot_page(struct snapshot *s)
{
	note_question(s);
	if (buf_len(&s->page) == 0)
		page_write(&s->page, s->m, &s->backlog, postfix, s->history);
	return buf_slice(&s->page);
}

struct slice
snapshot_sentences(struct snapshot *s)
{
	struct health health;

	if (buf_len(&s->sentences) > 0)
		return buf_slice(&s->sentences);
	for (size_t i = 0; i < s->m->lane_count; i++) {
		const struct model_lane *lane = &s->m->lanes[i];

		if (!model_is_asked_for(lane, NULL))
			continue;
		health_of(&health, s->m, lane, &s->backlog, postfix);
		(void)buf_addf(&s->sentences, "%s: %s: %s\n", lane->name,
		    health_name(health.state), health.text);
	}
	if (buf_len(&s->sentences) == 0)
		(void)buf_add_str(&s->sentences, "master.cf has no lane\n");
	return buf_slice(&s->sentences);
}

int
snapshot_health(const struct snapshot *s)
{
	enum health_state worst = HEALTH_WELL;
	struct health health;

	for (size_t i = 0; i < s->m->lane_count; i++) {
		const struct model_lane *lane = &s->m->lanes[i];

		if (!model_is_asked_for(lane, NULL))
			continue;
		health_of(&health, s->m, lane, &s->backlog, postfix);
		if (health.state > worst)
			worst = health.state;
	}
	return health_status(worst);
}
