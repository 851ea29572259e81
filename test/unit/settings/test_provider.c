#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "agent/settings/provider.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

static struct rules *rules;
static struct provider provider;
static struct buf errors;

static int
setup(void **state)
{
	(void)state;
	rules = rules_new();
	buf_init(&errors, 8192);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	provider_fini(&provider);
	rules_free(&rules);
	buf_fini(&errors);
	return 0;
}

static void
read_text(const char *text)
{
	provider_fini(&provider);
	if (!provider_parse(
		&provider, "x.conf", slice_str(text), rules, &errors))
		fail_msg("%s", buf_str(&errors));
}

static void
read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = mem_alloc(RULES_FILE_MAX);
	size_t n;

	if (file == NULL)
		fail_msg("%s cannot be read", path);
	n = fread(text, 1, RULES_FILE_MAX, file);
	(void)fclose(file);
	provider_fini(&provider);
	if (!provider_parse(&provider, path, slice_of(text, n), rules, &errors))
		fail_msg("%s", buf_str(&errors));
	mem_free(text);
}

#define SOURCE "source A 2026-08 example.com/page one\n"

static void
provider_keeps_what_it_reads(void **state)
{
	const struct provider_limit *l;

	(void)state;
	read_text("provider acme\nabout Acme, Inc.\n" SOURCE
		  "limit message-size 40M per message published A\n"
		  "limit messages 0.5/1s:3 per mailbox plan A # for some\n"
		  "note ask them\nreply mail 454 * * slow\n");
	assert_string_equal(provider.name, "acme");
	assert_string_equal(provider.about, "Acme, Inc.");
	assert_string_equal(provider_find_source(&provider, "A")->where,
	    "example.com/page one");
	assert_string_equal(
	    provider_find_source(&provider, "A")->read_on, "2026-08");
	assert_int_equal(provider.limit_count, 2);
	l = &provider.limits[0];
	assert_int_equal(l->unit, PROVIDER_MESSAGE_SIZE);
	assert_int_equal(l->count, 40 * 1048576);
	assert_int_equal(l->line, 4);
	l = &provider.limits[1];
	assert_int_equal(l->scope, PROVIDER_MAILBOX);
	assert_int_equal(l->standing, PROVIDER_PLAN);
	assert_int_equal(l->rate.count_milli, 500);
	assert_string_equal(l->remark, "for some");
	assert_string_equal(provider.notes[0], "ask them");
	assert_int_equal(rules_count(rules), 1);
}

static void
provider_fills_parameters_by_what_is_sure(void **state)
{
	const struct provider_limit *from;
	char value[200];

	(void)state;
	read_text(SOURCE "limit connections 20 per ip published A\n"
			 "limit connections 10 per account disputed A\n"
			 "limit connections 15 per account observed A\n"
			 "limit messages 30/1m per account published A\n"
			 "limit messages 1/1s per account plan A\n"
			 "limit messages 5000/1d! per account observed A\n"
			 "limit connection-age 20m per session published A\n"
			 "limit messages-per-connection 5 per session "
			 "unverified -\n");
	assert_true(provider_value(&provider, "lane_account_connection_limit",
	    value, sizeof(value), &from));
	assert_string_equal(value, "15");
	assert_int_equal(from->line, 4);
	assert_true(provider_value(&provider, "lane_account_message_rate_limit",
	    value, sizeof(value), &from));
	assert_string_equal(value, "30/1m 5000/1d!");
	assert_int_equal(from->line, 5);
	assert_true(provider_value(&provider, "lane_connection_age_limit",
	    value, sizeof(value), NULL));
	assert_string_equal(value, "1200s");
	assert_false(provider_value(&provider, "lane_messages_per_connection",
	    value, sizeof(value), NULL));
	assert_false(provider_value(
	    &provider, "lane_wait_limit", value, sizeof(value), NULL));
}

static void
provider_says_what_is_wrong_and_what_is_allowed(void **state)
{
	static const struct {
		const char *line, *says;
	} t[] = {
	    {"limits", "bad word \"limits\": must be provider, "},
	    {"provider a/b", "bad name"},
	    {"about", "nothing follows"},
	    {"host", "bad host \"\": must be a name such as "},
	    {"host smtp.*", "bad host \"smtp.*\""},
	    {"host smtp*.a.example", "bad host \"smtp*.a.example\""},
	    {"host localhost", "bad host \"localhost\""},
	    {"host a.example b.example", "nothing but #"},
	    {"source A 2026", "must be source NAME YYYY-MM"},
	    {"limit apples 3", "bad unit \"apples\": must be messages, "},
	    {"limit messages 3", "bad value \"3\": "},
	    {"limit connections many", "must be a whole number"},
	    {"limit connections 3M", "must be a whole number"},
	    {"limit connections 0", "must be a whole number"},
	    {"limit connection-age 3M", ""},
	    {"limit message-size 3h", "K or M behind it"},
	    {"limit connections 3 account", "\"per\" is missing"},
	    {"limit connections 3 per user", "bad scope \"user\": must be"},
	    {"limit connections 3 per ip sure", "bad standing \"sure\": "},
	    {"limit connections 3 per ip published -", "bad source \"-\""},
	    {"limit connections 3 per ip published B", "bad source \"B\""},
	    {"limit connections 3 per ip published A or so", "nothing but #"},
	    {"reply nowhere", "bad stage \"nowhere\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), SOURCE "%s\n", t[i].line);
		buf_reset(&errors);
		provider_fini(&provider);
		if (provider_parse(
			&provider, "x.conf", slice_str(text), rules, &errors) ||
		    strncmp(buf_str(&errors), "x.conf:2: ", 10) != 0 ||
		    strstr(buf_str(&errors), t[i].says) == NULL)
			fail_msg("%s: %s", t[i].line, buf_str(&errors));
	}
}

static void
provider_knows_its_hosts(void **state)
{
	(void)state;
	read_text("host mail.a.example # in front\nhost smtp.*.b.example\n");
	assert_true(provider_has_host(&provider, "mail.a.example"));
	assert_true(provider_has_host(&provider, "MAIL.A.example"));
	assert_true(provider_has_host(&provider, "smtp.eu-1.b.example"));
	assert_false(provider_has_host(&provider, "smtp.b.example"));
	assert_false(provider_has_host(&provider, "smtp.x.eu.b.example"));
	assert_false(provider_has_host(&provider, "mail.a.example.org"));
	assert_false(provider_has_host(&provider, "a.example"));
	assert_false(provider_has_host(&provider, ""));
}

/* Every file we ship is good, is called what it says, and fills parameters
 * with what these allow. */
static void
provider_shipped_files_are_good(void **state)
{
	glob_t files;

	(void)state;
	assert_int_equal(glob("providers/*.conf", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= 12);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		char want[128];

		rules_free(&rules);
		rules = rules_new();
		read_file(files.gl_pathv[i]);
		assert_true(provider.about[0] != '\0');
		if (strstr(files.gl_pathv[i], "general") != NULL)
			continue;
		(void)snprintf(
		    want, sizeof(want), "providers/%s.conf", provider.name);
		assert_string_equal(files.gl_pathv[i], want);
		assert_true(provider.source_count > 0);
	}
	globfree(&files);
}

/* The texts real providers send, and what follows from them. */
static void
provider_shipped_rules_know_real_replies(void **state)
{
	static const struct {
		const char *provider;
		enum rule_stage stage;
		int code;
		const char *status, *text;
		enum rule_outcome outcome;
		int64_t wait_s;
	} t[] = {
	    {"ses", RULE_EOD, 454, "",
		"454 Throttling failure: Maximum sending rate exceeded.",
		RULE_SLOW, 0},
	    {"ses", RULE_EOD, 454, "",
		"454 Throttling failure: Daily message quota exceeded.",
		RULE_PAUSE, 1800},
	    {"ses", RULE_MAIL, 421, "",
		"421 Connection closed by server. Maximum message count per "
		"session reached",
		RULE_RECONNECT, 0},
	    {"none", RULE_EOD, 454, "",
		"454 Throttling failure: Maximum sending rate exceeded.",
		RULE_SLOW, 0},
	    {"none", RULE_EOD, 454, "",
		"454 Throttling failure: Daily message quota exceeded.",
		RULE_PAUSE, 1800},
	    {"none", RULE_MAIL, 421, "",
		"421 Connection closed by server. Maximum message count per "
		"session reached",
		RULE_RECONNECT, 0},
	    {"none", RULE_MAIL, 421, "4.7.0",
		"421 4.7.0 Too many messages in this session", RULE_RECONNECT,
		0},
	    {"none", RULE_CONNECT, 421, "4.4.5",
		"421 4.4.5 Too many connections", RULE_CONNECTIONS, 0},
	    {"socketlabs", RULE_CONNECT, 421, "4.4.5",
		"421 4.4.5 Too many connections from your host",
		RULE_CONNECTIONS, 0},
	    {"socketlabs", RULE_RCPT, 452, "", "452 5.5.3 Too many recipients",
		RULE_SPLIT, 0},
	    {"socketlabs", RULE_CONNECT, 421, "4.5.1",
		"421 4.5.1 Too many errors, you have been temporarily "
		"blacklisted",
		RULE_ALARM, 0},
	    {"none", RULE_CONNECT, 421, "4.5.1",
		"421 4.5.1 Too many errors, you have been temporarily "
		"blacklisted",
		RULE_ALARM, 0},
	    {"office365", RULE_MAIL, 432, "4.3.2",
		"432 4.3.2 Concurrent connections limit exceeded",
		RULE_CONNECTIONS, 0},
	    {"office365", RULE_EOD, 430, "4.3.2",
		"430 4.3.2 STOREDRV.ClientSubmit; sender thread limit "
		"exceeded",
		RULE_CONNECTIONS, 0},
	    {"office365", RULE_AUTH, 550, "5.7.30",
		"550 5.7.30 Basic authentication is not supported for Client "
		"Submission",
		RULE_ALARM, 0},
	    {"gmail", RULE_CONNECT, 421, "4.7.0",
		"421 4.7.0 Try again later, closing connection", RULE_SLOW, 0},
	    {"gmail-relay", RULE_MAIL, 450, "4.2.1",
		"450 4.2.1 Peak SMTP relay limit exceeded", RULE_SLOW, 0},
	    {"gmail-relay", RULE_EOD, 550, "5.7.1",
		"550 5.7.1 Daily SMTP relay limit exceeded", RULE_PAUSE, 1800},
	    {"mailersend", RULE_MAIL, 421, "",
		"421 Service not available, closing transmission channel",
		RULE_RECONNECT, 0},
	    {"emailit", RULE_MAIL, 452, "4.4.5",
		"452 4.4.5 Messages per second limit exceeded", RULE_SLOW, 0},
	    {"emailit", RULE_MAIL, 452, "4.5.3",
		"452 4.5.3 Daily message limit exceeded", RULE_PAUSE, 1800},
	    {"none", RULE_AUTH, 550, "",
		"550 Too many messages. Try again in 92 seconds", RULE_PAUSE,
		92},
	    {"none", RULE_AUTH, 535, "5.7.8",
		"535 5.7.8 Error: authentication failed", RULE_ALARM, 0},
	    {"none", RULE_AUTH, 454, "4.7.0",
		"454 4.7.0 Temporary authentication failure", RULE_OK, 0},
	    {"none", RULE_MAIL, 550, "5.7.1",
		"550 5.7.1 Your account has been suspended", RULE_ALARM, 0},
	    {"sendgrid", RULE_EOD, 421, "",
		"421 Message from (192.0.2.1) temporarily deferred", RULE_DEFER,
		0},
	    /* and what is about the mail alone */
	    {"none", RULE_RCPT, 450, "4.2.0",
		"450 4.2.0 Greylisted, try again in 300 seconds", RULE_OK, 0},
	    {"none", RULE_RCPT, 452, "4.2.2",
		"452 4.2.2 Mailbox full, quota exceeded", RULE_OK, 0},
	    {"none", RULE_RCPT, 550, "5.1.1", "550 5.1.1 no such user", RULE_OK,
		0},
	    {"none", RULE_EOD, 554, "5.7.1",
		"554 5.7.1 Message contains a blacklisted URL", RULE_OK, 0},
	    {"none", RULE_EOD, 552, "5.3.4", "552 5.3.4 Message too big",
		RULE_OK, 0},
	    {"none", RULE_RCPT, 452, "4.5.3",
		"452 4.5.3 Error: too many recipients", RULE_SPLIT, 0},
	    {"none", RULE_EOD, 451, "4.3.0",
		"451 4.3.0 Temporary lookup failure", RULE_OK, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct rules_query q = {
		    t[i].stage, t[i].code, t[i].status, t[i].text, 0};
		struct rule_hit hit;
		char path[128];

		rules_free(&rules);
		rules = rules_new();
		(void)snprintf(
		    path, sizeof(path), "providers/%s.conf", t[i].provider);
		if (strcmp(t[i].provider, "none") != 0)
			read_file(path);
		read_file("providers/general.conf");
		(void)rules_match(rules, &q, &hit);
		if (hit.outcome != t[i].outcome ||
		    hit.wait_us != t[i].wait_s * US_PER_S)
			fail_msg("%s: \"%s\" is %s for %lld us (%s:%d)",
			    t[i].provider, t[i].text,
			    rule_outcome_name(hit.outcome),
			    (long long)hit.wait_us,
			    hit.file != NULL ? hit.file : "no rule", hit.line);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(provider_keeps_what_it_reads),
	    T(provider_fills_parameters_by_what_is_sure),
	    T(provider_says_what_is_wrong_and_what_is_allowed),
	    T(provider_knows_its_hosts),
	    T(provider_shipped_files_are_good),
	    T(provider_shipped_rules_know_real_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
