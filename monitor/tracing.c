#include "monitor/tracing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

void
tracing_init(struct tracing *t)
{
	memset(t, 0, sizeof(*t));
}

void
tracing_fini(struct tracing *t)
{
	mem_free(t->decided);
	memset(t, 0, sizeof(*t));
}

/* The word before the next blank, into to; false: it is none, or too long. */
static bool
take_word(const char **line, char *to, size_t n)
{
	size_t length = strcspn(*line, " ");

	if (length == 0 || length >= n || (*line)[length] != ' ')
		return false;
	memcpy(to, *line, length);
	to[length] = '\0';
	if (strcmp(to, "-") == 0)
		to[0] = '\0';
	*line += length + 1;
	return true;
}

/* The oldest makes room. */
static int64_t
since(struct tracing *t, const char *session, int64_t now_us)
{
	size_t at = 0;
	int64_t before;

	if (*session == '\0')
		return -1;
	for (size_t i = 0; i < TRACING_SESSIONS; i++) {
		if (strcmp(t->sessions[i].id, session) == 0) {
			before = t->sessions[i].wall_us;
			t->sessions[i].wall_us = now_us;
			return now_us > before ? now_us - before : 0;
		}
		if (t->sessions[i].wall_us < t->sessions[at].wall_us)
			at = i;
	}
	(void)snprintf(
	    t->sessions[at].id, sizeof(t->sessions[at].id), "%s", session);
	t->sessions[at].wall_us = now_us;
	return -1;
}

static void
count(struct tracing *t, const char *id)
{
	for (size_t i = 0; i < t->decided_count; i++)
		if (strcmp(t->decided[i], id) == 0)
			return;
	t->decided = mem_realloc(
	    t->decided, (t->decided_count + 1) * sizeof(t->decided[0]));
	(void)snprintf(
	    t->decided[t->decided_count++], TRACING_ID_SIZE, "%s", id);
}

bool
tracing_take(struct tracing *t, char *line, struct tracing_line *out)
{
	char time[24], way[2];
	const char *rest = line;
	char *end;

	log_safe(line, strlen(line));
	if (!take_word(&rest, time, sizeof(time)) ||
	    !take_word(&rest, out->session, sizeof(out->session)) ||
	    !take_word(&rest, out->queue_id, sizeof(out->queue_id)) ||
	    !take_word(&rest, way, sizeof(way)) ||
	    strchr("><=!", way[0]) == NULL)
		return false;
	errno = 0;
	out->wall_us = strtoll(time, &end, 10);
	if (errno != 0 || *end != '\0' || out->wall_us < 0)
		return false;
	out->way = way[0];
	out->text = rest;
	out->since_us = since(t, out->session, out->wall_us);
	if (out->way == '=' && out->queue_id[0] != '\0')
		count(t, out->queue_id);
	return true;
}
