#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/buf.h"

enum { MAX = 1 << 20 };

/* Whether nothing but zeros is in the storage. */
static bool
is_blank(const struct buf *b)
{
	assert_non_null(b->data);
	for (size_t i = 0; i < b->cap; i++)
		if (b->data[i] != 0)
			return false;
	return true;
}

static void
buf_forgets_a_secret_when_it_is_empty(void **state)
{
	static const char secret[] = "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n";
	char mail[3000];
	struct buf b;

	(void)state;
	memset(mail, 'm', sizeof(mail));
	for (int way = 0; way < 3; way++) {
		buf_init(&b, MAX);
		assert_true(buf_add_secret(&b, slice_str(secret)));
		/* What is behind makes it grow. */
		if (way > 0)
			assert_true(buf_add(&b, mail, sizeof(mail)));
		buf_consume(&b, strlen(secret));
		if (way < 2)
			buf_consume(&b, buf_len(&b));
		else
			buf_reset(&b);
		assert_true(is_blank(&b));
		/* And from then on it is a buffer like any other. */
		assert_true(buf_add_str(&b, "250"));
		buf_consume(&b, 3);
		assert_false(is_blank(&b));
		buf_fini(&b);
	}
}

static void
buf_that_is_too_small_takes_no_part_of_a_secret(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	assert_false(buf_add_secret(&b, slice_str("secret")));
	assert_false(buf_ok(&b));
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

/* What is allocated is more than may be held. */
static void
buf_holds_its_maximum_and_no_more(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_true(buf_add(&b, "12345678", 8));
	assert_false(buf_add(&b, "abc", 3));
	assert_false(buf_ok(&b));
	assert_string_equal(buf_str(&b), "12345678");
	assert_null(buf_reserve(&b, 3));
	assert_true(buf_add(&b, "ab", 2));
	buf_consume(&b, 4);
	assert_true(buf_add(&b, "cdef", 4));
	assert_false(buf_add_char(&b, 'g'));
	assert_string_equal(buf_str(&b), "5678abcdef");
	buf_fini(&b);
}

static void
buf_adds_numbers_of_any_length(void **state)
{
	static const uint64_t numbers[] = {0, 9, 10, 4096, UINT64_MAX};
	static const char text[] = "0 9 10 4096 18446744073709551615 ";
	struct buf b;

	(void)state;
	buf_init(&b, sizeof(text) - 1);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_true(buf_add_number(&b, numbers[i]));
		assert_true(buf_add_char(&b, ' '));
	}
	assert_string_equal(buf_str(&b), text);
	assert_false(buf_add_number(&b, 7));
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(buf_forgets_a_secret_when_it_is_empty),
	    cmocka_unit_test(buf_that_is_too_small_takes_no_part_of_a_secret),
	    cmocka_unit_test(buf_holds_its_maximum_and_no_more),
	    cmocka_unit_test(buf_adds_numbers_of_any_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
