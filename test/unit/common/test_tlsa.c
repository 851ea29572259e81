#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/smtp/tlsa.h"

static void
add(struct tlsa_set *set, const char *head, size_t n)
{
	unsigned char data[70000];

	memset(data, 0xab, sizeof(data));
	memcpy(data, head, n < 3 ? n : 3);
	assert_true(n <= sizeof(data));
	tlsa_set_add(set, data, n);
}

static void
tlsa_keeps_what_mail_uses_and_says_what_it_leaves(void **state)
{
	static const struct {
		const char *head;
		size_t n;
		const char *kept, *why;
	} cases[] = {
	    {"\3\1\1", 5, "3 1 1 ABAB", ""},
	    {"\2\0\0", 4, "2 0 0 AB", ""},
	    {"\3\x7\x9", 4, "3 7 9 AB", ""},
	    {"\0\1\1", 5, NULL, "unsupported TLSA certificate usage: 0 1 1 AB"},
	    {"\1\1\1", 5, NULL, "unsupported TLSA certificate usage: 1 1 1 AB"},
	    {"\xff\1\1", 5, NULL, "unsupported TLSA certificate usage: 255"},
	    {"\3\1\xff", 5, NULL, "reserved private-use matching type: 3 1"},
	    {"\3\1\1", 3, NULL, "truncated TLSA record"},
	    {"\3\1\1", 1, NULL, "truncated TLSA record"},
	    {"", 0, NULL, "truncated TLSA record"},
	};
	char text[TLSA_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tlsa_set *set = tlsa_set_new();

		add(set, cases[i].head, cases[i].n);
		assert_int_equal(set->count, cases[i].kept != NULL);
		assert_int_equal(set->left_out, cases[i].kept == NULL);
		if (cases[i].kept != NULL)
			assert_string_equal(
			    tlsa_text(&set->records[0], text), cases[i].kept);
		assert_int_equal(
		    strncmp(set->why, cases[i].why, strlen(cases[i].why)), 0);
		assert_int_equal(*set->why == '\0', *cases[i].why == '\0');
		tlsa_set_free(&set);
		assert_null(set);
	}
}

static void
tlsa_bounds_what_it_takes(void **state)
{
	struct tlsa_set *set = tlsa_set_new(), *copy;
	char text[TLSA_TEXT_SIZE];

	(void)state;
	add(set, "\0\0\0", 65535);
	add(set, "\2\0\0", 65535);
	for (int i = 0; i < 1000; i++)
		add(set, "\3\1\1", 35);
	assert_int_equal(set->count, TLSA_MAX);
	assert_int_equal(set->left_out, 1002 - TLSA_MAX);
	assert_int_equal(set->records[0].n, 65532);
	assert_non_null(strstr(tlsa_text(&set->records[0], text), "..."));
	assert_int_equal(strlen(text), 6 + 64 + 3 + 64);
	copy = tlsa_set_dup(set);
	tlsa_set_free(&set);
	assert_int_equal(copy->count, TLSA_MAX);
	assert_int_equal(copy->records[99].data[31], 0xab);
	tlsa_set_free(&copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tlsa_keeps_what_mail_uses_and_says_what_it_leaves),
	    cmocka_unit_test(tlsa_bounds_what_it_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
