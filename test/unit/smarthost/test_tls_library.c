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
#include <time.h>
#include <unistd.h>

#include "agent/settings/params.h"
#include "agent/smarthost/link.h"
#include "agent/smarthost/tls.h"
#include "test/support/dialbench.h"

static const char *const one_session[] = {
    ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN, "hang", NULL};
static const char *const one_refusal[] = {
    ">220 a", EHLO_TLS, STARTTLS, "<QUIT", ">221 bye", NULL};
static const char *const broken_handshake[] = {
    ">220 a", EHLO_TLS, "<STARTTLS", ">220 go ahead", "close", NULL};

static bool
log_has(const char *text)
{
	return strstr(buf_str(&bench_log), text) != NULL;
}

#if OPENSSL_VERSION_PREREQ(3, 2)
#define KEY_EXCHANGE(group) "key-exchange " group " "
#else
#define KEY_EXCHANGE(group) "key-exchange ECDHE (" group ")"
#endif

/* Each parameter is seen in what is agreed on. */
static void
tls_parameters_have_an_effect(void **state)
{
	static const struct {
		const char *protocols, *name, *value, *wanted;
	} cases[] = {
		{"TLSv1.3", "tls_eecdh_auto_curves", "secp384r1",
		    KEY_EXCHANGE("secp384r1")},
		{"TLSv1.3", "tls_eecdh_auto_curves", "unheard-of P-521",
		    KEY_EXCHANGE("secp521r1")},
#if OPENSSL_VERSION_PREREQ(3, 5)
		{"TLSv1.3", "tls_eecdh_auto_curves", "X25519MLKEM768 X25519",
		    KEY_EXCHANGE("X25519MLKEM768")},
#endif
		{"TLSv1.2", "tls_medium_cipherlist",
		    "ECDHE-ECDSA-AES128-SHA256",
		    "cipher ECDHE-ECDSA-AES128-SHA256 "},
		{"TLSv1.2", "tls_medium_cipherlist",
		    "ECDHE-ECDSA-CHACHA20-POLY1305",
		    "cipher ECDHE-ECDSA-CHACHA20-POLY1305 "},
	};
	static const struct {
		const char *name, *value, *why;
	} bad[] = {
	    {"tls_eecdh_auto_curves", "unheard-of",
		"no usable group in tls_eecdh_auto_curves unheard-of"},
	    {"tls_ssl_options", "NO_TICKET, 0xh4",
		"not supported: tls_ssl_options 0xh4"},
	    {"tls_medium_cipherlist", "UNHEARD-OF",
		"invalid TLS cipher grade or exclusion list"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, one_session, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_set(
		    &b, "smtp_tls_mandatory_protocols", cases[i].protocols);
		bench_set(&b, cases[i].name, cases[i].value);
		bench_dial(&b);
		bench_expect_success(&b);
		if (!log_has(cases[i].wanted))
			fail_msg("case %zu: %s", i, buf_str(&bench_log));
		bench_end(&b);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bench b;

		bench_begin(&b);
		if (i < 2)
			(void)snprintf(
			    b.nexthop, sizeof(b.nexthop), "[127.0.0.1]:9");
		else
			bench_serve(&b, broken_handshake, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_set(&b, bad[i].name, bad[i].value);
		bench_dial(&b);
		assert_null(b.result.link);
		if (strstr(b.result.dsn.text, bad[i].why) == NULL)
			fail_msg("case %zu: %s", i, b.result.dsn.text);
		bench_end(&b);
	}
}

/* What tls_ssl_options names, and nothing else. */
static void
tls_options_by_name_reach_openssl(void **state)
{
	static const struct {
		const char *name;
		uint64_t bit;
	} cases[] = {
	    {"NO_TICKET", SSL_OP_NO_TICKET},
	    {"no_session_resumption_on_renegotiation",
		SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
	    {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
	    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
	    {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
	    {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
	    {"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
	    /* By number, as openssl/ssl.h has them. */
	    {"0x4000", SSL_OP_NO_TICKET},
	    {"80000", SSL_OP_NO_ENCRYPT_THEN_MAC},
	};
	/* Set anyway. */
	const uint64_t always =
	    SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_ENABLE_MIDDLEBOX_COMPAT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int is_set = 0; is_set < 2; is_set++) {
			struct tlspolicy policy;
			char error[200];
			struct bench b;
			struct tls *tls;
			SSL *ssl;
			bool has;

			bench_begin(&b);
			bench_set(&b, "smtp_tls_security_level", "may");
			if (is_set)
				bench_set(&b, "tls_ssl_options", cases[i].name);
			assert_true(tlspolicy_init(
			    &policy, &b.set, error, sizeof(error)));
			tls = tls_new(&b.set);
			assert_null(tls_error(tls));
			ssl = tls_open(tls, &policy, "localhost", "localhost",
			    "key", error, sizeof(error));
			assert_non_null(ssl);
			has = (SSL_get_options(ssl) & cases[i].bit) != 0;
			assert_int_equal(
			    has, is_set || (cases[i].bit & always) != 0);
			SSL_free(ssl);
			tls_free(&tls);
			bench_end(&b);
		}
	}
}

static SSL *
open_client(struct bench *b, struct tls *tls, const char *level)
{
	struct tlspolicy policy;
	char error[200];
	SSL *ssl;

	bench_set(b, "smtp_tls_security_level", level);
	assert_true(tlspolicy_init(&policy, &b->set, error, sizeof(error)));
	ssl = tls_open(tls, &policy, "localhost", "localhost", "key", error,
	    sizeof(error));
	assert_non_null(ssl);
	return ssl;
}

/* A server's hello of TLS 1.2 without RFC 5746. */
static void
tls_speaks_to_servers_without_rfc5746_where_none_is_trusted(void **state)
{
	static const unsigned char hello[47] = {
	    0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3, [43] = 0, 0xc0, 0x2f, 0};
	static const char *const levels[] = {"may", "encrypt"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bench b;
		struct tls *tls;
		SSL *ssl;
		int rc;

		bench_begin(&b);
		tls = tls_new(&b.set);
		ssl = open_client(&b, tls, levels[i]);
		SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
		assert_int_equal(SSL_do_handshake(ssl), -1);
		assert_int_equal(
		    BIO_write(SSL_get_rbio(ssl), hello, sizeof(hello)),
		    sizeof(hello));
		rc = SSL_do_handshake(ssl);
		assert_int_equal(SSL_get_error(ssl, rc),
		    i == 0 ? SSL_ERROR_WANT_READ : SSL_ERROR_SSL);
		SSL_free(ssl);
		tls_free(&tls);
		bench_end(&b);
	}
}

enum { WIRE_BYTES = 20000, LONG_BYTES = 40000 };

static void
shake(SSL *client, SSL *server)
{
	BIO *a, *b;

	assert_int_equal(BIO_new_bio_pair(&a, WIRE_BYTES, &b, WIRE_BYTES), 1);
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_accept_state(server);
	for (int i = 0; i < 10; i++) {
		(void)SSL_do_handshake(client);
		(void)SSL_do_handshake(server);
	}
	assert_true(SSL_is_init_finished(client));
	assert_true(SSL_is_init_finished(server));
}

static void
tls_names_the_host_when_told(void **state)
{
	struct tls *tls;
	struct bench b;
	SSL *client, *server;

	(void)state;
	for (int is_told = 0; is_told < 2; is_told++) {
		const char *name;

		bench_begin(&b);
		if (is_told)
			bench_set(&b, "smtp_tls_servername", "hostname");
		tls = tls_new(&b.set);
		client = open_client(&b, tls, "encrypt");
		server = SSL_new(fake_cert_ctx(bench_good_cert));
		shake(client, server);
		name = SSL_get_servername(server, TLSEXT_NAMETYPE_host_name);
		if (is_told)
			assert_string_equal(name, "localhost");
		else
			assert_null(name);
		SSL_free(client);
		SSL_free(server);
		tls_free(&tls);
		bench_end(&b);
	}
}

/* The system's, beside those that are given. */
static void
tls_trusts_the_systems_authorities_when_told(void **state)
{
	static const char *const told[] = {"no", "yes"};
	struct fake_ca *given = fake_ca_new("given");

	(void)state;
	assert_int_equal(setenv("SSL_CERT_FILE", fake_ca_file(bench_ca), 1), 0);
	for (size_t i = 0; i < 2; i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(
		    &b, i == 1 ? one_session : one_refusal, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "verify");
		bench_set(&b, "smtp_tls_verify_cert_match", "hostname");
		bench_set(&b, "smtp_tls_CAfile", fake_ca_file(given));
		bench_set(&b, "tls_append_default_CA", told[i]);
		bench_dial(&b);
		assert_int_equal(b.result.link != NULL, i == 1);
		bench_end(&b);
	}
	assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
	fake_ca_free(&given);
}

/* Output is pulled anew for each write, into a buffer that may have moved. */
static void
tls_writes_in_parts_from_where_they_are(void **state)
{
	struct tls *tls;
	struct bench b;
	SSL *client, *server;
	char *first = calloc(1, LONG_BYTES), *second = calloc(1, LONG_BYTES);
	char got[LONG_BYTES];
	int n, m;

	(void)state;
	bench_begin(&b);
	tls = tls_new(&b.set);
	client = open_client(&b, tls, "encrypt");
	server = SSL_new(fake_cert_ctx(bench_good_cert));
	shake(client, server);
	n = SSL_write(client, first, LONG_BYTES);
	assert_in_range(n, 1, LONG_BYTES - 1);
	m = SSL_write(client, first + n, LONG_BYTES - n);
	assert_int_equal(SSL_get_error(client, m), SSL_ERROR_WANT_WRITE);
	for (int i = 0; i < 10 && m < 0; i++) {
		(void)SSL_read(server, got, LONG_BYTES);
		m = SSL_write(client, second, LONG_BYTES - n);
	}
	assert_in_range(m, 1, LONG_BYTES - n);
	SSL_free(client);
	SSL_free(server);
	free(first);
	free(second);
	tls_free(&tls);
	bench_end(&b);
}

#ifndef __SANITIZE_ADDRESS__
/* Octets that an idle client holds, with or without SSL_MODE_RELEASE_BUFFERS.
 */
static size_t
idle_octets(struct bench *b, struct tls *tls, bool releases)
{
	SSL *client = open_client(b, tls, "encrypt");
	SSL *server = SSL_new(fake_cert_ctx(bench_good_cert));
	char text[] = "250 2.0.0 Ok";
	size_t before, held;

	if (!releases)
		(void)SSL_clear_mode(client, SSL_MODE_RELEASE_BUFFERS);
	shake(client, server);
	assert_true(SSL_write(server, text, sizeof(text)) > 0);
	assert_true(SSL_read(client, text, sizeof(text)) > 0);
	assert_true(SSL_write(client, text, sizeof(text)) > 0);
	assert_true(SSL_read(server, text, sizeof(text)) > 0);
	before = mallinfo2().uordblks;
	SSL_free(client);
	held = before - mallinfo2().uordblks;
	SSL_free(server);
	return held;
}

/* A pool of idle sessions holds no records of 16 kB. */
static void
tls_keeps_no_buffers_while_idle(void **state)
{
	struct tls *tls;
	struct bench b;
	size_t with, without;

	(void)state;
	bench_begin(&b);
	tls = tls_new(&b.set);
	without = idle_octets(&b, tls, false);
	with = idle_octets(&b, tls, true);
	print_message("%zu octets instead of %zu\n", with, without);
	assert_true(with + 2 * 16384 <= without);
	tls_free(&tls);
	bench_end(&b);
}
#endif

static void
on_input(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
}

static void
on_output(void *ctx, struct buf *out)
{
	(void)ctx;
	(void)out;
}

static void
on_end(void *ctx, enum link_end how, const char *text)
{
	(void)how;
	(void)text;
	((struct bench *)ctx)->is_closed = true;
}

/* The server just hangs up, and its sessions are good all the same. */
static void
tls_resumes_after_an_end_without_notice(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_PLAIN, "next", ">220 a", EHLO_TLS, STARTTLS, EHLO_PLAIN,
	    "hang", NULL};
	static const char *const versions[] = {"TLSv1.3", "TLSv1.2"};
	static const struct link_ops ops = {
	    .on_input = on_input, .on_output = on_output, .on_closed = on_end};

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_set(&b, "smtp_tls_mandatory_protocols", versions[v]);
		bench_dial(&b);
		bench_expect_success(&b);
		link_set_ops(b.result.link, &ops, &b);
		assert_true(fake_run_until(b.loop, &b.is_closed));
		bench_dial(&b);
		bench_expect_success(&b);
		assert_true(b.result.peer.is_resumed);
		bench_end(&b);
	}
}

/* OpenSSL's own cache, which no client ever reads, would only grow. */
static void
tls_keeps_sessions_in_one_place(void **state)
{
	struct tls *tls;
	struct bench b;
	SSL *client, *server;
	char text[] = "250 2.0.0 Ok";

	(void)state;
	bench_begin(&b);
	tls = tls_new(&b.set);
	client = open_client(&b, tls, "encrypt");
	server = SSL_new(fake_cert_ctx(bench_good_cert));
	shake(client, server);
	assert_true(SSL_write(server, text, sizeof(text)) > 0);
	assert_true(SSL_read(client, text, sizeof(text)) > 0);
	assert_int_equal(SSL_CTX_sess_number(SSL_get_SSL_CTX(client)), 0);
	SSL_free(client);
	SSL_free(server);
	tls_free(&tls);
	bench_end(&b);
}

/* Its request for another handshake is not heard. */
static void
tls_does_not_renegotiate(void **state)
{
	struct tls *tls;
	struct bench b;
	SSL *client, *server;
	char text[] = "250 2.0.0 Ok";

	(void)state;
	bench_begin(&b);
	bench_set(&b, "smtp_tls_mandatory_protocols", "TLSv1.2");
	tls = tls_new(&b.set);
	client = open_client(&b, tls, "encrypt");
	server = SSL_new(fake_cert_ctx(bench_good_cert));
	shake(client, server);
	assert_int_equal(SSL_renegotiate(server), 1);
	assert_int_equal(SSL_do_handshake(server), 1);
	(void)SSL_read(client, text, sizeof(text));
	assert_int_equal(SSL_num_renegotiations(client), 0);
	SSL_free(client);
	SSL_free(server);
	tls_free(&tls);
	bench_end(&b);
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
	    cmocka_unit_test(tls_parameters_have_an_effect),
	    cmocka_unit_test(tls_options_by_name_reach_openssl),
	    cmocka_unit_test(
		tls_speaks_to_servers_without_rfc5746_where_none_is_trusted),
	    cmocka_unit_test(tls_names_the_host_when_told),
	    cmocka_unit_test(tls_trusts_the_systems_authorities_when_told),
	    cmocka_unit_test(tls_writes_in_parts_from_where_they_are),
#ifndef __SANITIZE_ADDRESS__
	    cmocka_unit_test(tls_keeps_no_buffers_while_idle),
#endif
	    cmocka_unit_test(tls_resumes_after_an_end_without_notice),
	    cmocka_unit_test(tls_does_not_renegotiate),
	    cmocka_unit_test(tls_keeps_sessions_in_one_place),
	};

	return cmocka_run_group_tests(tests, set_up_group, bench_teardown);
}
