#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/smtp/command.h"

static struct buf out;

static int
setup(void **state)
{
	(void)state;
	buf_init(&out, 100000);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static void
assert_line(const char *text)
{
	assert_string_equal(buf_str(&out), text);
	buf_reset(&out);
}

static void
command_mail_puts_parameters_in_order(void **state)
{
	struct command_mail mail = {.sender = slice_str("a@example.com")};

	(void)state;
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<a@example.com>\r\n");
	mail = (struct command_mail){
	    .sender = slice_str("a b@x"),
	    .use_size = true,
	    .size = UINT64_MAX,
	    .body = BODY_8BIT,
	    .use_dsn = true,
	    .envid = slice_str("QQ+1 =x"),
	    .ret = COMMAND_RET_HDRS,
	    .smtputf8 = true,
	    .requiretls = true,
	    .auth_empty = true,
	};
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<\"a b\"@x> SIZE=18446744073709551615 "
		    "BODY=8BITMIME ENVID=QQ+2B1+20+3Dx RET=HDRS SMTPUTF8 "
		    "REQUIRETLS AUTH=<>\r\n");
	mail = (struct command_mail){
	    .auth_empty = true, .use_priority = true, .priority = -9};
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<> AUTH=<> MT-PRIORITY=-9\r\n");
	mail = (struct command_mail){.use_priority = true};
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<> MT-PRIORITY=0\r\n");
}

static void
command_mail_of_the_empty_sender(void **state)
{
	struct command_mail mail = {
	    .body = BODY_7BIT, .use_dsn = true, .ret = COMMAND_RET_FULL};

	(void)state;
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<> BODY=7BIT RET=FULL\r\n");
}

static void
command_mail_without_dsn_sends_none_of_it(void **state)
{
	struct command_mail mail = {
	    .envid = slice_str("x"), .ret = COMMAND_RET_FULL};

	(void)state;
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<>\r\n");
}

static void
command_rcpt_table(void **state)
{
	static const struct {
		const char *recipient, *orcpt, *original;
		int notify;
		bool smtputf8;
		const char *line;
	} t[] = {
	    {"b@y", "", "", 0, false, "RCPT TO:<b@y>\r\n"},
	    {"b@y", "rfc822;bob+tag@y", "z@y", 6, false,
		"RCPT TO:<b@y> ORCPT=rfc822;bob+2Btag@y "
		"NOTIFY=SUCCESS,FAILURE\r\n"},
	    {"b@y", "", "b c@y", 1, false,
		"RCPT TO:<b@y> ORCPT=rfc822;\"b+20c\"@y NOTIFY=NEVER\r\n"},
	    {"b@y", "", "", 8, false, "RCPT TO:<b@y> NOTIFY=DELAY\r\n"},
	    {"b@y", "", "", 14, false,
		"RCPT TO:<b@y> NOTIFY=SUCCESS,FAILURE,DELAY\r\n"},
	    {"b@y", "", "\xc3\xa4@y", 0, true,
		"RCPT TO:<b@y> ORCPT=utf-8;\\x{E4}@y\r\n"},
	    {"b@y", "", "\xc3\xa4@y", 0, false,
		"RCPT TO:<b@y> ORCPT=rfc822;+C3+A4@y\r\n"},
	    {"b@y", "", "\xe4@y", 0, true,
		"RCPT TO:<b@y> ORCPT=rfc822;+E4@y\r\n"},
	    {"b@y", "UTF-8;\xc3\xa4@y", "", 0, true,
		"RCPT TO:<b@y> ORCPT=UTF-8;\\x{E4}@y\r\n"},
	    /* Not UTF-8: no parameter rather than a wrong one. */
	    {"b@y", "utf-8;\xe4@y", "", 2, true,
		"RCPT TO:<b@y> NOTIFY=SUCCESS\r\n"},
	    {"\xc3\xa4@y", "", "", 0, true, "RCPT TO:<\xc3\xa4@y>\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct command_rcpt rcpt = {
		    .recipient = slice_str(t[i].recipient),
		    .use_dsn = true,
		    .notify_flags = t[i].notify,
		    .orcpt = slice_str(t[i].orcpt),
		    .original_recipient = slice_str(t[i].original),
		    .smtputf8 = t[i].smtputf8,
		};

		assert_true(command_rcpt(&out, &rcpt));
		assert_line(t[i].line);
		rcpt.use_dsn = false;
		assert_true(command_rcpt(&out, &rcpt));
		assert_null(strstr(buf_str(&out), "> "));
		buf_reset(&out);
	}
}

static void
command_never_breaks_the_line(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
	    {"a\r\n@b", 5}, {"a@b\nRSET", 8}, {"a\0@b", 4}, {"a@b> X=", 7}};

	(void)state;
	assert_true(buf_add_str(&out, "was"));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct slice value = slice_of(bad[i].p, bad[i].n);
		struct command_mail mail = {.sender = value};
		struct command_rcpt rcpt = {.recipient = value};

		assert_false(command_mail(&out, &mail));
		assert_false(command_rcpt(&out, &rcpt));
		if (i < 3)
			assert_false(command_text(&out, "AUTH", value));
		assert_string_equal(buf_str(&out), "was");
		assert_true(buf_ok(&out));
	}
	assert_false(command_ehlo(&out, "a\nb"));
	assert_false(command_helo(&out, "a\rb"));
	assert_string_equal(buf_str(&out), "was");
}

static void
command_encodes_line_ends_in_envid_and_orcpt(void **state)
{
	struct command_mail mail = {
	    .use_dsn = true, .envid = slice_str("a\r\nb")};
	struct command_rcpt rcpt = {.recipient = slice_str("b@y"),
	    .use_dsn = true,
	    .orcpt = slice_str("rfc822;a\r\nb")};

	(void)state;
	assert_true(command_mail(&out, &mail));
	assert_line("MAIL FROM:<> ENVID=a+0D+0Ab\r\n");
	assert_true(command_rcpt(&out, &rcpt));
	assert_line("RCPT TO:<b@y> ORCPT=rfc822;a+0D+0Ab\r\n");
}

static void
command_rcpt_of_nobody_is_refused(void **state)
{
	struct command_rcpt rcpt = {.use_dsn = true};

	(void)state;
	assert_false(command_rcpt(&out, &rcpt));
	assert_line("");
}

static void
command_line_is_bounded(void **state)
{
	static char name[COMMAND_LINE_MAX];
	struct command_mail mail = {.sender = slice_of(name, sizeof name - 14)};

	(void)state;
	/* "MAIL FROM:<" and ">\r\n" are 14 octets. */
	memset(name, 'x', sizeof name);
	assert_true(command_mail(&out, &mail));
	assert_int_equal(buf_len(&out), COMMAND_LINE_MAX);
	buf_reset(&out);
	mail.sender.n++;
	assert_false(command_mail(&out, &mail));
	assert_line("");
}

static void
command_without_room_leaves_out_alone(void **state)
{
	struct buf small;
	struct command_mail mail = {.sender = slice_str("a@b")};

	(void)state;
	buf_init(&small, 18);
	assert_true(buf_add_str(&small, "was"));
	assert_false(command_mail(&small, &mail));
	assert_string_equal(buf_str(&small), "was");
	assert_true(buf_ok(&small));
	buf_fini(&small);
}

static void
command_appends_behind_what_is_there(void **state)
{
	struct command_mail mail = {.sender = slice_str("a\n@b")};

	(void)state;
	/* A part of the buffer was consumed, and it will move. */
	for (int i = 0; i < 300; i++)
		assert_true(buf_add_char(&out, 'x'));
	buf_consume(&out, 299);
	assert_false(command_mail(&out, &mail));
	assert_true(command_rset(&out));
	assert_line("xRSET\r\n");
}

static void
command_simple_ones(void **state)
{
	(void)state;
	assert_true(command_ehlo(&out, "mail.example.com"));
	assert_true(command_helo(&out, "[::1]"));
	assert_true(command_data(&out));
	assert_true(command_bdat(&out, 65536, false));
	assert_true(command_bdat(&out, 0, true));
	assert_true(command_rset(&out));
	assert_true(command_starttls(&out));
	assert_true(command_text(&out, "AUTH", slice_str("PLAIN =")));
	assert_true(command_text(&out, "NOOP", slice_str("")));
	assert_true(command_quit(&out));
	assert_line("EHLO mail.example.com\r\nHELO [::1]\r\nDATA\r\n"
		    "BDAT 65536\r\nBDAT 0 LAST\r\nRSET\r\nSTARTTLS\r\n"
		    "AUTH PLAIN =\r\nNOOP\r\nQUIT\r\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(command_mail_puts_parameters_in_order),
	    TEST(command_mail_of_the_empty_sender),
	    TEST(command_mail_without_dsn_sends_none_of_it),
	    TEST(command_rcpt_table),
	    TEST(command_never_breaks_the_line),
	    TEST(command_encodes_line_ends_in_envid_and_orcpt),
	    TEST(command_rcpt_of_nobody_is_refused),
	    TEST(command_line_is_bounded),
	    TEST(command_without_room_leaves_out_alone),
	    TEST(command_appends_behind_what_is_there),
	    TEST(command_simple_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
