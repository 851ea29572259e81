/* One struct resolver_query lives from the call until its callback. c-ares
 * may answer at once or late, and cannot forget a single question: a query
 * whose asker is gone stays until c-ares has let go of it.
 *
 *   ask -> [cache] -> c-ares -> on_addrs/on_mx -> zero timer -> fn
 */
#include "agent/io/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	CLASS_IN = 1,
	TYPE_MX = 15,
	TRIES = 3,
	HEADER_SIZE = 12, /* of a DNS message */
	RR_FIXED_SIZE = 10, /* type, class, TTL, length */
};

struct watch {
	struct list link;
	struct resolver *resolver;
	struct loop_fd *fd_watch;
	int fd;
};

struct cached {
	struct list link; /* most recently added last */
	char *name;
	bool is_mx;
	int64_t until_ms;
	struct resolver_answer answer;
};

struct resolver {
	struct loop *loop;
	ares_channel channel;
	bool is_usable;
	bool has_ipv4, has_ipv6;
	struct loop_timer *timer;
	struct list watches, queries, cache;
	int cache_count;
};

struct resolver_query {
	struct list link;
	struct resolver *resolver;
	struct loop_timer *timer; /* delivers the answer */
	char *name;
	bool is_mx;
	bool is_asked; /* c-ares holds us */
	resolver_fn *fn; /* NULL: cancelled */
	void *ctx;
	struct resolver_answer answer;
};

static void
answer_fini(struct resolver_answer *answer)
{
	mem_free(answer->addrs);
	mem_free(answer->mx);
	memset(answer, 0, sizeof(*answer));
}

static void
answer_dup(struct resolver_answer *out, const struct resolver_answer *answer)
{
	*out = *answer;
	if (answer->addrs != NULL) {
		out->addrs = mem_zarray(answer->count, sizeof(*out->addrs));
		memcpy(out->addrs, answer->addrs,
		    answer->count * sizeof(*out->addrs));
	}
	if (answer->mx != NULL) {
		out->mx = mem_zarray(answer->count, sizeof(*out->mx));
		memcpy(out->mx, answer->mx, answer->count * sizeof(*out->mx));
	}
}

static void
cached_free(struct resolver *r, struct cached *c)
{
	list_remove(&c->link);
	r->cache_count--;
	answer_fini(&c->answer);
	mem_free(c->name);
	mem_free(c);
}

static void
cache_add(struct resolver *r, const struct resolver_query *q, int ttl_s)
{
	struct cached *c;

	if (ttl_s <= 0)
		return;
	if (ttl_s > RESOLVER_TTL_MAX_S)
		ttl_s = RESOLVER_TTL_MAX_S;
	if (r->cache_count == RESOLVER_CACHE_MAX)
		cached_free(r, list_entry(r->cache.next, struct cached, link));
	c = mem_zalloc(sizeof(*c));
	c->name = mem_strdup(q->name);
	c->is_mx = q->is_mx;
	c->until_ms = loop_now_ms(r->loop) + (int64_t)ttl_s * 1000;
	answer_dup(&c->answer, &q->answer);
	list_push(&r->cache, &c->link);
	r->cache_count++;
}

static const struct cached *
cache_find(struct resolver *r, const char *name, bool is_mx)
{
	list_each_safe (it, &r->cache) {
		struct cached *c = list_entry(it, struct cached, link);

		if (c->until_ms <= loop_now_ms(r->loop))
			cached_free(r, c);
		else if (c->is_mx == is_mx && strcasecmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

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

/* c-ares' letters: b asks DNS, f reads the hosts file. A smarthost is often
 * named in the hosts file alone, so that is the last resort even where smtp(8)
 * would not look. */
static const char *
lookup_order(const char *words)
{
	const char *dns = strcasestr(words, "dns");
	const char *native = strcasestr(words, "native");

	if (native == NULL)
		return "bf";
	return dns != NULL && dns < native ? "bf" : "fb";
}

struct resolver *
resolver_new(struct loop *loop, const struct settings *set)
{
	struct resolver *r = mem_zalloc(sizeof(*r));
	struct ares_options options = {0};
	bool all = strcasestr(set->inet_protocols, "all") != NULL;
	char order[4];
	int rc;

	r->loop = loop;
	list_init(&r->watches);
	list_init(&r->queries);
	list_init(&r->cache);
	r->timer = loop_timer_new(loop, on_timer, r);
	r->has_ipv4 = all || strcasestr(set->inet_protocols, "ipv4") != NULL;
	r->has_ipv6 = all || strcasestr(set->inet_protocols, "ipv6") != NULL;
	(void)snprintf(
	    order, sizeof(order), "%s", lookup_order(set->smtp_host_lookup));
	options.sock_state_cb = on_socket;
	options.sock_state_cb_data = r;
	options.lookups = order;
	options.flags = ARES_FLAG_NOSEARCH;
	options.tries = TRIES;
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS)
		rc = ares_init_options(&r->channel, &options,
		    ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_FLAGS |
			ARES_OPT_TRIES);
	r->is_usable = rc == ARES_SUCCESS;
	if (!r->is_usable)
		log_warn("cannot start the resolver: %s", ares_strerror(rc));
	return r;
}

static void
query_free(struct resolver_query *q)
{
	list_remove(&q->link);
	loop_timer_free(&q->timer);
	answer_fini(&q->answer);
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
	list_each (it, &r->queries) {
		list_entry(it, struct resolver_query, link)->fn = NULL;
	}
	/* Ends all questions, each with its callback. */
	if (r->is_usable)
		ares_destroy(r->channel);
	while (!list_is_empty(&r->queries))
		query_free(list_entry(
		    list_first(&r->queries), struct resolver_query, link));
	while (!list_is_empty(&r->cache))
		cached_free(r, list_entry(r->cache.next, struct cached, link));
	loop_timer_free(&r->timer);
	ares_library_cleanup();
	mem_free(r);
}

bool
resolver_use_servers(struct resolver *resolver, const char *csv)
{
	return resolver->is_usable &&
	       ares_set_servers_ports_csv(resolver->channel, csv) ==
		   ARES_SUCCESS;
}

bool
resolver_has_family(const struct resolver *resolver, int family)
{
	return (family == AF_INET && resolver->has_ipv4) ||
	       (family == AF_INET6 && resolver->has_ipv6);
}

static void
deliver(void *ctx)
{
	struct resolver_query *q = ctx;
	resolver_fn *fn = q->fn;
	void *fn_ctx = q->ctx;
	struct resolver_answer answer = q->answer;

	memset(&q->answer, 0, sizeof(q->answer));
	query_free(q);
	if (fn != NULL)
		fn(fn_ctx, &answer);
	answer_fini(&answer);
}

static void
settle(struct resolver_query *q)
{
	if (q->fn == NULL)
		query_free(q);
	else
		loop_timer_at(q->timer, 0);
}

/* The type smtp(8) would have asked last. */
static const char *
type_name(const struct resolver_query *q)
{
	if (q->is_mx)
		return "MX";
	return q->resolver->has_ipv6 ? "AAAA" : "A";
}

static void
set_failure(struct resolver_query *q, int rc)
{
	const char *text = "Host not found, try again";

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
	(void)snprintf(q->answer.reason, sizeof(q->answer.reason),
	    "Host or domain name not found. Name service error for "
	    "name=%s type=%s: %s",
	    q->name, type_name(q), text);
}

static void
on_addrs(void *ctx, int rc, int timeouts, struct ares_addrinfo *info)
{
	struct resolver_query *q = ctx;
	struct resolver_answer *a = &q->answer;
	int ttl_s = RESOLVER_TTL_MAX_S;

	(void)timeouts;
	q->is_asked = false;
	if (rc == ARES_SUCCESS)
		a->addrs = mem_zarray(RESOLVER_ADDRS_MAX, sizeof(*a->addrs));
	for (struct ares_addrinfo_node *node = rc == ARES_SUCCESS ? info->nodes
								  : NULL;
	     node != NULL && a->count < RESOLVER_ADDRS_MAX;
	     node = node->ai_next) {
		if (!resolver_has_family(q->resolver, node->ai_family) ||
		    node->ai_addrlen > (socklen_t)sizeof(*a->addrs))
			continue;
		memcpy(&a->addrs[a->count++], node->ai_addr,
		    (size_t)node->ai_addrlen);
		if (node->ai_ttl < ttl_s)
			ttl_s = node->ai_ttl;
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
	if (a->count == 0)
		set_failure(q, rc == ARES_SUCCESS ? ARES_ENODATA : rc);
	else
		cache_add(q->resolver, q, ttl_s);
	settle(q);
}

/* Length of the name at p in the message, 0 if malformed; its text in out. */
static size_t
read_name(const unsigned char *p, const unsigned char *msg, size_t n, char *out,
    size_t size)
{
	char *name = NULL;
	long used = 0;

	if (p >= msg + n ||
	    ares_expand_name(p, msg, (int)n, &name, &used) != ARES_SUCCESS)
		return 0;
	if (out != NULL)
		(void)snprintf(out, size, "%s", name);
	ares_free_string(name);
	return (size_t)used;
}

static unsigned
get16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Reads the MX records of a reply and the least TTL. c-ares' own parser of
 * this release drops the TTLs. */
static bool
read_mx(struct resolver_answer *a, const unsigned char *msg, size_t n,
    int *ttl_s_out)
{
	size_t at = HEADER_SIZE, used, length;
	unsigned questions, answers;

	*ttl_s_out = RESOLVER_TTL_MAX_S;
	if (n < HEADER_SIZE)
		return false;
	questions = get16(msg + 4);
	answers = get16(msg + 6);
	for (unsigned i = 0; i < questions; i++) {
		used = read_name(msg + at, msg, n, NULL, 0);
		if (used == 0)
			return false;
		at += used + 4;
	}
	for (unsigned i = 0; i < answers && a->count < RESOLVER_MX_MAX; i++) {
		uint32_t ttl;

		used = at < n ? read_name(msg + at, msg, n, NULL, 0) : 0;
		if (used == 0 || at + used + RR_FIXED_SIZE > n)
			return false;
		at += used;
		ttl = (uint32_t)get16(msg + at + 4) << 16 | get16(msg + at + 6);
		length = get16(msg + at + 8);
		if (ttl < (uint32_t)*ttl_s_out)
			*ttl_s_out = (int)ttl;
		if (length > n - at - RR_FIXED_SIZE)
			return false;
		if (get16(msg + at) == TYPE_MX && length >= 3) {
			struct resolver_mx *mx = &a->mx[a->count++];
			const unsigned char *data = msg + at + RR_FIXED_SIZE;

			mx->preference = get16(data);
			if (read_name(data + 2, msg, n, mx->host,
				sizeof(mx->host)) == 0)
				return false;
		}
		at += RR_FIXED_SIZE + length;
	}
	return true;
}

static int
by_preference(const void *a, const void *b)
{
	const struct resolver_mx *x = a, *y = b;

	return x->preference < y->preference ? -1
					     : x->preference > y->preference;
}

static void
on_mx(void *ctx, int rc, int timeouts, unsigned char *msg, int n)
{
	struct resolver_query *q = ctx;
	struct resolver_answer *a = &q->answer;
	int ttl_s = 0;

	(void)timeouts;
	q->is_asked = false;
	if (rc == ARES_SUCCESS) {
		a->mx = mem_zarray(RESOLVER_MX_MAX, sizeof(*a->mx));
		if (!read_mx(a, msg, (size_t)n, &ttl_s))
			rc = ARES_EBADRESP;
		else if (a->count == 0)
			rc = ARES_ENODATA;
	}
	if (rc != ARES_SUCCESS) {
		a->count = 0;
		set_failure(q, rc);
	} else {
		qsort(a->mx, a->count, sizeof(*a->mx), by_preference);
		cache_add(q->resolver, q, ttl_s);
	}
	settle(q);
}

static struct resolver_query *
ask(struct resolver *r, const char *name, bool is_mx, resolver_fn *fn,
    void *ctx)
{
	struct resolver_query *q = mem_zalloc(sizeof(*q));
	const struct cached *c = cache_find(r, name, is_mx);

	q->resolver = r;
	q->name = mem_strdup(name);
	q->is_mx = is_mx;
	q->fn = fn;
	q->ctx = ctx;
	q->timer = loop_timer_new(r->loop, deliver, q);
	list_push(&r->queries, &q->link);
	if (c != NULL) {
		answer_dup(&q->answer, &c->answer);
		settle(q);
	} else if (!r->is_usable) {
		set_failure(q, ARES_ETIMEOUT);
		settle(q);
	} else {
		q->is_asked = true;
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
	q->is_asked = false;
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
	struct resolver_query *q = ask(resolver, host, false, fn, ctx);
	struct ares_addrinfo_hints hints = {0};

	if (!q->is_asked)
		return q;
	if (is_localhost(host)) {
		add_loopback(q);
		return q;
	}
	hints.ai_family = !resolver->has_ipv6   ? AF_INET
			  : !resolver->has_ipv4 ? AF_INET6
						: AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	/* The order is ours to make; c-ares' would probe with sockets. */
	hints.ai_flags = ARES_AI_NOSORT;
	ares_getaddrinfo(resolver->channel, host, NULL, &hints, on_addrs, q);
	arm_timer(resolver);
	return q;
}

struct resolver_query *
resolver_mx(
    struct resolver *resolver, const char *domain, resolver_fn *fn, void *ctx)
{
	struct resolver_query *q = ask(resolver, domain, true, fn, ctx);

	if (!q->is_asked)
		return q;
	ares_query(resolver->channel, domain, CLASS_IN, TYPE_MX, on_mx, q);
	arm_timer(resolver);
	return q;
}

void
resolver_cancel(struct resolver_query **query)
{
	struct resolver_query *q = *query;

	*query = NULL;
	if (q == NULL)
		return;
	q->fn = NULL;
	if (!q->is_asked)
		query_free(q);
}
