/* Replies as they were reported by users and published by providers, at every
 * stage: which stop the lane, and which are about one recipient or one message
 * alone. Names and addresses are changed; the sources stand in providers/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/settings/provider.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/smtp/dsn.h"

enum {
	CONNECT = 1 << RULE_CONNECT,
	EHLO = 1 << RULE_EHLO,
	AUTH = 1 << RULE_AUTH,
	MAIL = 1 << RULE_MAIL,
	RCPT = 1 << RULE_RCPT,
	DATA = 1 << RULE_DATA,
	EOD = 1 << RULE_EOD,
	IDLE = 1 << RULE_IDLE,
	ANY = CONNECT | EHLO | AUTH | MAIL | RCPT | DATA | EOD | IDLE,
	LATER = RCPT | DATA | EOD,
};

struct example {
	unsigned stages;
	const char *reply;
};

static struct rules *
read_rules(const char *provider)
{
	struct rules *rules = rules_new();
	struct provider parsed = {0};
	char *text = mem_alloc(RULES_FILE_MAX);
	struct buf errors;
	char path[128];
	FILE *file;
	size_t n;

	buf_init(&errors, 8192);
	for (int i = provider == NULL; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "providers/%s.conf",
		    i == 0 ? provider : "general");
		file = fopen(path, "re");
		assert_non_null(file);
		n = fread(text, 1, RULES_FILE_MAX, file);
		(void)fclose(file);
		if (!provider_parse(
			&parsed, path, slice_of(text, n), rules, &errors))
			fail_msg("%s", buf_str(&errors));
		provider_fini(&parsed);
	}
	buf_fini(&errors);
	mem_free(text);
	return rules;
}

static struct rule_hit
match(const struct rules *rules, enum rule_stage stage, const char *reply)
{
	char status[DSN_STATUS_SIZE];
	struct rules_query q = {.stage = stage, .text = reply};
	struct rule_hit hit;

	q.code = (int)strtol(reply, NULL, 10);
	(void)snprintf(status, sizeof(status), "%.*s",
	    (int)dsn_status_length(reply + 4, strlen(reply + 4)), reply + 4);
	q.status = status;
	(void)rules_match(rules, &q, &hit);
	return hit;
}

static void
check(const char *provider, const struct example *examples, size_t count,
    enum rule_outcome want)
{
	struct rules *rules = read_rules(provider);
	int wrong = 0;

	for (size_t i = 0; i < count; i++)
		for (int stage = 0; stage < RULE_STAGES; stage++) {
			const struct example *e = &examples[i];
			struct rule_hit hit;

			if ((e->stages & 1U << stage) == 0)
				continue;
			hit = match(rules, (enum rule_stage)stage, e->reply);
			if (hit.outcome == want)
				continue;
			wrong++;
			print_error("%s: %s: %s (%s:%d)\n",
			    rule_stage_name((enum rule_stage)stage), e->reply,
			    rule_outcome_name(hit.outcome),
			    hit.file != NULL ? hit.file : "no rule", hit.line);
		}
	rules_free(&rules);
	assert_int_equal(wrong, 0);
}

#define CHECK_ALL(provider, t, want)                                           \
	check(provider, t, sizeof(t) / sizeof((t)[0]), want)

static void
replies_about_us_stop_the_lane(void **state)
{
	static const struct example t[] = {
	    /* the connection */
	    {CONNECT, "554 mx.example.net 192.0.2.1 found on one or more "
		      "DNSBLs, see http://postmaster.example.net/"},
	    {CONNECT, "554 IP=192.0.2.1 - A problem occurred. (Ask your "
		      "postmaster for help) (BL)"},
	    {CONNECT, "554 5.7.1 You are not allowed to connect."},
	    {CONNECT, "554 mx.example ESMTP Service not available No SMTP "
		      "service IP address is black listed."},
	    {CONNECT, "550 Connection refused - we hate spammers!"},
	    {CONNECT, "550 5.7.1 Connection refused"},
	    {CONNECT | IDLE, "421 Your IP is temporarily blocked, please try "
			     "again later"},
	    {CONNECT | EHLO | MAIL | IDLE,
		"421 4.5.1 Too many errors, you have been temporarily "
		"blacklisted"},
	    {CONNECT | EHLO | MAIL,
		"421 5.7.1 Connections not accepted from IP addresses on "
		"Spamhaus XBL"},
	    {CONNECT, "521 5.7.1 Service unavailable; client [192.0.2.1] "
		      "blocked using bl.example"},
	    {EHLO, "550 5.7.1 HELO command rejected"},
	    {MAIL, "550 black ip."},
	    {MAIL, "554 5.7.1 The server sending your mail [192.0.2.1] has a "
		   "poor reputation"},
	    /* that, said when the recipient is named, as Postfix does */
	    {MAIL | LATER,
		"554 5.7.1 Service unavailable; Client host [192.0.2.1] "
		"blocked using zen.spamhaus.org; https://www.spamhaus.org/"},
	    {RCPT, "450 4.7.1 Service unavailable; Client host [192.0.2.1] "
		   "blocked using bl.example"},
	    {RCPT, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: "
		   "Access denied"},
	    {RCPT, "550 5.7.1 Client host rejected: cannot find your "
		   "hostname, [192.0.2.1]"},
	    {RCPT, "504 5.5.2 <host>: Helo command rejected: need "
		   "fully-qualified hostname"},
	    {RCPT, "550 5.7.606 Access denied, banned sending IP "
		   "[192.0.2.1]. To request removal from this list please "
		   "visit https://sender.office.com/"},
	    {RCPT, "550 5.7.0 Server IP 192.0.2.1 listed as abusive."},
	    {MAIL | EOD, "550 5.7.1 Unfortunately, messages from [192.0.2.1] "
			 "weren't sent. Please contact your Internet service "
			 "provider since part of their network is on our "
			 "block list (S3140)."},
	    {ANY, "554 5.7.1 Rejected - your IP address was found in a list, "
		  "your IP is banned"},
	    {ANY, "550 5.7.1 Your host mail.example.org [192.0.2.1] is "
		  "blacklisted. No mail will be accepted"},
	    /* the account */
	    {ANY, "552 Your account has been suspended. Please contact us to "
		  "reactivate"},
	    {ANY, "554 5.7.1 Your account is suspended"},
	    {ANY, "550 5.7.1 Your SMTP account is not yet activated"},
	    {ANY, "550 5.7.1 [SB01] Your email address has been blocked due "
		  "to complaints"},
	    {ANY, "421 4.7.0 Your account is currently under review"},
	    {ANY, "550 Your plan has expired"},
	    {ANY, "550 Outgoing mail from \"example.org\" has been "
		  "suspended."},
	    {MAIL | EOD, "554 Message rejected: Sending paused for this "
			 "account. For more information, please check the "
			 "inbox of the email address associated with your "
			 "AWS account."},
	    {EOD, "554 Message rejected: Sending suspended for this account. "
		  "For more information, please check the inbox"},
	    {MAIL | EOD, "421 Domain sandbox1.example.org is not allowed to "
			 "send: Please activate your Mailgun account. Check "
			 "your inbox or log in"},
	    {EOD, "550 5.7.1 [CSR] Our system has detected an unusual amount "
		  "of unsolicited email originating from your address"},
	    {MAIL | EOD, "550 5.4.6 Unusual sending activity detected."},
	    {AUTH | MAIL | EOD, "550 Account disabled"},
	    {MAIL, "550 user is locked"},
	    /* the login */
	    {AUTH, "535 5.7.139 Authentication unsuccessful, user is locked "
		   "by your organization's security defaults policy"},
	    {AUTH, "525 5.7.13 User account is disabled"},
	    {AUTH, "534 5.7.14 Please log in via your web browser"},
	    {AUTH, "550 5.7.1 Authentication refused"},
	    {AUTH, "432 4.7.12 A password transition is needed"},
	    {MAIL | RCPT, "530 5.7.0 Authentication required"},
	    {MAIL | RCPT, "530 5.7.57 Client not authenticated to send mail."},
	    {RCPT, "550 5.7.1 Client was not authenticated"},
	    {MAIL, "530 5.7.0 Must issue a STARTTLS command first"},
	};

	(void)state;
	CHECK_ALL(NULL, t, RULE_ALARM);
}

static void
replies_about_a_recipient_or_message_do_not(void **state)
{
	static const struct example t[] = {
	    {LATER, "550 5.1.1 <jo@example.net>: Recipient address rejected: "
		    "User unknown in virtual alias table"},
	    {LATER, "550 5.2.1 The email account that you tried to reach is "
		    "disabled."},
	    {LATER, "550 The email account that you tried to reach has been "
		    "suspended"},
	    {LATER, "552 5.2.1 <jo@example.net>: Recipient address rejected: "
		    "User disabled"},
	    {LATER, "554 delivery error: Sorry your message to "
		    "jo@example.net cannot be delivered. This account has "
		    "been disabled or discontinued."},
	    {LATER, "554 30 Sorry, your message to jo@example.net cannot be "
		    "delivered. This mailbox is disabled"},
	    {LATER, "550 User jo@example.net is disabled"},
	    {LATER, "550 user blocked"},
	    {LATER, "550 5.7.1 <jo@example.net>: Recipient address rejected: "
		    "recipient's domain is blacklisted"},
	    {LATER, "550 5.7.1 Recipient has blocked your address"},
	    {LATER, "550 5.7.1 You have been blocked by the recipient"},
	    {LATER, "550 5.7.1 Your address is blocked by this user"},
	    {LATER, "550 5.7.703 Your message can't be delivered because "
		    "messages to jo@example.net are blocked by your "
		    "organization using Tenant Allow Block List."},
	    {LATER, "552 5.2.2 <jo@example.net> Mailbox is over quota"},
	    {LATER, "452 4.2.2 The email account that you tried to reach is "
		    "over quota."},
	    {RCPT, "452 <jo@example.net> Mailbox size limit exceeded"},
	    {LATER, "450 4.2.1 The user you are trying to contact is "
		    "receiving mail too quickly. Please resend your message "
		    "at a later time."},
	    {RCPT, "450 4.2.1 The user you are trying to contact is receiving "
		   "mail at a rate that prevents additional messages from "
		   "being delivered."},
	    {RCPT, "450 4.2.1 <jo@example.net>: Mailbox received too much "
		   "email in a short period of time (G30)"},
	    {RCPT, "452 4.3.1 <jo@example.net> Mailbox delivery restricted "
		   "by policy error"},
	    {RCPT, "450 4.2.0 <jo@example.net>: Recipient address rejected: "
		   "Greylisted, see http://example.net/"},
	    {RCPT, "450 4.1.1 <jo@example.net>: Recipient address rejected: "
		   "undeliverable address: host mx.example.net[192.0.2.2] "
		   "said: 550 5.7.1 Service unavailable; Client host "
		   "[192.0.2.1] blocked using zen.spamhaus.org"},
	    {RCPT, "550 Callout verification failed: 550 your host is "
		   "blocked"},
	    {EOD, "550 5.7.1 Remote host said: 554 5.7.1 Your IP is "
		  "blacklisted"},
	    {RCPT, "450 4.7.1 Client host rejected: cannot find your reverse "
		   "hostname, [192.0.2.1]"},
	    {RCPT, "550 5.1.0 <a@example.org> sender rejected"},
	    {MAIL | RCPT, "553 5.7.1 <a@example.org>: Sender address "
			  "rejected: not owned by user jo"},
	    {MAIL | RCPT, "554 5.7.1 <a@example.org>: Sender address "
			  "rejected: your domain is blocked"},
	    {RCPT, "554 5.7.1 <jo@example.net>: Relay access denied"},
	    {RCPT, "550 5.4.1 Recipient address rejected: Access denied."},
	    {RCPT, "554 5.7.1 recipient address was suppressed due to "
		   "customer policy"},
	    {RCPT, "541 5.4.1 Mail rejected by destination domain"},
	    {EOD, "554 5.7.1 Message blocked due to policy or content"},
	    {EOD, "554 5.7.1 Message contains a URL on a blacklist"},
	    {EOD, "550 5.7.1 Your message was blocked because it looks like "
		  "spam"},
	    {EOD, "554 5.7.1 Message rejected under suspicion of SPAM"},
	    {EOD, "571 5.7.1 message classified as spam"},
	    {EOD, "550 5.7.1 Email rejected per DMARC policy for example.org"},
	    {EOD, "552 5.7.1 virus Eicar detected"},
	    {EOD, "554 Message rejected: Email address is not verified. The "
		  "following identities failed the check: a@example.org"},
	    {EOD, "552 message rejected by anti-spam engine."},
	    {LATER, "451 4.3.0 Mail server temporarily rejected message."},
	    {RCPT, "450 4.7.1 <a@example.org>: Recipient address rejected: "
		   "try again in 300 seconds"},
	    {RCPT, "451 4.7.1 Greylisting in action, please try again in 5 "
		   "minutes"},
	    {LATER, "550 5.7.1 RESOLVER.RST.AuthRequired; authentication "
		    "required"},
	};

	(void)state;
	CHECK_ALL(NULL, t, RULE_OK);
}

static void
replies_about_the_pace_are_no_alarm(void **state)
{
	static const struct example slow[] = {
	    {CONNECT | MAIL | RCPT | EOD,
		"421 4.7.0 Our system has detected an unusual rate of "
		"unsolicited mail originating from your IP address. Mail "
		"sent from your IP address has been temporarily rate "
		"limited."},
	    {CONNECT | MAIL, "421 Rate limit reached. Please try again "
			     "later"},
	    {MAIL | EOD, "450 4.7.1 Your account has been temporarily blocked "
			 "for exceeding its sending rate"},
	    {EOD, "451 4.7.1 Received too many messages from a new or "
		  "untrusted IP (G28)"},
	    {CONNECT | MAIL, "550 Ip frequency limited"},
	};
	static const struct example pause[] = {
	    {AUTH, "451 Authentication failed: Maximum credits exceeded"},
	    {MAIL | RCPT | EOD, "450 4.7.1 Rate limit exceeded, try again in "
				"92 seconds"},
	    {CONNECT | MAIL | EOD, "451 4.7.1 Please try again in 5 minutes"},
	    {RCPT | EOD, "550 Domain example.org has exceeded the max emails "
			 "per hour (101/100 (101%)) allowed. Message "
			 "discarded."},
	    {RCPT | EOD, "550 Domain example.org has exceeded the max defers "
			 "and failures per hour (5/5 (100%)) allowed."},
	    {EOD, "550 5.4.5 Daily user sending limit exceeded."},
	};
	static const struct example connections[] = {
	    {CONNECT | MAIL, "421 Too many concurrent connections from this "
			     "client (G2)"},
	    {CONNECT, "421 4.7.0 Error: too many connections from "
		      "192.0.2.1"},
	};
	static const struct example reconnect[] = {
	    {IDLE, "421 4.4.2 mx.example Error: timeout exceeded"},
	    {IDLE, "421 4.3.2 Service shutting down, closing channel"},
	};

	(void)state;
	CHECK_ALL(NULL, slow, RULE_SLOW);
	CHECK_ALL(NULL, pause, RULE_PAUSE);
	CHECK_ALL(NULL, connections, RULE_CONNECTIONS);
	CHECK_ALL(NULL, reconnect, RULE_RECONNECT);
}

static void
replies_of_microsoft_are_known(void **state)
{
	static const struct example alarm[] = {
	    {RCPT | EOD, "550 5.1.8 Access denied, bad outbound sender."},
	    {EOD, "550 5.7.705 Access denied, tenant has exceeded "
		  "threshold."},
	    {EOD, "550 5.7.708 Access denied, traffic not accepted from this "
		  "IP."},
	};
	static const struct example ok[] = {
	    {EOD, "432 4.3.2 STOREDRV.Deliver; recipient thread limit "
		  "exceeded"},
	    {RCPT, "550 5.1.8 <a@example.org>: Sender address rejected: "
		   "Domain not found"},
	};

	(void)state;
	CHECK_ALL("office365", alarm, RULE_ALARM);
	CHECK_ALL("office365", ok, RULE_OK);
}

/* The text is the peer's: a long one must not keep the lane from its work. */
static void
replies_that_are_long_take_no_time(void **state)
{
	struct rules *rules = read_rules(NULL);
	static char text[DSN_TEXT_MAX + 1];
	static const char *const words[] = {"your ", "your ip ", "account ",
	    "host ", "a ", "your sending ip address is has been ", "<", "x"};
	int64_t began_us = clock_mono_us(), took_us;

	(void)state;
	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
		size_t n = strlen(words[w]), at = 4;

		memcpy(text, "550 ", 4);
		for (; at + n < sizeof(text); at += n)
			memcpy(text + at, words[w], n);
		text[at] = '\0';
		for (int stage = 0; stage < RULE_STAGES; stage++)
			(void)match(rules, (enum rule_stage)stage, text);
	}
	took_us = clock_mono_us() - began_us;
	print_message("%lld us for a reply of %d octets\n",
	    (long long)took_us / 80, DSN_TEXT_MAX);
	began_us = clock_mono_us();
	for (int i = 0; i < 100; i++)
		(void)match(rules, RULE_EOD,
		    "550 5.7.1 Your message was blocked because it looks "
		    "like spam");
	print_message("%lld us for one of 63\n",
	    (long long)(clock_mono_us() - began_us) / 100);
	assert_true(took_us < 20000000);
	rules_free(&rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replies_about_us_stop_the_lane),
	    cmocka_unit_test(replies_about_a_recipient_or_message_do_not),
	    cmocka_unit_test(replies_about_the_pace_are_no_alarm),
	    cmocka_unit_test(replies_of_microsoft_are_known),
	    cmocka_unit_test(replies_that_are_long_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
