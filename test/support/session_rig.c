#include "test/support/session_rig.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/message.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

enum { OUT_MAX = 4 << 20, FILE_MAX_OCTETS = 64 << 20 };

static char verify_rcpt[] = "rcpt";

static void
on_done(void *ctx, struct transaction *t)
{
	struct rig *rig = ctx;
	struct rig_message *m = t->req->owner;

	assert_true(m->is_inside);
	assert_int_equal(m->done, 0);
	assert_int_equal(transaction_undecided(t), 0);
	if (!session_is_over(rig->session))
		assert_int_equal(t->commands_unanswered, 0);
	assert_false(list_is_linked(&t->link));
	m->is_inside = false;
	m->done++;
	if (rig->on_left != NULL)
		rig->on_left(rig->ctx, m);
}

static void
on_returned(void *ctx, struct transaction *t, bool is_its_fault)
{
	struct rig *rig = ctx;
	struct rig_message *m = t->req->owner;

	assert_true(m->is_inside);
	assert_int_equal(m->done, 0);
	assert_true(t->count > 0);
	assert_int_equal(transaction_undecided(t), t->count);
	for (size_t i = 0; i < t->count; i++)
		assert_int_equal(
		    t->req->rcpts[t->rcpts[i]].state, RCPT_WAITING);
	assert_int_equal(t->state, TRANSACTION_WAITING);
	assert_false(list_is_linked(&t->link));
	assert_non_null(t->last_error);
	assert_int_equal(dsn_class(t->last_error), '4');
	m->is_inside = false;
	m->returned++;
	m->faults += is_its_fault;
	m->was_fault = is_its_fault;
	if (rig->on_left != NULL)
		rig->on_left(rig->ctx, m);
}

static void
on_ended(void *ctx, enum session_end end, bool is_clean, const char *why)
{
	struct rig *rig = ctx;

	assert_false(rig->is_over);
	assert_true(session_is_over(rig->session));
	assert_int_equal(session_load(rig->session), 0);
	for (size_t i = 0; i < rig->count; i++)
		assert_false(rig->messages[i]->is_inside);
	rig->is_over = true;
	rig->end = end;
	rig->is_clean = is_clean;
	(void)snprintf(rig->why, sizeof(rig->why), "%s", why);
}

static void
on_changed(void *ctx)
{
	struct rig *rig = ctx;

	assert_false(rig->is_over);
	rig->is_kicked = true;
}

static enum meaning
judge(void *ctx, struct transaction *t, enum command_kind kind,
    const struct reply *reply, enum meaning meaning, struct moment now)
{
	const struct rig *rig = ctx;
	char text[256];

	(void)t;
	(void)kind;
	(void)now;
	reply_text(reply, text, sizeof(text));
	return rig->later != NULL && strstr(text, rig->later) != NULL
		   ? MEANING_LATER
		   : meaning;
}

static void
on_login(void *ctx, enum session_login_news news, int code, struct moment now)
{
	static const char *const names[] = {
	    [LOGIN_ACCEPTED] = "accepted",
	    [LOGIN_PROVEN] = "proven",
	    [LOGIN_REFUSED] = "refused",
	    [LOGIN_MISPLACED] = "misplaced",
	    [LOGIN_CUT] = "cut",
	};
	struct rig *rig = ctx;
	size_t n = strlen(rig->login_news);

	(void)code;
	(void)now;
	assert_false(rig->is_over);
	(void)snprintf(rig->login_news + n, sizeof(rig->login_news) - n, "%s%s",
	    n > 0 ? " " : "", names[news]);
}

static const struct session_ops ops = {
    .on_done = on_done,
    .on_returned = on_returned,
    .on_ended = on_ended,
    .on_changed = on_changed,
    .judge = judge,
    .on_login = on_login,
};

void
rig_init(struct rig *rig, enum session_mode mode)
{
	*rig = (struct rig){0};
	rig->set.lane_chunking = true;
	rig->set.lane_pipeline_bytes = 1 << 20;
	rig->set.lane_connection_age_limit_us = 900 * US_PER_S;
	rig->set.smtp_line_length_limit = 998;
	rig->set.smtp_address_verify_target = verify_rcpt;
	rig->set.smtp_rset_timeout_us = 20 * US_PER_S;
	rig->set.smtp_mail_timeout_us = 300 * US_PER_S;
	rig->set.smtp_rcpt_timeout_us = 301 * US_PER_S;
	rig->set.smtp_data_init_timeout_us = 120 * US_PER_S;
	rig->set.smtp_data_xfer_timeout_us = 180 * US_PER_S;
	rig->set.smtp_data_done_timeout_us = 600 * US_PER_S;
	rig->ehlo.is_esmtp = true;
	rig->ehlo.pipelining = mode != SESSION_LOCKSTEP;
	rig->ehlo.chunking = mode == SESSION_BDAT;
	(void)snprintf(rig->peer.host, sizeof(rig->peer.host), "mx.test");
	(void)snprintf(rig->peer.addr, sizeof(rig->peer.addr), "192.0.2.1");
	(void)snprintf(rig->peer.port, sizeof(rig->peer.port), "25");
	rig->now.us = 1000 * US_PER_S;
	rig->now.wall.tv_sec = 1700000000;
	buf_init(&rig->out, OUT_MAX);
	manner_init(&rig->manner);
	rig_teach(rig, ANSWER_RSET, RIG_RSET);
	rig_teach(rig, ANSWER_MAIL, RIG_MAIL);
	rig_teach(rig, ANSWER_RCPT, RIG_RCPT);
	rig_teach(rig, ANSWER_END, RIG_TAKEN);
	rig->manner.is_confirmed = true;
}

void
rig_teach(struct rig *rig, enum manner_answer answer, const char *reply)
{
	struct reply_parser parser;
	size_t used;

	reply_parser_init(&parser);
	assert_int_equal(
	    reply_feed(&parser, reply, strlen(reply), &used), REPLY_DONE);
	manner_learn(&rig->manner, answer, manner_wording(reply_get(&parser)));
	reply_parser_fini(&parser);
}

static void
free_message(struct rig_message *m)
{
	transaction_free(&m->t);
	request_free(&m->req);
	buf_fini(&m->file);
	buf_fini(&m->octets);
	mem_free(m);
}

void
rig_fini(struct rig *rig)
{
	if (rig->session != NULL && !rig->is_over)
		session_abort(rig->session, "end of test", rig->now);
	session_free(&rig->session);
	for (size_t i = 0; i < rig->count; i++)
		free_message(rig->messages[i]);
	buf_fini(&rig->out);
}

void
rig_open(struct rig *rig)
{
	assert_true(rig->session == NULL || rig->is_over);
	session_free(&rig->session);
	buf_reset(&rig->out);
	rig->is_over = rig->is_kicked = false;
	rig->login_news[0] = '\0';
	rig->session = session_new(&rig->set, &rig->manner, &rig->ehlo,
	    &rig->peer, &ops, rig, rig->now.us);
}

/* One line, in the queue file and as it goes over the wire. */
static void
put_line(struct rig_message *m, const char *text)
{
	(void)queue_put_str(&m->file, RECORD_TYPE_NORM, text);
	assert_true(buf_add_str(&m->octets, text));
	assert_true(buf_add_str(&m->octets, "\r\n"));
}

/* First and last line name the message; in between are lines of any length,
 * many with a dot in front, none long enough to be folded. */
static void
make_content(struct rig_message *m)
{
	char line[901];
	size_t left = m->plan.octets, n;

	(void)snprintf(line, sizeof(line), "id: %zu", m->id);
	put_line(m, line);
	for (size_t i = 0; left > 0; i++) {
		n = (i * 131 + m->id * 17) % 900;
		if (n > left)
			n = left;
		memset(line, 'a' + (int)((i + m->id) % 26), n);
		line[n] = '\0';
		if (n > 0 && i % 3 == 0)
			line[0] = '.';
		put_line(m, line);
		left -= n > 0 ? n : 1;
	}
	(void)snprintf(line, sizeof(line), "end of %zu", m->id);
	put_line(m, line);
	if (!m->plan.is_corrupt)
		(void)queue_put_str(&m->file, RECORD_TYPE_XTRA, "");
}

static void
make_addresses(struct rig_message *m)
{
	struct buf b;

	buf_init(&b, RIG_TEXT_SIZE - 1);
	assert_true(buf_addf(&b, "s%zu", m->id));
	if (m->plan.mail_code != 0)
		assert_true(buf_addf(&b, ".m%d", m->plan.mail_code));
	if (m->plan.data_code != 0)
		assert_true(buf_addf(&b, ".d%d", m->plan.data_code));
	if (m->plan.end_code != 0)
		assert_true(buf_addf(&b, ".e%d", m->plan.end_code));
	assert_true(buf_add_str(&b, "@from.test"));
	(void)snprintf(m->sender, sizeof(m->sender), "%s",
	    m->plan.sender != NULL ? m->plan.sender : buf_str(&b));
	buf_fini(&b);
	for (size_t i = 0; i < m->plan.rcpts; i++) {
		int code = m->plan.rcpt_codes[i];

		(void)snprintf(m->rcpts[i], sizeof(m->rcpts[i]),
		    "r%zu.%zu.%d@to.test", m->id, i, code != 0 ? code : 250);
	}
	if (m->plan.rcpt != NULL)
		(void)snprintf(
		    m->rcpts[0], sizeof(m->rcpts[0]), "%s", m->plan.rcpt);
}

static void
make_request(struct rig_message *m, const struct rig *rig)
{
	struct request *req = mem_zalloc(sizeof(*req));

	req->queue_name = "active";
	req->queue_id = "4TestId";
	req->nexthop = "mx.test";
	req->encoding = ENCODING_7BIT;
	req->sender = m->sender;
	req->envelope_id = req->sasl_username = "";
	req->flags = m->plan.flags;
	req->sendopts = m->plan.sendopts;
	req->deadline_us = INT64_MAX;
	req->size = (int64_t)buf_len(&m->octets);
	req->rcpt_count = req->rcpt_due = m->plan.rcpts;
	req->rcpts = mem_zarray(m->plan.rcpts, sizeof(*req->rcpts));
	for (size_t i = 0; i < m->plan.rcpts; i++) {
		req->rcpts[i].address = m->rcpts[i];
		req->rcpts[i].original = req->rcpts[i].orcpt = "";
	}
	if (!request_is_probe(req)) {
		queue_source_init(&m->source, buf_slice(&m->file));
		if (m->plan.is_unreadable)
			m->source.fail_at = (int64_t)buf_len(&m->file) - 4;
		req->message = message_new(queue_source_of(&m->source), 0,
		    rig->set.smtp_line_length_limit);
	}
	req->owner = m;
	m->req = req;
}

struct rig_message *
rig_add(struct rig *rig, const struct rig_plan *plan)
{
	struct rig_message *m = mem_zalloc(sizeof(*m));

	assert_true(rig->count < RIG_MESSAGES_MAX);
	rig->messages[rig->count++] = m;
	m->id = rig->count;
	m->plan = *plan;
	if (m->plan.rcpts == 0)
		m->plan.rcpts = 1;
	buf_init(&m->file, FILE_MAX_OCTETS);
	buf_init(&m->octets, FILE_MAX_OCTETS);
	make_content(m);
	make_addresses(m);
	make_request(m, rig);
	m->t = transaction_new(m->req, rig->now.us);
	return m;
}

void
rig_assign(struct rig *rig, struct rig_message *m)
{
	assert_false(m->is_inside);
	m->is_inside = true;
	session_assign(rig->session, m->t, rig->now);
}

struct rig_message *
rig_send(struct rig *rig)
{
	struct rig_plan plan = {0};
	struct rig_message *m = rig_add(rig, &plan);

	rig_assign(rig, m);
	return m;
}

struct slice
rig_pull(struct rig *rig, size_t max)
{
	size_t before = buf_len(&rig->out);
	struct slice all;

	session_output(rig->session, &rig->out, max, rig->now);
	if (buf_len(&rig->out) == before)
		rig->is_kicked = false;
	all = buf_slice(&rig->out);
	return slice_of(all.p + before, all.n - before);
}

void
rig_write(struct rig *rig, size_t n)
{
	buf_consume(&rig->out, n);
	session_written(rig->session, n, rig->now);
}

void
rig_expect(struct rig *rig, const char *text)
{
	while (!rig->is_over && rig_pull(rig, 65536).n > 0)
		continue;
	assert_string_equal(buf_str(&rig->out), text);
	rig_write(rig, buf_len(&rig->out));
}

void
rig_say(struct rig *rig, const char *text)
{
	session_input(rig->session, text, strlen(text), rig->now);
}

void
rig_wait(struct rig *rig, int64_t ms)
{
	rig->now.us += ms * US_PER_MS;
	rig->now.wall.tv_sec += ms / 1000;
	session_on_timer(rig->session, rig->now);
}

void
rig_check(const struct rig_message *m, size_t i, enum outcome outcome, int code,
    const char *status, const char *text)
{
	const struct verdict *v = m->req->rcpts[i].verdict;

	assert_false(m->is_inside);
	assert_non_null(v);
	assert_string_equal(v->dsn.status, status);
	assert_int_equal(v->dsn.smtp_code, code);
	assert_int_equal(v->outcome, outcome);
	if (text != NULL)
		assert_string_equal(v->dsn.text, text);
}

void
rig_check_sent(const struct rig_message *m)
{
	assert_int_equal(m->done, 1);
	for (size_t i = 0; i < m->req->rcpt_count; i++) {
		assert_non_null(m->req->rcpts[i].verdict);
		assert_int_equal(
		    m->req->rcpts[i].verdict->outcome, OUTCOME_SENT);
	}
}

void
rig_check_returned(const struct rig_message *m, int faults)
{
	assert_int_equal(m->done, 0);
	assert_int_equal(m->returned, 1);
	assert_int_equal(m->faults, faults);
}

void
rig_check_over(const struct rig *rig, enum session_end end, bool is_clean)
{
	assert_true(rig->is_over);
	assert_int_equal(rig->end, end);
	assert_int_equal(rig->is_clean, is_clean);
}
