#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/mem.h"
#include "monitor/intended.h"

static void
expect(const char *name, const char *text, const char *wanted)
{
	const struct param *param = params_find(name);
	char *value;

	assert_non_null(param);
	value = intended_value(param, text);
	if (wanted == NULL)
		assert_null(value);
	else
		assert_string_equal(value, wanted);
	mem_free(value);
}

static void
intended_reads_numbers_times_and_rates(void **state)
{
	(void)state;
	expect("lane_connection_limit", "20 connections", "20");
	expect("lane_connection_limit", "ten", NULL);
	expect("lane_connection_limit", "1,000", NULL);
	expect("lane_connection_limit", "2 of 5", NULL);
	expect("lane_connection_limit", "5000 or so", NULL);
	expect("lane_connection_age_limit", "5 minutes", "5m");
	expect("lane_connection_age_limit", "2 moons", NULL);
	expect("lane_message_rate_limit", "5 per second", "5/1s");
	expect("lane_message_rate_limit", "100/day", "100/1d");
	expect("lane_message_rate_limit", "30 / 5 minutes", "30/5m");
	expect("lane_message_rate_limit", "5 or 6 per second", NULL);
	expect("lane_message_rate_limit", "fast", NULL);
	expect("smtp_sasl_auth_enable", "true", "yes");
	expect("smtp_sasl_auth_enable", "off", "no");
	expect("smtp_sasl_auth_enable", "perhaps", NULL);
	expect("smtp_tls_mandatory_ciphers", "hgh", "high");
}

static void
intended_weakens_no_level(void **state)
{
	static const char level[] = "smtp_tls_security_level";

	(void)state;
	expect(level, "dane", "secure");
	expect(level, "dane-only", "secure");
	expect(level, "nay", "secure");
	expect(level, "non", "secure");
	expect(level, "whatever", "secure");
	expect(level, "secur", "secure");
	expect(level, "encrypted", "encrypt");
}

static void
intended_finds_the_name(void **state)
{
	static const struct {
		const char *name, *wanted;
	} rows[] = {{"lane_conection_limit", "lane_connection_limit"},
	    {"lane_message_rate", "lane_message_rate_limit"},
	    {"lane_recipent_rate_limit", "lane_recipient_rate_limit"},
	    {"lane_wishes", NULL}, {"lane_", NULL}, {"lane_rate_limit", NULL}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct param *param = intended_param(rows[i].name);

		if (rows[i].wanted == NULL)
			assert_null(param);
		else
			assert_string_equal(param->name, rows[i].wanted);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(intended_reads_numbers_times_and_rates),
	    cmocka_unit_test(intended_weakens_no_level),
	    cmocka_unit_test(intended_finds_the_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
