/* steer: what operators asked of lanes, as the text of a file that is kept.
 *
 *   postlane-steer 1 SERIAL
 *   LANE pause - UNTIL AT WHO         nothing is sent
 *   LANE pause DOMAIN UNTIL AT WHO    nothing to that domain of recipients
 *   LANE drain - UNTIL AT WHO         nothing that came after AT is sent
 *   LANE rate 5/1s UNTIL AT WHO       for lane_message_rate_limit
 *   LANE connections 4 UNTIL AT WHO   for lane_connection_limit
 *
 * The file `steer` of lane_state_directory: written by postlane(1) under a
 * lock, whole, put in place by rename(); read by lanes, whose name is LANE.
 * DOMAIN is example.com, or .example.com for all below it, in lower case.
 * UNTIL and AT are seconds since the epoch, UNTIL 0 is without end; WHO is the
 * rest of the line. SERIAL grows with each writing. Of a lane there is one
 * order of each kind; pause and drain are one kind, and so are those for one
 * domain. Lines that are over mean nothing. A line that cannot be understood
 * makes the whole file so. Pure.
 *
 * "For an hour" is an hour also when the wall clock is set meanwhile: UNTIL may
 * go on as S@BOOT.MS, which is the same end by the monotonic clock of the boot
 * with that number (hexadecimal), and counts instead as long as it is that
 * boot.
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
	STEER_FILE_MAX = 65536,
	STEER_CONNECTIONS_MAX = 1000,
	STEER_DOMAIN_SIZE = 256,
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
	char domain[STEER_DOMAIN_SIZE]; /* of a pause; "": all mail */
	enum steer_verb verb;
	int64_t until_s, at_s;
	uint64_t boot; /* 0: the wall clock alone counts */
	int64_t until_ms; /* monotonic, in that boot */
};

struct steer {
	uint64_t serial;
	struct steer_order orders[STEER_ORDERS_MAX];
	size_t count;
};

/* A moment, by all clocks that orders know. */
struct steer_now {
	int64_t wall_s, mono_ms;
	uint64_t boot; /* 0: not known */
};

/* False: error (of n octets) says what is wrong, and *out is empty. */
bool steer_parse(struct slice text, struct steer *out, char *error, size_t n);

/* Appends the text that steer_parse() reads back. */
void steer_print(const struct steer *s, struct buf *out);

/* Puts an order in the place of the one of its kind. False: there is no room.
 */
bool steer_set(struct steer *s, const struct steer_order *order);

/* Takes the orders of a kind away; how many there were. domain "": those of the
 * lane. */
size_t steer_clear(struct steer *s, const char *lane, enum steer_verb verb,
    const char *domain);

/* An order that ends after for_s seconds (0: never). */
void steer_order_ends(
    struct steer_order *order, int64_t for_s, struct steer_now now);

/* The end of an order by the wall clock as it is now; 0: it has none. */
int64_t steer_until_s(const struct steer_order *order, struct steer_now now);

/* Milliseconds until then; INT64_MAX: it has no end; 0: it is over. */
int64_t steer_left_ms(const struct steer_order *order, struct steer_now now);

/* Takes away those that are over. */
void steer_expire(struct steer *s, struct steer_now now);

/* The order of that kind, of the whole lane, that is in force; NULL: none. */
const struct steer_order *steer_find(const struct steer *s, const char *lane,
    enum steer_verb verb, struct steer_now now);

/* What is wrong with the value of such an order; NULL: nothing. text of n. */
const char *steer_check(
    enum steer_verb verb, const char *value, char *text, size_t n);

/* The name of a domain as orders have it, in lower case; false: it is none. */
bool steer_domain(const char *text, char out[STEER_DOMAIN_SIZE]);

const char *steer_verb_name(enum steer_verb verb);

#endif
