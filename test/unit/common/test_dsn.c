#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/smtp/dsn.h"

static void
dsn_set_fills_every_field(void **state)
{
	struct dsn d = {.smtp_code = 250, .maybe_accepted = true};

	(void)state;
	dsn_set(&d, "5.1.1", "host %s said: %d", "mx", 550);
	assert_string_equal(d.status, "5.1.1");
	assert_string_equal(d.text, "host mx said: 550");
	assert_int_equal(d.smtp_code, 0);
	assert_false(d.maybe_accepted);
	assert_int_equal(dsn_class(&d), '5');
}

static void
dsn_bad_status_becomes_temporary(void **state)
{
	struct dsn d;

	(void)state;
	dsn_set(&d, "550 no", "x");
	assert_string_equal(d.status, "4.3.0");
	dsn_set(&d, "", "x");
	assert_string_equal(d.status, "4.3.0");
}

static void
dsn_text_is_one_printable_line(void **state)
{
	struct dsn d;

	(void)state;
	dsn_set(&d, "4.0.0", "%s", "a\r\nb\tc\x1b[0m \xff \xc3\xa4");
	assert_string_equal(d.text, "a??b?c?[0m ? \xc3\xa4");
}

static void
dsn_text_is_cut_between_characters(void **state)
{
	struct dsn d;
	char text[DSN_TEXT_MAX + 100];

	(void)state;
	for (size_t pad = 0; pad < 4; pad++) {
		size_t n = pad;

		memset(text, 'x', pad);
		while (n + 4 < sizeof text) {
			memcpy(text + n, "\xe2\x82\xac", 3);
			n += 3;
		}
		text[n] = '\0';
		dsn_set(&d, "4.0.0", "%s", text);
		assert_null(strchr(d.text, '?'));
		assert_true(strlen(d.text) > DSN_TEXT_MAX - 3);
		assert_true(strlen(d.text) <= DSN_TEXT_MAX);
	}
}

static void
dsn_may_be_set_from_its_own_text(void **state)
{
	struct dsn d;

	(void)state;
	dsn_set(&d, "5.7.0", "refused");
	dsn_set(&d, d.status, "again: %s", d.text);
	assert_string_equal(d.status, "5.7.0");
	assert_string_equal(d.text, "again: refused");
}

static void
dsn_soft_bounce_changes_the_class_only(void **state)
{
	struct dsn d;

	(void)state;
	dsn_set(&d, "5.7.26", "550 no");
	d.smtp_code = 550;
	dsn_set_class(&d, '4');
	assert_string_equal(d.status, "4.7.26");
	assert_int_equal(d.smtp_code, 550);
	assert_string_equal(d.text, "550 no");
}

static void
dsn_status_is_checked(void **state)
{
	static const struct {
		const char *text;
		size_t length; /* of the status at the beginning */
	} t[] = {
	    {"2.0.0", 5},
	    {"5.123.456", 9},
	    {"4.7.1 later", 5},
	    {"4.7.1\tlater", 5},
	    {"3.0.0", 0},
	    {"1.0.0", 0},
	    {"5.1234.1", 0},
	    {"5.1.1234", 0},
	    {"5..1", 0},
	    {"5.1.", 0},
	    {"5.1", 0},
	    {"5.1.1x", 0},
	    {"55.1.1", 0},
	    {" 5.1.1", 0},
	    {"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		size_t n = strlen(t[i].text);

		assert_int_equal(dsn_status_length(t[i].text, n), t[i].length);
		assert_int_equal(dsn_status_is_valid(t[i].text),
		    t[i].length > 0 && t[i].length == n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dsn_set_fills_every_field),
	    cmocka_unit_test(dsn_bad_status_becomes_temporary),
	    cmocka_unit_test(dsn_text_is_one_printable_line),
	    cmocka_unit_test(dsn_text_is_cut_between_characters),
	    cmocka_unit_test(dsn_may_be_set_from_its_own_text),
	    cmocka_unit_test(dsn_soft_bounce_changes_the_class_only),
	    cmocka_unit_test(dsn_status_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
