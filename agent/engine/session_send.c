#include "agent/engine/mtpriority.h"
#include "agent/engine/rewriting.h"
#include "agent/engine/session_end.h"
#include "agent/engine/session_login.h"
#include "agent/engine/session_place.h"
#include "agent/engine/session_state.h"
#include "agent/engine/session_verdict.h"
#include "agent/engine/trace.h"
#include "common/base/log.h"
#include "common/smtp/command.h"

/* No more of t: what teaches ends with RSET. */
static void
end_group(struct session *s, struct transaction *t)
{
	if (t->is_teacher)
		s->step = STEP_LAST_RSET;
	else
		session_stop_rendering(s, t);
}

/* To 7 bit, as the server does not take 8. Whether there is anything to convert
 * shows only when the content is read. */
static bool
is_converted(const struct session *s, const struct request *req)
{
	return req->rules != NULL && !s->ehlo.eightbitmime &&
	       !s->set->disable_mime_output_conversion &&
	       req->encoding != ENCODING_7BIT;
}

static void
begin(struct session *s, struct transaction *t, struct moment now)
{
	struct message *message;

	CHECK(s->cur == NULL);
	s->cur = t;
	session_note_rendering(s, t, true);
	s->rcpt_next = 0;
	s->mode = session_next_mode(s, t, now.us);
	t->is_bdat = s->mode == SESSION_BDAT;
	t->is_teacher =
	    session_teaches(s, t, s->mode) && !request_is_probe(t->req);
	s->step =
	    s->needs_rset || t->is_teacher ? STEP_RSET : STEP_XFORWARD_CLIENT;
	/* Whoever comes next must start from a clean slate, unless this one
	 * is known to have got through by then. */
	s->needs_rset = true;
	s->chunk_is_last = false;
	t->is_behind_login = s->login == SESSION_LOGIN_LEADS;
	t->is_overlapped = s->pipe.count > (t->is_behind_login ? 1 : 0);
	t->begin_off = s->pipe.rendered_off;
	if (s->proof == PROOF_WANTED) /* its RSET, or its 354, will do */
		session_set_proof(s, PROOF_NOT_ASKED);
	transaction_set_state(t, TRANSACTION_RENDERING);
	t->began = now.wall;
	t->began_us = now.us;
	message = transaction_message(t);
	if (message == NULL)
		return;
	message_set_conversion(message, is_converted(s, t->req));
	message_rewind(message, s->mode != SESSION_BDAT);
}

static enum command_body
body_type(const struct session *s, const struct request *req)
{
	static const enum command_body bodies[] = {
	    [ENCODING_UNKNOWN] = BODY_NONE,
	    [ENCODING_7BIT] = BODY_7BIT,
	    [ENCODING_8BIT] = BODY_8BIT,
	};

	return s->ehlo.eightbitmime ? bodies[req->encoding] : BODY_NONE;
}

/* The envelope cannot be put on a line: only its own fault. */
static void
fail_address(struct session *s, struct transaction *t, struct moment now)
{
	struct dsn dsn;

	dsn_set(&dsn, "5.1.3", "bad address syntax in the message envelope");
	session_decide_all(s, t, OUTCOME_BOUNCE, &dsn, now);
	t->is_failed = true;
	session_stop_rendering(s, t);
}

/* An address of the envelope as it goes out, which may be `mapped` then; one
 * line of an error otherwise. */
static bool
map_address(const struct request *req, const char *address, struct buf *mapped,
    struct slice *out)
{
	*out = slice_str(address);
	if (req->rules == NULL)
		return true;
	switch (
	    generic_map(&req->rules->generic, req->answers, address, mapped)) {
	case REWRITER_KEPT:
		return true;
	case REWRITER_DONE:
		*out = buf_slice(mapped);
		return true;
	case REWRITER_UNKNOWN:
	case REWRITER_FAILED:
		break;
	}
	return false;
}

/* Where smtp(8) gives up, and the queue manager tries it later. */
static void
fail_mapping(struct session *s, struct transaction *t, struct moment now)
{
	struct dsn dsn;

	dsn_set(&dsn, "4.3.0", "smtp_generic_maps lookup error");
	session_decide_all(s, t, OUTCOME_DEFER, &dsn, now);
	t->is_failed = true;
	session_stop_rendering(s, t);
}

/* With those of the attributes that are to be told, if there is one. */
static void
render_xforward(struct session *s, struct buf *out, enum command_kind kind,
    unsigned attributes, int64_t now_us)
{
	struct transaction *t = s->cur;
	size_t before = buf_len(out);
	unsigned mask = session_xforward(s, t) & attributes;

	if (mask == 0)
		return;
	if (xforward_command(out, t->req->xforward, mask))
		session_push(s, kind, t, 0, buf_len(out) - before, now_us);
	else
		log_warn("%s: %s is too long, not sent", t->req->queue_id,
		    verdict_command_name(kind));
}

static void
render_mail(struct session *s, struct buf *out, struct moment now)
{
	struct transaction *t = s->cur;
	const struct request *req = t->req;
	size_t before = buf_len(out);
	struct command_mail mail = {
	    /* What comes of a conversion is not known beforehand. */
	    .use_size = s->ehlo.size_offered && !is_converted(s, req),
	    .size = (uint64_t)(req->size > 0 ? req->size : 0),
	    .body = body_type(s, req),
	    .use_dsn = s->ehlo.dsn,
	    .envid = slice_str(req->envelope_id),
	    .ret = req->ret_flags,
	    .smtputf8 = s->ehlo.smtputf8 &&
			(req->sendopts & SENDOPT_UTF8_REQUESTED) != 0,
	    .requiretls = s->ehlo.requiretls && s->peer.is_tls &&
			  session_requiretls(s, req) != REQUIRETLS_DISABLE,
	    .auth_empty = s->ehlo.auth && s->set->smtp_send_dummy_mail_auth,
	};
	struct buf mapped;

	mail.use_priority =
	    s->ehlo.mt_priority && mtpriority_get(s->set->lane_mt_priority,
				       s->set->lane_priority, &mail.priority);
	buf_init(&mapped, COMMAND_LINE_MAX);
	if (!map_address(req, req->sender, &mapped, &mail.sender))
		fail_mapping(s, t, now);
	else if (!command_mail(out, &mail))
		fail_address(s, t, now);
	buf_fini(&mapped);
	if (t->is_failed) {
		session_settle(s, t, now);
		return;
	}
	session_push(s, COMMAND_MAIL, t, 0, buf_len(out) - before, now.us);
	s->step = STEP_RCPT;
}

/* Recipient i is not for this server to hear of. */
static void
fail_rcpt(struct session *s, struct transaction *t, size_t i, bool is_bad,
    struct moment now)
{
	struct verdict_source from = session_source(s, t, now);

	request_decide(t->req, t->rcpts[i],
	    is_bad ? verdict_local(OUTCOME_BOUNCE, &from, "5.1.3",
			 "bad recipient address syntax")
		   : verdict_local(OUTCOME_DEFER, &from, "4.3.0",
			 "smtp_generic_maps lookup error"));
	t->rcpts_answered++;
}

static void
render_rcpt(struct session *s, struct buf *out, struct moment now)
{
	struct transaction *t = s->cur;
	size_t i = s->rcpt_next++;
	const struct recipient *r = &t->req->rcpts[t->rcpts[i]];
	size_t before = buf_len(out);
	struct command_rcpt rcpt = {
	    .use_dsn = s->ehlo.dsn,
	    .notify_flags = r->notify_flags,
	    .orcpt = slice_str(r->orcpt),
	    .original_recipient = slice_str(r->original),
	    .smtputf8 = (t->req->sendopts & SENDOPT_UTF8_REQUESTED) != 0,
	};
	struct buf mapped;

	buf_init(&mapped, COMMAND_LINE_MAX);
	if (!map_address(t->req, r->address, &mapped, &rcpt.recipient))
		fail_rcpt(s, t, i, false, now);
	else if (command_rcpt(out, &rcpt))
		session_push(
		    s, COMMAND_RCPT, t, i, buf_len(out) - before, now.us);
	else
		fail_rcpt(s, t, i, true, now);
	buf_fini(&mapped);
	CHECK(t->rcpts_answered <= t->count);
	if (s->rcpt_next < t->count)
		return;
	if (t->rcpts_answered == t->count && t->rcpts_accepted == 0)
		t->is_failed = true;
	/* A probe has no content, and BDAT would be that. */
	if (!request_is_probe(t->req))
		s->step = s->mode == SESSION_BDAT ? STEP_BDAT : STEP_DATA;
	else if (s->probes_end_at_data)
		s->step = STEP_DATA;
	else
		s->step = STEP_LAST_RSET;
}

/* The message's file fails us in the middle of it. */
static void
fail_content(struct session *s, struct transaction *t,
    enum message_result result, struct moment now)
{
	struct dsn dsn;

	if (result == MESSAGE_CORRUPT) {
		t->req->is_corrupt = true;
		dsn_set(&dsn, "5.3.0", "unreadable mail queue entry");
		session_decide_all(s, t, OUTCOME_BOUNCE, &dsn, now);
	} else if (result == MESSAGE_TOO_DEEP) {
		dsn_set(&dsn, "5.6.0", "MIME nesting exceeds safety limit");
		session_decide_all(s, t, OUTCOME_BOUNCE, &dsn, now);
	} else if (result == MESSAGE_TABLE_ERROR) {
		dsn_set(&dsn, "4.3.0",
		    "local data error while talking to %s[%s]", s->peer.host,
		    s->peer.addr);
		session_decide_all(s, t, OUTCOME_DEFER, &dsn, now);
	} else {
		dsn_set(&dsn, "4.3.0", "error reading mail queue file");
		session_decide_all(s, t, OUTCOME_DEFER, &dsn, now);
	}
	t->is_failed = true;
}

static void
log_folding(const struct session *s, struct transaction *t)
{
	if (message_was_folded(transaction_message(t)))
		log_info("%s: breaking line > %d bytes with <CR><LF>SPACE",
		    t->req->queue_id, s->set->smtp_line_length_limit);
}

/* The next chunk into s->chunk, unless there is one. False: the transaction
 * has failed. */
static bool
read_chunk(struct session *s, struct transaction *t, struct moment now)
{
	enum message_result result;
	struct verdict_source from = session_source(s, t, now);
	struct verdict *refusal;

	if (buf_len(&s->chunk) > 0 || s->chunk_is_last)
		return true;
	result = message_read(transaction_message(t), &s->chunk, CHUNK_OCTETS);
	if (result != MESSAGE_MORE && result != MESSAGE_END) {
		fail_content(s, t, result, now);
		return false;
	}
	s->chunk_is_last = result == MESSAGE_END;
	refusal = session_refuse_size(
	    s, message_octets(transaction_message(t)), &from);
	if (refusal == NULL)
		return true;
	/* Folded lines made it larger than the request said. Some servers
	 * take for commands what comes beyond their limit. */
	session_decide_all(s, t, refusal->outcome, &refusal->dsn, now);
	verdict_free(&refusal);
	t->is_failed = true;
	return false;
}

/* Returns false when nothing can be appended now. pulled: octets that the
 * caller has got already. */
static bool
render_bdat(
    struct session *s, struct buf *out, size_t pulled, struct moment now)
{
	struct transaction *t = s->cur;
	uint64_t unanswered = pipeline_octets_unanswered(&s->pipe);
	size_t n, before = buf_len(out);

	if (t->is_failed) {
		/* Refused already: what is announced was sent, no more. */
		end_group(s, t);
		session_settle(s, t, now);
		return true;
	}
	if (!read_chunk(s, t, now))
		return true;
	n = buf_len(&s->chunk);
	/* It is here twice while it is copied: not beside much else. */
	if (pulled > 0 && pulled + n > CHUNK_OCTETS)
		return false;
	if (unanswered > 0 &&
	    unanswered + n > (uint64_t)s->set->lane_pipeline_bytes)
		return false;
	CHECK(command_bdat(out, n, s->chunk_is_last));
	CHECK(buf_add_slice(out, buf_slice(&s->chunk)));
	s->tally->octets += n;
	session_push(s, s->chunk_is_last ? COMMAND_BDAT_LAST : COMMAND_BDAT, t,
	    0, buf_len(out) - before, now.us);
	buf_reset(&s->chunk);
	if (s->chunk_is_last) {
		t->last_off = s->pipe.rendered_off;
		log_folding(s, t);
		end_group(s, t);
	}
	return true;
}

static bool
render_body(struct session *s, struct buf *out, struct moment now)
{
	struct transaction *t = s->cur;
	size_t before = buf_len(out);
	enum message_result result =
	    message_read(transaction_message(t), out, CHUNK_OCTETS / 2);

	if (result != MESSAGE_MORE && result != MESSAGE_END) {
		/* After 354 there is no way to take a message back but to
		 * hang up; what was appended must not look like an end. */
		fail_content(s, t, result, now);
		session_hang_up(s, "unreadable message", now);
		return false;
	}
	if (result == MESSAGE_END)
		CHECK(buf_add_str(out, ".\r\n"));
	if (buf_len(out) == before)
		return false; /* no room left in this buffer */
	pipeline_extend(&s->pipe, buf_len(out) - before);
	s->tally->octets += buf_len(out) - before;
	if (result == MESSAGE_END) {
		t->last_off = s->pipe.rendered_off;
		log_folding(s, t);
		session_stop_rendering(s, t);
	}
	return true;
}

static void
render_rset(struct session *s, struct buf *out, int64_t now_us)
{
	size_t before = buf_len(out);

	CHECK(command_rset(out));
	session_push(s, COMMAND_RSET, s->cur, 0, buf_len(out) - before, now_us);
}

/* Not of a message that was refused meanwhile. */
static void
render_data(struct session *s, struct buf *out, struct moment now)
{
	struct transaction *t = s->cur;
	size_t before = buf_len(out);

	if (t->is_failed) {
		session_stop_rendering(s, t);
		session_settle(s, t, now);
		return;
	}
	CHECK(command_data(out));
	session_push(s, COMMAND_DATA, t, 0, buf_len(out) - before, now.us);
	s->step = STEP_WAIT_354;
}

/* The end of a content that nobody is to have. */
static void
render_vain_dot(struct session *s, struct buf *out, int64_t now_us)
{
	size_t before = buf_len(out);

	CHECK(buf_add_str(out, ".\r\n"));
	session_push(s, COMMAND_BODY, s->cur, 0, buf_len(out) - before, now_us);
	session_stop_rendering(s, s->cur);
}

/* One command, or a stretch of content. False: nothing can go now. */
static bool
render_step(
    struct session *s, struct buf *out, size_t pulled, struct moment now)
{
	struct transaction *t = s->cur;

	CHECK(t->state == TRANSACTION_RENDERING);
	switch (s->step) {
	case STEP_RSET:
		render_rset(s, out, now.us);
		s->step = STEP_XFORWARD_CLIENT;
		return true;
	case STEP_XFORWARD_CLIENT:
		render_xforward(
		    s, out, COMMAND_XFORWARD_CLIENT, XFORWARD_CLIENT, now.us);
		s->step = STEP_XFORWARD_PROTOCOL;
		return true;
	case STEP_XFORWARD_PROTOCOL:
		render_xforward(s, out, COMMAND_XFORWARD_PROTOCOL,
		    XFORWARD_PROTOCOL, now.us);
		s->step = STEP_MAIL;
		return true;
	case STEP_MAIL:
		render_mail(s, out, now);
		return true;
	case STEP_RCPT:
		if (t->is_failed) { /* MAIL was refused meanwhile */
			end_group(s, t);
			session_settle(s, t, now);
		} else {
			render_rcpt(s, out, now);
		}
		return true;
	case STEP_DATA:
		render_data(s, out, now);
		return true;
	case STEP_WAIT_354:
		return false;
	case STEP_VAIN_DOT:
		render_vain_dot(s, out, now.us);
		return true;
	case STEP_BODY:
		return render_body(s, out, now);
	case STEP_BDAT:
		return render_bdat(s, out, pulled, now);
	case STEP_LAST_RSET:
		render_rset(s, out, now.us);
		s->needs_rset = false;
		session_stop_rendering(s, t);
		return true;
	}
	return false;
}

static void
render_quit(struct session *s, struct buf *out, int64_t now_us)
{
	size_t before = buf_len(out);

	CHECK(command_quit(out));
	session_push(s, COMMAND_QUIT, NULL, 0, buf_len(out) - before, now_us);
	session_set_state(s, SESSION_QUITTING);
}

/* Room in the pipeline for another command? Content that follows its 354 is
 * none. */
static bool
may_render(const struct session *s)
{
	if (session_is_held(s))
		return false;
	if (s->pipe.count == 0 || (s->cur != NULL && s->step == STEP_BODY))
		return true;
	return s->mode != SESSION_LOCKSTEP && s->pipe.count < COMMANDS_MAX &&
	       pipeline_octets_unanswered(&s->pipe) <
		   (uint64_t)s->set->lane_pipeline_bytes;
}

/* One that belongs to no message. */
static void
render_own_rset(struct session *s, struct buf *out, int64_t now_us)
{
	size_t before = buf_len(out);

	CHECK(command_rset(out));
	session_push(s, COMMAND_RSET, NULL, 0, buf_len(out) - before, now_us);
	s->needs_rset = false;
	session_set_proof(s, PROOF_ASKED);
}

/* It would begin in an open transaction, and the server refuses RSET. */
static void
turn_away(struct session *s, struct transaction *t, int64_t now_us)
{
	struct dsn why;

	dsn_set(&why, "4.5.1", "host %s[%s] refuses RSET", s->peer.host,
	    s->peer.addr);
	session_finish(s, FINISH_NO_RSET, now_us);
	session_give_back(s, t, false, &why, now_us);
}

/* What comes next when no transaction is being rendered; false: nothing. */
static bool
begin_next(struct session *s, struct buf *out, struct moment now)
{
	struct transaction *t = session_next_assigned(s);
	enum session_mode mode = session_next_mode(s, t, now.us);

	/* Nothing stands behind a final dot, or what teaches. */
	if (s->pipe.count > 0 &&
	    (mode >= SESSION_GROUP ||
		(t != NULL && session_teaches(s, t, mode))))
		return false;
	if (t != NULL && s->needs_rset && s->manner->no_rset &&
	    s->pipe.count == 0)
		turn_away(s, t, now.us);
	else if (t != NULL)
		begin(s, t, now);
	else if (session_is_finishing(s))
		render_quit(s, out, now.us);
	else if (s->proof == PROOF_WANTED)
		render_own_rset(s, out, now.us);
	else
		return session_held(s) > 0 && session_ask_for_proof(s, now);
	return true;
}

/* What one step has appended: a command, or content. */
static void
trace(const struct session *s, struct buf *out, size_t from)
{
	struct slice text = buf_slice(out);
	struct pipelined *newest;
	size_t line;

	if (!trace_is_on(&s->peer) || text.n <= from || s->pipe.count == 0)
		return;
	text = slice_of(text.p + from, text.n - from);
	newest = list_entry(s->pipe.awaiting.prev, struct pipelined, link);
	if (newest->kind == COMMAND_AUTH) {
		trace_sent_octets(&s->peer, NULL, text.n, "login, hidden");
		return;
	}
	line = 0;
	if (newest->kind != COMMAND_BODY) {
		const char *end = memchr(text.p, '\n', text.n);

		line = end != NULL ? (size_t)(end + 1 - text.p) : text.n;
		trace_sent(&s->peer, newest->owner, slice_of(text.p, line));
	}
	if (text.n > line)
		trace_sent_octets(
		    &s->peer, newest->owner, text.n - line, "content");
}

void
session_output(
    struct session *s, struct buf *out, size_t max, struct moment now)
{
	size_t before = buf_len(out), at = before;

	session_check_outside(s);
	if (!session_is_over(s) && session_render_login(s, out, now.us)) {
		trace(s, out, at);
		at = buf_len(out);
	}
	while (!session_is_over(s) && s->state != SESSION_QUITTING &&
	       buf_len(out) - before < max && may_render(s) &&
	       (s->cur != NULL ? render_step(s, out, buf_len(out) - before, now)
			       : begin_next(s, out, now))) {
		trace(s, out, at);
		at = buf_len(out);
	}
	trace(s, out, at);
}

void
session_written(struct session *s, size_t n, struct moment now)
{
	/* The link may tell of more than was entered: of content that broke
	 * off in the middle of a pull. Nobody asks any more. */
	session_check_outside(s);
	if (!session_is_over(s))
		pipeline_written(&s->pipe, n, now.us);
}
