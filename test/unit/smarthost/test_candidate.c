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
candidate_finds_services_where_they_are_looked_for(void **state)
{
	static const struct {
		const char *services, *nexthops, *wanted;
	} cases[] = {
	    {"submission", "srv.test:submission",
		" one.test[192.0.2.1]:587 both.test[192.0.2.2]:1587"},
	    {"smtps, SUBMISSION", "srv.test:submission, [one.test]:submission",
		" one.test[192.0.2.1]:587 both.test[192.0.2.2]:1587"
		" one.test[192.0.2.1]:587"},
	    {"submissions", "srv.test:submission", " one.test[192.0.2.1]:587"},
	    {"submission", "srv.test:587", " one.test[192.0.2.1]:587"},
	    {"submission", "[one.test]:submission", " one.test[192.0.2.1]:587"},
	    {"submission", "mail.test:submission",
		" 4.3.5 Host or domain name not found. Name service error for "
		"name=_submission._tcp.mail.test type=SRV: Host not found"},
	    {"submission", "null.test:submission",
		" 4.3.5 Service _submission._tcp.null.test is not available "
		"(null SRV)"},
	    {"submission", "nowhere.test:submission",
		" 4.3.5 Host or domain name not found. Name service error for "
		"name=unknown.test type=A: Host not found"},
	};
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dnsbench_set(&b, "use_srv_lookup", cases[i].services);
		assert_string_equal(
		    list(&b, cases[i].nexthops), cases[i].wanted);
	}
	/* Without MX records they are not looked for either. */
	dnsbench_set(&b, "use_srv_lookup", "submission");
	dnsbench_set(&b, "smtp_dns_support_level", "disabled");
	assert_string_equal(list(&b, "srv.test:submission"),
	    " 4.3.5 Host or domain name not found. Name service error for "
	    "name=srv.test type=A: Host found but no data record of requested "
	    "type");
	dnsbench_end(&b);
}

static void
candidate_falls_back_to_mx_where_it_may(void **state)
{
	static const struct {
		const char *nexthop, *error, *fallback;
	} cases[] = {
	    {"mail.test:submission", NULL,
		" one.test[192.0.2.1]:587 both.test[192.0.2.2]:587"},
	    {"nowhere.test:submission", NULL, " one.test[192.0.2.1]:587"},
	    {"broken.test:submission", NULL, NULL},
	    {"srv.test:submission",
		" one.test[192.0.2.1]:587 both.test[192.0.2.2]:1587",
		" one.test[192.0.2.1]:587 both.test[192.0.2.2]:1587"},
	};
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	dnsbench_set(&b, "use_srv_lookup", "submission");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got;

		dnsbench_set(&b, "ignore_srv_lookup_error", "yes");
		got = list(&b, cases[i].nexthop);
		if (cases[i].error != NULL)
			assert_string_equal(got, cases[i].error);
		else
			assert_int_equal(strncmp(got, " 4.", 3), 0);
		dnsbench_set(&b, "ignore_srv_lookup_error", "no");
		dnsbench_set(&b, "allow_srv_lookup_fallback", "yes");
		got = list(&b, cases[i].nexthop);
		if (cases[i].fallback != NULL)
			assert_string_equal(got, cases[i].fallback);
		else
			assert_int_equal(strncmp(got, " 4.4.3", 6), 0);
		dnsbench_set(&b, "allow_srv_lookup_fallback", "no");
	}
	/* No SRV record to be had, but an MX. */
	dnsbench_set(&b, "ignore_srv_lookup_error", "no");
	assert_non_null(
	    strstr(list(&b, "halfbroken.test:submission"), "4.4.3"));
	dnsbench_set(&b, "ignore_srv_lookup_error", "yes");
	assert_string_equal(
	    list(&b, "halfbroken.test:submission"), " one.test[192.0.2.1]:587");
	dnsbench_end(&b);
}

/* Three times out of four the one of weight 3, none of weight 0 before the
 * others. */
static void
candidate_chooses_services_by_weight(void **state)
{
	int first = 0, second = 0;
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	dnsbench_set(&b, "use_srv_lookup", "smtp");
	for (int i = 0; i < 400; i++) {
		const char *got = list(&b, "weights.test:smtp");

		first += strcmp(got, " one.test[192.0.2.1]:1 "
				     "both.test[192.0.2.2]:2 "
				     "many1.test[192.0.2.41]:3") == 0;
		second += strcmp(got, " both.test[192.0.2.2]:2 "
				      "one.test[192.0.2.1]:1 "
				      "many1.test[192.0.2.41]:3") == 0;
	}
	assert_int_equal(first + second, 400);
	/* By chance less than once in 10 to the power of 12. */
	assert_in_range(first, 230, 370);
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

static void
ask(void *ctx)
{
	struct dnsbench *b = ctx;

	candidates_next(b->candidates, on_candidate, b);
}

/* Other events, of which there may be many, do not come in between. */
static void
candidate_that_is_known_comes_in_the_same_turn(void **state)
{
	static const char *const nexthops[] = {
	    "[192.0.2.9]:2525", "[one.test]:1, 192.0.2.7:3"};
	char wanted[200];
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(
		    wanted, sizeof(wanted), "%s", list(&b, nexthops[i]));
		buf_reset(&b.got);
		b.is_done = false;
		candidates_free(&b.candidates);
		b.candidates = candidates_new(b.loop, b.resolver, &b.set,
		    &b.rests, nexthops[i], CANDIDATE_ALL_LEVELS, "");
		loop_defer(b.loop, ask, &b);
		loop_once(b.loop);
		assert_true(b.is_done);
		assert_string_equal(buf_str(&b.got), wanted);
	}
	dnsbench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(candidate_lists_every_form_of_nexthop),
	    cmocka_unit_test(
		candidate_finds_services_where_they_are_looked_for),
	    cmocka_unit_test(candidate_falls_back_to_mx_where_it_may),
	    cmocka_unit_test(candidate_chooses_services_by_weight),
	    cmocka_unit_test(candidate_prefers_a_family_and_keeps_both),
	    cmocka_unit_test(candidate_shuffles_equals),
	    cmocka_unit_test(candidate_puts_addresses_at_rest_last),
	    cmocka_unit_test(candidate_that_is_known_comes_in_the_same_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
