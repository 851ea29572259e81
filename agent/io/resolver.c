/* One struct resolver_query lives from the call until its callback; it asks
 * one name after the other, and for each both families at once:
 *
 *   ask -> [cache] -> DNS: name, or the search list's names -> fn
 *                     hosts file -> DNS: the search list's names -> fn
 *
 * What is asked of c-ares is a question for one type of an absolute name
 * (ares_query), so that no release's idea of a search list can add a name.
 * c-ares cannot forget a question: each is a struct question, which knows its
 * query until that has lost its patience, and stays until c-ares lets go.
 */
#include "agent/io/resolver.h"

/* The calls that hand over a DNS message are marked as old in newer releases,
 * and the new ones are missing in older. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/io/ares_loop.h"
#include "agent/io/dnsquestion.h"
#include "agent/io/dnsreply.h"
#include "agent/io/hostsfile.h"
#include "agent/io/resolvconf.h"
#include "agent/io/resolver_cache.h"
#include "agent/io/resolver_failure.h"
#include "agent/io/resolver_records.h"
#include "agent/io/trusted_resolver.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	/* Once one family has addresses the other is not waited for longer. */
	PARTNER_MS = 2000,
	PARTIAL_TTL_S = 60, /* of an answer that lacks a family */
	TYPES_MAX = 2,
};

/* Where a name is looked up: in DNS, or where getaddrinfo(3) does. */
enum source { SOURCE_DNS, SOURCE_FILES, SOURCE_NATIVE_DNS, SOURCE_END };

struct resolver {
	struct loop *loop;
	struct resolvconf conf;
	bool has_dns, has_native; /* smtp_host_lookup */
	unsigned search_flags; /* smtp_dns_resolver_options */
	struct ares_loop *dns; /* asks name servers */
	ares_channel files; /* reads the hosts file, asks nobody */
	bool is_usable;
	bool has_ipv4, has_ipv6;
	struct list queries;
	struct resolver_cache cache;
	const struct rewriter *filter; /* or NULL */
	bool is_trusted; /* what its servers vouch for is believed */
	bool has_vouched; /* ... and for the probe, last at: */
	int64_t vouched_ms;
};

/* One question that c-ares works on. */
struct question {
	struct resolver_query *query; /* NULL: nobody waits for it */
	unsigned type;
};

struct resolver_query {
	struct list link;
	struct resolver *resolver;
	struct loop_timer *timer; /* ends the patience, delivers the answer */
	char *name;
	enum resolver_kind kind;
	unsigned probe_type; /* of RESOLVER_PROBE */
	bool is_settled; /* the answer waits for the timer */
	enum source source;
	size_t name_index; /* in what the search makes of name */
	struct question *questions[TYPES_MAX]; /* open ones, else NULL */
	int failure; /* the worst of this name: an ARES status, or FILTER_ */
	int ttl_s;
	resolver_fn *fn;
	void *ctx;
	struct resolver_answer answer;
};

static void next_name(struct resolver_query *q);

static void
read_settings(struct resolver *r, const struct settings *set)
{
	const char *protocols = set->inet_protocols;
	const char *options = set->smtp_dns_resolver_options;
	bool all = strcasestr(protocols, "all") != NULL;

	r->has_ipv4 = all || strcasestr(protocols, "ipv4") != NULL;
	r->has_ipv6 = all || strcasestr(protocols, "ipv6") != NULL;
	r->has_dns = strcasestr(set->smtp_host_lookup, "dns") != NULL;
	r->has_native = strcasestr(set->smtp_host_lookup, "native") != NULL;
	if (!resolver_wants_dns(set)) {
		r->has_dns = false;
		r->has_native = true;
	}
	if (strcasestr(options, "res_defnames") != NULL)
		r->search_flags |= RESOLVCONF_DEFNAMES;
	if (strcasestr(options, "res_dnsrch") != NULL)
		r->search_flags |= RESOLVCONF_DNSRCH;
}

static int
open_dns(struct resolver *r, const char *servers)
{
	const struct ares_loop_setup setup = {
	    &r->conf, servers, .is_cacheless = r->is_trusted};

	if (servers != NULL)
		r->conf.server_count = 1;
	for (const char *p = servers; p != NULL && *p != '\0'; p++)
		r->conf.server_count += *p == ',';
	/* c-ares' own cache would answer for one that validates. */
	return ares_loop_new(&r->dns, r->loop, &setup);
}

bool
resolver_wants_dns(const struct settings *set)
{
	if (*set->smtp_dns_support_level != '\0')
		return strcmp(set->smtp_dns_support_level, "disabled") != 0;
	return !set->disable_dns_lookups;
}

static struct resolver *
new_resolver(struct loop *loop, const struct settings *set,
    const char *resolv_conf, const char *servers, bool is_trusted)
{
	struct resolver *r = mem_zalloc(sizeof(*r));
	int rc;

	r->is_trusted = is_trusted;
	r->loop = loop;
	list_init(&r->queries);
	resolver_cache_init(&r->cache);
	read_settings(r, set);
	resolvconf_read(&r->conf, resolv_conf);
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS)
		rc = open_dns(r, servers);
	if (rc == ARES_SUCCESS) {
		rc = hostsfile_open(&r->files);
		if (rc != ARES_SUCCESS)
			ares_loop_free(&r->dns);
	}
	/* Not for the life of the process: that is started again. */
	if (rc == ARES_ENOMEM)
		log_fatal("out of memory");
	r->is_usable = rc == ARES_SUCCESS;
	if (!r->is_usable)
		log_warn("cannot start the resolver: %s", ares_strerror(rc));
	return r;
}

struct resolver *
resolver_new_from(struct loop *loop, const struct settings *set,
    const char *resolv_conf, const char *servers)
{
	return new_resolver(loop, set, resolv_conf, servers, false);
}

struct resolver *
resolver_new(struct loop *loop, const struct settings *set)
{
	return resolver_new_from(loop, set, RESOLVCONF_PATH, NULL);
}

struct resolver *
resolver_new_secure(
    struct loop *loop, const struct settings *set, const char *resolv_conf)
{
	char server[TRUSTED_RESOLVER_SIZE], why[TRUSTED_RESOLVER_WHY_SIZE];

	if (!trusted_resolver_is_wanted(set) ||
	    !trusted_resolver_server(set->smtp_tls_dane_resolver, server,
		sizeof(server), why, sizeof(why)))
		return new_resolver(loop, set, resolv_conf, NULL, false);
	return new_resolver(loop, set, resolv_conf, server, true);
}

bool
resolver_is_secure(const struct resolver *resolver)
{
	return resolver->is_trusted;
}

bool
resolver_has_vouched(const struct resolver *resolver)
{
	return resolver->has_vouched &&
	       loop_now_ms(resolver->loop) - resolver->vouched_ms <
		   RESOLVER_VOUCHED_MS;
}

void
resolver_filter(struct resolver *resolver, const struct rewriter *filter)
{
	resolver->filter = filter;
}

/* c-ares may hold the questions for long; none of them finds us any more. */
static void
forget_questions(struct resolver_query *q)
{
	for (size_t i = 0; i < TYPES_MAX; i++) {
		if (q->questions[i] != NULL)
			q->questions[i]->query = NULL;
		q->questions[i] = NULL;
	}
}

static void
query_free(struct resolver_query *q)
{
	forget_questions(q);
	list_remove(&q->link);
	loop_timer_free(&q->timer);
	resolver_answer_fini(&q->answer);
	mem_free(q->name);
	mem_free(q);
}

void
resolver_free(struct resolver **resolver)
{
	struct resolver *r = *resolver;

	*resolver = NULL;
	if (r == NULL)
		return;
	while (!list_is_empty(&r->queries))
		query_free(list_entry(
		    list_first(&r->queries), struct resolver_query, link));
	/* Ends all questions, each with its callback. */
	if (r->is_usable) {
		ares_loop_free(&r->dns);
		ares_destroy(r->files);
	}
	resolver_cache_fini(&r->cache);
	ares_library_cleanup();
	mem_free(r);
}

bool
resolver_has_family(const struct resolver *resolver, int family)
{
	return (family == AF_INET && resolver->has_ipv4) ||
	       (family == AF_INET6 && resolver->has_ipv6);
}

static void
deliver(struct resolver_query *q)
{
	resolver_fn *fn = q->fn;
	void *fn_ctx = q->ctx;
	struct resolver_answer answer = q->answer;

	CHECK(q->is_settled && fn != NULL);
	memset(&q->answer, 0, sizeof(q->answer));
	query_free(q);
	fn(fn_ctx, &answer);
	resolver_answer_fini(&answer);
}

static void
settle(struct resolver_query *q)
{
	CHECK(!q->is_settled);
	forget_questions(q);
	q->is_settled = true;
	loop_timer_soon(q->timer);
}

/* The type of a question that is not for addresses. */
static unsigned
type_of(const struct resolver_query *q)
{
	switch (q->kind) {
	case RESOLVER_MX:
		return DNS_TYPE_MX;
	case RESOLVER_SRV:
		return DNS_TYPE_SRV;
	case RESOLVER_CNAME:
		return DNS_TYPE_CNAME;
	case RESOLVER_TLSA:
		return DNS_TYPE_TLSA;
	case RESOLVER_PROBE:
		return q->probe_type;
	case RESOLVER_ADDRS:
		break;
	}
	CHECK(q->kind == RESOLVER_ADDRS);
	return DNS_TYPE_A;
}

/* Of addresses the one that smtp(8) would have asked for last. */
static const char *
type_name(const struct resolver_query *q)
{
	if (q->kind == RESOLVER_ADDRS && q->resolver->has_ipv6)
		return dnsquestion_type_name(DNS_TYPE_AAAA);
	return dnsquestion_type_name(type_of(q));
}

static void
set_failure(struct resolver_query *q, int rc)
{
	resolver_failure_set(
	    &q->answer, rc, q->name, type_name(q), q->source != SOURCE_DNS);
}

static bool
has_open_questions(const struct resolver_query *q)
{
	for (size_t i = 0; i < TYPES_MAX; i++)
		if (q->questions[i] != NULL)
			return true;
	return false;
}

static int
by_preference(const void *a, const void *b)
{
	const struct resolver_mx *x = a, *y = b;

	return x->preference < y->preference ? -1
					     : x->preference > y->preference;
}

/* Any answer will do, also that there is nothing. */
static void
conclude_probe(struct resolver_query *q)
{
	if (has_open_questions(q))
		q->failure = ARES_ETIMEOUT;
	if (q->failure != ARES_SUCCESS &&
	    !resolver_failure_is_missing(q->failure))
		set_failure(q, q->failure);
	settle(q);
}

/* All about the name in hand is known, or will not be. */
static void
conclude(struct resolver_query *q)
{
	struct resolver_answer *a = &q->answer;
	int ttl_s = q->ttl_s;

	CHECK(!q->is_settled);
	if (q->kind == RESOLVER_PROBE) {
		conclude_probe(q);
		return;
	}
	if (a->count > 0) {
		if (has_open_questions(q) || (q->failure != ARES_SUCCESS &&
						 q->failure != FILTER_DROPPED))
			ttl_s = ttl_s < PARTIAL_TTL_S ? ttl_s : PARTIAL_TTL_S;
		if (a->mx != NULL)
			qsort(a->mx, a->count, sizeof(*a->mx), by_preference);
		if (q->resolver->is_trusted)
			ttl_s = resolver_answer_keep_s(
			    a, resolver_has_vouched(q->resolver), ttl_s);
		resolver_cache_add(&q->resolver->cache, q->name, q->kind,
		    &q->answer, ttl_s, loop_now_ms(q->resolver->loop));
		settle(q);
		return;
	}
	if (has_open_questions(q))
		q->failure = resolver_failure_worse(q->failure, ARES_ETIMEOUT);
	forget_questions(q);
	/* While it is not known that this name does not exist, the next must
	 * not be taken in its place. */
	if (!resolver_failure_is_missing(q->failure)) {
		set_failure(q, q->failure);
		settle(q);
		return;
	}
	next_name(q);
}

static void
on_query_timer(void *ctx)
{
	struct resolver_query *q = ctx;

	if (q->is_settled)
		deliver(q);
	else
		conclude(q);
}

/* AD is about the name that was asked for, by a resolver that may say so: a
 * name out of a search list is nobody's word. That the resolver validates is
 * seen by the probe alone: of names that are its own, such as those of the
 * hosts file, systemd-resolved says AD without. */
static bool
is_vouched_for(
    const struct resolver_query *q, const unsigned char *msg, size_t n)
{
	struct resolver *r = q->resolver;

	if (!r->is_trusted || !dnsquestion_is_authentic(msg, n))
		return false;
	if (q->kind == RESOLVER_PROBE) {
		r->has_vouched = true;
		r->vouched_ms = loop_now_ms(r->loop);
	}
	return q->source == SOURCE_DNS && r->search_flags == 0;
}

static int
take_reply(
    struct resolver_query *q, unsigned type, const unsigned char *msg, size_t n)
{
	const struct rewriter *filter =
	    q->source == SOURCE_DNS ? q->resolver->filter : NULL;

	bool is_secure = is_vouched_for(q, msg, n);
	int rc =
	    q->resolver->is_trusted ? dnsquestion_status(msg, n) : ARES_SUCCESS;

	enum resolver_records found;

	if (rc != ARES_SUCCESS || q->kind == RESOLVER_PROBE)
		return rc;
	found = resolver_records_read(
	    &q->answer, type, filter, is_secure, msg, n, &q->ttl_s);
	/* What a search list found is no alias. */
	if (q->source != SOURCE_DNS)
		*q->answer.origin.name = *q->answer.origin6.name = '\0';
	switch (found) {
	case RESOLVER_RECORDS_FOUND:
		return ARES_SUCCESS;
	case RESOLVER_RECORDS_NONE:
		return ARES_ENODATA;
	case RESOLVER_RECORDS_DROPPED:
		return FILTER_DROPPED;
	case RESOLVER_RECORDS_MALFORMED:
		return ARES_EBADRESP;
	case RESOLVER_RECORDS_FILTER_FAILED:
		break;
	}
	return FILTER_FAILED;
}

static void
on_reply(void *ctx, int rc, int timeouts, unsigned char *msg, int n)
{
	struct question *question = ctx;
	struct resolver_query *q = question->query;
	int64_t partner_ms;

	(void)timeouts;
	if (q == NULL) {
		mem_free(question);
		return;
	}
	for (size_t i = 0; i < TYPES_MAX; i++)
		if (q->questions[i] == question)
			q->questions[i] = NULL;
	if (rc == ARES_SUCCESS)
		rc = take_reply(q, question->type, msg, (size_t)n);
	mem_free(question);
	q->failure = resolver_failure_worse(q->failure, rc);
	if (!has_open_questions(q)) {
		/* Not from inside the call that asked. */
		loop_timer_at(q->timer, 0);
	} else if (q->answer.count > 0) {
		partner_ms = q->resolver->conf.timeout_s * INT64_C(1000);
		if (partner_ms > PARTNER_MS)
			partner_ms = PARTNER_MS;
		loop_timer_at(
		    q->timer, loop_now_ms(q->resolver->loop) + partner_ms);
	}
}

static void
ask_type(struct resolver_query *q, const char *name, size_t i, unsigned type)
{
	struct question *question = mem_zalloc(sizeof(*question));
	ares_channel channel = ares_loop_channel(q->resolver->dns);

	CHECK(i < TYPES_MAX && q->questions[i] == NULL && !q->is_settled);
	question->query = q;
	question->type = type;
	q->questions[i] = question;
	if (q->resolver->is_trusted)
		dnsquestion_send(channel, name, type, on_reply, question);
	else
		ares_query(
		    channel, name, DNS_CLASS_IN, (int)type, on_reply, question);
}

/* Asks DNS for all types of this absolute name. */
static void
ask_name(struct resolver_query *q, const char *name)
{
	struct resolver *r = q->resolver;

	q->failure = *name == '\0' ? ARES_EBADNAME : ARES_SUCCESS;
	if (*name != '\0' && q->kind != RESOLVER_ADDRS) {
		ask_type(q, name, 0, type_of(q));
	} else if (*name != '\0') {
		if (r->has_ipv4)
			ask_type(q, name, 0, DNS_TYPE_A);
		if (r->has_ipv6)
			ask_type(q, name, 1, DNS_TYPE_AAAA);
	}
	/* c-ares may have answered from inside. */
	loop_timer_at(q->timer,
	    has_open_questions(q)
		? loop_now_ms(r->loop) + resolvconf_patience_ms(&r->conf)
		: 0);
	ares_loop_asked(r->dns);
}

static bool
is_enabled(const struct resolver_query *q, enum source source)
{
	const struct resolver *r = q->resolver;

	if (q->kind != RESOLVER_ADDRS)
		return source == SOURCE_DNS;
	return source == SOURCE_DNS ? r->has_dns : r->has_native;
}

static void
fail(struct resolver_query *q, int rc)
{
	set_failure(q, rc);
	settle(q);
}

/* Goes on with the next name that may be meant, or the next source. */
static void
next_name(struct resolver_query *q)
{
	struct resolver *r = q->resolver;
	char name[RESOLVCONF_NAME_SIZE];
	unsigned flags;
	int last = q->failure;

	for (; q->source < SOURCE_END; q->source++, q->name_index = 0) {
		if (!is_enabled(q, q->source))
			continue;
		if (q->source == SOURCE_FILES) {
			hostsfile_find(r->files, q->name, r->has_ipv4,
			    r->has_ipv6, &q->answer);
			if (q->answer.count > 0) {
				settle(q);
				return;
			}
			continue;
		}
		flags = q->source == SOURCE_DNS
			    ? r->search_flags
			    : RESOLVCONF_DEFNAMES | RESOLVCONF_DNSRCH;
		if (!resolvconf_name(
			&r->conf, flags, q->name, q->name_index, name))
			continue;
		q->name_index++;
		ask_name(q, name);
		return;
	}
	q->source = q->kind == RESOLVER_ADDRS && r->has_native
			? SOURCE_NATIVE_DNS
			: SOURCE_DNS;
	fail(q, last == ARES_SUCCESS ? ARES_ENOTFOUND : last);
}

/* A query that is settled when the answer is known without asking. */
static struct resolver_query *
begin(struct resolver *r, const char *name, enum resolver_kind kind,
    resolver_fn *fn, void *ctx)
{
	struct resolver_query *q = mem_zalloc(sizeof(*q));
	const struct resolver_answer *known =
	    resolver_cache_find(&r->cache, name, kind, loop_now_ms(r->loop));

	CHECK(fn != NULL);
	q->resolver = r;
	q->name = mem_strdup(name);
	q->kind = kind;
	q->ttl_s = RESOLVER_TTL_MAX_S;
	q->fn = fn;
	q->ctx = ctx;
	q->timer = loop_timer_new(r->loop, on_query_timer, q);
	list_push(&r->queries, &q->link);
	if (known != NULL) {
		resolver_answer_dup(&q->answer, known);
		settle(q);
	} else if (!r->is_usable) {
		fail(q, ARES_ETIMEOUT);
	}
	return q;
}

static void
add_loopback(struct resolver_query *q)
{
	struct resolver_answer *a = &q->answer;
	struct sockaddr_in *sin;
	struct sockaddr_in6 *sin6;

	a->addrs = mem_zarray(2, sizeof(*a->addrs));
	if (q->resolver->has_ipv4) {
		sin = (void *)&a->addrs[a->count++];
		sin->sin_family = AF_INET;
		sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	if (q->resolver->has_ipv6) {
		sin6 = (void *)&a->addrs[a->count++];
		sin6->sin6_family = AF_INET6;
		sin6->sin6_addr = in6addr_loopback;
	}
	settle(q);
}

/* RFC 6761 6.3: these names never leave the machine. */
static bool
is_localhost(const char *host)
{
	size_t n = strlen(host), tail = strlen(".localhost");

	return strcasecmp(host, "localhost") == 0 ||
	       (n > tail && strcasecmp(host + n - tail, ".localhost") == 0);
}

struct resolver_query *
resolver_addrs(
    struct resolver *resolver, const char *host, resolver_fn *fn, void *ctx)
{
	struct resolver_query *q =
	    begin(resolver, host, RESOLVER_ADDRS, fn, ctx);

	if (q->is_settled)
		return q;
	if (is_localhost(host))
		add_loopback(q);
	else
		next_name(q);
	return q;
}

struct resolver_query *
resolver_ask(struct resolver *resolver, enum resolver_kind kind,
    const char *name, resolver_fn *fn, void *ctx)
{
	struct resolver_query *q;

	CHECK(kind != RESOLVER_ADDRS && kind != RESOLVER_PROBE);
	q = begin(resolver, name, kind, fn, ctx);
	if (!q->is_settled)
		next_name(q);
	return q;
}

struct resolver_query *
resolver_probe(struct resolver *resolver, unsigned type, const char *name,
    resolver_fn *fn, void *ctx)
{
	struct resolver_query *q =
	    begin(resolver, name, RESOLVER_PROBE, fn, ctx);

	q->probe_type = type;
	if (!q->is_settled)
		ask_name(q, name);
	return q;
}

void
resolver_cancel(struct resolver_query **query)
{
	struct resolver_query *q = *query;

	*query = NULL;
	if (q != NULL)
		query_free(q);
}
