#include "agent/engine/session_place.h"

#include "agent/engine/session_end.h"
#include "agent/engine/session_state.h"
#include "agent/engine/session_verdict.h"
#include "common/base/log.h"

/* ---- how to talk ------------------------------------------------------------
 */

enum session_mode
session_next_mode(
    const struct session *s, const struct transaction *t, int64_t now_us)
{
	enum session_mode mode = s->ehlo.chunking && s->set->lane_chunking
				     ? SESSION_BDAT
				     : SESSION_OVERLAP;
	enum session_mode fastest = manner_fastest(s->manner, now_us);

	if (!s->ehlo.pipelining || (t != NULL && t->is_cautious))
		return SESSION_LOCKSTEP;
	if (mode < fastest)
		mode = fastest;
	/* 354 proves a place, whatever the other replies look like. */
	if (mode == SESSION_BDAT &&
	    (s->is_strange ||
		(s->manner->is_ambiguous && !manner_tells_ends(s->manner))))
		mode = SESSION_OVERLAP;
	return mode;
}

unsigned
session_xforward(const struct session *s, const struct transaction *t)
{
	return s->set->smtp_send_xforward_command
		   ? s->ehlo.xforward & xforward_known(t->req->xforward)
		   : 0;
}

/* Is answered as nobody knows, perhaps in the words of something else. */
static bool
is_xforward_new(const struct session *s, const struct transaction *t)
{
	return s->manner->wordings[ANSWER_XFORWARD][0] == 0 &&
	       !s->is_xforward_refused && session_xforward(s, t) != 0;
}

bool
session_teaches(const struct session *s, const struct transaction *t,
    enum session_mode mode)
{
	return mode == SESSION_BDAT && !s->manner->no_rset &&
	       (!manner_tells_ends(s->manner) || is_xforward_new(s, t));
}

/* ---- what is believed -------------------------------------------------------
 */

/* A recipient's reply says nothing of which recipient, and where chunks are
 * answered like ends an end says nothing. */
static bool
is_telling(const struct pipelined *c, uint64_t wording)
{
	if (c->owner == NULL)
		return true;
	if (c->kind == COMMAND_RCPT)
		return c->owner->count == 1;
	return c->owner->wordings[ANSWER_CHUNK] != wording;
}

/* What was heard since the last proof was worded as is known of this host: else
 * another server may be there now, which says to one kind of command what is
 * remembered of another, or what is remembered was shifted. */
static bool
speaks_as_known(const struct session *s)
{
	return s->unusual_off <= s->proven_off;
}

/* The reply to the RSET behind a message that teaches (RSET MAIL RCPT BDAT
 * RSET). One reply too many or too few in between, and it is not worded as that
 * to the first RSET. Unless an end is: then two replies to one command look as
 * if the next command were answered like it, and of several recipients one
 * might have been refused twice. */
static bool
is_taught(const struct pipelined *c, uint64_t wording)
{
	const struct transaction *t = c->owner;
	const uint64_t *w;

	if (t == NULL || c->kind != COMMAND_RSET || t->mail == MAIL_UNANSWERED)
		return false;
	w = t->wordings;
	if (wording != w[ANSWER_RSET] || w[ANSWER_MAIL] == 0 ||
	    w[ANSWER_MAIL] == wording || w[ANSWER_MAIL] == w[ANSWER_RCPT])
		return false;
	if (w[ANSWER_END] == 0)
		return t->count == 1 && w[ANSWER_RCPT] != wording;
	return t->rcpts_accepted == t->count && w[ANSWER_END] != wording &&
	       w[ANSWER_END] != w[ANSWER_RCPT];
}

/* One reply too many before it, and that to a command that nothing but a
 * refusal, or 354, can answer would stand here. */
static bool
is_behind_refusal(const struct session *s, const struct pipelined *c)
{
	return c->kind == COMMAND_RSET && s->refused_off > 0 &&
	       s->refused_off == c->begin_off;
}

enum place
session_weigh(
    const struct session *s, const struct reply *reply, uint64_t wording)
{
	const struct pipelined *c = pipeline_oldest(&s->pipe);
	enum manner_answer answer = manner_answer_to(c->kind);
	enum manner_answer only = manner_only(s->manner, wording);

	if (c->kind == COMMAND_DATA && reply->sent_code / 100 == 3)
		return PLACE_PROVEN;
	if (!reply_is_as_sent(reply))
		return PLACE_UNKNOWN;
	if (reply->code / 100 == 2 && is_taught(c, wording))
		return PLACE_TAUGHT;
	if (reply->code / 100 != 2)
		return PLACE_UNKNOWN;
	if (only == ANSWER_KINDS)
		return is_behind_refusal(s, c) ? PLACE_PROVEN : PLACE_UNKNOWN;
	if (only == answer)
		return is_telling(c, wording) && speaks_as_known(s)
			   ? PLACE_PROVEN
			   : PLACE_UNKNOWN;
	if (only == ANSWER_END) {
		bool is_new = answer == ANSWER_XFORWARD &&
			      s->manner->wordings[ANSWER_XFORWARD][0] == 0;

		return answer == ANSWER_CHUNK || is_new ? PLACE_UNKNOWN
							: PLACE_LOST;
	}
	return answer == ANSWER_RSET && only != ANSWER_CHUNK ? PLACE_LOST
							     : PLACE_UNKNOWN;
}

static void
learn(struct session *s, const struct transaction *t, struct moment now)
{
	if (request_is_probe(t->req) || t->is_failed ||
	    s->login == SESSION_LOGIN_REFUSED)
		return;
	for (enum manner_answer a = 0; a < ANSWER_KINDS; a++)
		manner_learn(s->manner, a, t->wordings[a]);
	manner_taken(s->manner);
	if (s->login == SESSION_LOGIN_TAKEN) {
		session_set_login(s, SESSION_LOGIN_PROVEN);
		session_tell_login(s, LOGIN_PROVEN, 0, now);
	}
}

void
session_prove(struct session *s, uint64_t off, struct moment now)
{
	struct transaction *t;

	CHECK(off <= s->pipe.answered_off);
	if (off > s->proven_off)
		s->proven_off = off;
	while ((t = session_first(s)) != NULL && t->state == TRANSACTION_HELD &&
	       t->answered_off <= s->proven_off) {
		learn(s, t, now);
		session_let_go(s, t, now.us);
	}
	if (t != NULL && t->state == TRANSACTION_HELD)
		return;
	if (s->proof != PROOF_NOT_ASKED)
		session_set_proof(s, PROOF_NOT_ASKED);
	s->is_strange = false;
}

/* Keeps count of luck, and leaves a session that has run out of it. */
static void
count_result(struct session *s, const struct transaction *t, int64_t now_us)
{
	if (request_is_probe(t->req))
		return;
	if (!t->is_failed) {
		s->accepted++;
		s->failed_in_row = 0;
		return;
	}
	if (t->is_put_off && !t->goes_on)
		return; /* the lane slows down; the session is as good as ever
			 */
	s->failed_in_row++;
	if (s->failed_in_row >= FAILURES_IN_A_ROW_MAX)
		session_finish(s, FINISH_REFUSED, now_us);
}

void
session_hold(struct session *s, struct transaction *t, struct moment now)
{
	if (t->state != TRANSACTION_AWAITING || t->commands_unanswered > 0)
		return;
	transaction_set_state(t, TRANSACTION_HELD);
	count_result(s, t, now.us);
}

/* Nothing is unanswered, or only half read. */
static bool
is_all_read(const struct session *s)
{
	return s->pipe.count == 0 && !reply_is_partial(&s->parser);
}

/* Nothing is unanswered, and nothing came that was not asked for, which is
 * believed of messages that went alone, the first in doubt excepted. */
static void
prove_alone(struct session *s, struct moment now)
{
	uint64_t off = s->proven_off;

	list_each (link, &s->inside) {
		const struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (t->state == TRANSACTION_ASSIGNED)
			break;
		if (t->state != TRANSACTION_HELD || t->is_bdat ||
		    session_bounces_unproven(s, t)) {
			session_prove(s, off, now);
			return;
		}
		off = t->answered_off;
	}
	session_prove(s, s->pipe.answered_off, now);
}

void
session_settle(struct session *s, struct transaction *t, struct moment now)
{
	session_hold(s, t, now);
	if (s->mode != SESSION_BDAT && is_all_read(s))
		prove_alone(s, now);
	else
		session_prove(s, 0, now);
}

/* All is answered, yet not believed. What proves it: the reply to a RSET, if it
 * is known, or stands behind a refusal; the 354 of the next message; else
 * 221. */
static bool
ask_for_proof(struct session *s, struct moment now)
{
	CHECK(session_held(s) > 0);
	if (s->mode == SESSION_BDAT && !manner_is_known(s->manner, ANSWER_END))
		s->manner->is_ambiguous = true;
	if (s->proof != PROOF_ASKED && !s->manner->no_rset &&
	    (manner_is_known(s->manner, ANSWER_RSET) ||
		s->refused_off == s->pipe.answered_off)) {
		if (s->proof == PROOF_NOT_ASKED)
			session_set_proof(s, PROOF_WANTED);
		session_tell_changed(s);
		return true;
	}
	s->is_strange = true;
	if (session_unsent(s) != NULL)
		session_tell_changed(s);
	else
		session_finish(s, FINISH_NO_PROOF, now.us);
	return true;
}

bool
session_ask_for_proof(struct session *s, struct moment now)
{
	if (!is_all_read(s))
		return false;
	if (s->taught_off > s->proven_off)
		session_prove(s, s->taught_off, now);
	if (s->mode != SESSION_BDAT)
		prove_alone(s, now);
	if (session_held(s) == 0 || s->cur != NULL)
		return false;
	return ask_for_proof(s, now);
}

void
session_batch_ends(struct session *s, struct moment now)
{
	if (!session_is_over(s))
		(void)session_ask_for_proof(s, now);
}

/* ---- what is not ------------------------------------------------------------
 */

/* The first window stood behind a login, which is what the server cannot do,
 * rather than windows. */
static bool
is_due_to_login(const struct session *s)
{
	return s->login != SESSION_LOGIN_NONE &&
	       s->login != SESSION_LOGIN_PROVEN;
}

static void
blame_login(struct session *s, struct moment now)
{
	enum session_login login = s->login;

	if (login == SESSION_LOGIN_LEADS)
		session_set_login(s, SESSION_LOGIN_REFUSED);
	if (login != SESSION_LOGIN_REFUSED)
		session_tell_login(s, LOGIN_MISPLACED, 0, now);
}

void
session_lose_place(struct session *s, const char *why,
    const struct reply *reply, struct moment now)
{
	char text[DSN_TEXT_MAX + 1] = "";
	int before = s->in_doubt;

	if (reply != NULL)
		reply_text(reply, text, sizeof(text));
	if (is_due_to_login(s)) {
		blame_login(s, now);
	} else if (manner_lost_place(s->manner, s->mode, now.us)) {
		s->tally->manners++;
		log_info(
		    "%s[%s] lost synchronization %d times: going on with %s, "
		    "session=%s",
		    s->peer.host, s->peer.addr, MANNER_LOST_MAX,
		    manner_name(s->manner->fastest), s->peer.session);
	}
	session_lose(s, SESSION_END_ABORT, LOSS_PLACE, why, now);
	log_warn("%s[%s] lost synchronization, session closed, %d messages in "
		 "doubt: %s: "
		 "%.200s, session=%s",
	    s->peer.host, s->peer.addr, s->in_doubt - before, why, text,
	    s->peer.session);
}
