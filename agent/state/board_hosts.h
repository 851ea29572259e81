/* board_hosts: what an account has learned of each smarthost, on the board
 * (common/shared/board.h).
 *
 * It outlives the process and is shared by the account's lanes, so that the
 * next session begins with what the last one found out. An account has
 * BOARD_HOSTS rows; when all are taken, the host that was heard of longest ago
 * gives way. Without a board, or before board_writer_set_account(), nothing is
 * known and nothing is kept. What is read is bounded before it is used. Ages
 * are by the wall clock and never below 0, also after it was set back.
 */
#ifndef BOARD_HOSTS_H
#define BOARD_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/state/board_writer.h"

/* Messages that may be in a window, and that a session may carry; 0: not
 * known, at most 10,000 whatever the file says. *age_ms_out: how long ago the
 * second was found out. */
int board_hosts_depth(struct board_writer *w, const char *host);
void board_hosts_set_depth(struct board_writer *w, const char *host, int depth);
int board_hosts_messages(
    struct board_writer *w, const char *host, int64_t *age_ms_out);
void board_hosts_set_messages(
    struct board_writer *w, const char *host, int messages);

/* How it is talked to, packed by the caller; 0: not known. */
int board_hosts_manner(
    struct board_writer *w, const char *host, int64_t *age_ms_out);
void board_hosts_set_manner(
    struct board_writer *w, const char *host, int manner);

/* How it words its replies, packed by the caller into the lower 56 bits of
 * each; false: not known. Kept with the day: *age_days_out is in days. */
bool board_hosts_wordings(struct board_writer *w, const char *host,
    uint64_t packed_out[2], int64_t *age_days_out);
void board_hosts_set_wordings(
    struct board_writer *w, const char *host, const uint64_t packed[2]);

/* What it made of AUTH with a command behind it, the last time: at this port,
 * or at any if it did not take it. */
enum board_login {
	BOARD_LOGIN_UNKNOWN,
	BOARD_LOGIN_FAULT, /* did not take it */
	BOARD_LOGIN_LED, /* answered both */
};
enum board_login board_hosts_login(struct board_writer *w, const char *host,
    unsigned port, int64_t *age_ms_out);
void board_hosts_set_login(struct board_writer *w, const char *host,
    unsigned port, enum board_login what);

/* Whether it has taken mail without a login at this port, and how long ago,
 * whichever account noted it. */
bool board_hosts_stranger(struct board_writer *w, const char *host,
    unsigned port, int64_t *age_ms_out);
void board_hosts_set_stranger(
    struct board_writer *w, const char *host, unsigned port);

/* For those who look at the board: the round trip, and when the certificate
 * that it showed last ends, in Unix time; 0: not known. */
void board_hosts_set_rtt(struct board_writer *w, const char *host, int64_t us);
void board_hosts_set_certificate(
    struct board_writer *w, const char *host, int64_t end_s);

#endif
