/* A refusal that a server says twice: the second time it stands in the place of
 * the next command, and is not believed of anybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/session_rig.h"

#define NO "550 5.7.1 no\r\n"
#define MAIL(id) "MAIL FROM:<s" id "@from.test>\r\n"
#define RCPT(id) "RCPT TO:<r" id "@to.test>\r\n"
#define ONE(id)                                                                \
	MAIL(id)                                                               \
	RCPT(id ".0.250") "BDAT 17 LAST\r\nid: " id "\r\nend of " id "\r\n"
#define WAIT_MS 700000

static struct rig_message *
send_two_rcpts(struct rig *rig, enum session_mode mode)
{
	const struct rig_plan plan = {.rcpts = 2};
	struct rig_message *m;

	rig_init(rig, mode);
	rig_open(rig);
	m = rig_add(rig, &plan);
	rig_assign(rig, m);
	return m;
}

/* ... one command at a time, and both are refused, as it seems. */
static struct rig_message *
refuse_both(struct rig *rig)
{
	struct rig_message *m = send_two_rcpts(rig, SESSION_LOCKSTEP);

	rig_expect(rig, MAIL("1"));
	rig_say(rig, RIG_MAIL);
	rig_expect(rig, RCPT("1.0.250"));
	rig_say(rig, NO);
	rig_expect(rig, RCPT("1.1.250"));
	rig_say(rig, NO);
	assert_int_equal(m->done, 0);
	return m;
}

static void
recipient_is_not_bounced_by_a_neighbours_refusal_said_twice(void **state)
{
	struct rig rig;
	struct rig_message *m = refuse_both(&rig);

	(void)state;
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, RIG_RCPT);
	rig_check_over(&rig, SESSION_END_ABORT, false);
	rig_check_returned(m, 1);
	rig_fini(&rig);
}

static void
recipients_that_are_all_refused_bounce_when_rset_is_answered(void **state)
{
	struct rig rig;
	struct rig_message *m = refuse_both(&rig);

	(void)state;
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, RIG_RSET);
	for (size_t i = 0; i < 2; i++)
		rig_check(m, i, OUTCOME_BOUNCE, 550, "5.7.1", NULL);
	assert_false(rig.is_over);
	rig_fini(&rig);
}

/* The words of its RSET are not known: 221 tells. */
static void
recipients_that_are_all_refused_bounce_when_quit_is_answered(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	m = send_two_rcpts(&rig, SESSION_LOCKSTEP);
	manner_init(&rig.manner);
	rig_expect(&rig, MAIL("1"));
	rig_say(&rig, RIG_MAIL);
	rig_expect(&rig, RCPT("1.0.250"));
	rig_say(&rig, NO);
	rig_expect(&rig, RCPT("1.1.250"));
	rig_say(&rig, NO);
	assert_int_equal(m->done, 0);
	rig_expect(&rig, "QUIT\r\n");
	rig_say(&rig, "221 bye\r\n");
	for (size_t i = 0; i < 2; i++)
		rig_check(m, i, OUTCOME_BOUNCE, 550, "5.7.1", NULL);
	rig_fini(&rig);
}

/* One was taken, the other refused twice, in the place of DATA as well; then
 * nothing more is heard. */
static void
timeout_does_not_make_a_second_refusal_true(void **state)
{
	struct rig rig;
	struct rig_message *m = send_two_rcpts(&rig, SESSION_OVERLAP);

	(void)state;
	rig_expect(&rig, MAIL("1") RCPT("1.0.250") RCPT("1.1.250") "DATA\r\n");
	rig_say(&rig, RIG_MAIL RIG_RCPT NO NO);
	assert_int_equal(m->done, 0);
	rig_expect(&rig, "RSET\r\n");
	rig_wait(&rig, WAIT_MS);
	rig_check_over(&rig, SESSION_END_TIMEOUT, false);
	assert_int_not_equal(m->req->rcpts[0].state, RCPT_DECIDED);
	assert_int_not_equal(m->req->rcpts[1].state, RCPT_DECIDED);
	rig_fini(&rig);
}

/* RSET's refusal in the place of MAIL. */
static struct rig_message *
refuse_rset_twice(struct rig *rig)
{
	struct rig_message *b;

	rig_init(rig, SESSION_BDAT);
	rig_open(rig);
	(void)rig_send(rig);
	b = rig_send(rig);
	rig_expect(rig, ONE("1") "RSET\r\n" ONE("2"));
	rig_say(rig, RIG_SENT NO NO);
	rig_check_sent(rig->messages[0]);
	return b;
}

static void
sender_is_not_refused_by_the_refusal_of_rset_said_twice(void **state)
{
	struct rig rig;
	struct rig_message *b;

	(void)state;
	b = refuse_rset_twice(&rig);
	rig_say(&rig, "450 4.2.0 not now\r\n");
	session_closed(rig.session, true, "gone", rig.now);
	rig_check_over(&rig, SESSION_END_LOST, false);
	assert_true(b->req->rcpts[0].verdict == NULL ||
		    b->req->rcpts[0].verdict->outcome == OUTCOME_DEFER);
	rig_fini(&rig);
}

static void
recipient_that_is_taken_shows_a_refusal_said_twice(void **state)
{
	struct rig rig;
	struct rig_message *b;

	(void)state;
	b = refuse_rset_twice(&rig);
	rig_say(&rig, RIG_MAIL);
	rig_check_over(&rig, SESSION_END_ABORT, false);
	rig_check(b, 0, OUTCOME_DEFER, 0, "4.4.2", NULL);
	assert_true(b->req->rcpts[0].verdict->dsn.maybe_accepted);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		recipient_is_not_bounced_by_a_neighbours_refusal_said_twice),
	    cmocka_unit_test(
		recipients_that_are_all_refused_bounce_when_rset_is_answered),
	    cmocka_unit_test(
		recipients_that_are_all_refused_bounce_when_quit_is_answered),
	    cmocka_unit_test(timeout_does_not_make_a_second_refusal_true),
	    cmocka_unit_test(
		sender_is_not_refused_by_the_refusal_of_rset_said_twice),
	    cmocka_unit_test(
		recipient_that_is_taken_shows_a_refusal_said_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
