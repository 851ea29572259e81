#include "agent/engine/session_login.h"

#include "agent/engine/session_end.h"
#include "agent/engine/session_place.h"
#include "agent/engine/session_state.h"
#include "agent/engine/session_verdict.h"
#include "common/base/log.h"

void
session_log_in(struct session *s, struct slice line, bool is_alone)
{
	session_check_outside(s);
	CHECK(s->pipe.rendered_off == 0 && s->load == 0);
	CHECK(line.n > 0 && buf_add_slice(&s->auth, line));
	s->is_login_alone = is_alone;
	session_set_login(s, SESSION_LOGIN_LEADS);
}

void
session_log_in_alone(struct session *s)
{
	if (s->login != SESSION_LOGIN_LEADS || s->is_login_due)
		return;
	s->is_login_due = true;
	session_tell_changed(s);
}

bool
session_render_login(struct session *s, struct buf *out, int64_t now_us)
{
	size_t n = buf_len(&s->auth);

	if (s->login != SESSION_LOGIN_LEADS || n == 0 ||
	    (s->load == 0 && !s->is_login_due))
		return false;
	s->is_login_due = true;
	CHECK(buf_add_secret(out, buf_slice(&s->auth)));
	buf_fini_secret(&s->auth);
	session_push(s, COMMAND_AUTH, NULL, 0, n, now_us);
	return true;
}

/* Why what was inside goes back. */
static void
refusal(const struct session *s, struct dsn *out)
{
	dsn_set(out, "4.7.0",
	    "SASL authentication failed; server %s[%s] said: %d", s->peer.host,
	    s->peer.addr, s->login_code);
	out->cause = DSN_CAUSE_UNREACHABLE;
}

/* Nothing of t can be taken any more. */
static void
give_up(struct session *s, struct transaction *t)
{
	struct dsn why;

	refusal(s, &why);
	session_put_off_all(s, t, &why);
	t->is_failed = true;
}

/* The rest of the current one is not rendered. Behind DATA its reply is due. */
static void
stop_current(struct session *s, struct moment now)
{
	struct transaction *t = s->cur;

	if (t == NULL || s->step == STEP_WAIT_354)
		return;
	give_up(s, t);
	session_stop_rendering(s, t);
	session_settle(s, t, now);
}

static void
refuse(struct session *s, const struct reply *reply, struct moment now)
{
	struct transaction *t;
	struct dsn why;

	log_info("host %s[%s] refused the login in front of mail: %d, the mail "
		 "goes back, session=%s",
	    s->peer.host, s->peer.addr, reply->sent_code, s->peer.session);
	s->login_code = reply->sent_code;
	session_set_login(s, SESSION_LOGIN_REFUSED);
	session_finish(s, FINISH_LOGIN, now.us);
	s->finish_reason = FINISH_LOGIN; /* whatever was meant before */
	refusal(s, &why);
	while ((t = session_next_assigned(s)) != NULL)
		session_give_back(s, t, false, &why, now.us);
	stop_current(s, now);
	session_tell_login(s, LOGIN_REFUSED, reply->sent_code, now);
}

/* Why the reply is not that to AUTH; NULL: it may be. Of 2xx only 235 is, as
 * any other would be the answer to mail of a server that left AUTH out. */
static const char *
misplaced(const struct session *s, const struct reply *reply)
{
	const struct pipelined *c = pipeline_oldest(&s->pipe);
	int class = reply->sent_code / 100;

	if (!pipelined_is_written(&s->pipe, c))
		return "reply before its command";
	if (s->pipe.count > 1 && reply->had_garbage)
		return "a line that is no reply";
	if (s->pipe.count > 1 && reply->codes_differ)
		return "a reply of several codes";
	if (reply->sent_code != 235 && reply->sent_code != 334 && class != 4 &&
	    class != 5)
		return "no answer to AUTH";
	return NULL;
}

void
session_take_login(
    struct session *s, const struct reply *reply, struct moment now)
{
	const struct pipelined *c = pipeline_oldest(&s->pipe);
	const char *why = misplaced(s, reply);

	CHECK(c->kind == COMMAND_AUTH && s->login == SESSION_LOGIN_LEADS);
	if (why != NULL) {
		session_lose_place(s, why, NULL, now);
		return;
	}
	/* The first reply to the first command. */
	s->proven_off = c->end_off;
	pipeline_answered(&s->pipe, now.us);
	s->meter.answered_us = now.us; /* what is behind has waited for it */
	if (reply->had_garbage)
		session_finish(s, FINISH_GARBAGE, now.us);
	if (reply->sent_code == 235) {
		session_set_login(s, SESSION_LOGIN_TAKEN);
		session_tell_login(s, LOGIN_ACCEPTED, reply->sent_code, now);
	} else {
		refuse(s, reply, now);
	}
	session_tell_changed(s);
}

bool
session_is_unwelcome(const struct session *s, const struct transaction *t,
    const struct reply *reply)
{
	return s->login == SESSION_LOGIN_REFUSED ||
	       (t != NULL && t->is_behind_login && reply->sent_code == 530);
}

/* The server went on to mail before it had done with the login. */
static void
on_unheard_login(
    struct session *s, const struct reply *reply, struct moment now)
{
	if (s->login == SESSION_LOGIN_REFUSED)
		return;
	s->login_code = reply->sent_code;
	session_tell_login(s, LOGIN_MISPLACED, reply->sent_code, now);
}

static void
on_rcpt(struct session *s, struct transaction *t, size_t i, bool is_ok)
{
	struct dsn why;

	CHECK(i < t->count && t->rcpts_answered < t->count);
	t->rcpts_answered++;
	if (is_ok) {
		t->rcpts_accepted++;
	} else {
		refusal(s, &why);
		session_put_off_for(s, t, i, &why);
	}
	if (t->rcpts_answered == t->count && t->rcpts_accepted == 0)
		t->is_failed = true;
}

static void
on_data(struct session *s, struct transaction *t, const struct reply *reply,
    struct moment now)
{
	CHECK(s->cur == t && s->step == STEP_WAIT_354);
	if (reply->sent_code / 100 == 3) {
		session_hang_up(s, "login refused", now);
		return;
	}
	give_up(s, t);
	session_stop_rendering(s, t);
}

void
session_take_unwelcome(struct session *s, struct transaction *t,
    enum command_kind kind, size_t rcpt, const struct reply *reply,
    struct moment now)
{
	bool is_ok = verdict_judge(kind, reply) == MEANING_OK;

	on_unheard_login(s, reply, now);
	switch (kind) {
	case COMMAND_MAIL:
		t->mail = is_ok ? MAIL_ACCEPTED : MAIL_REFUSED;
		if (!is_ok)
			give_up(s, t);
		break;
	case COMMAND_RCPT:
		on_rcpt(s, t, rcpt, is_ok);
		break;
	case COMMAND_DATA:
		on_data(s, t, reply, now);
		break;
	case COMMAND_BDAT:
		if (!is_ok)
			give_up(s, t);
		break;
	case COMMAND_BODY:
	case COMMAND_BDAT_LAST:
		if (is_ok && !t->is_failed)
			session_decide_all_by_reply(
			    s, t, OUTCOME_SENT, kind, reply, now);
		else
			give_up(s, t);
		break;
	case COMMAND_AUTH:
	case COMMAND_RSET:
	case COMMAND_XFORWARD_CLIENT:
	case COMMAND_XFORWARD_PROTOCOL:
	case COMMAND_QUIT:
		break;
	}
}
