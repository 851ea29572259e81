/* session_state: the inside of a session, for its own files alone, in the order
 * in which they call each other; none calls one above it:
 *
 *   session.c          what the lane and the link see: assigning, timers, EOF
 *   session_receive.c  replies to verdicts
 *   session_send.c     transactions to octets
 *   session_place.c    which reply belongs to which command, and how surely
 *   session_end.c      how transactions leave, and how the session ends
 *   session_verdict.c  verdicts of its recipients
 *   session_state.c    what can be read off the struct
 *
 *  lane --assign--> [assigned ... | rendering | awaiting ...] --done--> lane
 *                      (tail)        (cur)        (head)     --returned->
 *
 * `inside` is in stream order: first those whose replies were all read but are
 * not yet believed (held), then the one that the next reply concerns, and
 * everything behind an ended stream is what follows.
 */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

#include "agent/engine/session.h"

#include "agent/engine/message.h"
#include "agent/engine/pipeline.h"
#include "agent/engine/request.h"
#include "agent/engine/verdict.h"
#include "common/smtp/reply.h"

enum {
	/* A chunk is announced only when its octets are here, so this is what
	 * a large message costs in memory. One less than a power of two, which
	 * is what a buffer grows to. */
	CHUNK_OCTETS = 65535,
	/* Commands in flight: a request may have 20000 recipients. */
	COMMANDS_MAX = 1000,
	/* Servers slow down after 10 errors in a session, and one refused
	 * message costs two: leave before that. */
	FAILURES_IN_A_ROW_MAX = 4,
	/* A message that was the first in line for so many 421s was not just
	 * unlucky with sessions whose quota was used up. */
	TURNED_AWAY_MAX = 3,
	/* How long the answer to QUIT is waited for: the slot is ours until
	 * the server has seen the end. */
	QUIT_WAIT_MS = 2000,
	/* A 421 to a session without mail comes at once when a quota is used
	 * up. Later the server has just grown tired of waiting, which says
	 * nothing about how many messages or connections it takes. */
	IDLE_421_MS = 2000,
	/* How long a server that said 421 may neither close nor go on. */
	HELD_421_WAIT_MS = 10000,
};

enum session_step {
	STEP_RSET,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_WAIT_354,
	STEP_VAIN_DOT, /* 354 though no recipient was accepted */
	STEP_BODY,
	STEP_BDAT,
	STEP_LAST_RSET, /* ends a probe */
};

struct session {
	const struct settings *set;
	const struct session_ops *ops;
	void *ctx;
	struct ehlo ehlo;
	struct peer peer;
	struct manner *manner; /* borrowed */
	struct session_tally *tally, own_tally; /* the former borrowed */
	enum session_mode mode; /* of the current transaction, or the last */

	struct list inside;
	size_t load;
	struct transaction *cur; /* being rendered */
	enum session_step step;
	size_t rcpt_next;
	struct buf chunk;
	bool chunk_is_last;

	struct pipeline pipe;
	struct reply_parser parser;
	struct reply *held_421; /* owned; answers the oldest command */
	int64_t held_ms;
	uint64_t answering_off; /* end of the command being answered; else 0 */
	uint64_t proven_off; /* replies up to there are their commands' */
	bool wants_rset; /* one of its own, whose reply proves the place */
	bool is_rset_asked; /* ... was sent, and proved nothing so far */
	bool is_strange; /* its replies are worded as never before */
	bool is_bdat_known; /* it was answered by 2xx */
	bool was_last_taken; /* the message answered last */
	bool needs_rset;
	bool is_finishing; /* nothing new; QUIT comes last */
	bool is_quit_rendered;
	bool is_over;
	int messages, accepted, failed_in_row, in_doubt;
	int64_t born_ms, idle_since_ms, finishing_since_ms;
	const char *finishing_why; /* NULL: not finishing */
	int64_t request_deadline_ms; /* the earliest of those inside */
};

/* The oldest inside / the oldest of which no octet was rendered; or NULL. */
struct transaction *session_first(const struct session *s);
struct transaction *session_next_assigned(struct session *s);

/* All of it was rendered and every reply read. */
bool session_is_through(const struct session *s, const struct transaction *t);

/* How many are through, and not yet believed. */
size_t session_held(const struct session *s);

/* Every octet of t was written. */
bool session_is_sent_whole(
    const struct session *s, const struct transaction *t);

/* Everything for t is on the wire: the server may have taken it. */
bool session_is_in_doubt(const struct session *s, const struct transaction *t);

/* Enters a rendered command of n octets. */
void session_push(struct session *s, enum command_kind kind,
    struct transaction *t, size_t rcpt, size_t n, int64_t now_ms);

#endif
