/* congestion: when TCP would let octets go, in one direction of a link.
 *
 *   cwnd | .       .   first the initial window, then one segment more for each
 *        |.    .       that was acknowledged: double in each round trip (slow
 *        |  .          start, RFC 5681 3.1); above the threshold that a loss
 *        +--------->   sets one segment more in each round trip
 *
 *   idle   After an idle time of one RTO (RFC 2861, and Linux by
 *          net.ipv4.tcp_slow_start_after_idle) the window is halved for each
 *          that has passed, down to the initial one; kept if so wished.
 *   loss   A lost segment arrives late, and all behind it wait (RFC 9293): by a
 *          round trip if three more follow at once, whose duplicate
 *          acknowledgments tell of it (RFC 5681 3.2); else by an RTO. The
 *          window is halved once for each round trip that has losses.
 *   RTO    A round trip and 200 ms, which is Linux' least.
 *
 * A window that was not filled does not grow (RFC 7661; in slow start twice
 * what was on its way at most, as Linux does). The receiver has room for
 * everything; it acknowledges at once; an acknowledgment is never lost.
 *
 * When a segment leaves depends on earlier ones alone, so it is known when it
 * is handed over. Pure: time is an argument, in microseconds, and chance is a
 * generator of its own.
 */
#ifndef CONGESTION_H
#define CONGESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"

enum { CONGESTION_SEGMENT = 1448, CONGESTION_RTO_LEAST_US = 200000 };

struct congestion_config {
	int64_t rtt_us;
	size_t initial; /* octets; 0: no window at all */
	bool keeps_idle; /* no restart after an idle time */
	double loss; /* share of the segments, 0 to 1 */
};

struct congestion {
	struct congestion_config config;
	uint64_t random;
	double window, threshold; /* octets */
	size_t out; /* not acknowledged */
	size_t most_out, most_before; /* in this round, and the last */
	uint64_t sent, acked; /* octets in all */
	uint64_t round_end; /* ... when this round is over */
	uint64_t recover_end; /* losses before are of one event */
	int64_t left_us; /* the last segment did */
	int64_t arrives_us; /* ... and is there */
	struct list unacked;
};

void congestion_init(struct congestion *c,
    const struct congestion_config *config, uint64_t seed);
void congestion_fini(struct congestion *c);

/* A segment of n octets, 1 to CONGESTION_SEGMENT, is handed over at now_us; so
 * many octets follow at once. line_us: what it takes on the line. Returns when
 * it arrives, half a round trip after it left at the soonest, never before the
 * one before it. */
int64_t congestion_send(struct congestion *c, size_t n, size_t behind,
    double line_us, int64_t now_us);

#endif
