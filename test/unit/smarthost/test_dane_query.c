#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/smarthost/dane_query.h"
#include "test/support/dnsbench.h"
#include "test/support/fakeserver.h"

static enum dane_finding finding;
static char why[DANE_WHY_SIZE];

static void
begin(struct dnsbench *b, const char *settings, const char *resolv_conf)
{
	char server[40];

	dnsbench_begin_with(b, settings, resolv_conf, false);
	resolver_free(&b->resolver);
	dnsbench_address(b, server, sizeof(server));
	dnsbench_set(b, "smtp_tls_dane_resolver", server);
	dnsbench_set(b, "smtp_dns_support_level", "dnssec");
	dnsbench_set(b, "dnssec_probe", "a:many.test");
	b->resolver = resolver_new_secure(b->loop, &b->set, resolv_conf);
	assert_true(resolver_is_secure(b->resolver));
}

static void
on_found(void *ctx, struct dane_result *result)
{
	struct dnsbench *b = ctx;

	finding = result->finding;
	(void)snprintf(why, sizeof(why), "%s", result->why);
	b->is_done = true;
}

/* Of a host whose address came from that name. */
static enum dane_finding
find(struct dnsbench *b, const char *host, const char *origin, bool is_secure)
{
	struct candidate at = {.port = 25};

	(void)snprintf(at.host, sizeof(at.host), "%s", host);
	(void)snprintf(at.address_origin.name, sizeof(at.address_origin.name),
	    "%s", origin);
	at.address_origin.is_secure = is_secure;
	b->is_done = false;
	buf_reset(&b->asked);
	(void)dane_query_start(
	    b->loop, b->resolver, &b->set, &at, true, on_found, b);
	assert_true(fake_run_until(b->loop, &b->is_done));
	return finding;
}

static void
nothing_is_believed_without_a_validated_probe(void **state)
{
	struct dnsbench b;

	(void)state;
	begin(&b, "inet_protocols=ipv4", "/nonexistent");
	assert_int_equal(find(&b, "one.test", "one.test", false), DANE_UNKNOWN);
	assert_non_null(strstr(why, "DNSSEC validation is not available"));
	assert_string_equal(buf_str(&b.asked), " many.test");
	/* An answer with AD may be the resolver's own. */
	b.says_ad = true;
	(void)dnsbench_find(&b, "both.test", false);
	b.says_ad = false;
	assert_int_equal(find(&b, "one.test", "one.test", false), DANE_UNKNOWN);
	b.says_ad = true;
	assert_int_equal(find(&b, "one.test", "one.test", false), DANE_NONE);
	b.says_ad = false;
	assert_int_equal(find(&b, "one.test", "one.test", false), DANE_NONE);
	assert_string_equal(buf_str(&b.asked), "");
	dnsbench_end(&b);
}

static void
records_that_nobody_can_tell_are_not_none(void **state)
{
	struct dnsbench b;

	(void)state;
	begin(&b, "inet_protocols=ipv4", "/nonexistent");
	b.says_ad = true;
	assert_int_equal(find(&b, "one.test", "one.test", true), DANE_NONE);
	assert_string_equal(buf_str(&b.asked), " _25._tcp.one.test many.test");
	assert_int_equal(
	    find(&b, "broken.test", "broken.test", true), DANE_UNKNOWN);
	assert_string_not_equal(why, "");
	dnsbench_end(&b);
}

/* The hosts file has no DNSSEC; if told to, records are asked for all the same.
 */
static void
records_are_asked_of_any_host_where_forced(void **state)
{
	struct dnsbench b;

	(void)state;
	begin(&b,
	    "inet_protocols=ipv4;smtp_tls_force_insecure_host_tlsa_lookup=yes",
	    "/nonexistent");
	b.says_ad = true;
	(void)find(&b, "hosted.test", "", false);
	assert_string_equal(
	    buf_str(&b.asked), " _25._tcp.hosted.test many.test");
	dnsbench_set(&b, "smtp_tls_force_insecure_host_tlsa_lookup", "no");
	(void)find(&b, "hosted.test", "", false);
	assert_string_equal(buf_str(&b.asked), "");
	dnsbench_end(&b);
}

/* It would look as if the short name were an alias. */
static void
names_of_a_search_list_have_no_origin(void **state)
{
	char conf[] = "/tmp/pl-resolv-XXXXXX";
	int fd = mkstemp(conf);
	struct dnsbench b;

	(void)state;
	assert_true(dprintf(fd, "search corp.test\n") > 0);
	(void)close(fd);
	begin(&b, "inet_protocols=ipv4;smtp_host_lookup=dns, native", conf);
	b.says_ad = true;
	assert_string_equal(dnsbench_find(&b, "inner", false), " 192.0.2.31");
	assert_string_equal(b.origin, "");
	assert_false(b.is_secure);
	(void)dnsbench_find(&b, "one.test", false);
	assert_string_equal(b.origin, "one.test");
	(void)unlink(conf);
	dnsbench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_believed_without_a_validated_probe),
	    cmocka_unit_test(records_that_nobody_can_tell_are_not_none),
	    cmocka_unit_test(records_are_asked_of_any_host_where_forced),
	    cmocka_unit_test(names_of_a_search_list_have_no_origin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
