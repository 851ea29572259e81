#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "monitor/replay/maillog.h"

static void
read_text(struct maillog *log, const char *program, const char *text)
{
	FILE *f = tmpfile();
	char error[100];

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fflush(f), 0);
	assert_int_equal(lseek(fileno(f), 0, SEEK_SET), 0);
	assert_true(
	    maillog_read(log, fileno(f), program, NULL, error, sizeof(error)));
	assert_int_equal(fclose(f), 0);
}

#define AT "2026-11-28T16:14:"
#define SMTP " mx postfix/smtp[7]: "
#define QMGR " mx postfix/qmgr[8]: "

static void
maillog_has_when_messages_came_and_how_long_they_took(void **state)
{
	struct maillog log;

	(void)state;
	read_text(&log, "smtp",
	    AT "10.500000+00:00" QMGR
	       "QABCDE: from=<a@b>, size=900, nrcpt=2 (queue active)\n" AT
	       "12.750000+00:00" SMTP
	       "QABCDE: to=<x@d>, relay=r[192.0.2.1]:25, delay=2.5, "
	       "delays=0.5/1.5/0.1/0.4, dsn=2.0.0, status=sent (250 Ok)\n" AT
	       "14.250000+00:00" SMTP
	       "QABCDE: to=<y@d>, relay=r[192.0.2.1]:25, delay=4, "
	       "delays=0.5/3/0.1/0.4, dsn=2.0.0, status=sent (250 Ok)\n" AT
	       "14.300000+00:00" QMGR "QABCDE: removed\n"
	    /* The same name again is another message. */
	    AT "20.000000+00:00" SMTP
	       "QABCDE: to=<z@d>, relay=none, delay=1, delays=1/0/0/0, "
	       "dsn=4.4.1, status=deferred (connection refused)\n");
	assert_int_equal(log.count, 2);
	assert_int_equal(log.messages[0].rcpts, 2);
	assert_int_equal(log.messages[0].octets, 900);
	assert_int_equal(log.messages[0].took_ms, 4000);
	assert_int_equal(log.messages[1].rcpts, 0);
	assert_int_equal(log.messages[1].took_ms, -1);
	assert_int_equal(
	    log.messages[1].came_ms - log.messages[0].came_ms, 8750);
	assert_int_equal(log.lines, 5);
	assert_int_equal((int)log.answer_ms, 400);
	assert_int_equal((int)log.before_ms, 500);
	maillog_fini(&log);
}

static void
maillog_takes_its_own_program_and_nothing_else(void **state)
{
	struct maillog log;

	(void)state;
	read_text(&log, "fast",
	    AT "10.0+00:00" SMTP
	       "QABCDE: to=<x@d>, delay=1, status=sent (x)\n" AT
	       "10.0+00:00 mx postfix/slow/fast[1]: QABCD1: to=<x@d>, "
	       "delay=1, delays=0/0/0/1, status=sent (x)\n" AT
	       "10.0+00:00 mx postfix/fast[1]: session=abc end=spent "
	       "relay=r messages=50 accepted=50 in_doubt=0 age=10s "
	       "dial=0.2s left_out=0\n" AT
	       "10.0+00:00 mx postfix/fast[1]: session=abd end=idle "
	       "relay=r messages=1 accepted=1 in_doubt=0 age=0.1s "
	       "dial=0.1s left_out=0\n" AT
	       "10.0+00:00 mx postfix/fast[1]: connect to r: refused\n"
	       "no line of a log\n\n"
	       "postfix/fast[1]: QABCD2: to=<x@d>, delay=1\n" AT
	       "10.0+00:00 mx postfix/fast[1]: QABCD3: to=<x@d>, relay=none\n");
	assert_int_equal(log.count, 1);
	/* 10 s: the dial's 0.2 s, 1 s for the first, and 49 more */
	assert_int_equal((int)log.apart_ms, 179);
	assert_int_equal((int)(log.dial_ms + 0.5), 200);
	maillog_fini(&log);
}

static struct maillog_owners
owners_of(FILE *f)
{
	struct maillog_owners owners;
	char error[100];

	assert_int_equal(lseek(fileno(f), 0, SEEK_SET), 0);
	assert_true(maillog_owners_read(
	    &owners, fileno(f), "smtp", error, sizeof(error)));
	return owners;
}

static void
read_chosen(struct maillog *log, FILE *f, const struct maillog_owners *owners,
    const char *lane, bool takes_unknown)
{
	const struct maillog_choice choice = {
	    .owners = owners, .lane = lane, .takes_unknown = takes_unknown};
	char error[100];

	assert_int_equal(lseek(fileno(f), 0, SEEK_SET), 0);
	assert_true(maillog_read(
	    log, fileno(f), "smtp", &choice, error, sizeof(error)));
}

/* Lanes that log alike: each process is that of the lane which one of its lines
 * names, be it the last. */
static void
maillog_tells_lanes_apart_that_log_alike(void **state)
{
#define OF(pid, id)                                                            \
	" mx postfix/smtp[" pid "]: QABC" id                                   \
	": to=<x@d>, delay=1, delays=0/0/0/1, status=sent (x)\n"
#define END_OF(pid, lane)                                                      \
	" mx postfix/smtp[" pid "]: session=a end=idle relay=r messages=9 "    \
	"accepted=9 in_doubt=0 age=2s dial=0.2s lane=" lane                    \
	" left_out=0 why=\"x lane=none y\"\n"
	static const char text[] = AT "10.0" OF("11", "01") AT
	    "10.0" OF("12", "02") AT "10.0" OF("12", "03") AT
	    "10.0" OF("13", "04") AT "11.0" END_OF("11", "fast") AT
	    "12.0" END_OF("12", "slow") AT "12.0" OF("14", "05") AT
	    "13.0" END_OF("14", "fast") AT "14.0" END_OF("14", "slow") AT
	    "14.0 mx postfix/smtp[13]: session=b end=idle why=\"lane=x\"\n";
	FILE *f = tmpfile();
	struct maillog_owners owners;
	struct maillog log;

	(void)state;
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fflush(f), 0);
	owners = owners_of(f);
	assert_true(maillog_owners_have(&owners, "fast"));
	assert_true(maillog_owners_have(&owners, "slow"));
	assert_false(maillog_owners_have(&owners, "none"));
	assert_false(maillog_owners_have(&owners, "x"));
	read_chosen(&log, f, &owners, "slow", false);
	assert_int_equal(log.count, 2);
	assert_int_equal(log.unknown, 0);
	assert_int_equal(log.sessions, 1);
	maillog_fini(&log);
	/* 13 says nothing, and 14 was both lanes'. */
	read_chosen(&log, f, &owners, "fast", true);
	assert_int_equal(log.count, 3);
	assert_int_equal(log.unknown, 2);
	maillog_fini(&log);
	maillog_owners_fini(&owners);
	assert_int_equal(fclose(f), 0);
}

/* Numbers of processes are a host's own. */
static void
maillog_tells_hosts_apart(void **state)
{
#define AT_HOST(host, pid, rest) " " host " postfix/smtp[" pid "]: " rest "\n"
#define TO "to=<x@d>, delay=1, delays=0/0/0/1, status=sent (x)"
#define LANE(lane) "session=a end=idle lane=" lane " left_out=0 why=\"x\""
	static const char text[] =
	    AT "10.0" AT_HOST("a.example", "11", "QABC01: " TO) AT
	    "10.0" AT_HOST("b.example", "11", "QABC02: " TO) AT
	    "11.0" AT_HOST("a.example", "11", LANE("fast")) AT
	    "11.0" AT_HOST("b.example", "11", LANE("slow"));
	FILE *f = tmpfile();
	struct maillog_owners owners;
	struct maillog log;

	(void)state;
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fflush(f), 0);
	owners = owners_of(f);
	read_chosen(&log, f, &owners, "fast", true);
	assert_int_equal(log.count, 1);
	assert_int_equal(log.unknown, 0);
	assert_string_equal(log.host, "a.example");
	assert_string_equal(log.other_host, "");
	maillog_fini(&log);
	read_text(&log, "smtp", text);
	assert_int_equal(log.count, 2);
	assert_string_equal(log.host, "a.example");
	assert_string_equal(log.other_host, "b.example");
	maillog_fini(&log);
	maillog_owners_fini(&owners);
	assert_int_equal(fclose(f), 0);
}

#define ANSWER                                                                 \
	" mx postfix/smtp[1]: QABCD1: to=<x@d>, delay=1, delays=0/0/0/1, "     \
	"status=sent (x)\n"
#define SESSION(age)                                                           \
	" mx postfix/smtp[1]: session=a end=spent messages=50 age=" age

/* Where lines have it, only those count. */
static void
maillog_guesses_a_dial_that_no_line_has(void **state)
{
	struct maillog log;

	(void)state;
	read_text(&log, "smtp",
	    AT "10.0" ANSWER AT "20.0" SESSION("10s\n") AT
	    "30.0" SESSION("10s\n"));
	/* 7 of 10 s are the dial's round trips, 3 s 43 messages */
	assert_int_equal((int)log.apart_ms, 69);
	assert_int_equal((int)log.dial_ms, 0);
	maillog_fini(&log);
	read_text(&log, "smtp",
	    AT "10.0" ANSWER AT "20.0" SESSION("10s\n") AT
	    "30.0" SESSION("10s\n") AT "50.0" SESSION("17s dial=0.14s\n"));
	assert_int_equal((int)log.apart_ms, 323);
	assert_int_equal((int)(log.dial_ms + 0.5), 140);
	maillog_fini(&log);
	/* One that took no time is known. */
	read_text(
	    &log, "smtp", AT "10.0" ANSWER AT "50.0" SESSION("50s dial=0s\n"));
	assert_int_equal((int)(log.apart_ms + 0.5), 1000);
	maillog_fini(&log);
}

/* Four within one second did not all come at its beginning. */
static void
maillog_spreads_whole_seconds_and_knows_a_new_year(void **state)
{
	static const char line[] =
	    " mx postfix/smtp[7]: QABCD%d: to=<x@d>, delay=0, "
	    "delays=0/0/0/0, dsn=2.0.0, status=sent (x)\n";
	struct maillog log;
	char text[1000] = "";

	(void)state;
	for (int i = 0; i < 4; i++) {
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    "Dec 31 23:59:59");
		(void)snprintf(
		    text + strlen(text), sizeof(text) - strlen(text), line, i);
	}
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
	    "Jan  1 00:00:01");
	(void)snprintf(
	    text + strlen(text), sizeof(text) - strlen(text), line, 9);
	read_text(&log, "smtp", text);
	assert_int_equal(log.count, 5);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(
		    log.messages[i].came_ms - log.messages[i - 1].came_ms, 250);
	assert_int_equal(log.messages[0].came_ms % 1000, 125);
	assert_int_equal(
	    log.messages[4].came_ms - log.messages[0].came_ms, 2375);
	maillog_fini(&log);
}

#define CAME_MS(log, i) ((log).messages[i].came_ms % 60000)

/* 0xDBBA0 microseconds: 0.9 s. */
static void
maillog_has_the_fraction_of_the_queue_id(void **state)
{
	struct maillog log;

	(void)state;
	read_text(&log, "smtp",
	    "Nov 28 16:14:05 mx postfix/smtpd[3]: DBBA01: client=c\n"
	    "Nov 28 16:14:06" QMGR "DBBA01: from=<>, size=900, nrcpt=1 (q)\n"
	    /* its first line was written in the next second */
	    "Nov 28 16:14:08 mx postfix/cleanup[3]: DBBA02: message-id=<>\n"
	    "Nov 28 16:14:08" SMTP
	    "DBBA02: to=<x@d>, delay=0.6, status=sent (x)\n"
	    /* tried before, not in this log */
	    "Nov 28 16:14:09" QMGR "DBBA03: from=<>, size=900, nrcpt=1 (q)\n"
	    "Nov 28 16:14:20" SMTP
	    "DBBA03: to=<x@d>, delay=17, status=sent (x)\n"
	    "Nov 28 16:14:24" SMTP
	    "DBBA01: to=<x@d>, delay=18, status=sent (x)\n"
	    /* of a whole second, without a time in its name */
	    "Nov 28 16:14:30" SMTP
	    "QDBBA0: to=<x@d>, delay=5, status=sent (x)\n");
	assert_int_equal(log.count, 4);
	assert_int_equal(CAME_MS(log, 0), 3900); /* 20.5 - 17, give or take 1 */
	assert_int_equal(CAME_MS(log, 1), 5900);
	assert_int_equal(CAME_MS(log, 2), 7900);
	assert_int_equal(CAME_MS(log, 3), 25500);
	assert_int_equal(log.vague, 1);
	maillog_fini(&log);
	/* With a delay of two digits, in a log with fractions. */
	read_text(&log, "smtp",
	    AT "05.913000+00:00 mx postfix/smtpd[3]: DBBA01: client=c\n" AT
	       "29.400000+00:00" SMTP
	       "DBBA01: to=<x@d>, delay=23, status=sent (x)\n");
	assert_int_equal(log.count, 1);
	assert_int_equal(CAME_MS(log, 0), 5900);
	assert_int_equal(log.vague, 0);
	maillog_fini(&log);
}

#define END(age) " mx postfix/smtp[1]: session=a end=spent messages=9 age=" age

static void
maillog_counts_sessions_that_were_surely_open_at_once(void **state)
{
	struct maillog log;

	(void)state;
	/* One after the other, however their lines are rounded; and one beside
	 * them. */
	read_text(&log, "smtp",
	    "Nov 28 16:14:10" END("5s\n") "Nov 28 16:14:15" END(
		"5.1s\n") "Nov 28 16:14:20" END("5s\n"));
	assert_int_equal(log.sessions, 1);
	maillog_fini(&log);
	read_text(&log, "smtp",
	    AT "10.0" END("5s\n") AT "15.0" END("5s\n") AT "17.0" END("4s\n"));
	assert_int_equal(log.sessions, 2);
	maillog_fini(&log);
	read_text(&log, "smtp", "Nov 28 16:14:10" END("0.2s\n"));
	assert_int_equal(log.sessions, 0);
	maillog_fini(&log);
}

static void
maillog_remembers_many_that_are_under_way(void **state)
{
	enum { COUNT = 20000 };
	FILE *f = tmpfile();
	struct maillog log;
	char error[100];

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < COUNT; i++)
		assert_true(fprintf(f,
				AT "10.0+00:00" QMGR
				   "4X%05d: from=<>, size=%d, nrcpt=1\n",
				i, i + 1) > 0);
	for (int i = 0; i < COUNT; i++)
		assert_true(
		    fprintf(f,
			AT "11.%03d+00:00" SMTP
			   "4X%05d: to=<x@d>, delay=0, status=sent (x)\n" AT
			   "11.%03d+00:00" QMGR "4X%05d: removed\n",
			i / 20, i, i / 20, i) > 0);
	assert_int_equal(fflush(f), 0);
	assert_int_equal(lseek(fileno(f), 0, SEEK_SET), 0);
	assert_true(
	    maillog_read(&log, fileno(f), "smtp", NULL, error, sizeof(error)));
	assert_int_equal(log.count, COUNT);
	for (size_t i = 1; i < COUNT; i++)
		assert_true(log.messages[i].octets > 0);
	assert_int_equal(fclose(f), 0);
	maillog_fini(&log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		maillog_has_when_messages_came_and_how_long_they_took),
	    cmocka_unit_test(maillog_takes_its_own_program_and_nothing_else),
	    cmocka_unit_test(maillog_tells_lanes_apart_that_log_alike),
	    cmocka_unit_test(maillog_tells_hosts_apart),
	    cmocka_unit_test(maillog_guesses_a_dial_that_no_line_has),
	    cmocka_unit_test(
		maillog_spreads_whole_seconds_and_knows_a_new_year),
	    cmocka_unit_test(maillog_has_the_fraction_of_the_queue_id),
	    cmocka_unit_test(
		maillog_counts_sessions_that_were_surely_open_at_once),
	    cmocka_unit_test(maillog_remembers_many_that_are_under_way),
	};

	return cmocka_run_group_tests_name("maillog", tests, NULL, NULL);
}
