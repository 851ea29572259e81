#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "agent/smarthost/peer_list.h"

static void
peer_list_has_names_and_those_below(void **state)
{
	(void)state;
	assert_true(peer_list_has("a.example", "A.example", "192.0.2.1"));
	assert_true(peer_list_has("x, example", "a.example", "192.0.2.1"));
	assert_true(peer_list_has(".example", "a.example", "192.0.2.1"));
	assert_false(peer_list_has(".a.example", "a.example", "192.0.2.1"));
	assert_false(peer_list_has("a.example", "ba.example", "192.0.2.1"));
	assert_false(peer_list_has("a.example", "example", "192.0.2.1"));
	assert_false(peer_list_has(" , ", "example", "192.0.2.1"));
	assert_false(peer_list_has("", "", ""));
}

static void
peer_list_has_addresses_and_nets(void **state)
{
	(void)state;
	assert_true(peer_list_has("192.0.2.1", "x", "192.0.2.1"));
	assert_false(peer_list_has("192.0.2.1", "x", "192.0.2.10"));
	assert_true(peer_list_has("192.0.2.0/24", "x", "192.0.2.10"));
	assert_false(peer_list_has("192.0.2.0/24", "x", "192.0.3.10"));
	assert_true(peer_list_has("192.0.2.128/25", "x", "192.0.2.129"));
	assert_false(peer_list_has("192.0.2.128/25", "x", "192.0.2.127"));
	assert_true(peer_list_has("0.0.0.0/0", "x", "192.0.2.127"));
	assert_true(peer_list_has("[2001:db8::1]", "x", "2001:db8:0::1"));
	assert_true(peer_list_has("[2001:db8::]/32", "x", "2001:db8:5::1"));
	assert_false(peer_list_has("[2001:db8::]/32", "x", "2001:db9::1"));
	assert_false(peer_list_has("[2001:db8::]/32", "x", "192.0.2.1"));
	assert_false(peer_list_has("192.0.2.0/33", "x", "192.0.2.1"));
}

static void
peer_list_tells_what_it_cannot_read(void **state)
{
	char bad[64];

	(void)state;
	assert_true(peer_list_is_plain(
	    "a.example, .b 192.0.2.0/24 [2001:db8::]/32", bad, sizeof(bad)));
	assert_false(peer_list_is_plain("a !b", bad, sizeof(bad)));
	assert_string_equal(bad, "!b");
	assert_false(peer_list_is_plain("hash:/x", bad, sizeof(bad)));
	assert_false(peer_list_is_plain("/etc/x", bad, sizeof(bad)));
	assert_false(peer_list_is_plain("192.0.2.0/33", bad, sizeof(bad)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(peer_list_has_names_and_those_below),
	    cmocka_unit_test(peer_list_has_addresses_and_nets),
	    cmocka_unit_test(peer_list_tells_what_it_cannot_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
