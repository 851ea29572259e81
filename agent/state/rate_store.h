/* rate_store: where a lane's and its account's rates are kept.
 *
 *   pace.HASH     one lane's own limits           written at every take
 *   rates.HASH    the account's: messages, recipients, octets  } all lanes,
 *   connects.HASH the account's: new connections               } under a lock
 *
 * Files of lane_state_directory (persist.h), HASH of the lane's or account's
 * name. What was taken is in the file before the message is on its way, so
 * neither reload nor kill -9 gives a burst or loses a quota, and a reboot costs
 * what the kernel had not written back. Limits that change in the configuration
 * keep what is known to be used (fairshare_configure).
 *
 * The account's limits are those any running lane asks for, all of them; a take
 * holds the lock for some microseconds. A lane that cannot have the lock within
 * a millisecond is told to come again. An account without limits costs a look
 * at mapped memory, and a note that the lane sends some times a second.
 *
 * In the account's file lanes also tell each other what the provider said of
 * its pace: see fairshare.h.
 *
 * Without the directory a lane counts for itself alone, and says so once.
 */
#ifndef RATE_STORE_H
#define RATE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/pacer.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/fleet_store.h"
#include "agent/state/statefile.h"

struct rate_store;
struct rate_account;

/* dir (may be NULL), set and lane_name are borrowed. Time is an argument here
 * and below, in monotonic microseconds. */
struct rate_store *rate_store_open(const struct settings *set,
    const struct statefile_dir *dir, const char *lane_name, int64_t now_us);

/* Files of accounts are looked at once in a turn of loop, unless under the
 * lock.
 */
void rate_store_set_loop(struct rate_store *store, struct loop *loop);

/* Limits of accounts are what this host has of them in a fleet (borrowed), from
 * before the first account. */
void rate_store_set_fleet(struct rate_store *store, struct fleet_store *fleet);

void rate_store_close(struct rate_store **store);

/* In the draining child, after fork: the lane's next process has the files. No
 * message goes any more. */
void rate_store_drain(struct rate_store *store);

/* The lane's own state as it was left, in times of now; and as it is. */
const struct limitset *rate_store_load(const struct rate_store *store);
void rate_store_store(struct rate_store *store, const struct limitset *own);

/* The account of this name ("host" or "host login"), opened once; the store's,
 * until rate_store_forget() or rate_store_close(). */
struct rate_account *rate_store_account(
    struct rate_store *store, const char *account, int64_t now_us);

/* Closes an account that is not used for now; what was taken stays known. */
void rate_store_forget(struct rate_store *store, struct rate_account **account);

/* As in struct pacer_ops. */
int64_t rate_store_wait_us(struct rate_account *a,
    const struct pacer_cost *cost, int64_t now_us, struct pacer_limit *why_out);
bool rate_store_take(
    struct rate_account *a, const struct pacer_cost *cost, int64_t now_us);
/* NULL: no limits. a NULL: the account opened last, or before one was, what is
 * configured. */
const struct limitset *rate_store_peek(
    struct rate_store *store, struct rate_account *a);
/* Of new connections; the account opened last. */
const struct limitset *rate_store_peek_connects(struct rate_store *store);

/* Units of a quota of the account that count now. */
int64_t rate_store_quota_used(struct rate_account *a, enum pacer_unit unit,
    int64_t period_us, int64_t now_us);

/* lane_connection_rate_limit: microseconds until one more connection may be
 * begun, 0: now; and one is. take false: another lane was quicker. */
int64_t rate_store_connect_wait_us(struct rate_account *a, int64_t now_us);
bool rate_store_connect_take(struct rate_account *a, int64_t now_us);

/* What this lane sent at sent_us was refused for the account's pace. True: less
 * urgent lanes are busy and told to slow down, so this one need not. */
bool rate_store_throttled(
    struct rate_account *a, int64_t sent_us, int64_t now_us);

/* The provider wants nothing of this account before until_us. */
void rate_store_pause(struct rate_account *a, int64_t until_us);

/* What was told so, by whatever lane and process; 0: nothing is known. */
int64_t rate_store_paused_until(struct rate_account *a);

/* What other lanes have told this way since the last call. */
struct rate_store_news {
	int64_t refused_us; /* as sent_us above; 0: nothing was refused */
	int64_t pause_until_us; /* 0: none is known */
};

/* False: nothing new. Looks at mapped memory, so that it may be called before
 * every message. */
bool rate_store_news(struct rate_account *a, struct rate_store_news *out);

/* The lane has no mail waiting: its places are free. */
void rate_store_idle(struct rate_store *store);

#endif
