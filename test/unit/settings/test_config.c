#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/settings/config.h"
#include "agent/settings/params.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

enum { ARGS_MAX = 16 };

static struct settings set;
static struct options opt;
static struct problems problems;
static bool is_read;

/* Loads with the words of line (split at '|') behind "lane -n fast". */
static void
load(const char *line)
{
	static char text[512];
	char program[] = "lane", n[] = "-n", service[] = "fast";
	char *argv[ARGS_MAX] = {program, n, service};
	int argc = 3;

	settings_free(&set);
	options_fini(&opt);
	problems_fini(&problems);
	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *p = text; *line != '\0' && p != NULL && argc < ARGS_MAX;) {
		char *bar = strchr(p, '|');

		if (bar != NULL)
			*bar++ = '\0';
		argv[argc++] = p;
		p = bar;
	}
	options_parse(&opt, argc, argv, &problems);
	is_read = config_load(&set, NULL, &opt, &problems, NULL);
}

static void
expect_no_problem(void)
{
	for (size_t i = 0; i < problems.count; i++)
		print_message("problem: %s\n", problems.text[i]);
	assert_int_equal(problems.count, 0);
}

static void
expect_problem(const char *part)
{
	for (size_t i = 0; i < problems.count; i++)
		if (strstr(problems.text[i], part) != NULL)
			return;
	for (size_t i = 0; i < problems.count; i++)
		print_message("problem: %s\n", problems.text[i]);
	fail_msg("no problem with \"%s\"", part);
}

static void
config_defaults_are_postfix_own_and_ours(void **state)
{
	(void)state;
	scratch_config("");
	load("");
	expect_no_problem();
	assert_non_null(strchr(set.mail_version, '.'));
	assert_string_equal(set.config_directory, scratch_path("config"));
	assert_string_equal(set.queue_directory, scratch_path("queue"));
	assert_string_equal(set.smtp_helo_name, "mx.example.com");
	assert_int_equal(set.smtp_data_done_timeout_us, 600 * US_PER_S);
	assert_string_equal(
	    set.smtp_sasl_security_options, "noplaintext, noanonymous");
	assert_string_equal(set.smtp_sasl_tls_verified_security_options,
	    "noplaintext, noanonymous");
	assert_string_equal(set.smtp_sasl_password_result_delimiter, ":");
	assert_string_equal(
	    set.lane_state_directory, scratch_path("data/postlane"));
	assert_int_equal(set.lane_connection_limit, 20);
	assert_int_equal(set.lane_request_limit_us, 3600 * US_PER_S);
	assert_string_equal(set.lane_message_rate_limit, "none");
	assert_true(set.lane_chunking);
}

static void
expect_warning(const char *part)
{
	for (size_t i = 0; i < problems.warning_count; i++)
		if (strstr(problems.warning[i], part) != NULL)
			return;
	fail_msg("no warning with \"%s\"", part);
}

static void
config_what_smtp_obeys_and_we_do_not_is_refused(void **state)
{
	(void)state;
	scratch_config("smtp_quote_rfc821_envelope = $quote\n"
		       "quote = no\n"
		       "smtp_never_send_ehlo = no\n"
		       "notify_classes = resource,software\n");
	load("");
	assert_int_equal(problems.count, 1);
	expect_problem("bad parameter: smtp_quote_rfc821_envelope = no: not "
		       "supported by lane: ");
	assert_int_equal(problems.warning_count, 0);
	load("-o|smtp_quote_rfc821_envelope=yes|-o|smtp_never_send_ehlo=yes");
	assert_int_equal(problems.count, 1);
	expect_problem("smtp_never_send_ehlo = yes: not supported by lane: ");
	load("-o|smtp_quote_rfc821_envelope=yes|-o|notify_classes=resource, "
	     "protocol");
	expect_no_problem();
	assert_int_equal(problems.warning_count, 1);
	expect_warning("notify_classes = resource, protocol: not supported");
}

static void
config_names_given_by_option_are_known_or_used(void **state)
{
	(void)state;
	scratch_config("smtp_tls_CAfile = ${site_a?{$site_b}}\n"
		       "site_b = x\n"
		       "smtp_tls_securty_level = may\n");
	load("-o|site_a=1|-o|site_b=2|-o|smtp_quit_timeout=4|-o|site_c=3"
	     "|-o|smtp_helo_name=$site_c");
	expect_no_problem();
	assert_int_equal(problems.warning_count, 1);
	expect_warning("smtp_tls_securty_level = may: there is no such");
	load("-o|site_d=1|-o|smtp_tls_securty_level=may"
	     "|-o|fast_recipient_limit=3"
	     "|-o|fast_destination_concurrency_limit=3");
	assert_int_equal(problems.count, 2);
	expect_problem("-o site_d = 1: there is no such parameter");
	expect_problem("-o smtp_tls_securty_level = may: there is no such");
	assert_int_equal(problems.warning_count, 2);
	expect_warning("-o fast_recipient_limit = 3: without effect");
}

static void
config_reuse_limits_are_defaults_of_ours(void **state)
{
	(void)state;
	scratch_config("smtp_connection_reuse_count_limit = 0\n"
		       "smtp_connection_reuse_time_limit = 5m\n");
	load("");
	assert_int_equal(set.lane_messages_per_connection, 50);
	assert_int_equal(set.lane_connection_age_limit_us, 900 * US_PER_S);
	scratch_config("smtp_connection_reuse_count_limit = 4\n"
		       "smtp_connection_reuse_time_limit = 20\n");
	load("");
	expect_no_problem();
	assert_int_equal(set.lane_messages_per_connection, 5);
	assert_int_equal(set.lane_connection_age_limit_us, 20 * US_PER_S);
	load("-o|lane_messages_per_connection=9|-o|lane_provider=mailersend"
	     "|-o|lane_connection_age_limit=7s");
	assert_int_equal(set.lane_messages_per_connection, 9);
	assert_int_equal(set.lane_connection_age_limit_us, 7 * US_PER_S);
}

static void
config_values_are_expanded(void **state)
{
	(void)state;
	scratch_config("smtp_helo_name = $myhostname-out\n"
		       "site = a b\n"
		       "lane_smarthost = ${smtp_tls_CAfile?{[x]}:{[$mydomain]:"
		       "25}}\n"
		       "lane_account = $lane_smarthost/$site\n");
	load("class=slow|-o|smtp_tls_CAfile=/ca|-o|lane_log_name=$mydomain"
	     "|-o|syslog_name=pf/$service_name-${process_name}"
	     "|-o|smtp_tls_CApath=$$service_name");
	expect_no_problem();
	assert_string_equal(set.smtp_helo_name, "mx.example.com-out");
	assert_string_equal(set.lane_smarthost, "[x]");
	assert_string_equal(set.lane_account, "[x]/a b");
	assert_string_equal(set.lane_log_name, "example.com");
	assert_string_equal(set.syslog_name, "pf/fast-lane");
	assert_string_equal(set.smtp_tls_CApath, "$service_name");
	assert_string_equal(set.lane_class, "slow");
}

static void
config_knows_the_window_of_its_transport(void **state)
{
	(void)state;
	scratch_config("");
	load("");
	expect_no_problem();
	assert_int_equal(set.default_destination_concurrency_limit, 20);
	assert_int_equal(set.transport_destination_concurrency_limit, 0);
	scratch_config("default_destination_concurrency_limit = 30\n"
		       "slow_destination_concurrency_limit = 50\n"
		       "window = 400\n"
		       "fast_destination_concurrency_limit = $window\n");
	load("");
	expect_no_problem();
	assert_int_equal(set.default_destination_concurrency_limit, 30);
	assert_int_equal(set.transport_destination_concurrency_limit, 400);
}

static void
config_class_yields_to_single_parameters(void **state)
{
	(void)state;
	scratch_config("lane_connection_limit = 7\n");
	load("class=slow");
	expect_no_problem();
	assert_int_equal(set.lane_connection_limit, 7);
	assert_string_equal(set.lane_message_rate_limit, "1/1s");
	load("class=slow|-o|lane_connection_limit=3"
	     "|-o|lane_message_rate_limit=none");
	expect_no_problem();
	assert_int_equal(set.lane_connection_limit, 3);
	assert_string_equal(set.lane_message_rate_limit, "none");
}

static void
config_empty_is_not_unset(void **state)
{
	(void)state;
	scratch_config("lane_message_rate_limit =\n");
	load("class=slow");
	expect_no_problem();
	assert_string_equal(set.lane_message_rate_limit, "");
	scratch_config("lane_connection_limit =\n");
	load("");
	expect_problem("lane_connection_limit = : must be 1 to 1000");
}

static void
config_obsolete_name_is_obeyed_with_a_warning(void **state)
{
	static const char warning[] =
	    "parameter lane_hold_limit is obsolete: use lane_wait_limit";

	(void)state;
	scratch_config("lane_wait_limit = 40s\n");
	load("");
	assert_int_equal(problems.warning_count, 0);
	assert_int_equal(set.lane_wait_limit_us, 40 * US_PER_S);
	scratch_config("patience = 2m\nlane_hold_limit = $patience\n");
	load("");
	expect_no_problem();
	assert_int_equal(problems.warning_count, 1);
	assert_string_equal(problems.warning[0], warning);
	assert_int_equal(set.lane_wait_limit_us, 120 * US_PER_S);
	scratch_config("");
	load("-o|lane_hold_limit=7s");
	expect_no_problem();
	assert_int_equal(problems.warning_count, 1);
	assert_string_equal(problems.warning[0], warning);
	assert_int_equal(set.lane_wait_limit_us, 7 * US_PER_S);
	scratch_config("lane_hold_limit = soon\n");
	load("");
	expect_problem("bad parameter: lane_wait_limit = soon: must be 1s to");
	assert_int_equal(set.lane_wait_limit_us, 300 * US_PER_S);
}

static void
config_obsolete_name_beside_the_new_one_must_agree(void **state)
{
	(void)state;
	scratch_config("lane_hold_limit = 2m\n");
	load("-o|lane_wait_limit=120s");
	expect_no_problem();
	assert_int_equal(set.lane_wait_limit_us, 120 * US_PER_S);
	scratch_config("lane_hold_limit = 2m\n");
	load("-o|lane_wait_limit=30s");
	expect_problem("bad parameter: lane_hold_limit = 2m: must be as "
		       "lane_wait_limit = 30s, which is the same parameter, "
		       "or not be set");
	scratch_config("lane_wait_limit = 2m\n");
	load("-o|lane_hold_limit=30s");
	expect_problem("bad parameter: lane_hold_limit = 30s: must be as");
}

/* Each of ours: with an entry of master.cf that sets it for another lane, in
 * front of a word, where postconf looks; and with names that main.cf refers to
 * so that postconf says nothing of them. */
static void
config_of_another_entry_changes_nothing(void **state)
{
	struct settings alone = {0};
	char *before, *after, line[256];

	(void)state;
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);

		if (!params_is_ours(param))
			continue;
		scratch_config("");
		load("class=slow");
		expect_no_problem();
		alone = set;
		set = (struct settings){0};
		(void)snprintf(line, sizeof(line),
		    "fast unix - - n - 1 lane -o %s=7 class=fast\n",
		    param->name);
		scratch_write("config/master.cf", line);
		load("class=slow");
		expect_no_problem();
		for (size_t j = 0; j < params_count(); j++) {
			before = params_text(&alone, params_get(j));
			after = params_text(&set, params_get(j));
			assert_string_equal(after, before);
			mem_free(before);
			mem_free(after);
		}
		settings_free(&alone);
	}
}

static void
config_unknown_name_is_told_though_it_is_used(void **state)
{
	(void)state;
	scratch_config("smtpd_log_access_permit_actions = ${lane_typo?{}}\n"
		       "lane_typo\n = 5\n");
	scratch_write("config/master.cf",
	    "fast unix - - n - 1 lane -o lane_typo=7 class=fast\n");
	load("");
	expect_problem("lane_typo = 5: there is no such parameter");
	assert_int_equal(problems.count, 1);
}

/* As master.cf.example has it. */
static void
config_names_may_be_mentioned_for_postconf(void **state)
{
	(void)state;
	scratch_config("");
	load("-o|smtpd_log_access_permit_actions=${lane_account?{}}");
	assert_int_equal(problems.count, 0);
}

static void
config_undefined_names_are_told(void **state)
{
	(void)state;
	scratch_config("site = $nowhere\n"
		       "lane_smarthost = $site\n"
		       "smtp_tls_CAfile = ${neither}\n"
		       "lane_account = ${neither?{$neither}:{x}}$$neither\n"
		       "lane_reply_rules = ${relayhost}\n");
	load("-o|smtp_tls_security_level=$(level)|-o|lane_log_name="
	     "$service_name");
	expect_problem("lane_smarthost = $site: $nowhere is not defined");
	expect_problem("smtp_tls_CAfile = ${neither}: $neither is not");
	expect_problem("smtp_tls_security_level = $(level): $level is not");
	assert_int_equal(problems.count, 3);
	assert_string_equal(set.lane_account, "x$neither");
	assert_string_equal(set.lane_log_name, "fast");
}

static void
config_service_name_in_main_cf_is_ours(void **state)
{
	(void)state;
	scratch_config("lane_log_name = $service_name\n"
		       "lane_account = ${service_name}-$$service_name\n");
	load("");
	expect_no_problem();
	assert_string_equal(set.lane_log_name, "fast");
	assert_string_equal(set.lane_account, "fast-$service_name");
	load("-o|lane_log_name=other");
	expect_no_problem();
	assert_string_equal(set.lane_log_name, "other");
}

static void
config_wrong_values_are_told_and_defaults_stay(void **state)
{
	(void)state;
	scratch_config("lane_connection_limit = 0\n"
		       "smtp_tls_wrappermode = yes\n"
		       "smtp_mail_timeout = soon\n"
		       "lane_conection_limit = 5\n"
		       "syslog_facility = post\n"
		       "other_name = 5\n");
	load("-o|lane_bogus=1|-o|not_ours=2");
	expect_problem("lane_connection_limit = 0: must be 1 to 1000");
	expect_problem("smtp_tls_wrappermode = yes: must be no");
	expect_problem("smtp_mail_timeout = soon: must be");
	expect_problem("lane_conection_limit = 5: there is no such parameter");
	expect_problem("-o lane_bogus = 1: there is no such parameter");
	expect_problem("syslog_facility = post: must be");
	expect_problem("-o not_ours = 2: there is no such parameter");
	assert_int_equal(problems.count, 7);
	assert_int_equal(set.lane_connection_limit, 20);
	assert_int_equal(set.smtp_mail_timeout_us, 300 * US_PER_S);
}

static void
config_names_newer_than_this_postfix_are_obeyed(void **state)
{
	(void)state;
	scratch_config("smtp_sasl_password_result_delimiter = !\n");
	load("-o|smtp_log_tls_feature_status=no");
	expect_no_problem();
	assert_string_equal(set.smtp_sasl_password_result_delimiter, "!");
	assert_false(set.smtp_log_tls_feature_status);
}

static void
config_without_main_cf_has_defaults_and_a_problem(void **state)
{
	(void)state;
	assert_int_equal(setenv("MAIL_CONFIG", "/nonexistent", 1), 0);
	load("class=slow");
	expect_problem("/nonexistent/main.cf: No such file or directory");
	assert_false(is_read);
	assert_false(problems.may_pass);
	assert_int_equal(set.lane_connection_limit, 2);
	assert_string_equal(set.queue_directory, "/var/spool/postfix");
	assert_string_equal(
	    set.lane_state_directory, "/var/lib/postfix/postlane");
}

static void
config_broken_macro_is_told(void **state)
{
	(void)state;
	scratch_config("smtp_helo_name = ${broken\n");
	load("");
	expect_problem("truncated macro reference");
	assert_false(is_read);
}

static void
config_works_without_path_and_stderr(void **state)
{
	int saved = dup(2);
	char *path = mem_strdup(getenv("PATH"));

	(void)state;
	scratch_config("");
	(void)unsetenv("PATH");
	(void)close(2);
	load("");
	assert_int_equal(dup2(saved, 2), 2);
	(void)close(saved);
	(void)setenv("PATH", path, 1);
	mem_free(path);
	expect_no_problem();
	assert_string_equal(set.myhostname, "mx.example.com");
}

/* Tables and tokens are those of the instance whose main.cf is read, however
 * young that is (postconf of Postfix 3.10) and whatever it says. */
static void
config_directory_is_where_main_cf_was_read(void **state)
{
	(void)state;
	scratch_config("config_directory = /nowhere\n");
	load("");
	assert_string_equal(set.config_directory, scratch_path("config"));
	assert_string_equal(
	    set.lane_token_directory, scratch_path("config/lane-token.d"));
	scratch_write("config/main.cf", "mail_owner = postfix\n");
	load("");
	assert_string_equal(set.config_directory, scratch_path("config"));
}

static void
config_command_directory_of_main_cf_is_used(void **state)
{
	(void)state;
	scratch_config("command_directory = /nowhere\n");
	load("");
	expect_problem("/nowhere/postconf");
}

static void
config_myorigin_may_be_a_file(void **state)
{
	char line[300];

	(void)state;
	scratch_write("origin", "mail.example.net\nmore\n");
	(void)snprintf(
	    line, sizeof(line), "myorigin = %s\n", scratch_path("origin"));
	scratch_config(line);
	load("");
	expect_no_problem();
	assert_string_equal(set.myorigin, "mail.example.net");
	assert_true(is_read);
	scratch_write("origin", "\n");
	load("");
	expect_problem("myorigin = ");
	scratch_config("myorigin = /nonexistent\n");
	load("");
	expect_problem("myorigin = /nonexistent: No such file or directory");
}

/* What answers is not postconf: cut short, and with what nobody set. */
static void
config_of_half_an_answer_is_none(void **state)
{
	static const char *const answers[] = {"echo queue_directory = /tmp",
	    "echo postlane_last = postlane_last; echo postlane_never_set =",
	    "kill -9 $$"};
	char line[300], script[200];

	(void)state;
	(void)snprintf(line, sizeof(line), "command_directory = %s\n",
	    scratch_path("commands"));
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		scratch_config(line);
		(void)snprintf(
		    script, sizeof(script), "#!/bin/sh\n%s\n", answers[i]);
		scratch_write("commands/postconf", script);
		assert_int_equal(
		    chmod(scratch_path("commands/postconf"), 0755), 0);
		load("");
		assert_false(is_read);
		expect_problem("cannot read the configuration");
		assert_string_equal(set.queue_directory, "/var/spool/postfix");
	}
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	options_fini(&opt);
	problems_fini(&problems);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(config_defaults_are_postfix_own_and_ours),
	    cmocka_unit_test(config_what_smtp_obeys_and_we_do_not_is_refused),
	    cmocka_unit_test(config_names_given_by_option_are_known_or_used),
	    cmocka_unit_test(config_reuse_limits_are_defaults_of_ours),
	    cmocka_unit_test(config_values_are_expanded),
	    cmocka_unit_test(config_knows_the_window_of_its_transport),
	    cmocka_unit_test(config_class_yields_to_single_parameters),
	    cmocka_unit_test(config_empty_is_not_unset),
	    cmocka_unit_test(config_wrong_values_are_told_and_defaults_stay),
	    cmocka_unit_test(config_names_newer_than_this_postfix_are_obeyed),
	    cmocka_unit_test(config_without_main_cf_has_defaults_and_a_problem),
	    cmocka_unit_test(config_broken_macro_is_told),
	    cmocka_unit_test(config_works_without_path_and_stderr),
	    cmocka_unit_test(config_directory_is_where_main_cf_was_read),
	    cmocka_unit_test(config_command_directory_of_main_cf_is_used),
	    cmocka_unit_test(config_myorigin_may_be_a_file),
	    cmocka_unit_test(config_of_another_entry_changes_nothing),
	    cmocka_unit_test(config_unknown_name_is_told_though_it_is_used),
	    cmocka_unit_test(config_names_may_be_mentioned_for_postconf),
	    cmocka_unit_test(config_undefined_names_are_told),
	    cmocka_unit_test(config_service_name_in_main_cf_is_ours),
	    cmocka_unit_test(config_of_half_an_answer_is_none),
	    cmocka_unit_test(config_obsolete_name_is_obeyed_with_a_warning),
	    cmocka_unit_test(
		config_obsolete_name_beside_the_new_one_must_agree),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, teardown);
}
