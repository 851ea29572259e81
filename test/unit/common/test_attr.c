#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "test/support/fixture.h"

enum { MAX_BYTES = 65536, MAX_PAIRS = 64 };

/* The octets of a string literal, its own NUL left out. */
#define WIRE(s) slice_of(s, sizeof(s) - 1)

static void
assert_slice(struct slice s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p, want, s.n);
	assert_int_equal(s.p[s.n], '\0');
}

static void
assert_attr(struct attr_reader *r, const char *name, const char *want)
{
	struct slice value;

	assert_true(attr_find(r, name, &value));
	assert_slice(value, want);
}

static struct attr_pair
pair_at(const struct attr_reader *r, size_t i)
{
	struct attr_pair pair;

	assert_true(attr_at(r, i, &pair));
	return pair;
}

static size_t
count_of(const struct attr_reader *r)
{
	struct attr_pair pair;
	size_t n = 0;

	while (attr_at(r, n, &pair))
		n++;
	return n;
}

static enum attr_result
feed(struct attr_reader *r, struct slice s)
{
	size_t used;

	return attr_reader_feed(r, s.p, s.n, &used);
}

static void
attr_list_keeps_order_repeats_and_empty_values(void **state)
{
	struct attr_reader r;
	size_t used;
	struct slice wire = WIRE("a\0"
				 "1\0b\0\0a\0"
				 "2\0\0rest");

	(void)state;
	attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
	assert_int_equal(
	    attr_reader_feed(&r, wire.p, wire.n, &used), ATTR_LIST);
	assert_int_equal(used, wire.n - 4);
	assert_int_equal(count_of(&r), 3);
	assert_slice(pair_at(&r, 0).name, "a");
	assert_slice(pair_at(&r, 0).value, "1");
	assert_slice(pair_at(&r, 1).name, "b");
	assert_slice(pair_at(&r, 1).value, "");
	assert_slice(pair_at(&r, 2).name, "a");
	assert_slice(pair_at(&r, 2).value, "2");
	assert_attr(&r, "a", "1");
	assert_false(attr_find(&r, "c", &(struct slice){0}));
	attr_reader_fini(&r);
}

static void
attr_lists_follow_each_other(void **state)
{
	struct attr_reader r;
	struct slice wire = WIRE("a\0"
				 "1\0\0\0b\0"
				 "2\0\0c");
	size_t used, at = 0;

	(void)state;
	attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
	for (size_t list = 0; list < 3; list++) {
		assert_int_equal(
		    attr_reader_feed(&r, wire.p + at, wire.n - at, &used),
		    ATTR_LIST);
		assert_int_equal(count_of(&r), list != 1);
		at += used;
	}
	assert_int_equal(feed(&r, WIRE("c")), ATTR_MORE);
	assert_int_equal(feed(&r, WIRE("")), ATTR_MORE);
	attr_reader_fini(&r);
}

static void
attr_hash_table_is_read_over(void **state)
{
	struct attr_reader r;

	(void)state;
	attr_reader_init(&r, MAX_BYTES, 2);
	assert_int_equal(feed(&r, WIRE("a\0"
				       "1\0{\0x\0\0y\0{\0a\0"
				       "9\0}\0b\0"
				       "{\0\0")),
	    ATTR_LIST);
	assert_int_equal(count_of(&r), 2);
	assert_attr(&r, "a", "1");
	assert_attr(&r, "b", "{");
	attr_reader_fini(&r);
}

static void
attr_malformed_list_is_bad_until_reset(void **state)
{
	static const struct {
		const char *what;
		struct slice wire;
	} cases[] = {
	    {"brace closed, never opened", {"}\0a\0b\0\0", 7}},
	    {"brace in brace", {"{\0{\0}\0}\0\0", 9}},
	    {"list ends in a table", {"{\0a\0b\0\0}\0\0", 10}},
	    {"four pairs", {"a\0\0b\0\0c\0\0d\0\0\0", 13}},
	    {"33 octets", {"a\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0\0", 36}},
	    {"endless name", {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 37}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct attr_reader r;

		print_message("%s\n", cases[i].what);
		attr_reader_init(&r, 32, 3);
		assert_int_equal(feed(&r, cases[i].wire), ATTR_BAD);
		assert_int_equal(feed(&r, WIRE("\0")), ATTR_BAD);
		attr_reader_reset(&r);
		assert_int_equal(feed(&r, WIRE("a\0b\0\0")), ATTR_LIST);
		assert_attr(&r, "a", "b");
		attr_reader_reset(&r);
		for (size_t j = 0; j < cases[i].wire.n; j++)
			(void)feed(&r, slice_of(cases[i].wire.p + j, 1));
		assert_int_equal(feed(&r, WIRE("")), ATTR_BAD);
		attr_reader_fini(&r);
	}
}

static void
attr_limits_are_met_exactly(void **state)
{
	struct attr_reader r;
	struct slice wire = WIRE("a\0\0b\0\0cc\0"
				 "d\0\0");

	(void)state;
	attr_reader_init(&r, wire.n, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(feed(&r, wire), ATTR_LIST);
	attr_reader_fini(&r);
	attr_reader_init(&r, wire.n - 1, 3);
	assert_int_equal(feed(&r, wire), ATTR_BAD);
	attr_reader_fini(&r);
}

static void
attr_numbers_are_strict_and_unsigned_on_the_wire(void **state)
{
	static const struct {
		const char *text;
		bool is_int, is_long;
		int32_t as_int;
		int64_t as_long;
	} cases[] = {
	    {"0", true, true, 0, 0},
	    {"7", true, true, 7, 7},
	    {"007", true, true, 7, 7},
	    {"2147483647", true, true, INT32_MAX, INT32_MAX},
	    {"2147483648", true, true, INT32_MIN, INT64_C(2147483648)},
	    {"4294967295", true, true, -1, UINT32_MAX},
	    {"4294967296", false, true, 0, INT64_C(4294967296)},
	    {"9223372036854775807", false, true, 0, INT64_MAX},
	    {"18446744073709551615", false, true, 0, -1},
	    {"18446744073709551616", false, false, 0, 0},
	    {"99999999999999999999", false, false, 0, 0},
	    {"", false, false, 0, 0},
	    {"-1", false, false, 0, 0},
	    {"+1", false, false, 0, 0},
	    {" 1", false, false, 0, 0},
	    {"1 ", false, false, 0, 0},
	    {"0x1", false, false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice text = slice_str(cases[i].text);
		int32_t as_int = 0;
		int64_t as_long = 0;

		print_message("\"%s\"\n", cases[i].text);
		assert_int_equal(
		    attr_parse_int(text, &as_int), cases[i].is_int);
		assert_int_equal(as_int, cases[i].as_int);
		assert_int_equal(
		    attr_parse_long(text, &as_long), cases[i].is_long);
		assert_true(as_long == cases[i].as_long);
	}
}

static void
attr_data_is_decoded_or_refused(void **state)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: refused */
	} cases[] = {
	    {"", ""},
	    {"Zg==", "f"},
	    {"Zm8=", "fo"},
	    {"Zm9v", "foo"},
	    {"Zm9vYmFy", "foobar"},
	    {"+/+/", "\xfb\xff\xbf"},
	    {"Zg=", NULL},
	    {"Zg", NULL},
	    {"Z===", NULL},
	    {"====", NULL},
	    {"Zg==Zm9v", NULL},
	    {"Zm9v Zm9", NULL},
	    {"Zm-_", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct attr_reader r;
		struct buf wire, out;
		const char *want = cases[i].want;

		print_message("\"%s\"\n", cases[i].text);
		buf_init(&wire, 1024);
		buf_init(&out, 1024);
		attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
		attr_put_str(&wire, "d", slice_str(cases[i].text));
		attr_put_end(&wire);
		assert_int_equal(feed(&r, buf_slice(&wire)), ATTR_LIST);
		assert_int_equal(attr_get_data(&r, "d", &out), want != NULL);
		if (want != NULL)
			assert_string_equal(buf_str(&out), want);
		assert_false(attr_get_data(&r, "e", &out));
		buf_fini(&out);
		if (want != NULL && *want != '\0') {
			buf_init(&out, strlen(want) - 1);
			assert_false(attr_get_data(&r, "d", &out));
			buf_fini(&out);
		}
		attr_reader_fini(&r);
		buf_fini(&wire);
	}
}

static void
attr_written_list_reads_back(void **state)
{
	struct attr_reader r;
	struct buf out;
	int32_t as_int;
	int64_t as_long;

	(void)state;
	buf_init(&out, 1024);
	attr_put_str(&out, "s", WIRE("cut\0here"));
	attr_put_str(&out, "none", slice_of(NULL, 0));
	attr_put_int(&out, "i", -2);
	attr_put_long(&out, "l", -1);
	attr_put_end(&out);
	assert_true(buf_ok(&out));
	assert_int_equal(buf_len(&out), sizeof("s,cut,none,,i,4294967294,"
					       "l,18446744073709551615,,") -
					    1);
	attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
	assert_int_equal(feed(&r, buf_slice(&out)), ATTR_LIST);
	assert_attr(&r, "s", "cut");
	assert_attr(&r, "none", "");
	assert_true(attr_get_int(&r, "i", &as_int));
	assert_int_equal(as_int, -2);
	assert_true(attr_get_long(&r, "l", &as_long));
	assert_true(as_long == -1);
	assert_false(attr_get_int(&r, "l", &as_int));
	assert_false(attr_get_int(&r, "s", &as_int));
	attr_reader_fini(&r);
	buf_fini(&out);
}

static void
attr_final_status_equals_the_captured_one(void **state)
{
	static const char *const names[] = {"status", "diag_type", "diag_text",
	    "mta_type", "mta_mname", "action", "reason"};
	struct buf out, want;

	(void)state;
	buf_init(&out, 1024);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		attr_put_str(&out, names[i], slice_str(""));
	attr_put_int(&out, "status", -1);
	attr_put_end(&out);
	fixture_read("ipc/agent-final-defer.bin", &want);
	assert_int_equal(buf_len(&out), buf_len(&want));
	assert_memory_equal(
	    buf_slice(&out).p, buf_slice(&want).p, buf_len(&want));
	buf_fini(&want);
	buf_fini(&out);
}

/* ---- every captured dialogue, cut in every way ---- */

/* Reads all lists of s, fed in parts whose sizes `part` says, and writes them
 * out again: what comes out must be what went in. */
static size_t
round_trip(struct slice s, struct fixture_random *random, size_t part)
{
	struct attr_reader r;
	struct attr_pair pair;
	struct buf out;
	size_t lists = 0;

	buf_init(&out, FIXTURE_MAX);
	attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
	for (size_t at = 0, used; at < s.n; at += used) {
		size_t n = random ? 1 + fixture_random_below(random, 9) : part;
		char *copy; /* exact size, so that a sanitizer sees overruns */

		n = n < s.n - at ? n : s.n - at;
		copy = mem_alloc(n);
		memcpy(copy, s.p + at, n);
		if (attr_reader_feed(&r, copy, n, &used) == ATTR_LIST) {
			for (size_t i = 0; attr_at(&r, i, &pair); i++)
				attr_put_str(&out, pair.name.p, pair.value);
			attr_put_end(&out);
			lists++;
		}
		mem_free(copy);
		assert_int_not_equal(used, 0);
	}
	assert_int_equal(buf_len(&out), s.n);
	assert_memory_equal(buf_slice(&out).p, s.p, s.n);
	attr_reader_fini(&r);
	buf_fini(&out);
	return lists;
}

static void
check_dialogue(const char *dir, const char *name, struct fixture_random *random,
    bool is_request)
{
	char *path = mem_printf("%s/%s.bin", dir, name);
	struct buf file;
	size_t lists;

	fixture_read(path, &file);
	lists = round_trip(buf_slice(&file), NULL, SIZE_MAX);
	assert_int_equal(round_trip(buf_slice(&file), NULL, 1), lists);
	for (int i = 0; i < 10; i++)
		assert_int_equal(
		    round_trip(buf_slice(&file), random, 0), lists);
	assert_true(!is_request || lists > 1);
	buf_fini(&file);
	mem_free(path);
}

static void
check_ipc(const char *name, void *random)
{
	check_dialogue("ipc", name, random, false);
}

static void
check_request(const char *name, void *random)
{
	check_dialogue("requests", name, random, true);
}

static void
attr_captured_lists_survive_any_cut(void **state)
{
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	assert_true(fixture_each("ipc", ".bin", check_ipc, &random) >= 25);
	assert_true(
	    fixture_each("requests", ".bin", check_request, &random) >= 50);
}

static void
attr_request_is_understood(void **state)
{
	struct attr_reader r;
	struct buf file, blob;
	size_t used;
	int32_t as_int;
	int64_t as_long;

	(void)state;
	fixture_read("requests/dsn-3rcpt.bin", &file);
	buf_init(&blob, 88);
	attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
	assert_int_equal(
	    attr_reader_feed(&r, buf_slice(&file).p, buf_len(&file), &used),
	    ATTR_LIST);
	assert_int_equal(count_of(&r), 23);
	assert_attr(&r, "queue_name", "active");
	assert_attr(&r, "envelope_id", "QQ314159+1");
	assert_attr(&r, "sender", "alice@example.com");
	assert_true(attr_get_long(&r, "offset", &as_long));
	assert_true(as_long == 918);
	assert_true(attr_get_int(&r, "recipient_count", &as_int));
	assert_int_equal(as_int, 3);
	assert_true(attr_get_data(&r, "time", &blob));
	assert_int_equal(buf_len(&blob), 88);
	buf_consume(&file, used);
	assert_int_equal(
	    attr_reader_feed(&r, buf_slice(&file).p, buf_len(&file), &used),
	    ATTR_LIST);
	assert_int_equal(count_of(&r), 5);
	assert_attr(&r, "dsn_orig_rcpt", "rfc822;bob+tag@example.org");
	assert_true(attr_get_int(&r, "notify_flags", &as_int));
	assert_int_equal(as_int, 6);
	attr_reader_fini(&r);
	buf_fini(&blob);
	buf_fini(&file);
}

static void
attr_wiped_octets_are_gone(void **state)
{
	struct attr_reader r;
	const char *octets;
	size_t n;

	(void)state;
	attr_reader_init(&r, MAX_BYTES, MAX_PAIRS);
	assert_int_equal(feed(&r, WIRE("value\0joe:secret\0\0")), ATTR_LIST);
	octets = r.octets.data;
	n = r.octets.cap;
	attr_reader_wipe(&r);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(octets[i], 0);
	/* and it goes on */
	assert_int_equal(feed(&r, WIRE("value\0next\0\0")), ATTR_LIST);
	assert_attr(&r, "value", "next");
	attr_reader_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(attr_list_keeps_order_repeats_and_empty_values),
	    cmocka_unit_test(attr_lists_follow_each_other),
	    cmocka_unit_test(attr_wiped_octets_are_gone),
	    cmocka_unit_test(attr_hash_table_is_read_over),
	    cmocka_unit_test(attr_malformed_list_is_bad_until_reset),
	    cmocka_unit_test(attr_limits_are_met_exactly),
	    cmocka_unit_test(attr_numbers_are_strict_and_unsigned_on_the_wire),
	    cmocka_unit_test(attr_data_is_decoded_or_refused),
	    cmocka_unit_test(attr_written_list_reads_back),
	    cmocka_unit_test(attr_final_status_equals_the_captured_one),
	    cmocka_unit_test(attr_captured_lists_survive_any_cut),
	    cmocka_unit_test(attr_request_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
