/* boardwriter: one lane's hand on the board (common/shared/board.h).
 *
 * Opens $lane_state_directory/board, making it where it is missing or of
 * another version, claims the lane's entry and maps the file. A lane finds its
 * own entry again by name, so counters go on over reload and crash.
 *
 * Every call takes a NULL writer and then does nothing (lookups answer 0 or
 * -1): a lane whose state directory cannot be used delivers mail without
 * figures. A call costs nanoseconds and never blocks, board_writer_open() and
 * board_writer_set_account() excepted. What is read back from the file is
 * bounded before it is used.
 *
 * After fork the draining child calls board_writer_drain(): it gives the entry
 * to the lane's next process, goes on counting, and touches no gauge any more.
 */
#ifndef BOARD_WRITER_H
#define BOARD_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/board.h"

struct board_writer;

/* lane_name: the master.cf service, with the instance in front where several
 * Postfix instances share the directory; class may be "". NULL: error holds
 * one line. Crash notes of the lane's last process are settled here. */
struct board_writer *board_writer_open(const char *dir, const char *lane_name,
    const char *class, char *error, size_t n);

/* Leaves in order: sessions, gauges and notes in hand are cleared. */
void board_writer_close(struct board_writer **w);

/* In the draining child, after fork. */
void board_writer_drain(struct board_writer *w);

/* Attaches the lane to its account ("host" or "host login"), which is made if
 * need be. false: all rows are taken by accounts in use. */
bool board_writer_set_account(struct board_writer *w, const char *account);

void board_writer_add(
    struct board_writer *w, enum board_counter which, uint64_t n);
void board_writer_set(
    struct board_writer *w, enum board_gauge which, int64_t value);
void board_writer_observe(
    struct board_writer *w, enum board_hist_id which, int64_t us);

/* A message was delivered, now; beside messages_sent. */
void board_writer_sent(struct board_writer *w);

/* Something went wrong, in its own words; the last holds. */
void board_writer_trouble(struct board_writer *w, const char *text);

/* What the process started with (agent/settings/fingerprint.h). */
void board_writer_set_settings(
    struct board_writer *w, const uint64_t words[BOARD_SETTINGS]);

/* What mail waits for; "": none does. */
void board_writer_set_waits_for(struct board_writer *w, const char *text);

/* One that is raised. */
struct board_writer_alarm {
	const char *what, *where, *reply;
	uint64_t since_wall_ms;
	uint64_t met_wall_ms; /* the last time; 0: not known */
};

/* The alarms that are raised, BOARD_ALARMS at most. */
void board_writer_set_alarms(struct board_writer *w,
    const struct board_writer_alarm *alarms, size_t count);

/* The lane did something; now. */
void board_writer_beat(struct board_writer *w);

/* Connection slots of the lane, and of the account as the lane sees it. */
void board_writer_set_slots(
    struct board_writer *w, int held, int reserve, int wants, int limit);
void board_writer_set_limits(struct board_writer *w, int limit, int limit_now,
    int64_t limited_ms, int held, int resting);
/* The provider refused a connection for their number; in its own words. */
void board_writer_refusal(struct board_writer *w, const char *reply);

/* How a fleet's account stands, of those that board_writer_set_account() was
 * told of; texts as they may be shown. */
void board_writer_set_fleet(struct board_writer *w, const char *account,
    const struct board_fleet *fleet);

/* A row for a new session in state DIALING; -1 when all are in use (then the
 * other calls do nothing). id: common/shared/session_id.h. host, address: of
 * the peer, as soon as it is known. */
int board_writer_session_new(struct board_writer *w, uint64_t id);
void board_writer_session_peer(
    struct board_writer *w, int row, const char *host, const char *address);
void board_writer_session_state(
    struct board_writer *w, int row, enum board_writer_session_state state);
void board_writer_session_figures(struct board_writer *w, int row,
    uint64_t messages, uint64_t in_flight, uint64_t depth, uint64_t octets);
void board_writer_session_free(struct board_writer *w, int row);

/* Notes that the message is being parsed or written; answers at how many
 * crashes of this lane it was in hand before. */
int board_writer_poison_begin(struct board_writer *w, const char *queue_id);
/* It is out of our hands again; survived says it also went through whole, so
 * that what is known of it is forgotten. */
void board_writer_poison_end(
    struct board_writer *w, const char *queue_id, bool survived);

/* What the lane of this name left in its entry, zeros at first; false without
 * a board. / Leaves it. */
bool board_writer_learned(
    struct board_writer *w, uint64_t words[BOARD_LEARNED]);
void board_writer_set_learned(
    struct board_writer *w, const uint64_t words[BOARD_LEARNED]);

/* The lane's and the account's entry, for code that keeps state of its own
 * there (orders, rates); NULL without. In a draining child they are the next
 * process's: board_writer_is_drained(). */
bool board_writer_is_drained(const struct board_writer *w);
struct board_lane *board_writer_lane(struct board_writer *w);
struct board_account *board_writer_account(struct board_writer *w);

#endif
