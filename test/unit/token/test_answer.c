#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/token/answer.h"
#include "common/shared/tokenproto.h"

static const char *const secrets[] = {
    "s3cr3t-of-client", NULL, "", "old-token-x", "1//0refresh"};

static void
parse(struct answer *a, const char *body)
{
	answer_parse(a, slice_str(body), secrets, 5);
}

static void
token_is_taken(void **state)
{
	static const struct {
		const char *body, *refresh;
		int64_t life_s;
	} cases[] = {
	    /* RFC 6749 5.1 */
	    {"{\"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\"token_type\":"
	     "\"example\",\"expires_in\":3600}",
		"!", 0},
	    {"{\"access_token\":\"A.b\",\"token_type\":\"Bearer\","
	     "\"expires_in\":3599,\"ext_expires_in\":3599}",
		NULL, 3599},
	    {"{\"access_token\":\"A.b\",\"token_type\":\"bearer\","
	     "\"expires_in\":\"3600\",\"refresh_token\":\"r1\"}",
		"r1", 3600},
	    {"{\"access_token\":\"A.b\"}", NULL, ANSWER_LIFE_UNKNOWN_S},
	    {"{\"access_token\":\"A.b\",\"expires_in\":1}", NULL, 1},
	    {"{\"access_token\":\"A.b\",\"expires_in\":1e300}", NULL,
		ANSWER_LIFE_MAX_S},
	    {"{\"access_token\":\"A.b\",\"expires_in\":0}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"expires_in\":-5}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"expires_in\":\"soon\"}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"expires_in\":\"1e3x\"}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"expires_in\":null}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"expires_in\":\"nan\"}", "!", 0},
	    {"{\"access_token\":\"A b\"}", "!", 0},
	    {"{\"access_token\":\"\"}", "!", 0},
	    {"{\"access_token\":7}", "!", 0},
	    {"{\"access_token\":\"A\\u0001b\"}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"refresh_token\":\"\"}", "!", 0},
	    {"{\"access_token\":\"A.b\",\"refresh_token\":[]}", "!", 0},
	};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(&a, cases[i].body);
		if (cases[i].life_s == 0) {
			if (a.kind != ANSWER_GARBAGE || a.text[0] == '\0')
				fail_msg("taken: %s", cases[i].body);
			assert_false(answer_is_lasting(&a));
			continue;
		}
		assert_int_equal(a.kind, ANSWER_TOKEN);
		assert_string_equal(a.access_token, "A.b");
		assert_int_equal(a.life_s, cases[i].life_s);
		if (cases[i].refresh == NULL)
			assert_null(a.refresh_token);
		else
			assert_string_equal(a.refresh_token, cases[i].refresh);
		answer_free(&a);
	}
}

static void
error_is_told_without_secrets(void **state)
{
	static const struct {
		const char *body, *text;
		bool is_lasting;
	} cases[] = {
	    {"{\"error\":\"invalid_request\"}", "invalid_request", true},
	    {"{\"error\":\"invalid_client\",\"error_description\":"
	     "\"AADSTS7000215: Invalid client secret provided.\\r\\nTrace ID: "
	     "0\",\"error_codes\":[7000215]}",
		"invalid_client: AADSTS7000215: Invalid client secret "
		"provided.",
		true},
	    {"{\"error\":\"invalid_grant\",\"error_description\":"
	     "\"AADSTS70008: expired. Trace ID: 1 Timestamp: 2\"}",
		"invalid_grant: AADSTS70008: expired.", true},
	    {"{\"error\":\"temporarily_unavailable\"}",
		"temporarily_unavailable", false},
	    {"{\"error\":\"server_error\"}", "server_error", false},
	    {"{\"error\":\"invalid_client\",\"error_description\":"
	     "\"you sent s3cr3t-of-client!\"}",
		"invalid_client: you sent ", true},
	    {"{\"error\":\"old-token-x is no good\"}", "", true},
	    /* as it stood in the form */
	    {"{\"error\":\"e\",\"error_description\":"
	     "\"refresh_token=1%2F%2F0refresh\"}",
		"e: refresh_token=", true},
	    {"{\"error\":\"e\",\"error_description\":"
	     "\"assertion=eyJhbGciOiJQUzI1NiJ9.e.c\"}",
		"e: assertion=", true},
	    {"{\"error\":\"a\\u0007\",\"error_description\":\"b\\u001b[1m\"}",
		"a?: b?[1m", true},
	};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(&a, cases[i].body);
		assert_int_equal(a.kind, ANSWER_ERROR);
		assert_string_equal(a.text, cases[i].text);
		assert_int_equal(answer_is_lasting(&a), cases[i].is_lasting);
		answer_free(&a);
	}
}

static void
error_that_has_a_meaning_is_never_cut(void **state)
{
	static const char *const short_ones[] = {"d", "p"};
	static const char body[] = "{\"error\":\"authorization_pending\"}";
	struct answer a;

	(void)state;
	answer_parse(&a, (struct slice){body, sizeof(body) - 1}, short_ones, 2);
	assert_string_equal(a.code, "authorization_pending");
	answer_free(&a);
}

static void
garbage_is_garbage(void **state)
{
	static const char *const cases[] = {"", "{", "[]", "\"x\"", "null",
	    "<html>502</html>", "{\"error\":7}", "{}",
	    "{\"access_token\":\"A.b\"} x", "{\"device_code\":\"a\"}",
	    "\xff\xfe"};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(&a, cases[i]);
		assert_int_equal(a.kind, ANSWER_GARBAGE);
		assert_true(a.text[0] != '\0');
		assert_false(answer_is_lasting(&a));
		answer_free(&a);
	}
	/* what some say to a wrong secret: there is no more to be told */
	parse(&a, "");
	assert_string_equal(a.text, "an empty answer");
	answer_free(&a);
}

static void
device_is_taken(void **state)
{
	struct answer a;

	(void)state;
	/* RFC 8628 3.2 */
	parse(&a, "{\"device_code\":\"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS"
		  "\",\"user_code\":\"WDJB-MJHT\",\"verification_uri\":"
		  "\"https://example.com/device\",\"expires_in\":1800,"
		  "\"interval\":7}");
	assert_int_equal(a.kind, ANSWER_DEVICE);
	assert_string_equal(a.user_code, "WDJB-MJHT");
	assert_string_equal(a.verification_uri, "https://example.com/device");
	assert_int_equal(a.interval_s, 7);
	assert_int_equal(a.life_s, 1800);
	answer_free(&a);
	parse(&a, "{\"device_code\":\"g\",\"user_code\":\"W\\u001b\","
		  "\"verification_url\":\"u\"}");
	assert_int_equal(a.kind, ANSWER_DEVICE);
	assert_string_equal(a.user_code, "W?");
	assert_int_equal(a.interval_s, 5);
	assert_int_equal(a.life_s, ANSWER_DEVICE_LIFE_S);
	answer_free(&a);
}

static void
sizes_are_bounded(void **state)
{
	static char body[ANSWER_MAX + 200];
	struct answer a;
	int n;

	(void)state;
	n = snprintf(body, sizeof(body), "{\"access_token\":\"");
	memset(body + n, 'x', TOKENPROTO_TOKEN_MAX);
	memcpy(body + n + TOKENPROTO_TOKEN_MAX, "\"}", 3);
	parse(&a, body);
	assert_int_equal(a.kind, ANSWER_TOKEN);
	assert_int_equal(strlen(a.access_token), TOKENPROTO_TOKEN_MAX);
	answer_free(&a);
	memcpy(body + n + TOKENPROTO_TOKEN_MAX, "x\"}", 4);
	parse(&a, body);
	assert_int_equal(a.kind, ANSWER_GARBAGE);
	memset(body, ' ', sizeof(body) - 1);
	memcpy(body, "{\"access_token\":\"A\"}", 20);
	answer_parse(&a, slice_of(body, ANSWER_MAX), NULL, 0);
	assert_int_equal(a.kind, ANSWER_TOKEN);
	answer_free(&a);
	answer_parse(&a, slice_of(body, ANSWER_MAX + 1), NULL, 0);
	assert_int_equal(a.kind, ANSWER_GARBAGE);
	/* A description of any length is cut. */
	n = snprintf(
	    body, sizeof(body), "{\"error\":\"e\",\"error_description\":\"");
	memset(body + n, 'y', 5000);
	memcpy(body + n + 5000, "\"}", 3);
	parse(&a, body);
	assert_int_equal(a.kind, ANSWER_ERROR);
	assert_int_equal(strlen(a.text), ANSWER_TEXT_SIZE - 1);
	answer_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(token_is_taken),
	    cmocka_unit_test(error_is_told_without_secrets),
	    cmocka_unit_test(error_that_has_a_meaning_is_never_cut),
	    cmocka_unit_test(garbage_is_garbage),
	    cmocka_unit_test(device_is_taken),
	    cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
