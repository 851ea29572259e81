#include "common/limits/fairshare.h"

#include <assert.h>
#include <string.h>

#include "common/base/log.h"

/* A stored layout: no padding. */
static_assert(sizeof(struct fairshare_lane) == 9 * sizeof(int64_t), "layout");
static_assert(sizeof(struct fairshare) ==
		  2 * sizeof(int64_t) + sizeof(struct limitset) +
		      FAIRSHARE_LANES * sizeof(struct fairshare_lane),
    "layout");
static_assert(FAIRSHARE_LANES < 63, "bits");

enum {
	/* A place is kept so long after it is due, if the limits have as much
	 * burst to make up for it. */
	GRACE_MAX_US = 20000,
	GRACE_MIN_US = 2000,
	/* Whose turn it is not looks again so long after the other was due. */
	LOOK_AGAIN_US = 2000,
	/* How far a lane may go ahead of its turn: handing over for every
	 * message would cost more than a fast account gives. */
	AHEAD_MAX_NS = 10000000,
	/* Nobody is held up for one that waits longer: it cannot say when it
	 * gives up. */
	KEEP_MAX_US = 300 * 1000000,
	/* Who sent nothing for so long is not busy: long enough for those that
	 * send some messages a minute. */
	BUSY_US = 10 * 1000000,
	NOTE_EVERY_US = 25000,
};

/* A longer pause is taken for damage. */
#define PAUSE_MAX_US (INT64_C(86400) * 1000000)

/* Virtual time of one cost of limits that are all quotas. */
#define COST_UNKNOWN_NS 1000000
#define TURN_MAX_NS (INT64_MAX / 4)

/* A wait for a limit can be long, but the sums with it must fit. */
#define DUE_MAX_US (INT64_MAX / 4)

/* ---- what is stored ---------------------------------------------------- */

static bool
is_between(int64_t n, int64_t least, int64_t most)
{
	return n >= least && n <= most;
}

static bool
lane_is_sound(const struct fairshare_lane *lane, int64_t now_us)
{
	return lane->weight >= 0 && lane->weight <= FAIRSHARE_WEIGHT_MAX &&
	       (lane->key == 0 || lane->weight > 0) && lane->turn_ns >= 0 &&
	       lane->turn_ns < TURN_MAX_NS &&
	       is_between(lane->used_us, 0, now_us) &&
	       is_between(lane->due_us, 0, DUE_MAX_US) &&
	       is_between(
		   lane->until_us, 0, now_us + KEEP_MAX_US + GRACE_MAX_US) &&
	       is_between(lane->gives_way, 0, 1) &&
	       is_between(lane->told_us, 0, now_us) &&
	       is_between(lane->refused_us, 0, now_us);
}

bool
fairshare_repair(struct fairshare *s, int64_t now_us)
{
	bool was_wrong = limitset_repair(s->set.limits, LIMITSET_MAX,
	    (INT64_C(1) << FAIRSHARE_LANES) - 1, now_us);

	for (size_t i = 0; i < FAIRSHARE_LANES; i++)
		if (!lane_is_sound(&s->lanes[i], now_us)) {
			memset(&s->lanes[i], 0, sizeof(s->lanes[i]));
			was_wrong = true;
		}
	if (s->turn_ns < 0 || s->turn_ns >= TURN_MAX_NS) {
		s->turn_ns = 0;
		was_wrong = true;
	}
	if (!is_between(s->pause_until_us, 0, now_us + PAUSE_MAX_US)) {
		s->pause_until_us = 0;
		was_wrong = true;
	}
	return was_wrong;
}

void
fairshare_shift(struct fairshare *s, int64_t delta_us)
{
	limitset_shift(s->set.limits, LIMITSET_MAX, delta_us);
	for (size_t i = 0; i < FAIRSHARE_LANES; i++) {
		s->lanes[i].due_us = s->lanes[i].until_us = 0;
		s->lanes[i].used_us = 0;
		s->lanes[i].told_us = s->lanes[i].refused_us = 0;
	}
	/* Past is past, and a sum out of range is damage. */
	if (__builtin_add_overflow(
		s->pause_until_us, delta_us, &s->pause_until_us) ||
	    s->pause_until_us < 0)
		s->pause_until_us = 0;
}

/* ---- who is there, and what they ask for ------------------------------- */

int
fairshare_find(const struct fairshare *s, int64_t key, const bool *in_use)
{
	int best = -1;

	for (int i = 0; i < FAIRSHARE_LANES; i++) {
		const struct fairshare_lane *lane = &s->lanes[i];

		if (in_use != NULL && in_use[i])
			continue;
		if (lane->key == key)
			return i;
		if (best < 0 ||
		    (s->lanes[best].key != 0 &&
			(lane->key == 0 ||
			    lane->used_us < s->lanes[best].used_us)))
			best = i;
	}
	return best;
}

void
fairshare_join(struct fairshare *s, int me, int64_t key, int weight,
    bool gives_way, int64_t now_us)
{
	struct fairshare_lane *lane = &s->lanes[me];

	CHECK(key != 0 && weight > 0 && weight <= FAIRSHARE_WEIGHT_MAX);
	if (lane->key != key)
		lane->turn_ns = 0;
	lane->key = key;
	lane->weight = weight;
	lane->gives_way = gives_way;
	lane->told_us = lane->refused_us = 0;
	lane->due_us = lane->until_us = 0;
	lane->used_us = now_us;
}

bool
fairshare_configure(struct fairshare *s, int me,
    const struct limitset_rate *rates, size_t count, const bool *in_use,
    int64_t now_us)
{
	int64_t keep = 0;

	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (i != me && in_use != NULL && in_use[i])
			keep |= INT64_C(1) << i;
		else
			s->lanes[i].until_us = 0;
	return limitset_configure(s->set.limits, LIMITSET_MAX, INT64_C(1) << me,
	    keep, rates, count, now_us);
}

bool
fairshare_agrees(const struct fairshare *s, int me, const bool *in_use)
{
	int64_t all = INT64_C(1) << me;

	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (in_use[i])
			all |= INT64_C(1) << i;
	for (size_t i = 0; i < LIMITSET_MAX; i++)
		if (s->set.limits[i].users != 0 &&
		    s->set.limits[i].users != all)
			return false;
	return true;
}

bool
fairshare_is_limited(const struct fairshare *s)
{
	return limitset_is_limited(s->set.limits, LIMITSET_MAX);
}

bool
fairshare_is_spent(const struct fairshare *s, int64_t now_us)
{
	return limitset_is_full(s->set.limits, LIMITSET_MAX, now_us) &&
	       s->pause_until_us <= now_us;
}

/* ---- turns ------------------------------------------------------------- */

static bool
has_heavier(const struct fairshare *s, int me)
{
	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (s->lanes[i].key != 0 &&
		    s->lanes[i].weight > s->lanes[me].weight)
			return true;
	return false;
}

/* Lanes of more weight find something left in the buckets, so that their
 * messages need not even wait for the next token. */
static int64_t
limits_wait_us(const struct fairshare *s, int me,
    const struct limitset_cost *cost, int64_t now_us,
    const struct limitset_limit **limit_out)
{
	return limitset_wait_us(s->set.limits, LIMITSET_MAX, cost,
	    has_heavier(s, me), now_us, limit_out);
}

/* The time the account needs for a cost, and the limit that takes longest. */
static int64_t
cost_ns(const struct fairshare *s, const struct limitset_cost *cost,
    const struct limitset_limit **limit_out)
{
	int64_t ns =
	    limitset_cost_ns(s->set.limits, LIMITSET_MAX, cost, limit_out);

	return ns > 0 ? ns : COST_UNKNOWN_NS;
}

/* For how long a late lane may keep a token from the others without loss: half
 * of the time in which the bucket fills. */
static int64_t
grace_us(const struct fairshare *s)
{
	int64_t grace = limitset_fill_ns(s->set.limits, LIMITSET_MAX,
			    INT64_C(2000) * GRACE_MAX_US) /
			2000;

	return grace > GRACE_MIN_US ? grace : GRACE_MIN_US;
}

static bool
is_waiting(const struct fairshare_lane *lane, int64_t now_us)
{
	return lane->until_us > now_us;
}

/* A lane that was quiet has no claim to what it left to others meanwhile. */
static void
take_up_turn(struct fairshare *s, struct fairshare_lane *lane, int64_t now_us)
{
	if (!is_waiting(lane, now_us) && lane->turn_ns < s->turn_ns)
		lane->turn_ns = s->turn_ns;
}

/* After a take in turn_ns: the account's turn is that of the lane that is
 * farthest behind and still waits. */
static void
move_turn(struct fairshare *s, int me, int64_t turn_ns, int64_t now_us)
{
	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (i != me && is_waiting(&s->lanes[i], now_us) &&
		    s->lanes[i].turn_ns < turn_ns)
			turn_ns = s->lanes[i].turn_ns;
	if (turn_ns > s->turn_ns)
		s->turn_ns = turn_ns;
}

/* Is it rather lane i's turn than that of `me`? */
static bool
comes_before(const struct fairshare *s, int i, int me, int64_t ahead_ns)
{
	int64_t a = s->lanes[i].turn_ns, b = s->lanes[me].turn_ns;
	int64_t weight = s->lanes[me].weight;

	if (a != b)
		return a + ahead_ns / weight < b;
	if (s->lanes[i].weight != weight)
		return s->lanes[i].weight > weight;
	return i < me;
}

/* Until when to leave it to those before `me`; 0: there are none. */
static int64_t
others_wait_us(const struct fairshare *s, int me, int64_t now_us)
{
	int64_t ahead_ns = grace_us(s) * 500, longest = 0;

	if (ahead_ns > AHEAD_MAX_NS)
		ahead_ns = AHEAD_MAX_NS;
	for (int i = 0; i < FAIRSHARE_LANES; i++) {
		const struct fairshare_lane *other = &s->lanes[i];
		int64_t left = other->until_us - now_us;

		if (i == me || left <= 0 || !comes_before(s, i, me, ahead_ns))
			continue;
		if (left > other->due_us - now_us + LOOK_AGAIN_US)
			left = other->due_us - now_us + LOOK_AGAIN_US;
		if (left < LOOK_AGAIN_US)
			left = LOOK_AGAIN_US;
		if (left > longest)
			longest = left;
	}
	return longest;
}

int64_t
fairshare_wait_us(struct fairshare *s, int me, const struct limitset_cost *cost,
    int64_t now_us, const struct limitset_limit **limit_out)
{
	struct fairshare_lane *lane = &s->lanes[me];
	int64_t wait;

	if (!fairshare_is_limited(s))
		return 0;
	take_up_turn(s, lane, now_us);
	wait = limits_wait_us(s, me, cost, now_us, limit_out);
	if (wait == 0) {
		wait = others_wait_us(s, me, now_us);
		if (wait > 0 && limit_out != NULL) {
			*limit_out = NULL;
			(void)cost_ns(s, cost, limit_out);
		}
	}
	lane->until_us = 0;
	if (wait == 0)
		return 0; /* due_us stays, for the take */
	lane->due_us = wait == RATE_NEVER ? 0 : now_us + wait;
	if (wait <= KEEP_MAX_US)
		lane->until_us = lane->due_us + grace_us(s);
	return wait;
}

bool
fairshare_take(struct fairshare *s, int me, const struct limitset_cost *cost,
    int64_t now_us)
{
	struct fairshare_lane *lane = &s->lanes[me];
	int64_t at_us;

	take_up_turn(s, lane, now_us);
	if (limits_wait_us(s, me, cost, now_us, NULL) > 0 ||
	    others_wait_us(s, me, now_us) > 0)
		return false;
	at_us = limitset_time_of_take(s->set.limits, LIMITSET_MAX, cost,
	    has_heavier(s, me), lane->due_us, now_us);
	/* What has said yes and says no now is damaged: one message does not
	 * matter then. */
	(void)!limitset_take(s->set.limits, LIMITSET_MAX, cost, at_us);
	move_turn(s, me, lane->turn_ns, now_us);
	lane->turn_ns += cost_ns(s, cost, NULL) / lane->weight;
	lane->due_us = lane->until_us = 0;
	lane->used_us = now_us;
	return true;
}

void
fairshare_charge(struct fairshare *s, const struct limitset_cost *cost,
    int64_t since_us, int64_t now_us)
{
	limitset_charge(s->set.limits, LIMITSET_MAX, cost, since_us, now_us);
}

bool
fairshare_quit(struct fairshare *s, int me)
{
	struct fairshare_lane *lane = &s->lanes[me];
	bool did = lane->until_us > 0;

	lane->due_us = lane->until_us = 0;
	return did;
}

/* ---- giving way -------------------------------------------------------- */

bool
fairshare_is_use_news(const struct fairshare *s, int me, int64_t now_us)
{
	const struct fairshare_lane *lane = &s->lanes[me];

	return lane->used_us <= lane->told_us ||
	       now_us - lane->used_us >= NOTE_EVERY_US;
}

void
fairshare_note_use(struct fairshare *s, int me, int64_t now_us)
{
	s->lanes[me].used_us = now_us;
}

bool
fairshare_tell(struct fairshare *s, int me, const bool *in_use, int64_t sent_us,
    int64_t now_us)
{
	bool is_anybody = false;

	for (int i = 0; i < FAIRSHARE_LANES; i++) {
		struct fairshare_lane *other = &s->lanes[i];

		if (i == me || other->key == 0 || !in_use[i] ||
		    other->gives_way == 0 ||
		    other->weight >= s->lanes[me].weight ||
		    other->used_us <= other->told_us ||
		    now_us - other->used_us > BUSY_US)
			continue;
		other->told_us = now_us;
		other->refused_us = sent_us;
		is_anybody = true;
	}
	return is_anybody;
}

bool
fairshare_pause(struct fairshare *s, int64_t until_us)
{
	if (until_us <= s->pause_until_us)
		return false;
	s->pause_until_us = until_us;
	return true;
}
