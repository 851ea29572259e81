/* Replies that mean "later": kept, neither deferred nor bounced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/session_rig.h"

static void
open_rig(struct rig *rig)
{
	rig_init(rig, SESSION_BDAT);
	rig->later = "slow down";
	rig_open(rig);
}

static void
pull_all(struct rig *rig)
{
	while (rig_pull(rig, 65536).n > 0 && buf_len(&rig->out) > 0)
		rig_write(rig, buf_len(&rig->out));
}

static void
later_to_the_end_of_data_returns_the_message(void **state)
{
	struct rig rig;
	struct rig_message *first, *second;

	(void)state;
	open_rig(&rig);
	first = rig_send(&rig);
	second = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, RIG_MAIL RIG_RCPT "454 4.7.0 slow down\r\n" RIG_RSET);
	rig_check_returned(first, 0);
	assert_int_equal(first->req->rcpts[0].state, RCPT_WAITING);
	assert_non_null(strstr(first->t->last_error->text, "slow down"));
	rig_say(&rig, RIG_SENT);
	rig_check_sent(second);
	rig_fini(&rig);
}

static void
later_to_mail_returns_the_message(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig);
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, "550 5.7.0 slow down\r\n503 no mail\r\n503 no rcpt\r\n");
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, RIG_RSET);
	rig_check_returned(m, 0);
	rig_fini(&rig);
}

/* The recipient put off must not be taken for delivered with the others. */
static void
later_to_one_recipient_returns_only_that_one(void **state)
{
	struct rig rig;
	struct rig_message *m;
	struct rig_plan plan = {.rcpts = 3};

	(void)state;
	open_rig(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	pull_all(&rig);
	rig_say(&rig, "250 ok\r\n250 ok\r\n452 4.5.3 slow down\r\n"
		      "550 5.1.1 who\r\n250 2.0.0 taken\r\n");
	rig_check_returned(m, 0);
	rig_check(m, 0, OUTCOME_SENT, 250, "2.0.0", NULL);
	assert_int_equal(m->req->rcpts[1].state, RCPT_WAITING);
	assert_null(m->req->rcpts[1].verdict);
	rig_check(m, 2, OUTCOME_BOUNCE, 550, "5.1.1", NULL);
	assert_int_equal(m->t->count, 1);
	rig_fini(&rig);
}

static void
later_to_all_recipients_returns_the_message_whatever_bdat_is_told(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig);
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, "250 ok\r\n450 4.7.1 slow down\r\n250 2.0.0 ok\r\n");
	rig_expect(&rig, "RSET\r\n");
	rig_say(&rig, RIG_RSET);
	rig_check_returned(m, 0);
	rig_fini(&rig);
}

static void
later_in_a_421_is_nobodys_fault(void **state)
{
	struct rig rig;
	struct rig_message *m;

	(void)state;
	open_rig(&rig);
	m = rig_send(&rig);
	pull_all(&rig);
	rig_say(&rig, "421 4.7.0 slow down\r\n");
	session_closed(rig.session, true, "gone", rig.now);
	rig_check_returned(m, 0);
	rig_check_over(&rig, SESSION_END_421, true);
	rig_fini(&rig);
}

static void
later_many_times_does_not_end_the_session(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig);
	for (int i = 0; i < 10; i++) {
		struct rig_message *m = rig_send(&rig);

		pull_all(&rig);
		rig_say(&rig, RIG_MAIL RIG_RCPT "451 4.7.0 slow down\r\n");
		rig_expect(&rig, "RSET\r\n");
		rig_say(&rig, RIG_RSET);
		rig_check_returned(m, 0);
		assert_false(rig.is_over);
		assert_false(session_is_finishing(rig.session));
	}
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(later_to_the_end_of_data_returns_the_message),
	    cmocka_unit_test(later_to_mail_returns_the_message),
	    cmocka_unit_test(later_to_one_recipient_returns_only_that_one),
	    cmocka_unit_test(
		later_to_all_recipients_returns_the_message_whatever_bdat_is_told),
	    cmocka_unit_test(later_in_a_421_is_nobodys_fault),
	    cmocka_unit_test(later_many_times_does_not_end_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
