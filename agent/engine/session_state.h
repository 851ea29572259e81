/* session_state: the inside of a session, for its own files alone, in the order
 * in which they call each other; none calls one above it:
 *
 *   session.c          what the lane and the link see: assigning, timers, EOF
 *   session_receive.c  replies to verdicts
 *   session_send.c     transactions to octets
 *   session_login.c    a login that leads, and what follows when it is refused
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

#include "agent/engine/bdp.h"
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
	/* AUTH with its initial response: RFC 4954 4. */
	AUTH_OCTETS = 512,
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
	QUIT_WAIT_US = 2000000,
	/* A 421 to a session without mail comes at once when a quota is used
	 * up. Later the server has just grown tired of waiting, which says
	 * nothing about how many messages or connections it takes. */
	IDLE_421_US = 2000000,
	/* How long a server that said 421 may neither close nor go on. */
	HELD_421_WAIT_US = 10000000,
};

/* Its life; session_set_state() knows which move is allowed. */
enum session_state {
	SESSION_OPEN, /* takes transactions */
	SESSION_FINISHING, /* nothing new; QUIT comes last */
	SESSION_QUITTING, /* QUIT was rendered */
	/* As the two before, and a 421 is held until the server closes, or goes
	 * on: nothing is rendered. */
	SESSION_HELD_FINISHING,
	SESSION_HELD_QUITTING,
	SESSION_ENDING, /* the stream is over: transactions leave */
	SESSION_OVER, /* on_ended() was told */
};

/* What is done to prove the places of those that are held. */
enum session_proof {
	PROOF_NOT_ASKED,
	PROOF_WANTED, /* a RSET of the session's own is to be rendered */
	PROOF_ASKED, /* it was; so far it proved nothing */
};

/* session_set_login() knows which move is allowed. */
enum session_login {
	SESSION_LOGIN_NONE, /* done before, or not needed */
	SESSION_LOGIN_LEADS, /* AUTH is to be sent, or not answered */
	SESSION_LOGIN_TAKEN, /* accepted; no mail was taken so far */
	SESSION_LOGIN_REFUSED,
	SESSION_LOGIN_PROVEN, /* accepted, and mail was taken */
};

enum session_step {
	STEP_RSET,
	STEP_XFORWARD_CLIENT,
	STEP_XFORWARD_PROTOCOL,
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
	int calling; /* callbacks that run */
	enum session_state state; /* session_set_state() alone writes it */
	bool probes_end_at_data; /* smtp_address_verify_target; else at RCPT */
	struct ehlo ehlo;
	struct peer peer;
	struct manner *manner; /* borrowed */
	struct session_tally *tally, own_tally; /* the former borrowed */
	struct bdp *bdp, own_bdp; /* the former borrowed */
	struct bdp_meter meter;
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
	/* owned; answers the oldest command while the state is one of HELD */
	struct reply *held_421;
	int64_t held_us;
	uint64_t answering_off; /* end of the command being answered; else 0 */
	uint64_t proven_off; /* replies up to there are their commands' */
	uint64_t taught_off; /* likewise, if no reply came that is one too many
			      */
	/* End of the last command of an envelope that was answered in words
	 * that are not known of its kind. */
	uint64_t unusual_off;
	/* End of the last command of a message without recipients that was
	 * answered, or of a DATA that was refused; a 2xx to it cannot be. */
	uint64_t refused_off;
	bool has_unproven; /* a bounce was taken back for want of proof */
	enum session_proof proof; /* session_set_proof() alone writes it */
	enum session_login login; /* session_set_login() alone writes it */
	struct buf auth; /* a secret: AUTH, not yet rendered */
	bool is_login_alone; /* no mail goes with it */
	bool is_login_due; /* it need not wait for mail */
	int login_code; /* of the reply that refused it; 0: none */
	bool is_strange; /* its replies are worded as never before */
	bool is_bdat_known; /* it was answered by 2xx */
	bool was_last_taken; /* the message answered last */
	bool was_refused; /* the command answered last */
	bool needs_rset;
	bool is_xforward_refused; /* it was answered by no 2xx */
	int messages, accepted, failed_in_row, in_doubt;
	int64_t born_us, idle_since_us, finishing_since_us;
	enum session_finish_reason finish_reason;
	int64_t request_deadline_us; /* the earliest of those inside */
};

/* One move of its life; CHECKs that it is allowed. */
void session_set_state(struct session *s, enum session_state state);
void session_set_proof(struct session *s, enum session_proof proof);

void session_set_login(struct session *s, enum session_login login);

/* Tells who may want to know of a login that leads. */
void session_tell_login(struct session *s, enum session_login_news news,
    int code, struct moment now);

/* A 421 is held. */
bool session_is_held(const struct session *s);

/* Around each callback; and what only those outside of one may do. */
void session_call_begins(struct session *s);
void session_call_ends(struct session *s);
void session_check_outside(const struct session *s);

void session_tell_changed(struct session *s);

/* The oldest inside / the oldest of which no octet was rendered; or NULL. */
struct transaction *session_first(const struct session *s);
struct transaction *session_next_assigned(struct session *s);

/* How many at the head are TRANSACTION_HELD: through, and not yet believed. */
size_t session_held(const struct session *s);

/* Every octet of t was written. */
bool session_is_sent_whole(
    const struct session *s, const struct transaction *t);

/* Everything for t is on the wire: the server may have taken it. */
bool session_is_in_doubt(const struct session *s, const struct transaction *t);

/* Enters a rendered command of n octets. */
void session_push(struct session *s, enum command_kind kind,
    struct transaction *t, size_t rcpt, size_t n, int64_t now_us);

/* What the message wants of this server for the sake of REQUIRETLS. */
enum requiretls session_requiretls(
    const struct session *s, const struct request *req);

#endif
