#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "agent/smarthost/survey.h"
#include "test/support/dialbench.h"

enum { LIMIT_MS = 20000 };

static json_t *
survey(struct bench *b)
{
	b->dialer = dialer_new(b->loop, &b->set, b->credentials, b->policies);
	return survey_run(b->loop, b->dialer, b->nexthop, LIMIT_MS);
}

/* "connect greeting ehlo ..." */
static const char *
steps_of(const json_t *report)
{
	static char text[200];
	const json_t *one;
	size_t i;

	text[0] = '\0';
	json_array_foreach(json_object_get(report, "steps"), i, one)
	{
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s%s",
		    i > 0 ? " " : "",
		    json_string_value(json_object_get(one, "what")));
		assert_true(
		    json_integer_value(json_object_get(one, "us")) >= 0);
	}
	return text;
}

static const char *
text_at(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	assert_non_null(text);
	return text;
}

/* None of it says what the login is. */
static void
has_no_secret(const json_t *report)
{
	char *text = json_dumps(report, JSON_COMPACT);

	assert_null(strstr(text, "secret"));
	assert_null(strstr(text, "c2VjcmV0"));
	assert_null(strstr(text, "AHVzZXIAc2VjcmV0"));
	free(text);
}

static void
survey_tells_each_step_of_a_dial_and_says_quit(void **state)
{
	static const char *const script[] = {">220 mx.example ESMTP", EHLO_TLS,
	    STARTTLS, "<EHLO client.example", ">250-mx.example",
	    ">250-PIPELINING", ">250-LIMITS MAILMAX=7", ">250 AUTH PLAIN",
	    AUTH_OK, "<QUIT", ">221 bye", "close", NULL};
	const json_t *tls, *login, *leaf, *offers;
	struct bench b;
	json_t *report;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_good_cert);
	bench_set(&b, "smtp_tls_security_level", "secure");
	bench_use_password(&b);
	report = survey(&b);
	assert_true(json_is_true(json_object_get(report, "is_ready")));
	assert_true(json_is_null(json_object_get(report, "failure")));
	assert_string_equal(
	    steps_of(report), "connect greeting ehlo starttls tls ehlo auth");
	assert_int_equal(
	    json_array_size(json_object_get(report, "ehlo_before")), 2);
	assert_int_equal(
	    json_array_size(json_object_get(report, "ehlo_after")), 4);
	assert_string_equal(json_string_value(json_array_get(
				json_object_get(report, "ehlo_after"), 2)),
	    "LIMITS MAILMAX=7");
	offers = json_object_get(report, "offers");
	assert_int_equal(
	    json_integer_value(json_object_get(offers, "mailmax")), 7);
	assert_true(json_is_true(json_object_get(offers, "pipelining")));
	tls = json_object_get(report, "tls");
	assert_string_equal(text_at(tls, "version"), "TLSv1.3");
	assert_string_equal(text_at(tls, "level"), "secure");
	assert_true(json_is_true(json_object_get(tls, "is_matched")));
	leaf = json_array_get(json_object_get(tls, "chain"), 0);
	assert_string_equal(json_string_value(json_array_get(
				json_object_get(leaf, "names"), 0)),
	    "localhost");
	assert_true(json_integer_value(json_object_get(leaf, "until_s")) >
		    (json_int_t)time(NULL));
	login = json_object_get(report, "login");
	assert_string_equal(text_at(login, "mechanism"), "PLAIN");
	assert_true(json_is_true(json_object_get(login, "is_in")));
	has_no_secret(report);
	json_decref(report);
	bench_end(&b);
}

static void
survey_shows_the_certificate_that_is_not_accepted(void **state)
{
	static const char *const script[] = {">220 mx.example ESMTP", EHLO_TLS,
	    STARTTLS, "<QUIT", ">221 bye", "close", NULL};
	const json_t *tls, *leaf, *failure;
	struct bench b;
	json_t *report;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, bench_wrong_name_cert);
	bench_set(&b, "smtp_tls_security_level", "secure");
	report = survey(&b);
	assert_false(json_is_true(json_object_get(report, "is_ready")));
	failure = json_object_get(report, "failure");
	assert_string_equal(text_at(failure, "stage"), "tls");
	assert_string_equal(text_at(failure, "status"), "4.7.5");
	tls = json_object_get(report, "tls");
	assert_false(json_is_true(json_object_get(tls, "is_matched")));
	assert_non_null(strstr(text_at(tls, "why"), "elsewhere.example"));
	leaf = json_array_get(json_object_get(tls, "chain"), 0);
	assert_string_equal(json_string_value(json_array_get(
				json_object_get(leaf, "names"), 0)),
	    "elsewhere.example");
	json_decref(report);
	bench_end(&b);
}

static void
survey_does_not_repeat_what_a_server_repeats_of_a_login(void **state)
{
	static const char *const script[] = {">220 mx.example ESMTP", EHLO_TLS,
	    STARTTLS, EHLO_AUTH, "<AUTH PLAIN AHVzZXIAc2VjcmV0",
	    ">535 5.7.8 no xAHVzZXIAc2VjcmV0 for you: username/password, "
	    "secret",
	    "<QUIT", ">221 bye", "close", NULL};
	const json_t *failure, *last, *steps;
	struct bench b;
	json_t *report;

	(void)state;
	bench_begin(&b);
	bench_set(&b, "smtp_tls_security_level", "encrypt");
	bench_serve(&b, script, bench_good_cert);
	bench_use_password(&b);
	report = survey(&b);
	failure = json_object_get(report, "failure");
	assert_string_equal(text_at(failure, "stage"), "auth");
	assert_int_equal(
	    json_integer_value(json_object_get(failure, "code")), 535);
	assert_non_null(strstr(text_at(failure, "text"),
	    "535 5.7.8 no ................. for you: username/password, .."));
	steps = json_object_get(report, "steps");
	last = json_array_get(steps, json_array_size(steps) - 1);
	assert_string_equal(text_at(last, "said"), "535");
	has_no_secret(report);
	json_decref(report);
	bench_end(&b);
}

static void
survey_names_the_addresses_and_why_they_failed(void **state)
{
	const json_t *tried, *one;
	struct bench b;
	json_t *report;

	(void)state;
	bench_begin(&b);
	(void)snprintf(b.nexthop, sizeof(b.nexthop), "[127.0.0.1]:1");
	report = survey(&b);
	assert_int_equal(
	    json_array_size(json_object_get(report, "addresses")), 1);
	one = json_array_get(json_object_get(report, "addresses"), 0);
	assert_string_equal(text_at(one, "address"), "127.0.0.1");
	assert_int_equal(json_integer_value(json_object_get(one, "port")), 1);
	tried = json_object_get(report, "tried");
	assert_int_equal(json_array_size(tried), 1);
	assert_non_null(
	    strstr(text_at(json_array_get(tried, 0), "failed"), "refused"));
	assert_string_equal(steps_of(report), "");
	assert_string_equal(
	    text_at(json_object_get(report, "failure"), "stage"), "connect");
	json_decref(report);
	bench_end(&b);
}

static void
survey_ends_when_nothing_comes(void **state)
{
	static const char *const script[] = {"hang", NULL};
	struct bench b;
	json_t *report;

	(void)state;
	bench_begin(&b);
	bench_serve(&b, script, NULL);
	b.dialer = dialer_new(b.loop, &b.set, b.credentials, b.policies);
	report = survey_run(b.loop, b.dialer, b.nexthop, 300);
	assert_string_equal(
	    text_at(json_object_get(report, "failure"), "stage"), "time");
	assert_string_equal(steps_of(report), "connect");
	json_decref(report);
	bench_end(&b);
}

static void
survey_says_why_there_is_no_address(void **state)
{
	struct bench b;
	json_t *report;

	(void)state;
	bench_begin(&b);
	(void)snprintf(b.nexthop, sizeof(b.nexthop), "[::1]:1");
	report = survey(&b);
	assert_non_null(
	    strstr(text_at(report, "no_address"), "inet_protocols"));
	assert_true(json_is_true(
	    json_object_get(json_object_get(report, "failure"), "is_config")));
	json_decref(report);
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(survey_tells_each_step_of_a_dial_and_says_quit),
	    cmocka_unit_test(survey_shows_the_certificate_that_is_not_accepted),
	    cmocka_unit_test(
		survey_does_not_repeat_what_a_server_repeats_of_a_login),
	    cmocka_unit_test(survey_names_the_addresses_and_why_they_failed),
	    cmocka_unit_test(survey_ends_when_nothing_comes),
	    cmocka_unit_test(survey_says_why_there_is_no_address),
	};

	return cmocka_run_group_tests_name(
	    "survey", tests, bench_setup, bench_teardown);
}
