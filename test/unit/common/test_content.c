#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/smtp/content.h"
#include "test/support/fixture.h"

enum { OUT_MAX = 1048576 };

/* "|" ends a piece and its line, "+" ends a piece and leaves the line open. */
static void
encode(struct content *c, const char *script, struct buf *out)
{
	while (*script != '\0') {
		size_t n = strcspn(script, "|+");

		content_put(c, slice_of(script, n), script[n] == '|', out);
		script += n + 1;
	}
	content_end(c, out);
}

static void
content_is_encoded_as_smtp_does(void **state)
{
	static const struct {
		int limit;
		bool dots;
		const char *script, *want;
		bool was_folded;
	} cases[] = {
	    {0, true, "", "", false},
	    {0, true, "|", "\r\n", false},
	    {0, true, "a|b|", "a\r\nb\r\n", false},
	    {0, true, "a+b|", "ab\r\n", false},
	    /* a line left open at the end gets its CRLF, an empty one too */
	    {0, true, "a+", "a\r\n", false},
	    {0, true, "a|+", "a\r\n\r\n", false},
	    {0, true, "a+|", "a\r\n", false},
	    /* dots: only where a line starts */
	    {0, true, ".|..|a.|", "..\r\n...\r\na.\r\n", false},
	    {0, false, ".|..|a.|", ".\r\n..\r\na.\r\n", false},
	    {0, true, "a+.b+.|", "a.b.\r\n", false},
	    {0, true, "+.|", "..\r\n", false},
	    /* bare CR and LF, at the end of a line and of the message too */
	    {0, true, "a\rb\n|\r|\n.|", "a b \r\n \r\n .\r\n", false},
	    {0, true, "a\r+\n.+", "a  .\r\n", false},
	    /* folds; a doubled dot does not count, the blank does */
	    {5, true, "abcde|", "abcde\r\n", false},
	    {5, true, "abcdef|", "abcde\r\n f\r\n", true},
	    {5, true, "abcdefghi|", "abcde\r\n fghi\r\n", true},
	    {5, true, "abcdefghij|", "abcde\r\n fghi\r\n j\r\n", true},
	    {5, true, "abcdefgh+ij|", "abcde\r\n fghi\r\n j\r\n", true},
	    {5, true, ".....|", "......\r\n", false},
	    {5, true, "......|", "......\r\n .\r\n", true},
	    {5, true, "abcde....|", "abcde\r\n ....\r\n", true},
	    /* an open piece that fills the line is folded at once */
	    {5, true, "abcde+|", "abcde\r\n \r\n", true},
	    {5, true, "abcde+", "abcde\r\n \r\n", true},
	    {5, true, "abcde+.|", "abcde\r\n .\r\n", true},
	    {5, true, "abcde+fghi+j|", "abcde\r\n fghi\r\n j\r\n", true},
	    {5, true, "abcd+e|", "abcde\r\n", false},
	    {5, true, "abcde|.|", "abcde\r\n..\r\n", false},
	    {2, true, "abc|", "ab\r\n c\r\n", true},
	    {1, true, "abc|", "ab\r\n c\r\n", true},
	    {-1, true, "abcdef|", "abcdef\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct content c;
		struct buf out;

		print_message("%d \"%s\"\n", cases[i].limit, cases[i].script);
		buf_init(&out, OUT_MAX);
		content_init(&c, cases[i].limit, cases[i].dots);
		encode(&c, cases[i].script, &out);
		assert_string_equal(buf_str(&out), cases[i].want);
		assert_int_equal(c.was_folded, cases[i].was_folded);
		buf_fini(&out);
	}
}

/* The case that made the rule of content.h: line_length_limit is 2048, and so
 * is smtp_line_length_limit. A line of 2048 octets comes as L 2048, N 0. */
static void
content_full_open_record_leaves_a_blank_line(void **state)
{
	char line[2049];
	struct content c;
	struct buf out;

	(void)state;
	memset(line, 'x', sizeof(line));
	buf_init(&out, OUT_MAX);
	content_init(&c, 2048, true);
	content_put(&c, slice_of(line, 2047), true, &out);
	assert_int_equal(buf_len(&out), 2049);
	buf_reset(&out);
	content_put(&c, slice_of(line, 2048), false, &out);
	content_put(&c, slice_of(NULL, 0), true, &out);
	assert_int_equal(buf_len(&out), 2053);
	assert_string_equal(buf_str(&out) + 2048, "\r\n \r\n");
	buf_reset(&out);
	content_put(&c, slice_of(line, 2048), false, &out);
	content_put(&c, slice_of(".", 1), true, &out);
	assert_string_equal(buf_str(&out) + 2048, "\r\n .\r\n");
	buf_fini(&out);
}

static void
content_passes_8bit_octets_and_nul(void **state)
{
	struct content c;
	struct buf out;

	(void)state;
	buf_init(&out, OUT_MAX);
	for (size_t n = 1; n < 40; n++) {
		for (size_t at = 0; at < n; at++) {
			char line[40] = {0};

			buf_reset(&out);
			content_init(&c, 0, true);
			line[at] = (char)(unsigned char)0x80;
			content_put(&c, slice_of(line, n), true, &out);
			assert_int_equal(buf_len(&out), n + 2);
			assert_memory_equal(buf_slice(&out).p, line, n);
		}
	}
	buf_fini(&out);
}

/* Cutting a piece anywhere but at its end changes nothing, and no piece makes
 * more than content_room() says. */
static void
content_cuts_inside_a_piece_do_not_show(void **state)
{
	static const char letters[] = "..ab\r\n";
	struct fixture_random random;
	struct buf whole, cut;

	(void)state;
	fixture_random_init(&random);
	buf_init(&whole, OUT_MAX);
	buf_init(&cut, OUT_MAX);
	for (int round = 0; round < 3000; round++) {
		int limit = (int)fixture_random_below(&random, 12);
		struct content a, b;

		buf_reset(&whole);
		buf_reset(&cut);
		content_init(&a, limit, round % 2);
		content_init(&b, limit, round % 2);
		for (int piece = 0; piece < 6; piece++) {
			char data[30];
			size_t n = fixture_random_below(&random, sizeof(data));
			size_t at = 0, before = buf_len(&whole);
			bool ends = fixture_random_below(&random, 2);

			for (size_t i = 0; i < n; i++)
				data[i] =
				    letters[fixture_random_below(&random, 6)];
			content_put(&a, slice_of(data, n), ends, &whole);
			assert_true(
			    buf_len(&whole) - before <= content_room(&a, n));
			while (n - at > 1) {
				size_t step = 1 + fixture_random_below(
						      &random, n - at - 1);

				content_put(
				    &b, slice_of(data + at, step), false, &cut);
				at += step;
			}
			content_put(
			    &b, slice_of(data + at, n - at), ends, &cut);
		}
		content_end(&a, &whole);
		content_end(&b, &cut);
		assert_string_equal(buf_str(&whole), buf_str(&cut));
	}
	buf_fini(&cut);
	buf_fini(&whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(content_is_encoded_as_smtp_does),
	    cmocka_unit_test(content_full_open_record_leaves_a_blank_line),
	    cmocka_unit_test(content_passes_8bit_octets_and_nul),
	    cmocka_unit_test(content_cuts_inside_a_piece_do_not_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
