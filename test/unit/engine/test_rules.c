#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/engine/rules.h"
#include "common/base/clock.h"

static struct rules *rules;

static int
setup(void **state)
{
	(void)state;
	rules = rules_new();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rules_free(&rules);
	return 0;
}

static void
add(const char *file, const char *text)
{
	struct buf errors;

	buf_init(&errors, 4096);
	if (!rules_add_text(rules, file, slice_str(text), &errors))
		fail_msg("%s", buf_str(&errors));
	buf_fini(&errors);
}

static struct rule_hit
ask(enum rule_stage stage, int code, const char *status, const char *text)
{
	struct rules_query q = {stage, code, status, text, 1000};
	struct rule_hit hit;

	(void)rules_match(rules, &q, &hit);
	return hit;
}

static void
rules_first_that_matches_decides(void **state)
{
	struct rule_hit hit;

	(void)state;
	add("own", "# a remark\n\n"
		   "reply mail 454 4.7.* /too fast/ pause for 10s\n");
	add("general", "reply any 4xx * * slow # whatever\n"
		       "reply any 454 * * alarm\n");
	hit = ask(RULE_MAIL, 454, "4.7.0", "454 4.7.0 Too FAST");
	assert_int_equal(hit.outcome, RULE_PAUSE);
	assert_int_equal(hit.wait_us, 10 * US_PER_S);
	assert_string_equal(hit.file, "own");
	assert_int_equal(hit.line, 3);
	hit = ask(RULE_EOD, 454, "4.7.0", "454 4.7.0 Too FAST");
	assert_int_equal(hit.outcome, RULE_SLOW);
	assert_string_equal(hit.file, "general");
	assert_int_equal(hit.line, 1);
	assert_string_equal(hit.why, "whatever");
	hit = ask(RULE_EOD, 554, "5.7.0", "554 no");
	assert_int_equal(hit.outcome, RULE_OK);
	assert_null(hit.file);
}

static void
rules_match_stage_code_status_and_text(void **state)
{
	static const struct {
		const char *rule;
		bool hits; /* mail, 454, 4.7.1, "454 4.7.1 Slow down" */
	} t[] = {
	    {"reply any * * * slow", true},
	    {"reply mail 454 4.7.1 /slow down/ slow", true},
	    {"reply MAIL 454 4.7.1 /SLOW DOWN/ SLOW", true},
	    {"reply rcpt,mail 4xx 4.*.* * slow", true},
	    {"reply mail 45x *.7.* * slow", true},
	    {"reply mail xx4 * * slow", true},
	    {"reply mail 4X4 * /^454 4\\.7\\.1 slow/ slow", true},
	    {"reply connect,rcpt,eod * * * slow", false},
	    {"reply mail 5xx * * slow", false},
	    {"reply mail 455 * * slow", false},
	    {"reply mail * 4.7.10 * slow", false},
	    {"reply mail * 4.8.* * slow", false},
	    {"reply mail * * /slower/ slow", false},
	    {"reply mail * * /a\\/b/ slow", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct rules_query q = {
		    RULE_MAIL, 454, "4.7.1", "454 4.7.1 Slow down", 0};
		struct rule_hit hit;

		rules_free(&rules);
		rules = rules_new();
		add("f", t[i].rule);
		if (rules_match(rules, &q, &hit) != t[i].hits)
			fail_msg("%s", t[i].rule);
	}
}

static void
rules_reply_without_status_matches_only_a_star(void **state)
{
	(void)state;
	add("f", "reply any * 4.*.* * slow\nreply any * * * alarm\n");
	assert_int_equal(ask(RULE_MAIL, 454, "", "454 x").outcome, RULE_ALARM);
}

static void
rules_read_the_time_from_the_text(void **state)
{
	static const struct {
		const char *text;
		int64_t wait_us;
	} t[] = {
	    {"450 Try again in 92 seconds", 92000000},
	    {"450 try again in 5 minutes, please", 300000000},
	    {"450 try again in 1 hour", 3600000000},
	    {"450 try again in 0 seconds", 1000000},
	    {"450 try again in 99999999999999999999 hours", RULES_WAIT_MAX_US},
	};

	(void)state;
	add("f", "reply any 4xx * /again in ([0-9]+) *(s|m|h)/ pause for "
		 "\\1\\2\n");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(
		    ask(RULE_AUTH, 450, "", t[i].text).wait_us, t[i].wait_us);
}

static void
rules_time_that_is_not_in_the_text_is_a_minute(void **state)
{
	(void)state;
	add("f", "reply any 4xx * /later( than ([0-9]+))?/ slow for \\1m\n"
		 "reply any 5xx * /(x)?y/ slow for \\1s\n");
	assert_int_equal(
	    ask(RULE_AUTH, 450, "", "later").wait_us, 60 * US_PER_S);
	assert_int_equal(ask(RULE_AUTH, 550, "", "y").wait_us, 60 * US_PER_S);
}

static void
rules_until_is_the_next_such_time(void **state)
{
	static const struct {
		int64_t wall_s, midnight_s, seven_s;
	} t[] = {
	    {0, 86400, 25200},
	    {86400 * 20000 + 25199, 61201, 1},
	    {86400 * 20000 + 25200, 61200, 86400},
	    {86400 * 20000 + 86399, 1, 25201},
	};

	(void)state;
	add("f", "reply any 450 * * pause until midnight\n"
		 "reply any 451 * * pause until 07:00 # opens then\n");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct rules_query q = {RULE_EOD, 450, "", "", t[i].wall_s};
		struct rule_hit hit;

		assert_true(rules_match(rules, &q, &hit));
		assert_int_equal(hit.wait_us, t[i].midnight_s * US_PER_S);
		q.code = 451;
		assert_true(rules_match(rules, &q, &hit));
		assert_int_equal(hit.wait_us, t[i].seven_s * US_PER_S);
	}
}

static void
rules_say_what_is_wrong_and_what_is_allowed(void **state)
{
	static const struct {
		const char *line, *says;
	} t[] = {
	    {"limit messages 3", "must be reply"},
	    {"reply", "stage is missing"},
	    {"reply mial * * * ok", "bad stage \"mial\": must be any, "},
	    {"reply mail 4 * * ok", "bad reply code \"4\": must be"},
	    {"reply mail 654 * * ok", "bad reply code"},
	    {"reply mail 4540 * * ok", "bad reply code"},
	    {"reply mail 454 4.7 * ok", "bad enhanced code \"4.7\": must be"},
	    {"reply mail 454 4.7.0.1 * ok", "bad enhanced code"},
	    {"reply mail 454 4..0 * ok", "bad enhanced code"},
	    {"reply mail 454 * slow", "bad pattern \"slow\": must be"},
	    {"reply mail 454 * /slow", "no second \"/\""},
	    {"reply mail 454 * // slow", "empty"},
	    {"reply mail 454 * /(/ slow", "bad pattern /(/: "},
	    {"reply mail 454 * *", "outcome is missing: must be ok, "},
	    {"reply mail 454 * * stop", "bad outcome \"stop\": must be"},
	    {"reply mail 454 * * pause", "pause needs for"},
	    {"reply mail 454 * * pause for", "bad time \"\": must be"},
	    {"reply mail 454 * * pause for 5", "bad time \"5\""},
	    {"reply mail 454 * * pause for 0s", "bad time \"0s\""},
	    {"reply mail 454 * * pause for \\1s", "bad time \"\\1s\""},
	    {"reply mail 454 * /(x)/ pause for \\1\\2", "bad time"},
	    {"reply mail 454 * /(x)/ pause for \\1x", "bad time"},
	    {"reply mail 454 * * pause until 24:00", "bad time of day"},
	    {"reply mail 454 * * pause until 7:5", "bad time of day"},
	    {"reply mail 454 * * slow down", "bad word \"down\""},
	    {"reply mail 454 * * slow for 5s more", "nothing but #"},
	    {"reply mail 454 * * alarm for 5s", "alarm has no time"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct buf errors;
		char text[256];

		buf_init(&errors, 4096);
		(void)snprintf(text, sizeof(text), "\n%s\n", t[i].line);
		assert_false(
		    rules_add_text(rules, "x.conf", slice_str(text), &errors));
		if (strncmp(buf_str(&errors), "x.conf:2: ", 10) != 0 ||
		    strstr(buf_str(&errors), t[i].says) == NULL)
			fail_msg("%s: %s", t[i].line, buf_str(&errors));
		buf_fini(&errors);
	}
	assert_int_equal(rules_count(rules), 0);
}

static void
rules_good_lines_count_beside_bad_ones(void **state)
{
	struct buf errors;

	(void)state;
	buf_init(&errors, 4096);
	assert_false(rules_add_text(rules, "f",
	    slice_str("reply any * * * slow\nreply any\nnonsense\n"), &errors));
	assert_int_equal(rules_count(rules), 1);
	assert_non_null(strstr(buf_str(&errors), "f:2: "));
	assert_non_null(strstr(buf_str(&errors), "f:3: "));
	buf_fini(&errors);
}

static void
rules_line_with_nul_is_refused(void **state)
{
	char error[RULES_ERROR_SIZE];

	(void)state;
	assert_false(rules_add_line(rules, "f", 1,
	    slice_of("any * * /a\0b/ slow", 18), error, sizeof(error)));
	assert_non_null(strstr(error, "NUL"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(rules_first_that_matches_decides),
	    T(rules_match_stage_code_status_and_text),
	    T(rules_reply_without_status_matches_only_a_star),
	    T(rules_read_the_time_from_the_text),
	    T(rules_time_that_is_not_in_the_text_is_a_minute),
	    T(rules_until_is_the_next_such_time),
	    T(rules_say_what_is_wrong_and_what_is_allowed),
	    T(rules_good_lines_count_beside_bad_ones),
	    T(rules_line_with_nul_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
