/* endings: what the end of a session is called, counted and logged as.
 *
 * One line for each session, in the log's key=value form:
 *
 *   session=3k9x2m7q1b end=spent relay=mx[192.0.2.1]:587 messages=50 ...
 *
 * It names the lane, since two of them may log alike: by it a reader of the log
 * knows whose all lines of that process are.
 *
 * Ends that are in order are no more than ENDINGS_LINES a minute, and the
 * next line says how many were left out; trouble is always logged.
 */
#ifndef ENDINGS_H
#define ENDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/lane.h"
#include "common/limits/bucket.h"
#include "common/shared/board.h"

enum { ENDINGS_LINES = 60 };

struct endings {
	const char *lane;
	struct bucket lines;
	uint64_t left_out; /* since the last line */
};

/* lane_name is borrowed. */
void endings_init(struct endings *ends, const char *lane_name, int64_t now_us);

enum board_counter endings_counter(
    enum session_end how, const struct session *session);

/* Nobody wanted it to end so: it was lost, timed out or out of step. */
bool endings_is_trouble(enum session_end how);

/* began_us: the dial; dialled_us: the session was there. */
void endings_tell(struct endings *ends, enum session_end how,
    const struct session *session, const char *why, int64_t began_us,
    int64_t dialled_us, int64_t now_us);

#endif
