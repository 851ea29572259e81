#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/smtp/nexthop.h"

static void
nexthop_forms(void **state)
{
	static const struct {
		const char *in, *host, *port;
		bool use_mx, is_literal;
	} t[] = {
	    {"example.com", "example.com", "", true, false},
	    {"example.com:587", "example.com", "587", true, false},
	    {"example.com:", "example.com", "", true, false},
	    {"[mail.example.com]", "mail.example.com", "", false, false},
	    {"[mail.example.com]:submission", "mail.example.com", "submission",
		false, false},
	    {"[mail.example.com]:", "mail.example.com", "", false, false},
	    {"[127.0.0.1]:2525", "127.0.0.1", "2525", false, true},
	    {"[ipv6:::1]", "::1", "", false, true},
	    {"[IPv6:2001:db8::1]:25", "2001:db8::1", "25", false, true},
	    {"[::1]:25", "::1", "25", false, true},
	    {"127.0.0.1:25", "127.0.0.1", "25", false, true},
	    {"localhost", "localhost", "", true, false},
	    {"a_b-c.x1:smtp", "a_b-c.x1", "smtp", true, false},
	    {"Mixed.Case", "Mixed.Case", "", true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct slice list = slice_str(t[i].in);
		struct nexthop hop;
		const char *error;

		assert_true(nexthop_next(&list, &hop, &error));
		assert_null(error);
		assert_string_equal(hop.host, t[i].host);
		assert_string_equal(hop.port, t[i].port);
		assert_int_equal(hop.use_mx, t[i].use_mx);
		assert_int_equal(hop.is_literal, t[i].is_literal);
		assert_false(nexthop_next(&list, &hop, &error));
		assert_null(error);
	}
}

static void
nexthop_malformed_ones_are_told(void **state)
{
	static const char *const t[] = {
	    "[",
	    "[]",
	    "[mail.example.com",
	    "[mail.example.com]x",
	    "[a]:0",
	    "[a]:65536",
	    "[a]:25x",
	    "[a]:2;5",
	    "[a]:99999999999999999999",
	    "[ipv6:127.0.0.1]",
	    "[ipv6:]",
	    "[ipv6:zz::1]",
	    ":25",
	    "::1",
	    "a..b",
	    ".a",
	    "a.",
	    "-a",
	    "a-",
	    "a-.b",
	    "1.2.3",
	    "12345",
	    "a/b",
	    "a@b",
	    "b\xc3\xbc.example",
	    "a:service-name-of-more-than-31-octets",
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct slice list = slice_str(t[i]);
		struct nexthop hop;
		const char *error;

		assert_false(nexthop_next(&list, &hop, &error));
		assert_non_null(error);
		assert_int_equal(list.n, 0);
	}
}

static void
nexthop_list_is_taken_one_by_one(void **state)
{
	struct slice list = slice_str(" [a.x]:25, bad..name\tc.x ,, [::1]\n");
	struct nexthop hop;
	const char *error;

	(void)state;
	assert_true(nexthop_next(&list, &hop, &error));
	assert_string_equal(hop.host, "a.x");
	assert_false(nexthop_next(&list, &hop, &error));
	assert_non_null(error);
	assert_true(nexthop_next(&list, &hop, &error));
	assert_string_equal(hop.host, "c.x");
	assert_true(nexthop_next(&list, &hop, &error));
	assert_string_equal(hop.host, "::1");
	assert_false(nexthop_next(&list, &hop, &error));
	assert_null(error);
	list = slice_of(NULL, 0);
	assert_false(nexthop_next(&list, &hop, &error));
	assert_null(error);
}

static void
nexthop_host_length_is_bounded(void **state)
{
	char name[400];
	struct slice label = slice_of(name, 63);

	(void)state;
	memset(name, 'a', sizeof name);
	assert_true(nexthop_is_hostname(label));
	label.n = 64;
	assert_false(nexthop_is_hostname(label));
	for (size_t i = 50; i < sizeof name; i += 51)
		name[i] = '.';
	assert_true(nexthop_is_hostname(slice_of(name, 254)));
	assert_false(nexthop_is_hostname(slice_of(name, 256)));
	assert_false(nexthop_is_hostname(slice_of(name, 0)));
}

static void
nexthop_port_numbers(void **state)
{
	(void)state;
	assert_int_equal(nexthop_port_number("25"), 25);
	assert_int_equal(nexthop_port_number("65535"), 65535);
	assert_int_equal(nexthop_port_number("65536"), 0);
	assert_int_equal(nexthop_port_number("0"), 0);
	assert_int_equal(nexthop_port_number(""), 0);
	assert_int_equal(nexthop_port_number("smtp"), 0);
	assert_int_equal(nexthop_port_number("25 "), 0);
}

static void
nexthop_lists_of_ports(void **state)
{
	static const unsigned want[] = {465, 8465, 0, 0, 443};
	struct slice list = slice_str(" 465, 8465 ,smtps,,65536\t443 ");
	unsigned port;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(nexthop_next_port(&list, &port));
		assert_int_equal(port, want[i]);
	}
	assert_false(nexthop_next_port(&list, &port));
	list = slice_of("25\0", 3);
	assert_true(nexthop_next_port(&list, &port));
	assert_int_equal(port, 0);
	list = slice_str("00000000000000000000000000000000465");
	assert_true(nexthop_next_port(&list, &port));
	assert_int_equal(port, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nexthop_forms),
	    cmocka_unit_test(nexthop_malformed_ones_are_told),
	    cmocka_unit_test(nexthop_list_is_taken_one_by_one),
	    cmocka_unit_test(nexthop_host_length_is_bounded),
	    cmocka_unit_test(nexthop_port_numbers),
	    cmocka_unit_test(nexthop_lists_of_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
