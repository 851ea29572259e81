/* controller: finds the rate a smarthost takes, when nobody said what it is.
 *
 *   rate
 *    |                         __/  probing beyond, slowly
 *    |   c ..........._______--
 *    |        |   .-'    towards the ceiling c
 *    |        | /
 *    |        |'  just below c, a cut after a throttle
 *    +---------------------------------------------> time spent at the limit
 *
 * As long as no reply said "slow down" there is no rate, only a window that
 * grows by half with every flight that was accepted, so that the first throttle
 * finds few messages in the air. From then on the lane is paced:
 *
 *   ceiling   Between two throttles a provider has taken just what it gives:
 *             messages accepted / time. Such spans are averaged over some tens
 *             of messages. A span in which the lane had nothing to send says
 *             nothing and is thrown away.
 *   rate      After a throttle a few percent below the ceiling, then back up
 *             to it along a flattening curve, then beyond along a steepening
 *             one: additive increase, multiplicative decrease, with most of
 *             the time spent next to the ceiling. The curve is walked only
 *             while the rate is what holds mail back. The more often the same
 *             ceiling was found, the longer it takes (up to an hour), so that
 *             throttles become rare instead of a rhythm.
 *   pause     What the reply asks for; and, when nothing was accepted since
 *             the last throttle, a wait that doubles up to ten minutes, with
 *             one message in the air.
 *
 * All throttles of one flight (messages sent before the last cut) are one
 * event. Replies that end a session for its number of messages are no event:
 * nobody calls anything here.
 *
 * Of several lanes of an account the less urgent gives way: controller_yield()
 * cuts it when a more urgent one was throttled, and a lane whose neighbours
 * give way is not cut itself (controller_on_throttled), it only waits for a
 * moment. What was sent before the last cut is the same event here, too.
 *
 * Engine, no allocation; times are monotonic microseconds. Every
 * controller_take() is answered by exactly one of controller_on_accepted,
 * _throttled and _other.
 */
#ifndef CONTROLLER_H
#define CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

struct controller_config {
	double floor_per_s; /* the rate never falls below, > 0 */
	double ceiling_per_s; /* nor rises above; INFINITY: no such bound */
	int window_max; /* messages in the air, whatever happens */
};

/* What is worth remembering over a restart: plain, for the board. Zeroed:
 * nothing. Wall times are milliseconds since the epoch. */
struct controller_stored {
	int64_t
	    ceiling_micro; /* messages per 10^6 seconds; 0: never throttled */
	int64_t agreement;
	int64_t pause_until_wall_ms;
	int64_t learned_wall_ms; /* of the last throttle */
};

struct controller {
	struct controller_config config;
	bool is_limited; /* a throttle was seen */
	bool is_searching; /* the rate doubles until the next one */
	double ceiling, rate; /* per second; valid when limited */
	double below; /* share of the ceiling the curve begins at */
	int agreement; /* how often the ceiling was found again */
	double sum_count, sum_us; /* spans, the old ones fading */

	/* since the last throttle */
	int64_t span_from_us;
	bool span_is_exact; /* it began with a throttle, and no slack since */
	double span_count; /* accepted */
	double span_slack_us; /* time in which the lane had nothing to send */
	double span_refused_us; /* from its beginning to the last message that
				 * was refused again: nothing was to be had */
	double grown_us; /* time at the limit: the place on the curve */
	int64_t cut_us; /* when the last event was; what was sent by then
			   belongs to it */
	int refused_in_row; /* events without anything accepted between */

	/* pacing */
	int64_t pause_until_us;
	double next_us; /* when the next message is due */
	int64_t last_take_us;
	bool said_no, is_full; /* since the last take: for the rate's sake,
				* or because enough are in the air */
	int in_flight;
	double window; /* while unlimited */
	double latency_us; /* from take to reply, smoothed */

	/* throughput before the first throttle: this second and the last */
	int64_t slot_from_us;
	double slot_count, slot_before;

	uint64_t accepted, throttled, events, yields; /* of its life */
	int64_t learned_us; /* may be before the clock's beginning */
};

/* now_us > 0, as in all calls. */
void controller_init(struct controller *a,
    const struct controller_config *config, int64_t now_us);

/* So many in the air at most from now on. */
void controller_set_window_max(struct controller *a, int window_max);

/* Microseconds until one more message may go; 0: now; INT64_MAX: when one of
 * those in the air was answered. */
int64_t controller_wait_us(struct controller *a, int64_t now_us);

/* A message is given to a session; controller_wait_us() said 0. Keep now_us
 * with the message: it is the sent_us of its answer. */
void controller_take(struct controller *a, int64_t now_us);

void controller_on_accepted(
    struct controller *a, int64_t sent_us, int64_t now_us);

/* A reply said slow down. wait_us: what it asked for, 0: nothing. yields: less
 * urgent lanes of the account are busy and are told to give way, so this one
 * need not. */
void controller_on_throttled(struct controller *a, int64_t sent_us,
    int64_t wait_us, bool yields, int64_t now_us);

/* The same said to no message: in the greeting, or to an idle session. What
 * was asked, such as the dial, began at since_us. */
void controller_on_turned_away(struct controller *a, int64_t since_us,
    int64_t wait_us, bool yields, int64_t now_us);

/* A throttle of what was sent then is no event that was met already. */
bool controller_is_news(const struct controller *a, int64_t sent_us);

/* Any other end: refused for itself, returned, in doubt. */
void controller_on_other(struct controller *a);

/* What a more urgent lane of the account sent at sent_us was refused. */
void controller_yield(struct controller *a, int64_t sent_us, int64_t now_us);

/* Nothing goes before then (a quota is used up); the rate stays. An earlier
 * time than the present one is ignored. */
void controller_pause_until(struct controller *a, int64_t until_us);

/* Likewise for a pause that is part of the pace, such as that of a provider
 * that counts messages per minute: it belongs to what is measured. */
void controller_wait_until(struct controller *a, int64_t until_us);

/* Messages per second allowed now; INFINITY when never throttled. */
double controller_rate(const struct controller *a);

/* Messages per second that were found out, once several throttles in a row
 * have found the same; 0: not so far. */
double controller_settled(const struct controller *a);

/* Messages that may be in the air. */
int controller_window(const struct controller *a);

/* 0 or a time in the past: not paused. */
int64_t controller_paused_until(const struct controller *a);

/* wall_ms: the same moment as now_us. A state older than a week is not used;
 * a damaged one neither. */
void controller_save(const struct controller *a, struct controller_stored *out,
    int64_t now_us, int64_t wall_ms);
void controller_load(struct controller *a, const struct controller_stored *in,
    int64_t now_us, int64_t wall_ms);

#endif
