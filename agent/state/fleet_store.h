/* fleet_store: the limits of accounts that this host shares with others.
 *
 *   lanes --want--> fleet.HASH <--asks, is answered-- the one that speaks
 *     ^---share--------'                              (agent/fleet/speaker.h)
 *
 * What a lane may use of a limit of an account is asked here, at each take; it
 * is what the file says that all lanes of the account on this host have
 * (fleet_file.h), by the clock of that moment, so that no loan outlives its
 * lease whatever became of the lane that speaks. Who speaks has a lock in that
 * file; when it dies another lane has it a second later.
 *
 * Without a usable file a lane is alone on its host: each limit is the base,
 * and nobody speaks. Times are monotonic microseconds.
 */
#ifndef FLEET_STORE_H
#define FLEET_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/state/fleet_file.h"
#include "agent/state/statefile.h"
#include "common/limits/rate.h"
#include "common/shared/board.h"
#include "common/shared/fleet.h"

struct fleet_store;
struct fleet_account;

enum fleet_kind {
	FLEET_CONNECTIONS, /* always the first limit of an account */
	FLEET_MESSAGES, /* these as in enum pacer_unit */
	FLEET_RECIPIENTS,
	FLEET_OCTETS,
	FLEET_DIALS, /* lane_connection_rate_limit */
};

/* One limit of an account, as it is set. */
struct fleet_limit {
	enum fleet_kind kind;
	struct rate whole; /* of all hosts; of rates and quotas */
	char unit[FLEET_UNIT_SIZE]; /* "messages/1s" */
	struct fleet_terms terms;
};

/* Borrowed; set->lane_fleet is not "". dir may be NULL. */
struct fleet_store *fleet_store_open(const struct settings *set,
    const struct statefile_dir *dir, const char *lane_name);
void fleet_store_close(struct fleet_store **store);

/* What whoever has the account can tell of it. */
struct fleet_account_ops {
	/* Connections, dials included and those that rest; units of a quota in
	 * its period; else 0. */
	int64_t (*in_use)(
	    void *ctx, const struct fleet_limit *limit, int64_t now_us);
	/* Some share is another one, or something was heard. Not from a take.
	 */
	void (*on_share)(void *ctx);
	/* What this host was told by the provider, FLEET_PAUSE and FLEET_FEWER.
	 * May be NULL, as what follows. */
	void (*learned)(
	    void *ctx, struct fleet_lesson out[FLEET_LESSONS], int64_t now_us);
	/* The refusal that has stopped this lane, fleet_refusal(); 0: none. */
	int64_t (*blocked)(void *ctx);
};

/* Each is opened once; close it as often as it was asked for. */
struct fleet_account *fleet_store_account(
    struct fleet_store *store, const char *name, int64_t now_us);
void fleet_account_set_ops(
    struct fleet_account *a, const struct fleet_account_ops *ops, void *ctx);
void fleet_account_close(struct fleet_account **account);

/* NULL: the first; NULL: no more. */
struct fleet_account *fleet_store_next(
    struct fleet_store *store, struct fleet_account *a);

const char *fleet_account_name(const struct fleet_account *a);
size_t fleet_account_count(const struct fleet_account *a);
const struct fleet_limit *fleet_account_limit(
    const struct fleet_account *a, size_t i);

/* The limit of that kind and, of rates, period; -1: it is none that is shared.
 */
int fleet_account_find(const struct fleet_account *a, enum fleet_kind kind,
    const struct rate *rate);

/* ---- for takes; a NULL: no fleet ------------------------------------------
 */

/* What this host may use now. */
int64_t fleet_account_share(struct fleet_account *a, size_t i, int64_t now_us);

/* What other hosts of the fleet were told by the provider; NULL: nothing. Valid
 * until the next call. */
const struct fleet_heard *fleet_account_heard(
    struct fleet_account *a, enum fleet_lesson_kind kind, int64_t now_us);

/* The share of connections, or fewer by what was heard. */
int64_t fleet_account_connection_limit(struct fleet_account *a, int64_t now_us);

/* What this lane does use, and that it waits for more. */
void fleet_account_take(
    struct fleet_account *a, size_t i, int64_t units, int64_t now_us);
void fleet_account_short(struct fleet_account *a, size_t i, int64_t now_us);
void fleet_account_connections(
    struct fleet_account *a, int held, int more, int64_t now_us);

/* ---- for who speaks --------------------------------------------------------
 */

/* Once a second in every lane: tells what this lane could use, and looks
 * whether a share is another one. */
void fleet_account_tell(struct fleet_account *a, int64_t now_us);

/* True: this process speaks for the host, or does from now on. nonce: at
 * random, if it does from now on. */
bool fleet_account_speak(
    struct fleet_account *a, uint64_t nonce, int64_t now_us);
bool fleet_account_speaks(const struct fleet_account *a);
/* Neither speaks nor tells any more; another process may. */
void fleet_account_hush(struct fleet_account *a);
int64_t fleet_account_epoch(const struct fleet_account *a);

/* Some times a second, in every lane: tells at once that this lane could use
 * more than it has. True: the next question should not wait for its second,
 * because the host wants more than it has, or has less than the engine knows,
 * which others wait for. Never while an answer is on its way, and a few times
 * for each wish. */
bool fleet_account_hurry(struct fleet_account *a, int64_t now_us);

/* The next question of each limit; the shares it tells of are obeyed when this
 * returns. False: not just now. */
bool fleet_account_ask(struct fleet_account *a, int64_t now_us,
    struct fleet_question out[FLEET_LIMITS]);

enum fleet_result {
	FLEET_TAKEN,
	FLEET_LATE, /* not the last question's, or too late */
	FLEET_BUSY, /* the file is locked: as if it had not come */
};

/* Its answer. */
enum fleet_result fleet_account_answer(struct fleet_account *a, size_t i,
    int64_t number, const struct fleet_answer *answer, int64_t now_us);

/* Once a second: questions that have no answer by now never get one; alone_us:
 * so long without the engine. */
void fleet_account_settle(
    struct fleet_account *a, int64_t alone_us, int64_t now_us);

/* When its terms were told to the engine; 0: never. */
int64_t fleet_account_told_us(const struct fleet_account *a);
void fleet_account_set_told(struct fleet_account *a, int64_t now_us);

/* Rows of the board, and what is known of all time. */
void fleet_account_show(
    struct fleet_account *a, struct board_fleet *out, int64_t now_us);

#endif
