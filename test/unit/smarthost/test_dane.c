#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "agent/smarthost/dane.h"
#include "agent/smarthost/dane_tls.h"
#include "agent/smarthost/tls.h"

enum { NO_MX, SECURE_MX, INSECURE_MX };

static struct candidate
host_by(int mx)
{
	struct candidate at = {.host = "mx.test",
	    .domain = "domain.test",
	    .port = 25,
	    .address_origin = {"mx.test", true}};

	at.has_mx = mx != NO_MX;
	at.mx_origin.is_secure = mx == SECURE_MX;
	(void)snprintf(at.mx_origin.name, sizeof(at.mx_origin.name), "%s",
	    at.has_mx ? "domain.test" : "");
	return at;
}

#define FAILS TLS_LEVEL_NONE

static void
dane_comes_to_what_smtp_makes_of_it(void **state)
{
	static const struct {
		enum dane_finding finding;
		int mx;
		const char *policy;
		enum tls_level dane, dane_only;
		const char *why;
	} cases[] = {
	    {DANE_FOUND, NO_MX, "dane", TLS_LEVEL_DANE, TLS_LEVEL_DANE_ONLY,
		""},
	    {DANE_FOUND, SECURE_MX, "may", TLS_LEVEL_DANE, TLS_LEVEL_DANE_ONLY,
		""},
	    {DANE_FOUND, INSECURE_MX, "dane", TLS_LEVEL_HALF_DANE, FAILS,
		"insecure"},
	    {DANE_FOUND, INSECURE_MX, "encrypt", TLS_LEVEL_ENCRYPT, FAILS,
		"insecure"},
	    {DANE_FOUND, INSECURE_MX, "may", TLS_LEVEL_MAY, FAILS,
		"non DNSSEC destination"},
	    {DANE_NONE, NO_MX, "dane", TLS_LEVEL_MAY, FAILS,
		"no TLSA records found"},
	    {DANE_NONE, SECURE_MX, "dane", TLS_LEVEL_MAY, FAILS,
		"no TLSA records found"},
	    {DANE_NONE, INSECURE_MX, "dane", TLS_LEVEL_MAY, FAILS,
		"no TLSA records found"},
	    {DANE_UNUSABLE, NO_MX, "dane", TLS_LEVEL_ENCRYPT, FAILS,
		"TLSA records unusable"},
	    {DANE_UNUSABLE, INSECURE_MX, "dane", TLS_LEVEL_ENCRYPT, FAILS,
		"TLSA records unusable"},
	    {DANE_UNKNOWN, NO_MX, "dane", FAILS, FAILS,
		"TLSA lookup error for mx.test:25"},
	    {DANE_UNKNOWN, INSECURE_MX, "may", FAILS, FAILS,
		"TLSA lookup error for mx.test:25"},
	};
	struct settings set;
	char why[DANE_WHY_SIZE];
	enum tls_level level;

	(void)state;
	params_init(&set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate at = host_by(cases[i].mx);

		assert_true(params_set(&set,
		    params_find("smtp_tls_dane_insecure_mx_policy"),
		    cases[i].policy, NULL));
		if (!dane_decide(&at, TLS_LEVEL_DANE, &set, cases[i].finding,
			&level, why, sizeof(why)))
			level = FAILS;
		if (level != cases[i].dane || strstr(why, cases[i].why) == NULL)
			fail_msg("%zu: dane: %d, %s", i, (int)level, why);
		if (!dane_decide(&at, TLS_LEVEL_DANE_ONLY, &set,
			cases[i].finding, &level, why, sizeof(why)))
			level = FAILS;
		/* Of a host found like that nobody asks for records. */
		if (level != cases[i].dane_only)
			fail_msg("%zu: dane-only: %d, %s", i, (int)level, why);
	}
	settings_free(&set);
}

static void
dane_knows_the_names_of_a_host(void **state)
{
	struct candidate at = host_by(NO_MX);
	struct dane dane = {.name_count = 0};

	(void)state;
	dane_set_names(&dane, "end.test", &at);
	assert_int_equal(dane.name_count, 1);
	assert_string_equal(dane.names[0], "end.test");
	at = host_by(SECURE_MX);
	dane_set_names(&dane, "MX.test", &at);
	assert_int_equal(dane.name_count, 2);
	assert_string_equal(dane.names[1], "domain.test");
	(void)snprintf(
	    at.mx_origin.name, sizeof(at.mx_origin.name), "alias.test");
	dane_set_names(&dane, "mx.test", &at);
	assert_int_equal(dane.name_count, 3);
	at.is_srv = true;
	dane_set_names(&dane, "mx.test", &at);
	assert_int_equal(dane.name_count, 1);
}

/* A record of each matching type that has n octets. */
static bool
takes(SSL_CTX *ctx, unsigned char matching, size_t n)
{
	unsigned char data[3 + 64] = {3, 1, matching};
	struct tlsa_set *set = tlsa_set_new();
	bool is_useless;

	tlsa_set_add(set, data, 3 + n);
	assert_int_equal(set->count, 1);
	is_useless = dane_tls_is_useless(ctx, set);
	tlsa_set_free(&set);
	return !is_useless;
}

static void
dane_digests_are_those_of_the_list(void **state)
{
	static const struct {
		const char *list;
		bool is_good, sha256, sha512, sha384_as_3;
	} cases[] = {
	    {"sha512 sha256", true, true, true, false},
	    {"sha256", true, true, false, false},
	    {"SHA512=2,sha256=1", true, true, true, false},
	    {"", true, false, false, false},
	    {"sha512 sha256 sha384=3", true, true, true, true},
	    {"sha512 sha256 =2", true, true, false, false},
	    {"sha256=2", false, 0, 0, 0},
	    {"sha384", false, 0, 0, 0},
	    {"sha384=1", false, 0, 0, 0},
	    {"sha384=255", false, 0, 0, 0},
	    {"sha384=0", false, 0, 0, 0},
	    {"sha384=x", false, 0, 0, 0},
	    {"nosuch=3", false, 0, 0, 0},
	    {"sha256 sha256", false, 0, 0, 0},
	};
	char bad[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		bool is_good;

		assert_int_equal(SSL_CTX_dane_enable(ctx), 1);
		is_good =
		    dane_tls_digests(ctx, cases[i].list, bad, sizeof(bad));
		if (is_good != cases[i].is_good)
			fail_msg("%s: %s", cases[i].list, bad);
		if (is_good && (takes(ctx, 1, 32) != cases[i].sha256 ||
				   takes(ctx, 2, 64) != cases[i].sha512 ||
				   takes(ctx, 3, 48) != cases[i].sha384_as_3))
			fail_msg("%s: others", cases[i].list);
		assert_false(takes(ctx, 1, 31));
		SSL_CTX_free(ctx);
	}
}

static void
add(struct dane *dane, unsigned char usage, unsigned char octet)
{
	unsigned char data[35] = {usage, 1, 1, octet};

	tlsa_set_add(dane->records, data, sizeof(data));
}

/* What is resumed was proven by the same records, in whatever order. */
static void
dane_is_part_of_what_a_session_is_resumed_for(void **state)
{
	struct dane one = {.records = tlsa_set_new()};
	struct dane two = {.records = tlsa_set_new()};
	struct tlspolicy p = {.level = TLS_LEVEL_DANE, .dane = &one};
	struct tlspolicy q = {.level = TLS_LEVEL_DANE, .dane = &two};
	struct candidate at = host_by(NO_MX);
	char a[TLS_KEY_SIZE], b[TLS_KEY_SIZE];

	(void)state;
	dane_set_names(&one, "mx.test", &at);
	dane_set_names(&two, "mx.test", &at);
	add(&one, 3, 1);
	add(&one, 3, 2);
	add(&two, 3, 2);
	tls_key(&p, "x", a);
	tls_key(&q, "x", b);
	assert_string_not_equal(a, b);
	add(&two, 3, 1);
	tls_key(&q, "x", b);
	assert_string_equal(a, b);
	q.level = TLS_LEVEL_HALF_DANE;
	tls_key(&q, "x", b);
	assert_string_not_equal(a, b);
	q.level = TLS_LEVEL_DANE;
	dane_set_names(&two, "other.test", &at);
	tls_key(&q, "x", b);
	assert_string_not_equal(a, b);
	dane_fini(&one);
	dane_fini(&two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dane_comes_to_what_smtp_makes_of_it),
	    cmocka_unit_test(dane_knows_the_names_of_a_host),
	    cmocka_unit_test(dane_digests_are_those_of_the_list),
	    cmocka_unit_test(dane_is_part_of_what_a_session_is_resumed_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
