#include "agent/engine/session_state.h"

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

bool
session_is_over(const struct session *s)
{
	return s->is_over;
}

bool
session_is_finishing(const struct session *s)
{
	return s->is_finishing || s->is_over;
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
	case COMMAND_RCPT:
	case COMMAND_DATA:
	case COMMAND_BODY:
	case COMMAND_QUIT:
		break;
	}
}

void
session_push(struct session *s, enum command_kind kind, struct transaction *t,
    size_t rcpt, size_t n, int64_t now_ms)
{
	count_command(s->tally, kind);
	pipeline_push(&s->pipe, kind, t, rcpt, n, now_ms);
	if (t != NULL)
		t->commands_unanswered++;
}
