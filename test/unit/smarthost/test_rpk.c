#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/settings/params.h"
#include "agent/smarthost/rpk.h"
#include "agent/smarthost/tlspolicy.h"
#include "test/support/dialbench.h"

static const char *const one_session[] = {
    ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN, "hang", NULL};
static const char *const one_refusal[] = {
    ">220 a", EHLO_TLS, STARTTLS, "<QUIT", ">221 bye", NULL};

/* RFC 7250; Postfix 3.9. A server that may send its key alone does so when it
 * is asked for that, up to the level that knows keys. */
static void
tls_takes_a_raw_public_key_where_no_name_is_asked_for(void **state)
{
	static const struct {
		const char *policy, *enable, *before, *inside;
		bool ok;
	} cases[] = {
	    {"may", "yes", "Untrusted", "raw public key", true},
	    {"encrypt", "yes", "Untrusted", "raw public key", true},
	    {"encrypt", "no", "Trusted", NULL, true},
	    {"encrypt enable_rpk=yes", "no", "Untrusted", "raw public key",
		true},
	    {"encrypt enable_rpk=no", "yes", "Trusted", NULL, true},
	    {"fingerprint", "yes", "Verified", "raw public key", true},
	    {"fingerprint", "no", "Verified", NULL, true},
	    {"fingerprint match=00:11", "yes", "Untrusted", "raw public key",
		false},
	    {"verify match=localhost", "yes", "Verified", NULL, true},
	};
	struct fake_cert *cert;
	char digest[200];

	(void)state;
	if (!RPK_IS_THERE)
		skip();
	cert = fake_cert_new(bench_ca, "localhost");
	fake_cert_send_key(cert);
	fake_key_fingerprint(cert, digest, sizeof(digest));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *found;
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, cases[i].ok ? one_session : one_refusal, cert);
		bench_set(&b, "smtp_tls_enable_rpk", cases[i].enable);
		bench_set(&b, "smtp_tls_fingerprint_digest", "sha256");
		bench_set(&b, "smtp_tls_fingerprint_cert_match", digest);
		bench_use_policy(&b, cases[i].policy);
		bench_dial(&b);
		if (cases[i].ok)
			bench_expect_success(&b);
		else
			bench_expect_failure(&b, DIAL_TLS, "4.7.5",
			    "Server certificate not verified: fingerprint "
			    "does not match");
		found = strstr(buf_str(&bench_log), " TLS connection");
		assert_non_null(found);
		if (strncmp(found - strlen(cases[i].before), cases[i].before,
			strlen(cases[i].before)) != 0)
			fail_msg("case %zu: %s", i, buf_str(&bench_log));
		found = strstr(buf_str(&bench_log), "raw public key");
		if ((found != NULL) != (cases[i].inside != NULL))
			fail_msg("case %zu: %s", i, buf_str(&bench_log));
		bench_end(&b);
	}
	fake_cert_free(&cert);
}

/* The session that is resumed brings the key along. */
static void
tls_knows_the_key_of_a_session_that_is_resumed(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", "next", ">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", NULL};
	struct fake_cert *cert;
	char digest[200];
	struct bench b;

	(void)state;
	if (!RPK_IS_THERE)
		skip();
	cert = fake_cert_new(bench_ca, "localhost");
	fake_cert_send_key(cert);
	fake_key_fingerprint(cert, digest, sizeof(digest));
	bench_begin(&b);
	bench_serve(&b, script, cert);
	bench_set(&b, "smtp_tls_enable_rpk", "yes");
	bench_set(&b, "smtp_tls_security_level", "fingerprint");
	bench_set(&b, "smtp_tls_fingerprint_digest", "sha256");
	bench_set(&b, "smtp_tls_fingerprint_cert_match", digest);
	for (int i = 0; i < 2; i++) {
		bench_dial(&b);
		bench_expect_success(&b);
		assert_int_equal(b.result.peer.is_resumed, i > 0);
		assert_true(b.result.peer.is_verified);
	}
	assert_non_null(
	    strstr(buf_str(&bench_log), "Verified TLS connection reused to"));
	bench_end(&b);
	fake_cert_free(&cert);
}

/* Not passed over, as smtp(8) does: the server would be another than meant. */
static void
it_is_refused_where_openssl_has_it_not(void **state)
{
	struct problems problems = {0};
	struct settings set;
	struct tlspolicy policy;
	char why[TLSPOLICY_ERROR_SIZE] = "";
	bool is_refused = false;

	(void)state;
	params_init(&set);
	(void)params_set(&set, params_find("smtp_tls_enable_rpk"), "yes", NULL);
	params_check(&set, &problems);
	for (size_t i = 0; i < problems.count; i++)
		if (strstr(problems.text[i],
			"smtp_tls_enable_rpk = yes: not supported by lane: ") !=
		    NULL)
			is_refused = true;
	assert_int_equal(is_refused, !RPK_IS_THERE);
	assert_int_equal(
	    tlspolicy_parse(&policy, &set, "fingerprint match=A enable_rpk=yes",
		why, sizeof(why)),
	    RPK_IS_THERE);
	if (!RPK_IS_THERE)
		assert_non_null(strstr(why,
		    "\"enable_rpk\": no raw public keys: OpenSSL is older "
		    "than 3.2"));
	problems_fini(&problems);
	settings_free(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		tls_takes_a_raw_public_key_where_no_name_is_asked_for),
	    cmocka_unit_test(tls_knows_the_key_of_a_session_that_is_resumed),
	    cmocka_unit_test(it_is_refused_where_openssl_has_it_not),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
