/* Sessions with a server that says anything, at any time, in any portions, and
 * with a lane that does what a lane may do, from inside of callbacks too. Each
 * message leaves exactly once, what is accepted was written to its last octet,
 * nothing is told after the end, and no CHECK fires.
 *
 * The input: what was offered and is set, then deeds.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/session.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/fuzz/mail.h"

enum {
	MAILS_MAX = 8,
	OUT_MAX = 4 << 20,
	/* What session_output() may append beyond what it is asked for. */
	OUT_BEYOND = 2 * 65536,
	QUOTA = 20,
	DEPTH = 3,
};

struct world {
	struct settings set;
	struct ehlo ehlo;
	struct peer peer;
	struct manner manner;
	struct session *session; /* NULL: none is open */
	struct mail *mails[MAILS_MAX];
	size_t count;
	struct moment now;
	struct buf out; /* rendered, not written */
	uint64_t written;
	bool is_over;
	unsigned mood; /* what callbacks do */
};

static const char *const replies[] = {
    "250 2.0.0 ok\r\n",
    "354 go\r\n",
    "550 5.1.1 no\r\n",
    "450 4.2.1 later\r\n",
    "421 4.3.2 bye\r\n",
    "503 5.5.1 bad sequence\r\n",
    "250-a\r\n250 b\r\n",
    "221 2.0.0 bye\r\n",
    "253 hm\r\n",
    "999 x\r\n",
    "552 5.3.4 too big\r\n",
    "354-a\r\n250 x\r\n",
    "451 4.7.1 slow down\r\n",
    "\r\n",
    "550-x\n550 y\n",
    "250 2.0.0 flushed\r\n",
    "250 2.1.0 sender ok\r\n",
    "250 2.1.5 recipient ok\r\n",
    "250 2.6.0 queued as 4FuzzId\r\n",
    "250 2.6.0 1 octets received\r\n",
    "500 5.5.2 what\r\n",
    "garbage\r\n250 ok\r\n",
    "250 2.0.0 flushed\r\n250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n",
    "250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 ok\r\n",
};

/* The lane finishes sessions whenever it is told something. */
static void
meddle(struct world *w, unsigned place)
{
	if ((w->mood & 1u << place) != 0)
		session_finish(w->session, FINISH_USED_UP, w->now.us);
}

static void
check_verdict(
    const struct world *w, const struct transaction *t, const struct verdict *v)
{
	CHECK(dsn_status_is_valid(v->dsn.status));
	for (const char *c = v->dsn.text; *c != '\0'; c++)
		CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
	if (v->outcome != OUTCOME_SENT)
		return;
	CHECK(v->dsn.status[0] == '2' && t->mail == MAIL_ACCEPTED);
	if (request_is_probe(t->req))
		return;
	CHECK(t->last_off > 0 && w->written >= t->last_off);
	CHECK(t->rcpts_accepted > 0);
}

static void
on_done(void *ctx, struct transaction *t)
{
	struct world *w = ctx;

	CHECK(t->state == TRANSACTION_DONE && transaction_undecided(t) == 0);
	for (size_t i = 0; i < t->count; i++)
		check_verdict(w, t, t->req->rcpts[t->rcpts[i]].verdict);
	mail_on_left(mail_of(t), t);
	meddle(w, 0);
}

static void
on_returned(void *ctx, struct transaction *t, bool is_its_fault)
{
	struct world *w = ctx;

	(void)is_its_fault;
	CHECK(t->state == TRANSACTION_WAITING && t->last_error != NULL);
	CHECK(t->count > 0 && transaction_undecided(t) == t->count);
	t->goes_on = false;
	mail_on_left(mail_of(t), t);
	meddle(w, 1);
}

static void
on_ended(void *ctx, enum session_end end, bool is_clean, const char *why)
{
	struct world *w = ctx;

	(void)end;
	(void)is_clean;
	CHECK(!w->is_over && why != NULL && session_load(w->session) == 0);
	w->is_over = true;
	meddle(w, 2);
}

static void
on_changed(void *ctx)
{
	struct world *w = ctx;

	CHECK(!w->is_over);
	meddle(w, 3);
}

static void
on_rendering(void *ctx, struct transaction *t, bool begins)
{
	struct world *w = ctx;
	struct mail *m = mail_of(t);

	(void)begins;
	CHECK(m->is_inside[mail_part(m, t)] || session_is_over(w->session));
	meddle(w, 4);
}

static enum meaning
judge(void *ctx, struct transaction *t, enum command_kind kind,
    const struct reply *reply, enum meaning meaning, struct moment now)
{
	static const enum meaning meanings[] = {
	    MEANING_LATER, MEANING_DEFER, MEANING_BOUNCE, MEANING_ELSEWHERE};
	struct world *w = ctx;

	(void)t;
	(void)kind;
	(void)reply;
	(void)now;
	meddle(w, 5);
	return (w->mood & 64) != 0 ? meanings[w->mood >> 7 & 3] : meaning;
}

static const struct session_ops ops = {
    .on_done = on_done,
    .on_returned = on_returned,
    .on_ended = on_ended,
    .on_changed = on_changed,
    .on_rendering = on_rendering,
    .judge = judge,
};

/* ---- the world ---------------------------------------------------------- */

static void
teach(struct manner *manner, enum manner_answer answer, const char *text)
{
	struct reply_parser parser;
	size_t used;

	reply_parser_init(&parser);
	CHECK(reply_feed(&parser, text, strlen(text), &used) == REPLY_DONE);
	manner_learn(manner, answer, manner_wording(reply_get(&parser)));
	reply_parser_fini(&parser);
}

static void
set_up(struct world *w, struct input *in)
{
	static char rcpt[] = "rcpt", data[] = "data";
	struct settings *set = &w->set;
	unsigned f = input_octet(in), g = input_octet(in), h = input_octet(in);

	set->lane_chunking = (f & 1) != 0;
	set->lane_pipeline_bytes = (f & 2) != 0 ? 4096 : 1 << 20;
	set->smtp_address_verify_target = (f & 4) != 0 ? data : rcpt;
	set->smtp_send_dummy_mail_auth = (f & 8) != 0;
	set->requiretls_enable = (f & 16) != 0;
	set->lane_connection_age_limit_us = 900 * US_PER_S;
	set->smtp_line_length_limit = (g & 1) != 0 ? 998 : (int)(g & 0x3e);
	set->smtp_rset_timeout_us = 20 * US_PER_S;
	set->smtp_mail_timeout_us = set->smtp_rcpt_timeout_us = 30 * US_PER_S;
	set->smtp_data_init_timeout_us = set->smtp_data_xfer_timeout_us =
	    60 * US_PER_S;
	set->smtp_data_done_timeout_us = 60 * US_PER_S;
	set->smtp_per_request_deadline = (h & 1) != 0;
	set->smtp_min_data_rate = 500;
	w->ehlo = (struct ehlo){
	    .is_esmtp = true,
	    .pipelining = (f & 32) != 0,
	    .chunking = (f & 64) != 0,
	    .dsn = (f & 128) != 0,
	    .size_offered = (g & 4) != 0,
	    .size_limit = (g & 8) != 0 ? 3000 : 0,
	    .auth = (g & 16) != 0,
	    .requiretls = (g & 32) != 0,
	    .eightbitmime = (g & 64) != 0,
	    .smtputf8 = (g & 128) != 0,
	};
	(void)snprintf(w->peer.host, sizeof(w->peer.host), "mx.test");
	(void)snprintf(w->peer.addr, sizeof(w->peer.addr), "192.0.2.1");
	(void)snprintf(w->peer.port, sizeof(w->peer.port), "25");
	w->peer.is_verified = (g & 2) != 0;
	manner_init(&w->manner);
	if ((h & 2) != 0)
		teach(&w->manner, ANSWER_RSET, "250 2.0.0 flushed\r\n");
	if ((h & 4) != 0)
		teach(&w->manner, ANSWER_MAIL, "250 2.1.0 sender ok\r\n");
	if ((h & 8) != 0)
		teach(&w->manner, ANSWER_RCPT, "250 2.1.5 recipient ok\r\n");
	if ((h & 16) != 0)
		teach(
		    &w->manner, ANSWER_END, "250 2.6.0 queued as 4FuzzId\r\n");
	w->now.us = 1000 * US_PER_S;
	w->now.wall.tv_sec = 1700000000;
	buf_init(&w->out, OUT_MAX);
}

static void
open_session(struct world *w)
{
	w->is_over = false;
	w->written = 0;
	buf_reset(&w->out);
	w->session = session_new(
	    &w->set, &w->manner, &w->ehlo, &w->peer, &ops, w, w->now.us);
}

static void
close_session(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		for (size_t k = 0; k < MAIL_PARTS; k++)
			CHECK(!w->mails[i]->is_inside[k]);
	CHECK(session_deadline_us(w->session) == INT64_MAX);
	session_free(&w->session);
}

/* ---- deeds -------------------------------------------------------------- */

static void
assign_new(struct world *w, struct input *in)
{
	if (w->count == MAILS_MAX)
		return;
	w->mails[w->count] =
	    mail_new(in, w->set.smtp_line_length_limit, w->now.us);
	mail_assign(w->mails[w->count++], w->session, w->now);
}

static void
assign_again(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		mail_assign(w->mails[i], w->session, w->now);
}

static void
withdraw(struct world *w)
{
	struct transaction *t = session_unsent(w->session);
	struct mail *m;

	if (t == NULL)
		return;
	m = mail_of(t);
	CHECK(session_withdraw(w->session, t));
	m->is_inside[mail_part(m, t)] = false;
}

static void
pull(struct world *w, size_t max)
{
	size_t before = buf_len(&w->out);

	/* The link asks for more when half of it is gone. */
	if (before > 65536)
		return;
	session_output(w->session, &w->out, max, w->now);
	CHECK(buf_ok(&w->out));
	CHECK(buf_len(&w->out) - before <= max + OUT_BEYOND);
}

static void
write_out(struct world *w, size_t n)
{
	buf_consume(&w->out, n);
	if (!w->is_over)
		w->written += n;
	session_written(w->session, n, w->now);
}

static void
pass_time(struct world *w, int64_t us)
{
	int64_t due = session_deadline_us(w->session);
	bool was_over = w->is_over;

	w->now.us += us;
	session_on_timer(w->session, w->now);
	CHECK(w->is_over == (was_over || due <= w->now.us));
}

static void
say(struct world *w, struct slice s)
{
	session_input(w->session, s.p, s.n, w->now);
}

static void
do_rare(struct world *w, unsigned which)
{
	switch (which) {
	case 0:
		session_closed(w->session, true, "closed", w->now);
		break;
	case 1:
		session_closed(w->session, false, "reset", w->now);
		break;
	case 2:
		session_abort(w->session, "abort", w->now);
		break;
	case 3:
		session_finish(w->session, FINISH_IDLE, w->now.us);
		break;
	case 4:
		withdraw(w);
		break;
	case 5:
		pass_time(w, session_deadline_us(w->session) == INT64_MAX
				 ? US_PER_MS
				 : session_deadline_us(w->session) - w->now.us);
		break;
	case 6:
		assign_again(w);
		break;
	default:
		(void)session_has_room(w->session, DEPTH, QUOTA, w->now.us);
		break;
	}
}

static void
do_one(struct world *w, struct input *in)
{
	unsigned deed = input_octet(in), more = deed / 16;

	switch (deed % 16) {
	case 0:
	case 1:
		assign_new(w, in);
		break;
	case 2:
	case 3:
		pull(w, 1 + (size_t)more * 4000);
		break;
	case 4:
		write_out(w, buf_len(&w->out));
		break;
	case 5:
		write_out(w, buf_len(&w->out) * (input_octet(in) + 1) / 256);
		break;
	case 6:
		pull(w, 65536);
		write_out(w, buf_len(&w->out));
		break;
	case 7:
	case 8:
	case 9:
		say(w,
		    slice_str(replies[input_octet(in) %
				      (sizeof(replies) / sizeof(replies[0]))]));
		break;
	case 10:
		say(w, slice_str(replies[more]));
		break;
	case 11:
		say(w, input_take(in, input_octet(in)));
		break;
	case 12:
		pass_time(w, (int64_t)input_octet(in) *
				 (more % 2 != 0 ? US_PER_S : 10 * US_PER_MS));
		break;
	case 13:
		w->mood = input_octet(in) | more << 8;
		break;
	default:
		do_rare(w, more % 8);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct world w = {0};

	set_up(&w, &in);
	while (in.n > 0) {
		if (w.session == NULL)
			open_session(&w);
		do_one(&w, &in);
		if (session_is_over(w.session)) {
			CHECK(w.is_over);
			do_one(&w, &in); /* nothing more comes of it */
			close_session(&w);
		}
	}
	if (w.session != NULL) {
		session_abort(w.session, "end", w.now);
		close_session(&w);
	}
	for (size_t i = 0; i < w.count; i++)
		mail_free(&w.mails[i]);
	buf_fini(&w.out);
	return 0;
}
