#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "agent/settings/params.h"
#include "agent/smarthost/link.h"
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
	     "connection_reuse=yes, enable_rpk=no",
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
	    {"dane-only", "\"dane-only\" is not supported without smtp_tls"},
	    {"halfdane", "invalid TLS security level"},
	    {"half-dane", "invalid TLS security level"},
	    {"encrypt match=a", "\"match\": not valid"},
	    {"secure match=", "empty value"},
	    {"secure match", "missing \"=\""},
	    {"secure {match=a", "missing \"}\""},
	    {"encrypt tafile=/x", "\"tafile\": not valid"},
	    {"fingerprint tafile=/x", "\"tafile\": not valid"},
	    {"verify tafile=", "empty value"},
	    {"verify color=red", "unknown attribute"},
	    {"verify servername=a_b..c", "invalid host name"},
	    {"encrypt ciphers=high ciphers=medium", "\"ciphers\": given more"},
	    {"may PROTOCOLS=TLSv1.2 protocols=", "given more than once"},
	    {"may exclude= exclude=RC4", "\"exclude\": given more"},
	    {"may servername=a.example servername=b.example",
		"\"servername\": given more"},
	    {"may connection_reuse=often", "must be yes or no"},
	    {"may enable_rpk=perhaps", "must be yes or no"},
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
tls_servername_of_main_cf_is_looked_at_where_it_is_used(void **state)
{
	struct settings set;
	struct tlspolicy p;
	char why[TLSPOLICY_ERROR_SIZE];

	(void)state;
	params_init(&set);
	(void)params_set(&set, params_find("smtp_tls_servername"), "-a-", NULL);
	(void)params_set(
	    &set, params_find("smtp_tls_security_level"), "may", NULL);
	assert_false(tlspolicy_init(&p, &set, why, sizeof(why)));
	assert_string_equal(why, "smtp_tls_servername: invalid host name");
	assert_false(tlspolicy_parse(&p, &set, "encrypt", why, sizeof(why)));
	assert_true(tlspolicy_parse(&p, &set, "none", why, sizeof(why)));
	assert_true(tlspolicy_parse(
	    &p, &set, "encrypt servername=a.example", why, sizeof(why)));
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
tls_cipher_lists_follow_grade_level_and_parameters(void **state)
{
	static const struct {
		const char *release, *grade, *wanted;
	} cases[] = {
	    {"3.7.11", "high", "H:!aNULL:!RC4:!3DES:!MD5"},
	    {"3.7.11", "medium", "M:!aNULL:!RC4:!3DES:!MD5"},
	    {"3.7.11", "low", "L:!aNULL:!RC4:!3DES:!MD5"},
	    {"3.7.11", "export", "E:!aNULL:!RC4:!3DES:!MD5"},
	    {"3.8.0", "low", "M:!aNULL:!RC4:!3DES:!MD5"},
	    {"3.8.0", "export", "M:!aNULL:!RC4:!3DES:!MD5"},
	    {"3.8.0", "null", "N:!aNULL:!RC4:!3DES:!MD5"},
	};
	static const char *const lists[][2] = {{"tls_high_cipherlist", "H"},
	    {"tls_medium_cipherlist", "M"}, {"tls_low_cipherlist", "L"},
	    {"tls_export_cipherlist", "E"}, {"tls_null_cipherlist", "N"}};
	struct tlspolicy p = {.level = TLS_LEVEL_SECURE};
	struct settings set;
	char list[400];

	(void)state;
	params_init(&set);
	for (size_t i = 0; i < 5; i++)
		assert_true(params_set(
		    &set, params_find(lists[i][0]), lists[i][1], NULL));
	(void)snprintf(p.exclude, sizeof(p.exclude), "RC4, 3DES:MD5");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(params_set(
		    &set, params_find("mail_version"), cases[i].release, NULL));
		(void)snprintf(
		    p.ciphers, sizeof(p.ciphers), "%s", cases[i].grade);
		assert_true(
		    tlspolicy_cipher_list(&p, &set, list, sizeof(list)));
		assert_string_equal(list, cases[i].wanted);
	}
	(void)snprintf(p.ciphers, sizeof(p.ciphers), "best");
	assert_false(tlspolicy_cipher_list(&p, &set, list, sizeof(list)));
	(void)snprintf(p.ciphers, sizeof(p.ciphers), "high");
	assert_false(tlspolicy_cipher_list(&p, &set, list, 12));
	assert_true(
	    params_set(&set, params_find("tls_high_cipherlist"), "", NULL));
	assert_false(tlspolicy_cipher_list(&p, &set, list, sizeof(list)));
	settings_free(&set);
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
	    "cannot load smtp_tls_CAfile /nonexistent/ca.pem: No such file "
	    "or directory");
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

/* Everybody's clock in this program, OpenSSL's too: later than it is. */
static long later_s;

time_t
time(time_t *out)
{
	struct timespec ts;
	time_t now;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	now = ts.tv_sec + later_s;
	if (out != NULL)
		*out = now;
	return now;
}

/* What OpenSSL asks from 3.2 on. */
int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	*tv = (struct timeval){ts.tv_sec + later_s, ts.tv_nsec / 1000};
	return 0;
}

static const char *const one_session[] = {
    ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN, "hang", NULL};
static const char *const one_refusal[] = {
    ">220 a", EHLO_TLS, STARTTLS, "<QUIT", ">221 bye", NULL};

static void
tls_asks_weak_servers_for_no_trust(void **state)
{
	static const struct {
		struct fake_cert_kind kind;
		const char *level;
		bool ok;
	} cases[] = {
	    {{1024, NULL, 0}, "verify", true},
	    {{1024, NULL, 0}, "fingerprint", true},
	    {{768, NULL, 0}, "verify", false},
	    {{768, NULL, 0}, "secure", false},
	    {{768, NULL, 0}, "fingerprint", false},
	    {{512, NULL, 0}, "verify", false},
	    {{512, NULL, 0}, "fingerprint", false},
	    {{2048, "SHA1", 0}, "verify", false},
	    {{2048, "SHA1", 0}, "secure", false},
	    {{768, NULL, 0}, "encrypt", true},
	    {{2048, "SHA1", 0}, "encrypt", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_cert *cert =
		    fake_cert_make(bench_ca, "localhost", &cases[i].kind);
		bool must_match = strcmp(cases[i].level, "encrypt") != 0;
		char digest[200];
		struct bench b;

		fake_fingerprint(cert, digest, sizeof(digest));
		bench_begin(&b);
		bench_serve(&b, cases[i].ok ? one_session : one_refusal, cert);
		bench_set(&b, "smtp_tls_security_level", cases[i].level);
		bench_set(&b, "smtp_tls_mandatory_protocols", "<=TLSv1.2");
		bench_set(&b, "smtp_tls_verify_cert_match", "hostname");
		bench_set(&b, "smtp_tls_secure_cert_match", "nexthop");
		bench_set(&b, "smtp_tls_fingerprint_digest", "sha256");
		bench_set(&b, "smtp_tls_fingerprint_cert_match", digest);
		bench_dial(&b);
		if ((b.result.link != NULL) != cases[i].ok)
			fail_msg("case %zu: %s", i, b.result.dsn.text);
		if (!cases[i].ok)
			assert_string_equal(b.result.dsn.status, "4.7.5");
		else
			assert_int_equal(b.result.peer.is_verified, must_match);
		if (!cases[i].ok) {
			/* OpenSSL may end the handshake or we the session. */
			dial_result_fini(&b.result);
			fake_free(&b.fake);
		}
		bench_end(&b);
		fake_cert_free(&cert);
	}
}

/* Where nobody need be trusted, an old server is better than none; its keys
 * are exchanged with SHA-1, which OpenSSL has at level 0 alone. */
static void
tls_talks_to_old_servers_where_none_is_trusted(void **state)
{
	static const struct {
		int version;
		const char *level, *protocols;
		bool ok;
	} cases[] = {
	    {TLS1_VERSION, "encrypt", ">=TLSv1", true},
	    {TLS1_1_VERSION, "encrypt", ">=TLSv1", true},
	    {TLS1_1_VERSION, "encrypt", ">=TLSv1.2", false},
	    {TLS1_1_VERSION, "verify", ">=TLSv1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_cert *cert = fake_cert_new(bench_ca, "localhost");
		struct bench b;

		fake_cert_speak(cert, cases[i].version);
		bench_begin(&b);
		bench_serve(&b, cases[i].ok ? one_session : one_refusal, cert);
		bench_set(&b, "smtp_tls_security_level", cases[i].level);
		bench_set(
		    &b, "smtp_tls_mandatory_protocols", cases[i].protocols);
		bench_set(&b, "smtp_tls_verify_cert_match", "hostname");
		bench_dial(&b);
		if ((b.result.link != NULL) != cases[i].ok)
			fail_msg("case %zu: %s", i, b.result.dsn.text);
		if (!cases[i].ok) {
			dial_result_fini(&b.result);
			fake_free(&b.fake);
		}
		bench_end(&b);
		fake_cert_free(&cert);
	}
}

static void
tls_wildcards_stand_for_one_label(void **state)
{
	static const struct {
		const char *cert, *release, *several, *name;
		bool ok;
	} cases[] = {
	    {"*.a.example", "3.7.11", "yes", "x.a.example", true},
	    {"*.a.example", "3.7.11", "yes", "x.deep.a.example", false},
	    {"*.a.example", "3.7.11", "no", "x.deep.a.example", false},
	    {"*.a.example", "3.5.0", "yes", "x.deep.a.example", true},
	    {"*.a.example", "3.5.0", "no", "x.deep.a.example", false},
	    {"*.a.example", "3.5.0", "no", "x.a.example", true},
	    {"*.a.example", "3.7.11", "yes", "a.example", false},
	    {"x*.a.example", "3.7.11", "no", "xy.a.example", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_cert *cert = fake_cert_new(bench_ca, cases[i].cert);
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, cases[i].ok ? one_session : one_refusal, cert);
		bench_set(&b, "mail_version", cases[i].release);
		bench_set(&b, "tls_wildcard_matches_multiple_labels",
		    cases[i].several);
		bench_set(&b, "smtp_tls_security_level", "secure");
		bench_set(&b, "smtp_tls_secure_cert_match", cases[i].name);
		bench_dial(&b);
		if (cases[i].ok)
			bench_expect_success(&b);
		else
			bench_expect_failure(
			    &b, DIAL_TLS, "4.7.5", "certificate names: ");
		bench_end(&b);
		fake_cert_free(&cert);
	}
}

static void
tls_keeps_no_session_of_a_refused_server(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    "<QUIT", ">221 bye", "next", ">220 a", EHLO_TLS, STARTTLS, "<QUIT",
	    ">221 bye", "next", ">220 a", EHLO_TLS, STARTTLS, "<QUIT",
	    ">221 bye", NULL};
	static const char *const versions[] = {"TLSv1.3", "TLSv1.2"};
	struct fake_cert *certs[] = {bench_other_cert, bench_wrong_name_cert};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, certs[i / 2]);
		bench_set(&b, "smtp_tls_security_level", "verify");
		bench_set(&b, "smtp_tls_mandatory_protocols", versions[i % 2]);
		for (int n = 0; n < 3; n++) {
			bench_dial(&b);
			bench_expect_failure(&b, DIAL_TLS, "4.7.5",
			    "Server certificate not verified: ");
			assert_false(b.result.peer.is_resumed);
		}
		dial_result_fini(&b.result);
		assert_null(fake_finish(b.fake));
		assert_int_equal(fake_resumed(b.fake), 0);
		bench_end(&b);
	}
}

/* Servers give tickets for minutes and renew them at each resumption. */
static void
tls_sees_the_certificate_once_an_hour(void **state)
{
	enum { STEP_S = 250, DIALS = 32 };
	const char *script[DIALS * 12] = {NULL};
	static const char *const one[] = {
	    ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN, "hang"};
	static const char *const versions[] = {"TLSv1.3", "TLSv1.2"};
	size_t n = 0;

	(void)state;
	for (int i = 0; i < DIALS; i++) {
		if (i > 0)
			script[n++] = "next";
		for (size_t k = 0; k < sizeof(one) / sizeof(one[0]); k++)
			script[n++] = one[k];
	}
	for (size_t v = 0; v < 2; v++) {
		int resumed = 0, in_a_row = 0;
		struct bench b;

		later_s = 0;
		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "verify");
		bench_set(&b, "smtp_tls_verify_cert_match", "hostname");
		bench_set(&b, "smtp_tls_mandatory_protocols", versions[v]);
		bench_set(&b, "smtp_tls_session_cache_timeout", "1d");
		for (int i = 0; i < DIALS; i++) {
			bench_dial(&b);
			bench_expect_success(&b);
			resumed += b.result.peer.is_resumed;
			in_a_row = b.result.peer.is_resumed ? in_a_row + 1 : 0;
			assert_true(in_a_row * STEP_S < 3600);
			later_s += STEP_S;
		}
		/* Tickets of TLS 1.3 are new each time. */
		assert_true(v > 0 || resumed >= DIALS - 4);
		assert_true(resumed > 0);
		bench_end(&b);
	}
	later_s = 0;
}

static void
tls_resumes_nothing_beyond_the_certificate(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", "next", ">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", "next", ">220 a", EHLO_TLS, STARTTLS, "<QUIT",
	    ">221 bye", NULL};
	static const struct fake_cert_kind kind = {0, NULL, 200};
	static const char *const versions[] = {"TLSv1.3", "TLSv1.2"};

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		struct fake_cert *cert =
		    fake_cert_make(bench_ca, "localhost", &kind);
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, cert);
		bench_set(&b, "smtp_tls_security_level", "verify");
		bench_set(&b, "smtp_tls_verify_cert_match", "hostname");
		bench_set(&b, "smtp_tls_mandatory_protocols", versions[v]);
		for (int i = 0; i < 2; i++) {
			bench_dial(&b);
			bench_expect_success(&b);
			assert_int_equal(b.result.peer.is_resumed, i);
		}
		later_s = 210;
		bench_dial(&b);
		bench_expect_failure(&b, DIAL_TLS, "4.7.5",
		    "certificate has expired: notAfter=2");
		assert_false(b.result.peer.is_resumed);
		later_s = 0;
		bench_end(&b);
		fake_cert_free(&cert);
	}
}

static void
tls_resumes_as_long_as_it_is_told_to(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", "next", ">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "hang", NULL};
	static const struct {
		const char *timeout;
		bool resumed;
	} cases[] = {{"0", false}, {"60s", false}, {"120s", true}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_set(
		    &b, "smtp_tls_session_cache_timeout", cases[i].timeout);
		bench_dial(&b);
		later_s = 90;
		bench_dial(&b);
		bench_expect_success(&b);
		assert_int_equal(b.result.peer.is_resumed, cases[i].resumed);
		later_s = 0;
		bench_end(&b);
	}
}

/* As where the distribution asks for more than OpenSSL does. */
static int
set_up_group(void **state)
{
	char path[] = "/tmp/openssl-XXXXXX";
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "openssl_conf = all\n[all]\nssl_conf = tls\n"
				"[tls]\nsystem_default = least\n"
				"[least]\nMinProtocol = TLSv1.2\n") > 0);
	(void)close(fd);
	assert_int_equal(setenv("OPENSSL_CONF", path, 1), 0);
	assert_int_equal(OPENSSL_init_ssl(0, NULL), 1);
	rc = bench_setup(state);
	(void)unlink(path);
	return rc;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tls_versions_follow_both_syntaxes),
	    cmocka_unit_test(tls_policies_are_parsed),
	    cmocka_unit_test(tls_policies_that_are_wrong_say_why),
	    cmocka_unit_test(
		tls_servername_of_main_cf_is_looked_at_where_it_is_used),
	    cmocka_unit_test(tls_levels_come_from_the_obsolete_switches_too),
	    cmocka_unit_test(
		tls_cipher_lists_follow_grade_level_and_parameters),
	    cmocka_unit_test(tls_matches_fingerprints),
	    cmocka_unit_test(tls_verifies_names),
	    cmocka_unit_test(tls_refuses_wrong_certificates),
	    cmocka_unit_test(tls_reports_an_unreadable_ca_file),
	    cmocka_unit_test(tls_obeys_the_policy_of_a_nexthop),
	    cmocka_unit_test(tls_resumes_tls_sessions),
	    cmocka_unit_test(tls_asks_weak_servers_for_no_trust),
	    cmocka_unit_test(tls_talks_to_old_servers_where_none_is_trusted),
	    cmocka_unit_test(tls_wildcards_stand_for_one_label),
	    cmocka_unit_test(tls_keeps_no_session_of_a_refused_server),
	    cmocka_unit_test(tls_sees_the_certificate_once_an_hour),
	    cmocka_unit_test(tls_resumes_nothing_beyond_the_certificate),
	    cmocka_unit_test(tls_resumes_as_long_as_it_is_told_to),
	};

	return cmocka_run_group_tests(tests, set_up_group, bench_teardown);
}
