/* account_limits: limits that all lanes of an account share, in a file.
 *
 *   lock, read, share_*(), store, unlock        some microseconds
 *     '-- not had within a millisecond: come again in two
 *           '-- not had for two seconds: on with our own part, alone
 *
 * A struct fairshare in a file (agent/state/fairshare_file.h), of which this
 * lane has a row while it runs; in a fleet, of what the host has of each limit
 * (agent/state/host_part.h).
 *
 * A lane that is stopped (SIGSTOP) while it has the lock must not stop the
 * others, and none of them ever waits for it. They go on with a copy of what
 * was known, in which each take costs as much more as the lane's part of the
 * account is less; what was taken so is added when the lock is had again.
 *
 * Without a file everything is in memory, and this lane is the only one. Times
 * are monotonic microseconds, given by the caller.
 */
#ifndef ACCOUNT_LIMITS_H
#define ACCOUNT_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/pacer.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/fleet_store.h"
#include "agent/state/statefile.h"
#include "common/limits/fairshare.h"

struct account_limits;

/* What a lane is to its accounts. All borrowed. */
struct account_limits_env {
	const struct settings *set;
	const struct statefile_dir *dir; /* may be NULL */
	const char *lane_name;
	int weight;
	/* Limits are what this host has of them in a fleet; NULL: all. */
	struct fleet_store *fleet;
	/* What is looked at without the lock is read once in a turn of it;
	 * NULL: each time. */
	struct loop *loop;
};

/* The file KIND.HASH of the account, with the limits that scope names. Never
 * NULL; *error (of n octets) is "" or says why it is in memory alone. env is
 * borrowed. */
struct account_limits *account_limits_open(const struct account_limits_env *env,
    const char *kind, const char *account, enum pacer_scope scope,
    int64_t now_us, char *error, size_t n);

/* Gives the lane's row up. */
void account_limits_close(struct account_limits **f);

/* A look without the lock: is any limit in force? */
bool account_limits_is_limited(struct account_limits *f);

/* As in fairshare.h. *limit_out is valid until the next call. */
int64_t account_limits_wait_us(struct account_limits *f,
    const struct limitset_cost *cost, int64_t now_us,
    const struct limitset_limit **limit_out);
bool account_limits_take(
    struct account_limits *f, const struct limitset_cost *cost, int64_t now_us);

/* The lane waits for nothing any more. */
void account_limits_quit(struct account_limits *f);

/* The value as read last, if it can be had anew. */
const struct fairshare *account_limits_peek(struct account_limits *f);

/* Units of a quota that count now, by all lanes of this host; unit: index of
 * limitset_cost.units. 0: there is no such quota. */
int64_t account_limits_quota_used(
    struct account_limits *f, int unit, int64_t period_us, int64_t now_us);

/* Notes now and then that the lane sends, where no take does. */
void account_limits_note_use(struct account_limits *f, int64_t now_us);

/* fairshare_tell(), fairshare_pause(). */
bool account_limits_tell(
    struct account_limits *f, int64_t sent_us, int64_t now_us);
void account_limits_pause(struct account_limits *f, int64_t until_us);

/* What others told since the last call: when what was refused had been sent,
 * and until when all pause; 0: nothing. False: nothing at all. */
bool account_limits_news(struct account_limits *f, int64_t *refused_us_out,
    int64_t *pause_until_us_out);

#endif
