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
    {"mute6.test", A, 0, "192.0.2.21", 60}, /* AAAA: no answer */
    {"inner.corp.test", A, 0, "192.0.2.31", 60},
    {"relay.second.test", A, 0, "192.0.2.32", 60},
    /* What a wildcard makes of everything below wild.test. */
    {"smtp.provider.test.wild.test", A, 0, "192.0.2.66", 60},
    {"one.test.wild.test", A, 0, "192.0.2.66", 60},
    {"broken.test.wild.test", A, 0, "192.0.2.66", 60},
    {"mute.test.wild.test", A, 0, "192.0.2.66", 60},
    {"relay.wild.test", A, 0, "192.0.2.66", 60},
    {"mail.wild.test", MX, 10, "relay.wild.test", 60},
    {"mail.test.wild.test", MX, 10, "relay.wild.test", 60},
};

struct bench {
	struct settings set;
	struct loop *loop;
	struct resolver *resolver;
	int fd; /* of the name server */
	struct loop_fd *watch;
	int dead_fd; /* of one that never answers */
	int questions, first_questions;
	struct buf asked; /* names, one blank before each */
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
	(void)buf_addf(&b->asked, " %s", name);
	if (strcmp(name, "mute.test") == 0 ||
	    (strcmp(name, "mute6.test") == 0 && type == AAAA))
		return;
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

/* A socket on a free port of loopback; ":port" goes to out. */
static int
open_server(char *out, size_t size)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (void *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (void *)&sin, &n), 0);
	(void)snprintf(out, size, "127.0.0.1:%d", ntohs(sin.sin_port));
	return fd;
}

/* settings: "name=value;name=value"; first_is_dead: two servers. */
static void
begin_with(struct bench *b, const char *settings, const char *resolv_conf,
    bool first_is_dead)
{
	char server[40], dead[40], both[100], copy[400], *rest = NULL;

	memset(b, 0, sizeof(*b));
	params_init(&b->set);
	set(b, "smtp_tcp_port", "25");
	set(b, "smtp_randomize_addresses", "no");
	(void)snprintf(copy, sizeof(copy), "%s", settings);
	for (char *word = strtok_r(copy, ";", &rest); word != NULL;
	     word = strtok_r(NULL, ";", &rest)) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		set(b, word, value);
	}
	buf_init(&b->got, 65536);
	buf_init(&b->asked, 65536);
	b->loop = loop_new();
	b->resolver = resolver_new_from(b->loop, &b->set, resolv_conf);
	b->fd = open_server(server, sizeof(server));
	b->dead_fd = open_server(dead, sizeof(dead));
	b->watch = loop_watch(b->loop, b->fd, on_question, b);
	loop_want(b->watch, true, false);
	(void)snprintf(both, sizeof(both), "%s,%s", dead, server);
	assert_true(
	    resolver_use_servers(b->resolver, first_is_dead ? both : server));
}

static void
begin(struct bench *b, const char *protocols)
{
	char settings[100];

	(void)snprintf(
	    settings, sizeof(settings), "inet_protocols=%s", protocols);
	begin_with(b, settings, "/nonexistent", false);
}

static void
end(struct bench *b)
{
	candidates_free(&b->candidates);
	resolver_free(&b->resolver);
	loop_unwatch(&b->watch);
	(void)close(b->fd);
	(void)close(b->dead_fd);
	loop_free(&b->loop);
	settings_free(&b->set);
	buf_fini(&b->got);
	buf_fini(&b->asked);
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
	b->candidates = candidates_new(b->loop, b->resolver, &b->set, &b->rests,
	    nexthops, CANDIDATE_ALL_LEVELS, "");
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
		struct bench b;

		begin_with(&b, "inet_protocols=ipv4", path, false);
		at = find(&b, cases[i].name, cases[i].is_mx);
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
		end(&b);
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
		struct bench b;
		const char *got;

		(void)snprintf(settings, sizeof(settings),
		    "inet_protocols=ipv4;%s", cases[i].settings);
		begin_with(&b, settings, path, false);
		got = find(&b, cases[i].name, false);
		if (strcmp(buf_str(&b.asked), cases[i].asked) != 0)
			fail_msg("case %zu: asked%s", i, buf_str(&b.asked));
		if (*cases[i].wanted != '\0')
			assert_string_equal(got, cases[i].wanted);
		else
			assert_int_not_equal(b.status, RESOLVER_OK);
		end(&b);
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
	struct bench b;

	(void)state;
	assert_int_equal(setenv("CARES_HOSTS", path, 1), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(settings, sizeof(settings),
		    "inet_protocols=all;smtp_host_lookup=%s", cases[i].lookup);
		begin_with(&b, settings, "/nonexistent", false);
		(void)find(&b, cases[i].name, false);
		if (cases[i].wanted != NULL)
			assert_string_equal(buf_str(&b.got), cases[i].wanted);
		else
			assert_int_equal(b.status, RESOLVER_NOT_FOUND);
		end(&b);
	}
	begin_with(&b, "smtp_host_lookup=native", "/nonexistent", false);
	assert_string_equal(find(&b, "unknown.example", false),
	    "unable to look up host unknown.example: Name or service not "
	    "known");
	end(&b);
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
		struct bench b;

		begin_with(&b, "inet_protocols=ipv4", path, false);
		(void)find(&b, "mute.test", false);
		assert_int_equal(b.status, RESOLVER_TEMPORARY);
		assert_int_equal(b.questions, cases[i].questions);
		end(&b);
		(void)unlink(path);
	}
}

static void
resolver_does_not_wait_for_a_family_that_is_not_answered(void **state)
{
	char *path = write_file("options timeout:1 attempts:5\n");
	struct bench b;

	(void)state;
	begin_with(&b, "inet_protocols=all", path, false);
	assert_string_equal(find(&b, "mute6.test", false), " 192.0.2.21");
	/* One for each type, and no attempt was repeated for long. */
	assert_true(b.questions <= 3);
	end(&b);
	(void)unlink(path);
}

static void
resolver_goes_to_the_next_server_in_time(void **state)
{
	char *path = write_file("options timeout:1 attempts:1\n");
	struct bench b;

	(void)state;
	begin_with(&b, "inet_protocols=all", path, true);
	assert_string_equal(
	    find(&b, "both.test", false), " 192.0.2.2 2001:db8::2");
	end(&b);
	(void)unlink(path);
}

/* Lets the first server answer as the second does, and counts for it. */
static void
on_first_question(void *ctx, bool readable, bool writable)
{
	struct bench *b = ctx;
	int second = b->fd;

	b->fd = b->dead_fd;
	on_question(b, readable, writable);
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
		struct bench b;

		begin_with(&b, "inet_protocols=ipv4", path, true);
		watch = loop_watch(b.loop, b.dead_fd, on_first_question, &b);
		loop_want(watch, true, false);
		(void)find(&b, "one.test", false);
		(void)find(&b, "both.test", false);
		(void)find(&b, "many.test", false);
		(void)find(&b, "inner.corp.test", false);
		assert_int_equal(b.questions, 4);
		if (i == 0)
			assert_int_equal(b.first_questions, 4);
		else
			assert_in_range(b.first_questions, 1, 3);
		loop_unwatch(&watch);
		end(&b);
		(void)unlink(path);
	}
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
	    cmocka_unit_test(resolver_is_as_patient_as_resolv_conf_says),
	    cmocka_unit_test(
		resolver_does_not_wait_for_a_family_that_is_not_answered),
	    cmocka_unit_test(resolver_goes_to_the_next_server_in_time),
	    cmocka_unit_test(resolver_rotates_through_servers_if_told_to),
	    cmocka_unit_test(candidate_lists_every_form_of_nexthop),
	    cmocka_unit_test(candidate_prefers_a_family_and_keeps_both),
	    cmocka_unit_test(candidate_shuffles_equals),
	    cmocka_unit_test(candidate_puts_addresses_at_rest_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
