#include "agent/engine/session.h"

#include <string.h>

#include "agent/engine/session_end.h"
#include "agent/engine/session_place.h"
#include "agent/engine/session_state.h"
#include "agent/engine/session_verdict.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct session *
session_new(const struct settings *set, struct manner *manner,
    const struct ehlo *ehlo, const struct peer *peer,
    const struct session_ops *ops, void *ctx, int64_t now_us)
{
	struct session *s = mem_zalloc(sizeof(*s));

	CHECK(ops->on_done != NULL && ops->on_returned != NULL);
	CHECK(ops->on_ended != NULL && ops->on_changed != NULL);
	s->set = set;
	s->ops = ops;
	s->ctx = ctx;
	s->probes_end_at_data =
	    strcmp(set->smtp_address_verify_target, "data") == 0;
	s->ehlo = *ehlo;
	s->peer = *peer;
	s->manner = manner;
	s->tally = &s->own_tally;
	s->bdp = &s->own_bdp;
	s->mode = session_next_mode(s, NULL, now_us);
	list_init(&s->inside);
	buf_init(&s->chunk, CHUNK_OCTETS);
	buf_init(&s->auth, AUTH_OCTETS);
	pipeline_init(&s->pipe);
	if (set->smtp_per_request_deadline)
		s->pipe.min_per_s = set->smtp_min_data_rate;
	reply_parser_init(&s->parser);
	reply_parser_rewrite(
	    &s->parser, peer->replies, peer->host, peer->addr, peer->port);
	s->born_us = s->idle_since_us = now_us;
	s->request_deadline_us = INT64_MAX;
	return s;
}

void
session_free(struct session **s)
{
	struct session *old = *s;

	*s = NULL;
	if (old == NULL)
		return;
	session_check_outside(old);
	CHECK(list_is_empty(&old->inside));
	session_free_held_421(&old->held_421);
	pipeline_fini(&old->pipe);
	reply_parser_fini(&old->parser);
	buf_fini(&old->chunk);
	buf_fini_secret(&old->auth);
	mem_free(old);
}

void
session_count_in(struct session *s, struct session_tally *tally)
{
	s->tally = tally != NULL ? tally : &s->own_tally;
}

void
session_measure_in(struct session *s, struct bdp *bdp)
{
	s->bdp = bdp;
}

const struct peer *
session_peer(const struct session *s)
{
	return &s->peer;
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
session_idle_since_us(const struct session *s)
{
	return s->idle_since_us;
}

uint64_t
session_octets_unanswered(const struct session *s)
{
	return pipeline_octets_unanswered(&s->pipe);
}

/* Messages that may be inside at once. */
static size_t
window(const struct session *s, int depth, int64_t now_us)
{
	enum session_mode mode = session_next_mode(s, NULL, now_us);

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
session_is_old(const struct session *s, int64_t now_us)
{
	return now_us - s->born_us >= s->set->lane_connection_age_limit_us;
}

bool
session_is_spent(const struct session *s, int quota, int64_t now_us)
{
	return s->messages >= quota || session_is_old(s, now_us);
}

bool
session_has_room(const struct session *s, int depth, int quota, int64_t now_us)
{
	size_t most = window(s, depth, now_us);

	if (s->login == SESSION_LOGIN_LEADS && s->is_login_alone)
		return false;
	/* Those held are answered, and in doubt should the stream break. */
	return !session_is_finishing(s) &&
	       !session_is_spent(s, quota, now_us) && s->load < 2 * most &&
	       s->load - session_held(s) < most &&
	       pipeline_octets_unanswered(&s->pipe) <
		   (uint64_t)s->set->lane_pipeline_bytes;
}

/* ---- assigning --------------------------------------------------------------
 */

/* In smtp(8)'s words. */
static struct verdict *
refuse_requiretls(const struct session *s, enum requiretls wanted,
    const struct verdict_source *from)
{
	const struct peer *peer = &s->peer;

	if (wanted == REQUIRETLS_ERROR)
		return verdict_local(OUTCOME_DEFER, from, "4.7.10",
		    "REQUIRETLS policy configuration error. The last attempted "
		    "server was %s",
		    peer->host);
	if (wanted != REQUIRETLS_ENFORCE && wanted != REQUIRETLS_STARTTLS)
		return NULL;
	if (!peer->is_tls)
		return verdict_local(OUTCOME_BOUNCE, from, "5.7.30",
		    "Sender requested REQUIRETLS, but TLS service was not "
		    "offered by host %s[%s]",
		    peer->host, peer->addr);
	if (wanted == REQUIRETLS_STARTTLS)
		return NULL;
	if (!peer->is_matched)
		return verdict_local(OUTCOME_BOUNCE, from, "5.7.10",
		    "Sender requested REQUIRETLS, but no matching server "
		    "certificate was found. The last attempted server was "
		    "%s[%s]",
		    peer->host, peer->addr);
	if (!s->ehlo.requiretls)
		return verdict_local(OUTCOME_BOUNCE, from, "5.7.30",
		    "Sender requested REQUIRETLS, but no server was found that "
		    "supports REQUIRETLS. The last attempted server was %s[%s]",
		    peer->host, peer->addr);
	return NULL;
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
	return refuse_requiretls(s, session_requiretls(s, req), from);
}

void
session_assign(struct session *s, struct transaction *t, struct moment now)
{
	struct verdict_source from = session_source(s, t, now);
	struct verdict *refusal = refuse_locally(s, t, &from);

	session_check_outside(s);
	CHECK(!session_is_finishing(s));
	CHECK(t->count > 0 && transaction_undecided(t) == t->count);
	transaction_set_state(t, TRANSACTION_ASSIGNED);
	list_remove(&t->link);
	list_push(&s->inside, &t->link);
	s->load++;
	if (t->req->deadline_us < s->request_deadline_us)
		s->request_deadline_us = t->req->deadline_us;
	for (size_t i = 0; i < t->count; i++) {
		request_set_rcpt_state(t->req, t->rcpts[i], RCPT_IN_FLIGHT);
		t->req->rcpts[t->rcpts[i]].decided_off = 0;
	}
	if (refusal != NULL) {
		session_decide_all(s, t, refusal->outcome, &refusal->dsn, now);
		verdict_free(&refusal);
		session_complete(s, t, now.us);
		return;
	}
	s->messages++;
	session_tell_changed(s);
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
	session_check_outside(s);
	if (t->state != TRANSACTION_ASSIGNED || !is_inside(s, t))
		return false;
	CHECK(s->messages > 0);
	s->messages--;
	session_detach(s, t, s->idle_since_us);
	transaction_reset(t);
	return true;
}

/* ---- endings ----------------------------------------------------------------
 */

void
session_closed(
    struct session *s, bool is_eof, const char *text, struct moment now)
{
	session_check_outside(s);
	if (session_is_over(s) || session_close_by_held_421(s, true, now))
		return;
	session_let_go_held(s, LOSS_CONNECTION, now);
	if (list_is_empty(&s->inside) &&
	    (s->state == SESSION_QUITTING || s->pipe.count == 0)) {
		session_end(s, SESSION_END_QUIT, is_eof, text, now);
		return;
	}
	session_lose(s, SESSION_END_LOST, LOSS_CONNECTION, text, now);
}

static int64_t
stage_timeout_us(const struct session *s, const struct pipelined *c)
{
	const struct settings *set = s->set;

	switch (c->kind) {
	case COMMAND_AUTH:
		return set->smtp_helo_timeout_us; /* as in a dial */
	case COMMAND_RSET:
		return set->smtp_rset_timeout_us;
	case COMMAND_XFORWARD_CLIENT:
	case COMMAND_XFORWARD_PROTOCOL:
		return set->smtp_xforward_timeout_us;
	case COMMAND_MAIL:
		return set->smtp_mail_timeout_us;
	case COMMAND_RCPT:
		return set->smtp_rcpt_timeout_us;
	case COMMAND_DATA:
		return set->smtp_data_init_timeout_us;
	case COMMAND_BDAT:
		return set->smtp_data_xfer_timeout_us;
	case COMMAND_BODY:
	case COMMAND_BDAT_LAST:
		return pipelined_is_written(&s->pipe, c) &&
			       (s->cur == NULL || s->cur != c->owner)
			   ? set->smtp_data_done_timeout_us
			   : set->smtp_data_xfer_timeout_us;
	case COMMAND_QUIT:
		break;
	}
	/* Unless it is to prove something. */
	return session_held(s) > 0 ? set->smtp_rset_timeout_us : QUIT_WAIT_US;
}

int64_t
session_deadline_us(const struct session *s)
{
	struct pipelined *oldest = pipeline_oldest(&s->pipe);
	int64_t due = s->request_deadline_us;

	if (session_is_over(s))
		return INT64_MAX;
	if (oldest != NULL) {
		int64_t stage =
		    s->pipe.timer_from_us + stage_timeout_us(s, oldest);

		if (stage < due)
			due = stage;
		if (session_is_held(s) && s->held_us + HELD_421_WAIT_US < due)
			due = s->held_us + HELD_421_WAIT_US;
	} else if (session_is_finishing(s) && s->load == 0) {
		int64_t from = s->finishing_since_us > s->idle_since_us
				   ? s->finishing_since_us
				   : s->idle_since_us;

		due = from + QUIT_WAIT_US;
	}
	return due;
}

void
session_on_timer(struct session *s, struct moment now)
{
	session_check_outside(s);
	if (session_is_over(s) || now.us < session_deadline_us(s) ||
	    session_close_by_held_421(s, false, now))
		return;
	if (s->load == session_held(s) && session_is_finishing(s) &&
	    (s->pipe.count == 0 || s->state == SESSION_QUITTING)) {
		session_let_go_held(s, LOSS_TIMEOUT, now);
		session_end(
		    s, SESSION_END_QUIT, false, "no answer to QUIT", now);
	} else {
		session_lose(
		    s, SESSION_END_TIMEOUT, LOSS_TIMEOUT, "timed out", now);
	}
}
