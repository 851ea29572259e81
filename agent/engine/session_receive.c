#include "agent/engine/session_end.h"
#include "agent/engine/session_login.h"
#include "agent/engine/session_place.h"
#include "agent/engine/session_state.h"
#include "agent/engine/session_verdict.h"
#include "agent/engine/trace.h"
#include "common/base/log.h"

/* Not for ever, and there is another host that has not been asked. */
static bool
is_for_another_host(const struct transaction *t, enum meaning meaning)
{
	return t->has_other_host &&
	       (meaning == MEANING_DEFER || meaning == MEANING_ELSEWHERE);
}

/* What a refusal does to the recipients in flight. */
static void
refuse(struct session *s, struct transaction *t, enum command_kind kind,
    enum meaning meaning, const struct reply *reply, struct moment now)
{
	if (is_for_another_host(t, meaning)) {
		t->goes_on = true;
		meaning = MEANING_LATER;
	}
	if (meaning == MEANING_LATER) {
		for (size_t i = 0; i < t->count; i++)
			session_put_off(s, t, i, kind, reply, now);
		return;
	}
	session_decide_all_by_reply(s, t,
	    meaning == MEANING_BOUNCE ? OUTCOME_BOUNCE : OUTCOME_DEFER, kind,
	    reply, now);
}

static void
tell_lesson(const struct session *s, const char *what)
{
	s->tally->manners++;
	log_info("%s[%s] %s: going on with %s, session=%s", s->peer.host,
	    s->peer.addr, what, manner_name(s->manner->fastest),
	    s->peer.session);
}

/* 503 for what stood behind the final dot of a message that was taken: there
 * are servers that never look at that. */
static bool
is_turned_away(const struct session *s, const struct transaction *t)
{
	return t->is_overlapped && s->was_last_taken &&
	       t->wordings[ANSWER_RSET] == 0;
}

static void
on_bad_sequence(struct session *s, struct transaction *t, struct moment now)
{
	/* About the session, not about this message. */
	t->is_bad_sequence = true;
	if (is_turned_away(s, t)) {
		t->is_turned_away = true;
		if (manner_slow_down(s->manner, SESSION_GROUP, now.us))
			tell_lesson(
			    s, "takes nothing behind the end of a message");
	} else {
		/* The server thinks another transaction is open. */
		session_finish(s, FINISH_OUT_OF_STEP, now.us);
	}
}

/* Unless RSET is refused only where it stands. */
static void
learn_no_rset(struct session *s, struct moment now)
{
	if (manner_without_rset(s->manner, now.us))
		tell_lesson(s, "refuses RSET");
}

static void
on_rset(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
	if (reply->sent_code / 100 == 2)
		return;
	s->needs_rset = true;
	/* Nothing of a message: of the pace, or of us. */
	(void)session_judge(s, t, COMMAND_RSET, reply, now);
	if (t != NULL && t->is_overlapped && reply->sent_code == 503)
		t->is_rset_refused = true;
	else
		learn_no_rset(s, now);
}

/* Nothing of the message: it goes on without, as with smtp(8). */
static void
on_xforward(
    struct session *s, enum command_kind kind, const struct reply *reply)
{
	char text[DSN_TEXT_MAX + 1];

	if (reply->sent_code / 100 == 2)
		return;
	s->is_xforward_refused = true;
	reply_text(reply, text, sizeof(text));
	log_warn("host %s[%s]:%s said: %s (in reply to %s)", s->peer.host,
	    s->peer.addr, s->peer.port, text, verdict_command_name(kind));
}

static void
on_mail(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
	bool is_503 = reply->sent_code == 503;

	if (t->is_rset_refused && !(is_503 && is_turned_away(s, t)))
		learn_no_rset(s, now);
	if (verdict_judge(COMMAND_MAIL, reply) == MEANING_OK) {
		t->mail = MAIL_ACCEPTED;
		return;
	}
	t->is_held_back = reply->sent_code / 100 == 2;
	t->mail = MAIL_REFUSED;
	if (!t->is_failed && is_503)
		on_bad_sequence(s, t, now);
	else if (!t->is_failed)
		refuse(s, t, COMMAND_MAIL,
		    session_judge(s, t, COMMAND_MAIL, reply, now), reply, now);
	t->is_failed = true;
}

/* 503 although all before was taken: because it came in a group? Alone it is
 * heard another time, and then judged. */
static bool
is_cautious_try_due(const struct session *s, const struct transaction *t,
    const struct reply *reply)
{
	return reply->sent_code == 503 && s->mode != SESSION_LOCKSTEP &&
	       t->mail == MAIL_ACCEPTED && !t->is_cautious;
}

/* A recipient alone was refused. */
static void
refuse_rcpt(struct session *s, struct transaction *t, size_t i,
    const struct reply *reply, struct moment now)
{
	bool is_cautious =
	    t->rcpts_accepted == 0 && is_cautious_try_due(s, t, reply);
	enum meaning meaning =
	    is_cautious ? MEANING_LATER
			: session_judge(s, t, COMMAND_RCPT, reply, now);

	t->wants_caution = t->wants_caution || is_cautious;
	if (is_for_another_host(t, meaning)) {
		t->goes_on = true;
		meaning = MEANING_LATER;
	}
	if (meaning == MEANING_LATER)
		session_put_off(s, t, i, COMMAND_RCPT, reply, now);
	else
		session_decide_by_reply(s, t, i,
		    meaning == MEANING_BOUNCE ? OUTCOME_BOUNCE : OUTCOME_DEFER,
		    COMMAND_RCPT, reply, now);
}

static void
on_rcpt(struct session *s, struct transaction *t, size_t i,
    const struct reply *reply, struct moment now)
{
	CHECK(i < t->count && t->rcpts_answered < t->count);
	t->rcpts_answered++;
	if (verdict_judge(COMMAND_RCPT, reply) != MEANING_OK &&
	    reply->sent_code / 100 == 2)
		t->is_held_back = true;
	if (verdict_judge(COMMAND_RCPT, reply) == MEANING_OK) {
		t->rcpts_accepted++;
		if (t->is_cautious && reply->sent_code / 100 == 2 &&
		    manner_slow_down(s->manner, SESSION_LOCKSTEP, now.us))
			tell_lesson(s, "refuses commands that come together");
	} else if (t->mail == MAIL_ACCEPTED && !t->is_bad_sequence) {
		refuse_rcpt(s, t, i, reply, now);
	}
	if (t->rcpts_answered == t->count && t->rcpts_accepted == 0)
		t->is_failed = true;
}

/* A probe that got as far as it should: its accepted recipients are fine. */
static void
on_probe_rcpt(struct session *s, struct transaction *t, size_t i,
    const struct reply *reply, struct moment now)
{
	if (t->mail == MAIL_ACCEPTED && !t->is_bad_sequence &&
	    verdict_judge(COMMAND_RCPT, reply) == MEANING_OK &&
	    !s->probes_end_at_data)
		session_decide_by_reply(
		    s, t, i, OUTCOME_SENT, COMMAND_RCPT, reply, now);
}

/* 354, but nobody wants the message. */
static void
answer_vain_354(struct session *s, struct transaction *t, struct moment now)
{
	/* A dot would send nothing from somebody else to the recipients. */
	if (t->is_held_back) {
		session_hang_up(
		    s, "354 for what smtp_reply_filter refuses", now);
		return;
	}
	if (t->rcpts_accepted > 0) {
		/* MAIL was refused, yet RCPT taken. */
		session_abort(s, "354 for a refused sender", now);
		return;
	}
	s->step = STEP_VAIN_DOT;
}

static void
on_data(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
	enum meaning meaning = verdict_judge(COMMAND_DATA, reply);

	CHECK(s->cur == t && s->step == STEP_WAIT_354);
	if (meaning == MEANING_OK && t->is_failed) {
		answer_vain_354(s, t, now);
		return;
	}
	if (meaning == MEANING_OK && request_is_probe(t->req)) {
		session_decide_all_by_reply(
		    s, t, OUTCOME_SENT, COMMAND_DATA, reply, now);
		session_hang_up(s, "address probe done", now);
		return;
	}
	if (meaning == MEANING_OK && t->is_held_back) {
		/* The others go again, without those. */
		session_hang_up(s, "354 for a refused recipient, too", now);
		return;
	}
	if (meaning == MEANING_OK) {
		t->was_let_in = true;
		s->step = STEP_BODY;
		/* Entered before its octets, so that an early reply finds its
		 * command. */
		session_push(s, COMMAND_BODY, t, 0, 0, now.us);
		return;
	}
	if (!t->is_failed && is_cautious_try_due(s, t, reply)) {
		t->wants_caution = true;
		refuse(s, t, COMMAND_DATA, MEANING_LATER, reply, now);
	} else if (!t->is_failed) {
		refuse(s, t, COMMAND_DATA,
		    session_judge(s, t, COMMAND_DATA, reply, now), reply, now);
	}
	t->is_failed = true;
	session_stop_rendering(s, t);
	if (reply->sent_code / 100 == 3)
		/* To the server all that follows is content. */
		session_hang_up(s, "354 that smtp_reply_filter refuses", now);
}

/* Nothing but a server that does not know BDAT says so to its first one. What
 * stands behind it is read as commands there, so nothing more is said. */
static bool
is_bdat_unknown(const struct session *s, const struct transaction *t,
    const struct reply *reply)
{
	return t->is_bdat && !s->is_bdat_known && !t->is_failed &&
	       verdict_knows_no_bdat(reply->sent_code);
}

static void
on_unknown_bdat(struct session *s, struct transaction *t,
    enum command_kind kind, const struct reply *reply, struct moment now)
{
	if (manner_slow_down(s->manner, SESSION_OVERLAP, now.us))
		tell_lesson(s, "refuses BDAT");
	/* One reply too many before it, and it is another recipient's: the
	 * message is in doubt then, for the sake of the rest. */
	if (t->count == 1) {
		refuse(s, t, kind, MEANING_LATER, reply, now);
		t->is_failed = true;
	}
	session_hang_up(s, "BDAT is refused", now);
}

/* The server has the message, whatever becomes of its verdict. */
static void
note_taken(
    struct session *s, const struct transaction *t, enum command_kind kind)
{
	s->is_bdat_known = s->is_bdat_known || t->is_bdat;
	/* Unless somebody has begun already. A window of BDAT is alike from its
	 * first message to its last. */
	if ((kind == COMMAND_BODY || s->manner->no_rset) && s->cur == NULL &&
	    s->pipe.count == 0)
		s->needs_rset = false;
	s->was_last_taken = true;
}

static void
on_end_of_data(struct session *s, struct transaction *t, enum command_kind kind,
    const struct reply *reply, struct moment now)
{
	if (t->is_failed)
		return; /* decided; even a 250 is no delivery */
	if (is_bdat_unknown(s, t, reply)) {
		on_unknown_bdat(s, t, kind, reply, now);
		return;
	}
	if (reply->sent_code / 100 == 2)
		note_taken(s, t, kind);
	if (verdict_judge(kind, reply) == MEANING_OK) {
		session_decide_all_by_reply(
		    s, t, OUTCOME_SENT, kind, reply, now);
		return;
	}
	refuse(s, t, kind, session_judge(s, t, kind, reply, now), reply, now);
	t->is_failed = true;
}

static void
on_bdat(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
	if (reply->sent_code / 100 == 2)
		s->is_bdat_known = true;
	if (is_bdat_unknown(s, t, reply)) {
		on_unknown_bdat(s, t, COMMAND_BDAT, reply, now);
		return;
	}
	if (verdict_judge(COMMAND_BDAT, reply) == MEANING_OK || t->is_failed)
		return;
	refuse(s, t, COMMAND_BDAT,
	    session_judge(s, t, COMMAND_BDAT, reply, now), reply, now);
	t->is_failed = true;
}

/* Content may be refused before its end. Any other reply to what was not yet
 * sent belongs to something else: one reply too many came before it. */
static bool
may_be_early(enum command_kind kind, const struct reply *reply)
{
	return (kind == COMMAND_BODY || kind == COMMAND_BDAT ||
		   kind == COMMAND_BDAT_LAST) &&
	       reply->code / 100 != 2 && reply->sent_code / 100 != 2;
}

/* A reply was left out or put in: what follows would be taken for the answer
 * to something else, and a message for accepted that is not. */
static bool
is_out_of_step(enum command_kind kind, int code)
{
	int class = code / 100;

	if (code == 221)
		return true; /* goodbye: to QUIT, or to nobody */
	if (code == 235 || code == 334)
		return true; /* to AUTH */
	return kind == COMMAND_DATA ? class == 2 : class == 3;
}

/* Could a message be taken yet if the server does not mean it? */
static bool
is_doubt_behind(const struct session *s, const struct pipelined *c)
{
	bool is_end = c->kind == COMMAND_BODY || c->kind == COMMAND_BDAT_LAST;

	list_each (link, &s->inside) {
		struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (session_is_in_doubt(s, t) && t->state != TRANSACTION_HELD &&
		    !(is_end && t == c->owner))
			return true;
	}
	return false;
}

/* What the reply means for whoever asked; t is NULL for a RSET of our own. */
static void
take_answer(struct session *s, struct transaction *t, enum command_kind kind,
    size_t rcpt, const struct reply *reply, struct moment now)
{
	CHECK(t != NULL || kind == COMMAND_RSET);
	if (session_is_unwelcome(s, t, reply)) {
		session_take_unwelcome(s, t, kind, rcpt, reply, now);
		return;
	}
	switch (kind) {
	case COMMAND_AUTH: /* session_login.c */
		break;
	case COMMAND_RSET:
		on_rset(s, t, reply, now);
		break;
	case COMMAND_XFORWARD_CLIENT:
	case COMMAND_XFORWARD_PROTOCOL:
		on_xforward(s, kind, reply);
		break;
	case COMMAND_MAIL:
		on_mail(s, t, reply, now);
		s->was_last_taken = false;
		break;
	case COMMAND_RCPT:
		if (request_is_probe(t->req))
			on_probe_rcpt(s, t, rcpt, reply, now);
		on_rcpt(s, t, rcpt, reply, now);
		break;
	case COMMAND_DATA:
		on_data(s, t, reply, now);
		break;
	case COMMAND_BDAT:
		on_bdat(s, t, reply, now);
		break;
	case COMMAND_BODY:
	case COMMAND_BDAT_LAST:
		on_end_of_data(s, t, kind, reply, now);
		break;
	case COMMAND_QUIT:
		break;
	}
}

/* Words that this host is not known to have for such a command. They vary with
 * recipients, or with the hosts of a name, which says nothing once a message
 * was proven, unless they are another kind's. */
static bool
is_unusual(const struct manner *m, enum manner_answer answer, uint64_t wording)
{
	if (answer == ANSWER_XFORWARD || answer == ANSWER_CHUNK)
		return false;
	return !manner_is_usual(m, answer, wording) &&
	       (!m->is_confirmed || !manner_is_new(m, wording));
}

/* Notes the reply to the oldest command, which was that of c, in what is known
 * of t. */
static void
note_answer(struct session *s, struct transaction *t, const struct pipelined *c,
    const struct reply *reply, uint64_t wording)
{
	enum manner_answer answer = manner_answer_to(c->kind);
	const struct pipelined *next = pipeline_oldest(&s->pipe);

	CHECK(t->commands_unanswered > 0);
	t->commands_unanswered--;
	t->answered_off = c->end_off;
	t->follows_proof = c->begin_off <= s->proven_off;
	t->was_last = next == NULL || next->owner == NULL;
	if (c->kind == COMMAND_MAIL)
		t->is_behind_refusal = s->was_refused &&
				       reply->sent_code >= 400 &&
				       reply->sent_code != 503;
	if (reply->code / 100 != 2 || !reply_is_as_sent(reply) ||
	    answer == ANSWER_KINDS)
		return;
	if (t->wordings[answer] == 0)
		t->wordings[answer] = wording;
	if (is_unusual(s->manner, answer, wording))
		s->unusual_off = c->end_off;
	/* Another host than those that are known. */
	if (answer == ANSWER_END && s->mode == SESSION_BDAT && !t->is_teacher &&
	    manner_only(s->manner, wording) != ANSWER_END)
		s->is_strange = true;
}

/* Only where whole messages follow each other: elsewhere it is commands that
 * travel. */
static void
measure(struct session *s, const struct transaction *t,
    const struct pipelined *c, int64_t now_us)
{
	bool is_last = s->pipe.count == 0;

	if (t->is_bdat && c->kind == COMMAND_BDAT_LAST)
		bdp_on_answer(s->bdp, &s->meter, t->began_us, is_last,
		    is_last && !t->is_overlapped, now_us);
}

/* MAIL was refused, if that was not the refusal before it said twice. */
static bool
is_without_sender(const struct pipelined *c)
{
	return c->kind == COMMAND_RCPT && c->owner != NULL &&
	       c->owner->is_behind_refusal;
}

/* Why the reply is not that of its place; NULL: it may be. */
static const char *
misplaced(const struct session *s, const struct reply *reply, bool is_early)
{
	const struct pipelined *c = pipeline_oldest(&s->pipe);
	enum command_kind kind = c->kind;

	if (is_early && !may_be_early(kind, reply))
		return "reply before its command";
	if (s->pipe.count > 1 && reply->had_garbage)
		return "a line that is no reply";
	if (s->pipe.count > 1 && reply->codes_differ)
		return "a reply of several codes";
	if (is_out_of_step(kind, reply->sent_code) ||
	    (is_without_sender(c) && reply->sent_code / 100 == 2))
		return "reply that fits no such command";
	return NULL;
}

/* No 2xx can be the reply to c: nobody is left to take a message. (Shifted by
 * one, it is MAIL that was refused where the only recipient seems to be. One of
 * several may have been refused twice, and the next one taken.) */
static bool
is_refused_whole(const struct transaction *t, enum command_kind kind)
{
	return t->is_failed &&
	       (kind == COMMAND_DATA ||
		   (kind == COMMAND_RCPT && t->mail == MAIL_ACCEPTED &&
		       t->count == 1 && t->rcpts_accepted == 0));
}

/* To the oldest command. */
static void
on_answer(struct session *s, const struct reply *reply, struct moment now)
{
	struct pipelined c = *pipeline_oldest(&s->pipe);
	struct transaction *t = c.owner;
	bool is_early = !pipelined_is_written(&s->pipe, &c) ||
			(c.kind == COMMAND_BODY && s->cur == t);
	const char *why = misplaced(s, reply, is_early);
	uint64_t wording = manner_wording(reply);
	enum place place = session_weigh(s, reply, wording);

	if (why == NULL && place == PLACE_LOST)
		why = "the reply to another command";
	if (why != NULL) {
		session_lose_place(s, why, reply, now);
		return;
	}
	if (reply->had_garbage)
		session_finish(s, FINISH_GARBAGE, now.us);
	pipeline_answered(&s->pipe, now.us);
	if (t != NULL) {
		note_answer(s, t, &c, reply, wording);
		measure(s, t, &c, now.us);
	}
	s->was_refused = reply->sent_code >= 400;
	if (place == PLACE_PROVEN)
		session_prove(s, c.begin_off, now);
	else if (place == PLACE_TAUGHT)
		s->taught_off = c.end_off;
	s->answering_off = c.end_off;
	take_answer(s, t, c.kind, c.rcpt, reply, now);
	s->answering_off = 0;
	if (session_is_over(s))
		return;
	if (t != NULL && is_refused_whole(t, c.kind))
		s->refused_off = c.end_off;
	if (t != NULL)
		session_hold(s, t, now);
	if (is_early && c.kind == COMMAND_BODY) {
		/* Answered before it was complete: there is no way to stop
		 * but to hang up. */
		session_hang_up(s, "refused in the middle", now);
		return;
	}
	if (place == PLACE_PROVEN)
		s->proven_off = c.end_off;
	session_prove(s, 0, now);
	session_tell_changed(s);
}

static void
on_quit(struct session *s, const struct reply *reply, struct moment now)
{
	if (reply->sent_code / 100 < 4 && reply->sent_code != 221 &&
	    session_held(s) > 0) {
		session_lose_place(
		    s, "reply that fits no such command", reply, now);
		return;
	}
	if (reply->sent_code == 221)
		session_prove(s, s->pipe.answered_off, now);
	pipeline_answered(&s->pipe, now.us);
	session_let_go_at_quit(s, now);
	session_end(s, SESSION_END_QUIT, true, "QUIT", now);
}

/* Either goodbye, or out of step. Soon after a command it may be a second reply
 * to that, and its words about anything. */
static void
on_unasked(struct session *s, const struct reply *reply, struct moment now)
{
	if (reply->sent_code == 421) {
		/* A goodbye is one whatever the table makes of it. */
		if (reply->code / 100 != 4)
			reply_distrust_rewriter(
			    &s->parser, "nothing was asked");
		session_close_by_421(s, COMMAND_MAIL, reply, true, now);
		return;
	}
	if (s->load == 0 && now.us - s->idle_since_us >= IDLE_421_US)
		(void)session_judge(s, NULL, COMMAND_MAIL, reply, now);
	session_lose_place(s, "unexpected reply", reply, now);
}

/* With BDAT the content is on its way before the replies are read: the server
 * delivers what smtp_reply_filter refuses. */
static bool
is_refused_too_late(const struct pipelined *c, const struct reply *reply)
{
	return c->owner != NULL && c->owner->is_bdat &&
	       (c->kind == COMMAND_MAIL || c->kind == COMMAND_RCPT ||
		   c->kind == COMMAND_BDAT) &&
	       reply->sent_code / 100 == 2 && reply->code / 100 != 2;
}

/* What smtp_reply_filter made of the reply to c is its meaning, unless that
 * would have a message sent twice, or what is no message at all. */
static void
settle_filtered(struct session *s, const struct pipelined *c,
    const struct reply *reply, struct moment now)
{
	if (reply->code == reply->sent_code)
		return;
	if (is_refused_too_late(c, reply)) {
		if (manner_slow_down(s->manner, SESSION_OVERLAP, now.us))
			tell_lesson(s, "accepts what smtp_reply_filter "
				       "refuses, from now on without BDAT");
		reply_distrust_rewriter(
		    &s->parser, "the message is on its way already");
	} else if (is_out_of_step(c->kind, reply->code) &&
		   !is_out_of_step(c->kind, reply->sent_code)) {
		reply_distrust_rewriter(
		    &s->parser, "it is no answer to such a command");
	} else if (c->kind == COMMAND_DATA && reply->code / 100 == 3 &&
		   reply->sent_code >= 400) {
		reply_distrust_rewriter(
		    &s->parser, "the server asked for no content");
	}
}

static void
on_reply(struct session *s, const struct reply *reply, struct moment now)
{
	struct pipelined *c;

	s->tally->replies_421 += reply->sent_code == 421;
	if (session_is_held(s)) {
		struct reply *held = session_take_held_421(s);

		on_answer(s, held, now);
		session_free_held_421(&held);
		if (session_is_over(s))
			return;
	}
	c = pipeline_oldest(&s->pipe);
	if (c != NULL && c->kind != COMMAND_AUTH && c->kind != COMMAND_QUIT)
		settle_filtered(s, c, reply, now);
	if (c == NULL) {
		on_unasked(s, reply, now);
	} else if (c->kind == COMMAND_AUTH) {
		session_take_login(s, reply, now);
	} else if (c->kind == COMMAND_QUIT) {
		on_quit(s, reply, now);
	} else if (reply->code != 421) {
		on_answer(s, reply, now);
	} else if (is_doubt_behind(s, c)) {
		session_hold_421(s, reply, now);
	} else {
		session_close_by_421(s, c->kind, reply, true, now);
	}
}

static void
trace(const struct session *s, const struct reply *reply)
{
	const struct pipelined *c = pipeline_oldest(&s->pipe);

	/* Some servers repeat what they were told. */
	if (c != NULL && c->kind == COMMAND_AUTH)
		trace_received_hidden(&s->peer, reply->sent_code);
	else
		trace_received(&s->peer, c != NULL ? c->owner : NULL, reply);
}

void
session_input(struct session *s, const char *p, size_t n, struct moment now)
{
	session_check_outside(s);
	while (n > 0 && !session_is_over(s)) {
		size_t used = 0;
		enum reply_result result = reply_feed(&s->parser, p, n, &used);

		p += used;
		n -= used;
		if (result == REPLY_DONE) {
			trace(s, reply_get(&s->parser));
			on_reply(s, reply_get(&s->parser), now);
		} else if (result == REPLY_BAD)
			session_lose_place(
			    s, "malformed reply", reply_get(&s->parser), now);
	}
	session_batch_ends(s, now);
}
