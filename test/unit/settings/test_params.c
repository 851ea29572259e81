#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "agent/settings/params.h"
#include "common/base/mem.h"

static struct settings set;
static struct problems problems;

static int
setup(void **state)
{
	(void)state;
	params_init(&set);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	problems_fini(&problems);
	return 0;
}

static void
params_values_come_back_as_text(void **state)
{
	static const struct {
		const char *name, *text, *back;
	} cases[] = {
	    {"lane_connection_limit", "20", "20"},
	    {"lane_wait_limit", "5m", "300s"},
	    /* Postfix's readers take more than one would write */
	    {"smtp_helo_timeout", "5min", "300s"},
	    {"smtp_helo_timeout", "+5m", "300s"},
	    {"smtp_connect_timeout", "s", "0s"},
	    {"smtp_helo_timeout", "2147483647", "31536000s"},
	    {"smtp_line_length_limit", "-1", "0"},
	    {"smtp_line_length_limit", "+020", "20"},
	    {"smtp_tls_loglevel", "9", "9"},
	    {"smtp_tls_loglevel", "Summary, cache", "Summary, cache"},
	    {"smtp_connect_timeout", "0", "0s"},
	    {"daemon_timeout", "2w", "1209600s"},
	    {"lane_pipeline_bytes", "65536", "65536"},
	    {"soft_bounce", "YES", "yes"},
	    {"smtp_tls_security_level", "Encrypt", "encrypt"},
	    {"smtp_tls_security_level", "", ""},
	    {"smtp_sasl_security_options", "noanonymous, noplaintext",
		"noanonymous, noplaintext"},
	    {"inet_protocols", "ipv4, ipv6", "ipv4, ipv6"},
	    {"lane_message_rate_limit", "14/1s 1000/1d!", "14/1s 1000/1d!"},
	    {"lane_message_rate_limit", "none", "none"},
	    {"smtp_helo_name", "any thing", "any thing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct param *param = params_find(cases[i].name);
		char *text;

		assert_non_null(param);
		assert_true(params_set(&set, param, cases[i].text, &problems));
		text = params_text(&set, param);
		assert_string_equal(text, cases[i].back);
		mem_free(text);
	}
	assert_int_equal(problems.count, 0);
}

static void
params_bad_values_name_what_is_allowed(void **state)
{
	static const struct {
		const char *name, *text, *told;
	} cases[] = {
	    {"lane_connection_limit", "0",
		"bad parameter: lane_connection_limit = 0: must be 1 to "
		"1000"},
	    {"lane_connection_limit", "-1", NULL},
	    {"lane_connection_limit", "2x", NULL},
	    {"lane_connection_limit", "", NULL},
	    {"lane_connection_limit", "99999999999999999999", NULL},
	    {"lane_wait_limit", "2h",
		"bad parameter: lane_wait_limit = 2h: must be 1s to 3600s "
		"(a number and s, m, h, d or w)"},
	    {"lane_wait_limit", "1hour", NULL},
	    {"smtp_helo_timeout", "-3m", NULL},
	    {"smtp_helo_timeout", "1.5m", NULL},
	    {"smtp_helo_timeout", "3551w", NULL},
	    {"smtp_helo_timeout", "2147483648", NULL},
	    {"smtp_line_length_limit", "-2147483649", NULL},
	    {"smtp_min_data_rate", "-1", NULL},
	    {"smtp_tls_loglevel", "10", NULL},
	    {"daemon_timeout", "9223372036854775807w", NULL},
	    {"lane_chunking", "maybe",
		"bad parameter: lane_chunking = maybe: must be yes or no"},
	    {"smtp_tls_security_level", "tls",
		"bad parameter: smtp_tls_security_level = tls: must be "
		"empty, none, may, encrypt, fingerprint, dane, dane-only, "
		"verify or secure"},
	    {"smtp_tls_dane_insecure_mx_policy", "secure",
		"bad parameter: smtp_tls_dane_insecure_mx_policy = secure: "
		"must be may, encrypt or dane"},
	    {"smtp_sasl_security_options", "noplaintext nothing", NULL},
	    {"lane_message_rate_limit", "fast", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct param *param = params_find(cases[i].name);
		char *before = params_text(&set, param), *after;

		problems_fini(&problems);
		assert_false(params_set(&set, param, cases[i].text, &problems));
		assert_int_equal(problems.count, 1);
		assert_non_null(strstr(problems.text[0], cases[i].name));
		assert_non_null(strstr(problems.text[0], "must be "));
		if (cases[i].told != NULL)
			assert_string_equal(problems.text[0], cases[i].told);
		after = params_text(&set, param);
		assert_string_equal(after, before);
		mem_free(before);
		mem_free(after);
	}
}

static void
params_defaults_are_allowed_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);

		assert_ptr_equal(params_find(param->name), param);
		assert_true(strlen(param->about) > 0);
		assert_true(params_set(
		    &set, param, params_default(param, ""), &problems));
		assert_true(params_set(
		    &set, param, params_default(param, "slow"), &problems));
	}
	assert_int_equal(problems.count, 0);
}

static void
set_by_name(const char *name, const char *text)
{
	assert_true(params_set(&set, params_find(name), text, &problems));
}

static void
params_smarthost_and_log_name_are_looked_at(void **state)
{
	static const struct {
		const char *name, *text;
		bool is_good;
	} cases[] = {
	    {"lane_smarthost", "[a.example]:2525, b.example 127.0.0.1", true},
	    {"lane_smarthost", "[a.example:2525", false},
	    {"lane_smarthost", "[a.example] b_\xc3\xa4.example", false},
	    {"lane_smarthost", "a.example:99999", false},
	    {"lane_smarthost", "", true},
	    {"lane_log_name", "", false},
	    {"lane_log_name", "a b", false},
	    {"lane_log_name", "l\xc3\xa4ne", false},
	    {"lane_log_name", "a[1]: ", false},
	    {"lane_log_name", "postfix/fast-1", true},
	};

	(void)state;
	set_by_name("lane_state_directory", "/here");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		problems_fini(&problems);
		set_by_name(cases[i].name, cases[i].text);
		params_check(&set, &problems);
		assert_int_equal(problems.count, cases[i].is_good ? 0 : 1);
		if (!cases[i].is_good)
			assert_non_null(
			    strstr(problems.text[0], cases[i].name));
		set_by_name("lane_smarthost", "");
		set_by_name("lane_log_name", "smtp");
	}
}

static void
params_class_slow_has_presets(void **state)
{
	const struct param *limit = params_find("lane_connection_limit");
	const struct param *rate = params_find("lane_message_rate_limit");

	(void)state;
	assert_string_equal(params_default(limit, "slow"), "2");
	assert_string_equal(params_default(rate, "slow"), "1/1s");
	assert_string_equal(params_default(limit, "fast"), "20");
	assert_string_equal(params_default(rate, ""), "none");
	assert_true(params_is_class("fast") && params_is_class(""));
	assert_false(params_is_class("quick"));
}

static void
params_rules_between_parameters_are_checked(void **state)
{
	(void)state;
	set_by_name("lane_state_directory", "/var/lib/postfix/postlane");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 0);

	set_by_name("daemon_timeout", "7199s");
	set_by_name("smtp_tls_wrappermode", "yes");
	set_by_name("smtp_tls_security_level", "may");
	set_by_name("lane_connection_reserve", "21");
	set_by_name("lane_state_directory", "here");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 4);

	problems_fini(&problems);
	set_by_name("daemon_timeout", "7200s");
	set_by_name("smtp_tls_security_level", "encrypt");
	set_by_name("lane_connection_reserve", "20");
	set_by_name("lane_state_directory", "/here");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 0);
}

static void
params_mechanisms_are_names(void **state)
{
	static const char *const good[] = {
	    "", "plain, login", "!gssapi, !login, static:rest", "!static:all"};
	static const char *const bad[] = {"/etc/postfix/smtp_mechs",
	    "plain hash:/etc/x", "!/etc/x", "regexp:{{/./ x}}"};

	(void)state;
	set_by_name("lane_state_directory", "/here");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		set_by_name("smtp_sasl_mechanism_filter", good[i]);
		params_check(&set, &problems);
		assert_int_equal(problems.count, 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_by_name("smtp_sasl_mechanism_filter", bad[i]);
		params_check(&set, &problems);
		assert_int_equal(problems.count, 1);
		assert_non_null(
		    strstr(problems.text[0], "not supported by lane"));
		problems_fini(&problems);
	}
}

static void
params_alert_url_is_checked_and_not_shown(void **state)
{
	static const char *const good[] = {"", "http://127.0.0.1:80/x?y#z",
	    "HTTPS://hooks.example.com/T0/s3cret"};
	static const char *const bad[] = {"hooks.example.com/s3cret", "/s3cret",
	    "ftp://a/s3cret", "http:///s3cret", "https://", "http://a/ s3cret",
	    "http://a/s3cret\x01", "file:///s3cret"};

	(void)state;
	set_by_name("lane_state_directory", "/here");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		set_by_name("lane_alert_url", good[i]);
		params_check(&set, &problems);
		assert_int_equal(problems.count, 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_by_name("lane_alert_url", bad[i]);
		params_check(&set, &problems);
		assert_int_equal(problems.count, 1);
		assert_non_null(strstr(problems.text[0], "lane_alert_url"));
		assert_null(strstr(problems.text[0], "s3cret"));
		problems_fini(&problems);
	}
}

static void
params_alert_command_is_an_absolute_path(void **state)
{
	(void)state;
	set_by_name("lane_state_directory", "/here");
	set_by_name("lane_alert_command", "/usr/local/bin/page --team mail");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 0);
	set_by_name("lane_alert_command", "page --team mail");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 1);
}

static void
params_ports_are_numbers(void **state)
{
	static const char *const good[] = {"", "465", "465, 8465\t443"};
	static const char *const bad[] = {"smtps", "0", "465;8465", "65536"};

	(void)state;
	set_by_name("lane_state_directory", "/here");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		set_by_name("lane_tls_wrappermode_ports", good[i]);
		params_check(&set, &problems);
		assert_int_equal(problems.count, 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_by_name("lane_tls_wrappermode_ports", bad[i]);
		params_check(&set, &problems);
		assert_int_equal(problems.count, 1);
		assert_non_null(strstr(problems.text[0], "must be empty or "));
		problems_fini(&problems);
	}
}

static void
params_limits_of_domains_are_checked(void **state)
{
	(void)state;
	set_by_name("lane_state_directory", "/here");
	set_by_name("lane_domain_rate_limits",
	    "example.com=5/1m .gmx.de=10/1s recipients:9/1s hash:/not/there");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 0);
	set_by_name("lane_domain_rate_limits", "example.com=5 a minute");
	params_check(&set, &problems);
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text[0],
	    "bad parameter: lane_domain_rate_limits = example.com=5 a "));
	assert_non_null(strstr(problems.text[0], "bad rate \"5\": must be "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		params_values_come_back_as_text, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_bad_values_name_what_is_allowed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_defaults_are_allowed_values, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_mechanisms_are_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_alert_url_is_checked_and_not_shown, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_alert_command_is_an_absolute_path, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_smarthost_and_log_name_are_looked_at, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_class_slow_has_presets, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_rules_between_parameters_are_checked, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_ports_are_numbers, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		params_limits_of_domains_are_checked, setup, teardown),
	};

	return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
