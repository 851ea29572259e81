#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/smtp/reply.h"
#include "test/support/word_table.h"

static struct reply_parser parser;

static int
setup(void **state)
{
	(void)state;
	reply_parser_init(&parser);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	reply_parser_fini(&parser);
	return 0;
}

static enum reply_result
feed(const char *p, size_t n)
{
	size_t used;
	enum reply_result result = reply_feed(&parser, p, n, &used);

	assert_true(used <= n);
	return result;
}

static const struct example {
	const char *in;
	int code;
	const char *status;
	bool has_status, had_garbage;
	const char *text;
} examples[] = {
    {"250 2.1.0 Ok\r\n", 250, "2.1.0", true, false, "250 2.1.0 Ok"},
    {"250 Ok\r\n", 250, "2.0.0", false, false, "250 Ok"},
    {"250 Ok\n", 250, "2.0.0", false, false, "250 Ok"},
    {"250\r\n", 250, "2.0.0", false, false, "250"},
    {"250 \r\n", 250, "2.0.0", false, false, "250 "},
    {"250-a\r\n250-b\r\n250 c\r\n", 250, "2.0.0", false, false,
	"250-a\n250-b\n250 c"},
    {"550-5.1.1 no such\r\n550 5.1.1 user here\r\n", 550, "5.1.1", true, false,
	"550-5.1.1 no such\n550 5.1.1 user here"},
    /* The last line decides. */
    {"550-5.1.1 a\r\n450 4.2.0 b\r\n", 450, "4.2.0", true, false,
	"550-5.1.1 a\n450 4.2.0 b"},
    {"550-5.1.1 a\r\n550 b\r\n", 550, "5.0.0", false, false,
	"550-5.1.1 a\n550 b"},
    /* An enhanced code of another class does not count. */
    {"450 5.1.1 odd\r\n", 450, "4.0.0", false, false, "450 5.1.1 odd"},
    {"250    2.6.0  far\r\n", 250, "2.6.0", true, false, "250    2.6.0  far"},
    {"550 5.7.1\ttab\r\n", 550, "5.7.1", true, false, "550 5.7.1?tab"},
    {"550 5.7.1234 x\r\n", 550, "5.0.0", false, false, "550 5.7.1234 x"},
    {"354 End data with .\r\n", 354, "5.5.0", false, false,
	"354 End data with ."},
    {"354 2.0.0 go\r\n", 354, "5.5.0", false, false, "354 2.0.0 go"},
    {"199 x\r\n", 199, "5.5.0", false, false, "199 x"},
    {"000 x\r\n", 0, "5.5.0", false, false, "000 x"},
    {"999 x\r\n", 999, "5.5.0", false, false, "999 x"},
    /* Garbage is kept and flagged. */
    {"hello\r\n250 Ok\r\n", 250, "2.0.0", false, true, "hello\n250 Ok"},
    {"\r\n250 Ok\r\n", 250, "2.0.0", false, true, "\n250 Ok"},
    {"250_Ok\r\n2500 Ok\r\n25 Ok\r\n250 Ok\r\n", 250, "2.0.0", false, true,
	"250_Ok\n2500 Ok\n25 Ok\n250 Ok"},
    {" 250 Ok\r\n250 Ok\r\n", 250, "2.0.0", false, true, " 250 Ok\n250 Ok"},
    /* Octets that no log should see; a CR is one but at the line's end. */
    {"250 a\rb\x1b[1m\r\r\n", 250, "2.0.0", false, false, "250 a?b?[1m"},
    {"250 \xc3\xa4 \xc3( \xff\r\n", 250, "2.0.0", false, false,
	"250 \xc3\xa4 ?( ?"},
};
enum { EXAMPLES = sizeof examples / sizeof examples[0] };

static void
check_example(const struct example *e)
{
	const struct reply *r = reply_get(&parser);
	struct slice text = buf_slice(&r->text);

	assert_int_equal(r->code, e->code);
	assert_string_equal(r->status, e->status);
	assert_true(dsn_status_is_valid(r->status));
	assert_int_equal(r->has_status, e->has_status);
	assert_int_equal(r->had_garbage, e->had_garbage);
	assert_false(r->is_cut);
	assert_int_equal(text.n, strlen(e->text));
	assert_memory_equal(text.p, e->text, text.n);
}

static void
reply_is_read_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXAMPLES; i++) {
		const char *in = examples[i].in;
		size_t used;

		assert_int_equal(
		    reply_feed(&parser, in, strlen(in), &used), REPLY_DONE);
		assert_int_equal(used, strlen(in));
		check_example(&examples[i]);
	}
}

static void
reply_is_read_octet_by_octet(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXAMPLES; i++) {
		const char *in = examples[i].in;
		size_t n = strlen(in);

		assert_false(reply_is_partial(&parser));
		for (size_t at = 0; at < n; at++) {
			assert_int_equal(feed(in + at, 1),
			    at + 1 < n ? REPLY_MORE : REPLY_DONE);
			assert_int_equal(reply_is_partial(&parser), at + 1 < n);
		}
		check_example(&examples[i]);
	}
}

static void
reply_stream_is_cut_at_random_places(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct buf stream;

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	buf_init(&stream, 100000);
	for (size_t i = 0; i < EXAMPLES; i++)
		assert_true(buf_add_str(&stream, examples[i].in));
	for (int round = 0; round < 200; round++) {
		struct slice rest = buf_slice(&stream);
		size_t done = 0;

		while (rest.n > 0) {
			size_t n = 1 + (size_t)random() % 40, used;
			enum reply_result result;

			if (n > rest.n)
				n = rest.n;
			result = reply_feed(&parser, rest.p, n, &used);
			assert_int_not_equal(result, REPLY_BAD);
			if (result == REPLY_DONE)
				check_example(&examples[done++]);
			else
				assert_int_equal(used, n);
			rest = slice_of(rest.p + used, rest.n - used);
		}
		assert_int_equal(done, EXAMPLES);
	}
	buf_fini(&stream);
}

static void
reply_leaves_what_follows(void **state)
{
	const char *in = "250 a\r\n354 b\r\n2";
	size_t used;

	(void)state;
	assert_int_equal(
	    reply_feed(&parser, in, strlen(in), &used), REPLY_DONE);
	assert_int_equal(used, 7);
	in += used;
	assert_int_equal(
	    reply_feed(&parser, in, strlen(in), &used), REPLY_DONE);
	assert_int_equal(used, 7);
	assert_int_equal(reply_get(&parser)->code, 354);
	in += used;
	assert_int_equal(
	    reply_feed(&parser, in, strlen(in), &used), REPLY_MORE);
	assert_int_equal(used, 1);
	assert_true(reply_is_partial(&parser));
}

static void
reply_of_no_octets_is_more(void **state)
{
	size_t used = 9;

	(void)state;
	assert_int_equal(reply_feed(&parser, NULL, 0, &used), REPLY_MORE);
	assert_int_equal(used, 0);
	assert_false(reply_is_partial(&parser));
}

static void
reply_long_line_loses_its_tail(void **state)
{
	char line[REPLY_LINE_MAX + 500];

	(void)state;
	memset(line, 'x', sizeof line);
	memcpy(line, "450 4.7.0 ", 10);
	memcpy(line + sizeof line - 2, "\r\n", 2);
	assert_int_equal(feed(line, sizeof line), REPLY_DONE);
	assert_int_equal(reply_get(&parser)->code, 450);
	assert_string_equal(reply_get(&parser)->status, "4.7.0");
	assert_true(reply_get(&parser)->is_cut);
	assert_int_equal(buf_len(&reply_get(&parser)->text), REPLY_LINE_MAX);
	assert_int_equal(feed("250 ok\r\n", 8), REPLY_DONE);
	assert_false(reply_get(&parser)->is_cut);
}

static void
reply_of_many_lines_is_bounded_but_read_to_its_end(void **state)
{
	char line[120];

	(void)state;
	for (int i = 0; i < REPLY_LINES_LIMIT - 1; i++) {
		int n =
		    snprintf(line, sizeof line, "550-line %d %050d\r\n", i, 0);

		assert_int_equal(feed(line, (size_t)n), REPLY_MORE);
	}
	assert_int_equal(feed("450 4.4.4 last\r\n", 16), REPLY_DONE);
	assert_int_equal(reply_get(&parser)->code, 450);
	assert_string_equal(reply_get(&parser)->status, "4.4.4");
	assert_true(reply_get(&parser)->is_cut);
	assert_int_equal(buf_len(&reply_get(&parser)->text), REPLY_TEXT_MAX);
}

static void
reply_without_end_is_bad(void **state)
{
	int i;

	(void)state;
	for (i = 0; i <= REPLY_LINES_LIMIT; i++)
		if (feed("250-x\r\n", 7) == REPLY_BAD)
			break;
	assert_int_equal(i, REPLY_LINES_LIMIT);
	/* It stays so. */
	assert_int_equal(feed("250 x\r\n", 7), REPLY_BAD);
}

static void
reply_of_garbage_is_bad(void **state)
{
	int i;

	(void)state;
	for (i = 0; i <= REPLY_GARBAGE_LIMIT; i++)
		if (feed("\n", 1) == REPLY_BAD)
			break;
	assert_int_equal(i, REPLY_GARBAGE_LIMIT);
}

static void
reply_line_without_end_is_bad(void **state)
{
	size_t n = REPLY_LINE_LIMIT + 1;
	char *line = mem_alloc(n);

	(void)state;
	memset(line, 'x', n);
	assert_int_equal(feed(line, n - 1), REPLY_MORE);
	assert_int_equal(feed(line, 1), REPLY_BAD);
	mem_free(line);
}

static void
reply_text_is_one_line(void **state)
{
	char out[64], small[8];

	(void)state;
	assert_int_equal(
	    feed("550-a\r\n550 \xc3\xa4\xc3\xa4\r\n", 17), REPLY_DONE);
	reply_text(reply_get(&parser), out, sizeof out);
	assert_string_equal(out, "550-a 550 \xc3\xa4\xc3\xa4");
	reply_text(reply_get(&parser), small, sizeof small);
	assert_string_equal(small, "550-a 5");
	reply_text(reply_get(&parser), out, 12);
	assert_string_equal(out, "550-a 550 ?");
	reply_text(reply_get(&parser), out, 0);
}

/* "550" becomes "450", a line that ends in "gone" is kept. */
static enum rewriter_result
soften(void *ctx, const char *text, struct buf *out)
{
	int *calls = ctx;

	++*calls;
	if (strncmp(text, "550", 3) != 0 || strstr(text, "gone") != NULL)
		return REWRITER_KEPT;
	(void)buf_addf(out, "450%s", text + 3);
	return REWRITER_DONE;
}

static void
reply_lines_are_rewritten_before_they_are_read(void **state)
{
	char text[100];
	int calls = 0;
	struct rewriter rewriter = {soften, &calls};

	(void)state;
	reply_parser_rewrite(&parser, &rewriter, "mx", "192.0.2.1", "25");
	assert_int_equal(
	    feed("550-5.1.1 a\r\n550 4.1.1 b\r\n", 26), REPLY_DONE);
	assert_int_equal(calls, 2);
	assert_int_equal(reply_get(&parser)->code, 450);
	assert_string_equal(reply_get(&parser)->status, "4.1.1");
	assert_false(reply_get(&parser)->codes_differ);
	reply_text(reply_get(&parser), text, sizeof text);
	assert_string_equal(text, "450-5.1.1 a 450 4.1.1 b");
	/* what the server said is of one code, whatever is made of it */
	assert_int_equal(feed("550-gone\r\n550 5.1.1 b\r\n", 23), REPLY_DONE);
	assert_int_equal(reply_get(&parser)->code, 450);
	assert_false(reply_get(&parser)->codes_differ);
	assert_int_equal(feed("550 5.1.1 gone\r\n", 16), REPLY_DONE);
	assert_int_equal(reply_get(&parser)->code, 550);
	assert_int_equal(reply_get(&parser)->sent_code, 550);
}

static struct replaced {
	char table[48];
	const char *in;
	int code, sent_code;
	const char *status, *text;
	bool has_failed;
} replacements[] = {
    {"250 a=450 b", "250 a\r\n", 450, 250, "4.0.0", "450 b", false},
    {"no code=250 ok", "no code\r\n", 250, 250, "2.0.0", "250 ok", false},
    /* no code: the server's word holds, but a 5xx might have been softened */
    {"250 2.6.0 a=b", "250 2.6.0 a\r\n", 250, 250, "2.6.0", "250 2.6.0 a",
	false},
    {"250 a=", "250 a\r\n", 250, 250, "2.0.0", "250 a", false},
    {"354 a=354go", "354 a\r\n", 354, 354, "5.5.0", "354 a", false},
    {"451 a=b", "451 a\r\n", 451, 451, "4.0.0", "451 a", false},
    {"550 5.7.1 a=b", "550 5.7.1 a\r\n", 450, 550, "4.7.1", "550 5.7.1 a",
	false},
    {"250-a=b|250 c=250 d", "250-a\r\n250 c\r\n", 250, 250, "2.0.0", "b\n250 d",
	false},
    /* the table cannot be asked */
    {"250 a=!", "250 a\r\n", 250, 250, "2.0.0", "250 a", true},
    {"550-a=!", "550-a\r\n550 5.1.1 b\r\n", 450, 550, "4.1.1",
	"550-a\n550 5.1.1 b", true},
    {"550 5.1.1 b=!", "550-a\r\n550 5.1.1 b\r\n", 450, 550, "4.1.1",
	"550-a\n550 5.1.1 b", true},
    /* where the reply ends is the server's word */
    {"250 2.0.0 a=250-fine", "250 2.0.0 a\r\n", 250, 250, "2.0.0", "250 fine",
	false},
    {"250 a=450-4.2.0 b", "250 a\r\n", 450, 250, "4.2.0", "450 4.2.0 b", false},
    {"250=250-", "250\r\n", 250, 250, "2.0.0", "250 ", false},
    {"550-a=450 4.2.0 later", "550-a\r\n550 5.1.1 b\r\n", 450, 550, "4.2.0",
	"450 4.2.0 later", false},
    {"550-a=450|550-b=550 c|550 d=250 e|550 f=!", "550-a\r\n550-b\r\n550 d\r\n",
	450, 550, "4.0.0", "450", false},
    {"250-a=421 b", "250-a\r\n250 c\r\n", 450, 250, "4.0.0", "421 b", false},
    {"550-a=450-4.2.0 b", "550-a\r\n550 5.1.1 c\r\n", 550, 550, "5.1.1",
	"450-4.2.0 b\n550 5.1.1 c", false},
    /* unless the server says nothing at all */
    {"junk=250-filler", "junk\r\n550 a\r\n", 550, 550, "5.0.0",
	"250-filler\n550 a", false},
    {"junk=450 b", "550-a\r\njunk\r\n550 c\r\n", 450, 550, "4.0.0",
	"550-a\n450 b", false},
    /* the server goes on */
    {"250 a=421 b", "250 a\r\n", 450, 250, "4.0.0", "421 b", false},
    {"450 a=421 b", "450 a\r\n", 421, 450, "4.0.0", "421 b", false},
};

static void
check_text(const char *text)
{
	struct slice is = buf_slice(&reply_get(&parser)->text);

	assert_int_equal(is.n, strlen(text));
	assert_memory_equal(is.p, text, is.n);
}

static void
what_replaces_a_reply_line_leaves_it_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof replacements / sizeof *replacements;
	     i++) {
		struct replaced *e = &replacements[i];
		struct rewriter rewriter = {word_table_ask, e->table};
		const struct reply *r = reply_get(&parser);

		reply_parser_rewrite(
		    &parser, &rewriter, "mx", "192.0.2.1", "25");
		assert_int_equal(feed(e->in, strlen(e->in)), REPLY_DONE);
		assert_int_equal(r->code, e->code);
		assert_int_equal(r->sent_code, e->sent_code);
		assert_string_equal(r->status, e->status);
		assert_int_equal(r->rewriter_failed, e->has_failed);
		assert_false(r->had_garbage);
		check_text(e->text);
	}
}

static void
a_replacement_is_distrusted_by_who_asked(void **state)
{
	char table[] = "250 a=354 b|554 5.6.0 c=250 d|554-e=250 f";
	struct rewriter rewriter = {word_table_ask, table};

	(void)state;
	reply_parser_rewrite(&parser, &rewriter, "mx", "192.0.2.1", "25");
	assert_int_equal(feed("250 a\r\n", 7), REPLY_DONE);
	reply_distrust_rewriter(&parser, "why");
	assert_int_equal(reply_get(&parser)->code, 250);
	assert_string_equal(reply_get(&parser)->status, "2.0.0");
	check_text("250 a");
	assert_int_equal(feed("554 5.6.0 c\r\n", 13), REPLY_DONE);
	assert_int_equal(reply_get(&parser)->code, 250);
	reply_distrust_rewriter(&parser, "why");
	assert_int_equal(reply_get(&parser)->code, 450);
	assert_string_equal(reply_get(&parser)->status, "4.6.0");
	check_text("554 5.6.0 c");
	assert_int_equal(
	    feed("554-first\r\n554-e\r\n554 5.6.1 g\r\n", 31), REPLY_DONE);
	assert_int_equal(reply_get(&parser)->code, 250);
	check_text("554-first\n250 f");
	reply_distrust_rewriter(&parser, "why");
	assert_int_equal(reply_get(&parser)->code, 450);
	assert_string_equal(reply_get(&parser)->status, "4.6.1");
	check_text("554-first\n554 5.6.1 g");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(reply_is_read_whole),
	    TEST(reply_is_read_octet_by_octet),
	    TEST(reply_stream_is_cut_at_random_places),
	    TEST(reply_leaves_what_follows),
	    TEST(reply_of_no_octets_is_more),
	    TEST(reply_long_line_loses_its_tail),
	    TEST(reply_of_many_lines_is_bounded_but_read_to_its_end),
	    TEST(reply_without_end_is_bad),
	    TEST(reply_of_garbage_is_bad),
	    TEST(reply_line_without_end_is_bad),
	    TEST(reply_text_is_one_line),
	    TEST(reply_lines_are_rewritten_before_they_are_read),
	    TEST(what_replaces_a_reply_line_leaves_it_one),
	    TEST(a_replacement_is_distrusted_by_who_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
