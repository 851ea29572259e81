/* session_private: the inside of a session, for its four files alone.
 *
 *   session.c          life, assigning, verdicts, endings, timers
 *   session_send.c     transactions to octets
 *   session_receive.c  replies to verdicts
 *   session_place.c    which reply belongs to which command, and how surely
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

/* Enters a rendered command of n octets. */
void session_push(struct session *s, enum command_kind kind,
    struct transaction *t, size_t rcpt, size_t n, int64_t now_ms);

/* Tells who keeps notes, if anybody does. */
void session_note_rendering(
    struct session *s, struct transaction *t, bool begins);

/* Nothing more is rendered for t, the current transaction. */
void session_stop_rendering(struct session *s, struct transaction *t);

/* t may be through: rendered, and every reply read. Lets go what is, and is
 * believed. */
void session_settle(
    struct session *s, struct transaction *t, struct moment now);

/* ---- session_place.c --- */

enum place {
	PLACE_UNKNOWN, /* may be the reply to this command */
	PLACE_PROVEN, /* is */
	PLACE_LOST, /* is not */
};

/* What a reply says of its own place, that of the oldest command. */
enum place session_weigh(
    const struct session *s, const struct reply *reply, uint64_t wording);

/* Replies up to off are their commands'. */
void session_prove(struct session *s, uint64_t off, struct moment now);

/* All that arrived was read, and nothing came that was not asked for. */
void session_batch_ends(struct session *s, struct moment now);

/* Everything is answered, and not all believed. Returns true. */
bool session_ask_for_proof(struct session *s, struct moment now);

/* Nobody can say any more which reply belongs to which command: nothing that
 * is not proven is believed. */
void session_lose_place(struct session *s, const char *why,
    const struct reply *reply, struct moment now);

/* All of it was rendered and every reply read. */
bool session_is_through(const struct session *s, const struct transaction *t);

/* Through, and not yet believed. */
size_t session_held(const struct session *s);

/* The stream is at its end: those held are believed, or in doubt. */
void session_let_go_held(
    struct session *s, enum verdict_loss loss, struct moment now);

/* Verdicts of replies that are not proven are taken back. */
void session_take_back(struct session *s, struct transaction *t);

/* A transaction in this mode teaches how the server words its replies: alone,
 * and between two RSETs. */
bool session_teaches(const struct session *s, enum session_mode mode);

/* How the next transaction is to be talked about; t may be NULL. */
enum session_mode session_next_mode(
    const struct session *s, const struct transaction *t, int64_t now_ms);

/* ---- session.c --- */

/* The stream broke. */
void session_lose(struct session *s, enum session_end how,
    enum verdict_loss loss, const char *why, struct moment now);

/* t leaves the session: done if all is decided, else returned because of why,
 * which is not NULL then unless it was put off. */
void session_give_back(struct session *s, struct transaction *t,
    bool is_its_fault, const struct dsn *why, int64_t now_ms);

/* Every octet of t was written. */
bool session_is_sent_whole(
    const struct session *s, const struct transaction *t);

struct verdict_source session_source(
    const struct session *s, const struct transaction *t, struct moment now);

/* What a reply means: verdict_judge(), and what the lane says of it. */
enum meaning session_judge(struct session *s, struct transaction *t,
    enum command_kind kind, const struct reply *reply, struct moment now);

/* Recipient i is to be tried again: it stays undecided when t leaves. */
void session_put_off(struct session *s, struct transaction *t, size_t i,
    enum command_kind kind, const struct reply *reply, struct moment now);

/* Verdicts for recipients in flight, those put off excepted. */
void session_decide_by_reply(struct session *s, struct transaction *t, size_t i,
    enum outcome outcome, enum command_kind kind, const struct reply *reply,
    struct moment now);
void session_decide_all_by_reply(struct session *s, struct transaction *t,
    enum outcome outcome, enum command_kind kind, const struct reply *reply,
    struct moment now);
void session_decide_all(struct session *s, struct transaction *t,
    enum outcome outcome, const struct dsn *dsn, struct moment now);

/* The verdict when so many octets are too many for the server; else NULL. */
struct verdict *session_refuse_size(const struct session *s, uint64_t octets,
    const struct verdict_source *from);

/* Hangs up on a server that did nothing wrong. */
void session_hang_up(struct session *s, const char *why, struct moment now);

/* Ends without transactions inside / by a 421 to the oldest command. */
void session_end(
    struct session *s, enum session_end how, bool is_clean, const char *why);
void session_close_by_421(struct session *s, enum command_kind kind,
    const struct reply *reply, bool is_clean, struct moment now);

/* The held 421 was the last word; false: there is none. */
bool session_close_by_held_421(
    struct session *s, bool is_clean, struct moment now);
void session_forget_held_421(struct session *s);

/* Everything for t is on the wire: the server may have taken it. */
bool session_is_in_doubt(const struct session *s, const struct transaction *t);

#endif
