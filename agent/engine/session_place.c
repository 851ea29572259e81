#include "agent/engine/session_state.h"

#include "common/base/log.h"

/* ---- how to talk ------------------------------------------------------- */

enum session_mode
session_next_mode(
    const struct session *s, const struct transaction *t, int64_t now_ms)
{
	enum session_mode mode = s->ehlo.chunking && s->set->lane_chunking
				     ? SESSION_BDAT
				     : SESSION_OVERLAP;
	enum session_mode fastest = manner_fastest(s->manner, now_ms);

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

bool
session_teaches(const struct session *s, enum session_mode mode)
{
	return mode == SESSION_BDAT && !s->manner->no_rset &&
	       !manner_tells_ends(s->manner);
}

/* ---- what is believed -------------------------------------------------- */

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

/* The reply to the RSET behind a message that teaches (RSET MAIL RCPT BDAT
 * RSET). One reply too many or too few in between, and it is not worded as that
 * to the first RSET, if the one before it is worded otherwise. */
static bool
is_taught(const struct pipelined *c, uint64_t wording)
{
	const struct transaction *t = c->owner;
	const uint64_t *w;

	if (t == NULL || c->kind != COMMAND_RSET || t->mail == MAIL_UNANSWERED)
		return false;
	w = t->wordings;
	if (wording != w[ANSWER_RSET])
		return false;
	if (w[ANSWER_END] != 0)
		return w[ANSWER_END] != wording;
	return w[ANSWER_MAIL] != 0 && w[ANSWER_MAIL] != wording &&
	       w[ANSWER_RCPT] != wording;
}

enum place
session_weigh(
    const struct session *s, const struct reply *reply, uint64_t wording)
{
	const struct pipelined *c = pipeline_oldest(&s->pipe);
	enum manner_answer answer = manner_answer_to(c->kind);
	enum manner_answer only = manner_only(s->manner, wording);

	if (c->kind == COMMAND_DATA && reply->code / 100 == 3)
		return PLACE_PROVEN;
	if (reply->code / 100 == 2 && is_taught(c, wording))
		return PLACE_PROVEN;
	if (reply->code / 100 != 2 || only == ANSWER_KINDS)
		return PLACE_UNKNOWN;
	if (only == answer)
		return is_telling(c, wording) ? PLACE_PROVEN : PLACE_UNKNOWN;
	if (only == ANSWER_END)
		return answer == ANSWER_CHUNK ? PLACE_UNKNOWN : PLACE_LOST;
	return answer == ANSWER_RSET && only != ANSWER_CHUNK ? PLACE_LOST
							     : PLACE_UNKNOWN;
}

bool
session_is_through(const struct session *s, const struct transaction *t)
{
	return t != s->cur && t->state == TRANSACTION_AWAITING &&
	       t->commands_unanswered == 0;
}

size_t
session_held(const struct session *s)
{
	size_t n = 0;

	list_each (link, &s->inside) {
		if (!session_is_through(
			s, list_entry(link, struct transaction, link)))
			break;
		n++;
	}
	return n;
}

static void
learn(struct session *s, const struct transaction *t)
{
	if (request_is_probe(t->req) || t->is_failed)
		return;
	for (enum manner_answer a = 0; a < ANSWER_KINDS; a++)
		manner_learn(s->manner, a, t->wordings[a]);
	manner_taken(s->manner);
}

static void
let_go(struct session *s, struct transaction *t, int64_t now_ms)
{
	struct dsn why;

	if (!t->is_bad_sequence) {
		CHECK(t->is_put_off || transaction_undecided(t) == 0);
		session_give_back(s, t, false, NULL, now_ms);
		return;
	}
	dsn_set(&why, "4.5.1",
	    t->is_turned_away
		? "host %s[%s] takes nothing behind the end of a message"
		: "host %s[%s] lost step: MAIL FROM was answered with 503",
	    s->peer.host, s->peer.addr);
	session_give_back(s, t, !t->is_turned_away, &why, now_ms);
}

static struct transaction *
first_inside(const struct session *s)
{
	return list_is_empty(&s->inside)
		   ? NULL
		   : list_entry(s->inside.next, struct transaction, link);
}

void
session_prove(struct session *s, uint64_t off, struct moment now)
{
	struct transaction *t;

	if (off > s->proven_off)
		s->proven_off = off;
	while ((t = first_inside(s)) != NULL && session_is_through(s, t) &&
	       t->answered_off <= s->proven_off) {
		learn(s, t);
		let_go(s, t, now.ms);
	}
	if (t == NULL || !session_is_through(s, t))
		s->wants_rset = s->is_rset_asked = s->is_strange = false;
}

/* All is answered, yet not believed. What proves it: the reply to a RSET, if it
 * is known; the 354 of the next message; else 221. */
bool
session_ask_for_proof(struct session *s, struct moment now)
{
	if (!manner_is_known(s->manner, ANSWER_END))
		s->manner->is_ambiguous = true;
	if (!s->is_rset_asked && !s->manner->no_rset &&
	    manner_is_known(s->manner, ANSWER_RSET)) {
		s->wants_rset = true;
		s->ops->on_changed(s->ctx);
		return true;
	}
	s->is_strange = true;
	if (session_unsent(s) != NULL)
		s->ops->on_changed(s->ctx);
	else
		session_finish(s, "replies that prove no place", now.ms);
	return true;
}

void
session_batch_ends(struct session *s, struct moment now)
{
	if (s->is_over || s->pipe.count > 0 || reply_is_partial(&s->parser))
		return;
	if (s->mode != SESSION_BDAT)
		session_prove(s, s->pipe.answered_off, now);
	else if (session_held(s) > 0)
		(void)session_ask_for_proof(s, now);
}

/* ---- what is not ------------------------------------------------------- */

void
session_take_back(struct session *s, struct transaction *t)
{
	for (size_t i = 0; i < t->count; i++) {
		struct recipient *r = &t->req->rcpts[t->rcpts[i]];

		if (r->decided_off <= s->proven_off)
			continue;
		if (r->state == RCPT_DECIDED)
			request_undecide(t->req, t->rcpts[i]);
		else if (r->state == RCPT_WAITING)
			r->state = RCPT_IN_FLIGHT;
		r->decided_off = 0;
	}
	t->goes_on = false;
}

/* As when nothing had been read. */
static void
doubt(struct session *s, struct transaction *t, struct moment now)
{
	bool is_sent = session_is_sent_whole(s, t);
	struct dsn why;

	session_take_back(s, t);
	verdict_lost(&why, &s->peer, COMMAND_MAIL, is_sent, LOSS_CONNECTION);
	if (is_sent && transaction_undecided(t) > 0) {
		s->in_doubt++;
		session_decide_all(s, t, OUTCOME_DEFER, &why, now);
	}
	session_give_back(s, t, !is_sent, &why, now.ms);
}

/* Its end was answered in words that belong to something else. */
static bool
is_dubious(const struct session *s, const struct transaction *t)
{
	const uint64_t *w = t->wordings;
	enum manner_answer only = manner_only(s->manner, w[ANSWER_END]);

	if (!t->is_bdat || w[ANSWER_END] == 0)
		return false;
	return (only != ANSWER_KINDS && only != ANSWER_END) ||
	       w[ANSWER_END] == w[ANSWER_RSET] ||
	       w[ANSWER_END] == w[ANSWER_MAIL] ||
	       w[ANSWER_END] == w[ANSWER_RCPT];
}

/* It was refused, in words that may be anything, and its beginning is proven;
 * or see transaction.h. */
static bool
is_believable(const struct session *s, const struct transaction *t,
    enum verdict_loss loss)
{
	if (t->answered_off <= s->proven_off)
		return true;
	if (is_dubious(s, t))
		return false;
	/* A reply that was left out shows in the last that never comes, one
	 * too many may come yet. */
	if (loss == LOSS_TIMEOUT)
		return t->was_last && t->follows_proof;
	return t->was_last || t->follows_proof ||
	       (t->is_failed && t->begin_off <= s->proven_off);
}

void
session_let_go_held(
    struct session *s, enum verdict_loss loss, struct moment now)
{
	struct transaction *t;

	while ((t = first_inside(s)) != NULL && session_is_through(s, t))
		if (is_believable(s, t, loss))
			let_go(s, t, now.ms);
		else
			doubt(s, t, now);
}

void
session_lose_place(struct session *s, const char *why,
    const struct reply *reply, struct moment now)
{
	char text[DSN_TEXT_MAX + 1] = "";
	int before = s->in_doubt;

	if (s->is_over)
		return;
	if (reply != NULL)
		reply_text(reply, text, sizeof(text));
	if (manner_lost_place(s->manner, s->mode, now.ms))
		log_info("%s[%s] lost step %d times: going on with %s",
		    s->peer.host, s->peer.addr, MANNER_LOST_MAX,
		    manner_name(s->manner->fastest));
	session_lose(s, SESSION_END_ABORT, LOSS_PLACE, why, now);
	log_warn("%s[%s] lost step, session closed, %d messages in doubt: %s: "
		 "%.200s",
	    s->peer.host, s->peer.addr, s->in_doubt - before, why, text);
}
