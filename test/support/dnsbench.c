#include "test/support/dnsbench.h"

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

#include "agent/settings/params.h"
#include "test/support/fakeserver.h"

enum {
	A = 1,
	MX = 15,
	AAAA = 28,
	SRV = 33,
	NOERROR = 0,
	SERVFAIL = 2,
	NXDOMAIN = 3
};

struct record {
	const char *name;
	unsigned type, preference;
	const char *value; /* address or host */
	unsigned ttl_s, weight, port;
};

static const struct record records[] = {
    {"one.test", A, 0, "192.0.2.1", 60, 0, 0},
    {"both.test", A, 0, "192.0.2.2", 60, 0, 0},
    {"both.test", AAAA, 0, "2001:db8::2", 60, 0, 0},
    {"shortlived.test", A, 0, "192.0.2.3", 0, 0, 0},
    {"mail.test", MX, 20, "both.test", 60, 0, 0},
    {"mail.test", MX, 10, "one.test", 60, 0, 0},
    {"null.test", MX, 0, "", 60, 0, 0},
    {"_submission._tcp.srv.test", SRV, 20, "both.test", 60, 0, 1587},
    {"_submission._tcp.srv.test", SRV, 10, "one.test", 60, 0, 587},
    {"srv.test", MX, 10, "one.test", 60, 0, 0},
    {"_smtp._tcp.weights.test", SRV, 10, "one.test", 60, 3, 1},
    {"_smtp._tcp.weights.test", SRV, 10, "both.test", 60, 1, 2},
    {"_smtp._tcp.weights.test", SRV, 10, "many1.test", 60, 0, 3},
    {"halfbroken.test", MX, 10, "one.test", 60, 0, 0},
    {"many1.test", A, 0, "192.0.2.41", 60, 0, 0},
    {"_submission._tcp.null.test", SRV, 0, "", 60, 0, 0},
    {"_submission._tcp.nowhere.test", SRV, 0, "unknown.test", 60, 0, 5},
    {"nowhere.test", MX, 0, "one.test", 60, 0, 0},
    {"many.test", A, 0, "192.0.2.11", 60, 0, 0},
    {"many.test", A, 0, "192.0.2.12", 60, 0, 0},
    {"many.test", A, 0, "192.0.2.13", 60, 0, 0},
    {"many.test", A, 0, "192.0.2.14", 60, 0, 0},
    {"many.test", AAAA, 0, "2001:db8::14", 60, 0, 0},
    {"mute6.test", A, 0, "192.0.2.21", 60, 0, 0}, /* AAAA: no answer */
    {"inner.corp.test", A, 0, "192.0.2.31", 60, 0, 0},
    {"relay.second.test", A, 0, "192.0.2.32", 60, 0, 0},
    /* What a wildcard makes of everything below wild.test. */
    {"smtp.provider.test.wild.test", A, 0, "192.0.2.66", 60, 0, 0},
    {"one.test.wild.test", A, 0, "192.0.2.66", 60, 0, 0},
    {"broken.test.wild.test", A, 0, "192.0.2.66", 60, 0, 0},
    {"mute.test.wild.test", A, 0, "192.0.2.66", 60, 0, 0},
    {"relay.wild.test", A, 0, "192.0.2.66", 60, 0, 0},
    {"mail.wild.test", MX, 10, "relay.wild.test", 60, 0, 0},
    {"mail.test.wild.test", MX, 10, "relay.wild.test", 60, 0, 0},
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
	} else if (r->type == SRV) {
		put16(&data, r->preference);
		put16(&data, r->weight);
		put16(&data, r->port);
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

void
dnsbench_on_question(void *ctx, bool readable, bool writable)
{
	struct dnsbench *b = ctx;
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
	b->has_ad = (msg[3] & 0x20) != 0;
	/* Of OPT, which is the last record and has no data. */
	b->has_do = msg[11] == 1 && (msg[n - 4] & 0x80) != 0;
	if (strcmp(name, "mute.test") == 0 ||
	    (strcmp(name, "mute6.test") == 0 && type == AAAA))
		return;
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(records[i].name, name) == 0) {
			rcode = NOERROR;
			answers += records[i].type == type;
		}
	if (strcmp(name, "broken.test") == 0 ||
	    strcmp(name, "_25._tcp.broken.test") == 0 ||
	    strcmp(name, "_submission._tcp.halfbroken.test") == 0)
		rcode = SERVFAIL;
	buf_init(&out, 4096);
	(void)buf_add(&out, msg, 2);
	put16(&out, 0x8180 | (b->says_ad ? 0x20 : 0) | rcode);
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

void
dnsbench_set(struct dnsbench *b, const char *name, const char *value)
{
	assert_true(params_set(&b->set, params_find(name), value, NULL));
}

int
dnsbench_socket(char *out, size_t size)
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

void
dnsbench_address(const struct dnsbench *b, char *out, size_t size)
{
	struct sockaddr_in sin = {0};
	socklen_t n = sizeof(sin);

	assert_int_equal(getsockname(b->fd, (void *)&sin, &n), 0);
	(void)snprintf(out, size, "127.0.0.1:%d", ntohs(sin.sin_port));
}

void
dnsbench_begin_with(struct dnsbench *b, const char *settings,
    const char *resolv_conf, bool first_is_dead)
{
	char server[40], dead[40], both[100], copy[400], *rest = NULL;

	memset(b, 0, sizeof(*b));
	params_init(&b->set);
	dnsbench_set(b, "smtp_tcp_port", "25");
	dnsbench_set(b, "smtp_randomize_addresses", "no");
	(void)snprintf(copy, sizeof(copy), "%s", settings);
	for (char *word = strtok_r(copy, ";", &rest); word != NULL;
	     word = strtok_r(NULL, ";", &rest)) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		dnsbench_set(b, word, value);
	}
	buf_init(&b->got, 65536);
	buf_init(&b->asked, 65536);
	b->loop = loop_new();
	b->fd = dnsbench_socket(server, sizeof(server));
	b->dead_fd = dnsbench_socket(dead, sizeof(dead));
	b->watch = loop_watch(b->loop, b->fd, dnsbench_on_question, b);
	loop_want(b->watch, true, false);
	(void)snprintf(both, sizeof(both), "%s,%s", dead, server);
	b->resolver = resolver_new_from(
	    b->loop, &b->set, resolv_conf, first_is_dead ? both : server);
}

void
dnsbench_begin(struct dnsbench *b, const char *protocols)
{
	char settings[100];

	(void)snprintf(
	    settings, sizeof(settings), "inet_protocols=%s", protocols);
	dnsbench_begin_with(b, settings, "/nonexistent", false);
}

void
dnsbench_end(struct dnsbench *b)
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

void
dnsbench_on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct dnsbench *b = ctx;
	const struct sockaddr_in *sin;
	const struct sockaddr_in6 *sin6;
	char text[64];

	b->is_secure = answer->origin.is_secure;
	memcpy(b->origin, answer->origin.name, sizeof(b->origin));
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

const char *
dnsbench_find(struct dnsbench *b, const char *name, bool mx)
{
	buf_reset(&b->got);
	b->is_done = false;
	if (mx)
		(void)resolver_ask(
		    b->resolver, RESOLVER_MX, name, dnsbench_on_answer, b);
	else
		(void)resolver_addrs(b->resolver, name, dnsbench_on_answer, b);
	assert_false(b->is_done);
	assert_true(fake_run_until(b->loop, &b->is_done));
	return buf_str(&b->got);
}
