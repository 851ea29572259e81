#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "test/support/session_rig.h"

#define XFORWARD(id)                                                           \
	"XFORWARD NAME=client" id ".test\r\nXFORWARD HELO=helo" id "\r\n"
#define ENVELOPE(id)                                                           \
	"MAIL FROM:<s" id "@from.test>\r\nRCPT TO:<r" id ".0.250@to.test>\r\n"
#define BDAT(id) "BDAT 17 LAST\r\nid: " id "\r\nend of " id "\r\n"
#define DATA(id) "id: " id "\r\nend of " id "\r\n.\r\n"
#define MESSAGE(id) XFORWARD(id) ENVELOPE(id) BDAT(id)
/* As Postfix: in the words of its reply to RSET. */
#define TOLD RIG_RSET RIG_RSET

static void
begin(struct rig *rig, enum session_mode mode)
{
	rig_init(rig, mode);
	rig->set.smtp_send_xforward_command = true;
	rig->set.smtp_xforward_timeout_us = 7 * US_PER_S;
	rig->ehlo.xforward = 1 << XFORWARD_NAME | 1 << XFORWARD_HELO;
}

/* From a client, or, without names, from here. */
static struct rig_message *
send(struct rig *rig, const char *name, const char *helo)
{
	struct rig_message *m = rig_add(rig, &(struct rig_plan){0});

	m->req->xforward[XFORWARD_NAME] = name;
	m->req->xforward[XFORWARD_HELO] = helo;
	rig_assign(rig, m);
	return m;
}

static void
first_message_teaches_and_windows_follow(void **state)
{
	struct rig_message *a, *b, *c;
	struct rig rig;

	(void)state;
	begin(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = send(&rig, "client1.test", "helo1");
	b = send(&rig, "client2.test", "helo2");
	c = send(&rig, "client3.test", "helo3");
	rig_expect(&rig, "RSET\r\n" MESSAGE("1") "RSET\r\n");
	rig_say(&rig, RIG_RSET TOLD RIG_SENT RIG_RSET);
	rig_check_sent(a);
	rig_expect(&rig, MESSAGE("2") "RSET\r\n" MESSAGE("3"));
	rig_say(&rig, TOLD RIG_SENT RIG_RSET TOLD RIG_SENT);
	rig_check_sent(b);
	rig_check_sent(c);
	rig_fini(&rig);
}

static void
message_of_ours_tells_nothing(void **state)
{
	struct rig_message *m;
	struct rig rig;

	(void)state;
	begin(&rig, SESSION_BDAT);
	rig_open(&rig);
	m = send(&rig, "unknown", "");
	rig_expect(&rig, ENVELOPE("1") BDAT("1"));
	rig_say(&rig, RIG_SENT);
	rig_check_sent(m);
	rig_fini(&rig);
}

static void
nothing_is_told_unless_asked_for_and_offered(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rig rig;

		begin(&rig, SESSION_BDAT);
		if (i == 0)
			rig.set.smtp_send_xforward_command = false;
		else
			rig.ehlo.xforward = 0;
		rig_open(&rig);
		(void)send(&rig, "client1.test", "helo1");
		rig_expect(&rig, ENVELOPE("1") BDAT("1"));
		rig_say(&rig, RIG_SENT);
		rig_fini(&rig);
	}
}

static void
refusal_says_nothing_of_the_message(void **state)
{
	struct rig_message *a, *b, *c;
	struct rig rig;

	(void)state;
	begin(&rig, SESSION_BDAT);
	rig_open(&rig);
	a = send(&rig, "client1.test", "helo1");
	rig_expect(&rig, "RSET\r\n" MESSAGE("1") "RSET\r\n");
	rig_say(&rig,
	    RIG_RSET "550 5.7.0 no\r\n550 5.7.0 no\r\n" RIG_SENT RIG_RSET);
	rig_check_sent(a);
	b = send(&rig, "client2.test", "helo2");
	c = send(&rig, "client3.test", "helo3");
	rig_expect(&rig, MESSAGE("2") "RSET\r\n" MESSAGE("3"));
	rig_say(&rig, "550 5.7.0 no\r\n550 5.7.0 no\r\n" RIG_SENT RIG_RSET
		      "550 5.7.0 no\r\n550 5.7.0 no\r\n" RIG_SENT);
	rig_check_sent(b);
	rig_check_sent(c);
	rig_fini(&rig);
}

/* The reply to a RSET was lost; that to XFORWARD, which is worded alike, must
 * not prove that the message before was taken. */
static void
reply_worded_like_another_proves_nothing(void **state)
{
	struct rig_message *b;
	struct rig rig;

	(void)state;
	begin(&rig, SESSION_BDAT);
	rig_open(&rig);
	(void)send(&rig, "client1.test", "helo1");
	rig_expect(&rig, "RSET\r\n" MESSAGE("1") "RSET\r\n");
	rig_say(&rig, RIG_RSET TOLD RIG_SENT RIG_RSET);
	b = send(&rig, "client2.test", "helo2");
	(void)send(&rig, "client3.test", "helo3");
	rig_expect(&rig, MESSAGE("2") "RSET\r\n" MESSAGE("3"));
	rig_say(&rig, TOLD RIG_MAIL RIG_RCPT RIG_RSET RIG_RSET);
	assert_int_equal(b->done, 0);
	rig_fini(&rig);
}

static void
one_at_a_time_where_nothing_else_goes(void **state)
{
	struct rig_message *m;
	struct rig rig;

	(void)state;
	begin(&rig, SESSION_LOCKSTEP);
	rig.ehlo.pipelining = false;
	rig_open(&rig);
	m = send(&rig, "client1.test", "helo1");
	rig_expect(&rig, "XFORWARD NAME=client1.test\r\n");
	rig_say(&rig, RIG_RSET);
	rig_expect(&rig, "XFORWARD HELO=helo1\r\n");
	assert_int_equal(
	    session_deadline_us(rig.session), rig.now.us + 7 * US_PER_S);
	rig_say(&rig, RIG_RSET);
	rig_expect(&rig, "MAIL FROM:<s1@from.test>\r\n");
	rig_say(&rig, RIG_MAIL);
	rig_expect(&rig, "RCPT TO:<r1.0.250@to.test>\r\n");
	rig_say(&rig, RIG_RCPT);
	rig_expect(&rig, "DATA\r\n");
	rig_say(&rig, "354 go\r\n");
	rig_expect(&rig, DATA("1"));
	rig_say(&rig, RIG_TAKEN);
	rig_check_sent(m);
	rig_fini(&rig);
}

static void
farewell_in_its_place_gives_the_message_back(void **state)
{
	struct rig_message *m;
	struct rig rig;

	(void)state;
	begin(&rig, SESSION_LOCKSTEP);
	rig.ehlo.pipelining = false;
	rig_open(&rig);
	m = send(&rig, "client1.test", NULL);
	rig_expect(&rig, "XFORWARD NAME=client1.test\r\n");
	rig_say(&rig, "421 4.3.2 down\r\n");
	assert_int_equal(m->returned, 1);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_message_teaches_and_windows_follow),
	    cmocka_unit_test(message_of_ours_tells_nothing),
	    cmocka_unit_test(nothing_is_told_unless_asked_for_and_offered),
	    cmocka_unit_test(refusal_says_nothing_of_the_message),
	    cmocka_unit_test(reply_worded_like_another_proves_nothing),
	    cmocka_unit_test(one_at_a_time_where_nothing_else_goes),
	    cmocka_unit_test(farewell_in_its_place_gives_the_message_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
