/* steer: what operators asked of lanes, as the text of a file that is kept.
 *
 *   postlane-steer 1 SERIAL
 *   LANE pause - UNTIL AT WHO         nothing is sent
 *   LANE drain - UNTIL AT WHO         nothing that came after AT is sent
 *   LANE rate 5/1s UNTIL AT WHO       for lane_message_rate_limit
 *   LANE connections 4 UNTIL AT WHO   for lane_connection_limit
 *
 * The file `steer` of lane_state_directory: written by postlane(1) under a
 * lock, whole, put in place by rename(); read by lanes, whose name is LANE.
 * UNTIL and AT are seconds since the epoch, UNTIL 0 is without end; WHO is the
 * rest of the line. SERIAL grows with each writing. Of a lane there is one
 * order of each kind, and pause and drain are one kind. Lines that are over
 * mean nothing. A line that cannot be understood makes the whole file so. Pure.
 */
#ifndef STEER_H
#define STEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum {
	STEER_ORDERS_MAX = 96,
	STEER_FILE_MAX = 32768,
	STEER_CONNECTIONS_MAX = 1000,
};

enum steer_verb {
	STEER_PAUSE,
	STEER_DRAIN,
	STEER_RATE,
	STEER_CONNECTIONS,
	STEER_VERBS
};

struct steer_order {
	char lane[64], value[64], who[64];
	enum steer_verb verb;
	int64_t until_s, at_s;
};

struct steer {
	uint64_t serial;
	struct steer_order orders[STEER_ORDERS_MAX];
	size_t count;
};

/* False: error (of n octets) says what is wrong, and *out is empty. */
bool steer_parse(struct slice text, struct steer *out, char *error, size_t n);

/* Appends the text that steer_parse() reads back. */
void steer_print(const struct steer *s, struct buf *out);

/* Puts an order in the place of the one of its kind. False: there is no room.
 */
bool steer_set(struct steer *s, const struct steer_order *order);

/* Takes the orders of a kind away; how many there were. */
size_t steer_clear(struct steer *s, const char *lane, enum steer_verb verb);

/* Takes away those that are over. */
void steer_expire(struct steer *s, int64_t now_s);

/* The order of that kind that is in force; NULL: none. */
const struct steer_order *steer_find(const struct steer *s, const char *lane,
    enum steer_verb verb, int64_t now_s);

/* What is wrong with the value of such an order; NULL: nothing. text of n. */
const char *steer_check(
    enum steer_verb verb, const char *value, char *text, size_t n);

const char *steer_verb_name(enum steer_verb verb);

#endif
