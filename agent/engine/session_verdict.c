#include "agent/engine/session_verdict.h"

#include "agent/engine/session_state.h"
#include "common/base/log.h"

struct verdict_source
session_source(
    const struct session *s, const struct transaction *t, struct moment now)
{
	return (struct verdict_source){
	    .peer = &s->peer,
	    .conn_use = s->accepted + 1,
	    .dsn_offered = s->ehlo.dsn,
	    .conn_done = t->began_us > 0 ? t->began : now.wall,
	    .now = now.wall,
	};
}

/* Undecided and not put off. */
static bool
is_in_flight(const struct transaction *t, size_t i)
{
	return t->req->rcpts[t->rcpts[i]].state == RCPT_IN_FLIGHT;
}

void
session_decide_by_reply(struct session *s, struct transaction *t, size_t i,
    enum outcome outcome, enum command_kind kind, const struct reply *reply,
    struct moment now)
{
	struct verdict_source from = session_source(s, t, now);

	CHECK(i < t->count);
	if (!is_in_flight(t, i))
		return;
	request_decide(t->req, t->rcpts[i],
	    verdict_from_reply(outcome, &from, kind, reply));
	t->req->rcpts[t->rcpts[i]].decided_off = s->answering_off;
}

void
session_decide_all_by_reply(struct session *s, struct transaction *t,
    enum outcome outcome, enum command_kind kind, const struct reply *reply,
    struct moment now)
{
	for (size_t i = 0; i < t->count; i++)
		session_decide_by_reply(s, t, i, outcome, kind, reply, now);
}

void
session_decide_all(struct session *s, struct transaction *t,
    enum outcome outcome, const struct dsn *dsn, struct moment now)
{
	struct verdict_source from = session_source(s, t, now);

	for (size_t i = 0; i < t->count; i++)
		if (is_in_flight(t, i))
			request_decide(t->req, t->rcpts[i],
			    verdict_from_dsn(outcome, &from, dsn, NULL));
}

struct verdict *
session_refuse_size(
    const struct session *s, uint64_t octets, const struct verdict_source *from)
{
	CHECK(from != NULL);
	if (s->ehlo.size_limit == 0 || octets <= s->ehlo.size_limit)
		return NULL;
	return verdict_local(OUTCOME_BOUNCE, from, "5.3.4",
	    "message size %llu exceeds size limit %llu of server %s[%s]",
	    (unsigned long long)octets, (unsigned long long)s->ehlo.size_limit,
	    s->peer.host, s->peer.addr);
}

enum meaning
session_judge(struct session *s, struct transaction *t, enum command_kind kind,
    const struct reply *reply, struct moment now)
{
	enum meaning meaning = verdict_judge(kind, reply);

	if (meaning == MEANING_OK || s->ops->judge == NULL)
		return meaning;
	session_call_begins(s);
	meaning = s->ops->judge(s->ctx, t, kind, reply, meaning, now);
	session_call_ends(s);
	CHECK(meaning != MEANING_OK);
	return meaning;
}

void
session_put_off(struct session *s, struct transaction *t, size_t i,
    enum command_kind kind, const struct reply *reply, struct moment now)
{
	struct verdict_source from = session_source(s, t, now);
	struct verdict *v;

	CHECK(i < t->count);
	if (!is_in_flight(t, i))
		return;
	request_set_rcpt_state(t->req, t->rcpts[i], RCPT_WAITING);
	t->req->rcpts[t->rcpts[i]].decided_off = s->answering_off;
	if (t->is_put_off)
		return;
	/* For when its time runs out before it could be tried again. */
	t->is_put_off = true;
	v = verdict_from_reply(OUTCOME_DEFER, &from, kind, reply);
	transaction_set_error(t, &v->dsn, &s->peer);
	verdict_free(&v);
}

void
session_put_off_for(
    struct session *s, struct transaction *t, size_t i, const struct dsn *why)
{
	CHECK(i < t->count);
	if (!is_in_flight(t, i))
		return;
	request_set_rcpt_state(t->req, t->rcpts[i], RCPT_WAITING);
	t->req->rcpts[t->rcpts[i]].decided_off = s->answering_off;
	t->is_put_off = true;
	transaction_set_error(t, why, &s->peer);
}

void
session_put_off_all(
    struct session *s, struct transaction *t, const struct dsn *why)
{
	for (size_t i = 0; i < t->count; i++)
		session_put_off_for(s, t, i, why);
}

bool
session_bounces_unproven(const struct session *s, const struct transaction *t)
{
	size_t unproven = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct recipient *r = &t->req->rcpts[t->rcpts[i]];

		if (r->state == RCPT_DECIDED &&
		    r->verdict->outcome == OUTCOME_BOUNCE)
			unproven += r->decided_off > s->proven_off;
	}
	/* 354 has proved all but the reply to the content, which is next. */
	if (unproven == 0 || t->was_let_in)
		return false;
	if (t->count == 1 ||
	    (t->mail == MAIL_REFUSED && t->rcpts_accepted == 0))
		return t->is_behind_refusal;
	return true;
}

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
			request_set_rcpt_state(
			    t->req, t->rcpts[i], RCPT_IN_FLIGHT);
		r->decided_off = 0;
	}
	t->goes_on = false;
}
