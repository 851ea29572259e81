#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/engine/checks.h"
#include "common/base/log.h"

enum { OUT_MAX = 65536 };

static char logged[2048];

static void
note(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)snprintf(logged, sizeof(logged), "%s", line);
}

static int
set_up(void **state)
{
	(void)state;
	logged[0] = '\0';
	log_set_sink(note, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	return 0;
}

/* A table that says the same of everything; "!": an error. */
static enum rewriter_result
say(void *ctx, const char *text, struct buf *out)
{
	(void)text;
	if (strcmp(ctx, "!") == 0)
		return REWRITER_FAILED;
	return buf_add_str(out, ctx) ? REWRITER_DONE : REWRITER_FAILED;
}

/* One action for a header "A: b" or a line of that text. */
static void
expect(bool is_header, const char *action, enum check_result result,
    const char *text, const char *log)
{
	char value[256];
	struct checks checks = {.header = {say, value}, .body = {say, value}};
	struct buf out;

	(void)snprintf(value, sizeof(value), "%s", action);
	logged[0] = '\0';
	buf_init(&out, OUT_MAX);
	if (is_header)
		assert_int_equal(checks_header(&checks, "ID", MIME_PRIMARY,
				     HEADER_OTHER, "A: b", &out),
		    result);
	else
		assert_int_equal(
		    checks_body(&checks, "ID", "A: b", &out), result);
	assert_string_equal(buf_str(&out), text);
	assert_string_equal(logged, log);
	buf_fini(&out);
}

static void
test_actions(void **state)
{
	(void)state;
	expect(true, "WARN", CHECK_KEEP, "", "ID: warning: header A: b");
	expect(true, "warn  look ", CHECK_KEEP, "",
	    "ID: warning: header A: b: look ");
	expect(false, "INFO x", CHECK_KEEP, "", "ID: info: body A: b: x");
	expect(true, "REPLACE B: c", CHECK_REPLACE, "B: c",
	    "ID: replace: header A: b: B: c");
	expect(false, "REPLACE c", CHECK_REPLACE, "c",
	    "ID: replace: body A: b: c");
	expect(true, "PREPEND B: c", CHECK_PREPEND, "B: c",
	    "ID: prepend: header A: b: B: c");
	expect(true, "STRIP", CHECK_DROP, "", "ID: strip: header A: b");
	expect(
	    true, "STRIP why", CHECK_DROP, "", "ID: strip: header A: b: why");
	expect(true, "IGNORE x", CHECK_DROP, "", "");
	expect(true, "DUNNO", CHECK_KEEP, "", "");
	expect(true, "OK x", CHECK_KEEP, "", "");
}

static void
test_what_is_no_action_is_told_and_passed_over(void **state)
{
	(void)state;
	expect(true, "REJECT no", CHECK_KEEP, "",
	    "warning: unsupported command in smtp_header_checks map: REJECT "
	    "no");
	expect(false, "", CHECK_KEEP, "",
	    "warning: unsupported command in smtp_body_checks map: ");
	expect(true, "WARNING", CHECK_KEEP, "",
	    "warning: unsupported command in smtp_header_checks map: WARNING");
	expect(true, "REPLACE", CHECK_KEEP, "",
	    "warning: REPLACE action without text in smtp_header_checks map");
	expect(false, "PREPEND ", CHECK_KEEP, "",
	    "warning: PREPEND action without text in smtp_body_checks map");
	expect(true, "PREPEND no header", CHECK_KEEP, "",
	    "warning: bad PREPEND header text \"no header\" in "
	    "smtp_header_checks map "
	    "-- need \"headername: headervalue\"");
}

static void
test_a_table_that_fails(void **state)
{
	(void)state;
	expect(true, "!", CHECK_FAILED, "",
	    "warning: ID: smtp header checks lookup error");
	expect(false, "!", CHECK_FAILED, "",
	    "warning: ID: smtp body checks lookup error");
}

static void
test_which_table_is_asked(void **state)
{
	static const struct {
		enum mime_class class;
		enum header_kind kind;
		const char *word;
	} cases[] = {
	    {MIME_PRIMARY, HEADER_OTHER, "primary"},
	    {MIME_PRIMARY, HEADER_ADDRESSES, "primary"},
	    {MIME_PRIMARY, HEADER_MIME, "mime"},
	    {MIME_PRIMARY, HEADER_CONTENT_TYPE, "mime"},
	    {MIME_NESTED, HEADER_CONTENT_ENCODING, "mime"},
	    {MIME_MULTIPART, HEADER_OTHER, "mime"},
	    {MIME_NESTED, HEADER_ADDRESSES, "nested"},
	};
	char primary[] = "PREPEND x:primary", mime[] = "PREPEND x:mime";
	char nested[] = "PREPEND x:nested";
	struct checks checks = {.header = {say, primary},
	    .mime_header = {say, mime},
	    .nested_header = {say, nested}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;

		buf_init(&out, OUT_MAX);
		assert_int_equal(checks_header(&checks, "ID", cases[i].class,
				     cases[i].kind, "A: b", &out),
		    CHECK_PREPEND);
		assert_string_equal(buf_str(&out) + 2, cases[i].word);
		buf_fini(&out);
	}
}

static void
test_no_table_nothing_to_ask(void **state)
{
	struct checks none = {.header = {NULL, NULL}};
	char word[] = "STRIP";
	struct checks nested = {.nested_header = {say, word}};
	struct checks body = {.body = {say, word}};
	struct buf out;

	(void)state;
	buf_init(&out, OUT_MAX);
	assert_false(checks_are_wanted(&none));
	assert_true(checks_are_wanted(&nested));
	assert_false(checks_want_body(&nested));
	assert_true(checks_are_wanted(&body) && checks_want_body(&body));
	assert_int_equal(checks_header(&nested, "ID", MIME_PRIMARY,
			     HEADER_OTHER, "A: b", &out),
	    CHECK_KEEP);
	buf_fini(&out);
}

static void
test_no_more_than_200_octets_are_logged(void **state)
{
	char text[512], word[] = "WARN", expected[512];
	struct checks checks = {.body = {say, word}};
	struct buf out;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)snprintf(
	    expected, sizeof(expected), "ID: warning: body %.200s", text);
	buf_init(&out, OUT_MAX);
	assert_int_equal(checks_body(&checks, "ID", text, &out), CHECK_KEEP);
	assert_string_equal(logged, expected);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_actions),
	    cmocka_unit_test(test_what_is_no_action_is_told_and_passed_over),
	    cmocka_unit_test(test_a_table_that_fails),
	    cmocka_unit_test(test_which_table_is_asked),
	    cmocka_unit_test(test_no_table_nothing_to_ask),
	    cmocka_unit_test(test_no_more_than_200_octets_are_logged),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
