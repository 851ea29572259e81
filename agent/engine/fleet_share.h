/* fleet_share: how much of one limit of an account this host may use.
 *
 *        answer            answer, lease over           base again
 *   base --> share (lent) --> ... end --> base
 *   base --> share (gives) -> ... end --- guard, linger ---> base
 *                               '-- nothing of ours is taken back before
 *
 * The host's half of fleet.h: pure, one plain value without pointers, so that
 * it may be stored as it is. A process that finds the value of the one before
 * goes on with it; one that finds none has nothing until a lease that may have
 * been would be over, or until the engine answers. Times are the host's
 * monotonic microseconds.
 */
#ifndef FLEET_SHARE_H
#define FLEET_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shared/fleet.h"

struct fleet_share {
	int64_t epoch, number;
	uint64_t nonce;
	int64_t share, end_us; /* the lease, over at end_us */
	int64_t echo; /* the same end by the engine's clock; 0: none */
	/* The last answer: asked for at this time; 0: none yet. */
	int64_t answered_us;
	int64_t seen; /* the engine's clock then */
	/* The last question; 0: it is answered, or nobody waits any more. */
	int64_t asked_us;
	/* The engine has said STALE or FULL, and not OK since. */
	int64_t is_refused;
	char life[FLEET_LIFE_SIZE];
};

/* Without memory. */
void fleet_share_init(
    struct fleet_share *s, const struct fleet_terms *terms, int64_t now_us);

/* A process begins, with what init or an earlier one left: its first question
 * is the first of a new epoch. nonce: at random. */
void fleet_share_begin(struct fleet_share *s, uint64_t nonce);

/* The clock was restarted (a reboot): moves all times by delta_us. */
void fleet_share_shift(struct fleet_share *s, int64_t delta_us);

/* How much may be in use now. */
int64_t fleet_share_now(const struct fleet_share *s,
    const struct fleet_terms *terms, int64_t now_us);

/* The next question, of which the caller fills in the host's name. want: what
 * could be used; in_use: what is (of a quota, what counts in its period). The
 * share shrinks at once to the greater of both: obey fleet_share_now() before
 * the question goes, and store the value, so that no process asks it anew. */
void fleet_share_ask(struct fleet_share *s, const struct fleet_terms *terms,
    int64_t want, int64_t in_use, int64_t now_us, struct fleet_question *out);

/* The answer to the question of this number. False: it is not the last one's,
 * or too late, and changes nothing. */
bool fleet_share_answer(struct fleet_share *s, const struct fleet_terms *terms,
    int64_t number, const struct fleet_answer *answer, int64_t now_us);

#endif
