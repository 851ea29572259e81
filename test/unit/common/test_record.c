#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/postfix/record.h"
#include "test/support/fixture.h"
#include "test/support/queue_source.h"

/* What a walk saw, as text: a line per record. */
static enum record_result
walk(struct queue_source *s, int64_t off, struct buf *seen)
{
	struct record_reader r;
	struct record rec;
	enum record_result result;
	size_t count = 0;

	record_reader_init(&r, queue_source_of(s), off);
	while ((result = record_reader_next(&r, &rec)) == RECORD_OK) {
		/* two octets a record at least, and none is walked twice */
		assert_true(++count <= s->file.n / 2 + 1);
		if (s->random && fixture_random_below(s->random, 3) == 0) {
			enum record_result again;

			record_reader_again(&r);
			if (fixture_random_below(s->random, 2) == 0)
				record_reader_release(&r);
			again = record_reader_next(&r, &rec);
			assert_int_equal(again, RECORD_OK);
		}
		if (seen != NULL) {
			buf_addf(seen, "%ld %c ", (long)rec.off, rec.type);
			buf_add_slice(seen, rec.data);
			buf_add_char(seen, '\n');
		}
		if (s->random && fixture_random_below(s->random, 3) == 0)
			record_reader_release(&r);
	}
	assert_int_equal(record_reader_next(&r, &rec), result);
	record_reader_fini(&r);
	return result;
}

static void
assert_walk(struct slice file, int64_t off, const char *want,
    enum record_result want_result)
{
	struct queue_source s;
	struct buf seen;

	buf_init(&seen, FIXTURE_MAX);
	queue_source_init(&s, file);
	assert_int_equal(walk(&s, off, &seen), want_result);
	if (want != NULL)
		assert_string_equal(buf_str(&seen), want);
	buf_fini(&seen);
}

#define FILE_OF(s) slice_of(s, sizeof(s) - 1)

static void
record_walk_hands_out_types_as_they_are(void **state)
{
	(void)state;
	assert_walk(FILE_OF("M\0N\3abcw\2  L\1xz\0X\0E\0"), 0,
	    "0 M \n2 N abc\n11 L x\n14 z \n16 X \n18 E \n", RECORD_EOF);
	assert_walk(FILE_OF("M\0N\3abc"), 2, "2 N abc\n", RECORD_EOF);
	assert_walk(FILE_OF(""), 0, "", RECORD_EOF);
	/* what lies behind E is for pointers only */
	assert_walk(FILE_OF("E\0N\1a"), 0, "0 E \n", RECORD_EOF);
	/* a length may take more groups than it needs, but not five */
	assert_walk(FILE_OF("N\201\200\200\0a"), 0, "0 N a\n", RECORD_EOF);
	assert_walk(FILE_OF("N\201\200\200\200\0a"), 0, "", RECORD_CORRUPT);
}

static void
record_truncation_is_corrupt(void **state)
{
	(void)state;
	assert_walk(FILE_OF("N\1aN"), 0, "0 N a\n", RECORD_CORRUPT);
	assert_walk(FILE_OF("N\1aN\200"), 0, "0 N a\n", RECORD_CORRUPT);
	assert_walk(FILE_OF("N\1aN\2b"), 0, "0 N a\n", RECORD_CORRUPT);
	assert_walk(FILE_OF("N\1a"), 3, "", RECORD_EOF);
	assert_walk(FILE_OF("N\1a"), 4, "", RECORD_CORRUPT);
	assert_walk(FILE_OF("N\1a"), -1, "", RECORD_CORRUPT);
}

static void
record_of_any_size_is_whole_up_to_the_limit(void **state)
{
	static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384,
	    RECORD_WINDOW - 4, RECORD_WINDOW, RECORD_WINDOW + 1, 200000,
	    RECORD_DATA_MAX, RECORD_DATA_MAX + 1};
	char *data = mem_alloc(RECORD_DATA_MAX + 1);

	(void)state;
	for (size_t i = 0; i <= RECORD_DATA_MAX; i++)
		data[i] = (char)(i * 31 >> 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bool fits = sizes[i] <= RECORD_DATA_MAX;
		struct record_reader r;
		struct record rec;
		struct queue_source s;
		struct buf file;

		buf_init(&file, FIXTURE_MAX);
		(void)queue_put_str(&file, 'N', "before");
		(void)queue_put(&file, 'N', slice_of(data, sizes[i]));
		(void)queue_put_str(&file, 'X', "after");
		queue_source_init(&s, buf_slice(&file));
		record_reader_init(&r, queue_source_of(&s), 0);
		assert_int_equal(record_reader_next(&r, &rec), RECORD_OK);
		assert_int_equal(record_reader_next(&r, &rec),
		    fits ? RECORD_OK : RECORD_CORRUPT);
		if (fits) {
			assert_int_equal(rec.data.n, sizes[i]);
			assert_memory_equal(rec.data.p, data, sizes[i]);
			assert_int_equal(
			    record_reader_next(&r, &rec), RECORD_OK);
			assert_int_equal(rec.data.n, 5);
			assert_int_equal(r.large.cap, 0);
		}
		record_reader_fini(&r);
		buf_fini(&file);
	}
	mem_free(data);
}

static void
record_pointers_lead_into_the_heap_and_back(void **state)
{
	struct buf file;
	int64_t insert, dummy, back, after;

	(void)state;
	buf_init(&file, FIXTURE_MAX);
	insert = queue_put_pointer(&file, 0);
	after = queue_put_str(&file, 'N', "two");
	dummy = queue_put_pointer(&file, 0);
	(void)queue_put_str(&file, 'X', "");
	(void)queue_put_str(&file, 'E', "");
	queue_set_pointer(&file, insert, (int64_t)buf_len(&file));
	(void)queue_put_str(&file, 'N', "one");
	back = queue_put_pointer(&file, after);
	assert_walk(buf_slice(&file), 0, "43 N one\n17 N two\n39 X \n41 E \n",
	    RECORD_EOF);

	queue_set_pointer(&file, dummy, (int64_t)buf_len(&file));
	assert_walk(
	    buf_slice(&file), 0, "43 N one\n17 N two\n", RECORD_CORRUPT);
	queue_set_pointer(&file, dummy, (int64_t)buf_len(&file) - 1);
	assert_walk(
	    buf_slice(&file), 0, "43 N one\n17 N two\n", RECORD_CORRUPT);
	/* round and round: ends although no jump limit is reached */
	queue_set_pointer(&file, dummy, insert + 1);
	queue_set_pointer(&file, back, back);
	assert_walk(buf_slice(&file), 0, "43 N one\n", RECORD_CORRUPT);
	buf_fini(&file);
}

static void
record_pointer_that_is_no_offset_is_corrupt(void **state)
{
	static const char *const values[] = {"", "   ", "-1", "1x", "x", "1 ",
	    "0x10", "99999999999999999999999999", "100"};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct buf file;

		print_message("\"%s\"\n", values[i]);
		buf_init(&file, FIXTURE_MAX);
		(void)queue_put_str(&file, 'p', values[i]);
		(void)queue_put_str(&file, 'X', "");
		assert_walk(buf_slice(&file), 0, "", RECORD_CORRUPT);
		buf_fini(&file);
	}
	assert_walk(FILE_OF("p\1"
			    "0X\0"),
	    0, "3 X \n", RECORD_EOF);
	assert_walk(FILE_OF("p\1"
			    "4XX\0"),
	    0, "4 X \n", RECORD_EOF);
}

/* `count` inserted stretches, each with a jump out and one back. */
static void
fill_with_jumps(struct buf *file, int count)
{
	int64_t first = queue_put_pointer(file, 0);

	for (int i = 1; i < count; i++)
		(void)queue_put_pointer(file, 0);
	(void)queue_put_str(file, 'E', "");
	for (int i = 0; i < count; i++) {
		int64_t out = first + i * 17;

		queue_set_pointer(file, out, (int64_t)buf_len(file));
		(void)queue_put_pointer(file, out + 17);
	}
}

static void
record_backward_jumps_are_limited_as_in_postfix(void **state)
{
	struct buf file;

	(void)state;
	buf_init(&file, FIXTURE_MAX);
	fill_with_jumps(&file, RECORD_BACKWARD_MAX);
	assert_walk(buf_slice(&file), 0, "170000 E \n", RECORD_EOF);
	buf_reset(&file);
	fill_with_jumps(&file, RECORD_BACKWARD_MAX + 1);
	assert_walk(buf_slice(&file), 0, "", RECORD_CORRUPT);
	buf_fini(&file);
}

static void
record_read_error_is_not_corruption(void **state)
{
	struct queue_source s;
	struct slice file = FILE_OF("N\1aX\0");

	(void)state;
	queue_source_init(&s, file);
	s.fail_at = 0;
	assert_int_equal(walk(&s, 0, NULL), RECORD_IO_ERROR);
	/* a file that shrank after its size was taken is corrupt, though */
	queue_source_init(&s, file);
	s.cut_at = 4;
	assert_int_equal(walk(&s, 0, NULL), RECORD_CORRUPT);
}

static void
record_small_file_is_read_at_once(void **state)
{
	struct queue_source s;
	struct buf file;

	(void)state;
	fixture_read("queue/milter-headers-body-ptr.qf", &file);
	queue_source_init(&s, buf_slice(&file));
	assert_int_equal(walk(&s, 0, NULL), RECORD_EOF);
	assert_int_equal(s.reads, 1);
	buf_fini(&file);
}

/* ---- captured files ---- */

static void
check_truncated(const char *path)
{
	struct buf file;

	fixture_read(path, &file);
	assert_walk(buf_slice(&file), 0, NULL, RECORD_CORRUPT);
	buf_fini(&file);
}

static void
record_truncated_captures_are_corrupt(void **state)
{
	(void)state;
	check_truncated("queue/truncated-in-content.qf");
	check_truncated("queue/truncated-in-envelope.qf");
}

/* Each recipient of the request is an R record at the offset it names. */
static void
check_recipients(const char *name, void *unused)
{
	char *request_path = mem_printf("requests/%s.bin", name);
	char *queue_path = mem_printf("queue/%s.qf", name);
	struct buf request, file, seen;
	struct attr_reader r;
	struct queue_source s;
	size_t used, lists = 0, recipients = 0;

	(void)unused;
	if (queue_content_offset(name) < 0)
		goto out;
	fixture_read(request_path, &request);
	fixture_read(queue_path, &file);
	buf_init(&seen, FIXTURE_MAX);
	queue_source_init(&s, buf_slice(&file));
	assert_int_equal(walk(&s, 0, &seen), RECORD_EOF);
	attr_reader_init(&r, FIXTURE_MAX, 100);
	while (attr_reader_feed(&r, buf_slice(&request).p, buf_len(&request),
		   &used) == ATTR_LIST) {
		buf_consume(&request, used);
		if (lists++ > 0) {
			struct slice address;
			int64_t off;
			char *line;

			assert_true(attr_find(&r, "recipient", &address));
			assert_true(attr_get_long(&r, "offset", &off));
			line = mem_printf("\n%ld R %s\n", (long)off, address.p);
			assert_non_null(strstr(buf_str(&seen), line));
			mem_free(line);
			recipients++;
		}
	}
	assert_true(recipients > 0);
	attr_reader_fini(&r);
	buf_fini(&seen);
	buf_fini(&file);
	buf_fini(&request);
out:
	mem_free(queue_path);
	mem_free(request_path);
}

static void
record_walk_finds_every_recipient_of_the_request(void **state)
{
	(void)state;
	assert_true(fixture_each("queue", ".qf", check_recipients, NULL) > 50);
}

static void
check_short_reads(const char *name, void *random)
{
	char *path = mem_printf("queue/%s.qf", name);
	struct buf file, whole, cut;
	struct queue_source s;
	enum record_result result;

	fixture_read(path, &file);
	buf_init(&whole, FIXTURE_MAX);
	buf_init(&cut, FIXTURE_MAX);
	queue_source_init(&s, buf_slice(&file));
	result = walk(&s, 0, &whole);
	s.random = random;
	for (int i = 0; i < 3; i++) {
		buf_reset(&cut);
		assert_int_equal(walk(&s, 0, &cut), result);
		assert_string_equal(buf_str(&cut), buf_str(&whole));
	}
	buf_fini(&cut);
	buf_fini(&whole);
	buf_fini(&file);
	mem_free(path);
}

static void
record_short_reads_and_lost_windows_do_not_show(void **state)
{
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	(void)fixture_each("queue", ".qf", check_short_reads, &random);
}

static void
record_flipped_octets_never_keep_a_walk_from_ending(void **state)
{
	static const char *const paths[] = {"queue/milter-headers-body-ptr.qf",
	    "queue/milter-headers-ptr.qf", "queue/multi-30rcpt.qf"};
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct buf file, flipped;

		fixture_read(paths[i], &file);
		buf_init(&flipped, FIXTURE_MAX);
		for (int round = 0; round < 3000; round++) {
			size_t flips = 1 + fixture_random_below(&random, 8);
			struct queue_source s;

			buf_reset(&flipped);
			buf_add_slice(&flipped, buf_slice(&file));
			while (flips-- > 0) {
				size_t at = fixture_random_below(
				    &random, buf_len(&file));

				flipped.data[at] =
				    (char)fixture_random_below(&random, 256);
			}
			queue_source_init(&s, buf_slice(&flipped));
			(void)walk(&s, 0, NULL);
		}
		buf_fini(&flipped);
		buf_fini(&file);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(record_walk_hands_out_types_as_they_are),
	    cmocka_unit_test(record_truncation_is_corrupt),
	    cmocka_unit_test(record_of_any_size_is_whole_up_to_the_limit),
	    cmocka_unit_test(record_pointers_lead_into_the_heap_and_back),
	    cmocka_unit_test(record_pointer_that_is_no_offset_is_corrupt),
	    cmocka_unit_test(record_backward_jumps_are_limited_as_in_postfix),
	    cmocka_unit_test(record_read_error_is_not_corruption),
	    cmocka_unit_test(record_small_file_is_read_at_once),
	    cmocka_unit_test(record_truncated_captures_are_corrupt),
	    cmocka_unit_test(record_walk_finds_every_recipient_of_the_request),
	    cmocka_unit_test(record_short_reads_and_lost_windows_do_not_show),
	    cmocka_unit_test(
		record_flipped_octets_never_keep_a_walk_from_ending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
