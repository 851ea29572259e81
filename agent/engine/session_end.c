#include "agent/engine/session_end.h"

#include "agent/engine/session_state.h"
#include "agent/engine/session_verdict.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* ---- a transaction leaves ---------------------------------------------------
 */

void
session_note_rendering(struct session *s, struct transaction *t, bool begins)
{
	if (s->ops->on_rendering == NULL)
		return;
	session_call_begins(s);
	s->ops->on_rendering(s->ctx, t, begins);
	session_call_ends(s);
}

void
session_stop_rendering(struct session *s, struct transaction *t)
{
	CHECK(s->cur == t);
	s->cur = NULL;
	session_note_rendering(s, t, false);
	transaction_set_state(t, TRANSACTION_AWAITING);
	buf_reset(&s->chunk);
}

static void
find_request_deadline(struct session *s)
{
	s->request_deadline_us = INT64_MAX;
	list_each (link, &s->inside) {
		int64_t due = list_entry(link, struct transaction, link)
				  ->req->deadline_us;

		if (due < s->request_deadline_us)
			s->request_deadline_us = due;
	}
}

void
session_detach(struct session *s, struct transaction *t, int64_t now_us)
{
	CHECK(s->load > 0);
	CHECK((s->cur == t) == (t->state == TRANSACTION_RENDERING));
	list_remove(&t->link);
	t->left_us = now_us;
	s->load--;
	if (s->load == 0)
		s->idle_since_us = now_us;
	if (t->req->deadline_us <= s->request_deadline_us)
		find_request_deadline(s);
	if (s->cur == t) {
		s->cur = NULL;
		session_note_rendering(s, t, false);
		buf_fini(&s->chunk);
	}
	if (t->state != TRANSACTION_ASSIGNED && t->req->message != NULL)
		message_release(transaction_message(t));
}

void
session_give_back(struct session *s, struct transaction *t, bool is_its_fault,
    const struct dsn *why, int64_t now_us)
{
	session_detach(s, t, now_us);
	session_call_begins(s);
	if (transaction_undecided(t) == 0) {
		transaction_set_state(t, TRANSACTION_DONE);
		s->ops->on_done(s->ctx, t);
	} else {
		if (why != NULL)
			transaction_set_error(t, why, &s->peer);
		CHECK(t->last_error != NULL);
		transaction_reset(t);
		CHECK(t->count > 0);
		s->ops->on_returned(s->ctx, t, is_its_fault);
	}
	session_call_ends(s);
}

void
session_complete(struct session *s, struct transaction *t, int64_t now_us)
{
	CHECK(t->is_put_off || transaction_undecided(t) == 0);
	session_give_back(s, t, false, NULL, now_us);
}

void
session_let_go(struct session *s, struct transaction *t, int64_t now_us)
{
	struct dsn why;

	if (!t->is_bad_sequence) {
		session_complete(s, t, now_us);
		return;
	}
	dsn_set(&why, "4.5.1",
	    t->is_turned_away
		? "host %s[%s] takes nothing behind the end of a message"
		: "host %s[%s] lost synchronization: MAIL FROM was answered "
		  "with 503",
	    s->peer.host, s->peer.addr);
	why.cause = DSN_CAUSE_LOST;
	session_give_back(s, t, !t->is_turned_away, &why, now_us);
}

/* ---- the stream ends under those inside -------------------------------------
 */

/* As when nothing had been read. */
static void
doubt(struct session *s, struct transaction *t, enum verdict_loss loss,
    struct moment now)
{
	bool is_sent = session_is_sent_whole(s, t);
	struct dsn why;

	session_take_back(s, t);
	verdict_lost(&why, &s->peer, COMMAND_MAIL, is_sent, LOSS_CONNECTION);
	if (is_sent && transaction_undecided(t) > 0) {
		s->in_doubt++;
		t->was_cut = loss == LOSS_CONNECTION;
		session_decide_all(s, t, OUTCOME_DEFER, &why, now);
	}
	session_give_back(s, t, !is_sent, &why, now.us);
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

/* Nothing was unanswered, and nothing came since, though it would have been
 * taken for the answer that is waited for: no reply was one too many. */
static bool
is_last_heard(const struct session *s, const struct transaction *t)
{
	return !t->is_bdat && t->answered_off == s->pipe.answered_off;
}

/* A refusal that may be another recipient's is heard again; unless there is a
 * server that never waits for proof. */
static bool
is_unheard(struct session *s, const struct transaction *t)
{
	if (s->manner->hangs_up || !session_bounces_unproven(s, t))
		return false;
	s->has_unproven = true;
	return true;
}

/* It was refused, in words that may be anything, and its beginning is proven;
 * or see transaction.h. */
static bool
is_believable(
    struct session *s, const struct transaction *t, enum verdict_loss loss)
{
	if (t->answered_off <= s->proven_off)
		return true;
	/* It goes back, whatever was said of it. */
	if (s->login == SESSION_LOGIN_REFUSED && t->is_failed)
		return true;
	if (is_dubious(s, t) || is_unheard(s, t))
		return false;
	/* A reply that was left out shows in the last that never comes, one
	 * too many may come yet. */
	if (loss == LOSS_TIMEOUT)
		return t->was_last && (t->follows_proof || is_last_heard(s, t));
	return t->was_last || t->follows_proof ||
	       (t->is_failed && t->begin_off <= s->proven_off);
}

/* A refusal, and 421 behind it: one reply too many before them, and 421 is the
 * answer to its end. */
static bool
is_refused_twice(const struct session *s, const struct transaction *t)
{
	return t->is_failed && t->answered_off == s->pipe.answered_off;
}

/* why_421: a 421 that came behind them, or NULL. */
static void
let_go_held(struct session *s, enum verdict_loss if_taken,
    enum verdict_loss if_refused, const struct dsn *why_421, struct moment now)
{
	struct transaction *t;

	while ((t = session_first(s)) != NULL && t->state == TRANSACTION_HELD)
		if (is_believable(s, t, t->is_failed ? if_refused : if_taken)) {
			session_let_go(s, t, now.us);
		} else if (why_421 != NULL && is_refused_twice(s, t)) {
			session_take_back(s, t);
			session_give_back(s, t, true, why_421, now.us);
		} else {
			doubt(s, t, if_refused, now);
		}
}

void
session_let_go_held(
    struct session *s, enum verdict_loss loss, struct moment now)
{
	let_go_held(s, loss, loss, NULL, now);
}

void
session_let_go_at_quit(struct session *s, struct moment now)
{
	let_go_held(s, LOSS_TIMEOUT, LOSS_CONNECTION, NULL, now);
}

/* Is it in doubt whether t was taken? Whoever refuses a login, and then closes
 * without a word to MAIL, has not looked at what followed. */
static bool
is_left_in_doubt(const struct session *s, const struct transaction *t,
    enum verdict_loss loss, bool is_trusted)
{
	if (s->login == SESSION_LOGIN_REFUSED && loss == LOSS_CONNECTION &&
	    t->mail == MAIL_UNANSWERED)
		return false;
	return is_trusted ? session_is_in_doubt(s, t)
			  : session_is_sent_whole(s, t) &&
				transaction_undecided(t) > 0;
}

/* A first message whose end was answered 2xx, perhaps: only the reply to the
 * RSET behind it could have told. The next one goes by DATA, whose 354 tells
 * sooner: who closes behind each message leaves no second one in doubt. */
static bool
is_untold(struct session *s, const struct transaction *t)
{
	if (!t->is_teacher || t->wordings[ANSWER_END] == 0)
		return false;
	s->manner->is_ambiguous = true;
	return true;
}

/* The stream broke under t. is_first: its reply was the next. */
static void
lose_one(struct session *s, struct transaction *t, enum command_kind stage,
    enum verdict_loss loss, bool is_first, struct moment now)
{
	/* Where a reply was left out the last is waited for in vain. */
	bool is_trusted = loss == LOSS_CONNECTION &&
			  (t->begin_off <= s->proven_off ||
			      s->login == SESSION_LOGIN_REFUSED) &&
			  !is_untold(s, t) && !is_unheard(s, t);
	bool in_doubt, is_slow;
	struct dsn dsn;

	/* Nothing of it was looked at before the login. */
	is_first = is_first && !session_is_stranger(s);
	is_slow = loss == LOSS_TIMEOUT && is_first;

	if (!is_trusted)
		session_take_back(s, t);
	in_doubt = is_left_in_doubt(s, t, loss, is_trusted);
	verdict_lost(&dsn, &s->peer, stage, in_doubt, loss);
	s->in_doubt += in_doubt;
	t->was_cut = in_doubt && loss == LOSS_CONNECTION;
	/* A stage that timed out is a slow answer to this message; waiting as
	 * long again elsewhere helps nobody. With another host it goes there,
	 * as by smtp(8); what is in doubt risks no more by that than by
	 * waiting. */
	t->goes_on =
	    loss != LOSS_PLACE && t->has_other_host && (in_doubt || is_slow);
	if (!t->goes_on && (in_doubt || is_slow)) {
		session_decide_all(s, t, OUTCOME_DEFER, &dsn, now);
		session_give_back(s, t, false, &dsn, now.us);
	} else if (transaction_undecided(t) == 0) {
		session_complete(s, t, now.us);
	} else {
		session_give_back(s, t,
		    is_first && t->state != TRANSACTION_ASSIGNED, &dsn, now.us);
	}
}

/* A login that leads was not answered, or nothing behind it was taken. What we
 * break off ourselves says nothing. */
static void
tell_login(struct session *s, enum session_end how, struct moment now)
{
	bool is_broken = how == SESSION_END_LOST || how == SESSION_END_TIMEOUT;

	if (s->login == SESSION_LOGIN_LEADS && session_is_stranger(s) &&
	    how != SESSION_END_ABORT && how != SESSION_END_OURS)
		session_tell_login(s, LOGIN_MISPLACED, 0, now);
	else if (s->login == SESSION_LOGIN_TAKEN && is_broken)
		session_tell_login(s, LOGIN_CUT, 0, now);
}

static void
tell_end(struct session *s, enum session_end how, bool is_clean,
    const char *why, struct moment now)
{
	tell_login(s, how, now);
	if (s->has_unproven && how != SESSION_END_OURS &&
	    how != SESSION_END_ABORT)
		s->manner->hangs_up = true;
	session_set_state(s, SESSION_OVER);
	session_call_begins(s);
	s->ops->on_ended(s->ctx, how, is_clean, why);
	session_call_ends(s);
}

void
session_lose(struct session *s, enum session_end how, enum verdict_loss loss,
    const char *why, struct moment now)
{
	struct pipelined *oldest = pipeline_oldest(&s->pipe);
	enum command_kind stage = oldest != NULL ? oldest->kind : COMMAND_MAIL;
	struct transaction *t;
	bool is_first = true;

	session_set_state(s, SESSION_ENDING);
	s->answering_off = 0;
	if (loss != LOSS_PLACE)
		session_let_go_held(s, loss, now);
	while ((t = session_first(s)) != NULL) {
		lose_one(s, t, stage, loss, is_first, now);
		is_first = false;
	}
	tell_end(s, how, false, why, now);
}

/* ---- the session ends -------------------------------------------------------
 */

void
session_finish(
    struct session *s, enum session_finish_reason why, int64_t now_us)
{
	CHECK(why > FINISH_NONE && why <= FINISH_LOGIN);
	if (session_is_finishing(s))
		return;
	log_debug("%s[%s]: finishing session: %s, %d messages, session=%s",
	    s->peer.host, s->peer.addr, session_finish_words(why), s->messages,
	    s->peer.session);
	session_set_state(s, SESSION_FINISHING);
	s->finish_reason = why;
	s->finishing_since_us = now_us;
	session_tell_changed(s);
}

void
session_end(struct session *s, enum session_end how, bool is_clean,
    const char *why, struct moment now)
{
	session_set_state(s, SESSION_ENDING);
	if (how == SESSION_END_QUIT && s->finish_reason != FINISH_NONE)
		why = session_finish_words(s->finish_reason);
	tell_end(s, how, is_clean, why, now);
}

/* A server that says 421 and does not close may mean no more than its command,
 * and read on: what was sent whole may be taken yet, but for the message that
 * the 421 ended. */
static bool
may_read_on(const struct session *s, const struct transaction *t,
    enum command_kind kind, bool is_oldest)
{
	bool is_ended = is_oldest && kind != COMMAND_RSET &&
			kind != COMMAND_XFORWARD_CLIENT &&
			kind != COMMAND_XFORWARD_PROTOCOL &&
			!(kind == COMMAND_RCPT && t->count > 1);

	return !is_ended && session_is_in_doubt(s, t);
}

/* Those inside leave, as the server said 421 to the oldest command. */
static void
leave_after_421(struct session *s, enum command_kind kind, bool is_blameless,
    bool has_closed, const struct dsn *why, struct moment now)
{
	/* After a message was accepted this is a quota, not a refusal. */
	bool is_first = s->accepted == 0, is_oldest = true;
	struct transaction *t;

	while ((t = session_first(s)) != NULL) {
		/* Unless it is always the same message. */
		if (is_oldest && !is_blameless &&
		    t->state != TRANSACTION_ASSIGNED &&
		    ++t->turned_away > TURNED_AWAY_MAX)
			is_first = true;
		if (is_unheard(s, t))
			session_take_back(s, t);
		if (is_untold(s, t))
			lose_one(s, t, kind, LOSS_CONNECTION, false, now);
		else if (!has_closed && may_read_on(s, t, kind, is_oldest))
			lose_one(s, t, kind, LOSS_TIMEOUT, false, now);
		else
			session_give_back(s, t,
			    !is_blameless &&
				(is_first || kind == COMMAND_BODY ||
				    kind == COMMAND_BDAT_LAST) &&
				t->state != TRANSACTION_ASSIGNED,
			    why, now.us);
		is_first = is_oldest = false;
		kind = COMMAND_MAIL;
	}
}

/* A 421 answers the oldest command: nothing from there on was taken, if the
 * server has closed. */
void
session_close_by_421(struct session *s, enum command_kind kind,
    const struct reply *reply, bool is_clean, struct moment now)
{
	char text[DSN_TEXT_MAX + 1];
	struct dsn why;
	struct transaction *head;
	bool is_blameless;

	reply_text(reply, text, sizeof(text));
	dsn_set(&why, reply->status, "host %s[%s] said: %s (in reply to %s)",
	    s->peer.host, s->peer.addr, text, verdict_command_name(kind));
	why.smtp_code = 421;
	let_go_held(s, LOSS_CONNECTION, LOSS_CONNECTION, &why, now);
	head = session_first(s);
	is_blameless =
	    session_is_stranger(s) ||
	    session_judge(s, head, kind, reply, now) == MEANING_LATER;
	if (head == NULL && now.us - s->idle_since_us >= IDLE_421_US) {
		session_end(s, SESSION_END_QUIT, true, text, now);
		return;
	}
	session_set_state(s, SESSION_ENDING);
	leave_after_421(s, kind, is_blameless, is_clean, &why, now);
	tell_end(s, SESSION_END_421, is_clean, why.text, now);
}

void
session_hold_421(
    struct session *s, const struct reply *reply, struct moment now)
{
	CHECK(s->held_421 == NULL && s->pipe.count > 0);
	session_finish(s, FINISH_421, now.us);
	s->held_421 = mem_alloc(sizeof(*s->held_421));
	*s->held_421 = *reply;
	buf_init(&s->held_421->text, REPLY_TEXT_MAX);
	(void)buf_add_slice(&s->held_421->text, buf_slice(&reply->text));
	s->held_us = now.us;
	session_set_state(s, s->state == SESSION_QUITTING
				 ? SESSION_HELD_QUITTING
				 : SESSION_HELD_FINISHING);
	/* It may have been finishing before: the deadline is another now. */
	session_tell_changed(s);
}

struct reply *
session_take_held_421(struct session *s)
{
	struct reply *reply = s->held_421;

	CHECK(session_is_held(s) && reply != NULL);
	s->held_421 = NULL;
	session_set_state(s, s->state == SESSION_HELD_QUITTING
				 ? SESSION_QUITTING
				 : SESSION_FINISHING);
	return reply;
}

void
session_free_held_421(struct reply **reply)
{
	if (*reply == NULL)
		return;
	buf_fini(&(*reply)->text);
	mem_free(*reply);
	*reply = NULL;
}

bool
session_close_by_held_421(struct session *s, bool is_clean, struct moment now)
{
	struct reply *reply;

	if (!session_is_held(s))
		return false;
	reply = session_take_held_421(s);
	session_close_by_421(
	    s, pipeline_oldest(&s->pipe)->kind, reply, is_clean, now);
	session_free_held_421(&reply);
	return true;
}

static void
break_off(
    struct session *s, enum session_end how, const char *why, struct moment now)
{
	log_debug(
	    "%s[%s]: closing session: %s", s->peer.host, s->peer.addr, why);
	session_lose(s, how, LOSS_CONNECTION, why, now);
}

void
session_hang_up(struct session *s, const char *why, struct moment now)
{
	break_off(s, SESSION_END_OURS, why, now);
}

void
session_abort(struct session *s, const char *why, struct moment now)
{
	session_check_outside(s);
	if (!session_is_over(s))
		break_off(s, SESSION_END_ABORT, why, now);
}
