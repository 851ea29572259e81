#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/settings/config.h"
#include "agent/settings/dryrun.h"
#include "agent/settings/params.h"
#include "agent/settings/provider_set.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

enum { OUTPUT_MAX = 16384 };

static struct settings set;
static struct options opt;
static struct problems problems;
static struct provider_set provider;

/* As the lane starts with these lines in main.cf. */
static void
load(const char *lines)
{
	char program[] = "lane", n[] = "-n", service[] = "fast";
	char *argv[] = {program, n, service};

	settings_free(&set);
	options_fini(&opt);
	problems_fini(&problems);
	provider_set_fini(&provider);
	scratch_config(lines);
	options_parse(&opt, 3, argv, &problems);
	(void)config_load(&set, &provider, &opt, &problems, NULL);
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	options_fini(&opt);
	problems_fini(&problems);
	provider_set_fini(&provider);
	return 0;
}

static void
expect_problem(const char *part)
{
	for (size_t i = 0; i < problems.count; i++)
		if (strstr(problems.text[i], part) != NULL)
			return;
	fail_msg("no problem with \"%s\"", part);
}

static struct rule_hit
ask(int code, const char *text)
{
	struct rules_query q = {RULE_EOD, code, "", text, 0};
	struct rule_hit hit;

	(void)rules_match(provider.rules, &q, &hit);
	return hit;
}

static void
provider_fills_what_nobody_set(void **state)
{
	(void)state;
	load("lane_provider_directory = providers\n"
	     "lane_provider = office365\n");
	assert_int_equal(problems.count, 0);
	assert_int_equal(set.lane_account_connection_limit, 3);
	load("lane_provider_directory = providers\n"
	     "lane_provider = office365\n"
	     "lane_account_connection_limit = 2\n");
	assert_int_equal(problems.count, 0);
	assert_int_equal(set.lane_account_connection_limit, 2);
	load("lane_provider_directory = providers\n"
	     "lane_provider = mailersend\n");
	assert_int_equal(set.lane_messages_per_connection, 5);
	load("");
	assert_int_equal(problems.count, 0);
	assert_int_equal(set.lane_messages_per_connection, 50);
}

/* 10,000 connections are published; the parameter takes 1,000. */
static void
provider_count_is_cut_to_what_the_parameter_takes(void **state)
{
	(void)state;
	load("lane_provider_directory = providers\n"
	     "lane_provider = sendgrid\n");
	assert_int_equal(problems.count, 0);
	assert_int_equal(set.lane_account_connection_limit, 1000);
}

static void
provider_own_rules_come_first_and_general_last(void **state)
{
	char lines[512];

	(void)state;
	scratch_write("rules", "reply eod 454 * /own/ bounce\n");
	scratch_write("p/acme.conf", "provider acme\n"
				     "reply eod 454 * /own|acme/ alarm\n");
	(void)snprintf(lines, sizeof(lines),
	    "lane_provider = acme\nlane_provider_directory = %s\n"
	    "lane_reply_rules = %s\n",
	    scratch_path("p"), scratch_path("rules"));
	load(lines);
	assert_int_equal(problems.count, 0);
	assert_int_equal(ask(454, "454 own").outcome, RULE_BOUNCE);
	assert_int_equal(ask(454, "454 acme").outcome, RULE_ALARM);
	/* no general.conf there: the one inside the program */
	assert_int_equal(ask(454, "454 throttled").outcome, RULE_SLOW);
	assert_non_null(strstr(ask(454, "454 throttled").file, "built-in"));
	assert_int_equal(provider.own_rules, 1);
	assert_int_equal(provider.provider_rules, 1);
	assert_true(provider.general_rules > 40);
}

static void
provider_that_is_wrong_is_a_problem(void **state)
{
	char lines[512];

	(void)state;
	load("lane_provider_directory = providers\nlane_provider = sess\n");
	expect_problem("lane_provider = sess: cannot read "
		       "providers/sess.conf; must be authsmtp, ");
	load("lane_provider_directory = providers\n"
	     "lane_provider = ../providers/ses\n");
	expect_problem("lane_provider = ../providers/ses: cannot read");
	load("lane_provider_directory = /nonexistent\nlane_provider = ses\n");
	expect_problem("there is none in /nonexistent");
	load("lane_reply_rules = /nonexistent\n");
	expect_problem("lane_reply_rules = /nonexistent: No such file");
	scratch_write("rules", "\nreply eod 454 * * halt\n");
	(void)snprintf(lines, sizeof(lines), "lane_reply_rules = %s\n",
	    scratch_path("rules"));
	load(lines);
	expect_problem("bad parameter: lane_reply_rules: ");
	expect_problem("rules:2: bad outcome \"halt\": must be");
}

/* ---- lane -R, lane -P -------------------------------------------------- */

static char output[OUTPUT_MAX];

/* What others know of comes behind all the rest. */
static void
more(const struct settings *its)
{
	(void)printf("more of %s\n", its->lane_token_service_name);
}

/* Runs with the words of line, split at '|'; what it prints is in output. */
static int
run(const char *line)
{
	static char text[1024];
	char program[] = "lane";
	char *argv[16] = {program};
	FILE *out = tmpfile();
	int argc = 1, status, saved;

	assert_non_null(out);
	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *p = text; p != NULL && argc < 16;) {
		char *bar = strchr(p, '|');

		if (bar != NULL)
			*bar++ = '\0';
		argv[argc++] = p;
		p = bar;
	}
	assert_true(dryrun_is_wanted(argc, argv));
	(void)fflush(stdout);
	saved = dup(1);
	assert_true(dup2(fileno(out), 1) == 1);
	status = dryrun_main(argc, argv, more);
	(void)fflush(stdout);
	assert_true(dup2(saved, 1) == 1);
	(void)close(saved);
	rewind(out);
	output[fread(output, 1, sizeof(output) - 1, out)] = '\0';
	(void)fclose(out);
	return status;
}

static void
expect(const char *part)
{
	if (strstr(output, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, output);
}

static void
dryrun_says_which_rule_hits_and_what_follows(void **state)
{
	(void)state;
	scratch_config("lane_provider_directory = providers\n");
	assert_int_equal(
	    run("-R|eod|454 Throttling failure: Daily message quota "
		"exceeded|-o|lane_provider=ses"),
	    0);
	expect("reply    454, enhanced code none, at eod\n");
	expect("rule     providers/ses.conf:");
	expect("outcome  pause: ");
	expect("for 1800 s (0 h 30 min); when another message is told so");
	expect("mail     deferred\n         then kept: ");
	assert_int_equal(run("-R|greeting|421-4.4.5 Too\n421 4.4.5 many "
			     "connections"),
	    1);
	expect("rule     none\n");
	assert_int_equal(run("-R|connect|421 4.4.5 Too many connections"), 0);
	expect("enhanced code 4.4.5, at connect");
	expect("rule     providers/general.conf:");
	assert_int_equal(run("-R|rcpt|550 5.1.1 no such user"), 0);
	expect("mail     returned to its sender");
	/* Nothing is returned before a message was named. */
	assert_int_equal(run("-R|auth|550 5.7.1 no"), 0);
	expect("outcome  alarm: ");
	expect("mail     kept: it waits for a session");
	assert_int_equal(run("-R|auth|526 no"), 1);
	expect("outcome  alarm: ");
}

static void
dryrun_compares_a_file_of_replies(void **state)
{
	char line[256];

	(void)state;
	scratch_config("lane_provider_directory = providers\n");
	assert_int_equal(run("-R|providers/ses.replies"), 0);
	expect(", 0 judged otherwise\n");
	/* By a rule of the provider that the file names. */
	scratch_write("own.replies",
	    "provider emailit\nmail slow 452 4.4.5 limit of a second\n"
	    "eod alarm 550 no\n");
	(void)snprintf(
	    line, sizeof(line), "-R|%s", scratch_path("own.replies"));
	assert_int_equal(run(line), 1);
	expect("own.replies:3: eod: bounce, not alarm: 550 no\n");
	expect("2 replies, 1 judged otherwise\n");
	assert_int_equal(run("-R|/nonexistent/own.replies"), 2);
}

static void
dryrun_needs_no_postfix(void **state)
{
	(void)state;
	scratch_config("");
	assert_int_equal(setenv("MAIL_CONFIG", "/nonexistent", 1), 0);
	assert_int_equal(
	    run("-R|mail|452 4.4.5 Messages per second limit exceeded|-o|"
		"lane_provider=emailit|-o|lane_provider_directory=providers"),
	    0);
	expect("rule     providers/emailit.conf:");
	assert_int_equal(run("-P|-o|lane_provider=mailersend|-o|"
			     "lane_provider_directory=providers"),
	    0);
	expect("lane_messages_per_connection = 5   (line ");
}

static void
dryrun_shows_limits_with_source_and_use(void **state)
{
	char option[512];

	(void)state;
	scratch_config("lane_provider_directory = providers\n"
		       "lane_provider = socketlabs\n"
		       "lane_messages_per_connection = 40\n");
	assert_int_equal(run("-P"), 0);
	expect("more of lane-token\n");
	expect("lane_account_connection_limit = 20   (line ");
	expect("lane_messages_per_connection = 40   (set; line ");
	expect("connections 10 per account, disputed (help.socketlabs.com");
	expect("not used: if it is true for you, set");
	expect("set T_destination_recipient_limit in main.cf");
	expect("rules: 0 own, 3 of the provider, ");
	/* A file of the operator's own, as short as it may be. */
	scratch_write("ours.conf", "about our relay\nlimit connections 7 per "
				   "account unverified -\n");
	(void)snprintf(option, sizeof(option),
	    "-P|-o|lane_provider=ours|-o|lane_provider_directory=%s",
	    scratch_path(""));
	assert_int_equal(run(option), 0);
	expect("ours.conf\nour relay\n");
}

static void
expect_not(const char *part)
{
	if (strstr(output, part) != NULL)
		fail_msg("\"%s\" in:\n%s", part, output);
}

static void
dryrun_shows_effective_values_and_their_origin(void **state)
{
	(void)state;
	scratch_config("lane_provider_directory = providers\n"
		       "data_directory = /somewhere/else\n"
		       "my_limit = 7\n"
		       "lane_connection_idle_limit = 30s\n"
		       "lane_message_rate_limit = 5/1s\n"
		       "lane_connection_reserve = $my_limit\n");
	assert_int_equal(run("-P|class=slow|-o|lane_message_rate_limit=2/1s|-o|"
			     "lane_connection_limit=$my_limit"),
	    0);
	expect("lane_provider is not set\n");
	expect("\n  lane_message_rate_limit = 2/1s   # -o\n");
	expect("\n  lane_connection_limit = 7   # -o\n");
	expect("\n  lane_connection_reserve = 7   # main.cf\n");
	/* Set to the default is set. */
	expect("\n  lane_connection_idle_limit = 30s   # main.cf\n");
	expect("\n  lane_priority = bulk   # class=slow\n");
	expect("\n  lane_state_directory = /somewhere/else/postlane   "
	       "# default: $data_directory/postlane\n");
	expect_not("lane_pipeline_depth");
	assert_int_equal(run("-P|-o|lane_provider=mailersend"), 0);
	expect("\n  lane_messages_per_connection = 5   "
	       "# providers/mailersend.conf:");
	expect("\n  lane_provider = mailersend   # -o\n");
	/* The class alone had another default. */
	expect_not("lane_priority");
	assert_int_equal(setenv("MAIL_CONFIG", "/nonexistent", 1), 0);
	assert_int_equal(run("-P|class=slow|-o|lane_pipeline_depth=3"), 0);
	expect("\n  lane_pipeline_depth = 3   # -o\n");
	expect("\n  lane_connection_limit = 2   # class=slow\n");
}

static void
dryrun_hides_what_may_be_secret(void **state)
{
	(void)state;
	scratch_config(
	    "lane_provider_directory = providers\n"
	    "lane_alert_url = https://joe:pa/ss@hooks.example:8443/T0/secret\n"
	    "lane_alert_command = /usr/bin/tell --token secret\n"
	    "lane_domain_rate_limits = a.example=1/1s, inline:{ {secret = "
	    "{5/1s}} }, b.example=2/1s static:secret\n");
	(void)run("-P");
	expect("lane_alert_url = https://hooks.example:8443/...   # main.cf\n");
	expect("lane_alert_command = /usr/bin/tell ...   # main.cf\n");
	expect("lane_domain_rate_limits = a.example=1/1s, inline:..., "
	       "b.example=2/1s static:...   # main.cf\n");
	expect_not("secret");
}

static void
dryrun_tells_wrong_words_and_settings(void **state)
{
	(void)state;
	scratch_config("lane_provider_directory = providers\n");
	assert_int_equal(run("-R|eod"), 2);
	assert_int_equal(run("-R|nowhere|450 x"), 2);
	assert_int_equal(run("-R|eod|hello"), 2);
	assert_int_equal(run("-P|-o|lane_provider=nobody"), 2);
	assert_string_equal(output, "");
	assert_int_equal(run("-R|eod|450 x|-o|lane_bogus=1"), 2);
	assert_string_equal(output, "");
}

static bool is_short_of_memory;

/* In front of the library's own. */
int
regcomp(regex_t *regex, const char *pattern, int flags)
{
	union {
		void *found;
		int (*call)(regex_t *, const char *, int);
	} own = {dlsym(RTLD_NEXT, "regcomp")};

	return is_short_of_memory ? REG_ESPACE
				  : own.call(regex, pattern, flags);
}

static void
provider_short_of_memory_is_no_bad_pattern(void **state)
{
	(void)state;
	is_short_of_memory = true;
	load("lane_provider = socketlabs\n"
	     "lane_provider_directory = providers\n");
	is_short_of_memory = false;
	expect_problem("no memory for the pattern");
	for (size_t i = 0; i < problems.count; i++)
		assert_null(strstr(problems.text[i], "bad pattern"));
	assert_true(problems.may_pass);
}

static void
provider_general_rules_are_not_replaced_when_unreadable(void **state)
{
	char line[300];

	(void)state;
	scratch_write("given/x", "");
	assert_int_equal(mkdir(scratch_path("given/general.conf"), 0755), 0);
	(void)snprintf(line, sizeof(line), "lane_provider_directory = %s\n",
	    scratch_path("given"));
	load(line);
	expect_problem("given/general.conf: Is a directory");
	assert_false(problems.may_pass);
	assert_int_equal(provider.general_rules, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
	    T(provider_fills_what_nobody_set),
	    T(provider_count_is_cut_to_what_the_parameter_takes),
	    T(provider_own_rules_come_first_and_general_last),
	    T(provider_that_is_wrong_is_a_problem),
	    T(provider_short_of_memory_is_no_bad_pattern),
	    T(provider_general_rules_are_not_replaced_when_unreadable),
	    T(dryrun_says_which_rule_hits_and_what_follows),
	    T(dryrun_compares_a_file_of_replies),
	    T(dryrun_needs_no_postfix),
	    T(dryrun_shows_limits_with_source_and_use),
	    T(dryrun_shows_effective_values_and_their_origin),
	    T(dryrun_hides_what_may_be_secret),
	    T(dryrun_tells_wrong_words_and_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
