#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/io/resolver.h"
#include "agent/settings/params.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "test/support/dnsbench.h"
#include "test/support/fakeserver.h"
#include "test/support/word_table.h"

static void
resolver_finds_addresses_and_exchangers(void **state)
{
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	assert_string_equal(dnsbench_find(&b, "one.test", false), " 192.0.2.1");
	assert_string_equal(
	    dnsbench_find(&b, "both.test", false), " 192.0.2.2");
	assert_string_equal(
	    dnsbench_find(&b, "mail.test", true), " 10:one.test 20:both.test");
	assert_string_equal(dnsbench_find(&b, "null.test", true), " 0:");
	assert_string_equal(
	    dnsbench_find(&b, "localhost", false), " 127.0.0.1");
	dnsbench_end(&b);
	dnsbench_begin(&b, "all");
	assert_non_null(
	    strstr(dnsbench_find(&b, "both.test", false), "2001:db8::2"));
	assert_non_null(
	    strstr(dnsbench_find(&b, "both.test", false), "192.0.2.2"));
	dnsbench_end(&b);
}

static void
resolver_words_failures_as_smtp_does(void **state)
{
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	assert_string_equal(dnsbench_find(&b, "unknown.test", false),
	    "Host or domain name not found. Name service error for "
	    "name=unknown.test type=A: Host not found");
	assert_int_equal(b.status, RESOLVER_NOT_FOUND);
	assert_string_equal(dnsbench_find(&b, "null.test", false),
	    "Host or domain name not found. Name service error for "
	    "name=null.test type=A: Host found but no data record of "
	    "requested type");
	assert_int_equal(b.status, RESOLVER_NOT_FOUND);
	assert_string_equal(dnsbench_find(&b, "broken.test", true),
	    "Host or domain name not found. Name service error for "
	    "name=broken.test type=MX: Host not found, try again");
	assert_int_equal(b.status, RESOLVER_TEMPORARY);
	dnsbench_end(&b);
}

static void
resolver_keeps_answers_for_their_time(void **state)
{
	struct dnsbench b;
	int asked;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	(void)dnsbench_find(&b, "one.test", false);
	(void)dnsbench_find(&b, "mail.test", true);
	asked = b.questions;
	assert_string_equal(dnsbench_find(&b, "ONE.test", false), " 192.0.2.1");
	assert_string_equal(
	    dnsbench_find(&b, "mail.test", true), " 10:one.test 20:both.test");
	assert_int_equal(b.questions, asked);
	(void)dnsbench_find(&b, "shortlived.test", false);
	(void)dnsbench_find(&b, "shortlived.test", false);
	(void)dnsbench_find(&b, "unknown.test", false);
	(void)dnsbench_find(&b, "unknown.test", false);
	assert_int_equal(b.questions, asked + 4);
	dnsbench_end(&b);
}

static void
resolver_forgets_a_cancelled_question(void **state)
{
	struct resolver_query *query;
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "ipv4");
	query = resolver_addrs(b.resolver, "one.test", dnsbench_on_answer, &b);
	resolver_cancel(&query);
	assert_null(query);
	/* Also one that is still out when the resolver goes. */
	(void)dnsbench_find(&b, "both.test", false);
	b.is_done = false;
	(void)resolver_addrs(b.resolver, "many.test", dnsbench_on_answer, &b);
	dnsbench_end(&b);
	assert_false(b.is_done);
}

static char *
write_file(const char *text)
{
	static char path[] = "/tmp/pl-resolver-XXXXXX";
	FILE *file;
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/pl-resolver-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	file = fdopen(fd, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	return path;
}

#define WILD "search wild.test\noptions ndots:5 timeout:1 attempts:1\n"

/* Each name of the left is asked for as it stands and not in another domain,
 * whatever resolv.conf says and whatever the name server answers. */
static void
resolver_asks_for_no_name_but_the_given_one(void **state)
{
	static const struct {
		const char *name, *wanted;
		enum resolver_status status;
		bool is_mx;
	} cases[] = {
	    {"smtp.provider.test", NULL, RESOLVER_NOT_FOUND, false},
	    {"smtp.provider.test.", NULL, RESOLVER_NOT_FOUND, false},
	    {"relay", NULL, RESOLVER_NOT_FOUND, false},
	    {"broken.test", NULL, RESOLVER_TEMPORARY, false},
	    {"mute.test", NULL, RESOLVER_TEMPORARY, false},
	    {"null.test", NULL, RESOLVER_NOT_FOUND, false},
	    {"one.test", " 192.0.2.1", RESOLVER_OK, false},
	    {"mail", NULL, RESOLVER_NOT_FOUND, true},
	    {"mail.test", " 10:one.test 20:both.test", RESOLVER_OK, true},
	};
	char *path = write_file(WILD), name[100];

	(void)state;
	assert_int_equal(setenv("LOCALDOMAIN", "wild.test", 1), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at;
		struct dnsbench b;

		dnsbench_begin_with(&b, "inet_protocols=ipv4", path, false);
		at = dnsbench_find(&b, cases[i].name, cases[i].is_mx);
		assert_int_equal(b.status, cases[i].status);
		if (cases[i].wanted != NULL)
			assert_string_equal(at, cases[i].wanted);
		(void)snprintf(name, sizeof(name), " %.*s",
		    (int)strcspn(cases[i].name, "") -
			(cases[i].name[strlen(cases[i].name) - 1] == '.'),
		    cases[i].name);
		at = buf_str(&b.asked);
		assert_int_not_equal(strlen(at), 0);
		for (; *at != '\0'; at += strlen(name))
			if (strncmp(at, name, strlen(name)) != 0)
				fail_msg("%s: asked:%s", cases[i].name, at);
		dnsbench_end(&b);
	}
	assert_int_equal(unsetenv("LOCALDOMAIN"), 0);
	(void)unlink(path);
}

static void
resolver_searches_where_it_is_told_to(void **state)
{
#define SEARCH "search wild.test corp.test second.test\noptions timeout:1 "
	static const struct {
		const char *settings, *conf, *name, *asked, *wanted;
	} cases[] = {
	    /* Dots enough: the name itself first. */
	    {"smtp_dns_resolver_options=res_dnsrch", SEARCH, "one.test",
		" one.test", " 192.0.2.1"},
	    {"smtp_dns_resolver_options=res_dnsrch", SEARCH "ndots:2",
		"one.test", " one.test.wild.test", " 192.0.2.66"},
	    {"smtp_dns_resolver_options=res_dnsrch", SEARCH "ndots:2",
		"one.test.", " one.test", " 192.0.2.1"},
	    /* A name without a dot needs res_defnames, which alone means the
	     * first domain. */
	    {"smtp_dns_resolver_options=res_dnsrch", SEARCH, "inner", " inner",
		""},
	    {"smtp_dns_resolver_options=res_defnames", SEARCH, "relay",
		" relay.wild.test", " 192.0.2.66"},
	    {"smtp_dns_resolver_options=res_defnames", SEARCH, "inner",
		" inner.wild.test inner", ""},
	    {"smtp_dns_resolver_options=res_defnames, res_dnsrch", SEARCH,
		"inner", " inner.wild.test inner.corp.test", " 192.0.2.31"},
	    {"smtp_dns_resolver_options=res_defnames", SEARCH, "one.test",
		" one.test", " 192.0.2.1"},
	    /* As getaddrinfo(3). */
	    {"smtp_host_lookup=native", SEARCH, "inner",
		" inner.wild.test inner.corp.test", " 192.0.2.31"},
	    {"smtp_host_lookup=native", SEARCH "ndots:5", "smtp.provider.test",
		" smtp.provider.test.wild.test", " 192.0.2.66"},
	    {"smtp_host_lookup=dns, native", SEARCH, "inner",
		" inner inner.wild.test inner.corp.test", " 192.0.2.31"},
	    {"disable_dns_lookups=yes", SEARCH, "inner",
		" inner.wild.test inner.corp.test", " 192.0.2.31"},
	    {"smtp_dns_support_level=disabled", SEARCH, "inner",
		" inner.wild.test inner.corp.test", " 192.0.2.31"},
	    /* Not known to be missing: nothing is put in its place. */
	    {"smtp_host_lookup=dns, native", SEARCH "attempts:1", "broken.test",
		" broken.test", ""},
	    {"smtp_host_lookup=native", SEARCH "attempts:1", "mute.test",
		" mute.test", ""},
	    {"smtp_dns_resolver_options=res_dnsrch", SEARCH "attempts:1",
		"broken.test", " broken.test", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = write_file(cases[i].conf), settings[200];
		struct dnsbench b;
		const char *got;

		(void)snprintf(settings, sizeof(settings),
		    "inet_protocols=ipv4;%s", cases[i].settings);
		dnsbench_begin_with(&b, settings, path, false);
		got = dnsbench_find(&b, cases[i].name, false);
		if (strcmp(buf_str(&b.asked), cases[i].asked) != 0)
			fail_msg("case %zu: asked%s", i, buf_str(&b.asked));
		if (*cases[i].wanted != '\0')
			assert_string_equal(got, cases[i].wanted);
		else
			assert_int_not_equal(b.status, RESOLVER_OK);
		dnsbench_end(&b);
		(void)unlink(path);
	}
}

static void
resolver_reads_the_hosts_file_under_native_alone(void **state)
{
	static const struct {
		const char *lookup, *name, *wanted;
	} cases[] = {
	    {"dns", "known.example", NULL},
	    {"dns", "one.test", " 192.0.2.1"},
	    {"native", "known.example", " 192.0.2.41 2001:db8::41"},
	    {"native", "alias.example", " 192.0.2.41 2001:db8::41"},
	    {"native", "one.test", " 192.0.2.42"},
	    {"dns, native", "known.example", " 192.0.2.41 2001:db8::41"},
	    {"dns, native", "one.test", " 192.0.2.1"},
	    {"native", "unknown.example", NULL},
	};
	char *path = write_file("192.0.2.41 known.example alias.example\n"
				"2001:db8::41 known.example alias.example\n"
				"192.0.2.42 one.test\n");
	char settings[100];
	struct dnsbench b;

	(void)state;
	assert_int_equal(setenv("CARES_HOSTS", path, 1), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(settings, sizeof(settings),
		    "inet_protocols=all;smtp_host_lookup=%s", cases[i].lookup);
		dnsbench_begin_with(&b, settings, "/nonexistent", false);
		(void)dnsbench_find(&b, cases[i].name, false);
		if (cases[i].wanted != NULL)
			assert_string_equal(buf_str(&b.got), cases[i].wanted);
		else
			assert_int_equal(b.status, RESOLVER_NOT_FOUND);
		dnsbench_end(&b);
	}
	dnsbench_begin_with(
	    &b, "smtp_host_lookup=native", "/nonexistent", false);
	assert_string_equal(dnsbench_find(&b, "unknown.example", false),
	    "unable to look up host unknown.example: Name or service not "
	    "known");
	dnsbench_end(&b);
	assert_int_equal(unsetenv("CARES_HOSTS"), 0);
	(void)unlink(path);
}

/* Neither by a question that nobody would read the answer to, nor by a socket
 * to find out which address is near: the order is that of the file. */
static void
resolver_reads_the_hosts_file_and_asks_nobody(void **state)
{
	char *path = write_file("192.0.2.41 known.example\n"
				"127.0.0.1 known.example\n");
	struct dnsbench b;
	int before, after;

	(void)state;
	assert_int_equal(setenv("CARES_HOSTS", path, 1), 0);
	dnsbench_begin_with(&b, "inet_protocols=ipv4;smtp_host_lookup=native",
	    "/nonexistent", false);
	before = dup(0);
	assert_int_equal(close(before), 0);
	(void)dnsbench_find(&b, "unknown.example", false);
	after = dup(0);
	assert_int_equal(close(after), 0);
	assert_int_equal(after, before);
	(void)dnsbench_find(&b, "known.example", false);
	assert_string_equal(buf_str(&b.got), " 192.0.2.41 127.0.0.1");
	dnsbench_end(&b);
	assert_int_equal(unsetenv("CARES_HOSTS"), 0);
	(void)unlink(path);
}

/* The number of questions shows the attempts, and that an answer comes at all
 * before the test's own patience ends shows the time. */
static void
resolver_is_as_patient_as_resolv_conf_says(void **state)
{
	static const struct {
		const char *conf;
		int questions;
	} cases[] = {
	    {"options timeout:1 attempts:1\n", 1},
	    {"options attempts:2 timeout:1\n", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = write_file(cases[i].conf);
		struct dnsbench b;

		dnsbench_begin_with(&b, "inet_protocols=ipv4", path, false);
		(void)dnsbench_find(&b, "mute.test", false);
		assert_int_equal(b.status, RESOLVER_TEMPORARY);
		assert_int_equal(b.questions, cases[i].questions);
		dnsbench_end(&b);
		(void)unlink(path);
	}
}

static void
resolver_does_not_wait_for_a_family_that_is_not_answered(void **state)
{
	char *path = write_file("options timeout:1 attempts:5\n");
	struct dnsbench b;

	(void)state;
	dnsbench_begin_with(&b, "inet_protocols=all", path, false);
	assert_string_equal(
	    dnsbench_find(&b, "mute6.test", false), " 192.0.2.21");
	/* One for each type, and no attempt was repeated for long. */
	assert_true(b.questions <= 3);
	dnsbench_end(&b);
	(void)unlink(path);
}

static void
resolver_goes_to_the_next_server_in_time(void **state)
{
	char *path = write_file("options timeout:1 attempts:1\n");
	struct dnsbench b;

	(void)state;
	dnsbench_begin_with(&b, "inet_protocols=all", path, true);
	assert_string_equal(
	    dnsbench_find(&b, "both.test", false), " 192.0.2.2 2001:db8::2");
	dnsbench_end(&b);
	(void)unlink(path);
}

/* Lets the first server answer as the second does, and counts for it. */
static void
on_first_question(void *ctx, bool readable, bool writable)
{
	struct dnsbench *b = ctx;
	int second = b->fd;

	b->fd = b->dead_fd;
	dnsbench_on_question(b, readable, writable);
	b->fd = second;
	b->first_questions++;
}

static void
resolver_rotates_through_servers_if_told_to(void **state)
{
	static const char *const confs[] = {"options timeout:1 attempts:1\n",
	    "options timeout:1 attempts:1 rotate\n"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *path = write_file(confs[i]);
		struct loop_fd *watch;
		struct dnsbench b;

		dnsbench_begin_with(&b, "inet_protocols=ipv4", path, true);
		watch = loop_watch(b.loop, b.dead_fd, on_first_question, &b);
		loop_want(watch, true, false);
		(void)dnsbench_find(&b, "one.test", false);
		(void)dnsbench_find(&b, "both.test", false);
		(void)dnsbench_find(&b, "many.test", false);
		(void)dnsbench_find(&b, "inner.corp.test", false);
		assert_int_equal(b.questions, 4);
		if (i == 0)
			assert_int_equal(b.first_questions, 4);
		else
			assert_in_range(b.first_questions, 1, 3);
		loop_unwatch(&watch);
		dnsbench_end(&b);
		(void)unlink(path);
	}
}

/* "TEXT=VALUE|..." */
static void
filter(struct dnsbench *b, struct rewriter *rewriter, const char *table)
{
	static char text[512];

	(void)snprintf(text, sizeof(text), "%s", table);
	*rewriter = (struct rewriter){word_table_ask, text};
	resolver_filter(b->resolver, rewriter);
}

static void
resolver_leaves_out_what_the_filter_says(void **state)
{
	struct rewriter rewriter;
	struct dnsbench b;

	(void)state;
	dnsbench_begin(&b, "all");
	filter(&b, &rewriter,
	    "both.test. 60 IN AAAA 2001:db8::2=IGNORE|"
	    "mail.test. 60 IN MX 10 one.test.=ignore  behind it|"
	    "_submission._tcp.srv.test. 60 IN SRV 20 0 1587 both.test.=IGNORE|"
	    "one.test. 60 IN A 192.0.2.1=IGNORE|null.test. 60 IN MX 0 .=IGNORE|"
	    "many1.test. 60 IN A 192.0.2.41=KEEP");
	assert_string_equal(
	    dnsbench_find(&b, "both.test", false), " 192.0.2.2");
	assert_string_equal(
	    dnsbench_find(&b, "mail.test", true), " 20:both.test");
	/* Nothing is left: that is no missing name. */
	assert_string_equal(dnsbench_find(&b, "one.test", false),
	    "Error looking up name=one.test type=AAAA: DNS reply filter drops "
	    "all results");
	assert_int_equal(b.status, RESOLVER_FILTERED);
	(void)dnsbench_find(&b, "null.test", true);
	assert_int_equal(b.status, RESOLVER_FILTERED);
	/* A mistake in the table is nobody's answer. */
	assert_string_equal(dnsbench_find(&b, "many1.test", false),
	    "Error looking up name=many1.test type=AAAA: Invalid DNS reply "
	    "filter syntax");
	assert_int_equal(b.status, RESOLVER_TEMPORARY);
	/* What was left is kept for its time. */
	int questions = b.questions;
	assert_string_equal(
	    dnsbench_find(&b, "both.test", false), " 192.0.2.2");
	assert_int_equal(b.questions, questions);
	dnsbench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(resolver_finds_addresses_and_exchangers),
	    cmocka_unit_test(resolver_words_failures_as_smtp_does),
	    cmocka_unit_test(resolver_keeps_answers_for_their_time),
	    cmocka_unit_test(resolver_forgets_a_cancelled_question),
	    cmocka_unit_test(resolver_asks_for_no_name_but_the_given_one),
	    cmocka_unit_test(resolver_searches_where_it_is_told_to),
	    cmocka_unit_test(resolver_reads_the_hosts_file_under_native_alone),
	    cmocka_unit_test(resolver_reads_the_hosts_file_and_asks_nobody),
	    cmocka_unit_test(resolver_is_as_patient_as_resolv_conf_says),
	    cmocka_unit_test(
		resolver_does_not_wait_for_a_family_that_is_not_answered),
	    cmocka_unit_test(resolver_goes_to_the_next_server_in_time),
	    cmocka_unit_test(resolver_rotates_through_servers_if_told_to),
	    cmocka_unit_test(resolver_leaves_out_what_the_filter_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
