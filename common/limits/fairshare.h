/* fairshare: the limits of an account, whose turn it is and who gives way, as
 * one plain value.
 *
 *   fast  --wait, take--\                 limits[]  rates and quotas, together
 *                        >--- account --- lanes[]   who waits, and its turn
 *   slow  --wait, take--/
 *
 * A cost may go when every limit in force lets it, and no other lane that
 * waits comes before. Who comes before is told by virtual time: a take moves
 * the lane's turn on by (time the account needs for the cost) / weight, and a
 * lane that was quiet begins at the account's own turn. So lanes that all have
 * mail share the rate by weight, what one leaves the others use at once, and a
 * message of a lane below its share waits for one token and never for
 * another's backlog; a bucket of more than one token keeps a quarter for lanes
 * of more weight, and then it does not wait at all. A lane that was told to
 * wait keeps its place until shortly after the time it was told, no longer:
 * nobody waits for one that is gone.
 *
 * Lanes may ask for different limits; all that any lane asks for are in force.
 * A limit nobody asks for any more keeps its count, and is used again if it
 * comes back.
 *
 * Where the account's rate is found out by refusals, a lane that is refused
 * tells the less urgent ones (of less weight) that sent something lately: they
 * are to slow down in its place. One that sent nothing since it was told last
 * has nothing to give any more. And a pause that the provider asked one lane
 * for is everybody's.
 *
 * A value of fixed size without pointers, all of 64-bit integers: it may live
 * in a shared file (the caller locks). Zeroed: no limits. Times are monotonic
 * microseconds.
 */
#ifndef FAIRSHARE_H
#define FAIRSHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits/limitset.h"

enum {
	FAIRSHARE_LANES = 32,
	FAIRSHARE_WEIGHT_MAX = 100,
};

struct fairshare_lane {
	int64_t key; /* of its name; 0: row not in use */
	int64_t weight; /* 1 .. FAIRSHARE_WEIGHT_MAX */
	int64_t turn_ns; /* virtual time of its next take */
	int64_t due_us; /* told to come then; 0: not since the last take */
	int64_t until_us; /* its place is kept until then; 0: does not wait */
	int64_t used_us; /* last take or join */
	int64_t gives_way; /* 1: slows down when it is told to */
	int64_t told_us; /* when that was last; 0: never */
	int64_t refused_us; /* ... and when what was refused had been sent */
};

struct fairshare {
	int64_t turn_ns; /* virtual time of the last take */
	int64_t pause_until_us; /* nothing goes before */
	struct limitset set; /* users are lanes, by row */
	struct fairshare_lane lanes[FAIRSHARE_LANES];
};

/* Resets what no function here could have left behind, such as damage in a
 * file, and times after now. True: something was reset. */
bool fairshare_repair(struct fairshare *s, int64_t now_us);

/* The clock was restarted (a reboot): moves all times by delta_us. */
void fairshare_shift(struct fairshare *s, int64_t delta_us);

/* The row of the lane with this key (not 0): the one it had, else a free one,
 * else the one not used longest; only rows that are not in_use, which may be
 * NULL. -1: all are. */
int fairshare_find(const struct fairshare *s, int64_t key, const bool *in_use);
void fairshare_join(struct fairshare *s, int me, int64_t key, int weight,
    bool gives_way, int64_t now_us);

/* What lane `me` asks for from now on; rows that are not in_use (NULL: all but
 * `me`) ask for nothing any more. A limit that changes keeps what is known to
 * be used where that can be said (limiter_set_rate). false: there is no room
 * for all of them. */
bool fairshare_configure(struct fairshare *s, int me,
    const struct limitset_rate *rates, size_t count, const bool *in_use,
    int64_t now_us);

/* Do the lanes of all rows that are in_use, and `me`, ask for the same? */
bool fairshare_agrees(const struct fairshare *s, int me, const bool *in_use);

/* Nothing is known that a new one would not know. */
bool fairshare_is_spent(const struct fairshare *s, int64_t now_us);

/* Is any limit in force? */
bool fairshare_is_limited(const struct fairshare *s);

/* Microseconds until lane `me` may take cost; 0: now; RATE_NEVER. More than 0
 * keeps its place. *limit_out (may be NULL) is then the limit that holds it
 * back. */
int64_t fairshare_wait_us(struct fairshare *s, int me,
    const struct limitset_cost *cost, int64_t now_us,
    const struct limitset_limit **limit_out);

/* Takes it, if it may go: as of the time it was told, if that was a moment ago
 * (limitset_time_of_take). */
bool fairshare_take(struct fairshare *s, int me,
    const struct limitset_cost *cost, int64_t now_us)
    __attribute__((warn_unused_result));

/* Takes what went without asking, from since_us until now: the limits may be in
 * debt then. */
void fairshare_charge(struct fairshare *s, const struct limitset_cost *cost,
    int64_t since_us, int64_t now_us);

/* Lane `me` sends, and no limit is in force that would note it with the take.
 * False: that is known already, nothing is to be stored. */
bool fairshare_is_use_news(const struct fairshare *s, int me, int64_t now_us);
void fairshare_note_use(struct fairshare *s, int me, int64_t now_us);

/* What lane `me` sent at sent_us was refused, for the account's pace: lanes of
 * less weight are told, if they are in_use, give way and are busy. True: there
 * is one, and `me` need not slow down itself. */
bool fairshare_tell(struct fairshare *s, int me, const bool *in_use,
    int64_t sent_us, int64_t now_us);

/* The provider wants nothing before until_us. False: that is known. */
bool fairshare_pause(struct fairshare *s, int64_t until_us);

/* Lane `me` waits for nothing any more. True: it did. */
bool fairshare_quit(struct fairshare *s, int me);

#endif
