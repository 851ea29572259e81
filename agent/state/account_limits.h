/* sharefile: limits that all lanes of an account share, in a file.
 *
 *   lock, read, share_*(), store, unlock        some microseconds
 *     '-- not had within a millisecond: come again in two
 *           '-- not had for two seconds: on with our own part, alone
 *
 * A struct share in a keepfile, of which this lane has a row while it runs.
 * What is read is copied and repaired before it is used: other processes, and
 * whoever may write to the directory, can have left anything there.
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
#include "agent/state/statefile.h"
#include "common/limits/fairshare.h"

struct sharefile;

/* What a lane is to its accounts. All borrowed. */
struct sharefile_env {
	const struct settings *set;
	const struct statefile_dir *dir; /* may be NULL */
	const char *lane_name;
	int weight;
};

/* A value of another kind, with the limits of one lane: opened as is. Never
 * NULL; *error (of n octets) is "" or says why it is in memory alone. */
struct keepfile *sharefile_keep(const struct statefile_dir *dir,
    const char *kind, const char *key, char *error, size_t n);

/* The value in times of this boot, repaired. True: it differs from what is
 * stored. */
bool sharefile_load(const struct keepfile *file, struct share *out,
    const char *what, int64_t now_us);

/* An open file of such a kind holds nothing that is still of use. */
bool sharefile_is_spent(int fd, uint64_t boot, int64_t now_us);

/* The file KIND.HASH of the account, with the limits that scope names. Never
 * NULL; *error as above. env is borrowed. */
struct sharefile *sharefile_open(const struct sharefile_env *env,
    const char *kind, const char *account, enum pacer_scope scope,
    int64_t now_us, char *error, size_t n);

/* Gives the lane's row up. */
void sharefile_close(struct sharefile **f);

/* A look without the lock: is any limit in force? */
bool sharefile_is_limited(const struct sharefile *f);

/* As in share.h. *limit_out is valid until the next call. */
int64_t sharefile_wait_us(struct sharefile *f, const struct share_cost *cost,
    int64_t now_us, const struct share_limit **limit_out);
bool sharefile_take(
    struct sharefile *f, const struct share_cost *cost, int64_t now_us);

/* The lane waits for nothing any more. */
void sharefile_quit(struct sharefile *f);

/* The value as read last, if it can be had anew. */
const struct share *sharefile_peek(struct sharefile *f);

/* Notes now and then that the lane sends, where no take does. */
void sharefile_note_use(struct sharefile *f, int64_t now_us);

/* share_tell(), share_pause(). */
bool sharefile_tell(struct sharefile *f, int64_t sent_us, int64_t now_us);
void sharefile_pause(struct sharefile *f, int64_t until_us);

/* What others told since the last call: when what was refused had been sent,
 * and until when all pause; 0: nothing. False: nothing at all. */
bool sharefile_news(
    struct sharefile *f, int64_t *refused_us_out, int64_t *pause_until_us_out);

#endif
