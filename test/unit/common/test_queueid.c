#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/postfix/queueid.h"

static void
queueid_syntax_keeps_paths_inside_the_queue(void **state)
{
	static const struct {
		const char *text;
		bool is_id, is_queue_name;
	} cases[] = {
	    {"4F69BA7A8B9", true, true},
	    {"4jX4kb4dGYz1bpKt", true, true},
	    {"123456789z1", true, true},
	    {"1234567890z", true, true},
	    {"example_org", true, false},
	    {"active", true, true},
	    {"", false, false},
	    {".", false, false},
	    {"..", false, false},
	    {"a/b", false, false},
	    {"a.b", false, false},
	    {"a b", false, false},
	    {"\xc3\xa9", false, false},
	};
	char many[QUEUEID_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice text = slice_str(cases[i].text);

		print_message("\"%s\"\n", cases[i].text);
		assert_int_equal(queueid_is_valid(text), cases[i].is_id);
		assert_int_equal(
		    queueid_queue_name_is_valid(text), cases[i].is_queue_name);
	}
	memset(many, 'a', sizeof(many));
	assert_true(queueid_is_valid(slice_of(many, QUEUEID_MAX)));
	assert_false(queueid_is_valid(slice_of(many, QUEUEID_MAX + 1)));
	assert_true(queueid_queue_name_is_valid(slice_of(many, 100)));
	assert_false(queueid_queue_name_is_valid(slice_of(many, 101)));
	assert_false(queueid_is_valid(slice_of("a\0b", 3)));
}

static void
queueid_path_is_where_postfix_keeps_the_file(void **state)
{
	static const struct {
		const char *queue, *id, *hashed;
		int depth;
		const char *want; /* NULL: refused */
	} cases[] = {
	    {"active", "4F69BA7A8B9", "deferred, defer", 1,
		"active/4F69BA7A8B9"},
	    {"deferred", "E0A8B", "deferred, defer", 1, "deferred/E/E0A8B"},
	    {"deferred", "E0A8B", "deferred, defer", 2, "deferred/E/0/E0A8B"},
	    {"deferred", "E0A", "defer\tDEFERRED", 5, "deferred/E/0/A/_/_/E0A"},
	    {"defer", "E0A", "deferred", 1, "defer/E0A"},
	    {"deferred", "E0A", "defer", 1, "deferred/E0A"},
	    {"active", "4jX4kb4dGYz1bpKt", "active", 2,
		"active/9/F/4jX4kb4dGYz1bpKt"},
	    {"active", "4jX4kb4dGYz1bpKt", "", 2, "active/4jX4kb4dGYz1bpKt"},
	    /* the four digits before the z; 10_ is no number, so 0 */
	    {"active", "4jX4kb0001z1", "active", 5,
		"active/0/0/0/0/1/4jX4kb0001z1"},
	    {"active", "4jX4kb010_z1", "active", 5,
		"active/0/0/0/0/0/4jX4kb010_z1"},
	    {"active", "4jX4kbzzzzz1", "active", 6,
		"active/6/F/9/0/F/F/4jX4kbzzzzz1"},
	    {"active", "../x", "", 1, NULL},
	    {"act.ive", "E0A", "", 1, NULL},
	    {"", "E0A", "", 1, NULL},
	    {"active", "", "", 1, NULL},
	    {"active", "E0A", "active", 0, NULL},
	    {"active", "E0A", "active", 101, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;

		buf_init(&out, 1000);
		print_message("%s %s\n", cases[i].queue, cases[i].id);
		assert_int_equal(queueid_path(&out, cases[i].queue, cases[i].id,
				     cases[i].hashed, cases[i].depth),
		    cases[i].want != NULL);
		assert_string_equal(
		    buf_str(&out), cases[i].want ? cases[i].want : "");
		buf_fini(&out);
	}
}

static void
queueid_path_that_does_not_fit_is_refused(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 9);
	assert_false(queueid_path(&out, "active", "E0A", "", 1));
	buf_fini(&out);
	buf_init(&out, 10);
	assert_true(queueid_path(&out, "active", "E0A", "", 1));
	buf_fini(&out);
}

static void
queueid_has_the_microseconds_of_its_second(void **state)
{
	static const struct {
		const char *id;
		uint32_t usec;
	} cases[] = {
	    {"000001", 0},
	    {"F423FA43DE1", 999999},
	    {"74610A43DEA", 0x74610},
	    {"4bWxYz0001z9cN3", 1},
	    {"4bWxYz0010z1", 52},
	    {"4bWxYz00B0z1", 520},
	    {"zzzzzz000zz1", 51},
	};
	uint32_t usec;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(queueid_usec(cases[i].id, &usec));
		assert_int_equal(usec, cases[i].usec);
	}
}

static void
queueid_usec_takes_no_other_word_for_an_id(void **state)
{
	static const char *const bad[] = {"", "74610", "NOQUEUE", "warning",
	    "F4240A43DE1", /* a whole second */
	    "74610a43de", "4bWxYz001z9", "4bWxYz0001z", "4aWxYz0001z9",
	    "4bWxYzzzzzz9", "0.1234567z1"};
	uint32_t usec;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(queueid_usec(bad[i], &usec));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(queueid_syntax_keeps_paths_inside_the_queue),
	    cmocka_unit_test(queueid_path_is_where_postfix_keeps_the_file),
	    cmocka_unit_test(queueid_path_that_does_not_fit_is_refused),
	    cmocka_unit_test(queueid_has_the_microseconds_of_its_second),
	    cmocka_unit_test(queueid_usec_takes_no_other_word_for_an_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
