#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sasl/saslutil.h>
#include <stdio.h>
#include <string.h>

#include "agent/smarthost/sasl.h"
#include "common/base/log.h"

struct run {
	struct sasl *sasl;
	struct buf out;
	const char *mech;
	bool has_initial;
	char why[200];
};

/* send_cyrus_sasl_authzid */
static bool has_authzid;

static bool
start(struct run *r, const char *offered, const char *options)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->out, SASL_LINE_MAX);
	r->sasl = sasl_new(&(struct sasl_login){.host = "smtp.example",
			       .user = "user",
			       .password = "secret word",
			       .options = options,
			       .has_authzid = has_authzid},
	    r->why, sizeof(r->why));
	if (r->sasl == NULL)
		return false;
	return sasl_start(r->sasl, offered, &r->mech, &r->out, &r->has_initial,
	    r->why, sizeof(r->why));
}

static void
finish(struct run *r)
{
	sasl_free(&r->sasl);
	buf_fini_secret(&r->out);
}

/* Decodes the line in out; "|" stands for NUL. */
static const char *
decoded(struct run *r)
{
	static char text[512];
	unsigned n = 0;

	assert_int_equal(
	    sasl_decode64(buf_str(&r->out), (unsigned)buf_len(&r->out), text,
		sizeof(text) - 1, &n),
	    SASL_OK);
	text[n] = '\0';
	for (unsigned i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = '|';
	return text;
}

static void
sasl_plain_goes_with_the_command(void **state)
{
	struct run r;

	(void)state;
	assert_true(start(&r, "PLAIN", "noanonymous"));
	assert_string_equal(r.mech, "PLAIN");
	assert_true(r.has_initial);
	/* No authorisation identity, which strict servers refuse. */
	assert_string_equal(decoded(&r), "|user|secret word");
	assert_false(sasl_is_mutual(r.sasl));
	finish(&r);
}

static void
sasl_names_an_authorisation_identity_when_told(void **state)
{
	static const char *const mechs[] = {"PLAIN", "SCRAM-SHA-1"};
	static const char *const expected[2][2] = {
	    {"|user|secret word", "n,,n=user,r="},
	    {"user|user|secret word", "n,a=user,n=user,r="}};
	struct run r;

	(void)state;
	for (int told = 0; told < 2; told++) {
		for (size_t i = 0; i < 2; i++) {
			const char *wanted = expected[told][i];

			has_authzid = told == 1;
			assert_true(start(&r, mechs[i], "noanonymous"));
			assert_int_equal(
			    strncmp(decoded(&r), wanted, strlen(wanted)), 0);
			finish(&r);
		}
	}
	has_authzid = false;
}

static void
sasl_login_answers_two_questions(void **state)
{
	struct run r;

	(void)state;
	assert_true(start(&r, "LOGIN", ""));
	assert_string_equal(r.mech, "LOGIN");
	assert_false(r.has_initial);
	assert_true(sasl_next(
	    r.sasl, slice_str("VXNlcm5hbWU6"), &r.out, r.why, sizeof(r.why)));
	assert_string_equal(decoded(&r), "user");
	buf_reset(&r.out);
	assert_true(sasl_next(
	    r.sasl, slice_str("UGFzc3dvcmQ6"), &r.out, r.why, sizeof(r.why)));
	assert_string_equal(decoded(&r), "secret word");
	assert_true(sasl_is_done(r.sasl));
	finish(&r);
}

static void
sasl_cram_md5_answers_with_a_digest(void **state)
{
	struct run r;

	(void)state;
	assert_true(start(&r, "CRAM-MD5 X-NONE", "noplaintext noanonymous"));
	assert_string_equal(r.mech, "CRAM-MD5");
	assert_false(r.has_initial);
	assert_true(sasl_next(
	    r.sasl, slice_str("PDEyM0BhPg=="), &r.out, r.why, sizeof(r.why)));
	assert_int_equal(strncmp(decoded(&r), "user ", 5), 0);
	assert_int_equal(strlen(decoded(&r)), 5 + 32);
	finish(&r);
}

static void
sasl_noplaintext_leaves_no_mechanism(void **state)
{
	struct run r;

	(void)state;
	assert_false(start(&r, "PLAIN LOGIN", "noplaintext, noanonymous"));
	assert_string_equal(r.why, "no mechanism available");
	finish(&r);
}

/* What a mechanism lacks it is not chosen for; the library knows what each
 * has. */
static void
sasl_options_choose_among_the_mechanisms(void **state)
{
	static const struct {
		const char *offered, *options, *chosen;
	} cases[] = {
	    {"ANONYMOUS", "", "ANONYMOUS"},
	    {"ANONYMOUS", "noanonymous", NULL},
	    {"PLAIN", "noplaintext", NULL},
	    {"PLAIN", "", "PLAIN"},
	    {"CRAM-MD5", "noplaintext", "CRAM-MD5"},
	    {"CRAM-MD5", "nodictionary", NULL},
	    {"LOGIN", "noactive", NULL},
	    {"LOGIN", "forward_secrecy", NULL},
	    {"PLAIN SCRAM-SHA-1", "mutual_auth", "SCRAM-SHA-1"},
	    {"PLAIN", "mutual_auth", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r;
		bool ok = start(&r, cases[i].offered, cases[i].options);

		if (ok != (cases[i].chosen != NULL))
			fail_msg("case %zu: %s", i, ok ? r.mech : r.why);
		if (ok)
			assert_string_equal(r.mech, cases[i].chosen);
		finish(&r);
	}
}

static char logged[2000];

static void
keep(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	(void)ctx;
	(void)level;
	(void)snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

/* A server that answers with something else than the mechanism asks for. */
static void
sasl_complaints_are_logged(void **state)
{
	struct run r;

	(void)state;
	logged[0] = '\0';
	assert_true(start(&r, "SCRAM-SHA-1", ""));
	log_set_sink(keep, NULL);
	assert_false(
	    sasl_next(r.sasl, slice_str("AAAA"), &r.out, r.why, sizeof(r.why)));
	log_set_sink(NULL, NULL);
	assert_non_null(strstr(logged, "SASL authentication "));
	assert_null(strstr(logged, "secret"));
	finish(&r);
}

static void
sasl_refuses_unknown_options(void **state)
{
	struct run r;

	(void)state;
	assert_false(start(&r, "PLAIN", "noplaintex"));
	assert_null(r.sasl);
}

static void
sasl_rejects_a_challenge_that_is_not_base64(void **state)
{
	struct run r;

	(void)state;
	assert_true(start(&r, "CRAM-MD5", ""));
	assert_false(
	    sasl_next(r.sasl, slice_str("%%%"), &r.out, r.why, sizeof(r.why)));
	assert_true(strlen(r.why) > 0);
	finish(&r);
}

static void
sasl_rejects_a_challenge_without_end(void **state)
{
	static char big[SASL_CHALLENGE_MAX + 1];
	struct run r;

	(void)state;
	memset(big, 'A', sizeof(big));
	assert_true(start(&r, "CRAM-MD5", ""));
	assert_false(sasl_next(
	    r.sasl, slice_of(big, sizeof(big)), &r.out, r.why, sizeof(r.why)));
	finish(&r);
}

static void
sasl_filter_takes_the_first_match(void **state)
{
	static const struct {
		const char *filter, *offered, *left;
	} cases[] = {
	    {"", "PLAIN LOGIN", "PLAIN LOGIN"},
	    {"plain", "PLAIN LOGIN CRAM-MD5", "PLAIN"},
	    {"!GSSAPI, !login, plain, login", "GSSAPI LOGIN PLAIN", "PLAIN"},
	    {"!plain", "PLAIN LOGIN", ""},
	    {"!login, static:rest", "LOGIN PLAIN", "PLAIN"},
	    {"plain !static:rest login", "LOGIN PLAIN", "PLAIN"},
	};
	const char *error;
	char left[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(sasl_filter(cases[i].filter, cases[i].offered, left,
		    sizeof(left), &error));
		assert_string_equal(left, cases[i].left);
	}
	assert_false(
	    sasl_filter("hash:/etc/x", "PLAIN", left, sizeof(left), &error));
	assert_non_null(error);
}

static void
quiet(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	assert_null(strstr(line, "secret word"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sasl_plain_goes_with_the_command),
	    cmocka_unit_test(sasl_names_an_authorisation_identity_when_told),
	    cmocka_unit_test(sasl_login_answers_two_questions),
	    cmocka_unit_test(sasl_cram_md5_answers_with_a_digest),
	    cmocka_unit_test(sasl_noplaintext_leaves_no_mechanism),
	    cmocka_unit_test(sasl_options_choose_among_the_mechanisms),
	    cmocka_unit_test(sasl_complaints_are_logged),
	    cmocka_unit_test(sasl_refuses_unknown_options),
	    cmocka_unit_test(sasl_rejects_a_challenge_that_is_not_base64),
	    cmocka_unit_test(sasl_rejects_a_challenge_without_end),
	    cmocka_unit_test(sasl_filter_takes_the_first_match),
	};
	const char *why;
	int rc;

	log_set_sink(quiet, NULL);
	if (!sasl_open(&why))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	sasl_close();
	return rc;
}
