#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/postfix/logline.h"
#include "common/base/mem.h"

static char release_3_7[] = "3.7.11", release_3_12[] = "3.12-20260821";
static char release_3_4[] = "3.4.29";
static char external[] = "external", internal[] = "internal";

static const struct settings plain = {
    .mail_version = release_3_7,
    .info_log_address_format = external,
    .delay_logging_resolution_limit = 2,
    .smtp_log_tls_feature_status = true,
};

/* A request of one recipient that arrived at 1000.00, was active 10 ms and
 * handed over another 10 ms later. */
struct sample {
	struct request req;
	struct recipient rcpt;
	struct verdict verdict;
};

static void
sample_init(struct sample *s)
{
	static char none[] = "none";

	memset(s, 0, sizeof(*s));
	s->req.queue_id = "9BAD4A7A079";
	s->req.rcpts = &s->rcpt;
	s->req.rcpt_count = 1;
	s->req.times.arrival = (struct timeval){1000, 0};
	s->req.times.active = (struct timeval){1000, 10000};
	s->req.times.handoff = (struct timeval){1000, 20000};
	s->rcpt.address = "rej@a.sink.example";
	s->rcpt.original = "";
	s->rcpt.verdict = &s->verdict;
	s->verdict.relay = none;
}

static void
assert_line(const struct settings *set, const struct sample *s,
    const char *word, const char *want)
{
	struct timeval now = {1000, 30000};
	struct buf line;

	buf_init(&line, LOGLINE_MAX);
	logline_format(&line, set, &s->req, 0, word, now);
	assert_string_equal(buf_str(&line), want);
	buf_fini(&line);
}

static void
logline_of_a_bounce_is_as_smtp_writes_it(void **state)
{
	static char relay[] = "127.0.0.1[127.0.0.1]:2580";
	struct sample s;

	(void)state;
	sample_init(&s);
	s.req.times.active.tv_usec = 10000;
	s.req.times.handoff.tv_usec = 20000;
	s.verdict.relay = relay;
	s.verdict.conn_use = 1;
	s.verdict.conn_done = (struct timeval){1000, 60000};
	s.verdict.deliver_done = (struct timeval){1000, 120000};
	dsn_set(&s.verdict.dsn, "5.1.1", "%s",
	    "host 127.0.0.1[127.0.0.1] said: 550-5.1.1 no such 550 5.1.1 user "
	    "here (in reply to RCPT TO command)");
	assert_line(&plain, &s, "bounced",
	    "9BAD4A7A079: to=<rej@a.sink.example>, "
	    "relay=127.0.0.1[127.0.0.1]:2580, delay=0.12, "
	    "delays=0.01/0.01/0.04/0.06, dsn=5.1.1, status=bounced (host "
	    "127.0.0.1[127.0.0.1] said: 550-5.1.1 no such 550 5.1.1 user here "
	    "(in reply to RCPT TO command))");
}

static void
logline_without_a_session_says_relay_none(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s);
	s.rcpt.address = "x@a.dead.example";
	s.req.times.handoff.tv_usec = 30000;
	dsn_set(&s.verdict.dsn, "4.4.1", "%s",
	    "connect to 127.0.0.1[127.0.0.1]:2599: Connection refused");
	assert_line(&plain, &s, "deferred",
	    "9BAD4A7A079: to=<x@a.dead.example>, relay=none, delay=0.03, "
	    "delays=0.01/0.02/0/0, dsn=4.4.1, status=deferred (connect to "
	    "127.0.0.1[127.0.0.1]:2599: Connection refused)");
}

static void
logline_shows_conn_use_from_the_second_message_on(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s);
	s.verdict.conn_use = 2;
	dsn_set(&s.verdict.dsn, "2.0.0", "250 2.0.0 Ok");
	assert_line(&plain, &s, "sent",
	    "9BAD4A7A079: to=<rej@a.sink.example>, relay=none, conn_use=2, "
	    "delay=0.03, delays=0.01/0.01/0/0.01, dsn=2.0.0, status=sent "
	    "(250 2.0.0 Ok)");
}

static void
logline_shows_the_original_recipient_when_it_differs(void **state)
{
	static const struct {
		const char *address, *original, *want;
	} table[] = {
	    {"a@b", "", "to=<a@b>, relay"},
	    {"a@b", "A@B", "to=<a@b>, relay"},
	    {"a@b", "c@d", "to=<a@b>, orig_to=<c@d>, relay"},
	    {"a b@c", "", "to=<\"a b\"@c>, relay"},
	    {"a@b", "x y@z", "to=<a@b>, orig_to=<\"x y\"@z>, relay"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct timeval now = {1000, 0};
		struct sample s;
		struct buf line;

		sample_init(&s);
		s.rcpt.address = table[i].address;
		s.rcpt.original = table[i].original;
		dsn_set(&s.verdict.dsn, "2.0.0", "ok");
		buf_init(&line, LOGLINE_MAX);
		logline_format(&line, &plain, &s.req, 0, "sent", now);
		assert_non_null(strstr(buf_str(&line), table[i].want));
		buf_fini(&line);
	}
}

static void
logline_obeys_the_address_format_and_its_age(void **state)
{
	struct settings set = plain;
	struct sample s;

	(void)state;
	sample_init(&s);
	s.rcpt.address = "a b@c";
	dsn_set(&s.verdict.dsn, "2.0.0", "ok");
	for (int i = 0; i < 2; i++) {
		set = plain;
		if (i == 0)
			set.info_log_address_format = internal;
		else
			set.mail_version = release_3_4;
		assert_line(&set, &s, "sent",
		    "9BAD4A7A079: to=<a b@c>, relay=none, delay=0.03, "
		    "delays=0.01/0.01/0/0.01, dsn=2.0.0, status=sent (ok)");
	}
}

static void
logline_has_the_tls_word_since_3_11(void **state)
{
	static char word[] = "may:none";
	struct settings set = plain;
	struct sample s;

	(void)state;
	sample_init(&s);
	dsn_set(&s.verdict.dsn, "2.0.0", "ok");
	s.verdict.tls = word;
	assert_line(&set, &s, "sent",
	    "9BAD4A7A079: to=<rej@a.sink.example>, relay=none, delay=0.03, "
	    "delays=0.01/0.01/0/0.01, dsn=2.0.0, status=sent (ok)");
	set.mail_version = release_3_12;
	assert_line(&set, &s, "sent",
	    "9BAD4A7A079: to=<rej@a.sink.example>, relay=none, delay=0.03, "
	    "delays=0.01/0.01/0/0.01, tls=may:none, dsn=2.0.0, status=sent "
	    "(ok)");
	set.smtp_log_tls_feature_status = false;
	assert_line(&set, &s, "sent",
	    "9BAD4A7A079: to=<rej@a.sink.example>, relay=none, delay=0.03, "
	    "delays=0.01/0.01/0/0.01, dsn=2.0.0, status=sent (ok)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(logline_of_a_bounce_is_as_smtp_writes_it),
	    cmocka_unit_test(logline_without_a_session_says_relay_none),
	    cmocka_unit_test(logline_shows_conn_use_from_the_second_message_on),
	    cmocka_unit_test(
		logline_shows_the_original_recipient_when_it_differs),
	    cmocka_unit_test(logline_obeys_the_address_format_and_its_age),
	    cmocka_unit_test(logline_has_the_tls_word_since_3_11),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
