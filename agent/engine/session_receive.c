#include "agent/engine/session_state.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

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
on_mail(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
	if (verdict_judge(COMMAND_MAIL, reply) == MEANING_OK) {
		t->mail = MAIL_ACCEPTED;
		return;
	}
	t->mail = MAIL_REFUSED;
	if (!t->is_failed && reply->code == 503) {
		/* The server thinks another transaction is open: that is
		 * about the session, not about this message. */
		t->is_bad_sequence = true;
		session_finish(
		    s, "out of step: MAIL was answered with 503", now.ms);
	} else if (!t->is_failed) {
		refuse(s, t, COMMAND_MAIL,
		    session_judge(s, t, COMMAND_MAIL, reply, now), reply, now);
	}
	t->is_failed = true;
}

/* A recipient alone was refused. */
static void
refuse_rcpt(struct session *s, struct transaction *t, size_t i,
    const struct reply *reply, struct moment now)
{
	enum meaning meaning = session_judge(s, t, COMMAND_RCPT, reply, now);

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
	t->rcpts_answered++;
	if (verdict_judge(COMMAND_RCPT, reply) == MEANING_OK)
		t->rcpts_accepted++;
	else if (t->mail == MAIL_ACCEPTED && !t->is_bad_sequence)
		refuse_rcpt(s, t, i, reply, now);
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
	    strcmp(s->set->smtp_address_verify_target, "data") != 0)
		session_decide_by_reply(
		    s, t, i, OUTCOME_SENT, COMMAND_RCPT, reply, now);
}

/* 354, but nobody wants the message. */
static void
answer_vain_354(struct session *s, struct transaction *t, struct moment now)
{
	if (t->rcpts_accepted > 0) {
		/* MAIL was refused, yet RCPT taken: a dot would send nothing
		 * from somebody else to these recipients. */
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
	if (meaning == MEANING_OK) {
		s->step = STEP_BODY;
		/* Entered before its octets, so that an early reply finds its
		 * command. */
		session_push(s, COMMAND_BODY, t, 0, 0, now.ms);
		return;
	}
	if (!t->is_failed)
		refuse(s, t, COMMAND_DATA,
		    session_judge(s, t, COMMAND_DATA, reply, now), reply, now);
	t->is_failed = true;
	session_stop_rendering(s, t);
}

static void
on_end_of_data(struct session *s, struct transaction *t, enum command_kind kind,
    const struct reply *reply, struct moment now)
{
	if (t->is_failed)
		return; /* decided; even a 250 is no delivery */
	if (verdict_judge(kind, reply) == MEANING_OK) {
		session_decide_all_by_reply(
		    s, t, OUTCOME_SENT, kind, reply, now);
		/* Unless somebody has begun already. A window of BDAT is
		 * alike from its first message to its last. */
		if (kind == COMMAND_BODY && s->cur == NULL &&
		    s->pipe.count == 0)
			s->needs_rset = false;
		return;
	}
	refuse(s, t, kind, session_judge(s, t, kind, reply, now), reply, now);
	t->is_failed = true;
}

static void
on_bdat(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
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
	       reply->code / 100 != 2;
}

/* A reply was left out or put in: what follows would be taken for the answer
 * to something else, and a message for accepted that is not. */
static bool
is_out_of_step(enum command_kind kind, int code)
{
	int class = code / 100;

	return kind == COMMAND_DATA ? class == 2 : class == 3;
}

void
session_forget_held_421(struct session *s)
{
	if (s->held_421 == NULL)
		return;
	buf_fini(&s->held_421->text);
	mem_free(s->held_421);
	s->held_421 = NULL;
}

bool
session_close_by_held_421(struct session *s, bool is_clean, struct moment now)
{
	if (s->held_421 == NULL)
		return false;
	session_close_by_421(
	    s, pipeline_oldest(&s->pipe)->kind, s->held_421, is_clean, now);
	session_forget_held_421(s);
	return true;
}

/* Could a message be taken yet if the server does not mean it? */
static bool
is_doubt_behind(const struct session *s, const struct pipelined *c)
{
	bool is_end = c->kind == COMMAND_BODY || c->kind == COMMAND_BDAT_LAST;

	list_each (link, &s->inside) {
		struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (session_is_in_doubt(s, t) && !(is_end && t == c->owner))
			return true;
	}
	return false;
}

static void
hold_421(struct session *s, const struct reply *reply, struct moment now)
{
	session_finish(s, "the server said 421", now.ms);
	s->held_421 = mem_alloc(sizeof(*s->held_421));
	*s->held_421 = *reply;
	buf_init(&s->held_421->text, REPLY_TEXT_MAX);
	(void)buf_add_slice(&s->held_421->text, buf_slice(&reply->text));
	s->held_ms = now.ms;
	/* It may have been finishing before: the deadline is another now. */
	s->ops->on_changed(s->ctx);
}

/* To the oldest command, that of a transaction. */
static void
on_answer(struct session *s, const struct reply *reply, struct moment now)
{
	struct pipelined *c = pipeline_oldest(&s->pipe);
	struct transaction *t = c->owner;
	enum command_kind kind = c->kind;
	int code = reply->code;
	size_t rcpt = c->rcpt;
	bool is_early = !pipelined_is_written(&s->pipe, c) ||
			(kind == COMMAND_BODY && s->cur == t);

	if (is_early && !may_be_early(kind, reply)) {
		session_abort(s, "reply before its command", now);
		return;
	}
	if (reply->had_garbage)
		session_finish(s, "garbage between replies", now.ms);
	pipeline_answered(&s->pipe, now.ms);
	t->commands_unanswered--;
	switch (kind) {
	case COMMAND_RSET:
		if (reply->code / 100 != 2) {
			session_abort(s, "RSET was refused", now);
			return;
		}
		break;
	case COMMAND_MAIL:
		on_mail(s, t, reply, now);
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
		if (is_early && kind == COMMAND_BODY) {
			/* Answered before it was complete: there is no way
			 * to stop but to hang up. */
			session_hang_up(s, "refused in the middle", now);
			return;
		}
		break;
	case COMMAND_QUIT:
		break;
	}
	if (s->is_over)
		return;
	if (is_out_of_step(kind, code)) {
		session_abort(s, "reply that fits no such command", now);
		return;
	}
	session_settle(s, t, now);
	if (!s->is_over)
		s->ops->on_changed(s->ctx);
}

static void
on_reply(struct session *s, const struct reply *reply, struct moment now)
{
	struct pipelined *c;

	if (s->held_421 != NULL) {
		on_answer(s, s->held_421, now);
		session_forget_held_421(s);
		if (s->is_over)
			return;
	}
	c = pipeline_oldest(&s->pipe);
	if (c == NULL) {
		/* Nobody was asked: either goodbye, or out of step. */
		if (reply->code == 421)
			session_close_by_421(s, COMMAND_MAIL, reply, true, now);
		else
			session_abort(s, "unexpected reply", now);
	} else if (c->kind == COMMAND_QUIT) {
		pipeline_answered(&s->pipe, now.ms);
		session_end(s, SESSION_END_QUIT, true, "QUIT");
	} else if (reply->code != 421) {
		on_answer(s, reply, now);
	} else if (is_doubt_behind(s, c)) {
		hold_421(s, reply, now);
	} else {
		session_close_by_421(s, c->kind, reply, true, now);
	}
}

void
session_input(struct session *s, const char *p, size_t n, struct moment now)
{
	while (n > 0 && !s->is_over) {
		size_t used = 0;
		enum reply_result result = reply_feed(&s->parser, p, n, &used);

		p += used;
		n -= used;
		if (result == REPLY_DONE)
			on_reply(s, reply_get(&s->parser), now);
		else if (result == REPLY_BAD)
			session_abort(s, "senseless reply", now);
	}
}
