#include "agent/engine/transaction.h"

#include <string.h>

#include "agent/engine/message.h"
#include "agent/engine/request.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/dsn.h"

#define TO(state) (1u << (state))
#define LEAVES (TO(TRANSACTION_WAITING) | TO(TRANSACTION_DONE))

static const unsigned moves[] = {
    [TRANSACTION_WAITING] = TO(TRANSACTION_ASSIGNED),
    [TRANSACTION_ASSIGNED] = TO(TRANSACTION_RENDERING) | LEAVES,
    [TRANSACTION_RENDERING] = TO(TRANSACTION_AWAITING) | LEAVES,
    [TRANSACTION_AWAITING] = TO(TRANSACTION_HELD) | LEAVES,
    [TRANSACTION_HELD] = LEAVES,
    [TRANSACTION_DONE] = 0,
};

void
transaction_set_state(struct transaction *t, enum transaction_state state)
{
	CHECK((moves[t->state] & TO(state)) != 0);
	t->state = state;
}

static struct transaction *
make(struct request *req, size_t room, int64_t now_us)
{
	struct transaction *t =
	    mem_zalloc(sizeof(*t) + room * sizeof(t->rcpts[0]));

	list_init(&t->link);
	t->req = req;
	t->total = room;
	t->waiting_since_us = now_us;
	return t;
}

struct transaction *
transaction_new(struct request *req, int64_t now_us)
{
	struct transaction *t =
	    make(req, request_count(req, RCPT_WAITING), now_us);

	for (size_t i = 0; i < req->rcpt_count; i++)
		if (req->rcpts[i].state == RCPT_WAITING)
			t->rcpts[t->count++] = (uint32_t)i;
	return t;
}

struct transaction *
transaction_new_part(struct request *req, size_t room, int64_t now_us)
{
	struct transaction *t = make(req, room, now_us);

	CHECK(room > 0);
	CHECK(room > 0 && room <= req->rcpt_count);
	t->is_part = true;
	return t;
}

void
transaction_free(struct transaction **t)
{
	struct transaction *old = *t;

	*t = NULL;
	if (old == NULL)
		return;
	CHECK(old->state == TRANSACTION_WAITING ||
	      old->state == TRANSACTION_DONE);
	list_remove(&old->link);
	message_free(&old->message);
	mem_free(old->last_error);
	mem_free(old->last_peer);
	mem_free(old);
}

bool
transaction_is_open(const struct transaction *t, size_t i)
{
	enum rcpt_state state;

	CHECK(i < t->count && t->rcpts[i] < t->req->rcpt_count);
	state = t->req->rcpts[t->rcpts[i]].state;
	return state == RCPT_WAITING || state == RCPT_IN_FLIGHT;
}

size_t
transaction_undecided(const struct transaction *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++)
		if (transaction_is_open(t, i))
			n++;
	return n;
}

struct message *
transaction_message(struct transaction *t)
{
	if (!t->is_part || t->req->message == NULL)
		return t->req->message;
	if (t->message == NULL)
		t->message = message_dup(t->req->message);
	return t->message;
}

void
transaction_set_error(
    struct transaction *t, const struct dsn *why, const struct peer *peer)
{
	if (t->last_error == NULL) {
		t->last_error = mem_alloc(sizeof(*t->last_error));
		t->last_peer = mem_alloc(sizeof(*t->last_peer));
	}
	*t->last_error = *why;
	*t->last_peer = *peer;
}

void
transaction_reset(struct transaction *t)
{
	size_t kept = 0;

	CHECK(t->count <= t->total);
	t->was_taken = false;
	for (size_t i = 0; i < t->count; i++) {
		uint32_t index = t->rcpts[i];

		if (!transaction_is_open(t, i)) {
			t->was_taken = t->was_taken ||
				       t->req->rcpts[index].verdict->outcome ==
					   OUTCOME_SENT;
			continue;
		}
		if (t->req->rcpts[index].state == RCPT_IN_FLIGHT)
			request_set_rcpt_state(t->req, index, RCPT_WAITING);
		t->rcpts[i] = t->rcpts[kept];
		t->rcpts[kept++] = index;
	}
	t->count = kept;
	transaction_set_state(t, TRANSACTION_WAITING);
	t->mail = MAIL_UNANSWERED;
	t->rcpts_accepted = t->rcpts_answered = t->commands_unanswered = 0;
	t->is_failed = t->is_bad_sequence = t->is_put_off = false;
	t->is_bdat = t->is_teacher = t->was_cut = t->was_let_in = false;
	t->is_held_back = false;
	t->is_behind_refusal = false;
	t->is_overlapped = t->is_rset_refused = t->is_behind_login = false;
	t->is_cautious = t->wants_caution;
	t->wants_caution = t->is_turned_away = t->follows_proof = t->was_last =
	    false;
	t->answered_off = 0;
	memset(t->wordings, 0, sizeof(t->wordings));
	t->last_off = 0;
	t->began = (struct timeval){0, 0};
	t->began_us = 0;
}
