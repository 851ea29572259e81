/* Servers that leave a reply out, say one too many, run two together or send
 * what is none, at every stage, in every manner and depth: nothing is taken for
 * sent that was not, nothing is refused that was taken, and what may go twice
 * is said to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/session_place.h"
#include "agent/engine/session_state.h"
#include "test/support/fixture.h"
#include "test/support/session_rig.h"
#include "test/support/session_server.h"

enum tampering {
	NOTHING,
	MISSING,
	EXTRA,
	MERGED,
	GARBAGE,
	CODES_DIFFER,
	TAMPERINGS
};

enum {
	MESSAGES = 60,
	WIRE_MAX = 1 << 20,
	IDLE_MS = 700000,
	BAD_SESSIONS = 100, /* then all is well, so that it ends */
};

struct world {
	struct fixture_random *random;
	struct rig rig;
	struct session_server server;
	struct buf replies; /* as the session will see them */
	enum tampering tampering;
	size_t every, said; /* each so many-th reply */
	int depth;
	bool is_alike; /* "250 ok" to everything */
	const char *const
	    *words; /* NULL: its own; else by enum manner_answer */
	size_t in_doubt, sessions;
};

static void
on_accept(void *ctx, const struct session_server *s, struct slice content)
{
	struct world *w = ctx;
	size_t id;

	(void)content;
	assert_int_equal(sscanf(s->sender, "s%zu", &id), 1);
	w->rig.messages[id - 1]->copies++;
}

static void
tamper(struct world *w, const char *line, size_t n)
{
	struct buf *out = &w->replies;

	switch (w->tampering) {
	case MISSING:
		return;
	case EXTRA:
		assert_true(buf_add(out, line, n));
		break;
	case MERGED:
		assert_true(buf_add(out, line, n - 2));
		return;
	case GARBAGE:
		assert_true(buf_add_str(out, "\x80 no reply\r\n"));
		return;
	case CODES_DIFFER:
		assert_true(
		    buf_addf(out, "450-4.0.0 so\r\n") && buf_add(out, line, n));
		return;
	case NOTHING:
	case TAMPERINGS:
		break;
	}
	assert_true(buf_add(out, line, n));
}

/* What the server of these words says instead of a line of the model's. */
static const char *
reword(const struct world *w, const char *line, size_t n)
{
	static const struct {
		const char *text;
		enum manner_answer answer;
	} kinds[] = {
	    {"reset", ANSWER_RSET},
	    {"sender ok", ANSWER_MAIL},
	    {"recipient", ANSWER_RCPT},
	    {"chunk", ANSWER_CHUNK},
	    {"end of content", ANSWER_END},
	};

	if (line[0] != '2' || line[1] != '5')
		return line;
	if (w->is_alike)
		return "250 ok\r\n";
	for (size_t i = 0; w->words != NULL && i < 5; i++)
		if (memmem(line, n, kinds[i].text, strlen(kinds[i].text)) !=
		    NULL)
			return w->words[kinds[i].answer];
	return line;
}

static void
take_replies(struct world *w)
{
	struct slice all = buf_slice(&w->server.out);

	while (all.n > 0) {
		const char *end = memmem(all.p, all.n, "\r\n", 2);
		size_t n = (size_t)(end - all.p) + 2;
		const char *line = reword(w, all.p, n);

		if (line != all.p)
			n = strlen(line);
		if (w->sessions < BAD_SESSIONS && ++w->said % w->every == 0)
			tamper(w, line, n);
		else
			assert_true(buf_add(&w->replies, line, n));
		n = (size_t)(end - all.p) + 2;
		all = slice_of(all.p + n, all.n - n);
	}
	buf_consume(&w->server.out, buf_len(&w->server.out));
}

static struct rig_message *
next_waiting(struct world *w)
{
	for (size_t i = 0; i < w->rig.count; i++)
		if (w->rig.messages[i]->done == 0 &&
		    !w->rig.messages[i]->is_inside)
			return w->rig.messages[i];
	return NULL;
}

static void
assign(struct world *w)
{
	struct rig_message *m;

	while (
	    session_has_room(w->rig.session, w->depth, 1000, w->rig.now.us) &&
	    (m = next_waiting(w)) != NULL)
		rig_assign(&w->rig, m);
	if (next_waiting(w) == NULL ||
	    session_is_spent(w->rig.session, 1000, w->rig.now.us))
		session_finish(w->rig.session, FINISH_SPENT, w->rig.now.us);
}

/* A reply that is held back in the middle of a line comes later. */
static void
hear(struct world *w)
{
	size_t n = buf_len(&w->replies);

	if (n > 1 && fixture_random_below(w->random, 2) == 0)
		n = 1 + fixture_random_below(w->random, n);
	session_input(w->rig.session, buf_slice(&w->replies).p, n, w->rig.now);
	buf_consume(&w->replies, n);
}

static void
live(struct world *w)
{
	struct slice out;
	size_t idle = 0;

	while (!w->rig.is_over) {
		assign(w);
		out = rig_pull(&w->rig, 65536);
		if (out.n > 0) {
			session_server_feed(&w->server, out.p, out.n);
			rig_write(&w->rig, buf_len(&w->rig.out));
			take_replies(w);
		} else if (buf_len(&w->replies) > 0) {
			hear(w);
		} else if (w->server.is_closed) {
			session_closed(w->rig.session, true, "eof", w->rig.now);
		} else {
			assert_true(idle++ < 10);
			rig_wait(&w->rig, IDLE_MS);
		}
	}
}

static void
run(struct world *w)
{
	while (next_waiting(w) != NULL) {
		assert_true(w->sessions++ < BAD_SESSIONS + MESSAGES);
		session_server_init(&w->server, SERVER_POSTFIX);
		w->server.on_accept = on_accept;
		w->server.ctx = w;
		buf_reset(&w->replies);
		rig_open(&w->rig);
		live(w);
		session_server_fini(&w->server);
	}
}

/* Refused for good, as a whole. */
static bool
is_bad(const struct rig_message *m)
{
	return m->plan.end_code == 550 || m->plan.mail_code == 550 ||
	       (m->plan.rcpts <= 1 && m->plan.rcpt_codes[0] == 550);
}

static void
check_rcpt(struct world *w, const struct rig_message *m, size_t i)
{
	const struct verdict *v = m->req->rcpts[i].verdict;
	bool is_refused = m->plan.rcpt_codes[i] != 0;

	assert_non_null(v);
	if (v->outcome == OUTCOME_BOUNCE)
		assert_true((is_bad(m) && m->copies == 0) ||
			    m->plan.rcpt_codes[i] == 550);
	else if (v->outcome == OUTCOME_SENT)
		assert_true(m->copies == 1);
	else if (!v->dsn.maybe_accepted && !is_refused)
		assert_int_equal(m->copies, 0);
	w->in_doubt += v->dsn.maybe_accepted;
}

static void
check(struct world *w)
{
	for (size_t i = 0; i < w->rig.count; i++) {
		struct rig_message *m = w->rig.messages[i];

		for (size_t k = 0; k < m->req->rcpt_count; k++)
			check_rcpt(w, m, k);
		assert_true(m->copies <= 1);
	}
	if (w->tampering == NOTHING)
		assert_int_equal(w->in_doubt, 0);
}

/* Without refusals in between it would not matter whose reply is believed. */
static void
add_message(struct world *w)
{
	struct rig_plan plan = {0};
	int code = fixture_random_below(w->random, 2) == 0 ? 451 : 550;

	switch (fixture_random_below(w->random, 16)) {
	case 0:
		plan.mail_code = code;
		break;
	case 1:
		plan.rcpt_codes[0] = code;
		break;
	case 2:
	case 3:
	case 4:
		plan.end_code = code;
		break;
	case 5:
		plan.rcpts = 3;
		break;
	case 6:
	case 7:
		plan.rcpts = 2;
		plan.rcpt_codes[fixture_random_below(w->random, 2)] = code;
		break;
	default:
		break;
	}
	(void)rig_add(&w->rig, &plan);
}

static void
try(struct fixture_random *random, enum session_mode mode,
    enum tampering tampering, int depth, size_t every, bool is_alike)
{
	struct world w = {.random = random,
	    .tampering = tampering,
	    .depth = depth,
	    .every = every,
	    .is_alike = is_alike};

	rig_init(&w.rig, mode == SESSION_GROUP ? SESSION_OVERLAP : mode);
	manner_init(&w.rig.manner);
	w.rig.manner.fastest = mode;
	buf_init(&w.replies, WIRE_MAX);
	for (size_t i = 0; i < MESSAGES; i++)
		add_message(&w);
	run(&w);
	check(&w);
	rig_fini(&w.rig);
	buf_fini(&w.replies);
}

static void
nothing_is_believed_that_did_not_happen(void **state)
{
	static const int depths[] = {1, 10, 50};
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (int mode = SESSION_BDAT; mode <= SESSION_LOCKSTEP; mode++)
		for (int kind = NOTHING; kind < TAMPERINGS; kind++)
			for (size_t d = 0; d < 3; d++)
				for (size_t every = 4; every < 40; every++)
					try(&random, (enum session_mode)mode,
					    (enum tampering)kind, depths[d],
					    every, every % 5 == 0);
}

/* Words of four kinds, drawn from few, so that what one server says to one
 * kind of command another one says to another. */
static void
draw_words(struct fixture_random *random, const char *words[ANSWER_KINDS])
{
	static const char *const some[] = {
	    "250 ok\r\n", "250 fine\r\n", "250 2.0.0 so\r\n", "250 well\r\n"};

	for (int a = 0; a < ANSWER_KINDS; a++)
		words[a] = some[fixture_random_below(random, 4)];
}

static void
try_words(struct fixture_random *random, enum tampering tampering, int depth,
    size_t every, bool is_stranger)
{
	static const enum manner_answer remembered[] = {
	    ANSWER_RSET, ANSWER_MAIL, ANSWER_RCPT, ANSWER_END};
	const char *words[ANSWER_KINDS], *others[ANSWER_KINDS];
	struct world w = {.random = random,
	    .tampering = tampering,
	    .depth = depth,
	    .every = every,
	    .words = words};

	draw_words(random, words);
	draw_words(random, others);
	rig_init(&w.rig, SESSION_BDAT);
	manner_init(&w.rig.manner);
	for (size_t i = 0; is_stranger && i < 4; i++)
		rig_teach(&w.rig, remembered[i], others[remembered[i]]);
	buf_init(&w.replies, WIRE_MAX);
	for (size_t i = 0; i < MESSAGES; i++)
		add_message(&w);
	run(&w);
	if (is_stranger && tampering == NOTHING)
		w.tampering = EXTRA; /* in doubt, and said to be */
	check(&w);
	rig_fini(&w.rig);
	buf_fini(&w.replies);
}

static void
try_all_words(bool is_stranger)
{
	static const int depths[] = {1, 10, 50};
	struct fixture_random random;

	fixture_random_init(&random);
	for (int kind = NOTHING; kind < TAMPERINGS; kind++)
		for (size_t d = 0; d < 3; d++)
			for (size_t every = 4; every < 40; every++)
				try_words(&random, (enum tampering)kind,
				    depths[d], every, is_stranger);
}

static void
no_server_is_misheard_whatever_its_words(void **state)
{
	(void)state;
	try_all_words(false);
}

/* The host has another server than the one whose words are remembered. */
static void
words_of_another_server_prove_nothing(void **state)
{
	(void)state;
	try_all_words(true);
}

/* ---- one reply ------------------------------------------------------------
 */

/* Wordings; none is a learned one of the manner below. */
enum { OF_RSET = 1, OF_MAIL, OF_RCPT, OF_CHUNK, OF_END, OF_TWO, OF_NONE };

struct weighing {
	enum command_kind kind; /* what waits for the reply */
	int sent_code, code; /* of the server, of smtp_reply_filter */
	uint64_t wording;
	bool is_behind_refusal, knows_xforward;
	enum place want;
};

static enum place
weigh(const struct weighing *w)
{
	struct manner manner;
	struct session s = {.manner = &manner};
	struct reply reply = {.sent_code = w->sent_code, .code = w->code};
	enum place place;

	manner_init(&manner);
	manner_learn(&manner, ANSWER_RSET, OF_RSET);
	manner_learn(&manner, ANSWER_MAIL, OF_MAIL);
	manner_learn(&manner, ANSWER_MAIL, OF_TWO);
	manner_learn(&manner, ANSWER_RCPT, OF_RCPT);
	manner_learn(&manner, ANSWER_RCPT, OF_TWO);
	manner_learn(&manner, ANSWER_CHUNK, OF_CHUNK);
	manner_learn(&manner, ANSWER_END, OF_END);
	if (w->knows_xforward)
		manner_learn(&manner, ANSWER_XFORWARD, OF_NONE + 1);
	pipeline_init(&s.pipe);
	pipeline_push(&s.pipe, COMMAND_BDAT_LAST, NULL, 0, 10, 1);
	pipeline_answered(&s.pipe, 2);
	pipeline_push(&s.pipe, w->kind, NULL, 0, 6, 3);
	if (w->is_behind_refusal)
		s.refused_off = s.pipe.answered_off;
	place = session_weigh(&s, &reply, w->wording);
	pipeline_fini(&s.pipe);
	return place;
}

static void
a_reply_says_where_it_stands(void **state)
{
	static const struct weighing cases[] = {
	    /* A wording that only its own command was answered with. */
	    {COMMAND_RSET, 250, 250, OF_RSET, .want = PLACE_PROVEN},
	    {COMMAND_BDAT_LAST, 250, 250, OF_END, .want = PLACE_PROVEN},
	    {COMMAND_DATA, 354, 354, OF_NONE, .want = PLACE_PROVEN},
	    /* Not so after smtp_reply_filter has had it: it says the same of
	     * many. Only 354 is the server's. */
	    {COMMAND_RSET, 450, 250, OF_RSET, .want = PLACE_UNKNOWN},
	    {COMMAND_RSET, 450, 250, OF_END, .want = PLACE_UNKNOWN},
	    {COMMAND_DATA, 354, 450, OF_NONE, .want = PLACE_PROVEN},
	    {COMMAND_DATA, 250, 354, OF_NONE, .want = PLACE_UNKNOWN},
	    /* The end of data's, where no end of data is. */
	    {COMMAND_RSET, 250, 250, OF_END, .want = PLACE_LOST},
	    {COMMAND_MAIL, 250, 250, OF_END, .want = PLACE_LOST},
	    /* "250 ok" may be said to one more chunk, or to a command that was
	     * never answered so far. */
	    {COMMAND_BDAT, 250, 250, OF_END, .want = PLACE_UNKNOWN},
	    {COMMAND_XFORWARD_CLIENT, 250, 250, OF_END, .want = PLACE_UNKNOWN},
	    {COMMAND_XFORWARD_CLIENT, 250, 250, OF_END, .knows_xforward = true,
		.want = PLACE_LOST},
	    /* RSET's is told from an envelope's, others' are not. */
	    {COMMAND_RSET, 250, 250, OF_MAIL, .want = PLACE_LOST},
	    {COMMAND_RSET, 250, 250, OF_CHUNK, .want = PLACE_UNKNOWN},
	    {COMMAND_MAIL, 250, 250, OF_RCPT, .want = PLACE_UNKNOWN},
	    {COMMAND_BDAT_LAST, 250, 250, OF_RCPT, .want = PLACE_UNKNOWN},
	    /* Of several, or never met, it says nothing; ... */
	    {COMMAND_RCPT, 250, 250, OF_TWO, .want = PLACE_UNKNOWN},
	    {COMMAND_RSET, 250, 250, OF_NONE, .want = PLACE_UNKNOWN},
	    /* ... but behind what was refused only RSET is taken. */
	    {COMMAND_RSET, 250, 250, OF_NONE, .is_behind_refusal = true,
		.want = PLACE_PROVEN},
	    {COMMAND_MAIL, 250, 250, OF_NONE, .is_behind_refusal = true,
		.want = PLACE_UNKNOWN},
	    {COMMAND_RSET, 502, 502, OF_NONE, .is_behind_refusal = true,
		.want = PLACE_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (weigh(&cases[i]) != cases[i].want)
			fail_msg("case %zu: %d instead of %d", i,
			    weigh(&cases[i]), cases[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_reply_says_where_it_stands),
	    cmocka_unit_test(no_server_is_misheard_whatever_its_words),
	    cmocka_unit_test(words_of_another_server_prove_nothing),
	    cmocka_unit_test(nothing_is_believed_that_did_not_happen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
