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

#include "agent/io/dnsreply.h"
#include "agent/io/resolvconf.h"
#include "agent/io/resolver_cache.h"
#include "agent/io/resolver_records.h"
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

struct watch {
	struct list link;
	struct resolver *resolver;
	struct loop_fd *fd_watch;
	int fd;
};

struct resolver {
	struct loop *loop;
	struct resolvconf conf;
	bool has_dns, has_native; /* smtp_host_lookup */
	unsigned search_flags; /* smtp_dns_resolver_options */
	ares_channel channel; /* asks name servers */
	ares_channel files; /* reads the hosts file, asks nobody */
	bool is_usable;
	bool has_ipv4, has_ipv6;
	struct loop_timer *timer;
	struct list watches, queries;
	struct resolver_cache cache;
	const struct rewriter *filter; /* or NULL */
};

/* What the filter made of a reply, beside the statuses of c-ares. */
enum { FILTER_DROPPED = 1000, FILTER_FAILED };

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
arm_timer(struct resolver *r)
{
	struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);

	if (next == NULL)
		loop_timer_cancel(r->timer);
	else
		loop_timer_at(r->timer, loop_now_ms(r->loop) +
					    next->tv_sec * 1000 +
					    next->tv_usec / 1000 + 1);
}

static void
on_timer(void *ctx)
{
	struct resolver *r = ctx;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(r);
}

static void
on_fd(void *ctx, bool readable, bool writable)
{
	struct watch *w = ctx;
	struct resolver *r = w->resolver;

	/* The watch may be gone afterwards. */
	ares_process_fd(r->channel, readable ? w->fd : ARES_SOCKET_BAD,
	    writable ? w->fd : ARES_SOCKET_BAD);
	arm_timer(r);
}

static struct watch *
find_watch(struct resolver *r, int fd)
{
	list_each (it, &r->watches) {
		struct watch *w = list_entry(it, struct watch, link);

		if (w->fd == fd)
			return w;
	}
	return NULL;
}

/* c-ares tells which sockets it wants watched, and for what. */
static void
on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = ctx;
	struct watch *w = find_watch(r, fd);

	if (!readable && !writable) {
		if (w != NULL) {
			list_remove(&w->link);
			loop_unwatch(&w->fd_watch);
			loop_defer(r->loop, mem_free, w);
		}
		return;
	}
	if (w == NULL) {
		w = mem_zalloc(sizeof(*w));
		w->resolver = r;
		w->fd = fd;
		w->fd_watch = loop_watch(r->loop, fd, on_fd, w);
		list_push(&r->watches, &w->link);
	}
	loop_want(w->fd_watch, readable != 0, writable != 0);
}

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
use_servers(struct resolver *r, const char *csv)
{
	r->conf.server_count = 1;
	for (const char *p = csv; *p != '\0'; p++)
		r->conf.server_count += *p == ',';
	return ares_set_servers_ports_csv(r->channel, csv);
}

static int
open_dns(struct resolver *r, const char *servers)
{
	struct ares_options options = {0};
	int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
	int rc;

	options.sock_state_cb = on_socket;
	options.sock_state_cb_data = r;
	options.timeout = r->conf.timeout_s * 1000;
	options.tries = r->conf.attempts;
	mask |= r->conf.rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE;
	rc = ares_init_options(&r->channel, &options, mask);
	if (rc != ARES_SUCCESS || servers == NULL)
		return rc;
	rc = use_servers(r, servers);
	if (rc != ARES_SUCCESS)
		ares_destroy(r->channel);
	return rc;
}

static int
open_files(struct resolver *r)
{
	struct ares_options options = {0};
	char lookups[] = "f";

	options.lookups = lookups;
	return ares_init_options(&r->files, &options, ARES_OPT_LOOKUPS);
}

bool
resolver_wants_dns(const struct settings *set)
{
	if (*set->smtp_dns_support_level != '\0')
		return strcmp(set->smtp_dns_support_level, "disabled") != 0;
	return !set->disable_dns_lookups;
}

struct resolver *
resolver_new_from(struct loop *loop, const struct settings *set,
    const char *resolv_conf, const char *servers)
{
	struct resolver *r = mem_zalloc(sizeof(*r));
	int rc;

	r->loop = loop;
	list_init(&r->watches);
	list_init(&r->queries);
	resolver_cache_init(&r->cache);
	r->timer = loop_timer_new(loop, on_timer, r);
	read_settings(r, set);
	resolvconf_read(&r->conf, resolv_conf);
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS)
		rc = open_dns(r, servers);
	if (rc == ARES_SUCCESS) {
		rc = open_files(r);
		if (rc != ARES_SUCCESS)
			ares_destroy(r->channel);
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
resolver_new(struct loop *loop, const struct settings *set)
{
	return resolver_new_from(loop, set, RESOLVCONF_PATH, NULL);
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
		ares_destroy(r->channel);
		ares_destroy(r->files);
	}
	resolver_cache_fini(&r->cache);
	loop_timer_free(&r->timer);
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

/* The type smtp(8) would have asked last. */
static const char *
type_name(const struct resolver_query *q)
{
	if (q->kind != RESOLVER_ADDRS)
		return q->kind == RESOLVER_MX ? "MX" : "SRV";
	return q->resolver->has_ipv6 ? "AAAA" : "A";
}

static void
set_filtered(struct resolver_query *q, int rc)
{
	bool is_dropped = rc == FILTER_DROPPED;

	q->answer.status = is_dropped ? RESOLVER_FILTERED : RESOLVER_TEMPORARY;
	(void)snprintf(q->answer.reason, sizeof(q->answer.reason),
	    "Error looking up name=%s type=%s: %s", q->name, type_name(q),
	    is_dropped ? "DNS reply filter drops all results"
		       : "Invalid DNS reply filter syntax");
}

static void
set_failure(struct resolver_query *q, int rc)
{
	const char *text = "Host not found, try again";

	if (rc == FILTER_DROPPED || rc == FILTER_FAILED) {
		set_filtered(q, rc);
		return;
	}
	q->answer.status = RESOLVER_TEMPORARY;
	if (rc == ARES_ENOTFOUND || rc == ARES_EBADNAME) {
		q->answer.status = RESOLVER_NOT_FOUND;
		text = "Host not found";
	} else if (rc == ARES_ENODATA) {
		q->answer.status = RESOLVER_NOT_FOUND;
		text = "Host found but no data record of requested type";
	} else if (rc == ARES_EFORMERR || rc == ARES_ENOTIMP ||
		   rc == ARES_EREFUSED) {
		q->answer.status = RESOLVER_FAILED;
		text = "Non-recoverable error";
	} else if (rc == ARES_EBADRESP) {
		text = "Malformed or unexpected name server reply";
	}
	if (q->source == SOURCE_DNS)
		(void)snprintf(q->answer.reason, sizeof(q->answer.reason),
		    "Host or domain name not found. Name service error for "
		    "name=%s type=%s: %s",
		    q->name, type_name(q), text);
	else
		(void)snprintf(q->answer.reason, sizeof(q->answer.reason),
		    "unable to look up host %s: %s", q->name,
		    q->answer.status == RESOLVER_TEMPORARY
			? "Temporary failure in name resolution"
			: "Name or service not known");
}

/* A name that does not exist, or has no such record. */
static bool
is_missing(int rc)
{
	return rc == ARES_ENOTFOUND || rc == ARES_EBADNAME ||
	       rc == ARES_ENODATA;
}

/* What two questions about one name found: something is better than nothing,
 * a trouble that may pass hides whether there is something. */
static int
worse(int a, int b)
{
	if (a == ARES_SUCCESS || b == ARES_SUCCESS)
		return a == ARES_SUCCESS ? b : a;
	if (is_missing(a) != is_missing(b))
		return is_missing(a) ? b : a;
	return a == ARES_ENODATA ? a : b;
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

/* All about the name in hand is known, or will not be. */
static void
conclude(struct resolver_query *q)
{
	struct resolver_answer *a = &q->answer;
	int ttl_s = q->ttl_s;

	CHECK(!q->is_settled);
	if (a->count > 0) {
		if (has_open_questions(q) || (q->failure != ARES_SUCCESS &&
						 q->failure != FILTER_DROPPED))
			ttl_s = ttl_s < PARTIAL_TTL_S ? ttl_s : PARTIAL_TTL_S;
		if (q->kind != RESOLVER_ADDRS)
			qsort(a->mx, a->count, sizeof(*a->mx), by_preference);
		resolver_cache_add(&q->resolver->cache, q->name, q->kind,
		    &q->answer, ttl_s, loop_now_ms(q->resolver->loop));
		settle(q);
		return;
	}
	if (has_open_questions(q))
		q->failure = worse(q->failure, ARES_ETIMEOUT);
	forget_questions(q);
	/* While it is not known that this name does not exist, the next must
	 * not be taken in its place. */
	if (!is_missing(q->failure)) {
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

static int
take_reply(
    struct resolver_query *q, unsigned type, const unsigned char *msg, size_t n)
{
	const struct rewriter *filter =
	    q->source == SOURCE_DNS ? q->resolver->filter : NULL;

	switch (resolver_records_read(
	    &q->answer, type, filter, msg, n, &q->ttl_s)) {
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
	q->failure = worse(q->failure, rc);
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

	CHECK(i < TYPES_MAX && q->questions[i] == NULL && !q->is_settled);
	question->query = q;
	question->type = type;
	q->questions[i] = question;
	ares_query(q->resolver->channel, name, DNS_CLASS_IN, (int)type,
	    on_reply, question);
}

/* Asks DNS for all types of this absolute name. */
static void
ask_name(struct resolver_query *q, const char *name)
{
	struct resolver *r = q->resolver;
	q->failure = *name == '\0' ? ARES_EBADNAME : ARES_SUCCESS;
	if (*name != '\0' && q->kind != RESOLVER_ADDRS) {
		ask_type(q, name, 0,
		    q->kind == RESOLVER_MX ? DNS_TYPE_MX : DNS_TYPE_SRV);
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
	arm_timer(r);
}

static void
on_file_entry(void *ctx, int rc, int timeouts, struct ares_addrinfo *info)
{
	struct resolver_query *q = ctx;

	(void)timeouts;
	for (struct ares_addrinfo_node *node = rc == ARES_SUCCESS ? info->nodes
								  : NULL;
	     node != NULL; node = node->ai_next) {
		const struct sockaddr_in *sin = (const void *)node->ai_addr;
		const struct sockaddr_in6 *sin6 = (const void *)node->ai_addr;

		if (!resolver_has_family(q->resolver, node->ai_family))
			continue;
		if (node->ai_family == AF_INET)
			resolver_records_add_addr(&q->answer, AF_INET,
			    &sin->sin_addr, sizeof(sin->sin_addr));
		else
			resolver_records_add_addr(&q->answer, AF_INET6,
			    &sin6->sin6_addr, sizeof(sin6->sin6_addr));
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
}

/* The hosts file; the answer is there when this returns. */
static void
look_into_files(struct resolver_query *q)
{
	struct ares_addrinfo_hints hints = {0};

	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	/* The order is ours to make; c-ares' would probe with sockets.
	 * CARES_HOSTS in the environment names another file; told to look for
	 * that when there is none, c-ares 1.34 reads no file at all. */
	hints.ai_flags = ARES_AI_NOSORT;
	if (getenv("CARES_HOSTS") != NULL)
		hints.ai_flags |= ARES_AI_ENVHOSTS;
	ares_getaddrinfo(
	    q->resolver->files, q->name, NULL, &hints, on_file_entry, q);
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
			look_into_files(q);
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
ask(struct resolver *r, const char *name, enum resolver_kind kind,
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
	struct resolver_query *q = ask(resolver, host, RESOLVER_ADDRS, fn, ctx);

	if (q->is_settled)
		return q;
	if (is_localhost(host))
		add_loopback(q);
	else
		next_name(q);
	return q;
}

static struct resolver_query *
ask_dns(struct resolver *r, const char *name, enum resolver_kind kind,
    resolver_fn *fn, void *ctx)
{
	struct resolver_query *q = ask(r, name, kind, fn, ctx);

	if (!q->is_settled)
		next_name(q);
	return q;
}

struct resolver_query *
resolver_mx(
    struct resolver *resolver, const char *domain, resolver_fn *fn, void *ctx)
{
	return ask_dns(resolver, domain, RESOLVER_MX, fn, ctx);
}

struct resolver_query *
resolver_srv(
    struct resolver *resolver, const char *name, resolver_fn *fn, void *ctx)
{
	return ask_dns(resolver, name, RESOLVER_SRV, fn, ctx);
}

void
resolver_cancel(struct resolver_query **query)
{
	struct resolver_query *q = *query;

	*query = NULL;
	if (q != NULL)
		query_free(q);
}
