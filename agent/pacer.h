/* pacer: how fast a lane may go, in messages, recipients and octets.
 *
 * Several limits together; a message goes when all of them let it. Tokens are
 * taken when a message is given to a session, never before a dial, so that a
 * slow connect does not turn into a burst. Engine: time is an argument, in
 * monotonic microseconds.
 */
#ifndef PACER_H
#define PACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/settings.h"
#include "common/limiter.h"
#include "common/rate.h"

enum pacer_unit { PACER_MESSAGES, PACER_RECIPIENTS, PACER_OCTETS, PACER_UNITS };

struct pacer_cost {
	uint64_t units[PACER_UNITS];
};

struct pacer_limit {
	enum pacer_unit unit;
	struct rate rate;
	struct limiter limiter;
};

struct pacer {
	int64_t due_us; /* the latest no was until then; 0: taken since */
	size_t count;
	struct pacer_limit limits[PACER_UNITS * RATE_LIST_MAX];
};

/* From lane_message_rate_limit, lane_recipient_rate_limit and
 * lane_byte_rate_limit. false: a value is wrong, error says which and how. */
bool pacer_init(struct pacer *p, const struct settings *set, int64_t now_us,
    char *error, size_t error_size);

/* Microseconds until a message of this cost may go; 0: now. *why_out (may be
 * NULL) names the parameter that holds it back, and its value. */
int64_t pacer_wait_us(struct pacer *p, const struct pacer_cost *cost,
    int64_t now_us, const struct pacer_limit **why_out);

/* How many messages like this one may go now, counting at most up to max. */
size_t pacer_ready(const struct pacer *p, const struct pacer_cost *cost,
    size_t max, int64_t now_us);

/* Takes the tokens; call it when pacer_wait_us() said 0. What comes within
 * 10 ms after the time it was told counts as of that time. */
void pacer_take(struct pacer *p, const struct pacer_cost *cost, int64_t now_us);

/* How many messages like this one the rates allow in a span of time, apart
 * from bursts and quotas; at most max. */
int64_t pacer_expected(const struct pacer *p, const struct pacer_cost *cost,
    int64_t span_us, int64_t max);

/* Messages that can go within the next second (for admission), with one
 * recipient each and apart from a burst; INT64_MAX without a limit. */
int64_t pacer_messages_per_s(const struct pacer *p, int64_t now_us);

const char *pacer_parameter(const struct pacer_limit *limit);

#endif
