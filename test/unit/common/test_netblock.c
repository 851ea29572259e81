#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "common/base/netblock.h"

static void
netblock_has_what_is_in_it(void **state)
{
	static const struct {
		const char *net, *addr;
		bool is_in;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.2", false},
	    {"192.0.2.0/25", "192.0.2.127", true},
	    {"192.0.2.0/25", "192.0.2.128", false},
	    {"0.0.0.0/0", "255.255.255.255", true},
	    {"0.0.0.0/0", "::1", false},
	    {"0.0.0.0/0", "mail.example", false},
	    {"[192.0.2.0]/24", "192.0.2.9", true},
	    {"[192.0.2.0/24]", "192.0.2.9", true},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"2001:db8::/33", "2001:db8:8000::1", false},
	    {"[2001:db8::1]", "2001:DB8:0::1", true},
	    {"::/0", "::1", true},
	    {"::1/128", "::1", true},
	};
	struct netblock net;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(netblock_parse(cases[i].net, &net));
		if (netblock_has(&net, cases[i].addr) != cases[i].is_in)
			fail_msg("%s, %s", cases[i].net, cases[i].addr);
	}
}

static void
netblock_of_other_text_is_none(void **state)
{
	static const char *const cases[] = {"", "mail.example", "192.0.2",
	    "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.0/8x",
	    "192.0.2.0/-1", "192.0.2.0/99999999999999999999", "::/129", "[::1",
	    "::1]", "[::1]x", "[]", "/8", "192.0.2.0/8/8",
	    ("1111111111111111111111111111111111111111111111111111111111111111"
	     "11111111111111111111111111111111111111111111111111111111111.1")};
	struct netblock net;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (netblock_parse(cases[i], &net))
			fail_msg("\"%s\"", cases[i]);
}

static void
netblock_with_bits_of_a_host_is_told_apart(void **state)
{
	struct netblock net;

	(void)state;
	assert_true(netblock_parse("192.0.2.128/25", &net));
	assert_true(netblock_is_network(&net));
	assert_true(netblock_parse("192.0.2.128/24", &net));
	assert_false(netblock_is_network(&net));
	assert_true(netblock_parse("192.0.2.1", &net));
	assert_true(netblock_is_network(&net));
	assert_true(netblock_parse("2001:db8::1/127", &net));
	assert_false(netblock_is_network(&net));
	assert_true(netblock_parse("0.0.0.0/0", &net));
	assert_true(netblock_is_network(&net));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(netblock_has_what_is_in_it),
	    cmocka_unit_test(netblock_of_other_text_is_none),
	    cmocka_unit_test(netblock_with_bits_of_a_host_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
