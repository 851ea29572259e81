#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/smtp/xtext.h"

static void
assert_text(struct buf *b, const char *text)
{
	assert_string_equal(buf_str(b), text);
}

static void
xtext_escapes_what_it_must(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_true(xtext_encode(&out, slice_str("a+b=c d~!")));
	assert_text(&out, "a+2Bb+3Dc+20d~!");
	buf_reset(&out);
	assert_true(xtext_encode(&out, slice_of("\r\n\0\x7f\xff", 5)));
	assert_text(&out, "+0D+0A+00+7F+FF");
	buf_fini(&out);
}

/* As RFC 3461 4 says what an encoder has to have done. */
static size_t
decode(const char *text, char *out)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		unsigned value;

		if (*text != '+') {
			assert_true(
			    *text > ' ' && *text < 0x7f && *text != '=');
			out[n++] = *text;
			continue;
		}
		assert_int_equal(sscanf(text, "+%2X", &value), 1);
		out[n++] = (char)value;
		text += 2;
	}
	return n;
}

static void
xtext_stands_for_any_octet(void **state)
{
	struct buf coded;
	char all[256], raw[256];

	(void)state;
	buf_init(&coded, 1000);
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)i;
	assert_true(xtext_encode(&coded, slice_of(all, sizeof all)));
	assert_int_equal(decode(buf_str(&coded), raw), sizeof all);
	assert_memory_equal(raw, all, sizeof all);
	buf_fini(&coded);
}

static void
unitext_is_seven_bit(void **state)
{
	static const struct {
		const char *raw, *coded;
	} t[] = {
	    {"utf-8;bob@example.org", "utf-8;bob@example.org"},
	    {"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "a\\x{E4}\\x{20AC}"
						      "\\x{1F600}"},
	    {"a+b=c\\d e", "a\\x{2B}b\\x{3D}c\\x{5C}d\\x{20}e"},
	    {"\n", "\\x{0A}"},
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		buf_reset(&out);
		assert_true(unitext_encode(&out, slice_str(t[i].raw)));
		assert_text(&out, t[i].coded);
	}
	buf_fini(&out);
}

static void
unitext_refuses_malformed_text(void **state)
{
	static const char *const bad_raw[] = {"\xff", "a\xc3", "\xc0\x80",
	    "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_true(buf_add_str(&out, "was"));
	for (size_t i = 0; i < sizeof bad_raw / sizeof bad_raw[0]; i++) {
		assert_false(utf8_is_valid(slice_str(bad_raw[i])));
		assert_false(unitext_encode(&out, slice_str(bad_raw[i])));
		assert_text(&out, "was");
	}
	buf_fini(&out);
}

static void
encoders_without_room_leave_out_alone(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 8);
	assert_true(buf_add_str(&out, "was"));
	assert_false(xtext_encode(&out, slice_str("a b c")));
	assert_false(unitext_encode(&out, slice_str("a b")));
	assert_text(&out, "was");
	assert_true(buf_ok(&out));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(xtext_escapes_what_it_must),
	    cmocka_unit_test(xtext_stands_for_any_octet),
	    cmocka_unit_test(unitext_is_seven_bit),
	    cmocka_unit_test(unitext_refuses_malformed_text),
	    cmocka_unit_test(encoders_without_room_leave_out_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
