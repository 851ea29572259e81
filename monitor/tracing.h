/* tracing: the live dialogue of a lane as postlane(1) shows it.
 *
 *   MICROSECONDS SESSION QUEUEID WAY TEXT      (agent/operator/dialogue.h)
 *
 * Each line is given the time since the one before it of the same session, as
 * far as the last TRACING_SESSIONS are remembered; messages whose fate was told
 * are counted. Pure: no clock, no output.
 */
#ifndef TRACING_H
#define TRACING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/session_id.h"

enum { TRACING_SESSIONS = 64, TRACING_ID_SIZE = 64 };

struct tracing_line {
	int64_t wall_us;
	int64_t since_us; /* the line before of this session; -1: unknown */
	char session[SESSION_ID_SIZE]; /* "": of none */
	char queue_id[TRACING_ID_SIZE]; /* "": of no message */
	char way; /* > < = ! */
	const char *text; /* in the line that was given */
};

struct tracing {
	struct {
		char id[SESSION_ID_SIZE];
		int64_t wall_us;
	} sessions[TRACING_SESSIONS];
	char (*decided)[TRACING_ID_SIZE]; /* messages, each once */
	size_t decided_count;
};

void tracing_init(struct tracing *t);
void tracing_fini(struct tracing *t);

/* line: without its end, made printable. False: it is none of these. */
bool tracing_take(struct tracing *t, char *line, struct tracing_line *out);

#endif
