#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/engine/message.h"
#include "common/base/mem.h"
#include "test/support/fixture.h"
#include "test/support/queue_source.h"

enum { LIMIT = 998, OUT_MAX = 4194304 };

/* A message that waits holds no window; others: what was allocated beside it
 * and its output. */
static void
assert_gives_back(const struct buf *out, int64_t others)
{
	assert_true(fixture_heap() - (int64_t)out->cap - others < 1024);
}

/* Reads a message to its end: in steps of max, or with `random` in steps of
 * any size, giving the window back now and then. Returns the final result. */
static enum message_result
read_all(struct message *m, struct buf *out, size_t max,
    struct fixture_random *random)
{
	int64_t others = fixture_heap() - (int64_t)out->cap;
	enum message_result result;
	size_t steps = 0;

	do {
		size_t before = buf_len(out);

		if (random != NULL) {
			max = fixture_random_below(random, 300);
			if (fixture_random_below(random, 4) == 0) {
				message_release(m);
				assert_gives_back(out, others);
			}
		}
		result = message_read(m, out, max);
		assert_true(buf_len(out) - before <= max + MESSAGE_SLACK);
		assert_true(result != MESSAGE_MORE || max == 0 ||
			    buf_len(out) > before);
		assert_true(++steps < 10000000);
	} while (result == MESSAGE_MORE);
	assert_int_equal(message_read(m, out, max), result);
	assert_int_equal(message_octets(m), buf_len(out));
	assert_gives_back(out, others);
	return result;
}

static void
assert_same(const struct buf *a, const struct buf *b)
{
	assert_int_equal(buf_len(a), buf_len(b));
	assert_memory_equal(buf_slice(a).p, buf_slice(b).p, buf_len(a));
}

static void
assert_message(struct slice file, int limit, const char *want,
    enum message_result want_result)
{
	struct queue_source s;
	struct message *m;
	struct buf out;

	buf_init(&out, OUT_MAX);
	queue_source_init(&s, file);
	m = message_new(queue_source_of(&s), 0, limit);
	assert_int_equal(read_all(m, &out, SIZE_MAX / 2, NULL), want_result);
	if (want != NULL)
		assert_string_equal(buf_str(&out), want);
	message_free(&m);
	assert_null(m);
	buf_fini(&out);
}

#define FILE_OF(s) slice_of(s, sizeof(s) - 1)

static void
message_ends_at_the_x_record_and_nowhere_else(void **state)
{
	static const struct {
		struct slice file;
		const char *want;
		enum message_result result;
	} cases[] = {
	    {{"X\0", 2}, "", MESSAGE_END},
	    {{"N\1aX\0E\0", 7}, "a\r\n", MESSAGE_END},
	    {{"L\1aX\0", 5}, "a\r\n", MESSAGE_END},
	    {{"L\1aN\0X\0", 7}, "a\r\n", MESSAGE_END},
	    {{"L\0X\0", 4}, "\r\n", MESSAGE_END},
	    {{"N\1.w\3abcN\2..X\0", 14}, "..\r\n...\r\n", MESSAGE_END},
	    {{"", 0}, "", MESSAGE_CORRUPT},
	    {{"N\1a", 3}, "a\r\n", MESSAGE_CORRUPT},
	    {{"N\1aE\0", 5}, "a\r\n", MESSAGE_CORRUPT},
	    {{"N\1aM\0X\0", 7}, "a\r\n", MESSAGE_CORRUPT},
	    {{"N\1aR\1bX\0", 8}, "a\r\n", MESSAGE_CORRUPT},
	    {{"N\1aN\5b", 6}, "a\r\n", MESSAGE_CORRUPT},
	    {{"L\1aN\5b", 6}, "a", MESSAGE_CORRUPT},
	    {{"N\1aX", 4}, "a\r\n", MESSAGE_CORRUPT},
	    {{"N\1aX\1", 5}, "a\r\n", MESSAGE_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("case %zu\n", i);
		assert_message(
		    cases[i].file, LIMIT, cases[i].want, cases[i].result);
	}
}

/* By hand, from what was submitted, for the captures with a catch. */
static void
message_of_captures_ends_as_submitted(void **state)
{
	const struct {
		const char *name;
		struct slice tail;
	} cases[] = {
	    {"small-text", FILE_OF("\r\n\r\nHello Bob.\r\n..leading dot\r\n"
				   "...two dots\r\n\r\nBye\r\n")},
	    {"small-text.3.4.29",
		FILE_OF("\r\n\r\nHello Bob.\r\n..leading dot\r\n\r\nBye\r\n")},
	    {"smtp-no-final-newline",
		FILE_OF("\r\n\r\nlast line without newline\r\n")},
	    {"sendmail-no-newline",
		FILE_OF("\r\n\r\nno newline at end via sendmail\r\n")},
	    {"embedded-nul", FILE_OF("\r\n\r\na\0b\r\nbare cr\r\nlast\r\n")},
	    {"longid-embedded-nul-cr.3.4.29",
		FILE_OF("\r\n\r\na\0b\r\nbare cr\r\nlast\r\n")},
	    {"milter-headers-ptr",
		FILE_OF("\r\nX-Last: z\r\nX-Milter-Added: added at end\r\n"
			"\r\noriginal body\r\n")},
	    {"milter-headers-body-ptr",
		FILE_OF("\r\nX-Last: z\r\nX-Milter-Added: added at end\r\n"
			"\r\nReplacement body line 1\r\n"
			"Replacement body line 2, a longer one to force "
			"growth of the body region in the queue file\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = mem_printf("queue/%s.qf", cases[i].name);
		struct slice tail = cases[i].tail;
		struct buf file, out;
		struct queue_source s;
		struct message *m;

		print_message("%s\n", cases[i].name);
		fixture_read(path, &file);
		buf_init(&out, OUT_MAX);
		queue_source_init(&s, buf_slice(&file));
		m = message_new(queue_source_of(&s),
		    queue_content_offset(cases[i].name), LIMIT);
		assert_int_equal(read_all(m, &out, 65536, NULL), MESSAGE_END);
		assert_true(buf_len(&out) > tail.n);
		assert_memory_equal(
		    out.data + out.len - tail.n, tail.p, tail.n);
		message_free(&m);
		buf_fini(&out);
		buf_fini(&file);
		mem_free(path);
	}
}

/* 2047, 2048 and 2049 octets, as cleanup(8) stores them, folded at 998: parts
 * of 998, then blank and 997. */
static void
message_folds_long_records_at_the_line_limit(void **state)
{
	static const struct {
		size_t cont, norm, last_part;
	} cases[] = {{0, 2047, 1 + 52}, {2048, 0, 1 + 53}, {2048, 1, 1 + 54}};
	char line[2048];

	(void)state;
	memset(line, '.', sizeof(line));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_source s;
		struct buf file, out, want;
		struct message *m;

		buf_init(&file, OUT_MAX);
		buf_init(&out, OUT_MAX);
		buf_init(&want, OUT_MAX);
		if (cases[i].cont > 0)
			(void)queue_put(
			    &file, 'L', slice_of(line, cases[i].cont));
		(void)queue_put(&file, 'N', slice_of(line, cases[i].norm));
		(void)queue_put_str(&file, 'X', "");
		(void)buf_add_char(&want, '.');
		(void)buf_add(&want, line, 998);
		(void)buf_add_str(&want, "\r\n ");
		(void)buf_add(&want, line, 997);
		(void)buf_add_str(&want, "\r\n ");
		(void)buf_add(&want, line, cases[i].last_part - 1);
		(void)buf_add_str(&want, "\r\n");
		queue_source_init(&s, buf_slice(&file));
		m = message_new(queue_source_of(&s), 0, LIMIT);
		assert_false(message_was_folded(m));
		assert_int_equal(read_all(m, &out, 65536, NULL), MESSAGE_END);
		assert_same(&out, &want);
		message_rewind(m, false);
		assert_true(message_was_folded(m));
		buf_reset(&out);
		assert_int_equal(read_all(m, &out, 65536, NULL), MESSAGE_END);
		buf_consume(&want, 1);
		assert_same(&out, &want);
		message_free(&m);
		buf_fini(&want);
		buf_fini(&out);
		buf_fini(&file);
	}
}

/* Undoes dot stuffing line by line. */
static void
unstuff(const struct buf *in, struct buf *out)
{
	struct slice s = buf_slice(in);

	while (s.n > 0) {
		const char *lf = memchr(s.p, '\n', s.n);
		size_t n = lf ? (size_t)(lf - s.p) + 1 : s.n;
		size_t skip = s.p[0] == '.';

		(void)buf_add(out, s.p + skip, n - skip);
		s = slice_of(s.p + n, s.n - n);
	}
}

static void
check_capture(const char *name, void *random)
{
	char *queue_path = mem_printf("queue/%s.qf", name);
	char *want_path = mem_printf("queue/%s.octets", name);
	int64_t off = queue_content_offset(name);
	struct buf file, want, want_bdat, out;
	struct queue_source s;
	struct message *m;

	if (off < 0) {
		assert_memory_equal(name, "truncated", 9);
		goto out;
	}
	fixture_read(queue_path, &file);
	fixture_read(want_path, &want);
	buf_init(&want_bdat, OUT_MAX);
	buf_init(&out, OUT_MAX);
	unstuff(&want, &want_bdat);
	queue_source_init(&s, buf_slice(&file));
	m = message_new(queue_source_of(&s), off, LIMIT);
	for (int round = 0; round < 8; round++) {
		bool is_data = round % 2 == 0;
		size_t max = round < 2 ? OUT_MAX / 2 : 1;

		message_rewind(m, is_data);
		buf_reset(&out);
		s.random = round < 4 ? NULL : random;
		assert_int_equal(read_all(m, &out, max, s.random), MESSAGE_END);
		assert_same(&out, is_data ? &want : &want_bdat);
	}
	message_free(&m);
	buf_fini(&out);
	buf_fini(&want_bdat);
	buf_fini(&want);
	buf_fini(&file);
out:
	mem_free(want_path);
	mem_free(queue_path);
}

static void
message_of_every_capture_is_the_same_however_it_is_read(void **state)
{
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	assert_true(fixture_each("queue", ".qf", check_capture, &random) > 50);
}

/* A record far larger than the window, with every mood at once. */
static void
message_of_huge_records_is_bounded_and_right(void **state)
{
	struct fixture_random random;
	struct buf file, want, out;
	struct queue_source s;
	struct message *m;
	char *line = mem_alloc(RECORD_DATA_MAX);

	(void)state;
	fixture_random_init(&random);
	buf_init(&file, OUT_MAX);
	buf_init(&want, OUT_MAX);
	buf_init(&out, OUT_MAX);
	for (size_t i = 0; i < RECORD_DATA_MAX; i++)
		line[i] = (char)('!' + i % 90);
	(void)queue_put(&file, 'L', slice_of(line, RECORD_DATA_MAX));
	(void)queue_put(&file, 'N', slice_of(line, 70000));
	(void)queue_put_str(&file, 'X', "");
	(void)buf_add(&want, line, RECORD_DATA_MAX);
	(void)buf_add(&want, line, 70000);
	(void)buf_add_str(&want, "\r\n");
	queue_source_init(&s, buf_slice(&file));
	m = message_new(queue_source_of(&s), 0, 0);
	assert_int_equal(read_all(m, &out, 65536, NULL), MESSAGE_END);
	assert_same(&out, &want);
	s.random = &random;
	message_rewind(m, true);
	buf_reset(&out);
	do {
		if (fixture_random_below(&random, 3) == 0)
			message_release(m);
	} while (message_read(m, &out, fixture_random_below(&random, 200000)) ==
		 MESSAGE_MORE);
	assert_same(&out, &want);
	message_free(&m);
	buf_fini(&out);
	buf_fini(&want);
	buf_fini(&file);
	mem_free(line);
}

static void
message_that_fits_ends_in_one_call(void **state)
{
	struct queue_source s;
	struct message *m;
	struct buf out;

	(void)state;
	buf_init(&out, OUT_MAX);
	queue_source_init(&s, FILE_OF("N\1aX\0"));
	m = message_new(queue_source_of(&s), 0, LIMIT);
	assert_int_equal(message_read(m, &out, 3), MESSAGE_END);
	message_rewind(m, true);
	assert_int_equal(message_read(m, &out, 0), MESSAGE_MORE);
	assert_int_equal(message_read(m, &out, 1), MESSAGE_END);
	message_free(&m);
	buf_fini(&out);
}

/* Two sessions at once, each with its own form of the content. */
static void
message_and_its_double_do_not_disturb_each_other(void **state)
{
	struct fixture_random random;
	struct queue_source s;
	struct message *m[2];
	struct buf file, want[2], got[2];
	enum message_result result[2] = {MESSAGE_MORE, MESSAGE_MORE};

	(void)state;
	fixture_random_init(&random);
	buf_init(&file, OUT_MAX);
	for (int i = 0; i < 3000; i++)
		(void)queue_put_str(&file, RECORD_TYPE_NORM,
		    i % 3 == 0 ? ".dot" : "a line of the content");
	(void)queue_put_str(&file, RECORD_TYPE_XTRA, "");
	queue_source_init(&s, buf_slice(&file));
	m[0] = message_new(queue_source_of(&s), 0, 10);
	m[1] = message_dup(m[0]);
	for (int i = 0; i < 2; i++) {
		buf_init(&want[i], OUT_MAX);
		buf_init(&got[i], OUT_MAX);
		message_rewind(m[i], i == 0);
		(void)read_all(m[i], &want[i], SIZE_MAX / 2, NULL);
		message_rewind(m[i], i == 0);
	}
	assert_true(buf_len(&want[0]) > buf_len(&want[1]));
	while (result[0] == MESSAGE_MORE || result[1] == MESSAGE_MORE) {
		size_t i = fixture_random_below(&random, 2);

		result[i] = message_read(
		    m[i], &got[i], fixture_random_below(&random, 500));
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(result[i], MESSAGE_END);
		assert_same(&got[i], &want[i]);
		message_free(&m[i]);
		buf_fini(&want[i]);
		buf_fini(&got[i]);
	}
	buf_fini(&file);
}

static void
message_never_overflows_the_buffer(void **state)
{
	struct queue_source s;
	struct message *m;
	struct buf out;

	(void)state;
	buf_init(&out, MESSAGE_SLACK);
	(void)buf_add_char(&out, ' ');
	queue_source_init(&s, FILE_OF("N\1aX\0"));
	m = message_new(queue_source_of(&s), 0, LIMIT);
	assert_int_equal(message_read(m, &out, 100), MESSAGE_MORE);
	assert_int_equal(buf_len(&out), 1);
	assert_true(buf_ok(&out));
	message_free(&m);
	buf_fini(&out);
}

static void
message_read_error_lasts_until_rewind(void **state)
{
	struct queue_source s;
	struct message *m;
	struct buf out;

	(void)state;
	buf_init(&out, OUT_MAX);
	queue_source_init(&s, FILE_OF("N\1aX\0"));
	s.fail_at = 1;
	m = message_new(queue_source_of(&s), 0, LIMIT);
	assert_int_equal(message_read(m, &out, 100), MESSAGE_IO_ERROR);
	s.fail_at = -1;
	assert_int_equal(message_read(m, &out, 100), MESSAGE_IO_ERROR);
	message_release(m);
	message_rewind(m, true);
	assert_int_equal(message_read(m, &out, 100), MESSAGE_END);
	message_free(&m);
	message_free(&m);
	buf_fini(&out);
}

/* Where the content of dsn-3rcpt.qf begins, whole or cut. */
enum { DSN_CONTENT_OFF = 918 };

static void
message_of_a_file_cut_anywhere_is_corrupt(void **state)
{
	struct buf file;
	size_t end;

	(void)state;
	fixture_read("queue/dsn-3rcpt.qf", &file);
	end = buf_len(&file) - 2; /* X is whole here, E is cut off */
	for (size_t n = 0; n <= buf_len(&file); n++) {
		struct queue_source s;
		struct message *m;
		struct buf out;

		buf_init(&out, OUT_MAX);
		queue_source_init(&s, slice_of(buf_slice(&file).p, n));
		m = message_new(queue_source_of(&s), DSN_CONTENT_OFF, LIMIT);
		assert_int_equal(read_all(m, &out, 65536, NULL),
		    n < end ? MESSAGE_CORRUPT : MESSAGE_END);
		message_free(&m);
		buf_fini(&out);
	}
	buf_fini(&file);
}

static void
message_of_the_truncated_captures_is_corrupt(void **state)
{
	static const char *const paths[] = {
	    "queue/truncated-in-content.qf", "queue/truncated-in-envelope.qf"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct queue_source s;
		struct message *m;
		struct buf file, out;

		fixture_read(paths[i], &file);
		buf_init(&out, OUT_MAX);
		queue_source_init(&s, buf_slice(&file));
		m = message_new(queue_source_of(&s), DSN_CONTENT_OFF, LIMIT);
		assert_int_equal(
		    read_all(m, &out, 65536, NULL), MESSAGE_CORRUPT);
		message_free(&m);
		buf_fini(&out);
		buf_fini(&file);
	}
}

static void
message_of_flipped_octets_ends_and_is_read_alike(void **state)
{
	static const char *const names[] = {
	    "milter-headers-body-ptr", "milter-headers-ptr", "small-text"};
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (size_t round = 0; round < 6000; round++) {
		const char *name = names[round % 3];
		char *path = mem_printf("queue/%s.qf", name);
		int limit = (int)fixture_random_below(&random, 30);
		size_t flips = 1 + fixture_random_below(&random, 6);
		struct buf file, whole, cut;
		struct queue_source s;
		struct message *m;
		enum message_result result;

		fixture_read(path, &file);
		buf_init(&whole, OUT_MAX);
		buf_init(&cut, OUT_MAX);
		while (flips-- > 0)
			file.data[fixture_random_below(
			    &random, buf_len(&file))] =
			    (char)fixture_random_below(&random, 256);
		queue_source_init(&s, buf_slice(&file));
		m = message_new(
		    queue_source_of(&s), queue_content_offset(name), limit);
		result = read_all(m, &whole, OUT_MAX / 2, NULL);
		s.random = &random;
		message_rewind(m, true);
		assert_int_equal(read_all(m, &cut, 0, &random), result);
		assert_same(&whole, &cut);
		message_free(&m);
		buf_fini(&cut);
		buf_fini(&whole);
		buf_fini(&file);
		mem_free(path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(message_ends_at_the_x_record_and_nowhere_else),
	    cmocka_unit_test(message_of_captures_ends_as_submitted),
	    cmocka_unit_test(message_folds_long_records_at_the_line_limit),
	    cmocka_unit_test(
		message_of_every_capture_is_the_same_however_it_is_read),
	    cmocka_unit_test(message_of_huge_records_is_bounded_and_right),
	    cmocka_unit_test(message_that_fits_ends_in_one_call),
	    cmocka_unit_test(message_never_overflows_the_buffer),
	    cmocka_unit_test(message_and_its_double_do_not_disturb_each_other),
	    cmocka_unit_test(message_read_error_lasts_until_rewind),
	    cmocka_unit_test(message_of_a_file_cut_anywhere_is_corrupt),
	    cmocka_unit_test(message_of_the_truncated_captures_is_corrupt),
	    cmocka_unit_test(message_of_flipped_octets_ends_and_is_read_alike),
	};

	/* Else fixture_heap() is in whole pages for what is large. */
	(void)mallopt(M_MMAP_MAX, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
