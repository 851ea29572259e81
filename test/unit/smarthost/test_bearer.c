#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sasl/saslutil.h>
#include <string.h>

#include "agent/smarthost/bearer.h"
#include "agent/smarthost/sasl.h"
#include "common/shared/tokenproto.h"

#define TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

struct run {
	struct sasl *sasl;
	struct buf out;
	const char *mech;
	bool has_initial;
	char why[200];
};

static bool
start_with(struct run *r, const char *offered, const struct sasl_login *login)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->out, SASL_LINE_MAX);
	r->sasl = sasl_new(login, r->why, sizeof(r->why));
	return r->sasl != NULL &&
	       sasl_start(r->sasl, offered, &r->mech, &r->out, &r->has_initial,
		   r->why, sizeof(r->why));
}

static bool
start(struct run *r, const char *offered)
{
	return start_with(r, offered,
	    &(struct sasl_login){.host = "server.example.com",
		.port = 143,
		.user = "user@example.com",
		.options = "noanonymous, noplaintext",
		.token = TOKEN});
}

static void
finish(struct run *r)
{
	sasl_free(&r->sasl);
	buf_fini_secret(&r->out);
}

static bool
next(struct run *r, const char *challenge)
{
	buf_reset(&r->out);
	return sasl_next(
	    r->sasl, slice_str(challenge), &r->out, r->why, sizeof(r->why));
}

/* Base64 of text. */
static const char *
encoded(const char *text)
{
	static char out[1000];

	assert_int_equal(
	    sasl_encode64(text, (unsigned)strlen(text), out, sizeof(out), NULL),
	    SASL_OK);
	return out;
}

/* RFC 7628 4.1 */
static void
oauthbearer_is_as_in_the_standard(void **state)
{
	struct run r;

	(void)state;
	assert_true(start(&r, "SCRAM-SHA-1 OAUTHBEARER PLAIN"));
	assert_string_equal(r.mech, "OAUTHBEARER");
	assert_true(r.has_initial);
	assert_string_equal(buf_str(&r.out),
	    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBv"
	    "cnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1s"
	    "emRHRXVZMjl0Q2c9PQEB");
	assert_false(sasl_is_mutual(r.sasl));
	finish(&r);
}

/* developers.google.com/gmail/imap/xoauth2-protocol */
static void
xoauth2_is_as_its_inventor_says(void **state)
{
	struct run r;

	(void)state;
	assert_true(start_with(&r, "OAUTHBEARER LOGIN xoauth2",
	    &(struct sasl_login){.host = "smtp.gmail.com",
		.port = 587,
		.user = "someuser@example.com",
		.options = "",
		.token = "ya29." TOKEN}));
	assert_string_equal(r.mech, "XOAUTH2");
	assert_string_equal(buf_str(&r.out),
	    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRm"
	    "dDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
	finish(&r);
}

/* RFC 7628 4.3, 3.2.3 */
static void
refusals_are_acknowledged_each_in_its_way(void **state)
{
	static const struct {
		const char *mech, *json, *answer, *said;
	} cases[] = {
	    {"XOAUTH2",
		"{\"status\":\"401\",\"schemes\":\"bearer\","
		"\"scope\":\"https://mail.google.com/\"}",
		"", "status=401 schemes=bearer scope=https://mail.google.com/"},
	    {"OAUTHBEARER",
		"{\"status\":\"invalid_token\",\"scope\":\"example_scope\","
		"\"openid-configuration\":\"https://example.com/x\"}",
		"AQ==", "status=invalid_token scope=example_scope"},
	    {"XOAUTH2", "\001 no json \002", "", ""},
	    {"OAUTHBEARER", "{\"status\": {\"deep\": 1}}", "AQ==", ""},
	    {"XOAUTH2", "{\"status\":\"you sent Bearer " TOKEN "\"}", "", ""},
	    {"XOAUTH2", "{\"status\":\"a\\u0007\\u001b[1mb\"}", "",
		"status=a??[1mb"},
	};
	struct run r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(start(&r, cases[i].mech));
		assert_string_equal(sasl_refusal(r.sasl), "");
		assert_true(next(&r, encoded(cases[i].json)));
		assert_string_equal(buf_str(&r.out), cases[i].answer);
		assert_string_equal(sasl_refusal(r.sasl), cases[i].said);
		/* Now it has to refuse. */
		assert_false(next(&r, encoded(cases[i].json)));
		finish(&r);
	}
}

static void
refusal_that_is_no_base64_is_one(void **state)
{
	struct run r;

	(void)state;
	assert_true(start(&r, "OAUTHBEARER"));
	assert_true(next(&r, "{\"status\":\"400\"}"));
	assert_string_equal(buf_str(&r.out), "AQ==");
	finish(&r);
}

static void
refusal_is_cut(void **state)
{
	char json[4000], line[6000];
	struct run r;

	(void)state;
	memset(json, 'x', sizeof(json));
	memcpy(json, "{\"status\":\"", 11);
	memcpy(json + sizeof(json) - 3, "\"}", 3);
	assert_int_equal(sasl_encode64(json, (unsigned)strlen(json), line,
			     sizeof(line), NULL),
	    SASL_OK);
	assert_true(start(&r, "XOAUTH2"));
	assert_true(next(&r, line));
	assert_int_equal(strlen(sasl_refusal(r.sasl)), 7 + 90);
	finish(&r);
}

/* Who did not listen to the initial response asks for it. */
static void
empty_challenge_gets_the_message_again_once(void **state)
{
	struct run r;
	char first[500];

	(void)state;
	assert_true(start(&r, "XOAUTH2"));
	(void)strncpy(first, buf_str(&r.out), sizeof(first) - 1);
	first[sizeof(first) - 1] = '\0';
	assert_true(next(&r, ""));
	assert_string_equal(buf_str(&r.out), first);
	assert_false(next(&r, ""));
	finish(&r);
}

static void
name_cannot_leave_its_place(void **state)
{
	struct buf out;
	struct bearer b = {.mech = BEARER_OAUTHBEARER,
	    .user = "a,b=c",
	    .host = "h",
	    .port = 25,
	    .token = "t"};

	(void)state;
	buf_init(&out, 200);
	assert_true(bearer_message(&b, &out));
	assert_string_equal(buf_str(&out),
	    "n,a=a=2Cb=3Dc,\001host=h\001port=25\001auth=Bearer t\001\001");
	buf_fini(&out);
}

static void
token_is_printable_or_none(void **state)
{
	static const char *const bad[] = {
	    "", "a b", "a\001b", "a\r\nQUIT", "t\xc3\xa4", "\177"};
	struct run r;

	(void)state;
	assert_true(tokenproto_token_is_valid(slice_str("eyJ0.a-b_c~+/==")));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(start_with(&r, "XOAUTH2",
		    &(struct sasl_login){.host = "h",
			.user = "u",
			.options = "",
			.token = bad[i]}));
		assert_string_equal(r.why, "the access token is none");
		finish(&r);
	}
}

static void
long_token_fits(void **state)
{
	static char token[TOKENPROTO_TOKEN_MAX + 2];
	struct run r;

	(void)state;
	memset(token, 'x', TOKENPROTO_TOKEN_MAX);
	assert_true(start_with(&r, "XOAUTH2",
	    &(struct sasl_login){
		.host = "h", .user = "u", .options = "", .token = token}));
	assert_true(buf_len(&r.out) > TOKENPROTO_TOKEN_MAX);
	finish(&r);
	token[TOKENPROTO_TOKEN_MAX] = 'x';
	assert_false(tokenproto_token_is_valid(slice_str(token)));
}

static void
token_is_for_no_other_mechanism(void **state)
{
	struct run r;

	(void)state;
	assert_false(start(&r, "PLAIN LOGIN XOAUTH"));
	assert_string_equal(r.why,
	    "an access token needs XOAUTH2 or OAUTHBEARER, and the server "
	    "offers PLAIN LOGIN XOAUTH");
	finish(&r);
}

static void
token_cannot_do_what_some_options_ask(void **state)
{
	static const char *const asked[] = {
	    "mutual_auth", "noactive", "forward_secrecy", "nodictionary"};
	struct run r;

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		assert_false(start_with(&r, "XOAUTH2",
		    &(struct sasl_login){.host = "h",
			.user = "u",
			.options = asked[i],
			.token = "t"}));
		assert_non_null(strstr(r.why, asked[i]));
		finish(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(oauthbearer_is_as_in_the_standard),
	    cmocka_unit_test(xoauth2_is_as_its_inventor_says),
	    cmocka_unit_test(refusals_are_acknowledged_each_in_its_way),
	    cmocka_unit_test(refusal_that_is_no_base64_is_one),
	    cmocka_unit_test(refusal_is_cut),
	    cmocka_unit_test(empty_challenge_gets_the_message_again_once),
	    cmocka_unit_test(name_cannot_leave_its_place),
	    cmocka_unit_test(token_is_printable_or_none),
	    cmocka_unit_test(long_token_fits),
	    cmocka_unit_test(token_is_for_no_other_mechanism),
	    cmocka_unit_test(token_cannot_do_what_some_options_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
