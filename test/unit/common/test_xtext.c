#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void
xtext_decodes_what_it_encoded(void **state)
{
	struct buf coded, raw;
	char all[256];

	(void)state;
	buf_init(&coded, 1000);
	buf_init(&raw, 1000);
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)i;
	assert_true(xtext_encode(&coded, slice_of(all, sizeof all)));
	assert_true(xtext_decode(&raw, buf_slice(&coded)));
	assert_int_equal(buf_len(&raw), sizeof all);
	assert_memory_equal(buf_slice(&raw).p, all, sizeof all);
	buf_reset(&raw);
	assert_true(xtext_decode(&raw, slice_str("+2b+2B")));
	assert_text(&raw, "++");
	buf_fini(&coded);
	buf_fini(&raw);
}

static void
xtext_refuses_malformed_text_and_leaves_out_alone(void **state)
{
	static const char *const t[] = {
	    "a+", "a+2", "a+2G", "a+G2", "a b", "a=b", "a\xc3\xa4", "a\x7f"};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_true(buf_add_str(&out, "was"));
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		assert_false(xtext_decode(&out, slice_str(t[i])));
		assert_text(&out, "was");
		assert_true(buf_ok(&out));
	}
	buf_fini(&out);
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
		buf_reset(&out);
		assert_true(unitext_decode(&out, slice_str(t[i].coded)));
		assert_text(&out, t[i].raw);
	}
	buf_reset(&out);
	assert_true(unitext_decode(&out, slice_str("a\xc3\xa4")));
	assert_text(&out, "a\xc3\xa4");
	buf_fini(&out);
}

static void
unitext_refuses_malformed_text(void **state)
{
	static const char *const bad_raw[] = {"\xff", "a\xc3", "\xc0\x80",
	    "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"};
	static const char *const bad_coded[] = {"\\", "\\x", "\\x{", "\\x{}",
	    "\\x{4", "\\x{G}", "\\x{D800}", "\\x{110000}", "\\x{0000041}",
	    "\\y{41}", "a b", "a+b", "a=b", "\xc3"};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_true(buf_add_str(&out, "was"));
	for (size_t i = 0; i < sizeof bad_raw / sizeof bad_raw[0]; i++) {
		assert_false(utf8_is_valid(slice_str(bad_raw[i])));
		assert_false(unitext_encode(&out, slice_str(bad_raw[i])));
		assert_text(&out, "was");
	}
	for (size_t i = 0; i < sizeof bad_coded / sizeof bad_coded[0]; i++) {
		assert_false(unitext_decode(&out, slice_str(bad_coded[i])));
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
	assert_false(xtext_decode(&out, slice_str("abcdefgh")));
	assert_false(unitext_decode(&out, slice_str("abcdefgh")));
	assert_text(&out, "was");
	assert_true(buf_ok(&out));
	buf_fini(&out);
}

static void
random_octets_survive_the_decoders(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	static const char alphabet[] = "+=\\x{}0aF \xc3\xa4z";
	struct buf out;

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	buf_init(&out, 1000);
	for (int round = 0; round < 20000; round++) {
		char text[12];
		size_t n = (size_t)random() % sizeof text;

		for (size_t i = 0; i < n; i++)
			text[i] =
			    alphabet[(size_t)random() % (sizeof alphabet - 1)];
		buf_reset(&out);
		(void)xtext_decode(&out, slice_of(text, n));
		buf_reset(&out);
		if (unitext_decode(&out, slice_of(text, n)))
			assert_true(utf8_is_valid(buf_slice(&out)));
	}
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(xtext_escapes_what_it_must),
	    cmocka_unit_test(xtext_decodes_what_it_encoded),
	    cmocka_unit_test(xtext_refuses_malformed_text_and_leaves_out_alone),
	    cmocka_unit_test(unitext_is_seven_bit),
	    cmocka_unit_test(unitext_refuses_malformed_text),
	    cmocka_unit_test(encoders_without_room_leave_out_alone),
	    cmocka_unit_test(random_octets_survive_the_decoders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
