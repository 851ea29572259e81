#include "agent/state/account_limits.h"

#include "agent/state/fairshare_file.h"
#include "agent/state/host_part.h"
#include "agent/state/persist.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

enum {
	TAKE_WAIT_MS = 1,
	TELL_WAIT_MS = 10, /* rarely, and it matters */
	/* The lock is held for microseconds; who could not have it comes again
	 * after so long. */
	COME_AGAIN_US = 2000,
	/* Then its holder is stopped. */
	ALONE_AFTER_US = 2000000,
	/* For the lane's last process to let its entry go: once, at start. */
	JOIN_WAIT_MS = 100,
};

struct account_limits {
	const struct account_limits_env *env;
	struct persist *file;
	int64_t key; /* of the lane's name */
	char label[BOARD_NAME]; /* of the account */
	int me; /* row; -1: not joined */
	bool is_pending; /* to be joined as soon as the lock is had */
	bool is_joined_now; /* since the value was read: to be stored */
	bool may_wait; /* a place may be kept for us */
	bool has_warned;
	int64_t told_us, pause_until_us; /* known already */
	struct host_part part;
	struct fairshare share; /* scratch, and what peek showed */
	bool is_read; /* ... as it was after so many stores: */
	uint64_t stores;
	int64_t looked_us; /* at the file, without the lock, in that turn; */
	int64_t current_us; /* share was what stands there; 0: no loop */

	/* while the lock cannot be had */
	int64_t now_us; /* as told last */
	int64_t missed_us; /* since when; 0: had the last time */
	struct fairshare *alone; /* NULL: not yet */
	int64_t alone_us; /* since when */
	int alone_me;
	uint64_t factor; /* the account is so much more than our part */
	struct limitset_cost owed; /* taken so */
};

/* ---- the host's part --------------------------------------------------- */

/* Of our row, as limits have their users. */
static int64_t
bit_of(const struct account_limits *f)
{
	return f->me >= 0 ? INT64_C(1) << f->me : 0;
}

static bool
apply_part(const struct account_limits *f, struct fairshare *s)
{
	return host_part_apply(&f->part, &s->set, bit_of(f));
}

/* ---- our row ----------------------------------------------------------- */

/* A row of our own, the one this lane had before if it is free. */
static int
take_row(struct account_limits *f)
{
	bool in_use[FAIRSHARE_LANES];
	int wait_ms = JOIN_WAIT_MS, row;

	persist_members(f->file, in_use);
	/* Its last process may be leaving just now. */
	row = fairshare_find(&f->share, f->key, NULL);
	if (row < 0 || f->share.lanes[row].key != f->key || !in_use[row])
		wait_ms = 0;
	if (wait_ms > 0 && persist_join(f->file, row, wait_ms))
		return row;
	while ((row = fairshare_find(&f->share, f->key, in_use)) >= 0) {
		if (persist_join(f->file, row, 0))
			return row;
		in_use[row] = true;
	}
	return -1;
}

/* In a row that is ours. False: there is no room for all of its limits. */
static bool
enter(const struct account_limits *f, struct fairshare *s, int row,
    const bool *in_use, int64_t now_us)
{
	struct limitset_rate rates[LIMITSET_MAX];

	host_part_rates(&f->part, rates);
	fairshare_join(
	    s, row, f->key, f->env->weight, f->env->set->lane_adaptive, now_us);
	return fairshare_configure(
	    s, row, rates, f->part.count, in_use, now_us);
}

static void
join(struct account_limits *f, int64_t now_us)
{
	bool in_use[FAIRSHARE_LANES];
	int row = take_row(f);

	f->is_pending = false;
	if (row < 0) {
		log_warn("rates of %s: all %d entries for lanes are in use",
		    f->label, FAIRSHARE_LANES);
		return;
	}
	f->me = row;
	f->is_joined_now = true;
	persist_members(f->file, in_use);
	if (!enter(f, &f->share, row, in_use, now_us))
		log_warn("account %s: lanes ask for more than %d different "
			 "limits, some are not in force",
		    f->label, LIMITSET_MAX);
	else if (!fairshare_agrees(&f->share, row, in_use))
		log_warn("lanes of account %s disagree on its rates: all that "
			 "any of them asks for are in force",
		    f->label);
}

/* Damage may have taken our row away. */
static void
join_again(struct account_limits *f, int64_t now_us)
{
	bool in_use[FAIRSHARE_LANES];

	persist_members(f->file, in_use);
	(void)enter(f, &f->share, f->me, in_use, now_us);
	f->is_joined_now = true;
}

/* ---- without the lock -------------------------------------------------- */

/* By how much the weights of all that run exceed ours. */
static uint64_t
part_of(const struct fairshare *s, int me, const bool *in_use)
{
	int64_t all = s->lanes[me].weight;

	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (i != me && in_use[i])
			all += s->lanes[i].weight;
	return (
	    uint64_t)((all + s->lanes[me].weight - 1) / s->lanes[me].weight);
}

static void
go_alone(struct account_limits *f, int64_t now_us)
{
	struct fairshare *s = mem_alloc(sizeof(*s));
	bool in_use[FAIRSHARE_LANES];
	int64_t shift_us;
	int me = f->me;

	(void)fairshare_file_read(f->file, now_us, s, &shift_us);
	persist_members(f->file, in_use);
	if (me < 0)
		me = fairshare_find(s, f->key, NULL);
	(void)enter(f, s, me, in_use, now_us);
	f->factor = part_of(s, me, in_use);
	/* Nobody tells us any more when it takes something. */
	for (int i = 0; i < FAIRSHARE_LANES; i++)
		if (i != me)
			s->lanes[i] = (struct fairshare_lane){0};
	f->alone = s;
	f->alone_me = me;
	f->alone_us = now_us;
	f->owed = (struct limitset_cost){0};
	if (fairshare_is_limited(s))
		log_warn("rates of %s: another lane keeps the file locked, "
			 "going on with a part of 1/%llu",
		    f->label, (unsigned long long)f->factor);
}

static void
come_back(struct account_limits *f, int64_t now_us)
{
	if (fairshare_is_limited(f->alone))
		log_info("rates of %s: shared again", f->label);
	fairshare_charge(&f->share, &f->owed, f->alone_us, now_us);
	f->is_joined_now = true;
	mem_free(f->alone);
	f->alone = NULL;
}

static struct limitset_cost
alone_cost(const struct account_limits *f, const struct limitset_cost *cost)
{
	struct limitset_cost all = *cost;

	for (int i = 0; i < LIMITSET_UNITS; i++)
		if (__builtin_mul_overflow(
			all.units[i], f->factor, &all.units[i]))
			all.units[i] = UINT64_MAX;
	return all;
}

/* ---- begin and end ----------------------------------------------------- */

/* Who could not have the lock once does not wait for it any more. */
static bool
lock(struct account_limits *f, int wait_ms, int64_t now_us)
{
	CHECK(now_us >= 0);
	if (persist_lock(f->file, f->missed_us != 0 ? 0 : wait_ms)) {
		f->missed_us = 0;
		return true;
	}
	if (now_us == 0)
		return false;
	if (f->missed_us == 0)
		f->missed_us = now_us;
	else if (f->alone == NULL && now_us - f->missed_us >= ALONE_AFTER_US)
		go_alone(f, now_us);
	return false;
}

/* The value in f->share, sound and with our row in it, until end(). False:
 * another lane has the lock. now_us 0: not known. */
static bool
begin(struct account_limits *f, int wait_ms, int64_t now_us)
{
	int64_t shift_us;

	if (now_us > f->now_us)
		f->now_us = now_us;
	if (!lock(f, wait_ms, now_us))
		return false;
	f->is_joined_now = false;
	f->stores = persist_stores(f->file);
	f->is_read = true;
	if (fairshare_file_read(f->file, now_us, &f->share, &shift_us) &&
	    !f->has_warned) {
		f->has_warned = true;
		log_warn("stored rates of %s were damaged: counting starts "
			 "anew",
		    f->label);
	}
	if (apply_part(f, &f->share))
		f->is_joined_now = true;
	if (f->is_pending)
		join(f, f->now_us);
	else if (f->me >= 0 && f->share.lanes[f->me].key != f->key)
		join_again(f, f->now_us);
	if (f->alone != NULL)
		come_back(f, f->now_us);
	return true;
}

static int64_t
turn_us(const struct account_limits *f)
{
	return f->env->loop != NULL ? loop_now_us(f->env->loop) : 0;
}

static void
end(struct account_limits *f, bool is_changed)
{
	CHECK(f->is_read);
	if (is_changed || f->is_joined_now) {
		persist_store(f->file, &f->share);
		f->stores = persist_stores(f->file);
	}
	persist_unlock(f->file);
	f->current_us = turn_us(f);
}

/* Nobody stored since, or had when this turn first looked: the lock would show
 * the same. It is two system calls, and most looks come in rows. */
static bool
is_current(struct account_limits *f)
{
	if (!f->is_read || f->me < 0 || f->alone != NULL)
		return false;
	if (f->current_us != 0 && f->current_us == turn_us(f))
		return true;
	if (persist_stores(f->file) != f->stores ||
	    !host_part_is_applied(&f->part, &f->share.set, bit_of(f)))
		return false;
	f->current_us = turn_us(f);
	return true;
}

/* ---- life -------------------------------------------------------------- */

struct account_limits *
account_limits_open(const struct account_limits_env *env, const char *kind,
    const char *account, enum pacer_scope scope, int64_t now_us, char *error,
    size_t n)
{
	struct account_limits *f = mem_zalloc(sizeof(*f));

	CHECK(env->lane_name != NULL && now_us > 0);
	f->env = env;
	f->key = (int64_t)(board_hash(env->lane_name) >> 1 | 1);
	board_label(account, f->label, sizeof(f->label));
	f->me = -1;
	f->is_pending = true;
	host_part_init(&f->part, env->set, scope,
	    env->fleet != NULL
		? fleet_store_account(env->fleet, account, now_us)
		: NULL);
	f->file = fairshare_file_open(env->dir, kind, account, error, n);
	if (begin(f, TAKE_WAIT_MS, now_us))
		end(f, true);
	return f;
}

void
account_limits_close(struct account_limits **f)
{
	struct account_limits *old = *f;

	*f = NULL;
	if (old == NULL)
		return;
	/* What was taken alone is told, if it can be. */
	if (old->alone != NULL && begin(old, TAKE_WAIT_MS, 0))
		end(old, true);
	if (old->me >= 0) {
		account_limits_quit(old);
		persist_leave(old->file, old->me);
	}
	persist_close(&old->file);
	host_part_fini(&old->part);
	mem_free(old->alone);
	mem_free(old);
}

/* A hint, which nobody waits for, but each message is cause for several. */
static const struct fairshare *
look(struct account_limits *f)
{
	if (f->looked_us != 0 && f->looked_us == turn_us(f))
		return persist_held(f->file);
	f->looked_us = turn_us(f);
	return persist_value(f->file);
}

bool
account_limits_is_limited(struct account_limits *f)
{
	if (f->me >= 0 || f->is_pending) {
		if (fairshare_is_limited(look(f)))
			return true;
		if (f->me >= 0)
			return false;
	}
	return f->is_pending && f->part.count > 0;
}

/* ---- takes ------------------------------------------------------------- */

/* When it is not known which limit it is the first must do. */
static const struct limitset_limit *
any_limit(const struct fairshare *s)
{
	for (int i = 0; i < LIMITSET_MAX; i++)
		if (s->set.limits[i].users != 0)
			return &s->set.limits[i];
	return &s->set.limits[0];
}

static int64_t
wait_alone_us(struct account_limits *f, const struct limitset_cost *cost,
    int64_t now_us, const struct limitset_limit **limit_out)
{
	struct limitset_cost all;

	CHECK(f->alone == NULL || f->alone_me >= 0);
	if (f->alone == NULL)
		return COME_AGAIN_US;
	(void)apply_part(f, f->alone);
	all = alone_cost(f, cost);
	return fairshare_wait_us(
	    f->alone, f->alone_me, &all, now_us, limit_out);
}

/* False: our place among the lanes did, which is to be stored. */
static bool
wait_changes_nothing(struct account_limits *f, const struct limitset_cost *cost,
    int64_t now_us, const struct limitset_limit **limit_out, int64_t *wait_out)
{
	struct fairshare_lane before = f->share.lanes[f->me];

	*wait_out =
	    fairshare_wait_us(&f->share, f->me, cost, now_us, limit_out);
	f->may_wait = f->share.lanes[f->me].until_us > 0;
	return memcmp(&before, &f->share.lanes[f->me], sizeof(before)) == 0;
}

static int64_t
wait_us(struct account_limits *f, const struct limitset_cost *cost,
    int64_t now_us, const struct limitset_limit **limit_out)
{
	int64_t wait;

	*limit_out = any_limit(&f->share);
	if (!account_limits_is_limited(f))
		return 0;
	/* "Now" is said under the lock alone: whoever hears it takes. */
	if (is_current(f) &&
	    wait_changes_nothing(f, cost, now_us, limit_out, &wait) && wait > 0)
		return wait;
	f->is_read = false;
	if (!begin(f, TAKE_WAIT_MS, now_us))
		return wait_alone_us(f, cost, now_us, limit_out);
	if (f->me < 0) {
		end(f, false);
		return 0;
	}
	end(f, !wait_changes_nothing(f, cost, now_us, limit_out, &wait));
	return wait;
}

int64_t
account_limits_wait_us(struct account_limits *f,
    const struct limitset_cost *cost, int64_t now_us,
    const struct limitset_limit **limit_out)
{
	int64_t wait = wait_us(f, cost, now_us, limit_out);

	if (wait > 0)
		host_part_short(&f->part, *limit_out, now_us);
	return host_part_wait_us(&f->part, wait);
}

static bool
take_alone(
    struct account_limits *f, const struct limitset_cost *cost, int64_t now_us)
{
	struct limitset_cost all;

	if (f->alone == NULL)
		return false;
	(void)apply_part(f, f->alone);
	all = alone_cost(f, cost);
	if (!fairshare_take(f->alone, f->alone_me, &all, now_us))
		return false;
	for (int i = 0; i < LIMITSET_UNITS; i++)
		f->owed.units[i] += cost->units[i];
	host_part_taken(&f->part, cost, now_us);
	return true;
}

bool
account_limits_take(
    struct account_limits *f, const struct limitset_cost *cost, int64_t now_us)
{
	bool is_taken;

	if (!account_limits_is_limited(f))
		return true;
	if (!begin(f, TAKE_WAIT_MS, now_us))
		return take_alone(f, cost, now_us);
	is_taken = f->me < 0 || fairshare_take(&f->share, f->me, cost, now_us);
	end(f, is_taken);
	if (is_taken) {
		f->may_wait = false;
		host_part_taken(&f->part, cost, now_us);
	}
	return is_taken;
}

void
account_limits_quit(struct account_limits *f)
{
	if (!f->may_wait || f->me < 0 || !begin(f, TAKE_WAIT_MS, 0))
		return;
	f->may_wait = false;
	end(f, fairshare_quit(&f->share, f->me));
}

const struct fairshare *
account_limits_peek(struct account_limits *f)
{
	/* Without the lock what was seen last will do. */
	if (!is_current(f) && begin(f, TAKE_WAIT_MS, 0))
		end(f, false);
	return f->alone != NULL ? f->alone : &f->share;
}

int64_t
account_limits_quota_used(
    struct account_limits *f, int unit, int64_t period_us, int64_t now_us)
{
	const struct fairshare *s = account_limits_peek(f);

	for (size_t i = 0; i < LIMITSET_MAX; i++) {
		const struct limitset_limit *l = &s->set.limits[i];

		if (l->unit == unit && l->users != 0 &&
		    l->limiter.kind == LIMITER_QUOTA &&
		    l->limiter.quota.period_us == period_us)
			return quota_used(&l->limiter.quota, now_us);
	}
	return 0;
}

/* ---- what lanes tell each other ---------------------------------------- */

void
account_limits_note_use(struct account_limits *f, int64_t now_us)
{
	if (f->me < 0 && !f->is_pending)
		return;
	if (f->me >= 0 && !fairshare_is_use_news(look(f), f->me, now_us))
		return;
	if (!begin(f, TAKE_WAIT_MS, now_us))
		return;
	if (f->me >= 0)
		fairshare_note_use(&f->share, f->me, now_us);
	end(f, true);
}

bool
account_limits_tell(struct account_limits *f, int64_t sent_us, int64_t now_us)
{
	bool in_use[FAIRSHARE_LANES], is_anybody;

	if (f->me < 0 || !begin(f, TELL_WAIT_MS, now_us))
		return false;
	/* Whoever died holds no entry any more. */
	persist_members(f->file, in_use);
	is_anybody = fairshare_tell(&f->share, f->me, in_use, sent_us, now_us);
	end(f, is_anybody);
	return is_anybody;
}

void
account_limits_pause(struct account_limits *f, int64_t until_us)
{
	CHECK(until_us > 0);
	if (f->me >= 0 && begin(f, TELL_WAIT_MS, 0))
		end(f, fairshare_pause(&f->share, until_us));
}

/* The look without the lock only tells that there is something; what it is is
 * read under the lock, now or the next time. */
static bool
is_news(struct account_limits *f)
{
	const struct fairshare *s = look(f);

	return f->me >= 0 && (s->lanes[f->me].told_us != f->told_us ||
				 s->pause_until_us != f->pause_until_us);
}

bool
account_limits_news(struct account_limits *f, int64_t *refused_us_out,
    int64_t *pause_until_us_out)
{
	const struct fairshare_lane *me;

	*refused_us_out = *pause_until_us_out = 0;
	if (!is_news(f) || !begin(f, TAKE_WAIT_MS, 0))
		return false;
	end(f, false);
	me = &f->share.lanes[f->me];
	if (me->told_us != f->told_us)
		*refused_us_out = me->refused_us;
	if (f->share.pause_until_us != f->pause_until_us)
		*pause_until_us_out = f->share.pause_until_us;
	f->told_us = me->told_us;
	f->pause_until_us = f->share.pause_until_us;
	return *refused_us_out > 0 || *pause_until_us_out > 0;
}
