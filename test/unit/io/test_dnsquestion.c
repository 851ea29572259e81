#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/io/dnsquestion.h"
#include "agent/io/dnsreply.h"
#include "agent/io/resolver_cache.h"
#include "agent/io/trusted_resolver.h"
#include "agent/settings/params.h"
#include "test/support/dnsbench.h"

static void
trusted_resolver_is_an_address_of_loopback(void **state)
{
	static const struct {
		const char *value, *server, *why;
	} cases[] = {
	    {"127.0.0.1", "127.0.0.1:53", NULL},
	    {"127.0.0.53:5353", "127.0.0.53:5353", NULL},
	    {"::1", "[::1]:53", NULL},
	    {"[::1]", "[::1]:53", NULL},
	    {"[::1]:65535", "[::1]:65535", NULL},
	    {" [::1]:54,", "[::1]:54", NULL},
	    {"127.0.0.1, [::1]:54", NULL, "must be one resolver"},
	    {"", NULL, "is empty"},
	    {" , ", NULL, "is empty"},
	    {"192.0.2.1", NULL, "on this host"},
	    {"127.0.0.1 9.9.9.9", NULL, "must be one resolver"},
	    {"128.0.0.1", NULL, "on this host"},
	    {"0.0.0.0", NULL, "on this host"},
	    {"::", NULL, "on this host"},
	    {"::ffff:127.0.0.1", NULL, "on this host"},
	    {"[2001:db8::1]:53", NULL, "on this host"},
	    {"localhost", NULL, "must be an address"},
	    {"127.1", NULL, "must be an address"},
	    {"127.0.0.1x", NULL, "must be an address"},
	    {"127.0.0.1:", NULL, "must be an address"},
	    {"[::1", NULL, "must be an address"},
	    {"[::1]x", NULL, "must be an address"},
	    {"[::1]:", NULL, "must be an address"},
	    {"127.0.0.1:0", NULL, "port from 1"},
	    {"127.0.0.1:65536", NULL, "port from 1"},
	    {"127.0.0.1:dns", NULL, "port from 1"},
	};
	char server[TRUSTED_RESOLVER_SIZE], why[TRUSTED_RESOLVER_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool is_good = trusted_resolver_server(
		    cases[i].value, server, sizeof(server), why, sizeof(why));

		if (is_good != (cases[i].why == NULL) ||
		    (is_good && strcmp(server, cases[i].server) != 0) ||
		    (!is_good && strstr(why, cases[i].why) == NULL))
			fail_msg("%s: %s, %s", cases[i].value, server, why);
	}
}

static void
dnsquestion_reads_probes_and_heads_of_replies(void **state)
{
	unsigned char msg[12] = {0, 7, 0x81, 0x80, 0, 1, 0, 1};
	const char *name;
	unsigned type;

	(void)state;
	assert_true(dnsquestion_probe("ns:.", &type, &name));
	assert_int_equal(type, DNS_TYPE_NS);
	assert_string_equal(name, ".");
	assert_true(dnsquestion_probe("", &type, &name));
	assert_int_equal(type, 0);
	assert_false(dnsquestion_probe("ns", &type, &name));
	assert_false(dnsquestion_probe("ns:", &type, &name));
	assert_false(dnsquestion_probe("nosuch:.", &type, &name));
	assert_int_equal(dnsquestion_status(msg, 12), ARES_SUCCESS);
	assert_false(dnsquestion_is_authentic(msg, 12));
	msg[3] |= 0x20;
	assert_true(dnsquestion_is_authentic(msg, 12));
	assert_false(dnsquestion_is_authentic(msg, 11));
	assert_int_equal(dnsquestion_status(msg, 11), ARES_EBADRESP);
	msg[7] = 0;
	assert_int_equal(dnsquestion_status(msg, 12), ARES_ENODATA);
	msg[3] = 0x83;
	assert_int_equal(dnsquestion_status(msg, 12), ARES_ENOTFOUND);
	msg[3] = 0x82;
	assert_int_equal(dnsquestion_status(msg, 12), ARES_ESERVFAIL);
	msg[3] = 0x8f;
	assert_int_equal(dnsquestion_status(msg, 12), ARES_ESERVFAIL);
	msg[3] = 0x80;
	msg[2] |= 2;
	assert_int_equal(dnsquestion_status(msg, 12), ARES_EBADRESP);
}

/* The resolver that is trusted, and what it is asked: dnsbench as the server.
 */
static void
ask(bool is_wanted, const char *name, struct dnsbench *b)
{
	char server[40];

	dnsbench_begin(b, "ipv4");
	resolver_free(&b->resolver);
	dnsbench_address(b, server, sizeof(server));
	dnsbench_set(b, "smtp_tls_dane_resolver", server);
	if (is_wanted)
		dnsbench_set(b, "smtp_dns_support_level", "dnssec");
	b->resolver = resolver_new_secure(b->loop, &b->set, "/nonexistent");
	assert_int_equal(resolver_is_secure(b->resolver), is_wanted);
	if (is_wanted)
		assert_string_equal(
		    dnsbench_find(b, name, false), " 192.0.2.1");
}

static void
dnsquestion_has_do_and_ad_and_believes_ad(void **state)
{
	struct dnsbench b;

	(void)state;
	ask(false, "one.test", &b);
	dnsbench_end(&b);
	ask(true, "one.test", &b);
	assert_true(b.has_do && b.has_ad);
	assert_false(resolver_has_vouched(b.resolver));
	assert_false(b.is_secure);
	b.says_ad = true;
	(void)dnsbench_find(&b, "both.test", false);
	assert_true(b.is_secure);
	/* It may have made up that name itself. */
	assert_false(resolver_has_vouched(b.resolver));
	dnsbench_end(&b);
}

static void
on_probe(void *ctx, const struct resolver_answer *answer)
{
	struct dnsbench *b = ctx;

	b->status = answer->status;
	b->is_done = true;
}

static void
probe(struct dnsbench *b)
{
	b->is_done = false;
	(void)resolver_probe(b->resolver, DNS_TYPE_A, "many.test", on_probe, b);
	while (!b->is_done)
		loop_once(b->loop);
}

/* An answer of before would say nothing of the resolver. */
static void
dnsquestion_probe_asks_each_time(void **state)
{
	struct dnsbench b;
	int asked;

	(void)state;
	ask(true, "one.test", &b);
	asked = b.questions;
	for (int i = 0; i < 3; i++) {
		b.says_ad = i > 0;
		probe(&b);
		assert_int_equal(b.status, RESOLVER_OK);
		assert_int_equal(resolver_has_vouched(b.resolver), i > 0);
	}
	assert_int_equal(b.questions, asked + 3);
	dnsbench_end(&b);
}

/* Else it would be believed later, when the resolver validates again. */
static void
resolver_keeps_what_is_not_validated_only_if_it_validates(void **state)
{
	struct dnsbench b;
	int asked;

	(void)state;
	ask(true, "one.test", &b);
	asked = b.questions;
	(void)dnsbench_find(&b, "one.test", false);
	(void)dnsbench_find(&b, "mail.test", true);
	(void)dnsbench_find(&b, "mail.test", true);
	assert_int_equal(b.questions, asked + 3);
	b.says_ad = true;
	probe(&b);
	(void)dnsbench_find(&b, "one.test", false);
	assert_true(b.is_secure);
	b.says_ad = false;
	(void)dnsbench_find(&b, "both.test", false);
	asked = b.questions;
	(void)dnsbench_find(&b, "one.test", false);
	assert_true(b.is_secure);
	(void)dnsbench_find(&b, "both.test", false);
	assert_false(b.is_secure);
	assert_int_equal(b.questions, asked);
	dnsbench_end(&b);
}

static void
resolver_keeps_what_is_not_validated_for_a_minute(void **state)
{
	struct resolver_answer a = {.origin = {"one.test", true}};

	(void)state;
	assert_int_equal(resolver_answer_keep_s(&a, false, 3600), 3600);
	a.origin6 = (struct resolver_origin){"one.test", false};
	assert_int_equal(resolver_answer_keep_s(&a, false, 3600), 0);
	assert_int_equal(resolver_answer_keep_s(&a, true, 3600), 60);
	assert_int_equal(resolver_answer_keep_s(&a, true, 5), 5);
	a.origin6.is_secure = true;
	a.origin.is_secure = false;
	assert_int_equal(resolver_answer_keep_s(&a, false, 3600), 0);
}

static void
dnsquestion_believes_ad_of_nobody_else(void **state)
{
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	b.says_ad = true;
	(void)dnsbench_find(&b, "one.test", false);
	assert_false(b.has_do || b.has_ad);
	assert_false(b.is_secure);
	assert_false(resolver_has_vouched(b.resolver));
	dnsbench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(trusted_resolver_is_an_address_of_loopback),
	    cmocka_unit_test(dnsquestion_reads_probes_and_heads_of_replies),
	    cmocka_unit_test(dnsquestion_has_do_and_ad_and_believes_ad),
	    cmocka_unit_test(dnsquestion_probe_asks_each_time),
	    cmocka_unit_test(
		resolver_keeps_what_is_not_validated_only_if_it_validates),
	    cmocka_unit_test(resolver_keeps_what_is_not_validated_for_a_minute),
	    cmocka_unit_test(dnsquestion_believes_ad_of_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
