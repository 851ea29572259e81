#include "common/limits/fairshare.h"

#include <assert.h>
#include <string.h>

#include "common/base/log.h"

__extension__ typedef __int128 wide;

/* A stored layout: no padding. */
static_assert(sizeof(struct fairshare_limit) ==
		  2 * sizeof(int64_t) + sizeof(struct limiter),
    "layout");
static_assert(sizeof(struct fairshare_lane) == 9 * sizeof(int64_t), "layout");
static_assert(sizeof(struct fairshare) ==
		  2 * sizeof(int64_t) +
		      FAIRSHARE_LIMITS * sizeof(struct fairshare_limit) +
		      FAIRSHARE_LANES * sizeof(struct fairshare_lane),
    "layout");
static_assert(FAIRSHARE_LANES < 63, "bits");

enum {
	LATENESS_MAX_US = 10000,
	/* A place is kept so long after it is due, if the limits have as much
	 * burst to make up for it. */
	GRACE_MAX_US = 20000,
	GRACE_MIN_US = 2000,
	/* Whose turn it is not looks again so long after the other was due. */
	LOOK_AGAIN_US = 2000,
	/* How far a lane may go ahead of its turn: handing over for every
	 * message would cost more than a fast account gives. */
	AHEAD_MAX_NS = 10000000,
	RESERVE_SHARE = 4, /* of a bucket, one part is for heavier lanes */
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

/* Virtual time of one cost: bounded, so that centuries fit. Of limits that are
 * all quotas a message counts as a millisecond. */
#define COST_MAX_NS INT64_C(3600000000000)
#define COST_UNKNOWN_NS 1000000
#define TURN_MAX_NS (INT64_MAX / 4)

/* A wait for a limit can be long, but the sums with it must fit. */
#define DUE_MAX_US (INT64_MAX / 4)

/* ---- what is stored ---------------------------------------------------- */

static int64_t
limiter_latest_us(const struct limiter *l)
{
	if (l->kind == LIMITER_BUCKET)
		return l->bucket.last_us;
	return l->kind == LIMITER_QUOTA ? l->quota.last_us : INT64_MIN;
}

static int64_t
latest_us(const struct fairshare *s)
{
	int64_t latest = INT64_MIN;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		int64_t us = limiter_latest_us(&s->limits[i].limiter);

		if (us > latest)
			latest = us;
	}
	return latest;
}

static bool
is_between(int64_t n, int64_t least, int64_t most)
{
	return n >= least && n <= most;
}

static bool
limit_is_sound(const struct fairshare_limit *l)
{
	return l->unit >= 0 && l->unit < FAIRSHARE_UNITS && l->lanes >= 0 &&
	       l->lanes < INT64_C(1) << FAIRSHARE_LANES &&
	       (l->lanes == 0 || l->limiter.kind != LIMITER_NONE) &&
	       limiter_is_valid(&l->limiter);
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
	bool was_wrong = false;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++)
		if (!limit_is_sound(&s->limits[i])) {
			memset(&s->limits[i], 0, sizeof(s->limits[i]));
			was_wrong = true;
		}
	if (latest_us(s) > now_us) {
		/* A bucket whose clock is ahead would stand still. */
		fairshare_shift(s, now_us - latest_us(s));
		was_wrong = true;
	}
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
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++)
		limiter_shift(&s->limits[i].limiter, delta_us);
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

static bool
is_alike(const struct limiter *l, const struct rate *rate)
{
	if (rate->is_quota)
		return l->kind == LIMITER_QUOTA &&
		       l->quota.period_us == rate->period_us;
	return l->kind == LIMITER_BUCKET;
}

/* A row for one more limit; one that is not in force loses its count. */
static struct fairshare_limit *
room(struct fairshare *s)
{
	struct fairshare_limit *found = NULL;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		struct fairshare_limit *l = &s->limits[i];

		if (l->limiter.kind == LIMITER_NONE)
			return l;
		if (l->lanes == 0 &&
		    (found == NULL || limiter_latest_us(&l->limiter) <
					  limiter_latest_us(&found->limiter)))
			found = l;
	}
	return found;
}

static struct fairshare_limit *
find_exact(struct fairshare *s, const struct fairshare_rate *want, int64_t bit)
{
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		struct fairshare_limit *l = &s->limits[i];

		if (l->limiter.kind != LIMITER_NONE && l->unit == want->unit &&
		    (l->lanes & bit) == 0 &&
		    limiter_matches(&l->limiter, &want->rate))
			return l;
	}
	return NULL;
}

/* What is known of a limit that was set to another value: best of one that
 * nobody asks for, since that is the one that was changed. */
static struct fairshare_limit *
find_alike(struct fairshare *s, const struct fairshare_rate *want, int64_t bit)
{
	struct fairshare_limit *found = NULL;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		struct fairshare_limit *l = &s->limits[i];

		if (l->unit != want->unit || (l->lanes & bit) != 0 ||
		    !is_alike(&l->limiter, &want->rate))
			continue;
		if (found == NULL || (found->lanes != 0 && l->lanes == 0))
			found = l;
	}
	return found;
}

static bool
add_limit(struct fairshare *s, const struct fairshare_rate *want, int64_t bit,
    int64_t now_us)
{
	struct fairshare_limit *from = find_alike(s, want, bit), *to = from;

	if (from == NULL || from->lanes != 0) {
		to = room(s);
		if (to == NULL)
			return false;
		to->unit = want->unit;
		if (from != NULL)
			to->limiter = from->limiter;
		else
			limiter_init(&to->limiter, NULL, now_us);
	}
	limiter_set_rate(&to->limiter, &want->rate, now_us);
	to->lanes = bit;
	return true;
}

bool
fairshare_configure(struct fairshare *s, int me,
    const struct fairshare_rate *rates, size_t count, const bool *in_use,
    int64_t now_us)
{
	int64_t bit = INT64_C(1) << me, keep = 0;
	bool is_done[FAIRSHARE_LIMITS] = {false};
	bool has_all = count <= FAIRSHARE_LIMITS;

	if (!has_all)
		count = FAIRSHARE_LIMITS;
	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (i != me && in_use != NULL && in_use[i])
			keep |= INT64_C(1) << i;
		else
			s->lanes[i].until_us = 0;
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++)
		s->limits[i].lanes &= keep;
	for (size_t i = 0; i < count; i++) {
		struct fairshare_limit *l = find_exact(s, &rates[i], bit);

		is_done[i] = l != NULL;
		if (l != NULL)
			l->lanes |= bit;
	}
	for (size_t i = 0; i < count; i++)
		if (!is_done[i] && !add_limit(s, &rates[i], bit, now_us))
			has_all = false;
	return has_all;
}

bool
fairshare_agrees(const struct fairshare *s, int me, const bool *in_use)
{
	int64_t all = INT64_C(1) << me;

	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (in_use[i])
			all |= INT64_C(1) << i;
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++)
		if (s->limits[i].lanes != 0 && s->limits[i].lanes != all)
			return false;
	return true;
}

bool
fairshare_is_limited(const struct fairshare *s)
{
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++)
		if (s->limits[i].lanes != 0)
			return true;
	return false;
}

bool
fairshare_is_spent(const struct fairshare *s, int64_t now_us)
{
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++)
		if (!limiter_is_full(&s->limits[i].limiter, now_us))
			return false;
	return s->pause_until_us <= now_us;
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

/* What is left in a bucket for lanes of more weight, so that their messages
 * need not even wait for the next token. It costs no throughput: the bucket
 * never overflows for it. One that holds a single token has nothing to
 * spare. */
static uint64_t
reserve_of(const struct fairshare_limit *l, uint64_t cost)
{
	uint64_t burst, reserve;

	if (l->limiter.kind != LIMITER_BUCKET || l->limiter.bucket.burst < 2)
		return 0;
	burst = (uint64_t)l->limiter.bucket.burst;
	reserve = burst < RESERVE_SHARE ? 1 : burst / RESERVE_SHARE;
	return cost > 0 && cost <= burst - reserve ? reserve : 0;
}

static int64_t
limits_wait_us(const struct fairshare *s, int me,
    const struct fairshare_cost *cost, int64_t now_us,
    const struct fairshare_limit **limit_out)
{
	bool must_leave = has_heavier(s, me);
	int64_t longest = 0;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		const struct fairshare_limit *l = &s->limits[i];
		uint64_t units = cost->units[l->unit];
		int64_t wait;

		if (l->lanes == 0)
			continue;
		if (must_leave)
			units += reserve_of(l, units);
		wait = limiter_wait_us(&l->limiter, units, now_us);
		if (wait <= longest)
			continue;
		longest = wait;
		if (limit_out != NULL)
			*limit_out = l;
	}
	return longest;
}

static int64_t
span_ns(const struct bucket *b, uint64_t units)
{
	wide ns;

	if (units > (uint64_t)RATE_COUNT_MAX)
		units = (uint64_t)RATE_COUNT_MAX;
	ns = (wide)units * b->period_us * 1000000 / b->count_milli;
	return ns < COST_MAX_NS ? (int64_t)ns : COST_MAX_NS;
}

/* The time the account needs for a cost, and the limit that takes longest. */
static int64_t
cost_ns(const struct fairshare *s, const struct fairshare_cost *cost,
    const struct fairshare_limit **limit_out)
{
	int64_t longest = 0;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		const struct fairshare_limit *l = &s->limits[i];
		int64_t ns;

		if (l->lanes == 0 || l->limiter.kind != LIMITER_BUCKET)
			continue;
		ns = span_ns(&l->limiter.bucket, cost->units[l->unit]);
		if (ns <= longest)
			continue;
		longest = ns;
		if (limit_out != NULL)
			*limit_out = l;
	}
	return longest > 0 ? longest : COST_UNKNOWN_NS;
}

/* For how long a late lane may keep a token from the others without loss: half
 * of the time in which the bucket fills. */
static int64_t
grace_us(const struct fairshare *s)
{
	int64_t grace = GRACE_MAX_US;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		const struct fairshare_limit *l = &s->limits[i];
		int64_t half;

		if (l->lanes == 0 || l->limiter.kind != LIMITER_BUCKET)
			continue;
		half = span_ns(&l->limiter.bucket,
			   (uint64_t)l->limiter.bucket.burst) /
		       2000;
		if (half < grace)
			grace = half;
	}
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
fairshare_wait_us(struct fairshare *s, int me,
    const struct fairshare_cost *cost, int64_t now_us,
    const struct fairshare_limit **limit_out)
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

static int64_t
time_of_take(const struct fairshare *s, int me,
    const struct fairshare_cost *cost, int64_t now_us)
{
	int64_t due = s->lanes[me].due_us;

	if (due > 0 && due <= now_us && now_us - due <= LATENESS_MAX_US &&
	    limits_wait_us(s, me, cost, due, NULL) == 0)
		return due;
	return now_us;
}

bool
fairshare_take(struct fairshare *s, int me, const struct fairshare_cost *cost,
    int64_t now_us)
{
	struct fairshare_lane *lane = &s->lanes[me];
	int64_t at_us;

	take_up_turn(s, lane, now_us);
	if (limits_wait_us(s, me, cost, now_us, NULL) > 0 ||
	    others_wait_us(s, me, now_us) > 0)
		return false;
	at_us = time_of_take(s, me, cost, now_us);
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		struct fairshare_limit *l = &s->limits[i];

		/* What is not in force may say no. What is has said yes, or
		 * is damaged: one message does not matter then. */
		(void)!limiter_take(&l->limiter, cost->units[l->unit], at_us);
	}
	move_turn(s, me, lane->turn_ns, now_us);
	lane->turn_ns += cost_ns(s, cost, NULL) / lane->weight;
	lane->due_us = lane->until_us = 0;
	lane->used_us = now_us;
	return true;
}

void
fairshare_charge(struct fairshare *s, const struct fairshare_cost *cost,
    int64_t since_us, int64_t now_us)
{
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		struct fairshare_limit *l = &s->limits[i];

		if (l->lanes != 0)
			limiter_charge(&l->limiter, cost->units[l->unit],
			    since_us, now_us);
	}
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

/* ---- figures ----------------------------------------------------------- */

/* A multiple of a cost that is above the burst would be let through as one
 * oversized message; several messages would not. */
static bool
are_ready(const struct fairshare *s, const struct fairshare_cost *cost,
    size_t n, int64_t now_us)
{
	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		const struct fairshare_limit *l = &s->limits[i];
		uint64_t all = cost->units[l->unit] * n;

		if (l->lanes == 0)
			continue;
		if (n > 1 && l->limiter.kind == LIMITER_BUCKET &&
		    all > (uint64_t)l->limiter.bucket.burst)
			return false;
		if (limiter_wait_us(&l->limiter, all, now_us) > 0)
			return false;
	}
	return true;
}

size_t
fairshare_ready(const struct fairshare *s, const struct fairshare_cost *cost,
    size_t max, int64_t now_us)
{
	size_t low = 0, high = max;

	if (!fairshare_is_limited(s))
		return max;
	while (low < high) {
		size_t middle = low + (high - low + 1) / 2;

		if (are_ready(s, cost, middle, now_us))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

int64_t
fairshare_expected(const struct fairshare *s, const struct fairshare_cost *cost,
    int64_t span_us, int64_t max)
{
	double least = (double)max;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		const struct fairshare_limit *l = &s->limits[i];
		const struct bucket *b = &l->limiter.bucket;
		double units = (double)cost->units[l->unit];
		double n;

		if (l->lanes == 0 || l->limiter.kind != LIMITER_BUCKET ||
		    units < 1)
			continue;
		n = (double)b->count_milli / 1000 * (double)span_us /
		    (double)b->period_us / units;
		if (n < least)
			least = n;
	}
	return (int64_t)least;
}

int64_t
fairshare_per_s(const struct fairshare *s, int unit, int64_t now_us)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < FAIRSHARE_LIMITS; i++) {
		const struct fairshare_limit *l = &s->limits[i];
		const struct bucket *b = &l->limiter.bucket;
		const struct quota *q = &l->limiter.quota;
		int64_t per_s;

		if (l->lanes == 0 || l->unit != unit)
			continue;
		if (l->limiter.kind == LIMITER_BUCKET)
			per_s = (int64_t)((double)b->count_milli * 1000.0 /
					  (double)b->period_us);
		else /* A quota says how many, not how fast. */
			per_s = q->limit - quota_used(q, now_us);
		if (per_s < 0)
			per_s = 0;
		if (per_s < least)
			least = per_s;
	}
	return least;
}
