/* Lives of a session, a transaction and a recipient: each move that is allowed
 * and each that is not; and what may not be done to a session from inside of
 * its callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/session_end.h"
#include "agent/engine/session_state.h"
#include "test/support/death.h"
#include "test/support/session_rig.h"

/* ---- moves ------------------------------------------------------------- */

/* One object in a state, and a move to try. */
struct subject {
	void *object;
	int from, to;
};

/* moves: a text for each state, one character for each to go to. */
static void
check_moves(const char *const *moves, size_t states, void (*set)(void *, int),
    void (*try)(void *arg), void *object)
{
	for (size_t from = 0; from < states; from++) {
		assert_int_equal(strlen(moves[from]), states);
		for (size_t to = 0; to < states; to++) {
			struct subject subject = {object, (int)from, (int)to};

			set(object, (int)from);
			assert_int_equal(death_by_check(try, &subject),
			    moves[from][to] != 'x');
		}
	}
	set(object, 0);
}

/* As if a 421 were held in every state. */
static void
put_session(void *object, int state)
{
	static struct reply reply;
	struct session *s = object;

	s->state = (enum session_state)state;
	s->held_421 = state == 0 ? NULL : &reply;
}

static void
try_session(void *arg)
{
	const struct subject *subject = arg;

	session_set_state(subject->object, (enum session_state)subject->to);
}

static void
a_session_makes_only_the_moves_of_its_life(void **state)
{
	static const char *const moves[] = {
	    [SESSION_OPEN] = "-x---x-",
	    [SESSION_FINISHING] = "--xx-x-",
	    [SESSION_QUITTING] = "----xx-",
	    [SESSION_HELD_FINISHING] = "-x---x-",
	    [SESSION_HELD_QUITTING] = "--x--x-",
	    [SESSION_ENDING] = "------x",
	    [SESSION_OVER] = "-------",
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	check_moves(
	    moves, SESSION_OVER + 1, put_session, try_session, rig.session);
	rig_fini(&rig);
}

static void
put_proof(void *object, int proof)
{
	((struct session *)object)->proof = (enum session_proof)proof;
}

static void
try_proof(void *arg)
{
	const struct subject *subject = arg;

	session_set_proof(subject->object, (enum session_proof)subject->to);
}

static void
proof_is_wanted_before_it_is_asked_for(void **state)
{
	static const char *const moves[] = {
	    [PROOF_NOT_ASKED] = "-x-",
	    [PROOF_WANTED] = "x-x",
	    [PROOF_ASKED] = "x--",
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	check_moves(moves, PROOF_ASKED + 1, put_proof, try_proof, rig.session);
	rig_fini(&rig);
}

static void
put_transaction(void *object, int state)
{
	((struct transaction *)object)->state = (enum transaction_state)state;
}

static void
try_transaction(void *arg)
{
	const struct subject *subject = arg;

	transaction_set_state(
	    subject->object, (enum transaction_state)subject->to);
}

static void
a_transaction_makes_only_the_moves_of_its_life(void **state)
{
	static const char *const moves[] = {
	    [TRANSACTION_WAITING] = "-x----",
	    [TRANSACTION_ASSIGNED] = "x-x--x",
	    [TRANSACTION_RENDERING] = "x--x-x",
	    [TRANSACTION_AWAITING] = "x---xx",
	    [TRANSACTION_HELD] = "x----x",
	    [TRANSACTION_DONE] = "------",
	};
	struct rig_plan plan = {0};
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	check_moves(moves, TRANSACTION_DONE + 1, put_transaction,
	    try_transaction, rig_add(&rig, &plan)->t);
	rig_fini(&rig);
}

/* From RCPT_DECIDED on there is a verdict. */
static void
put_recipient(void *object, int state)
{
	struct request *req = object;

	verdict_free(&req->rcpts[0].verdict);
	if (state >= RCPT_DECIDED)
		req->rcpts[0].verdict = verdict_new(OUTCOME_SENT);
	req->rcpts[0].state = (enum rcpt_state)state;
}

static void
try_recipient(void *arg)
{
	const struct subject *subject = arg;
	struct request *req = subject->object;

	if (subject->to == RCPT_DECIDED)
		request_decide(req, 0, verdict_new(OUTCOME_DEFER));
	else if (subject->from == RCPT_DECIDED && subject->to < RCPT_DECIDED) {
		verdict_free(&req->rcpts[0].verdict);
		request_set_rcpt_state(req, 0, (enum rcpt_state)subject->to);
	} else
		request_set_rcpt_state(req, 0, (enum rcpt_state)subject->to);
}

static void
a_recipient_makes_only_the_moves_of_its_life(void **state)
{
	static const char *const moves[] = {
	    [RCPT_WAITING] = "-xx--",
	    [RCPT_IN_FLIGHT] = "x-x--",
	    [RCPT_DECIDED] = "-x-x-",
	    [RCPT_HANDED_OVER] = "----x",
	    [RCPT_REPORTED] = "-----",
	};
	struct rig_plan plan = {0};
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	check_moves(moves, RCPT_REPORTED + 1, put_recipient, try_recipient,
	    rig_add(&rig, &plan)->req);
	rig_fini(&rig);
}

static void
decide_what_is_not_there(void *arg)
{
	struct request *req = arg;

	request_decide(req, req->rcpt_count, verdict_new(OUTCOME_SENT));
}

static void
undecide_what_was_handed_over(void *arg)
{
	request_undecide(arg, 0);
}

static void
decide_without_verdict(void *arg)
{
	request_set_rcpt_state(arg, 0, RCPT_DECIDED);
}

static void
a_verdict_is_of_somebody_and_stays_when_it_is_told(void **state)
{
	struct rig_plan plan = {0};
	struct rig rig;
	struct request *req;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	req = rig_add(&rig, &plan)->req;
	assert_true(death_by_check(decide_what_is_not_there, req));
	assert_true(death_by_check(decide_without_verdict, req));
	request_decide(req, 0, verdict_new(OUTCOME_SENT));
	assert_false(death_by_check(undecide_what_was_handed_over, req));
	request_set_rcpt_state(req, 0, RCPT_HANDED_OVER);
	assert_true(death_by_check(undecide_what_was_handed_over, req));
	rig_fini(&rig);
}

/* ---- what may be done to a session, and when --------------------------- */

static void
assign_message(void *arg)
{
	struct rig *rig = arg;

	session_assign(rig->session, rig->messages[0]->t, rig->now);
}

static void
only_who_waits_is_assigned_and_only_to_an_open_session(void **state)
{
	struct rig_plan plan = {0};
	struct rig rig;
	struct rig_message *m;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	assert_false(death_by_check(assign_message, &rig));
	rig_assign(&rig, m);
	assert_true(death_by_check(assign_message, &rig));
	assert_true(session_withdraw(rig.session, m->t));
	m->is_inside = false;
	session_finish(rig.session, FINISH_IDLE, rig.now.us);
	assert_true(death_by_check(assign_message, &rig));
	rig_fini(&rig);
}

static void
free_session(void *arg)
{
	struct rig *rig = arg;

	session_free(&rig->session);
}

static void
free_transaction(void *arg)
{
	struct rig *rig = arg;

	transaction_free(&rig->messages[0]->t);
}

static void
nothing_is_freed_while_somebody_has_it(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	(void)rig_send(&rig);
	assert_true(death_by_check(free_session, &rig));
	assert_true(death_by_check(free_transaction, &rig));
	rig_fini(&rig);
}

static void
finish_for_no_reason(void *arg)
{
	struct rig *rig = arg;

	session_finish(rig->session, FINISH_NONE, rig->now.us);
}

static void
the_first_reason_to_finish_stays(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	assert_int_equal(session_finish_reason(rig.session), FINISH_NONE);
	assert_true(death_by_check(finish_for_no_reason, &rig));
	session_finish(rig.session, FINISH_WANTED, rig.now.us);
	session_finish(rig.session, FINISH_IDLE, rig.now.us);
	assert_int_equal(session_finish_reason(rig.session), FINISH_WANTED);
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, "221 2.0.0 bye\r\n");
	rig_check_over(&rig, SESSION_END_QUIT, true);
	assert_string_equal(rig.why, "its place is needed for other mail");
	assert_int_equal(session_finish_reason(rig.session), FINISH_WANTED);
	rig_fini(&rig);
}

static void
every_reason_to_finish_has_words(void **state)
{
	(void)state;
	for (int why = FINISH_NONE; why <= FINISH_NO_RSET; why++)
		assert_true(strlen(session_finish_words(
				(enum session_finish_reason)why)) > 0);
}

/* ---- from inside of a callback ----------------------------------------- */

/* What a handler does to its session. */
enum deed {
	DEED_NOTHING,
	DEED_FINISH,
	DEED_INPUT,
	DEED_OUTPUT,
	DEED_WRITTEN,
	DEED_CLOSED,
	DEED_TIMER,
	DEED_ABORT,
	DEED_ASSIGN,
	DEED_WITHDRAW,
	DEED_FREE,
	DEEDS
};

static struct inside {
	struct rig *rig;
	const struct session_ops *ops; /* the rig's */
	enum deed deed;
	bool is_done;
} inside;

static void
act(void)
{
	struct rig *rig = inside.rig;
	struct session *s = rig->session;

	if (inside.is_done)
		return;
	inside.is_done = true;
	switch (inside.deed) {
	case DEED_NOTHING:
	case DEEDS:
		break;
	case DEED_FINISH:
		session_finish(s, FINISH_WANTED, rig->now.us);
		break;
	case DEED_INPUT:
		session_input(s, "", 0, rig->now);
		break;
	case DEED_OUTPUT:
		session_output(s, &rig->out, 100, rig->now);
		break;
	case DEED_WRITTEN:
		session_written(s, 0, rig->now);
		break;
	case DEED_CLOSED:
		session_closed(s, true, "", rig->now);
		break;
	case DEED_TIMER:
		session_on_timer(s, rig->now);
		break;
	case DEED_ABORT:
		session_abort(s, "test", rig->now);
		break;
	case DEED_ASSIGN:
		session_assign(s, rig->messages[1]->t, rig->now);
		break;
	case DEED_WITHDRAW:
		(void)session_withdraw(s, rig->messages[1]->t);
		break;
	case DEED_FREE:
		session_free(&rig->session);
		break;
	}
}

static void
act_on_done(void *ctx, struct transaction *t)
{
	inside.ops->on_done(ctx, t);
	act();
}

static void
act_on_returned(void *ctx, struct transaction *t, bool is_its_fault)
{
	inside.ops->on_returned(ctx, t, is_its_fault);
	act();
}

static void
act_on_ended(void *ctx, enum session_end how, bool is_clean, const char *why)
{
	inside.ops->on_ended(ctx, how, is_clean, why);
	act();
}

static void
act_on_changed(void *ctx)
{
	inside.ops->on_changed(ctx);
	act();
}

static void
act_on_rendering(void *ctx, struct transaction *t, bool begins)
{
	(void)ctx;
	(void)t;
	(void)begins;
	act();
}

static enum meaning
act_on_judge(void *ctx, struct transaction *t, enum command_kind kind,
    const struct reply *reply, enum meaning meaning, struct moment now)
{
	act();
	return inside.ops->judge(ctx, t, kind, reply, meaning, now);
}

static enum meaning
judge_all_is_well(void *ctx, struct transaction *t, enum command_kind kind,
    const struct reply *reply, enum meaning meaning, struct moment now)
{
	(void)ctx;
	(void)t;
	(void)kind;
	(void)reply;
	(void)meaning;
	(void)now;
	return MEANING_OK;
}

/* One message is refused, and the connection closed by the server. */
static void
live(void *arg)
{
	struct rig *rig = arg;

	(void)rig_send(rig);
	while (rig_pull(rig, 65536).n > 0 && buf_len(&rig->out) > 0)
		rig_write(rig, buf_len(&rig->out));
	rig_say(rig, RIG_MAIL RIG_RCPT "550 5.7.1 no\r\n");
	session_closed(rig->session, true, "closed", rig->now);
}

/* As live(); it is lost before. */
static void
lose(void *arg)
{
	struct rig *rig = arg;

	(void)rig_send(rig);
	session_closed(rig->session, true, "closed", rig->now);
}

/* With one handler of the session that acts; dies? */
static bool
dies(void (*set)(struct session_ops *), void (*life)(void *), enum deed deed)
{
	struct rig_plan plan = {0};
	struct session_ops ops;
	struct rig rig;
	bool is_dead;

	rig_init(&rig, SESSION_BDAT);
	rig_open(&rig);
	(void)rig_add(&rig, &plan);
	(void)rig_add(&rig, &plan);
	inside = (struct inside){&rig, rig.session->ops, deed, false};
	ops = *inside.ops;
	set(&ops);
	rig.session->ops = &ops;
	is_dead = death_by_check(life, &rig);
	rig.session->ops = inside.ops;
	rig_fini(&rig);
	return is_dead;
}

static void
set_done(struct session_ops *ops)
{
	ops->on_done = act_on_done;
}

static void
set_returned(struct session_ops *ops)
{
	ops->on_returned = act_on_returned;
}

static void
set_ended(struct session_ops *ops)
{
	ops->on_ended = act_on_ended;
}

static void
set_changed(struct session_ops *ops)
{
	ops->on_changed = act_on_changed;
}

static void
set_rendering(struct session_ops *ops)
{
	ops->on_rendering = act_on_rendering;
}

static void
set_judge(struct session_ops *ops)
{
	ops->judge = act_on_judge;
}

static void
set_bad_judge(struct session_ops *ops)
{
	ops->judge = judge_all_is_well;
}

static void
from_inside_a_session_may_only_be_finished(void **state)
{
	static const struct {
		void (*set)(struct session_ops *);
		void (*life)(void *);
	} handlers[] = {{set_done, live}, {set_returned, lose},
	    {set_ended, live}, {set_changed, live}, {set_rendering, live},
	    {set_judge, live}};

	(void)state;
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		for (enum deed deed = DEED_NOTHING; deed < DEEDS; deed++)
			assert_int_equal(
			    dies(handlers[i].set, handlers[i].life, deed),
			    deed > DEED_FINISH);
}

static void
the_judge_never_finds_a_refusal_to_be_none(void **state)
{
	(void)state;
	assert_true(dies(set_bad_judge, live, DEED_NOTHING));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_session_makes_only_the_moves_of_its_life),
	    cmocka_unit_test(proof_is_wanted_before_it_is_asked_for),
	    cmocka_unit_test(a_transaction_makes_only_the_moves_of_its_life),
	    cmocka_unit_test(a_recipient_makes_only_the_moves_of_its_life),
	    cmocka_unit_test(
		a_verdict_is_of_somebody_and_stays_when_it_is_told),
	    cmocka_unit_test(
		only_who_waits_is_assigned_and_only_to_an_open_session),
	    cmocka_unit_test(nothing_is_freed_while_somebody_has_it),
	    cmocka_unit_test(the_first_reason_to_finish_stays),
	    cmocka_unit_test(every_reason_to_finish_has_words),
	    cmocka_unit_test(from_inside_a_session_may_only_be_finished),
	    cmocka_unit_test(the_judge_never_finds_a_refusal_to_be_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
