/* Sessions against the model server, with everything left to chance: what the
 * messages are like, how much is pulled, written, served and delivered at a
 * time, and in which order. Each run prints nothing unless it fails; the seed
 * printed at the start repeats all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/session_state.h"
#include "common/base/log.h"
#include "test/support/session_rig.h"
#include "test/support/session_server.h"

enum { SENT_MAX = 64 << 20, MESSAGES_MAX = 30, STEPS_MAX = 20000000 };

enum fault {
	FAULT_NONE,
	FAULT_CUT, /* the connection breaks at any octet */
	FAULT_421, /* in reply to any command */
	FAULT_QUOTA, /* 421 after some messages */
};

struct world {
	struct fixture_random *random;
	struct rig rig;
	struct session_server server;
	enum server_kind kind;
	enum fault fault;
	bool is_tight; /* small buffers on the way */
	bool says_354_always, refuses_early;
	uint64_t size_limit;
	int depth, quota;
	struct buf wire; /* written, not yet at the server */
	struct buf sent; /* all that was written in this session */
	struct rig_message *first; /* in doubt for a 421 */
	size_t sessions, nested, violations, in_doubt, returned, quits;
	size_t steps;
};

static size_t
below(struct world *w, size_t n)
{
	return fixture_random_below(w->random, n);
}

static bool
chance(struct world *w, size_t one_in)
{
	return below(w, one_in) == 0;
}

static bool
is_in(const struct buf *b, const char *text)
{
	struct slice s = buf_slice(b);

	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

/* The last octet of its content was written in this session. */
static bool
was_fully_written(const struct world *w, const struct rig_message *m)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "end of %zu\r\n%s", m->id,
	    w->rig.session->mode == SESSION_BDAT ? "" : ".\r\n");
	return is_in(&w->sent, text);
}

static void
on_left(void *ctx, struct rig_message *m)
{
	struct world *w = ctx;

	if (m->done == 0) {
		w->returned++;
		assert_int_equal(m->copies, 0);
		if (m->t->last_error->smtp_code != 421)
			assert_false(was_fully_written(w, m));
		return;
	}
	for (size_t i = 0; i < m->req->rcpt_count; i++) {
		const struct verdict *v = m->req->rcpts[i].verdict;

		if (v->dsn.maybe_accepted) {
			w->in_doubt++;
			assert_true(was_fully_written(w, m));
		}
	}
}

/* The server took a message: all of it must be of one message. */
static void
on_accept(void *ctx, const struct session_server *s, struct slice content)
{
	struct world *w = ctx;
	struct rig_message *m;
	size_t id, i, rcpt_id;

	assert_int_equal(sscanf(s->sender, "s%zu", &id), 1);
	m = w->rig.messages[id - 1];
	assert_string_equal(s->sender, m->sender);
	assert_int_equal(content.n, buf_len(&m->octets));
	assert_memory_equal(content.p, buf_slice(&m->octets).p, content.n);
	assert_true(m->is_inside);
	assert_false(request_is_probe(m->req));
	m->copies++;
	for (size_t k = 0; k < s->rcpt_count; k++) {
		assert_int_equal(
		    sscanf(s->rcpts[k], "r%zu.%zu", &rcpt_id, &i), 2);
		assert_int_equal(rcpt_id, id);
		assert_false(m->taken[i]);
		m->taken[i] = true;
	}
}

static void
collect(struct world *w)
{
	w->nested += w->server.nested;
	w->violations += w->server.violations;
	w->quits += w->server.quits;
	session_server_fini(&w->server);
}

static void
open_session(struct world *w)
{
	/* Faults stop after a while, so that everything comes to an end. */
	enum fault fault = w->sessions < 12 ? w->fault : FAULT_NONE;

	if (w->sessions++ > 0)
		collect(w);
	session_server_init(&w->server, w->kind);
	w->server.on_accept = on_accept;
	w->server.ctx = w;
	w->server.says_354_always = w->says_354_always;
	w->server.refuses_early = w->refuses_early;
	w->server.size_limit = w->size_limit;
	w->server.forbids_pipelining = !w->rig.ehlo.pipelining;
	if (fault == FAULT_CUT)
		w->server.close_at_octet =
		    below(w, chance(w, 3) ? 100000 : 1500);
	if (fault == FAULT_421)
		w->server.bye_at_command = 1 + below(w, 40);
	if (w->fault == FAULT_QUOTA)
		w->server.messages_max = 5;
	buf_reset(&w->wire);
	buf_reset(&w->sent);
	rig_open(&w->rig);
}

static struct rig_message *
next_waiting(struct world *w)
{
	for (size_t i = 0; i < w->rig.count; i++) {
		struct rig_message *m = w->rig.messages[i];

		if (m->done == 0 && !m->is_inside)
			return m;
	}
	return NULL;
}

static bool
assign(struct world *w)
{
	struct session *s = w->rig.session;
	struct rig_message *m = next_waiting(w);

	if (m != NULL &&
	    session_has_room(s, w->depth, w->quota, w->rig.now.us)) {
		rig_assign(&w->rig, m);
		assert_true(session_load(s) <= 2 * (size_t)w->depth);
		return true;
	}
	if (!session_is_finishing(s) &&
	    (m == NULL || session_is_spent(s, w->quota, w->rig.now.us))) {
		session_finish(s, FINISH_SPENT, w->rig.now.us);
		return true;
	}
	return false;
}

static bool
pull(struct world *w)
{
	static const size_t sizes[] = {1, 100, 3000, 65536};
	size_t n;

	if (!w->rig.is_kicked || buf_len(&w->rig.out) > 0)
		return false;
	n = rig_pull(&w->rig, sizes[below(w, 4)]).n;
	assert_true(n < 150000);
	/* After a 354 the whole content goes: it is no matter of the window. */
	if (!w->rig.is_over && w->rig.session->mode == SESSION_BDAT)
		assert_true(session_octets_unanswered(w->rig.session) <
			    (uint64_t)w->rig.set.lane_pipeline_bytes + 75000);
	/* With nothing to send messages may have left all the same. */
	return true;
}

static bool
write_some(struct world *w)
{
	size_t n = buf_len(&w->rig.out), max = w->is_tight ? 300 : 100000;
	size_t room = max - buf_len(&w->wire);
	struct slice s = buf_slice(&w->rig.out);

	/* What is written after the end was reached goes nowhere. */
	if (w->server.is_closed)
		room = n;
	if (n == 0 || room == 0)
		return false;
	n = 1 + below(w, n < room ? n : room);
	assert_true(buf_add(&w->sent, s.p, n));
	if (!w->server.is_closed)
		assert_true(buf_add(&w->wire, s.p, n));
	rig_write(&w->rig, n);
	return true;
}

static bool
serve(struct world *w)
{
	size_t n = buf_len(&w->wire);

	if (n == 0 || w->server.is_closed)
		return false;
	/* It writes into a full buffer, and reads no more. */
	if (w->is_tight && buf_len(&w->server.out) > 200)
		return false;
	n = 1 + below(w, w->is_tight && n > 50 ? 50 : n);
	session_server_feed(&w->server, buf_slice(&w->wire).p, n);
	buf_consume(&w->wire, n);
	return true;
}

static bool
deliver(struct world *w)
{
	size_t n = buf_len(&w->server.out);

	if (n == 0)
		return false;
	n = chance(w, 3) ? 1 : 1 + below(w, n);
	session_input(
	    w->rig.session, buf_slice(&w->server.out).p, n, w->rig.now);
	buf_consume(&w->server.out, n);
	return true;
}

static bool
notice_end(struct world *w)
{
	if (!w->server.is_closed)
		return false;
	/* A reset takes with it what was not read. */
	if (w->fault == FAULT_CUT && chance(w, 4))
		buf_reset(&w->server.out);
	if (buf_len(&w->server.out) > 0)
		return false;
	session_closed(w->rig.session, chance(w, 2), "gone", w->rig.now);
	return true;
}

static void
step(struct world *w)
{
	static bool (*const actions[])(struct world *) = {
	    assign, pull, write_some, serve, deliver, notice_end};
	size_t first = below(w, 6);

	for (size_t i = 0; i < 6; i++) {
		if (w->rig.is_over)
			return;
		if (actions[(first + i) % 6](w)) {
			assert_true(w->steps++ < STEPS_MAX);
			return;
		}
	}
	if (!w->rig.is_over)
		fail_msg("stuck with %zu messages inside",
		    session_load(w->rig.session));
}

static void
run(struct world *w)
{
	while (next_waiting(w) != NULL) {
		open_session(w);
		while (!w->rig.is_over)
			step(w);
	}
	collect(w);
}

/* ---- what should have become of it ------------------------------------- */

static enum outcome
outcome_of(int code)
{
	return code == 250       ? OUTCOME_SENT
	       : code / 100 == 5 ? OUTCOME_BOUNCE
				 : OUTCOME_DEFER;
}

static bool
has_accepted_rcpt(const struct rig_message *m)
{
	for (size_t i = 0; i < m->plan.rcpts; i++)
		if (session_server_rcpt_code(m->rcpts[i]) == 250)
			return true;
	return false;
}

/* The reply that decides about recipient i; 0: nobody's but ours. */
static int
deciding_code(
    const struct world *w, const struct rig_message *m, size_t i, bool in_rcpt)
{
	int code = session_server_rcpt_code(m->rcpts[i]);

	if (m->plan.mail_code != 0)
		return m->plan.mail_code;
	if (code != 250 || in_rcpt || !has_accepted_rcpt(m))
		return code;
	if (m->plan.data_code != 0)
		return m->plan.data_code;
	/* It gives the answer to the first of several chunks. */
	if (w->refuses_early && w->rig.ehlo.chunking && m->plan.octets > 70000)
		return 552;
	return m->plan.end_code != 0 ? m->plan.end_code : 250;
}

static bool
is_too_big(const struct world *w, const struct rig_message *m)
{
	return w->size_limit > 0 && (uint64_t)m->req->size > w->size_limit;
}

static void
check_recipient(struct world *w, struct rig_message *m, size_t i)
{
	const struct verdict *v = m->req->rcpts[i].verdict;
	bool is_probe = request_is_probe(m->req);
	int code = deciding_code(w, m, i, is_probe);

	assert_non_null(v);
	assert_int_equal(m->taken[i] && !v->dsn.maybe_accepted,
	    v->outcome == OUTCOME_SENT && !is_probe);
	if (v->dsn.maybe_accepted) {
		/* 421 in the place of the reply that would have told whose the
		 * answer to the end of a first message is. */
		if (w->fault == FAULT_421 && w->first == NULL)
			w->first = m;
		assert_true(w->fault == FAULT_CUT || w->first == m);
		assert_int_equal(v->outcome, OUTCOME_DEFER);
		assert_string_equal(v->dsn.status, "4.4.2");
		return;
	}
	if (is_too_big(w, m)) {
		assert_string_equal(v->dsn.status, "5.3.4");
		assert_int_equal(v->outcome, OUTCOME_BOUNCE);
		return;
	}
	if ((m->plan.is_corrupt || m->plan.is_unreadable) &&
	    v->dsn.smtp_code == 0) {
		assert_string_equal(
		    v->dsn.status, m->plan.is_corrupt ? "5.3.0" : "4.3.0");
		return;
	}
	if ((m->plan.is_corrupt || m->plan.is_unreadable) && !is_probe)
		assert_int_not_equal(v->outcome, OUTCOME_SENT);
	/* By DATA it is judged at its end. */
	if (w->refuses_early && code == 552 && v->dsn.smtp_code != 552)
		code = m->plan.end_code != 0 ? m->plan.end_code : 250;
	assert_int_equal(v->dsn.smtp_code, code);
	assert_int_equal(v->outcome, outcome_of(code));
	if (v->outcome != OUTCOME_SENT)
		assert_non_null(strstr(v->dsn.text, "(in reply to "));
}

static void
check_results(struct world *w)
{
	for (size_t i = 0; i < w->rig.count; i++) {
		struct rig_message *m = w->rig.messages[i];

		assert_int_equal(m->done, 1);
		assert_true(m->copies <= 1);
		for (size_t k = 0; k < m->req->rcpt_count; k++)
			check_recipient(w, m, k);
	}
	assert_int_equal(w->nested, 0);
	assert_int_equal(w->violations, 0);
}

/* ---- worlds ------------------------------------------------------------ */

static int
some_code(struct world *w)
{
	static const int codes[] = {450, 451, 452, 550, 552, 554};

	return codes[below(w, 6)];
}

static void
add_message(struct world *w, bool may_fail)
{
	struct rig_plan plan = {.rcpts = 1 + below(w, chance(w, 8) ? 60 : 3)};

	plan.octets = below(w, chance(w, 12) ? 200000 : 3000);
	if (plan.octets > 40000 && plan.octets < 80000)
		plan.octets = 40000; /* one chunk or several: no doubt */
	if (may_fail && chance(w, 3)) {
		size_t all = chance(w, 2) ? plan.rcpts : below(w, plan.rcpts);

		switch (below(w, 7)) {
		case 0:
			plan.mail_code = some_code(w);
			break;
		case 1:
		case 2:
			for (size_t i = 0; i < all; i++)
				plan.rcpt_codes[i] = some_code(w);
			break;
		case 3:
			plan.data_code = some_code(w);
			break;
		case 4:
			plan.end_code = some_code(w);
			break;
		case 5:
			plan.is_corrupt = chance(w, 2);
			plan.is_unreadable = !plan.is_corrupt;
			break;
		default:
			plan.flags = REQUEST_MTA_VRFY;
			break;
		}
	}
	(void)rig_add(&w->rig, &plan);
}

static void
start(struct world *w, struct fixture_random *random, enum session_mode mode,
    enum server_kind kind, bool may_fail)
{
	size_t count;

	*w = (struct world){.random = random, .kind = kind, .quota = 1000};
	rig_init(&w->rig, mode);
	manner_init(&w->rig.manner); /* it learns */
	w->rig.on_left = on_left;
	w->rig.ctx = w;
	buf_init(&w->wire, SENT_MAX);
	buf_init(&w->sent, SENT_MAX);
	w->depth = 1 + (int)below(w, chance(w, 2) ? 4 : 30);
	w->is_tight = chance(w, 3);
	w->says_354_always = chance(w, 3);
	w->refuses_early = may_fail && chance(w, 3);
	if (chance(w, 3)) {
		w->rig.ehlo.size_offered = true;
		w->size_limit = w->rig.ehlo.size_limit =
		    may_fail ? 100000 : 1000000;
	}
	if (chance(w, 3))
		w->rig.set.lane_pipeline_bytes = 1000;
	count = 1 + below(w, MESSAGES_MAX);
	for (size_t i = 0; i < count; i++)
		add_message(w, may_fail);
}

static void
finish(struct world *w)
{
	rig_fini(&w->rig);
	buf_fini(&w->wire);
	buf_fini(&w->sent);
}

static const enum session_mode modes[] = {
    SESSION_BDAT, SESSION_OVERLAP, SESSION_LOCKSTEP};

static struct fixture_random chances;

static void
every_envelope_and_verdict_is_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < 600; i++) {
		struct world w;

		start(&w, &chances, modes[i % 3],
		    i / 3 % 2 == 0 ? SERVER_POSTFIX : SERVER_EXIM, true);
		run(&w);
		check_results(&w);
		assert_int_equal(w.in_doubt, 0);
		finish(&w);
	}
}

static void
healthy_messages_need_one_session_and_no_return(void **state)
{
	(void)state;
	for (size_t i = 0; i < 150; i++) {
		struct world w;

		start(&w, &chances, modes[i % 3], SERVER_POSTFIX, false);
		run(&w);
		check_results(&w);
		assert_int_equal(w.sessions, 1);
		assert_int_equal(w.returned, 0);
		assert_int_equal(w.quits, 1);
		finish(&w);
	}
}

static void
cut_anywhere_loses_nothing_and_repeats_only_what_is_in_doubt(void **state)
{
	size_t in_doubt = 0, returned = 0, sessions = 0;

	(void)state;
	for (size_t i = 0; i < 400; i++) {
		struct world w;

		start(&w, &chances, modes[i % 3],
		    i / 3 % 2 == 0 ? SERVER_POSTFIX : SERVER_EXIM, i % 2 == 0);
		w.fault = FAULT_CUT;
		run(&w);
		check_results(&w);
		in_doubt += w.in_doubt;
		returned += w.returned;
		sessions += w.sessions;
		finish(&w);
	}
	print_message("%zu sessions, %zu recipients in doubt, %zu returned\n",
	    sessions, in_doubt, returned);
	assert_true(in_doubt > 0 && returned > 0 && sessions > 1000);
}

static void
reply_421_anywhere_defers_no_message_but_a_first(void **state)
{
	size_t returned = 0;

	(void)state;
	for (size_t i = 0; i < 400; i++) {
		struct world w;

		start(&w, &chances, modes[i % 3],
		    i / 3 % 2 == 0 ? SERVER_POSTFIX : SERVER_EXIM, i % 2 == 0);
		w.fault = FAULT_421;
		run(&w);
		check_results(&w);
		returned += w.returned;
		finish(&w);
	}
	assert_true(returned > 0);
}

static void
provider_that_closes_after_5_messages_defers_nobody(void **state)
{
	(void)state;
	for (size_t i = 0; i < 150; i++) {
		struct world w;

		start(&w, &chances, modes[i % 3], SERVER_POSTFIX, false);
		w.fault = FAULT_QUOTA;
		if (i % 2 == 0)
			w.quota = 5; /* known: never overrun */
		run(&w);
		check_results(&w);
		if (i % 2 == 0)
			assert_int_equal(w.returned, 0);
		for (size_t k = 0; k < w.rig.count; k++)
			assert_int_equal(w.rig.messages[k]->faults, 0);
		finish(&w);
	}
}

/* Replies that make no sense at all, whole or cut anywhere. */
static void
any_octets_are_survived(void **state)
{
	static const char *const words[] = {"250 ok\r\n", "250-more\r\n",
	    "354 go\r\n", "421 bye\r\n", "503 nested\r\n", "550 5.1.1 no\r\n",
	    "450 later\r\n", "\r\n", "garbage\r\n", "2", "999 x\r\n",
	    "221 bye\r\n", "250\n", "\377\0", "000 0\r\n"};

	(void)state;
	for (size_t i = 0; i < 3000; i++) {
		struct world w;

		start(&w, &chances, modes[i % 3], SERVER_POSTFIX, true);
		w.rig.on_left = NULL;
		rig_open(&w.rig);
		for (size_t k = 0; k < 200 && !w.rig.is_over; k++) {
			(void)assign(&w);
			(void)pull(&w);
			if (!w.rig.is_over && buf_len(&w.rig.out) > 0)
				rig_write(
				    &w.rig, 1 + below(&w, buf_len(&w.rig.out)));
			if (!w.rig.is_over)
				rig_say(&w.rig,
				    words[chance(&w, 4) ? below(&w, 15) : 0]);
			if (!w.rig.is_over && chance(&w, 50))
				rig_wait(&w.rig, 400000);
		}
		if (!w.rig.is_over)
			session_closed(w.rig.session, true, "x", w.rig.now);
		for (size_t k = 0; k < w.rig.count; k++)
			assert_false(w.rig.messages[k]->is_inside);
		finish(&w);
	}
}

static void
drop_log(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "%s\n", line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_envelope_and_verdict_is_right),
	    cmocka_unit_test(healthy_messages_need_one_session_and_no_return),
	    cmocka_unit_test(
		cut_anywhere_loses_nothing_and_repeats_only_what_is_in_doubt),
	    cmocka_unit_test(reply_421_anywhere_defers_no_message_but_a_first),
	    cmocka_unit_test(
		provider_that_closes_after_5_messages_defers_nobody),
	    cmocka_unit_test(any_octets_are_survived),
	};

	log_set_sink(drop_log, NULL);
	fixture_random_init(&chances);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
