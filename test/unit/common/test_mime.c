#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/smtp/mime.h"

enum { OUT_MAX = 4 << 20 };

static const struct mime_limits limits = {100, 70, 3};

/* "P:name: value|" for headers, by class; "=line|" or "=piece+" for body. */
static void
on_header(
    void *ctx, enum mime_class class, enum header_kind kind, struct buf *text)
{
	(void)kind;
	(void)buf_addf(ctx, "%c:%s|", "PMN"[class], buf_str(text));
}

static void
on_body(void *ctx, struct slice piece, bool ends_line)
{
	(void)buf_addf(
	    ctx, "=%.*s%c", (int)piece.n, piece.p, ends_line ? '|' : '+');
}

static const struct mime_ops ops = {on_header, on_body};

/* "|" ends a piece and its line, "+" ends a piece and leaves the line open. */
static bool
tell(const char *script, bool headers_only, bool to_7bit, struct buf *out)
{
	struct mime *m = mime_new(&limits, headers_only, to_7bit, &ops, out);
	bool is_ok = true;

	buf_reset(out);
	while (*script != '\0' && is_ok) {
		size_t n = strcspn(script, "|+");

		is_ok = mime_put(m, slice_of(script, n), script[n] == '|');
		script += n + 1;
	}
	is_ok = is_ok && mime_end(m);
	mime_free(&m);
	return is_ok;
}

#define MULTI "Content-Type: multipart/mixed; boundary=b|"
#define EIGHT "Content-Transfer-Encoding: 8bit|"
#define QP "Content-Transfer-Encoding: quoted-printable|"

static void
mime_tells_headers_and_body(void **state)
{
	static const struct {
		const char *script, *want;
	} cases[] = {
	    {"", ""},
	    {"a: b||c|", "P:a: b|=|=c|"},
	    {"a: b|", "P:a: b|"},
	    {"a: b+", "P:a: b|"},
	    {"a : b||", "P:a: b|=|"},
	    {"a: b| c|\td||", "P:a: b\n c\n\td|=|"},
	    {"a: b+c+d|e: f||g+h|", "P:a: bcd|P:e: f|=|=g+=h|"},
	    /* what is no header ends them, and gets its empty line */
	    {"a: b|x|c: d|", "P:a: b|=|=x|=c: d|"},
	    {" x|", "=|= x|"},
	    {"|a: b|", "=|=a: b|"},
	    {"a: b||c+", "P:a: b|=|=c+=|"},
	    /* parts */
	    {MULTI "|--b|c: d||--b--|e: f|",
		"P:Content-Type: multipart/mixed; boundary=b|=|=--b|M:c: d|=|="
		"--b--|=e: f|"},
	    {MULTI "|--b|x|--b|c: d|",
		"P:Content-Type: multipart/mixed; boundary=b|=|=--b|=x|=--b|"
		"M:c: d|"},
	    {"Content-Type: message/rfc822||c: d||e: f|",
		"P:Content-Type: message/rfc822|=|N:c: d|=|=e: f|"},
	    {"Content-Type: multipart/digest; boundary=\"b\"||--b||c: d||e|",
		"P:Content-Type: multipart/digest; "
		"boundary=\"b\"|=|=--b|=|N:c: "
		"d|=|=e|"},
	    /* a boundary is no boundary within a line */
	    {MULTI "|x+--b|c: d|",
		"P:Content-Type: multipart/mixed; boundary=b|=|=x+=--b|=c: d|"},
	};
	struct buf out;

	(void)state;
	buf_init(&out, OUT_MAX);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(tell(cases[i].script, false, false, &out));
		assert_string_equal(buf_str(&out), cases[i].want);
	}
	assert_true(tell(MULTI "|--b|c: d|", true, false, &out));
	assert_string_equal(buf_str(&out),
	    "P:Content-Type: multipart/mixed; boundary=b|=|=--b|=c: d|");
	buf_fini(&out);
}

static void
mime_converts_what_says_it_is_8bit(void **state)
{
	static const struct {
		const char *script, *want;
	} cases[] = {
	    {"a: b||\xfc|", "P:a: b|=|=\xfc|"},
	    {EIGHT "a: b||\xfc=\t|", "P:a: b|P:" QP "=|==FC=3D=09|"},
	    {EIGHT "|a+\xfc+ |", "P:" QP "=|=a=FC=20|"},
	    {EIGHT, "P:" QP},
	    {"Content-Transfer-Encoding: base64||\xfc|",
		"P:Content-Transfer-Encoding: base64|=|=\xfc|"},
	    {MULTI EIGHT "|\xe4|--b|" EIGHT "|\xfc|--b||\xfc|",
		"P:Content-Type: multipart/mixed; boundary=b|"
		"P:Content-Transfer-Encoding: 7bit|=|=\xe4|=--b|M:" QP
		"=|==FC|=--b|=|=\xfc|"},
	    {"Content-Type: message/global|" EIGHT "|a: \xfc|",
		"P:Content-Type: message/global|P:" QP "=|=a: =FC|"},
	    {EIGHT "a: b|x|", "P:a: b|P:" QP "=|=x|"},
	};
	struct buf out;
	char line[81], script[200];

	(void)state;
	buf_init(&out, OUT_MAX);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(tell(cases[i].script, false, true, &out));
		assert_string_equal(buf_str(&out), cases[i].want);
	}
	memset(line, 'x', 80);
	line[80] = '\0';
	(void)snprintf(script, sizeof(script), EIGHT "|%s|", line);
	assert_true(tell(script, true, true, &out));
	line[73] = '\0';
	assert_non_null(strstr(buf_str(&out), line));
	assert_non_null(strstr(buf_str(&out), "x=|=xxxxxxx|"));
	buf_fini(&out);
}

static void
mime_bounds_what_it_keeps(void **state)
{
	static const char level[] =
	    "Content-Type: multipart/x; boundary=b||--b|";
	struct buf out, script;

	(void)state;
	buf_init(&out, OUT_MAX);
	buf_init(&script, OUT_MAX);
	(void)buf_add_str(&script, "a: b|");
	for (int i = 0; i < 1000; i++)
		(void)buf_add_str(&script, " 0123456789|");
	assert_true(tell(buf_str(&script), false, false, &out));
	assert_in_range(buf_len(&out), 100, 115);
	buf_reset(&script);
	for (int i = 0; i < 5; i++)
		(void)buf_add_str(&script, level);
	assert_true(tell(buf_str(&script), false, true, &out));
	(void)buf_add_str(&script, level);
	assert_true(tell(buf_str(&script), false, false, &out));
	assert_false(tell(buf_str(&script), false, true, &out));
	buf_fini(&script);
	buf_fini(&out);
}

static void
mime_ends_a_header_piece_at_nul(void **state)
{
	struct buf out;
	struct mime *m;

	(void)state;
	buf_init(&out, OUT_MAX);
	m = mime_new(&limits, false, false, &ops, &out);
	assert_true(mime_put(m, slice_of("a: b\0c", 6), true));
	assert_true(mime_put(m, slice_of(" d\0", 3), false));
	assert_true(mime_put(m, slice_of("e", 1), true));
	assert_true(mime_end(m));
	assert_string_equal(buf_str(&out), "P:a: b\n de|");
	mime_free(&m);
	buf_fini(&out);
}

static void
header_names_are_told(void **state)
{
	(void)state;
	assert_int_equal(header_name_length(slice_str("a: b")), 1);
	assert_int_equal(header_name_length(slice_str("abc \t:")), 3);
	assert_int_equal(header_name_length(slice_str(":b")), 0);
	assert_int_equal(header_name_length(slice_str("a b:")), 0);
	assert_int_equal(header_name_length(slice_str("\xfc:")), 0);
	assert_int_equal(header_name_length(slice_str("a")), 0);
	assert_int_equal(header_kind("rEPLY-to: x"), HEADER_ADDRESSES);
	assert_int_equal(header_kind("To : x"), HEADER_ADDRESSES);
	assert_int_equal(header_kind("Tow: x"), HEADER_OTHER);
	assert_int_equal(header_kind("T: x"), HEADER_OTHER);
	assert_int_equal(header_kind("Content-Type:"), HEADER_CONTENT_TYPE);
	assert_int_equal(header_kind("MIME-Version:"), HEADER_MIME);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mime_tells_headers_and_body),
	    cmocka_unit_test(mime_converts_what_says_it_is_8bit),
	    cmocka_unit_test(mime_bounds_what_it_keeps),
	    cmocka_unit_test(mime_ends_a_header_piece_at_nul),
	    cmocka_unit_test(header_names_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
