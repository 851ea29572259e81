/* bdp: how many messages have to be on their way on a session for the server
 * never to wait for the next one: the bandwidth-delay product, in messages.
 *
 *        sent              there          answered
 *      1  |---- rtt / 2 ----->[ work ]------ rtt / 2 ----->|
 *      2  |------------------------->[ work ]------------->|
 *      3  |-------------------------------->[ work ]------>|
 *
 * As many as the server works through in a round trip, and BDP_SPARE. What is
 * on its way beyond that only waits at the server, and is in doubt when the
 * connection breaks.
 *
 *   round trip  the shortest that a dial showed of late. An answer shortens it,
 *               and never lengthens it: time in the server's queue is part of
 *               that, so a window would grow by what it was reckoned from.
 *   work        of one message: up to its answer, from the answer before it or
 *               from when it can have been there, whichever was later. So a
 *               server that had to wait for the next message is not taken for a
 *               slow one, however small the window was. A server may answer
 *               several at once: it is summed up over the answers of a round
 *               trip, BDP_ROUND at least. One that was alone says nothing: its
 *               work cannot be told from the distance.
 *   which       Of the rounds of the last ten to twenty seconds the quickest
 *               counts: others met a busy moment, or the slow start of TCP.
 *
 * Where nothing was answered yet the work is taken for as little as it ever is,
 * so that a dial alone tells a near server from a far one. Whatever a server
 * does, it is BDP_SPARE at least, and the caller has a limit. Pure values, in
 * microseconds; time is an argument, and more than 0.
 */
#ifndef BDP_H
#define BDP_H

#include <stdbool.h>
#include <stdint.h>

enum {
	/* While one is worked at, others have to be there at the next turn of
	 * the server's loop and of ours: with a round trip of nothing ten reach
	 * 95 % of what fifty do (doc/performance.md). */
	BDP_SPARE = 8,
	BDP_ROUND = 8, /* messages */
	BDP_WORK_LEAST_US = 100,
	BDP_MEMORY_US = 10000000,
};

/* The least of the last BDP_MEMORY_US, and of as long before; older when there
 * was nothing newer. */
struct bdp_least {
	bool is_known;
	double now, before;
	int64_t since_us; /* of now */
};

/* Of a route. Zeroed: nothing is known. */
struct bdp {
	struct bdp_least rtt, work;
};

/* Of one session: the round that is being summed up. */
struct bdp_meter {
	int64_t answered_us; /* the last one */
	int64_t round_us; /* its first was sent; or the last round's end */
	int count; /* answers; 0: it has not begun */
	double worked_us;
};

/* A dial took so long for one exchange; 0: it was not measured. */
void bdp_on_dial(struct bdp *b, int64_t rtt_us, int64_t now_us);

/* A message that was sent at sent_us was answered. is_last: nothing else is
 * unanswered; is_alone: nor was anything when it was sent. */
void bdp_on_answer(struct bdp *b, struct bdp_meter *m, int64_t sent_us,
    bool is_last, bool is_alone, int64_t now_us);

/* What a message costs the server; INFINITY: nobody knows. */
double bdp_work_us(const struct bdp *b);

/* Messages; where the session gets only so many a second no more than that
 * takes (INFINITY: as many as it likes). INT32_MAX: nobody knows. */
int bdp_messages(const struct bdp *b, double per_s);

#endif
