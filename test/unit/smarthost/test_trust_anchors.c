#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "agent/smarthost/trust_anchors.h"
#include "test/support/dialbench.h"
#include "test/support/scratch.h"

static const char *const one_session[] = {
    ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN, "hang", NULL};
static const char *const one_refusal[] = {
    ">220 a", EHLO_TLS, STARTTLS, "<QUIT", ">221 bye", NULL};

static struct fake_ca *other_ca;

enum { TEXT_MAX = 65536 };

/* Appends a certificate, or its key, in the form of PEM. */
static void
put(struct buf *out, X509 *cert, bool is_key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	if (is_key)
		assert_int_equal(
		    PEM_write_bio_PUBKEY(bio, X509_get0_pubkey(cert)), 1);
	else
		assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	n = BIO_get_mem_data(bio, &text);
	assert_true(buf_add(out, text, (size_t)n));
	BIO_free(bio);
}

static X509 *
first_of(const char *path)
{
	FILE *f = fopen(path, "r");
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);

	(void)fclose(f);
	assert_non_null(cert);
	return cert;
}

/* Letters of what is trusted: authority, server, other authority, in capitals
 * their keys, and words that are neither. */
static const char *
anchors_file(const char *name, const char *what)
{
	X509 *ca = first_of(fake_ca_file(bench_ca));
	X509 *other = first_of(fake_ca_file(other_ca));
	X509 *server = SSL_CTX_get0_certificate(fake_cert_ctx(bench_good_cert));
	struct buf text;

	buf_init(&text, TEXT_MAX);
	for (; *what != '\0'; what++) {
		bool is_key = *what >= 'A' && *what <= 'Z';

		switch (*what | 0x20) {
		case 'a':
			put(&text, ca, is_key);
			break;
		case 's':
			put(&text, server, is_key);
			break;
		case 'o':
			put(&text, other, is_key);
			break;
		default:
			(void)buf_add_str(&text, "words\n");
		}
	}
	scratch_write(name, buf_str(&text));
	buf_fini(&text);
	X509_free(ca);
	X509_free(other);
	return scratch_path(name);
}

static void
anchors_replace_authorities(void **state)
{
	static const struct {
		const char *trusted, *policy;
		struct fake_cert **cert;
		bool is_good;
	} cases[] = {
	    {"a", "verify", &bench_good_cert, true},
	    {"A", "verify", &bench_good_cert, true},
	    {"s", "verify", &bench_good_cert, true},
	    {"S", "secure match=localhost", &bench_good_cert, true},
	    {"o-a", "verify", &bench_good_cert, true},
	    {"o", "verify", &bench_good_cert, false},
	    {"O", "verify", &bench_good_cert, false},
	    {"o", "encrypt", &bench_good_cert, true},
	    {"a", "verify", &bench_wrong_name_cert, false},
	    {"s", "secure match=another", &bench_good_cert, false},
	    {"a", "verify", &bench_other_cert, false},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const char *trusted = cases[i / 2].trusted;
		bool is_of_policy = i % 2 != 0;
		bool is_good = cases[i / 2].is_good;
		char policy[300];
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, is_good ? one_session : one_refusal,
		    *cases[i / 2].cert);
		(void)snprintf(
		    policy, sizeof(policy), "%s", cases[i / 2].policy);
		if (!is_of_policy) {
			bench_set(&b, "smtp_tls_trust_anchor_file",
			    anchors_file("main", trusted));
		} else if (strcmp(policy, "encrypt") != 0) {
			bench_set(&b, "smtp_tls_trust_anchor_file",
			    anchors_file("main", "oa"));
			(void)snprintf(policy, sizeof(policy), "%s tafile=%s",
			    cases[i / 2].policy, anchors_file("own", trusted));
		}
		bench_use_policy(&b, policy);
		bench_dial(&b);
		if ((b.result.link != NULL) != is_good)
			fail_msg("case %zu: %s", i, b.result.dsn.text);
		if (!is_good)
			bench_expect_failure(&b, DIAL_TLS, "4.7.5",
			    "Server certificate not verified");
		bench_end(&b);
	}
}

/* Where it would be looked at, and nowhere else. */
static void
anchors_that_cannot_be_read_stop_the_dial(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {
	    {"/nonexistent/ta.pem",
		"cannot read trust anchor file /nonexistent/ta.pem: No such "
		"file or directory"},
	    {"words", "words: no certificate and no public key in it"},
	    {"broken", "broken: not in the form of PEM"},
	};
	char path[300], policy[400];

	(void)state;
	scratch_write("words", "words\n");
	scratch_write(
	    "broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END KEY-----\n");
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name = cases[i / 2].path;
		struct bench b;

		bench_begin(&b);
		(void)snprintf(b.nexthop, sizeof(b.nexthop), "[127.0.0.1]:9");
		(void)snprintf(path, sizeof(path), "%s",
		    name[0] == '/' ? name : scratch_path(name));
		(void)snprintf(policy, sizeof(policy),
		    i % 2 != 0 ? "verify tafile=%s" : "verify", path);
		if (i % 2 == 0)
			bench_set(&b, "smtp_tls_trust_anchor_file", path);
		bench_use_policy(&b, policy);
		bench_dial(&b);
		bench_expect_failure(&b, DIAL_CONFIG, "4.7.5",
		    "client TLS configuration problem: ");
		if (strstr(b.result.dsn.text, cases[i / 2].why) == NULL)
			fail_msg("case %zu: %s", i, b.result.dsn.text);
		bench_end(&b);
	}
}

static void
anchors_that_are_not_asked_for_may_be_missing(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, one_session, bench_good_cert);
	bench_set(&b, "smtp_tls_trust_anchor_file", "/nonexistent/ta.pem");
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	bench_dial(&b);
	bench_expect_success(&b);
	assert_non_null(
	    strstr(buf_str(&bench_log), "cannot read trust anchor file"));
	bench_end(&b);
}

/* What is kept for a resumption is of those that were trusted then. */
static void
anchors_have_a_digest_of_their_own(void **state)
{
	char error[300], path[300];
	struct trust_anchors *one, *other, *both;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s", anchors_file("one", "a"));
	one = trust_anchors_load(path, ",", error, sizeof(error));
	other = trust_anchors_load(
	    anchors_file("other", "A"), ",", error, sizeof(error));
	(void)snprintf(path, sizeof(path), "%s, %s", anchors_file("one", "a"),
	    scratch_path("other"));
	both = trust_anchors_load(path, ", ", error, sizeof(error));
	assert_string_not_equal(
	    trust_anchors_digest(one), trust_anchors_digest(other));
	assert_string_not_equal(
	    trust_anchors_digest(one), trust_anchors_digest(both));
	trust_anchors_free(&one);
	trust_anchors_free(&other);
	trust_anchors_free(&both);
}

static int
set_up(void **state)
{
	int result = bench_setup(state);

	other_ca = fake_ca_new("another");
	return result;
}

static int
tear_down(void **state)
{
	fake_ca_free(&other_ca);
	return bench_teardown(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(anchors_replace_authorities),
	    cmocka_unit_test(anchors_that_cannot_be_read_stop_the_dial),
	    cmocka_unit_test(anchors_that_are_not_asked_for_may_be_missing),
	    cmocka_unit_test(anchors_have_a_digest_of_their_own),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
