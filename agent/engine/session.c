#include "agent/engine/session_state.h"

#include "common/base/log.h"
#include "common/base/mem.h"

struct session *
session_new(const struct settings *set, struct manner *manner,
    const struct ehlo *ehlo, const struct peer *peer,
    const struct session_ops *ops, void *ctx, int64_t now_ms)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->set = set;
	s->ops = ops;
	s->ctx = ctx;
	s->ehlo = *ehlo;
	s->peer = *peer;
	s->manner = manner;
	s->mode = session_next_mode(s, NULL, now_ms);
	list_init(&s->inside);
	buf_init(&s->chunk, CHUNK_OCTETS);
	pipeline_init(&s->pipe);
	reply_parser_init(&s->parser);
	s->born_ms = s->idle_since_ms = now_ms;
	s->request_deadline_ms = INT64_MAX;
	return s;
}

void
session_free(struct session **s)
{
	struct session *old = *s;

	*s = NULL;
	if (old == NULL)
		return;
	CHECK(list_is_empty(&old->inside));
	session_forget_held_421(old);
	pipeline_fini(&old->pipe);
	reply_parser_fini(&old->parser);
	buf_fini(&old->chunk);
	mem_free(old);
}

enum session_mode
session_mode(const struct session *s)
{
	return s->mode;
}

const struct peer *
session_peer(const struct session *s)
{
	return &s->peer;
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

size_t
session_load(const struct session *s)
{
	return s->load;
}

int
session_messages(const struct session *s)
{
	return s->messages;
}

int
session_accepted(const struct session *s)
{
	return s->accepted;
}

int
session_in_doubt(const struct session *s)
{
	return s->in_doubt;
}

int64_t
session_idle_since_ms(const struct session *s)
{
	return s->idle_since_ms;
}

uint64_t
session_octets_unanswered(const struct session *s)
{
	return pipeline_octets_unanswered(&s->pipe);
}

size_t
session_memory(const struct session *s)
{
	return sizeof(*s) + s->chunk.cap + s->parser.reply.text.cap +
	       pipeline_memory(&s->pipe);
}

/* Messages that may be inside at once. */
static size_t
window(const struct session *s, int depth, int64_t now_ms)
{
	enum session_mode mode = session_next_mode(s, NULL, now_ms);

	/* After a refusal one at a time, until something is accepted again:
	 * errors in a window are expensive. */
	if (s->failed_in_row > 0 || depth < 1)
		return 1;
	switch (mode) {
	case SESSION_BDAT:
		return manner_tells_ends(s->manner) ? (size_t)depth : 1;
	case SESSION_OVERLAP:
		return depth > 1 ? 2 : 1;
	case SESSION_GROUP:
	case SESSION_LOCKSTEP:
		break;
	}
	return 1;
}

bool
session_is_spent(const struct session *s, int quota, int64_t now_ms)
{
	return s->messages >= quota ||
	       now_ms - s->born_ms >= s->set->lane_connection_age_limit_ms;
}

bool
session_has_room(const struct session *s, int depth, int quota, int64_t now_ms)
{
	size_t most = window(s, depth, now_ms);

	/* Those held are answered, and in doubt should the stream break. */
	return !session_is_finishing(s) &&
	       !session_is_spent(s, quota, now_ms) && s->load < 2 * most &&
	       s->load - session_held(s) < most &&
	       pipeline_octets_unanswered(&s->pipe) <
		   (uint64_t)s->set->lane_pipeline_bytes;
}

/* ---- verdicts ---------------------------------------------------------- */

struct verdict_source
session_source(
    const struct session *s, const struct transaction *t, struct moment now)
{
	return (struct verdict_source){
	    .peer = &s->peer,
	    .conn_use = s->accepted + 1,
	    .dsn_offered = s->ehlo.dsn,
	    .conn_done = t->began_ms > 0 ? t->began : now.wall,
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

enum meaning
session_judge(struct session *s, struct transaction *t, enum command_kind kind,
    const struct reply *reply, struct moment now)
{
	enum meaning meaning = verdict_judge(kind, reply);

	if (meaning == MEANING_OK || s->ops->judge == NULL)
		return meaning;
	return s->ops->judge(s->ctx, t, kind, reply, meaning, now);
}

static void
set_error(const struct session *s, struct transaction *t, const struct dsn *why)
{
	if (t->last_error == NULL) {
		t->last_error = mem_alloc(sizeof(*t->last_error));
		t->last_peer = mem_alloc(sizeof(*t->last_peer));
	}
	*t->last_error = *why;
	*t->last_peer = s->peer;
}

void
session_put_off(struct session *s, struct transaction *t, size_t i,
    enum command_kind kind, const struct reply *reply, struct moment now)
{
	struct verdict_source from = session_source(s, t, now);
	struct verdict *v;

	if (!is_in_flight(t, i))
		return;
	t->req->rcpts[t->rcpts[i]].state = RCPT_WAITING;
	t->req->rcpts[t->rcpts[i]].decided_off = s->answering_off;
	if (t->is_put_off)
		return;
	/* For when its time runs out before it could be tried again. */
	t->is_put_off = true;
	v = verdict_from_reply(OUTCOME_DEFER, &from, kind, reply);
	set_error(s, t, &v->dsn);
	verdict_free(&v);
}

void
session_note_rendering(struct session *s, struct transaction *t, bool begins)
{
	if (s->ops->on_rendering != NULL)
		s->ops->on_rendering(s->ctx, t, begins);
}

/* ---- leaving the session ----------------------------------------------- */

static void
find_request_deadline(struct session *s)
{
	s->request_deadline_ms = INT64_MAX;
	list_each (link, &s->inside) {
		int64_t due = list_entry(link, struct transaction, link)
				  ->req->deadline_ms;

		if (due < s->request_deadline_ms)
			s->request_deadline_ms = due;
	}
}

static void
detach(struct session *s, struct transaction *t, int64_t now_ms)
{
	list_remove(&t->link);
	t->left_ms = now_ms;
	s->load--;
	if (s->load == 0)
		s->idle_since_ms = now_ms;
	if (t->req->deadline_ms <= s->request_deadline_ms)
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
    const struct dsn *why, int64_t now_ms)
{
	detach(s, t, now_ms);
	if (transaction_undecided(t) == 0) {
		s->ops->on_done(s->ctx, t);
		return;
	}
	if (why != NULL)
		set_error(s, t, why);
	transaction_reset(t);
	s->ops->on_returned(s->ctx, t, is_its_fault);
}

/* All is decided, or what is left was put off. */
static void
complete(struct session *s, struct transaction *t, int64_t now_ms)
{
	CHECK(t->is_put_off || transaction_undecided(t) == 0);
	session_give_back(s, t, false, NULL, now_ms);
}

void
session_stop_rendering(struct session *s, struct transaction *t)
{
	CHECK(s->cur == t);
	s->cur = NULL;
	session_note_rendering(s, t, false);
	t->state = TRANSACTION_AWAITING;
	buf_reset(&s->chunk);
}

/* Keeps count of luck, and leaves a session that has run out of it. */
static void
count_result(struct session *s, const struct transaction *t, int64_t now_ms)
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
		session_finish(s, "several messages refused in a row", now_ms);
}

void
session_settle(struct session *s, struct transaction *t, struct moment now)
{
	if (!session_is_through(s, t))
		return;
	if (!t->is_counted)
		count_result(s, t, now.ms);
	t->is_counted = true;
	session_prove(s, 0, now);
}

void
session_end(
    struct session *s, enum session_end how, bool is_clean, const char *why)
{
	if (s->is_over)
		return;
	s->is_over = true;
	if (how == SESSION_END_QUIT && s->finishing_why != NULL)
		why = s->finishing_why;
	s->ops->on_ended(s->ctx, how, is_clean, why);
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

/* The stream broke under t. is_first: its reply was the next. */
static void
lose_one(struct session *s, struct transaction *t, enum command_kind stage,
    enum verdict_loss loss, bool is_first, struct moment now)
{
	/* Where a reply was left out the last is waited for in vain. */
	bool is_trusted =
	    loss == LOSS_CONNECTION && t->begin_off <= s->proven_off;
	bool is_slow = loss == LOSS_TIMEOUT && is_first;
	bool in_doubt;
	struct dsn dsn;

	if (!is_trusted)
		session_take_back(s, t);
	in_doubt = is_trusted ? session_is_in_doubt(s, t)
			      : session_is_sent_whole(s, t) &&
				    transaction_undecided(t) > 0;
	verdict_lost(&dsn, &s->peer, stage, in_doubt, loss);
	s->in_doubt += in_doubt;
	/* A stage that timed out is a slow answer to this message; waiting as
	 * long again elsewhere helps nobody. With another host it goes there,
	 * as by smtp(8); what is in doubt risks no more by that than by
	 * waiting. */
	t->goes_on =
	    loss != LOSS_PLACE && t->has_other_host && (in_doubt || is_slow);
	if (!t->goes_on && (in_doubt || is_slow)) {
		session_decide_all(s, t, OUTCOME_DEFER, &dsn, now);
		session_give_back(s, t, false, &dsn, now.ms);
	} else if (transaction_undecided(t) == 0) {
		complete(s, t, now.ms);
	} else {
		session_give_back(s, t,
		    is_first && t->state != TRANSACTION_ASSIGNED, &dsn, now.ms);
	}
}

void
session_lose(struct session *s, enum session_end how, enum verdict_loss loss,
    const char *why, struct moment now)
{
	struct pipelined *oldest = pipeline_oldest(&s->pipe);
	enum command_kind stage = oldest != NULL ? oldest->kind : COMMAND_MAIL;
	bool is_first = true;

	if (s->is_over)
		return;
	s->is_over = true;
	s->answering_off = 0;
	if (loss != LOSS_PLACE)
		session_let_go_held(s, loss, now);
	while (!list_is_empty(&s->inside)) {
		lose_one(s,
		    list_entry(s->inside.next, struct transaction, link), stage,
		    loss, is_first, now);
		is_first = false;
	}
	s->ops->on_ended(s->ctx, how, false, why);
}

/* A 421 answers the oldest command: nothing from there on was taken. */
void
session_close_by_421(struct session *s, enum command_kind kind,
    const struct reply *reply, bool is_clean, struct moment now)
{
	char text[DSN_TEXT_MAX + 1];
	struct dsn why;
	/* After a message was accepted this is a quota, not a refusal. */
	bool is_first = s->accepted == 0, is_oldest = true;
	struct transaction *head;
	bool is_blameless;

	session_let_go_held(s, LOSS_CONNECTION, now);
	head = list_is_empty(&s->inside)
		   ? NULL
		   : list_entry(s->inside.next, struct transaction, link);
	is_blameless =
	    session_judge(s, head, kind, reply, now) == MEANING_LATER;
	reply_text(reply, text, sizeof(text));
	if (head == NULL && now.ms - s->idle_since_ms >= IDLE_421_MS) {
		session_end(s, SESSION_END_QUIT, true, text);
		return;
	}
	dsn_set(&why, reply->status, "host %s[%s] said: %s (in reply to %s)",
	    s->peer.host, s->peer.addr, text, verdict_command_name(kind));
	why.smtp_code = 421;
	s->is_over = true;
	while (!list_is_empty(&s->inside)) {
		struct transaction *t =
		    list_entry(s->inside.next, struct transaction, link);

		/* Unless it is always the same message. */
		if (is_oldest && !is_blameless &&
		    t->state != TRANSACTION_ASSIGNED &&
		    ++t->turned_away > TURNED_AWAY_MAX)
			is_first = true;
		session_give_back(s, t,
		    !is_blameless &&
			(is_first || kind == COMMAND_BODY ||
			    kind == COMMAND_BDAT_LAST) &&
			t->state != TRANSACTION_ASSIGNED,
		    &why, now.ms);
		is_first = is_oldest = false;
		kind = COMMAND_MAIL;
	}
	s->ops->on_ended(s->ctx, SESSION_END_421, is_clean, why.text);
}

/* ---- assigning --------------------------------------------------------- */

struct verdict *
session_refuse_size(
    const struct session *s, uint64_t octets, const struct verdict_source *from)
{
	if (s->ehlo.size_limit == 0 || octets <= s->ehlo.size_limit)
		return NULL;
	return verdict_local(OUTCOME_BOUNCE, from, "5.3.4",
	    "message size %llu exceeds size limit %llu of server %s[%s]",
	    (unsigned long long)octets, (unsigned long long)s->ehlo.size_limit,
	    s->peer.host, s->peer.addr);
}

/* What this server cannot take is decided here, before any octet. */
static struct verdict *
refuse_locally(const struct session *s, const struct transaction *t,
    const struct verdict_source *from)
{
	const struct request *req = t->req;

	struct verdict *refusal = session_refuse_size(
	    s, req->size > 0 ? (uint64_t)req->size : 0, from);

	if (refusal != NULL)
		return refusal;
	if ((req->sendopts & SENDOPT_UTF8_REQUESTED) != 0 &&
	    (req->sendopts & SENDOPT_UTF8_NEEDED) != 0 && !s->ehlo.smtputf8)
		return verdict_local(OUTCOME_BOUNCE, from, "5.6.7",
		    "SMTPUTF8 is required, but was not offered by host %s[%s]",
		    s->peer.host, s->peer.addr);
	if ((req->sendopts & SENDOPT_REQUIRETLS) != 0 &&
	    s->set->requiretls_enable &&
	    (!s->peer.is_verified || !s->ehlo.requiretls))
		return verdict_local(OUTCOME_BOUNCE, from, "5.7.30",
		    "REQUIRETLS is required, but was not offered by host "
		    "%s[%s] in a verified TLS session",
		    s->peer.host, s->peer.addr);
	return NULL;
}

void
session_assign(struct session *s, struct transaction *t, struct moment now)
{
	struct verdict_source from = session_source(s, t, now);
	struct verdict *refusal = refuse_locally(s, t, &from);

	CHECK(!session_is_finishing(s));
	list_remove(&t->link);
	list_push(&s->inside, &t->link);
	s->load++;
	t->state = TRANSACTION_ASSIGNED;
	if (t->req->deadline_ms < s->request_deadline_ms)
		s->request_deadline_ms = t->req->deadline_ms;
	for (size_t i = 0; i < t->count; i++) {
		struct recipient *r = &t->req->rcpts[t->rcpts[i]];

		r->state = RCPT_IN_FLIGHT;
		r->decided_off = 0;
	}
	if (refusal != NULL) {
		session_decide_all(s, t, refusal->outcome, &refusal->dsn, now);
		verdict_free(&refusal);
		complete(s, t, now.ms);
		return;
	}
	s->messages++;
	s->ops->on_changed(s->ctx);
}

static bool
is_inside(const struct session *s, const struct transaction *t)
{
	list_each (link, &s->inside)
		if (link == &t->link)
			return true;
	return false;
}

bool
session_withdraw(struct session *s, struct transaction *t)
{
	if (t->state != TRANSACTION_ASSIGNED || !is_inside(s, t))
		return false;
	s->messages--;
	detach(s, t, s->idle_since_ms);
	transaction_reset(t);
	return true;
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

/* ---- endings ----------------------------------------------------------- */

void
session_closed(
    struct session *s, bool is_eof, const char *text, struct moment now)
{
	if (s->is_over || session_close_by_held_421(s, true, now))
		return;
	session_let_go_held(s, LOSS_CONNECTION, now);
	if (list_is_empty(&s->inside) &&
	    (s->is_quit_rendered || s->pipe.count == 0)) {
		session_end(s, SESSION_END_QUIT, is_eof, text);
		return;
	}
	session_lose(s, SESSION_END_LOST, LOSS_CONNECTION, text, now);
}

void
session_finish(struct session *s, const char *why, int64_t now_ms)
{
	if (session_is_finishing(s))
		return;
	log_debug("%s[%s]: finishing session: %s, %d messages", s->peer.host,
	    s->peer.addr, why, s->messages);
	s->is_finishing = true;
	s->finishing_why = why;
	s->finishing_since_ms = now_ms;
	s->ops->on_changed(s->ctx);
}

static void
break_off(
    struct session *s, enum session_end how, const char *why, struct moment now)
{
	if (s->is_over)
		return;
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
	break_off(s, SESSION_END_ABORT, why, now);
}

static int64_t
stage_timeout_ms(const struct session *s, const struct pipelined *c)
{
	const struct settings *set = s->set;

	switch (c->kind) {
	case COMMAND_RSET:
		return set->smtp_rset_timeout_ms;
	case COMMAND_MAIL:
		return set->smtp_mail_timeout_ms;
	case COMMAND_RCPT:
		return set->smtp_rcpt_timeout_ms;
	case COMMAND_DATA:
		return set->smtp_data_init_timeout_ms;
	case COMMAND_BDAT:
		return set->smtp_data_xfer_timeout_ms;
	case COMMAND_BODY:
	case COMMAND_BDAT_LAST:
		return pipelined_is_written(&s->pipe, c) &&
			       (s->cur == NULL || s->cur != c->owner)
			   ? set->smtp_data_done_timeout_ms
			   : set->smtp_data_xfer_timeout_ms;
	case COMMAND_QUIT:
		break;
	}
	/* Unless it is to prove something. */
	return session_held(s) > 0 ? set->smtp_rset_timeout_ms : QUIT_WAIT_MS;
}

int64_t
session_deadline_ms(const struct session *s)
{
	struct pipelined *oldest = pipeline_oldest(&s->pipe);
	int64_t due = s->request_deadline_ms;

	if (s->is_over)
		return INT64_MAX;
	if (oldest != NULL) {
		int64_t stage =
		    s->pipe.timer_from_ms + stage_timeout_ms(s, oldest);

		if (stage < due)
			due = stage;
		if (s->held_421 != NULL && s->held_ms + HELD_421_WAIT_MS < due)
			due = s->held_ms + HELD_421_WAIT_MS;
	} else if (s->is_finishing && s->load == 0) {
		int64_t from = s->finishing_since_ms > s->idle_since_ms
				   ? s->finishing_since_ms
				   : s->idle_since_ms;

		due = from + QUIT_WAIT_MS;
	}
	return due;
}

void
session_on_timer(struct session *s, struct moment now)
{
	if (s->is_over || now.ms < session_deadline_ms(s) ||
	    session_close_by_held_421(s, false, now))
		return;
	if (s->load == session_held(s) && s->is_finishing &&
	    (s->pipe.count == 0 || s->is_quit_rendered)) {
		session_let_go_held(s, LOSS_TIMEOUT, now);
		session_end(s, SESSION_END_QUIT, false, "no answer to QUIT");
	} else {
		session_lose(
		    s, SESSION_END_TIMEOUT, LOSS_TIMEOUT, "timed out", now);
	}
}
