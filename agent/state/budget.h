/* budget: the account's connection slots, shared by all lanes and processes.
 *
 * All lanes of one account together hold at most
 * lane_account_connection_limit sessions, counted from before connect until
 * the provider can have seen the end. A slot is an open-file-description lock
 * (F_OFD_SETLK) on one octet of a file in lane_state_directory: it survives
 * the fork of a draining lane, falls when the last holder dies, and needs no
 * server. Who holds how many, reserves what and waits for more stands in the
 * same file, under the same locks (common/shared/slots.h), so that reserves are
 * honoured and idle surplus is given up; the board shows it:
 *
 *   a lane may take a slot when  free > sum over other lanes of
 *                                max(0, their reserve - what they hold)
 *
 * Lanes that disagree on the limit use the smallest and warn. Where the state
 * directory cannot be used the budget counts this process alone and says so.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/statefile.h"

struct board_writer;
struct budget;

struct budget_answer {
	int slot; /* >= 0: granted */
	int64_t not_before_ms; /* else: when to ask again at the latest */
	const char *why; /* static text, e.g. "account limit reached" */
	bool is_full; /* none before one is given back, by us or another */
};

typedef void budget_fn(void *ctx);

/* account: text that names the account: lane_account, or "host login" with one
 * blank between. Only its hash and what board_label() lets through are written
 * anywhere. lane_name should name the Postfix instance too if several share
 * the directory. Never fails; see above for an unusable directory. dir:
 * lane_state_directory as opened at start; NULL: it is opened by its path. It
 * has been made and is owned by mail_owner. on_room is called from
 * the loop when a slot may have become free for us while we want one, or when
 * another lane wants one of our idle ones. */
struct budget *budget_open(struct loop *loop, const struct settings *set,
    const struct statefile_dir *dir, const char *lane_name, const char *account,
    budget_fn *on_room, void *ctx);

/* Shows slots, limits and refusals on the board from now on (NULL: no more).
 * The board must outlive the budget. */
void budget_set_board(struct budget *budget, struct board_writer *board);

/* The account's limit is also what this host has of it in a fleet, from now on
 * (borrowed; NULL: there is none). on_room is called, too, while more is held
 * than that. */
struct fleet_account;
void budget_set_fleet(struct budget *budget, struct fleet_account *fleet);

/* So many of this lane's slots are above the host's share, as of the last look;
 * those whose sessions end already are among them. */
int budget_excess(const struct budget *budget);

/* What the provider allows this host since it refused a connection, as of the
 * last look; how long until that is all again, 0: it is. */
int64_t budget_limited_ms(
    const struct budget *budget, int64_t now_ms, int *limit_out);

/* Slots that count now, of all lanes of this host: held, or resting. */
int budget_in_use(struct budget *budget, int64_t now_ms);

/* Closes without unlocking: a forked child may still hold the slots. */
void budget_close(struct budget **budget);

/* So many for this lane at most from now on, in the place of
 * lane_connection_limit; those that are held stay. No more than that is
 * reserved for it. */
void budget_set_lane_limit(struct budget *budget, int limit);

/* Takes a slot if there is one for this lane. */
bool budget_take(
    struct budget *budget, int64_t now_ms, struct budget_answer *out);

/* Gives a slot back. is_clean: 221 or EOF was read, or nothing was ever
 * connected. Otherwise the slot rests max(1 s, 2 x RTT) first: the provider
 * has not seen the end yet. */
void budget_release(struct budget *budget, int slot, bool is_clean,
    int64_t rtt_ms, int64_t now_ms);

/* How many more sessions this lane would open if it could (0: none). Only
 * while this is not 0 and a take was refused does on_room tell of new room;
 * a lane that keeps it above 0 without need makes others close sessions. */
void budget_want(struct budget *budget, int count);

/* Looks at the file, as it does by itself each 25 or 100 ms while slots are
 * wanted or held and there is a loop. */
void budget_look(struct budget *budget, int64_t now_ms);

/* Another lane of the account waits and we hold more than our reserve: so many
 * of ours it could use, idle sessions should be closed. As of the last look, at
 * most 100 ms ago; on_room is called after each look that finds it so; each
 * release counts it down. */
int budget_surplus(const struct budget *budget);

/* The provider itself refused a connection for their number while we held
 * held_count (of this lane): lowers the effective limit for a while, remembered
 * beside the slots, raised again step by step: the sessions open account-wide
 * are the limit for 60 s (longer when the same number was met before, an hour
 * at most), then one more every 30 s. */
void budget_refused(struct budget *budget, int held_count, int64_t now_ms);

/* After fork, in the draining child: keep slots, stop wanting and timers. The
 * parent must not touch its budget again: they share the locks. */
void budget_drain(struct budget *budget);

#endif
