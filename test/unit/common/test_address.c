#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/smtp/address.h"

static void
address_is_quoted_for_smtp_and_log(void **state)
{
	static const struct {
		const char *internal, *smtp, *log;
	} t[] = {
	    {"", "", ""},
	    {"a@b", "a@b", "a@b"},
	    {"first.last+x@example.com", "first.last+x@example.com",
		"first.last+x@example.com"},
	    {"a b@c", "\"a b\"@c", "\"a b\"@c"},
	    {"a@b@c", "\"a@b\"@c", "\"a@b\"@c"},
	    {"a..b@c", "\"a..b\"@c", "\"a..b\"@c"},
	    {".a@c", "\".a\"@c", "\".a\"@c"},
	    {"a.@c", "\"a.\"@c", "\"a.\"@c"},
	    {"@c", "\"\"@c", "\"\"@c"},
	    {"a\"b\\c@d", "\"a\\\"b\\\\c\"@d", "\"a\\\"b\\\\c\"@d"},
	    {"<a>,b;(c):[d]@e", "\"<a>,b;(c):[d]\"@e", "\"<a>,b;(c):[d]\"@e"},
	    {"MAILER-DAEMON", "MAILER-DAEMON", "MAILER-DAEMON"},
	    {"a\tb@c", "\"a\tb\"@c", "\"a\tb\"@c"},
	    {"j\xc3\xb6rg@b\xc3\xbc.example", "j\xc3\xb6rg@b\xc3\xbc.example",
		"j\xc3\xb6rg@b\xc3\xbc.example"},
	    {"a@[127.0.0.1]", "a@[127.0.0.1]", "a@[127.0.0.1]"},
	    /* A source route is left alone in the log form only. */
	    {"@a:b c@d", "\"@a:b c\"@d", "@a:\"b c\"@d"},
	    {"@a:b", "\"\"@a:b", "@a:b"},
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct slice in = slice_str(t[i].internal);

		buf_reset(&out);
		assert_true(address_to_smtp(&out, in, true));
		assert_string_equal(buf_str(&out), t[i].smtp);
		assert_true(address_is_sendable(in, true));
		buf_reset(&out);
		assert_true(address_to_log(&out, in));
		assert_string_equal(buf_str(&out), t[i].log);
	}
	buf_fini(&out);
}

static void
address_that_breaks_the_line_is_refused(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} t[] = {
	    {"a\r@b", 4},
	    {"a\n@b", 4},
	    {"a\0@b", 4},
	    {"a@b\r\nRSET", 9},
	    {"a@b> SIZE=1", 11},
	    {"a@b c", 5},
	    {"a@<b", 4},
	    {"a@b\t", 4},
	    {"a@b\x7f", 4},
	    {"a@\0", 3},
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_true(buf_add_str(&out, "was"));
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct slice in = slice_of(t[i].p, t[i].n);

		assert_false(address_to_smtp(&out, in, true));
		assert_false(address_is_sendable(in, true));
		assert_string_equal(buf_str(&out), "was");
	}
	buf_fini(&out);
}

static void
address_beyond_ascii_needs_leave(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_false(address_to_smtp(&out, slice_str("\xc3\xa4@b"), false));
	assert_false(address_to_smtp(&out, slice_str("a@\xc3\xa4"), false));
	assert_true(address_to_smtp(&out, slice_str("a@b"), false));
	assert_true(address_is_ascii(slice_str("a@b")));
	assert_false(address_is_ascii(slice_str("\x80")));
	buf_fini(&out);
}

static void
address_without_room_leaves_out_alone(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 8);
	assert_true(buf_add_str(&out, "was"));
	assert_false(address_to_smtp(&out, slice_str("a b@cd"), true));
	assert_false(address_to_log(&out, slice_str("@a:b c@d")));
	assert_string_equal(buf_str(&out), "was");
	assert_true(buf_ok(&out));
	buf_fini(&out);
}

static void
address_domain_follows_the_last_at(void **state)
{
	(void)state;
	assert_true(slice_eq(address_domain(slice_str("a@b@c")), "c"));
	assert_true(slice_eq(address_domain(slice_str("a")), ""));
	assert_true(slice_eq(address_domain(slice_str("a@")), ""));
	assert_true(slice_eq(address_domain(slice_of(NULL, 0)), ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(address_is_quoted_for_smtp_and_log),
	    cmocka_unit_test(address_that_breaks_the_line_is_refused),
	    cmocka_unit_test(address_beyond_ascii_needs_leave),
	    cmocka_unit_test(address_without_room_leaves_out_alone),
	    cmocka_unit_test(address_domain_follows_the_last_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
