#include "agent/engine/session_state.h"

#include "common/base/log.h"

#define TO(state) (1u << (state))

static const unsigned moves[] = {
    [SESSION_OPEN] = TO(SESSION_FINISHING) | TO(SESSION_ENDING),
    [SESSION_FINISHING] =
	TO(SESSION_QUITTING) | TO(SESSION_HELD_FINISHING) | TO(SESSION_ENDING),
    [SESSION_QUITTING] = TO(SESSION_HELD_QUITTING) | TO(SESSION_ENDING),
    [SESSION_HELD_FINISHING] = TO(SESSION_FINISHING) | TO(SESSION_ENDING),
    [SESSION_HELD_QUITTING] = TO(SESSION_QUITTING) | TO(SESSION_ENDING),
    [SESSION_ENDING] = TO(SESSION_OVER),
    [SESSION_OVER] = 0,
};

static const unsigned proof_moves[] = {
    [PROOF_NOT_ASKED] = TO(PROOF_WANTED),
    [PROOF_WANTED] = TO(PROOF_ASKED) | TO(PROOF_NOT_ASKED),
    [PROOF_ASKED] = TO(PROOF_NOT_ASKED),
};

static const unsigned login_moves[] = {
    [SESSION_LOGIN_NONE] = TO(SESSION_LOGIN_LEADS),
    [SESSION_LOGIN_LEADS] = TO(SESSION_LOGIN_TAKEN) | TO(SESSION_LOGIN_REFUSED),
    [SESSION_LOGIN_TAKEN] = TO(SESSION_LOGIN_PROVEN),
    [SESSION_LOGIN_REFUSED] = 0,
    [SESSION_LOGIN_PROVEN] = 0,
};

void
session_set_state(struct session *s, enum session_state state)
{
	CHECK((moves[s->state] & TO(state)) != 0);
	CHECK(state != SESSION_OVER || list_is_empty(&s->inside));
	s->state = state;
	CHECK(!session_is_held(s) || s->held_421 != NULL);
}

void
session_set_proof(struct session *s, enum session_proof proof)
{
	CHECK((proof_moves[s->proof] & TO(proof)) != 0);
	s->proof = proof;
}

void
session_set_login(struct session *s, enum session_login login)
{
	CHECK((login_moves[s->login] & TO(login)) != 0);
	s->login = login;
}

void
session_tell_login(struct session *s, enum session_login_news news, int code,
    struct moment now)
{
	if (s->ops->on_login == NULL)
		return;
	session_call_begins(s);
	s->ops->on_login(s->ctx, news, code, now);
	session_call_ends(s);
}

bool
session_is_stranger(const struct session *s)
{
	return s->login == SESSION_LOGIN_REFUSED ||
	       (s->login == SESSION_LOGIN_LEADS && buf_len(&s->auth) == 0);
}

bool
session_is_over(const struct session *s)
{
	return s->state == SESSION_ENDING || s->state == SESSION_OVER;
}

bool
session_is_finishing(const struct session *s)
{
	return s->state != SESSION_OPEN;
}

bool
session_is_held(const struct session *s)
{
	return s->state == SESSION_HELD_FINISHING ||
	       s->state == SESSION_HELD_QUITTING;
}

enum session_finish_reason
session_finish_reason(const struct session *s)
{
	return s->finish_reason;
}

const char *
session_finish_words(enum session_finish_reason why)
{
	static const char *const words[] = {
	    [FINISH_NONE] = "closed",
	    [FINISH_SPENT] = "spent",
	    [FINISH_OLD] = "old",
	    [FINISH_USED_UP] = "used up",
	    [FINISH_IDLE] = "idle",
	    [FINISH_WANTED] = "its place is needed for other mail",
	    [FINISH_DRAINING] = "draining",
	    [FINISH_ALARM] = "stopped by an alarm",
	    [FINISH_TOO_MANY] = "too many connections",
	    [FINISH_REFUSED] = "several messages refused in a row",
	    [FINISH_OUT_OF_STEP] = "out of step: MAIL was answered with 503",
	    [FINISH_GARBAGE] = "garbage between replies",
	    [FINISH_421] = "the server said 421",
	    [FINISH_NO_PROOF] = "replies do not show which command they answer",
	    [FINISH_NO_RSET] = "RSET is refused",
	    [FINISH_LOGIN] = "login refused",
	};

	return words[why];
}

void
session_call_begins(struct session *s)
{
	s->calling++;
}

void
session_call_ends(struct session *s)
{
	CHECK(s->calling > 0);
	s->calling--;
}

void
session_check_outside(const struct session *s)
{
	CHECK(s->calling == 0);
}

void
session_tell_changed(struct session *s)
{
	session_call_begins(s);
	s->ops->on_changed(s->ctx);
	session_call_ends(s);
}

struct transaction *
session_first(const struct session *s)
{
	return list_is_empty(&s->inside)
		   ? NULL
		   : list_entry(s->inside.next, struct transaction, link);
}

struct transaction *
session_unsent(const struct session *s)
{
	struct transaction *t;

	if (list_is_empty(&s->inside))
		return NULL;
	t = list_entry(s->inside.prev, struct transaction, link);
	return t->state == TRANSACTION_ASSIGNED ? t : NULL;
}

struct transaction *
session_next_assigned(struct session *s)
{
	list_each (link, &s->inside) {
		struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (t->state == TRANSACTION_ASSIGNED)
			return t;
	}
	return NULL;
}

size_t
session_held(const struct session *s)
{
	size_t n = 0;

	list_each (link, &s->inside) {
		if (list_entry(link, struct transaction, link)->state !=
		    TRANSACTION_HELD)
			break;
		n++;
	}
	return n;
}

bool
session_is_sent_whole(const struct session *s, const struct transaction *t)
{
	return t->last_off > 0 && s->pipe.written_off >= t->last_off;
}

bool
session_is_in_doubt(const struct session *s, const struct transaction *t)
{
	return session_is_sent_whole(s, t) && !t->is_failed;
}

static void
count_command(struct session_tally *tally, enum command_kind kind)
{
	switch (kind) {
	case COMMAND_RSET:
		tally->rsets++;
		break;
	case COMMAND_MAIL:
		tally->mails++;
		break;
	case COMMAND_BDAT:
	case COMMAND_BDAT_LAST:
		tally->bdats++;
		break;
	case COMMAND_AUTH:
	case COMMAND_XFORWARD_CLIENT:
	case COMMAND_XFORWARD_PROTOCOL:
	case COMMAND_RCPT:
	case COMMAND_DATA:
	case COMMAND_BODY:
	case COMMAND_QUIT:
		break;
	}
}

void
session_push(struct session *s, enum command_kind kind, struct transaction *t,
    size_t rcpt, size_t n, int64_t now_us)
{
	CHECK(s->state == SESSION_OPEN || s->state == SESSION_FINISHING);
	CHECK(t == NULL || t == s->cur);
	count_command(s->tally, kind);
	pipeline_push(&s->pipe, kind, t, rcpt, n, now_us);
	if (t != NULL)
		t->commands_unanswered++;
}

enum requiretls
session_requiretls(const struct session *s, const struct request *req)
{
	if ((req->sendopts & SENDOPT_REQUIRETLS) == 0 ||
	    !s->set->requiretls_enable)
		return REQUIRETLS_DISABLE;
	return s->peer.requiretls;
}
