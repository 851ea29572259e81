/* The order in which hosts and addresses of a nexthop come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "agent/smarthost/candidate.h"
#include "test/support/dnsbench.h"
#include "test/support/fakeserver.h"

static void
on_candidate(void *ctx, const struct candidate *c)
{
	struct dnsbench *b = ctx;
	const struct dsn *problem;

	if (c != NULL) {
		(void)buf_addf(
		    &b->got, " %s[%s]:%u", c->host, c->addr, (unsigned)c->port);
		candidates_next(b->candidates, on_candidate, b);
		return;
	}
	problem = candidates_problem(b->candidates);
	assert_int_equal(candidates_is_mistake(b->candidates),
	    problem != NULL && strcmp(problem->status, "4.3.5") == 0);
	if (problem != NULL)
		(void)buf_addf(
		    &b->got, " %s %s", problem->status, problem->text);
	b->is_done = true;
}

static const char *
list(struct dnsbench *b, const char *nexthops)
{
	buf_reset(&b->got);
	b->is_done = false;
	candidates_free(&b->candidates);
	b->candidates = candidates_new(b->loop, b->resolver, &b->set, &b->rests,
	    nexthops, CANDIDATE_ALL_LEVELS, "");
	candidates_next(b->candidates, on_candidate, b);
	assert_true(fake_run_until(b->loop, &b->is_done));
	return buf_str(&b->got);
}

static void
candidate_lists_every_form_of_nexthop(void **state)
{
	static const struct {
		const char *nexthops, *wanted;
	} cases[] = {
	    {"[192.0.2.9]:2525", " 192.0.2.9[192.0.2.9]:2525"},
	    {"[one.test]", " one.test[192.0.2.1]:25"},
	    {"[one.test]:submission", " one.test[192.0.2.1]:587"},
	    {"one.test", " one.test[192.0.2.1]:25"},
	    {"one.test:26", " one.test[192.0.2.1]:26"},
	    {"mail.test", " one.test[192.0.2.1]:25 both.test[192.0.2.2]:25"},
	    {"[one.test]:1, [both.test]:2 192.0.2.7:3",
		" one.test[192.0.2.1]:1 both.test[192.0.2.2]:2"
		" 192.0.2.7[192.0.2.7]:3"},
	    {"[unknown.test], [one.test]", " one.test[192.0.2.1]:25"},
	    {"[unknown.test]",
		" 4.3.5 Host or domain name not found. Name service error "
		"for name=unknown.test type=A: Host not found"},
	    {"[broken.test]",
		" 4.4.3 Host or domain name not found. Name service error "
		"for name=broken.test type=A: Host not found, try again"},
	    {"null.test",
		" 4.3.5 Domain null.test does not accept mail (nullMX)"},
	};
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    list(&b, cases[i].nexthops), cases[i].wanted);
	dnsbench_end(&b);
}

static void
candidate_prefers_a_family_and_keeps_both(void **state)
{
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "all");
	dnsbench_set(&b, "smtp_address_preference", "ipv6");
	assert_string_equal(list(&b, "[both.test]"),
	    " both.test[2001:db8::2]:25 both.test[192.0.2.2]:25");
	dnsbench_set(&b, "smtp_address_preference", "ipv4");
	assert_string_equal(list(&b, "[both.test]"),
	    " both.test[192.0.2.2]:25 both.test[2001:db8::2]:25");
	dnsbench_set(&b, "smtp_mx_address_limit", "2");
	assert_non_null(strstr(list(&b, "[many.test]"), "2001:db8::14"));
	assert_non_null(strstr(buf_str(&b.got), "192.0.2.1"));
	dnsbench_end(&b);
}

static void
candidate_shuffles_equals(void **state)
{
	char first[4096] = "";
	bool differs = false;
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	dnsbench_set(&b, "smtp_randomize_addresses", "yes");
	(void)snprintf(first, sizeof(first), "%s", list(&b, "[many.test]"));
	/* By chance the same a hundred times: 24 to the power of -100. */
	for (int i = 0; i < 100 && !differs; i++)
		differs = strcmp(list(&b, "[many.test]"), first) != 0;
	assert_true(differs);
	assert_int_equal(strlen(buf_str(&b.got)), strlen(first));
	dnsbench_end(&b);
}

static void
candidate_puts_addresses_at_rest_last(void **state)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct sockaddr_storage sa = {0};
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	sin.sin_port = htons(25);
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &sin.sin_addr), 1);
	memcpy(&sa, &sin, sizeof(sin));
	candidate_rest(&b.rests, &sa, loop_now_ms(b.loop));
	assert_string_equal(list(&b, "[one.test], [both.test]"),
	    " both.test[192.0.2.2]:25 one.test[192.0.2.1]:25");
	assert_string_equal(list(&b, "[one.test]"), " one.test[192.0.2.1]:25");
	candidate_wake(&b.rests, &sa);
	assert_string_equal(list(&b, "[one.test], [both.test]"),
	    " one.test[192.0.2.1]:25 both.test[192.0.2.2]:25");
	candidate_rest(&b.rests, &sa, loop_now_ms(b.loop) - CANDIDATE_REST_MS);
	assert_string_equal(list(&b, "[one.test], [both.test]"),
	    " one.test[192.0.2.1]:25 both.test[192.0.2.2]:25");
	dnsbench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(candidate_lists_every_form_of_nexthop),
	    cmocka_unit_test(candidate_prefers_a_family_and_keeps_both),
	    cmocka_unit_test(candidate_shuffles_equals),
	    cmocka_unit_test(candidate_puts_addresses_at_rest_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
