/* session: one authenticated SMTP session carrying many transactions.
 *
 * Engine: octets in, octets out, time as an argument. Ways to talk, chosen by
 * what EHLO offered and what the server took before (manner.h):
 *
 *   SESSION_BDAT      RSET MAIL RCPT.. BDAT n LAST <octets> RSET MAIL ...
 *                     (PIPELINING + CHUNKING: a window of whole messages)
 *   SESSION_OVERLAP   <body> . [RSET] MAIL RCPT.. DATA | wait for 354 | ...
 *                     (PIPELINING: one round trip per message, RFC 2920 3.1)
 *   SESSION_GROUP     MAIL RCPT.. DATA | <body> . | ...
 *   SESSION_LOCKSTEP  one command at a time
 *
 * No neighbour is poisoned: servers answer MAIL with 503 after a transaction
 * that was refused half way, yet take its RCPT and content with the previous
 * sender. Postfix keeps the transaction of a message that it refused at its end
 * (smtpd_end_of_data_restrictions), too, and its smtpd dies of a DATA in it. So
 * RSET stands before every MAIL of a BDAT window but the first, and elsewhere
 * unless the message before is known to be accepted; and a message whose MAIL
 * was refused is never believed delivered.
 *
 * Success is believed only on a 2xx to the end of data whose place is proven
 * (session_place.c, doc/internals/architecture.md). When the stream ends,
 * each transaction is done (decided), in doubt (its last octet was written and
 * no reply read: deferred with smtp(8)'s words) or returned (nobody can have
 * taken it). A reply that judge() finds to mean "later" returns what it
 * concerns, too. A 421 in order ends the stream for all that stands behind it,
 * once the server has closed: Exim gives an ACL's 421 and goes on. While whole
 * messages stand behind it, it is held until the end of the connection, or for
 * a while; a further reply makes it the refusal of its command and no more.
 *
 * A login may lead (RFC 4954 4, "the only exception"): AUTH with its initial
 * response stands in front of the first window, in the same write. While it is
 * not accepted no reply behind it is a verdict on a sender, a recipient or a
 * message: servers answer them with 550 and 554 for want of the login. What is
 * inside is returned then, but for what the server takes all the same: a 2xx to
 * an end of data is a delivery (session_login.c).
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/manner.h"
#include "agent/engine/peer.h"
#include "agent/engine/settings.h"
#include "agent/engine/transaction.h"
#include "agent/engine/verdict.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/slice.h"
#include "common/smtp/dsn.h"
#include "common/smtp/ehlo.h"

struct bdp;
struct session;

enum session_end {
	SESSION_END_QUIT, /* 221, or closed while idle or after QUIT */
	SESSION_END_421, /* the server closes the session */
	SESSION_END_LOST, /* connection lost with commands unanswered */
	SESSION_END_TIMEOUT, /* the oldest command's stage timed out */
	/* We hung up for a reason of ours or of one message: there is no other
	 * way out of content that is unreadable, or refused half way. */
	SESSION_END_OURS,
	SESSION_END_ABORT, /* we gave up: out of step, stop */
};

/* What sessions did, summed up by whoever has them; never reset. */
struct session_tally {
	uint64_t mails, rsets, bdats; /* commands rendered */
	uint64_t octets; /* of content rendered, encoding included */
	uint64_t replies_421;
	uint64_t manners; /* lessons that made it slower */
};

/* Why a session takes no more transactions, and says QUIT. */
enum session_finish_reason {
	FINISH_NONE, /* it does not, or did not before its end */
	FINISH_SPENT, /* its share of messages */
	FINISH_OLD,
	FINISH_USED_UP, /* the server says that its share is taken */
	FINISH_IDLE,
	FINISH_WANTED, /* another wants its place */
	FINISH_DRAINING,
	FINISH_ALARM,
	FINISH_TOO_MANY, /* connections of ours */
	FINISH_REFUSED, /* several messages in a row */
	FINISH_OUT_OF_STEP, /* MAIL was answered with 503 */
	FINISH_GARBAGE, /* between replies */
	FINISH_421, /* the server said so, and may close or go on */
	FINISH_NO_PROOF, /* what is held needs 221 to be believed */
	FINISH_NO_RSET, /* refused, and the next message needs it */
	FINISH_LOGIN, /* refused, in front of mail */
};

/* As a few words for the log: static text. */
const char *session_finish_words(enum session_finish_reason why);

/* What becomes of a login that leads. */
enum session_login_news {
	LOGIN_ACCEPTED, /* 235 */
	LOGIN_PROVEN, /* and mail that had stood behind it was taken */
	LOGIN_REFUSED,
	/* The connection ended before there was an answer, or what was answered
	 * belongs elsewhere: the server does not take a login in a group. */
	LOGIN_MISPLACED,
	/* Accepted, and the connection broke with the first mail behind it. */
	LOGIN_CUT,
};

/* While one of these runs the session is inside one of its own functions: of
 * session.h it may be asked anything, and session_finish() may be called. */
struct session_ops {
	/* t is out of the session and TRANSACTION_DONE: all its recipients are
	 * decided. */
	void (*on_done)(void *ctx, struct transaction *t);
	/* t is out of the session and TRANSACTION_WAITING: its RCPT_WAITING
	 * recipients, at least one, are for another session. is_its_fault: this
	 * attempt counts as a try; t->last_error says what happened. */
	void (*on_returned)(
	    void *ctx, struct transaction *t, bool is_its_fault);
	/* The session is over, after every transaction has left it: told once.
	 * The receiver closes the connection and frees the session, not from
	 * inside the callback. is_clean: the server has seen the end. */
	void (*on_ended)(
	    void *ctx, enum session_end end, bool is_clean, const char *why);
	/* There may be output, or room for another transaction. */
	void (*on_changed)(void *ctx);
	/* The octets of t begin to be produced / no more of them will be. May
	 * be NULL. */
	void (*on_rendering)(void *ctx, struct transaction *t, bool begins);
	/* A reply that is not the wanted one, to a command of t (NULL: nobody
	 * asked). Returns what it means, `meaning` being what the code alone
	 * says; never MEANING_OK. May be NULL. */
	enum meaning (*judge)(void *ctx, struct transaction *t,
	    enum command_kind kind, const struct reply *reply,
	    enum meaning meaning, struct moment now);
	/* A login that leads; code: of its reply, 0 none. May be NULL. */
	void (*on_login)(void *ctx, enum session_login_news news, int code,
	    struct moment now);
};

/* set and manner (the server's, shared by its sessions) are borrowed, ehlo and
 * peer copied. */
struct session *session_new(const struct settings *set, struct manner *manner,
    const struct ehlo *ehlo, const struct peer *peer,
    const struct session_ops *ops, void *ctx, int64_t now_us);
void session_free(struct session **s);

/* AUTH, as the line to be sent: a secret, copied, and wiped when it is sent,
 * together with the first mail. Before any mail. is_alone: no mail goes before
 * it is accepted. */
void session_log_in(struct session *s, struct slice line, bool is_alone);

/* No mail is there for it now: such a login goes alone. Idempotent. */
void session_log_in_alone(struct session *s);

/* It has sent a login that the server did not accept, or not yet: how it ends
 * says nothing of the mail, or of what the server takes. */
bool session_is_stranger(const struct session *s);

/* Counts in *tally (borrowed) from now on; NULL: nobody asks. */
void session_count_in(struct session *s, struct session_tally *tally);

/* What its messages tell of the distance goes there (borrowed) from now on. */
void session_measure_in(struct session *s, struct bdp *bdp);

const struct peer *session_peer(const struct session *s);

/* Room for one more transaction at this depth (messages unanswered), keeping
 * to at most quota messages in the session's life? */
bool session_has_room(
    const struct session *s, int depth, int quota, int64_t now_us);

/* It has carried its share of messages, or has grown old: time for
 * session_finish(). */
bool session_is_spent(const struct session *s, int quota, int64_t now_us);
/* The latter. */
bool session_is_old(const struct session *s, int64_t now_us);

/* Hands over a waiting transaction. May decide it at once (too big for the
 * server, SMTPUTF8 not offered) and call on_done from inside. */
void session_assign(
    struct session *s, struct transaction *t, struct moment now);

/* Takes an assigned transaction back if none of its octets was rendered. */
bool session_withdraw(struct session *s, struct transaction *t);

/* The newest transaction of which no octet was rendered, or NULL. */
struct transaction *session_unsent(const struct session *s);

/* The link's side. session_output appends at most about max octets. */
void session_input(
    struct session *s, const char *p, size_t n, struct moment now);
void session_output(
    struct session *s, struct buf *out, size_t max, struct moment now);
void session_written(struct session *s, size_t n, struct moment now);
void session_closed(
    struct session *s, bool is_eof, const char *text, struct moment now);

/* No new transactions; QUIT when those inside are through. The first reason
 * stays; its words are what on_ended() is told if the session ends in this way.
 */
void session_finish(
    struct session *s, enum session_finish_reason why, int64_t now_us);
enum session_finish_reason session_finish_reason(const struct session *s);

/* Ends now: what is written and unanswered is in doubt. */
void session_abort(struct session *s, const char *why, struct moment now);

/* When session_on_timer() is due; INT64_MAX: never. */
int64_t session_deadline_us(const struct session *s);
void session_on_timer(struct session *s, struct moment now);

bool session_is_over(const struct session *s);
bool session_is_finishing(const struct session *s);
size_t session_load(const struct session *s); /* transactions inside */
int session_messages(const struct session *s); /* begun in its life */
int session_accepted(
    const struct session *s); /* of them, taken by the server */
int session_in_doubt(const struct session *s); /* left so when it broke */
int64_t session_idle_since_us(const struct session *s); /* load 0 since */
uint64_t session_octets_unanswered(const struct session *s);

#endif
