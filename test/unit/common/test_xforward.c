#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/smtp/command.h"
#include "common/smtp/ehlo.h"
#include "common/smtp/xforward.h"

static const char *const known[XFORWARD_ATTRIBUTES] = {"mail.example",
    "192.0.2.1", "4321", "ESMTP", "a=b+c d\xe4", "4F69BA7A8B9", "remote"};

static void
expect(const char *const *values, unsigned mask, const char *line)
{
	struct buf out;

	buf_init(&out, COMMAND_LINE_MAX);
	assert_true(xforward_command(&out, values, mask));
	assert_string_equal(buf_str(&out), line);
	buf_fini(&out);
}

static void
test_commands(void **state)
{
	const char *local[XFORWARD_ATTRIBUTES];

	(void)state;
	expect(known, XFORWARD_CLIENT,
	    "XFORWARD NAME=mail.example ADDR=192.0.2.1 PORT=4321\r\n");
	expect(known, XFORWARD_PROTOCOL,
	    "XFORWARD PROTO=ESMTP HELO=a=b+2Bc+20d+E4 IDENT=4F69BA7A8B9 "
	    "SOURCE=REMOTE\r\n");
	expect(known, 1U << XFORWARD_PORT, "XFORWARD PORT=4321\r\n");
	memcpy(local, known, sizeof(local));
	local[XFORWARD_SOURCE] = "local";
	expect(local, 1U << XFORWARD_SOURCE, "XFORWARD SOURCE=LOCAL\r\n");
}

static void
test_what_is_not_known(void **state)
{
	static const char *const unknown[XFORWARD_ATTRIBUTES] = {"unknown",
	    "Unknown", "unknown", "UNKNOWN", "unknown", "unknown", "unknown"};
	static const char *const empty[XFORWARD_ATTRIBUTES] = {
	    "", NULL, "", "", "", NULL, ""};

	(void)state;
	assert_int_equal(
	    xforward_known(known), XFORWARD_CLIENT | XFORWARD_PROTOCOL);
	assert_int_equal(xforward_known(unknown),
	    1 << XFORWARD_HELO | 1 << XFORWARD_IDENT | 1 << XFORWARD_SOURCE);
	assert_int_equal(xforward_known(empty), 0);
}

static void
test_what_is_too_long_is_not_begun(void **state)
{
	const char *values[XFORWARD_ATTRIBUTES];
	char *helo = mem_zalloc(COMMAND_LINE_MAX);
	struct buf out;

	(void)state;
	memset(helo, 'x', COMMAND_LINE_MAX - 1);
	memcpy(values, known, sizeof(values));
	values[XFORWARD_HELO] = helo;
	buf_init(&out, 2 * COMMAND_LINE_MAX);
	assert_false(xforward_command(&out, values, XFORWARD_PROTOCOL));
	assert_int_equal(buf_len(&out), 0);
	buf_fini(&out);
	mem_free(helo);
}

static unsigned
offered(const char *text, unsigned discarded)
{
	struct reply_parser parser;
	struct ehlo ehlo;
	size_t used;

	reply_parser_init(&parser);
	assert_int_equal(
	    reply_feed(&parser, text, strlen(text), &used), REPLY_DONE);
	ehlo_parse(reply_get(&parser), discarded, &ehlo);
	reply_parser_fini(&parser);
	return ehlo.xforward;
}

static void
test_offer(void **state)
{
	static const char all[] = "250-mx\r\n250 XFORWARD NAME addr PROTO HELO "
				  "SOURCE PORT IDENT X\r\n";

	(void)state;
	assert_int_equal(offered(all, 0), XFORWARD_CLIENT | XFORWARD_PROTOCOL);
	assert_int_equal(offered(all, EHLO_DISCARD_XFORWARD), 0);
	assert_int_equal(
	    offered("250-mx\r\n250 XFORWARD HELO\r\n", 0), 1 << XFORWARD_HELO);
	assert_int_equal(offered("250-mx\r\n250 XFORWARD\r\n", 0), 0);
	assert_int_equal(offered("250-mx\r\n250 XFORWARDS HELO\r\n", 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_what_is_not_known),
	    cmocka_unit_test(test_what_is_too_long_is_not_begun),
	    cmocka_unit_test(test_offer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
