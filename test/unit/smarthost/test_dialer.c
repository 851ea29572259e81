#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/smarthost/link.h"
#include "common/base/clock.h"
#include "test/support/dialbench.h"

static void
dialer_hands_over_a_plain_session(void **state)
{
	static const char *const script[] = {
	    ">220 mx.example ESMTP", EHLO_PLAIN, "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	bench_dial(&b);
	bench_expect_success(&b);
	assert_true(b.result.ehlo.is_esmtp);
	assert_false(b.result.is_authenticated);
	assert_string_equal(b.result.peer.host, "localhost");
	assert_string_equal(b.result.peer.addr, "127.0.0.1");
	assert_int_equal(
	    strtol(b.result.peer.port, NULL, 10), fake_port(b.fake));
	assert_string_equal(b.result.peer.tls, "none");
	assert_true(b.result.peer.rtt_us >= 0);
	bench_end(&b);
}

static void
dialer_logs_in_with_plain_over_tls(void **state)
{
	static const char *const script[] = {">220 mx.example ESMTP", EHLO_TLS,
	    STARTTLS, EHLO_AUTH, AUTH_OK, "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	bench_use_password(&b);
	bench_dial(&b);
	bench_expect_success(&b);
	assert_true(b.result.is_authenticated);
	assert_true(b.result.ehlo.pipelining);
	assert_true(b.result.peer.is_tls);
	assert_string_equal(b.result.peer.tls, "encrypt");
	assert_non_null(strstr(buf_str(&bench_log),
	    "Trusted TLS connection established to localhost[127.0.0.1]:"));
	assert_non_null(strstr(buf_str(&bench_log), ": TLSv1.3 with cipher "));
	assert_non_null(strstr(
	    buf_str(&bench_log), " server-signature ECDSA (prime256v1)"));
	bench_end(&b);
}

static void
dialer_reads_replies_octet_by_octet(void **state)
{
	static const char *const script[] = {"dribble", ">220 mx.example",
	    EHLO_TLS, STARTTLS, EHLO_AUTH, AUTH_OK, "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "may");
	bench_use_password(&b);
	bench_dial(&b);
	bench_expect_success(&b);
	assert_true(b.result.is_authenticated);
	assert_string_equal(b.result.peer.tls, "may");
	bench_end(&b);
}

static void
dialer_speaks_tls_at_once_in_wrappermode(void **state)
{
	static const char *const script[] = {
	    "tls", ">220 mx.example", EHLO_AUTH, AUTH_OK, "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	bench_set(&b, "smtp_tls_wrappermode", "yes");
	bench_use_password(&b);
	bench_dial(&b);
	bench_expect_success(&b);
	assert_true(b.result.is_authenticated);
	bench_end(&b);
}

static void
dialer_speaks_tls_at_once_at_a_port_of_the_list(void **state)
{
	static const char *const script[] = {
	    "tls", ">220 mx.example", EHLO_AUTH, AUTH_OK, "hang", NULL};
	struct bench b;
	char ports[40];

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	(void)snprintf(ports, sizeof(ports), "465, %d", fake_port(b.fake));
	bench_set(&b, "lane_tls_wrappermode_ports", ports);
	bench_use_password(&b);
	bench_dial(&b);
	bench_expect_success(&b);
	assert_true(b.result.is_authenticated);
	bench_end(&b);
}

static void
dialer_falls_back_to_helo(void **state)
{
	static const char *const script[] = {">220 mx.example",
	    "<EHLO client.example", ">502 what?", "<HELO client.example",
	    ">250 hello", "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	bench_dial(&b);
	bench_expect_success(&b);
	assert_false(b.result.ehlo.is_esmtp);
	bench_end(&b);
}

/* One misbehaviour each: what the server does, and what comes of it. */
struct failure {
	const char *level; /* smtp_tls_security_level */
	bool password;
	enum dial_stage stage;
	const char *status, *text, *tls;
	const char *script[16];
};

static const struct failure failures[] = {
    {"none", false, DIAL_GREETING, "4.7.0",
	"host localhost[127.0.0.1] refused to talk to me: 421 4.7.0 busy",
	"none", {">421 4.7.0 busy", "<QUIT", ">221 bye", NULL}},
    {"none", false, DIAL_GREETING, "4.0.0", "refused to talk to me: 554 no",
	"none", {">554 no", "<QUIT", ">221 bye", NULL}},
    {"none", false, DIAL_GREETING, "4.4.2",
	"lost connection with localhost[127.0.0.1] while receiving the "
	"initial server greeting",
	"none", {"close", NULL}},
    {"none", false, DIAL_GREETING, "4.4.2", "while receiving the initial",
	"none", {">>220 half a gree", "close", NULL}},
    {"none", false, DIAL_EHLO, "4.4.2",
	"lost connection with localhost[127.0.0.1] while performing the "
	"EHLO handshake",
	"none", {">220 a", "<EHLO", "close", NULL}},
    {"none", false, DIAL_EHLO, "4.0.0", "refused to talk to me: 421 later",
	"none", {">220 a", "<EHLO", ">421 later", "<QUIT", ">221 b", NULL}},
    {"none", false, DIAL_EHLO, "5.0.0", "refused to talk to me: 550 never",
	"none",
	{">220 a", "<EHLO", ">550 x", "<HELO", ">550 never", "<QUIT", ">221 b",
	    NULL}},
    {"none", false, DIAL_EHLO, "4.5.0",
	"protocol error in the reply of host localhost[127.0.0.1] while "
	"performing the EHLO handshake",
	"none", {">>220 a\r\n250-b\r\n250 AUTH PLAIN\r\n", "hang", NULL}},
    {"none", false, DIAL_EHLO, "4.3.2", "refused to talk to me: 421 4.3.2 too",
	"none", {">>220 a\r\n421 4.3.2 too many\r\n", "hang", NULL}},
    {"none", false, DIAL_EHLO, "4.4.2", "performing the HELO handshake", "none",
	{">220 a", "<EHLO", ">550 x", "<HELO", "close", NULL}},
    {"encrypt", false, DIAL_STARTTLS, "4.7.4",
	"TLS is required, but was not offered by host "
	"localhost[127.0.0.1]",
	"!encrypt", {">220 a", EHLO_PLAIN, "<QUIT", ">221 b", NULL}},
    {"encrypt", false, DIAL_STARTTLS, "4.7.0",
	"TLS is required, but host localhost[127.0.0.1] refused to start "
	"TLS: 454 4.7.0 not now",
	"!encrypt",
	{">220 a", EHLO_TLS, "<STARTTLS", ">454 4.7.0 not now", "<QUIT",
	    ">221 b", NULL}},
    {"encrypt", false, DIAL_STARTTLS, "4.4.2",
	"while receiving the STARTTLS response", "encrypt?",
	{">220 a", EHLO_TLS, "<STARTTLS", "close", NULL}},
    {"encrypt", false, DIAL_TLS, "4.7.5", "Cannot start TLS: handshake failure",
	"encrypt?",
	{">220 a", EHLO_TLS, "<STARTTLS", ">220 go", "close", NULL}},
    {"encrypt", false, DIAL_TLS, "4.7.5", "Cannot start TLS: ", "encrypt?",
	{">220 a", EHLO_TLS, "<STARTTLS", ">220 go", ">250 not TLS", "hang",
	    NULL}},
    {"may", false, DIAL_TLS, "4.7.5", "plain text after agreeing to TLS",
	"may?",
	{">220 a", EHLO_TLS, "<STARTTLS", ">>220 go\r\n250 injected\r\n",
	    "hang", NULL}},
    {"may", true, DIAL_TLS, "4.7.5", "Cannot start TLS: handshake failure",
	"may?", {">220 a", EHLO_TLS, "<STARTTLS", ">220 go", "close", NULL}},
    {"none", true, DIAL_AUTH, "4.7.0",
	"SASL authentication failed: server localhost[127.0.0.1] does not "
	"offer AUTH",
	"none", {">220 a", EHLO_PLAIN, "<QUIT", ">221 b", NULL}},
    {"none", true, DIAL_AUTH, "4.7.0",
	"SASL authentication failed; cannot authenticate to server "
	"localhost[127.0.0.1]: no mechanism available",
	"none",
	{">220 a", "<EHLO", ">250-b", ">250 AUTH PLAIN LOGIN", "<QUIT",
	    ">221 b", NULL}},
    {"none", true, DIAL_AUTH, "4.4.2", "while performing SASL authentication",
	"none", {">220 a", EHLO_CRAM, "<AUTH CRAM-MD5", "close", NULL}},
    {"none", true, DIAL_AUTH, "4.7.0", "cannot authenticate to server", "none",
	{">220 a", EHLO_CRAM, "<AUTH CRAM-MD5", ">334 ==%%", "<*", ">501 ok",
	    "<QUIT", ">221 b", NULL}},
};

static void
dialer_reports_each_misbehaviour(void **state)
{
	size_t count = sizeof(failures) / sizeof(failures[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct failure *f = &failures[i];
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, f->script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", f->level);
		if (f->password)
			bench_use_password(&b);
		bench_dial(&b);
		bench_expect_failure(&b, f->stage, f->status, f->text);
		assert_string_equal(b.result.peer.tls, f->tls);
		assert_true(b.result.had_connection);
		assert_false(b.result.is_config_error);
		bench_end(&b);
	}
}

/* A server that dies while it is dialled has not refused anything. */
static void
dialer_tells_a_broken_line_from_a_refusal(void **state)
{
	static const struct {
		bool is_transport;
		const char *level, *script[16];
	} cases[] = {
	    {true, "none", {"reset", NULL}},
	    {true, "none", {">220 a", "<EHLO", "reset", NULL}},
	    {true, "encrypt", {">220 a", EHLO_TLS, "<STARTTLS", "reset", NULL}},
	    {true, "encrypt",
		{">220 a", EHLO_TLS, "<STARTTLS", ">220 go", "reset", NULL}},
	    {true, "encrypt",
		{">220 a", EHLO_TLS, "<STARTTLS", ">220 go", "close", NULL}},
	    {true, "encrypt",
		{">220 a", EHLO_TLS, STARTTLS, "<EHLO", "reset", NULL}},
	    {true, "encrypt",
		{">220 a", EHLO_TLS, STARTTLS, EHLO_AUTH, "<AUTH", "reset",
		    NULL}},
	    {true, "none",
		{">220 a", EHLO_CRAM, "<AUTH CRAM-MD5", "reset", NULL}},
	    {false, "none", {">421 4.7.0 busy", "<QUIT", ">221 b", NULL}},
	    {false, "encrypt",
		{">220 a", EHLO_TLS, "<STARTTLS", ">220 go", ">no TLS", "hang",
		    NULL}},
	    {false, "encrypt",
		{">220 a", EHLO_TLS, STARTTLS, EHLO_AUTH, "<AUTH",
		    ">535 5.7.8 no", "<QUIT", ">221 b", NULL}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, cases[i].script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", cases[i].level);
		bench_use_password(&b);
		bench_dial(&b);
		assert_null(b.result.link);
		assert_int_equal(b.result.is_transport, cases[i].is_transport);
		bench_end(&b);
	}
}

static void
dialer_ends_a_reply_that_does_not_end(void **state)
{
	static char line[70000];
	static const char *const script[] = {line, "hang", NULL};
	struct bench b;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, ">>220-", 6);
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	bench_dial(&b);
	bench_expect_failure(&b, DIAL_GREETING, "4.5.0", "protocol error");
	bench_end(&b);
}

static void
dialer_tells_a_wrong_password_from_a_busy_server(void **state)
{
	static const struct {
		const char *reply, *status, *soft;
	} cases[] = {
	    {">535 5.7.8 Error: authentication failed", "4.7.8", "yes"},
	    {">535 5.7.8 Error: authentication failed", "5.7.8", "no"},
	    {">454 4.7.0 Temporary authentication failure", "4.7.0", "yes"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
		    EHLO_AUTH, "<AUTH PLAIN", cases[i].reply, "<QUIT",
		    ">221 bye", NULL};
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_set(&b, "smtp_sasl_auth_soft_bounce", cases[i].soft);
		bench_use_password(&b);
		bench_dial(&b);
		bench_expect_failure(&b, DIAL_AUTH, cases[i].status,
		    "SASL authentication failed; server localhost[127.0.0.1] "
		    "said: ");
		assert_string_equal(b.result.reply_text, cases[i].reply + 1);
		assert_int_equal(
		    b.result.reply_code, strtol(cases[i].reply + 1, NULL, 10));
		bench_end(&b);
	}
}

static void
dialer_goes_on_in_plain_text_when_may_fails(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, "<STARTTLS",
	    ">220 go", "next", ">220 a", EHLO_TLS, "hang", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	bench_set(&b, "smtp_tls_security_level", "may");
	bench_dial(&b);
	bench_expect_success(&b);
	assert_false(b.result.peer.is_tls);
	assert_string_equal(b.result.peer.tls, "may:none");
	bench_end(&b);
}

static void
dialer_keeps_young_mail_from_going_in_plain_text(void **state)
{
	static const char *const script[] = {
	    ">220 a", EHLO_TLS, "<STARTTLS", ">220 go", "close", NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	bench_set(&b, "smtp_tls_security_level", "may");
	b.must_be_tls = true;
	bench_dial(&b);
	assert_null(b.result.link);
	assert_int_equal(b.result.stage, DIAL_TLS);
	assert_string_equal(
	    b.result.dsn.text, "Cannot start TLS: handshake failure");
	assert_true(b.result.is_soft);
	bench_end(&b);
}

static void
dialer_times_out_at_each_stage(void **state)
{
	static const struct {
		const char *param, *text;
		const char *script[8];
	} cases[] = {
	    {"smtp_helo_timeout",
		"conversation with localhost[127.0.0.1] timed out while "
		"receiving the initial server greeting",
		{"hang", NULL}},
	    {"smtp_helo_timeout", "performing the EHLO handshake",
		{">220 a", "<EHLO", "hang", NULL}},
	    {"smtp_starttls_timeout", "receiving the STARTTLS response",
		{">220 a", EHLO_TLS, "<STARTTLS", "hang", NULL}},
	    {"smtp_starttls_timeout", "handshake failure",
		{">220 a", EHLO_TLS, "<STARTTLS", ">220 go", "hang", NULL}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, cases[i].script, NULL);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_set(&b, cases[i].param, "1s");
		/* Shorter than a parameter can say. */
		b.set.smtp_helo_timeout_us =
		    b.set.smtp_helo_timeout_us == US_PER_S ? 50 * US_PER_MS
							   : 10 * US_PER_S;
		b.set.smtp_starttls_timeout_us =
		    b.set.smtp_starttls_timeout_us == US_PER_S ? 50 * US_PER_MS
							       : 10 * US_PER_S;
		bench_dial(&b);
		assert_non_null(strstr(b.result.dsn.text, cases[i].text));
		bench_end(&b);
	}
}

static void
dialer_reports_a_refused_connection(void **state)
{
	struct bench b;
	static const char *const script[] = {"close", NULL};
	char text[200];

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	/* A port that was free a moment ago. */
	(void)close(fake_connect(fake_port(b.fake)));
	assert_null(fake_finish(b.fake));
	(void)snprintf(text, sizeof(text),
	    "connect to localhost[127.0.0.1]:%d: Connection refused",
	    fake_port(b.fake));
	fake_free(&b.fake);
	bench_dial(&b);
	bench_expect_failure(&b, DIAL_CONNECT, "4.4.1", text);
	assert_false(b.result.had_connection);
	assert_non_null(strstr(buf_str(&bench_log), text));
	bench_end(&b);
}

static void
dialer_tries_the_next_nexthop_and_remembers(void **state)
{
	static const char *const dead[] = {">421 no", "<QUIT", "close", NULL};
	static const char *const alive[] = {">220 a", EHLO_PLAIN, "hang",
	    "next", ">220 a", EHLO_PLAIN, "hang", NULL};
	struct bench b;
	struct fake *first;

	(void)state;
	bench_begin(&b);
	first = fake_start(dead, NULL);
	b.fake = fake_start(alive, NULL);
	(void)snprintf(b.nexthop, sizeof(b.nexthop),
	    "[127.0.0.1]:%d, [127.0.0.1]:%d", fake_port(first),
	    fake_port(b.fake));
	bench_dial(&b);
	bench_expect_success(&b);
	assert_int_equal(
	    strtol(b.result.peer.port, NULL, 10), fake_port(b.fake));
	assert_null(fake_finish(first));
	/* The first is at rest: nobody listens to a second attempt. */
	bench_dial(&b);
	bench_expect_success(&b);
	assert_int_equal(
	    strtol(b.result.peer.port, NULL, 10), fake_port(b.fake));
	fake_free(&first);
	bench_end(&b);
}

static void
dialer_reports_configuration_errors(void **state)
{
	static const struct {
		const char *nexthop, *level, *policy, *status, *text;
	} cases[] = {
	    {"", "none", NULL, "4.3.5", "no smarthost is configured"},
	    {"[bad", "none", NULL, "4.3.5", "invalid destination"},
	    {"[127.0.0.1]:no-such-service", "none", NULL, "4.3.5",
		"unknown service: no-such-service/tcp"},
	    {"[::1]:25", "none", NULL, "4.3.5", "inet_protocols"},
	    {"[127.0.0.1]:9", "none", "dane", "4.7.5",
		"client TLS configuration problem: smtp_tls_policy_maps, "
		"\"[127.0.0.1]:9\": TLS security level \"dane\" is not"},
	    {"[127.0.0.1]:465", "may", NULL, "4.7.5",
		"lane_tls_wrappermode_ports has this port, which requires"},
	    {"[127.0.0.1]:9", "none", "may match=x", "4.7.5",
		"attribute \"match\": not valid"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		bench_begin(&b);
		bench_set(&b, "smtp_tls_security_level", cases[i].level);
		(void)snprintf(
		    b.nexthop, sizeof(b.nexthop), "%s", cases[i].nexthop);
		if (cases[i].policy != NULL)
			bench_use_policy(&b, cases[i].policy);
		bench_dial(&b);
		assert_null(b.result.link);
		if (strstr(b.result.dsn.text, cases[i].text) == NULL)
			fail_msg("%s", b.result.dsn.text);
		assert_string_equal(b.result.dsn.status, cases[i].status);
		assert_true(b.result.is_config_error);
		assert_false(b.result.had_connection);
		bench_end(&b);
	}
}

static void
on_input(void *ctx, const char *p, size_t n)
{
	struct bench *b = ctx;

	(void)buf_add(&b->got, p, n);
}

static void
on_output(void *ctx, struct buf *out)
{
	(void)ctx;
	(void)out;
}

static void
on_written(void *ctx, size_t n)
{
	(void)ctx;
	(void)n;
}

static void
on_closed(void *ctx, enum link_end how, const char *text)
{
	struct bench *b = ctx;

	(void)how;
	(void)text;
	b->is_closed = true;
}

static void
dialer_leaves_what_follows_the_login_to_the_session(void **state)
{
	static const struct link_ops ops = {
	    on_input, on_output, on_written, on_closed};
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_AUTH, "<AUTH PLAIN", ">>235 ok\r\n421 4.3.0 bye\r\n", "close",
	    NULL};
	struct bench b;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	bench_use_password(&b);
	bench_dial(&b);
	bench_expect_success(&b);
	link_set_ops(b.result.link, &ops, &b);
	assert_true(fake_run_until(b.loop, &b.is_closed));
	assert_string_equal(buf_str(&b.got), "421 4.3.0 bye\r\n");
	bench_end(&b);
}

static void
dialer_can_be_cancelled_at_any_turn(void **state)
{
	static const char *const script[] = {">220 a", EHLO_TLS, STARTTLS,
	    EHLO_AUTH, "<AUTH PLAIN", ">235 ok", "hang", NULL};

	(void)state;
	for (int turns = 0; turns < 40; turns++) {
		struct bench b;

		bench_begin(&b);
		bench_serve(&b, script, bench_good_cert);
		bench_set(&b, "smtp_tls_security_level", "encrypt");
		bench_use_password(&b);
		b.dialer =
		    dialer_new(b.loop, &b.set, b.credentials, b.policies);
		b.dial = dialer_dial(b.dialer,
		    &(struct dial_target){.nexthops = b.nexthop,
			.past = "",
			.sender = "",
			.may_be_plain = true},
		    bench_on_done, &b);
		for (int i = 0; i < turns && !b.is_done; i++)
			loop_once(b.loop);
		if (!b.is_done) {
			dial_cancel(&b.dial);
			loop_once(b.loop);
		} else {
			turns = 40;
		}
		assert_null(b.dial);
		dial_result_fini(&b.result);
		/* Wake a server that nobody came to. */
		(void)close(fake_connect(fake_port(b.fake)));
		(void)fake_finish(b.fake);
		fake_free(&b.fake);
		bench_end(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dialer_hands_over_a_plain_session),
	    cmocka_unit_test(dialer_logs_in_with_plain_over_tls),
	    cmocka_unit_test(dialer_reads_replies_octet_by_octet),
	    cmocka_unit_test(dialer_speaks_tls_at_once_in_wrappermode),
	    cmocka_unit_test(dialer_speaks_tls_at_once_at_a_port_of_the_list),
	    cmocka_unit_test(dialer_falls_back_to_helo),
	    cmocka_unit_test(dialer_reports_each_misbehaviour),
	    cmocka_unit_test(dialer_tells_a_broken_line_from_a_refusal),
	    cmocka_unit_test(dialer_ends_a_reply_that_does_not_end),
	    cmocka_unit_test(dialer_tells_a_wrong_password_from_a_busy_server),
	    cmocka_unit_test(dialer_goes_on_in_plain_text_when_may_fails),
	    cmocka_unit_test(dialer_keeps_young_mail_from_going_in_plain_text),
	    cmocka_unit_test(dialer_times_out_at_each_stage),
	    cmocka_unit_test(dialer_reports_a_refused_connection),
	    cmocka_unit_test(dialer_tries_the_next_nexthop_and_remembers),
	    cmocka_unit_test(dialer_reports_configuration_errors),
	    cmocka_unit_test(
		dialer_leaves_what_follows_the_login_to_the_session),
	    cmocka_unit_test(dialer_can_be_cancelled_at_any_turn),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
