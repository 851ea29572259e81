#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/smarthost/link.h"
#include "test/support/dialbench.h"

#define LINE "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"
#define WRAPPED "tls", ">220 mx.example"
#define FIRST WRAPPED, EHLO_AUTH, AUTH_OK, "hang"
#define TRIAL WRAPPED, EHLO_AUTH, "<AUTH PLAIN AHVzZXIAc2VjcmV0", "<RSET"
#define TRIED TRIAL, ">235 welcome", ">250 ok", "hang"
#define LEFT WRAPPED, EHLO_AUTH, "hang"

/* A server that is talked to over TLS, at this level, by a login. */
static void
begin(struct bench *b, const char *const *script, const char *level)
{
	bench_begin(b);
	bench_serve(b, script, bench_good_cert);
	bench_set(b, "smtp_tls_security_level", level);
	bench_set(b, "smtp_tls_wrappermode", "yes");
	bench_use_password(b);
	b->may_lead = true;
}

/* A dial that ends in a session that has logged in / that has yet to. */
static void
dial_in_steps(struct bench *b)
{
	bench_dial(b);
	bench_expect_success(b);
	assert_true(b->result.is_authenticated);
	assert_null(b->result.login);
}

static void
dial_to_lead(struct bench *b)
{
	bench_dial(b);
	bench_expect_success(b);
	assert_false(b->result.is_authenticated);
	assert_non_null(b->result.login);
	assert_string_equal(b->result.login, LINE);
}

static void
third_login_is_left_to_the_session(void **state)
{
	static const char *const script[] = {
	    FIRST, "next", TRIED, "next", LEFT, NULL};
	struct bench b;

	(void)state;
	begin(&b, script, "secure");
	dial_in_steps(&b);
	dial_in_steps(&b);
	dial_to_lead(&b);
	bench_end(&b);
}

static const char *const thrice[] = {FIRST, "next", FIRST, "next", FIRST, NULL};

/* Whatever else is the case, all goes in steps. */
static void
in_steps(struct bench *b)
{
	for (int i = 0; i < 3; i++)
		dial_in_steps(b);
	bench_end(b);
}

static void
unverified_server_gets_no_mail_behind_a_login(void **state)
{
	struct bench b;

	(void)state;
	/* Though its certificate is a good one. */
	begin(&b, thrice, "encrypt");
	in_steps(&b);
}

static void
whoever_may_not_lead_goes_in_steps(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, thrice, "secure");
	b.may_lead = false;
	in_steps(&b);
}

#define LONELY                                                                 \
	WRAPPED, "<EHLO", ">250-mx.example", ">250 AUTH PLAIN", AUTH_OK, "hang"

static void
server_without_pipelining_is_asked_in_steps(void **state)
{
	static const char *const script[] = {
	    LONELY, "next", LONELY, "next", LONELY, NULL};
	struct bench b;

	(void)state;
	begin(&b, script, "secure");
	in_steps(&b);
}

#define CRAM                                                                   \
	WRAPPED, "<EHLO", ">250-mx.example", ">250-PIPELINING",                \
	    ">250 AUTH CRAM-MD5", "<AUTH CRAM-MD5",                            \
	    ">334 PDE4OTYuNjk3MTcwOTUyQG14Pg==", "<", ">235 welcome", "hang"

static void
mechanism_of_several_round_trips_is_in_steps(void **state)
{
	static const char *const script[] = {
	    CRAM, "next", CRAM, "next", CRAM, NULL};
	struct bench b;

	(void)state;
	begin(&b, script, "secure");
	in_steps(&b);
}

/* The trial ends like that; the same dial goes on in steps, and so do all
 * later ones. */
#define FAULTS(name, ...)                                                      \
	static const char *const name[] = {FIRST, "next", TRIAL, __VA_ARGS__,  \
	    "next", FIRST, "next", FIRST, NULL}

static void
server_that_takes_nothing_behind_a_login_is_left_alone(void **state)
{
	FAULTS(closes, "close");
	FAULTS(resets, "reset");
	FAULTS(closes_later, ">235 welcome", "close");
	FAULTS(refuses, ">235 welcome", ">503 no", "hang");
	FAULTS(goes, ">235 welcome", ">421 bye", "close");
	FAULTS(asks, ">334 ", ">501 what", "hang");
	FAULTS(skips, ">250 reset", ">235 welcome", "hang");
	static const char *const *const scripts[] = {
	    closes, resets, closes_later, refuses, goes, asks, skips};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct bench b;

		buf_reset(&bench_log);
		begin(&b, scripts[i], "secure");
		in_steps(&b);
		assert_non_null(strstr(buf_str(&bench_log),
		    "localhost does not take a command behind a login: "
		    "logging in before mail is sent, for a week"));
	}
}

/* What is not read is not answered, and that is noticed before any mail. */
static void
server_that_drops_what_is_behind_a_login_is_left_alone(void **state)
{
	FAULTS(script, ">235 welcome", "hang");
	struct bench b;

	(void)state;
	begin(&b, script, "secure");
	in_steps(&b);
}

static void
refusal_of_a_trial_is_that_of_a_login(void **state)
{
	static const char *const script[] = {FIRST, "next", TRIAL,
	    ">535 5.7.8 wrong", ">250 ok", "<QUIT", ">221 bye", "next", FIRST,
	    "next", TRIED, NULL};
	struct bench b;

	(void)state;
	begin(&b, script, "secure");
	dial_in_steps(&b);
	bench_dial(&b);
	bench_expect_failure(&b, DIAL_AUTH, "4.7.8",
	    "SASL authentication failed; server localhost[127.0.0.1] said: 535 "
	    "5.7.8 wrong");
	assert_int_equal(dialer_tally(b.dialer)->auths_failed, 1);
	dial_in_steps(&b);
	dial_in_steps(&b);
	bench_end(&b);
}

static void
news_of_a_login_decide_on_the_next(void **state)
{
	static const char *const script[] = {FIRST, "next", TRIED, "next", LEFT,
	    "next", LEFT, "next", FIRST, "next", LEFT, "next", FIRST, NULL};
	struct lead_key key;
	struct bench b;

	(void)state;
	begin(&b, script, "secure");
	dial_in_steps(&b);
	dial_in_steps(&b);
	dial_to_lead(&b);
	key = b.result.lead_key;
	dialer_login_news(b.dialer, &key, LOGIN_ACCEPTED);
	dialer_login_news(b.dialer, &key, LOGIN_PROVEN);
	assert_int_equal(dialer_tally(b.dialer)->auths_led, 1);
	dial_to_lead(&b);
	dialer_login_news(b.dialer, &key, LOGIN_REFUSED);
	assert_int_equal(dialer_tally(b.dialer)->auths_failed, 1);
	dial_in_steps(&b);
	dial_to_lead(&b);
	dialer_login_news(b.dialer, &key, LOGIN_MISPLACED);
	dial_in_steps(&b);
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(third_login_is_left_to_the_session),
	    cmocka_unit_test(unverified_server_gets_no_mail_behind_a_login),
	    cmocka_unit_test(whoever_may_not_lead_goes_in_steps),
	    cmocka_unit_test(server_without_pipelining_is_asked_in_steps),
	    cmocka_unit_test(mechanism_of_several_round_trips_is_in_steps),
	    cmocka_unit_test(
		server_that_takes_nothing_behind_a_login_is_left_alone),
	    cmocka_unit_test(
		server_that_drops_what_is_behind_a_login_is_left_alone),
	    cmocka_unit_test(refusal_of_a_trial_is_that_of_a_login),
	    cmocka_unit_test(news_of_a_login_decide_on_the_next),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
