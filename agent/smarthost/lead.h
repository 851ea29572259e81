/* lead: may AUTH lead the first mail of a connection, in one group?
 *
 *   no login accepted yet  -> LEAD_NO     AUTH | MAIL ...      in steps
 *   one was                -> LEAD_TRIAL  AUTH RSET | MAIL ... no mail at stake
 *   the server did that    -> LEAD_YES    AUTH MAIL RCPT ...
 *   it did not             -> LEAD_NO     for a week
 *
 * RFC 4954 4 lets AUTH stand in front of other commands where the mechanism is
 * known to complete in one round trip. Whether a server takes that is asked
 * with a command that carries nothing: one that discards what stands behind
 * AUTH, say, would read half a message as commands. Whether it takes the login
 * is known from the last time, a day ago at most: the same user at the same
 * host, port and mechanism. After a refusal the next one is in steps again.
 *
 * What a server takes is kept on the board, by host, so that neither the next
 * process nor another lane asks again for a week. One that refuses a
 * login in a group three times, and takes it in steps each time, or breaks off
 * behind it, is one of those.
 *
 * Times are of the loop's clock, in microseconds. Names are compared by their
 * hash: a wrong one could cost no more than a login too early.
 */
#ifndef LEAD_H
#define LEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board_writer;
struct leads;

enum lead { LEAD_NO, LEAD_TRIAL, LEAD_YES };

enum {
	LEAD_LOGINS_MAX = 4096, /* remembered; the oldest is forgotten */
	LEAD_SERVERS_MAX = 256,
	LEAD_FAILURES = 3, /* in a row, that may have another cause */
};

#define LEAD_LOGIN_MEMORY_US (INT64_C(24) * 3600 * 1000000)
#define LEAD_FAULT_MEMORY_US (INT64_C(7) * 24 * 3600 * 1000000)

/* Whose login, and where. */
struct lead_key {
	uint64_t login, server;
	char host[256]; /* in lower case: the board's row */
	unsigned port;
};

void lead_key_set(struct lead_key *key, const char *host, unsigned port,
    const char *user, const char *mech);

struct leads *leads_new(void);
void leads_free(struct leads **leads);

/* Borrowed; NULL, as at first: nothing outlives the process. */
void leads_set_board(struct leads *leads, struct board_writer *board);

enum lead leads_ask(
    struct leads *leads, const struct lead_key *key, int64_t now_us);

/* The login was accepted, in whatever way / refused; is_led: with mail behind.
 */
void leads_accepted(
    struct leads *leads, const struct lead_key *key, int64_t now_us);
void leads_refused(struct leads *leads, const struct lead_key *key, bool is_led,
    int64_t now_us);

/* What stood behind AUTH was answered, in its place / mail was taken there. */
void leads_tried(
    struct leads *leads, const struct lead_key *key, int64_t now_us);
void leads_proven(
    struct leads *leads, const struct lead_key *key, int64_t now_us);

/* The connection broke when AUTH had led. / The server does not take that, and
 * what says so in the log. */
void leads_cut(struct leads *leads, const struct lead_key *key, int64_t now_us);
void leads_fault(struct leads *leads, const struct lead_key *key,
    const char *why, int64_t now_us);

#endif
