#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/engine/rewriting.h"
#include "agent/engine/settings.h"
#include "common/base/log.h"
#include "test/support/word_table.h"

enum { OUT_MAX = 1 << 20, TABLES = 16 };

static struct settings set = {
    .recipient_delimiter = (char[]){""},
    .myorigin = (char[]){"my.example"},
    .mydomain = (char[]){"my.example"},
    .mydestination = (char[]){""},
    .double_bounce_sender = (char[]){"double-bounce"},
    .propagate_unmatched_extensions = (char[]){""},
    .header_size_limit = 102400,
    .mime_boundary_length_limit = 2048,
    .mime_nesting_limit = 2,
};

static struct rewriter
table(const char *text)
{
	static char texts[TABLES][1024];
	static size_t next;
	char *copy = texts[next++ % TABLES];

	if (text == NULL)
		return (struct rewriter){NULL, NULL};
	(void)snprintf(copy, sizeof(texts[0]), "%s", text);
	return (struct rewriter){word_table_ask, copy};
}

static struct rewriting_rules
rules_of(const char *headers, const char *body, const char *addresses)
{
	return (struct rewriting_rules){
	    .generic = {.set = &set,
		.maps = table(addresses),
		.partial = table(addresses)},
	    .checks = {.header = table(headers),
		.mime_header = table(headers),
		.nested_header = table(headers),
		.body = table(body)},
	};
}

static void
take(struct rewriting *r, struct buf *out)
{
	struct slice piece;
	bool ends_line;

	while (rewriting_take(r, &piece, &ends_line)) {
		assert_true(buf_add_slice(out, piece));
		if (ends_line)
			assert_true(buf_add_char(out, '\n'));
	}
}

/* The lines of text go through; what came out is in out. */
static enum rewriting_result
run(const struct rewriting_rules *rules, bool to_7bit, const char *text,
    struct buf *out)
{
	struct rewriting *r = rewriting_new(rules, NULL, "ID", to_7bit);
	enum rewriting_result result = REWRITING_OK;

	for (const char *p = text; *p != '\0' && result == REWRITING_OK;) {
		size_t n = strcspn(p, "\n");

		result = rewriting_put(r, slice_of(p, n), true);
		if (result == REWRITING_OK)
			take(r, out);
		p += n + (p[n] == '\n');
	}
	if (result == REWRITING_OK)
		result = rewriting_end(r);
	if (result == REWRITING_OK)
		take(r, out);
	rewriting_free(&r);
	return result;
}

static void
expect(const struct rewriting_rules *rules, bool to_7bit, const char *text,
    const char *wanted)
{
	struct buf out;

	buf_init(&out, OUT_MAX);
	assert_int_equal(run(rules, to_7bit, text, &out), REWRITING_OK);
	assert_string_equal(buf_str(&out), wanted);
	buf_fini(&out);
}

static void
quiet(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static int
set_up(void **state)
{
	(void)state;
	log_set_sink(quiet, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	return 0;
}

static void
test_where_nothing_is_wanted(void **state)
{
	struct rewriting_rules none = rules_of(NULL, NULL, NULL);
	struct rewriting_rules body = rules_of(NULL, "", NULL);
	struct rewriting_rules maps = rules_of(NULL, NULL, "");

	(void)state;
	assert_false(rewriting_is_wanted(NULL, false));
	assert_false(rewriting_is_wanted(NULL, true));
	assert_false(rewriting_is_wanted(&none, false));
	assert_true(rewriting_is_wanted(&none, true));
	assert_true(rewriting_is_wanted(&body, false));
	assert_true(rewriting_is_wanted(&maps, false));
}

static void
test_checks_of_headers_and_body(void **state)
{
	struct rewriting_rules rules =
	    rules_of("A: 1=PREPEND Z: 0|B: 2\n folded=REPLACE B: two\n "
		     "lines|C: 3=IGNORE|D: 4=WARN",
		"x=REPLACE y|gone=STRIP|both=PREPEND above", NULL);

	(void)state;
	expect(&rules, false,
	    "A: 1\nB: 2\n folded\nC: 3\nD: 4\n\nx\ngone\nboth\nA: 1\n",
	    "Z: 0\nA: 1\nB: two\n lines\nD: 4\n\ny\nabove\nboth\nA: 1\n");
}

static void
test_checks_come_before_addresses(void **state)
{
	struct rewriting_rules rules = rules_of(
	    "From: a@in.test=REPLACE From: b@in.test|Sender: b@in.test=REPLACE "
	    "X-Sender: b@in.test|Resent-From: b@in.test=REPLACE To: "
	    "b@in.test|X-Other: b@in.test=REPLACE Cc: b@in.test",
	    NULL, "b@in.test=c@out.test");

	(void)state;
	expect(&rules, false,
	    "From: a@in.test\nSender: b@in.test\nResent-From: b@in.test\n"
	    "X-Other: b@in.test\nReply-To: b@in.test\n\nb@in.test\n",
	    "From: c@out.test\nX-Sender: b@in.test\nTo: c@out.test\n"
	    "Cc: b@in.test\nReply-To: c@out.test\n\nb@in.test\n");
}

static void
test_checks_see_what_was_converted(void **state)
{
	struct rewriting_rules rules = rules_of(
	    "Content-Transfer-Encoding: 8bit=REPLACE X-Seen: 8bit|"
	    "Content-Transfer-Encoding: quoted-printable=PREPEND X-Seen: qp",
	    "=FC=REPLACE umlaut", NULL);

	(void)state;
	expect(&rules, true, "Content-Transfer-Encoding: 8bit\n\n\xfc\n\xfc!\n",
	    "X-Seen: qp\nContent-Transfer-Encoding: quoted-printable\n\n"
	    "umlaut\n=FC!\n");
}

static void
test_what_cannot_go_on(void **state)
{
	static const char deep[] =
	    "Content-Type: multipart/mixed; boundary=a\n\n--a\n"
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	    "Content-Type: multipart/mixed; boundary=c\n\n--c\n"
	    "Content-Type: multipart/mixed; boundary=d\n\n--d\n"
	    "Content-Type: multipart/mixed; boundary=e\n\n";
	struct rewriting_rules header = rules_of("A: 1=!", NULL, NULL);
	struct rewriting_rules body = rules_of(NULL, "x=!", NULL);
	struct rewriting_rules maps = rules_of(NULL, NULL, "a@b.test=!");
	struct buf out;

	(void)state;
	buf_init(&out, OUT_MAX);
	assert_int_equal(
	    run(&header, false, "A: 1\n\nx\n", &out), REWRITING_FAILED);
	assert_int_equal(
	    run(&body, false, "A: 1\n\nx\n", &out), REWRITING_FAILED);
	assert_int_equal(
	    run(&maps, false, "To: a@b.test\n\nx\n", &out), REWRITING_FAILED);
	assert_int_equal(run(&maps, true, deep, &out), REWRITING_TOO_DEEP);
	assert_int_equal(run(&maps, false, deep, &out), REWRITING_OK);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_where_nothing_is_wanted),
	    cmocka_unit_test(test_checks_of_headers_and_body),
	    cmocka_unit_test(test_checks_come_before_addresses),
	    cmocka_unit_test(test_checks_see_what_was_converted),
	    cmocka_unit_test(test_what_cannot_go_on),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
