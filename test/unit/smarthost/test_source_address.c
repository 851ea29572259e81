#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/settings/params.h"
#include "agent/smarthost/source_address.h"

static struct settings set;
static char why[200];

static void
set_by_name(const char *name, const char *text)
{
	assert_true(params_set(&set, params_find(name), text, NULL));
}

static int
setup(void **state)
{
	(void)state;
	params_init(&set);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	return 0;
}

/* "ipv4 ipv6" of what would be bound, "-" for none; or the error. */
static const char *
source(const char *interfaces, const char *ipv4, const char *ipv6)
{
	static char text[2 * INET6_ADDRSTRLEN + 200];
	char a[INET6_ADDRSTRLEN] = "-", b[INET6_ADDRSTRLEN] = "-";
	struct source_address s;

	set_by_name("inet_interfaces", interfaces);
	set_by_name("smtp_bind_address", ipv4);
	set_by_name("smtp_bind_address6", ipv6);
	if (!source_address_init(&s, &set, why, sizeof(why)))
		return why;
	if (s.has_ipv4)
		(void)inet_ntop(AF_INET, &s.ipv4.sin_addr, a, sizeof(a));
	if (s.has_ipv6)
		(void)inet_ntop(AF_INET6, &s.ipv6.sin6_addr, b, sizeof(b));
	(void)snprintf(text, sizeof(text), "%s %s", a, b);
	return text;
}

static void
source_is_the_single_address_of_its_family(void **state)
{
	static const struct {
		const char *interfaces, *source;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1 -"},
	    {"192.0.2.1, 192.0.2.1", "192.0.2.1 -"},
	    {"192.0.2.1 2001:db8::1", "192.0.2.1 2001:db8::1"},
	    {"[192.0.2.1], [2001:db8::1]", "192.0.2.1 2001:db8::1"},
	    {"192.0.2.1, 192.0.2.2, 2001:db8::1", "- 2001:db8::1"},
	    {"192.0.2.1, 127.0.0.1", "- -"},
	    {"127.0.0.1", "- -"},
	    {"127.0.0.7, ::1", "- -"},
	    {"loopback-only", "- -"},
	    {"", "- -"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    source(cases[i].interfaces, "", ""), cases[i].source);
}

/* With a loopback interface there are two of each family at least. */
static void
source_of_all_interfaces_is_the_kernels_choice(void **state)
{
	struct ifaddrs *list;
	size_t count = 0;

	(void)state;
	assert_int_equal(getifaddrs(&list), 0);
	for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
		count +=
		    i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET;
	freeifaddrs(list);
	assert_true(count >= 1);
	/* One only: that of the loopback interface. */
	assert_int_equal(strncmp(source("all", "", ""), "- ", 2), 0);
}

static void
source_that_is_set_wins_in_its_family(void **state)
{
	(void)state;
	assert_string_equal(source("192.0.2.1, 2001:db8::1", "192.0.2.9", ""),
	    "192.0.2.9 2001:db8::1");
	assert_string_equal(
	    source("192.0.2.1, 2001:db8::1", "", "[2001:db8::9]"),
	    "192.0.2.1 2001:db8::9");
	assert_string_equal(
	    source("all", "[192.0.2.9]", "::1"), "192.0.2.9 ::1");
}

static void
source_that_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = {
	    "localhost", "192.0.2", "[192.0.2.1", "192.0.2.1]", "::1", "["};
	char wanted[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(wanted, sizeof(wanted),
		    "bad parameter: smtp_bind_address = %s: must be an "
		    "IPv4 address",
		    bad[i]);
		assert_string_equal(source("all", bad[i], ""), wanted);
	}
	assert_string_equal(source("all", "", "192.0.2.1"),
	    "bad parameter: smtp_bind_address6 = 192.0.2.1: must be an IPv6 "
	    "address");
	assert_string_equal(source("192.0.2.1 999.1.1.1", "", ""),
	    "bad parameter: inet_interfaces = 999.1.1.1: host not found");
}

/* 192.0.2.1 is nobody's (RFC 5737). */
static void
source_that_cannot_be_bound_stops_only_when_told(void **state)
{
	struct sockaddr_in sin;
	socklen_t n = sizeof(sin);

	(void)state;
	for (int enforce = 0; enforce < 2; enforce++) {
		struct source_address s;
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		assert_true(fd >= 0);
		set_by_name(
		    "smtp_bind_address_enforce", enforce ? "yes" : "no");
		set_by_name("smtp_bind_address", "192.0.2.1");
		set_by_name("inet_interfaces", "all");
		set_by_name("smtp_bind_address6", "");
		assert_true(source_address_init(&s, &set, why, sizeof(why)));
		assert_int_equal(
		    source_address_bind(&s, fd, AF_INET), !enforce);
		/* It is about the addresses that were set. */
		set_by_name("smtp_bind_address", "");
		set_by_name("inet_interfaces", "192.0.2.1");
		assert_true(source_address_init(&s, &set, why, sizeof(why)));
		assert_true(source_address_bind(&s, fd, AF_INET));
		set_by_name("smtp_bind_address", "127.0.0.9");
		assert_true(source_address_init(&s, &set, why, sizeof(why)));
		assert_true(source_address_bind(&s, fd, AF_INET));
		assert_int_equal(getsockname(fd, (void *)&sin, &n), 0);
		assert_int_equal(ntohl(sin.sin_addr.s_addr), 0x7f000009);
		(void)close(fd);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(source_is_the_single_address_of_its_family),
	    cmocka_unit_test(source_of_all_interfaces_is_the_kernels_choice),
	    cmocka_unit_test(source_that_is_set_wins_in_its_family),
	    cmocka_unit_test(source_that_is_no_address_is_refused),
	    cmocka_unit_test(source_that_cannot_be_bound_stops_only_when_told),
	};

	return cmocka_run_group_tests_name(
	    "source_address", tests, setup, teardown);
}
