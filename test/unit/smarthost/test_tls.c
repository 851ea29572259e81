#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "agent/smarthost/tls.h"
#include "test/support/dialbench.h"

static void
tls_versions_follow_both_syntaxes(void **state)
{
	enum { V10 = 1, V11 = 2, V12 = 4, V13 = 8, ALL = 15 };
	static const struct {
		const char *text;
		bool ok;
		unsigned mask;
	} cases[] = {
	    {"", true, ALL},
	    {">=TLSv1", true, ALL},
	    {">=TLSv1.2", true, V12 | V13},
	    {">=TLSv1.1, <=TLSv1.2", true, V11 | V12},
	    {"<=TLSv1.2", true, V10 | V11 | V12},
	    {">=", true, ALL},
	    {"!SSLv2, !SSLv3", true, ALL},
	    {"!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", true, V12 | V13},
	    {"TLSv1.2", true, V12},
	    {"TLSv1.2 TLSv1.3", true, V12 | V13},
	    {">=0303", true, V12 | V13},
	    {"!TLSv1.3 >=TLSv1.2", true, V12},
	    {"SSLv3", true, 0},
	    {">=TLSv9", false, 0},
	    {"TLS", false, 0},
	};
	unsigned mask;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool ok = tlspolicy_versions(cases[i].text, &mask);

		if (ok != cases[i].ok || (ok && mask != cases[i].mask))
			fail_msg("%s: %x", cases[i].text, mask);
	}
}

static void
tls_policies_are_parsed(void **state)
{
	static const struct {
		const char *text;
		const char *level, *protocols, *ciphers, *exclude, *match,
		    *name;
	} cases[] = {
	    {"none", "none", ">=TLSv1", "medium", " ", "", ""},
	    {"MAY", "may", ">=TLSv1", "medium", " ", "", ""},
	    {"encrypt ciphers=high exclude=3DES:RC4", "encrypt", ">=TLSv1.2",
		"high", "3DES:RC4", "", ""},
	    {"verify", "verify", ">=TLSv1.2", "medium", " ", "hostname", ""},
	    {"secure match=a.example:.b.example match=c.example", "secure",
		">=TLSv1.2", "medium", " ", "a.example:.b.example:c.example",
		""},
	    {"secure { match = nexthop } servername=h.example, "
	     "connection_reuse=yes",
		"secure", ">=TLSv1.2", "medium", " ", "nexthop", "h.example"},
	    {"fingerprint match=AA:BB match=CC:DD", "fingerprint", ">=TLSv1.2",
		"medium", " ", "AA:BB|CC:DD", ""},
	    {"may { protocols = !TLSv1.3, !TLSv1 }", "may", "!TLSv1.3, !TLSv1",
		"medium", " ", "", ""},
	};
	struct settings set;
	struct tlspolicy p;
	char why[TLSPOLICY_ERROR_SIZE];

	(void)state;
	params_init(&set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)params_set(&set,
		    params_find("smtp_tls_mandatory_protocols"), ">=TLSv1.2",
		    NULL);
		(void)params_set(
		    &set, params_find("smtp_tls_protocols"), ">=TLSv1", NULL);
		if (!tlspolicy_parse(&p, &set, cases[i].text, why, sizeof(why)))
			fail_msg("%s: %s", cases[i].text, why);
		assert_string_equal(tls_level_name(p.level), cases[i].level);
		assert_string_equal(p.protocols, cases[i].protocols);
		assert_string_equal(p.ciphers, cases[i].ciphers);
		assert_string_equal(p.exclude, cases[i].exclude);
		assert_string_equal(p.match, cases[i].match);
		assert_string_equal(p.servername, cases[i].name);
	}
	settings_free(&set);
}

static void
tls_policies_that_are_wrong_say_why(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"", "invalid empty policy"},
	    {"strong", "invalid TLS security level \"strong\""},
	    {"dane-only", "\"dane-only\" is not supported"},
	    {"encrypt match=a", "\"match\": not valid"},
	    {"secure match=", "empty value"},
	    {"secure match", "missing \"=\""},
	    {"secure {match=a", "missing \"}\""},
	    {"verify tafile=/x", "not supported"},
	    {"verify color=red", "unknown attribute"},
	    {"verify servername=a_b..c", "invalid host name"},
	};
	struct settings set;
	struct tlspolicy p;
	char why[TLSPOLICY_ERROR_SIZE];

	(void)state;
	params_init(&set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_false(
		    tlspolicy_parse(&p, &set, cases[i].text, why, sizeof(why)));
		if (strstr(why, cases[i].why) == NULL)
			fail_msg("%s: %s", cases[i].text, why);
	}
	settings_free(&set);
}

static void
tls_levels_come_from_the_obsolete_switches_too(void **state)
{
	struct settings set;
	struct tlspolicy p;
	char why[TLSPOLICY_ERROR_SIZE];

	(void)state;
	params_init(&set);
	(void)params_set(
	    &set, params_find("smtp_tls_security_level"), "", NULL);
	assert_true(tlspolicy_init(&p, &set, why, sizeof(why)));
	assert_int_equal(p.level, TLS_LEVEL_NONE);
	set.smtp_use_tls = true;
	assert_true(tlspolicy_init(&p, &set, why, sizeof(why)));
	assert_int_equal(p.level, TLS_LEVEL_MAY);
	set.smtp_enforce_tls = true;
	assert_true(tlspolicy_init(&p, &set, why, sizeof(why)));
	assert_int_equal(p.level, TLS_LEVEL_VERIFY);
	settings_free(&set);
}

static void
tls_cipher_lists_follow_grade_and_level(void **state)
{
	struct tlspolicy p = {.level = TLS_LEVEL_SECURE};
	char list[400];

	(void)state;
	(void)snprintf(p.ciphers, sizeof(p.ciphers), "high");
	(void)snprintf(p.exclude, sizeof(p.exclude), "RC4, 3DES:MD5");
	assert_true(tlspolicy_cipher_list(&p, list, sizeof(list)));
	assert_string_equal(
	    list, "aNULL:-aNULL:HIGH:@STRENGTH:!aNULL:!RC4:!3DES:!MD5");
	(void)snprintf(p.ciphers, sizeof(p.ciphers), "best");
	assert_false(tlspolicy_cipher_list(&p, list, sizeof(list)));
	(void)snprintf(p.ciphers, sizeof(p.ciphers), "high");
	assert_false(tlspolicy_cipher_list(&p, list, 30));
}

static void
tls_matches_fingerprints(void **state)
{
	static const char *const script[] = {
	    ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN, "hang", NULL};
	static const char *const refusal[] = {
	    ">220 a", EHLO_TLS, STARTTLS, "<QUIT", ">221 bye", NULL};
	char good[200], bad[] = "00:11";

	(void)state;
	fake_fingerprint(bench_other_cert, good, sizeof(good));
	for (int i = 0; i < 2; i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, i == 0 ? script : refusal, bench_other_cert);
		bench_set(&b, "smtp_tls_security_level", "fingerprint");
		bench_set(&b, "smtp_tls_fingerprint_digest", "sha256");
		bench_set(
		    &b, "smtp_tls_fingerprint_cert_match", i == 0 ? good : bad);
		bench_dial(&b);
		if (i == 0)
			bench_expect_success(&b);
		else
			bench_expect_failure(&b, DIAL_TLS, "4.7.5",
			    "Server certificate not verified");
		bench_end(&b);
	}
}

static void
tls_verifies_names(void **state)
{
	static const struct {
		const char *level, *match, *tls;
	} cases[] = {
	    {"verify", "hostname", "verify"},
	    {"secure", "nexthop, dot-nexthop", "secure"},
	    {"secure", "other.example:localhost", "secure"},
	};
	static const char *const script[] = {">220 mx.example ESMTP", EHLO_TLS,
	    STARTTLS, EHLO_PLAIN, "hang", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", cases[i].level);
		bench_set(&b, "smtp_tls_verify_cert_match", cases[i].match);
		bench_set(&b, "smtp_tls_secure_cert_match", cases[i].match);
		bench_dial(&b);
		bench_expect_success(&b);
		assert_true(b.result.peer.is_verified);
		assert_string_equal(b.result.peer.tls, cases[i].tls);
		assert_non_null(
		    strstr(buf_str(&bench_log), "Verified TLS connection"));
		bench_end(&b);
	}
}

static void
tls_refuses_wrong_certificates(void **state)
{
	static const char *const script[] = {
	    ">220 a", EHLO_TLS, STARTTLS, "<QUIT", ">221 bye", NULL};
	struct fake_cert *certs[] = {bench_wrong_name_cert, bench_other_cert};
	static const char *const reasons[] = {
	    "hostname mismatch", "untrusted issuer"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, certs[i]);
		bench_set(&b, "smtp_tls_security_level", "verify");
		bench_dial(&b);
		bench_expect_failure(
		    &b, DIAL_TLS, "4.7.5", "Server certificate not verified");
		assert_string_equal(b.result.peer.tls, "!verify");
		if (strcasestr(buf_str(&bench_log), reasons[i]) == NULL)
			fail_msg("log: %s", buf_str(&bench_log));
		bench_end(&b);
	}
}

static void
tls_reports_an_unreadable_ca_file(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	bench_set(&b, "smtp_tls_CAfile", "/nonexistent/ca.pem");
	(void)snprintf(b.nexthop, sizeof(b.nexthop), "[127.0.0.1]:9");
	bench_dial(&b);
	bench_expect_failure(&b, DIAL_CONFIG, "4.3.5",
	    "cannot load smtp_tls_CAfile /nonexistent/ca.pem");
	assert_true(b.result.is_config_error);
	bench_end(&b);
}

static void
tls_obeys_the_policy_of_a_nexthop(void **state)
{
	static const char *const script[] = {">220 mx.example ESMTP", EHLO_TLS,
	    STARTTLS, EHLO_PLAIN, "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "none");
	bench_use_policy(&b, "secure match=localhost protocols=TLSv1.2");
	bench_dial(&b);
	bench_expect_success(&b);
	assert_string_equal(b.result.peer.tls, "secure");
	assert_non_null(strstr(buf_str(&bench_log), ": TLSv1.2 with cipher "));
	bench_end(&b);
}

static void
tls_resumes_tls_sessions(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", "next", ">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", "next", ">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", NULL};
	static const char *const versions[] = {"TLSv1.3", "TLSv1.2"};

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "verify");
		bench_set(&b, "smtp_tls_verify_cert_match", "hostname");
		bench_set(&b, "smtp_tls_mandatory_protocols", versions[v]);
		for (int i = 0; i < 3; i++) {
			bench_dial(&b);
			bench_expect_success(&b);
			assert_int_equal(b.result.peer.is_resumed, i > 0);
			assert_true(b.result.peer.is_verified);
		}
		dial_result_fini(&b.result);
		assert_null(fake_finish(b.fake));
		assert_int_equal(fake_resumed(b.fake), 2);
		assert_non_null(strstr(
		    buf_str(&bench_log), "Verified TLS connection reused to"));
		bench_end(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tls_versions_follow_both_syntaxes),
	    cmocka_unit_test(tls_policies_are_parsed),
	    cmocka_unit_test(tls_policies_that_are_wrong_say_why),
	    cmocka_unit_test(tls_levels_come_from_the_obsolete_switches_too),
	    cmocka_unit_test(tls_cipher_lists_follow_grade_and_level),
	    cmocka_unit_test(tls_matches_fingerprints),
	    cmocka_unit_test(tls_verifies_names),
	    cmocka_unit_test(tls_refuses_wrong_certificates),
	    cmocka_unit_test(tls_reports_an_unreadable_ca_file),
	    cmocka_unit_test(tls_obeys_the_policy_of_a_nexthop),
	    cmocka_unit_test(tls_resumes_tls_sessions),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
