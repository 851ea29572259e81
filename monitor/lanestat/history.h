/* history: how lanes did in the last hour and day, and what happened lately.
 *
 *   head | names[32] | events[64] | lane 0: seconds[3600], minutes[1440] | ...
 *
 * The file `history` of lane_state_directory, which the lanestat process that
 * has its lock writes, and nobody else; another one (a second service, or one
 * that leaves) keeps its own in memory and takes over when it can. A sample
 * has its time in it, so that what is old or foreign counts for nothing, and
 * each number is what it says whatever it is: no value can do harm. A head that
 * is not as this release writes it makes the whole file anew, with one line in
 * the log. One write of 64 octets a lane and second; the disk being full costs
 * history on the next start, and nothing else.
 *
 * Times are seconds since the epoch. The layout is pinned in history.c; it
 * never changes without HISTORY_VERSION.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/board.h"

#define HISTORY_MAGIC UINT64_C(0x31747369686e6c70) /* "plnhist1" */

enum {
	HISTORY_VERSION = 1,
	HISTORY_LANES = BOARD_LANES,
	HISTORY_SECONDS = 3600,
	HISTORY_MINUTES = 1440,
	HISTORY_EVENTS = 64,
	HISTORY_FORGET_S = 86400, /* a lane that is not seen for so long */
};

/* What is written of one second, or of one minute. Sums over it, or what was
 * so at its end; of a minute's waits the greatest. */
struct history_sample {
	uint32_t at_s; /* its beginning; 0: none */
	uint32_t sent, deferred, bounced; /* messages; recipients; recipients */
	uint32_t slowed; /* replies that ask to slow down, and 421 */
	uint32_t limit_milli, learned_milli; /* messages in 1000 s, 0 none */
	uint32_t waiting, in_flight, sessions;
	uint32_t backlog; /* incoming and active; UINT32_MAX: not known */
	/* 95 % of what was decided in it took at most, in 0.1 ms; 0: nothing */
	uint32_t postfix_p95, lane_p95, wire_p95;
	uint8_t waits; /* enum board_wait */
	uint8_t health; /* enum health_state */
	uint16_t spare;
	uint32_t spare_word;
};

struct history_event {
	uint64_t at_wall_ms; /* 0: none */
	uint32_t health; /* enum health_state: its colour */
	uint32_t serial; /* grows */
	char lane[BOARD_NAME];
	char text[176];
};

struct history;

/* dir_fd is borrowed, and must stay open. Never NULL: without the file it is
 * kept in memory, and one line in the log says why. */
struct history *history_open(int dir_fd, int64_t now_s);
void history_close(struct history **history);

/* Puts away what a lane did in the second at sample->at_s, which must not be
 * before the last one's. Its minute is kept along. */
void history_put(
    struct history *h, const char *lane, const struct history_sample *sample);

/* Something happened; text is cut to fit. */
void history_note(struct history *h, int64_t wall_ms, const char *lane,
    uint32_t health, const char *text);

/* Of the second, or of the minute, that begins at at_s; NULL: nothing is known.
 */
const struct history_sample *history_second(
    const struct history *h, const char *lane, int64_t at_s);
const struct history_sample *history_minute(
    const struct history *h, const char *lane, int64_t at_s);

/* The events, the last first; fills up to n pointers, valid until the next. */
size_t history_events(
    const struct history *h, const struct history_event **events, size_t n);

#endif
