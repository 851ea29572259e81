/* tempo: how fast mail comes to a route and goes from it, against how long a
 * dial takes. What lane_dial.c needs to know whether a dial would come too late
 * to be of use.
 *
 *   dial      a new session takes so long, smoothed as a round trip is (RFC
 *             6298: an eighth of the new one), but by a quarter, since dials
 *             are few
 *   message   from one message of a session to the next, while it has any: in a
 *             window most take no time at all, and the first of it a round trip
 *   coming    what comes in the time that a dial takes: each that came is
 *             forgotten by and by over that time
 *   interval  from one that came to the next, as long as they come within a
 *             second of each other: the mean of the first eight, then smoothed
 *
 * Pure values, in microseconds; time is an argument.
 */
#ifndef TEMPO_H
#define TEMPO_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: nothing is known. */
struct tempo {
	double dial_us, message_us;
	bool knows_dial, knows_message;
	double came; /* as of then: */
	int64_t came_us;
	double interval_us; /* 0: none is known, or all came at once */
	int intervals; /* the next one is one part of so many of it */
};

/* A dial worked / a session that had mail was rid of one message. */
void tempo_on_dial(struct tempo *t, int64_t took_us);
void tempo_on_message(struct tempo *t, int64_t took_us);

/* A message came, to be sent. */
void tempo_on_coming(struct tempo *t, int64_t now_us);

/* When the next should have come, if they go on as they do: eight intervals
 * after the last one. No more than max_us after it. */
int64_t tempo_next_us(const struct tempo *t, int64_t max_us);

/* How many more will come while somebody dials, if they go on as they do. */
double tempo_coming(const struct tempo *t, int64_t now_us);

/* How many messages a session carries in so many microseconds; INFINITY: as
 * many as one likes. Both times must be known. */
double tempo_messages(const struct tempo *t, double span_us);

#endif
