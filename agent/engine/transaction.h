/* transaction: one MAIL/RCPT/content group for some recipients of a request.
 *
 * A request normally becomes one transaction; where its recipients fall under
 * different limits (domains.h), one for each. These are independent of each
 * other, may be on two sessions at once, and read the content each by itself.
 * A transaction waits in its lane, is given
 * to a session, and comes back either done (every recipient has a verdict) or
 * returned (nobody may have taken it; it goes to another session).
 *
 *   waiting -> assigned -> rendering -> awaiting replies -> held -> done
 *      ^___________|____________|_______________|____________|  returned
 *
 * Plain state shared by session (which drives it) and lane (which keeps it).
 */
#ifndef TRANSACTION_H
#define TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "agent/engine/manner.h"
#include "agent/engine/peer.h"
#include "common/base/list.h"

struct domain;
struct message;
struct parking;
struct request;
struct dsn;
struct lane_session;
struct route;

enum transaction_state {
	TRANSACTION_WAITING, /* in the lane */
	TRANSACTION_ASSIGNED, /* in a session's queue, no octet rendered */
	TRANSACTION_RENDERING, /* its octets are being produced */
	TRANSACTION_AWAITING, /* all octets produced, replies due */
	TRANSACTION_HELD, /* all replies read, not yet believed */
	TRANSACTION_DONE, /* all its recipients are decided */
};

enum mail_reply { MAIL_UNANSWERED, MAIL_ACCEPTED, MAIL_REFUSED };

struct transaction {
	struct list link; /* the lane's waiting list or the session's */
	struct request *req;
	enum transaction_state state; /* transaction_set_state() writes it */
	struct transaction *sibling; /* the request's next one */
	bool is_part; /* the request has, or had, others */
	struct message *message; /* owned; a part's own, once it was read */
	struct route *route; /* whose it is */
	struct domain *domain; /* the limit it is under; NULL: none */
	struct parking *parking; /* the queue it waits in; NULL: the route's */
	struct lane_session *carrier; /* who has it; NULL while it waits */

	/* facts of the present attempt; session resets them */
	enum mail_reply mail;
	size_t rcpts_accepted, rcpts_answered;
	size_t commands_unanswered;
	bool is_bad_sequence; /* MAIL got 503: the session is out of step */
	bool is_put_off; /* some of it is to be tried again (MEANING_LATER) */
	bool is_failed; /* nothing of it can be accepted any more */
	bool has_other_host; /* what this one refuses for now may go there; */
	bool goes_on; /* and that is where it goes (the lane's to reset) */
	bool was_cut; /* the connection broke, and left it in doubt */
	bool is_behind_login; /* begun before the login was answered */
	bool is_overlapped; /* begun before the last reply to the one before */
	bool is_bdat; /* SESSION_BDAT is its mode */
	bool was_let_in; /* 354 was read */
	bool is_held_back; /* smtp_reply_filter refuses the sender or a
			    * recipient, but the server would deliver */
	bool was_taken; /* for others than those that the last reset left */
	bool is_behind_refusal; /* MAIL was refused, and what stood before it */
	bool is_teacher; /* stands between two RSETs, session_place.c */
	bool is_rset_refused; /* the RSET that led it */
	bool wants_caution; /* commands of its group got 503 */
	bool is_turned_away; /* the server takes nothing behind a final dot */
	/* When its last reply came, all before it was proven; nothing else was
	 * unanswered. Believed if the stream just ends. */
	bool follows_proof, was_last;
	uint64_t begin_off; /* stream place of its first command */
	uint64_t answered_off; /* ... after its last answered one */
	uint64_t wordings[ANSWER_KINDS]; /* of its replies; 0: none */
	uint64_t last_off; /* stream place after its last octet; 0: not yet */
	struct timeval began; /* MAIL was rendered (delays= c ends here) */
	int64_t began_us;

	int64_t taken_us; /* given to a session: what adapt calls sent */
	int64_t left_us; /* it left the session */
	bool is_throttled; /* a reply to it asked to slow down; until counted */

	/* facts of its life */
	int64_t waiting_since_us;
	bool is_back; /* from a session: its domain may be held by now */
	uint64_t number; /* the lane's; in order of coming */
	int tries; /* attempts that failed through no fault we know */
	int hosts_met; /* of the nexthop it is at; they did not take it */
	bool is_cautious; /* next time one command at a time */
	int turned_away; /* times a 421 came when it was its turn */
	struct dsn *last_error; /* owned; why the latest attempt failed */
	struct peer *last_peer; /* owned; with whom that was */

	size_t count; /* recipients */
	size_t total; /* with those behind them that left it decided */
	uint32_t rcpts[]; /* their indices in req->rcpts */
};

/* For all RCPT_WAITING recipients of the request. */
struct transaction *transaction_new(struct request *req, int64_t now_us);

/* A part, with room for so many recipients; none yet. */
struct transaction *transaction_new_part(
    struct request *req, size_t room, int64_t now_us);

/* Not while a session has it. */
void transaction_free(struct transaction **t);

/* One move of its life; CHECKs that it is allowed. */
void transaction_set_state(struct transaction *t, enum transaction_state state);

/* The i-th recipient of t has no verdict yet. */
bool transaction_is_open(const struct transaction *t, size_t i);

/* Recipients of t that are in flight (have no verdict yet). */
size_t transaction_undecided(const struct transaction *t);

/* What its content is read from; NULL for probes. For a part from now on a
 * reader of its own. */
struct message *transaction_message(struct transaction *t);

/* Why the latest attempt failed, and with whom; both are copied. */
void transaction_set_error(
    struct transaction *t, const struct dsn *why, const struct peer *peer);

/* Forgets the attempt: its undecided recipients are RCPT_WAITING again. The
 * decided ones leave the transaction. */
void transaction_reset(struct transaction *t);

#endif
