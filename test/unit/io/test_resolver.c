/* A name server of a few names on the test's own loop, and the order in which
 * candidates come from it. */
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

#include "agent/smarthost/candidate.h"
#include "agent/settings/params.h"
#include "agent/io/resolver.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "test/support/fakeserver.h"

enum { A = 1, MX = 15, AAAA = 28, NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3 };

struct record {
	const char *name;
	unsigned type, preference;
	const char *value; /* address or host */
	unsigned ttl_s;
};

static const struct record records[] = {
    {"one.test", A, 0, "192.0.2.1", 60},
    {"both.test", A, 0, "192.0.2.2", 60},
    {"both.test", AAAA, 0, "2001:db8::2", 60},
    {"shortlived.test", A, 0, "192.0.2.3", 0},
    {"mail.test", MX, 20, "both.test", 60},
    {"mail.test", MX, 10, "one.test", 60},
    {"null.test", MX, 0, "", 60},
    {"many.test", A, 0, "192.0.2.11", 60},
    {"many.test", A, 0, "192.0.2.12", 60},
    {"many.test", A, 0, "192.0.2.13", 60},
    {"many.test", A, 0, "192.0.2.14", 60},
    {"many.test", AAAA, 0, "2001:db8::14", 60},
};

struct bench {
	struct settings set;
	struct loop *loop;
	struct resolver *resolver;
	int fd; /* of the name server */
	struct loop_fd *watch;
	int questions;
	struct buf got; /* what was found, one blank before each */
	bool is_done;
	enum resolver_status status;
	struct candidates *candidates;
	struct candidate_rests rests;
};

static void
put16(struct buf *b, unsigned v)
{
	(void)buf_add_char(b, (char)(v >> 8));
	(void)buf_add_char(b, (char)v);
}

static void
put_name(struct buf *b, const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");

		(void)buf_add_char(b, (char)n);
		(void)buf_add(b, name, n);
		name += n + (name[n] == '.');
	}
	(void)buf_add_char(b, '\0');
}

static void
put_record(struct buf *b, const struct record *r)
{
	unsigned char raw[16];
	struct buf data;

	buf_init(&data, 512);
	if (r->type == MX) {
		put16(&data, r->preference);
		put_name(&data, r->value);
	} else {
		assert_int_equal(
		    inet_pton(r->type == A ? AF_INET : AF_INET6, r->value, raw),
		    1);
		(void)buf_add(&data, raw, r->type == A ? 4 : 16);
	}
	put_name(b, r->name);
	put16(b, r->type);
	put16(b, 1);
	put16(b, 0);
	put16(b, r->ttl_s);
	put16(b, (unsigned)buf_len(&data));
	(void)buf_add_slice(b, buf_slice(&data));
	buf_fini(&data);
}

/* The name of the question at p, as text; returns its length there. */
static size_t
read_question(const unsigned char *p, char *name)
{
	size_t at = 0, used = 0;

	while (p[at] != 0) {
		if (used > 0)
			name[used++] = '.';
		memcpy(name + used, p + at + 1, p[at]);
		used += p[at];
		at += p[at] + 1U;
	}
	name[used] = '\0';
	return at + 1;
}

static void
on_question(void *ctx, bool readable, bool writable)
{
	struct bench *b = ctx;
	unsigned char msg[512];
	char name[300];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof(from);
	struct buf out;
	size_t count = sizeof(records) / sizeof(records[0]), length;
	unsigned type, rcode = NXDOMAIN, answers = 0;
	ssize_t n = recvfrom(
	    b->fd, msg, sizeof(msg), 0, (struct sockaddr *)&from, &from_n);

	(void)readable;
	(void)writable;
	assert_true(n > 16);
	b->questions++;
	length = read_question(msg + 12, name);
	type = (unsigned)msg[12 + length] << 8 | msg[13 + length];
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(records[i].name, name) == 0) {
			rcode = NOERROR;
			answers += records[i].type == type;
		}
	if (strcmp(name, "broken.test") == 0)
		rcode = SERVFAIL;
	buf_init(&out, 4096);
	(void)buf_add(&out, msg, 2);
	put16(&out, 0x8180 | rcode);
	put16(&out, 1);
	put16(&out, answers);
	put16(&out, 0);
	put16(&out, 0);
	(void)buf_add(&out, msg + 12, length + 4);
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(records[i].name, name) == 0 &&
		    records[i].type == type)
			put_record(&out, &records[i]);
	(void)sendto(b->fd, buf_slice(&out).p, buf_len(&out), 0,
	    (struct sockaddr *)&from, from_n);
	buf_fini(&out);
}

static void
set(struct bench *b, const char *name, const char *value)
{
	assert_true(params_set(&b->set, params_find(name), value, NULL));
}

static void
begin(struct bench *b, const char *protocols)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t n = sizeof(sin);
	char server[40];

	memset(b, 0, sizeof(*b));
	params_init(&b->set);
	set(b, "inet_protocols", protocols);
	set(b, "smtp_tcp_port", "25");
	set(b, "smtp_randomize_addresses", "no");
	buf_init(&b->got, 65536);
	b->loop = loop_new();
	b->resolver = resolver_new(b->loop, &b->set);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	b->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(b->fd, (void *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(b->fd, (void *)&sin, &n), 0);
	b->watch = loop_watch(b->loop, b->fd, on_question, b);
	loop_want(b->watch, true, false);
	(void)snprintf(
	    server, sizeof(server), "127.0.0.1:%d", ntohs(sin.sin_port));
	assert_true(resolver_use_servers(b->resolver, server));
}

static void
end(struct bench *b)
{
	candidates_free(&b->candidates);
	resolver_free(&b->resolver);
	loop_unwatch(&b->watch);
	(void)close(b->fd);
	loop_free(&b->loop);
	settings_free(&b->set);
	buf_fini(&b->got);
}

static void
on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct bench *b = ctx;
	const struct sockaddr_in *sin;
	const struct sockaddr_in6 *sin6;
	char text[64];

	for (size_t i = 0; i < answer->count; i++) {
		if (answer->mx != NULL) {
			(void)buf_addf(&b->got, " %u:%s",
			    answer->mx[i].preference, answer->mx[i].host);
			continue;
		}
		sin = (const void *)&answer->addrs[i];
		sin6 = (const void *)&answer->addrs[i];
		(void)inet_ntop(sin->sin_family,
		    sin->sin_family == AF_INET ? (const void *)&sin->sin_addr
					       : &sin6->sin6_addr,
		    text, sizeof(text));
		(void)buf_addf(&b->got, " %s", text);
	}
	b->status = answer->status;
	if (answer->status != RESOLVER_OK)
		(void)buf_add_str(&b->got, answer->reason);
	b->is_done = true;
}

static const char *
find(struct bench *b, const char *name, bool mx)
{
	buf_reset(&b->got);
	b->is_done = false;
	if (mx)
		(void)resolver_mx(b->resolver, name, on_answer, b);
	else
		(void)resolver_addrs(b->resolver, name, on_answer, b);
	assert_false(b->is_done);
	assert_true(fake_run_until(b->loop, &b->is_done));
	return buf_str(&b->got);
}

static void
resolver_finds_addresses_and_exchangers(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, "ipv4");
	assert_string_equal(find(&b, "one.test", false), " 192.0.2.1");
	assert_string_equal(find(&b, "both.test", false), " 192.0.2.2");
	assert_string_equal(
	    find(&b, "mail.test", true), " 10:one.test 20:both.test");
	assert_string_equal(find(&b, "null.test", true), " 0:");
	assert_string_equal(find(&b, "localhost", false), " 127.0.0.1");
	end(&b);
	begin(&b, "all");
	assert_non_null(strstr(find(&b, "both.test", false), "2001:db8::2"));
	assert_non_null(strstr(find(&b, "both.test", false), "192.0.2.2"));
	end(&b);
}

static void
resolver_words_failures_as_smtp_does(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, "ipv4");
	assert_string_equal(find(&b, "unknown.test", false),
	    "Host or domain name not found. Name service error for "
	    "name=unknown.test type=A: Host not found");
	assert_int_equal(b.status, RESOLVER_NOT_FOUND);
	assert_string_equal(find(&b, "null.test", false),
	    "Host or domain name not found. Name service error for "
	    "name=null.test type=A: Host found but no data record of "
	    "requested type");
	assert_int_equal(b.status, RESOLVER_NOT_FOUND);
	assert_string_equal(find(&b, "broken.test", true),
	    "Host or domain name not found. Name service error for "
	    "name=broken.test type=MX: Host not found, try again");
	assert_int_equal(b.status, RESOLVER_TEMPORARY);
	end(&b);
}

static void
resolver_keeps_answers_for_their_time(void **state)
{
	struct bench b;
	int asked;

	(void)state;
	begin(&b, "ipv4");
	(void)find(&b, "one.test", false);
	(void)find(&b, "mail.test", true);
	asked = b.questions;
	assert_string_equal(find(&b, "ONE.test", false), " 192.0.2.1");
	assert_string_equal(
	    find(&b, "mail.test", true), " 10:one.test 20:both.test");
	assert_int_equal(b.questions, asked);
	(void)find(&b, "shortlived.test", false);
	(void)find(&b, "shortlived.test", false);
	(void)find(&b, "unknown.test", false);
	(void)find(&b, "unknown.test", false);
	assert_int_equal(b.questions, asked + 4);
	end(&b);
}

static void
resolver_forgets_a_cancelled_question(void **state)
{
	struct resolver_query *query;
	struct bench b;

	(void)state;
	begin(&b, "ipv4");
	query = resolver_addrs(b.resolver, "one.test", on_answer, &b);
	resolver_cancel(&query);
	assert_null(query);
	/* Also one that is still out when the resolver goes. */
	(void)find(&b, "both.test", false);
	b.is_done = false;
	(void)resolver_addrs(b.resolver, "many.test", on_answer, &b);
	end(&b);
	assert_false(b.is_done);
}

static void
on_candidate(void *ctx, const struct candidate *c)
{
	struct bench *b = ctx;
	const struct dsn *problem;

	if (c != NULL) {
		(void)buf_addf(
		    &b->got, " %s[%s]:%u", c->host, c->addr, (unsigned)c->port);
		candidates_next(b->candidates, on_candidate, b);
		return;
	}
	problem = candidates_problem(b->candidates);
	if (problem != NULL)
		(void)buf_addf(
		    &b->got, " %s %s", problem->status, problem->text);
	b->is_done = true;
}

static const char *
list(struct bench *b, const char *nexthops)
{
	buf_reset(&b->got);
	b->is_done = false;
	candidates_free(&b->candidates);
	b->candidates =
	    candidates_new(b->loop, b->resolver, &b->set, &b->rests, nexthops);
	candidates_next(b->candidates, on_candidate, b);
	assert_true(fake_run_until(b->loop, &b->is_done));
	return buf_str(&b->got);
}

static void
candidate_lists_every_form_of_nexthop(void **state)
{
	static const struct {
		const char *nexthops, *wanted;
	} cases[] = {
	    {"[192.0.2.9]:2525", " 192.0.2.9[192.0.2.9]:2525"},
	    {"[one.test]", " one.test[192.0.2.1]:25"},
	    {"[one.test]:submission", " one.test[192.0.2.1]:587"},
	    {"one.test", " one.test[192.0.2.1]:25"},
	    {"one.test:26", " one.test[192.0.2.1]:26"},
	    {"mail.test", " one.test[192.0.2.1]:25 both.test[192.0.2.2]:25"},
	    {"[one.test]:1, [both.test]:2 192.0.2.7:3",
		" one.test[192.0.2.1]:1 both.test[192.0.2.2]:2"
		" 192.0.2.7[192.0.2.7]:3"},
	    {"[unknown.test], [one.test]", " one.test[192.0.2.1]:25"},
	    {"[unknown.test]",
		" 4.3.5 Host or domain name not found. Name service error "
		"for name=unknown.test type=A: Host not found"},
	    {"[broken.test]",
		" 4.4.3 Host or domain name not found. Name service error "
		"for name=broken.test type=A: Host not found, try again"},
	    {"null.test",
		" 4.3.5 Domain null.test does not accept mail (nullMX)"},
	};
	struct bench b;

	(void)state;
	begin(&b, "ipv4");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    list(&b, cases[i].nexthops), cases[i].wanted);
	set(&b, "smtp_fallback_relay", "[both.test]:99");
	assert_string_equal(list(&b, "[one.test]"),
	    " one.test[192.0.2.1]:25 both.test[192.0.2.2]:99");
	end(&b);
}

static void
candidate_prefers_a_family_and_keeps_both(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, "all");
	set(&b, "smtp_address_preference", "ipv6");
	assert_string_equal(list(&b, "[both.test]"),
	    " both.test[2001:db8::2]:25 both.test[192.0.2.2]:25");
	set(&b, "smtp_address_preference", "ipv4");
	assert_string_equal(list(&b, "[both.test]"),
	    " both.test[192.0.2.2]:25 both.test[2001:db8::2]:25");
	set(&b, "smtp_mx_address_limit", "2");
	assert_non_null(strstr(list(&b, "[many.test]"), "2001:db8::14"));
	assert_non_null(strstr(buf_str(&b.got), "192.0.2.1"));
	end(&b);
}

static void
candidate_shuffles_equals(void **state)
{
	char first[4096] = "";
	bool differs = false;
	struct bench b;

	(void)state;
	begin(&b, "ipv4");
	set(&b, "smtp_randomize_addresses", "yes");
	(void)snprintf(first, sizeof(first), "%s", list(&b, "[many.test]"));
	/* By chance the same a hundred times: 24 to the power of -100. */
	for (int i = 0; i < 100 && !differs; i++)
		differs = strcmp(list(&b, "[many.test]"), first) != 0;
	assert_true(differs);
	assert_int_equal(strlen(buf_str(&b.got)), strlen(first));
	end(&b);
}

static void
candidate_puts_addresses_at_rest_last(void **state)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct sockaddr_storage sa = {0};
	struct bench b;

	(void)state;
	begin(&b, "ipv4");
	sin.sin_port = htons(25);
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &sin.sin_addr), 1);
	memcpy(&sa, &sin, sizeof(sin));
	candidate_rest(&b.rests, &sa, loop_now_ms(b.loop));
	assert_string_equal(list(&b, "[one.test], [both.test]"),
	    " both.test[192.0.2.2]:25 one.test[192.0.2.1]:25");
	assert_string_equal(list(&b, "[one.test]"), " one.test[192.0.2.1]:25");
	candidate_wake(&b.rests, &sa);
	assert_string_equal(list(&b, "[one.test], [both.test]"),
	    " one.test[192.0.2.1]:25 both.test[192.0.2.2]:25");
	candidate_rest(&b.rests, &sa, loop_now_ms(b.loop) - CANDIDATE_REST_MS);
	assert_string_equal(list(&b, "[one.test], [both.test]"),
	    " one.test[192.0.2.1]:25 both.test[192.0.2.2]:25");
	end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(resolver_finds_addresses_and_exchangers),
	    cmocka_unit_test(resolver_words_failures_as_smtp_does),
	    cmocka_unit_test(resolver_keeps_answers_for_their_time),
	    cmocka_unit_test(resolver_forgets_a_cancelled_question),
	    cmocka_unit_test(candidate_lists_every_form_of_nexthop),
	    cmocka_unit_test(candidate_prefers_a_family_and_keeps_both),
	    cmocka_unit_test(candidate_shuffles_equals),
	    cmocka_unit_test(candidate_puts_addresses_at_rest_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
