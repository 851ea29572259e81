#include "agent/smarthost/candidate.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/smtp/nexthop.h"

enum {
	ADDRS_MAX = 64,
	ADDRS_PER_MX = 8,
	HELD_MAX = 32,
	SERVICE_SIZE = NEXTHOP_HOST_SIZE + NEXTHOP_PORT_SIZE + 8,
};

struct lookup {
	struct candidates *owner;
	struct resolver_query *query;
	char host[RESOLVER_HOST_SIZE];
	unsigned preference, turn;
	uint16_t port; /* 0: the nexthop's */
};

enum candidates_problem {
	CANDIDATES_FINE,
	CANDIDATES_TROUBLE, /* it may pass */
	CANDIDATES_MISTAKE, /* of the configuration */
};

struct candidates {
	struct loop *loop;
	struct resolver *resolver;
	const struct settings *set;
	const struct candidate_rests *rests;
	char *text; /* nexthops */
	int level; /* the one wanted, or CANDIDATE_ALL_LEVELS */
	char *past; /* "address:port" left out */
	int levels, alike; /* of the last nexthop */
	struct slice rest; /* of text, still to be done */
	struct candidate current; /* template of the nexthop in hand */
	char service[SERVICE_SIZE]; /* its SRV name, "": not asked for */
	struct candidate *found; /* of the nexthop in hand */
	struct candidate *chosen; /* scratch, as large */
	size_t found_count, found_at;
	struct candidate *held; /* at rest, for the end */
	size_t held_count, held_at;
	struct resolver_query *mx_query; /* or of SRV */
	struct lookup lookups[RESOLVER_MX_MAX];
	size_t lookup_count, lookups_open;
	int skip_number;
	enum candidates_problem what; /* the problem is */
	struct dsn problem;
	struct loop_timer *timer;
	candidate_fn *fn; /* NULL: nobody waits */
	void *ctx;
};

static void next_nexthop(struct candidates *c);

static bool
same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
		       a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->ss_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
}

void
candidate_rest(struct candidate_rests *rests, const struct sockaddr_storage *sa,
    int64_t now_ms)
{
	size_t oldest = 0;

	for (size_t i = 0; i < CANDIDATE_RESTS_MAX; i++) {
		if (same_address(&rests->rests[i].sa, sa)) {
			oldest = i;
			break;
		}
		if (rests->rests[i].until_ms < rests->rests[oldest].until_ms)
			oldest = i;
	}
	rests->rests[oldest].sa = *sa;
	rests->rests[oldest].until_ms = now_ms + CANDIDATE_REST_MS;
}

void
candidate_wake(struct candidate_rests *rests, const struct sockaddr_storage *sa)
{
	for (size_t i = 0; i < CANDIDATE_RESTS_MAX; i++)
		if (same_address(&rests->rests[i].sa, sa))
			rests->rests[i].until_ms = 0;
}

static bool
is_at_rest(const struct candidates *c, const struct sockaddr_storage *sa)
{
	int64_t now_ms = loop_now_ms(c->loop);

	for (size_t i = 0; i < CANDIDATE_RESTS_MAX; i++)
		if (c->rests->rests[i].until_ms > now_ms &&
		    same_address(&c->rests->rests[i].sa, sa))
			return true;
	return false;
}

/* Number of a port given as number or service name, 0: unknown. */
static uint16_t
number_of_port(const char *port)
{
	/* What must work where /etc/services is missing (in a chroot). */
	static const struct {
		const char *name;
		uint16_t number;
	} known[] = {{"smtp", 25}, {"mail", 25}, {"submission", 587},
	    {"smtps", 465}, {"submissions", 465}, {"ssmtp", 465}};
	unsigned number = nexthop_port_number(port);
	const struct servent *service;

	if (number > 0)
		return (uint16_t)number;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(port, known[i].name) == 0)
			return known[i].number;
	service = getservbyname(port, "tcp");
	return service == NULL ? 0 : ntohs((uint16_t)service->s_port);
}

/* What may pass is not replaced by what will not, of the same dial. */
static void
note_problem(struct candidates *c, enum candidates_problem what,
    const char *status, const char *text)
{
	if (c->what == CANDIDATES_TROUBLE && what == CANDIDATES_MISTAKE)
		return;
	dsn_set(&c->problem, status, "%s", text);
	c->problem.cause = what == CANDIDATES_TROUBLE ? DSN_CAUSE_UNREACHABLE
						      : DSN_CAUSE_CONFIG;
	c->what = what;
}

static void
note_mistake(struct candidates *c, const char *text)
{
	note_problem(c, CANDIDATES_MISTAKE, "4.3.5", text);
}

/* All nexthops are the site's own choice: what can never resolve is a
 * mistake of the configuration, and mail waits until it is corrected. */
static void
note_answer(struct candidates *c, const struct resolver_answer *answer)
{
	if (answer->status == RESOLVER_TEMPORARY)
		note_problem(c, CANDIDATES_TROUBLE, "4.4.3", answer->reason);
	else if (answer->status == RESOLVER_FILTERED)
		note_problem(c, CANDIDATES_MISTAKE, "4.7.0", answer->reason);
	else
		note_mistake(c, answer->reason);
}

static void
add_address(struct candidates *c, const struct lookup *from,
    const struct sockaddr_storage *sa, const struct resolver_answer *answer)
{
	struct candidate *new;
	struct sockaddr_in *sin;
	struct sockaddr_in6 *sin6;
	const void *raw;

	if (c->found_count == ADDRS_MAX)
		return;
	new = &c->found[c->found_count];
	*new = c->current;
	new->sa = *sa;
	new->preference = from->preference;
	new->turn = from->turn;
	if (answer != NULL)
		new->address_origin =
		    sa->ss_family == AF_INET ? answer->origin : answer->origin6;
	if (from->port != 0)
		new->port = from->port;
	(void)snprintf(new->host, sizeof(new->host), "%s", from->host);
	sin = (void *)&new->sa;
	sin6 = (void *)&new->sa;
	if (sa->ss_family == AF_INET) {
		sin->sin_port = htons(new->port);
		raw = &sin->sin_addr;
	} else {
		sin6->sin6_port = htons(new->port);
		raw = &sin6->sin6_addr;
	}
	if (inet_ntop(sa->ss_family, raw, new->addr, sizeof(new->addr)) == NULL)
		return;
	c->found_count++;
}

static void
shuffle(struct candidate *list, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = arc4random_uniform((uint32_t)i);
		struct candidate t = list[i - 1];

		list[i - 1] = list[j];
		list[j] = t;
	}
}

static bool
comes_before(
    const struct candidate *a, const struct candidate *b, int first_family)
{
	if (a->preference != b->preference)
		return a->preference < b->preference;
	if (a->turn != b->turn)
		return a->turn < b->turn;
	return first_family != 0 && a->sa.ss_family == first_family &&
	       b->sa.ss_family != first_family;
}

/* Stable, and the lists are short. */
static void
sort(struct candidate *list, size_t n, int first_family)
{
	for (size_t i = 1; i < n; i++) {
		struct candidate t = list[i];
		size_t j = i;

		for (; j > 0 && comes_before(&t, &list[j - 1], first_family);
		     j--)
			list[j] = list[j - 1];
		list[j] = t;
	}
}

/* Keeps the limit without leaving one protocol out altogether: a site whose
 * IPv6 route is broken must still reach the other half. */
static void
cut(struct candidates *c)
{
	size_t limit = (size_t)c->set->smtp_mx_address_limit;

	if (c->set->smtp_mx_address_limit <= 0 || c->found_count <= limit)
		return;
	for (size_t i = limit; limit > 1 && i < c->found_count; i++) {
		bool is_new = true;

		for (size_t j = 0; j < limit; j++)
			if (c->found[j].sa.ss_family ==
			    c->found[i].sa.ss_family)
				is_new = false;
		if (is_new) {
			c->found[limit - 1] = c->found[i];
			break;
		}
	}
	c->found_count = limit;
}

static bool
is_past(const struct candidates *c, const struct candidate *one)
{
	char text[sizeof(one->addr) + 8];

	(void)snprintf(
	    text, sizeof(text), "%s:%u", one->addr, (unsigned)one->port);
	return strcmp(text, c->past) == 0;
}

/* Of the addresses in their order leaves those of the level that is wanted. */
static void
choose_level(struct candidates *c)
{
	size_t kept = 0;
	int level = -1;

	for (size_t i = 0; i < c->found_count; i++) {
		const struct candidate *one = &c->found[i];

		if (i == 0 || one->preference != one[-1].preference)
			level++;
		if ((c->level == CANDIDATE_ALL_LEVELS || c->level == level) &&
		    !is_past(c, one))
			c->chosen[kept++] = *one;
	}
	if (kept == 0 && c->found_count > 0)
		note_problem(c, CANDIDATES_TROUBLE, "4.4.4",
		    "no other host is known for it");
	memcpy(c->found, c->chosen, kept * sizeof(*c->found));
	c->levels = level + 1;
	c->alike = (int)kept;
	c->found_count = kept;
}

static void
arrange(struct candidates *c)
{
	const char *preference = c->set->smtp_address_preference;
	int family = strcasecmp(preference, "ipv4") == 0   ? AF_INET
		     : strcasecmp(preference, "ipv6") == 0 ? AF_INET6
							   : 0;
	size_t kept = 0;

	if (c->set->smtp_randomize_addresses)
		shuffle(c->found, c->found_count);
	sort(c->found, c->found_count, family);
	cut(c);
	choose_level(c);
	for (size_t i = 0; i < c->found_count; i++) {
		if (is_at_rest(c, &c->found[i].sa) && c->held_count < HELD_MAX)
			c->held[c->held_count++] = c->found[i];
		else
			c->found[kept++] = c->found[i];
	}
	if (c->found_count > 0)
		c->what = CANDIDATES_FINE;
	c->found_count = kept;
	c->found_at = 0;
}

static void
hand_out(struct candidates *c, const struct candidate *candidate)
{
	candidate_fn *fn = c->fn;

	c->fn = NULL;
	CHECK(fn != NULL);
	fn(c->ctx, candidate);
}

/* Gives the next address there is, or goes on to the next nexthop. */
static void
advance(void *ctx)
{
	struct candidates *c = ctx;
	const struct candidate *next;

	while (c->found_at < c->found_count) {
		next = &c->found[c->found_at++];
		if (next->nexthop_number != c->skip_number) {
			hand_out(c, next);
			return;
		}
	}
	c->found_count = 0;
	next_nexthop(c);
}

static bool fall_back(struct candidates *c, const char *why);

static void
on_addrs(void *ctx, const struct resolver_answer *answer)
{
	struct lookup *lookup = ctx;
	struct candidates *c = lookup->owner;

	lookup->query = NULL;
	c->lookups_open--;
	if (answer->status != RESOLVER_OK)
		note_answer(c, answer);
	for (size_t i = 0; i < answer->count; i++)
		if (c->lookup_count == 1 || i < ADDRS_PER_MX)
			add_address(c, lookup, &answer->addrs[i], answer);
	if (c->lookups_open > 0)
		return;
	if (c->found_count == 0 && c->set->allow_srv_lookup_fallback &&
	    fall_back(c, "its hosts have no address"))
		return;
	arrange(c);
	advance(c);
}

static void
look_up(struct candidates *c, const char *host, const struct resolver_mx *mx,
    unsigned turn)
{
	struct lookup *lookup = &c->lookups[c->lookup_count++];

	*lookup = (struct lookup){.owner = c, .turn = turn};
	if (mx != NULL) {
		lookup->preference = mx->preference;
		lookup->port = (uint16_t)mx->port;
	}
	(void)snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	c->lookups_open++;
	lookup->query = resolver_addrs(c->resolver, host, on_addrs, lookup);
}

static void
on_mx(void *ctx, const struct resolver_answer *answer)
{
	struct candidates *c = ctx;
	char text[400];

	c->mx_query = NULL;
	c->lookup_count = 0;
	if (answer->status == RESOLVER_NOT_FOUND) {
		look_up(c, c->current.domain, NULL, 0);
		return;
	}
	if (answer->status != RESOLVER_OK) {
		note_answer(c, answer);
		advance(c);
		return;
	}
	if (answer->count == 1 && answer->mx[0].host[0] == '\0') {
		(void)snprintf(text, sizeof(text),
		    "Domain %s does not accept mail (nullMX)",
		    c->current.domain);
		note_mistake(c, text);
		advance(c);
		return;
	}
	c->current.has_mx = true;
	c->current.mx_origin = answer->origin;
	for (size_t i = 0; i < answer->count; i++)
		look_up(c, answer->mx[i].host, &answer->mx[i], 0);
}

/* --- SRV --- */

/* One of n by weight, those of none last (RFC 2782). */
static size_t
choose(const struct resolver_mx *hosts, size_t n)
{
	unsigned sum = 0, drawn;

	for (size_t i = 0; i < n; i++)
		sum += hosts[i].weight;
	if (sum == 0)
		return arc4random_uniform((uint32_t)n);
	drawn = arc4random_uniform(sum);
	for (size_t i = 0; i < n; i++) {
		if (drawn < hosts[i].weight)
			return i;
		drawn -= hosts[i].weight;
	}
	return n - 1;
}

/* Each priority for itself; they are sorted by it. */
static void
look_up_in_turn(struct candidates *c, struct resolver_mx *hosts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t same = 1, chosen;
		struct resolver_mx one;

		while (i + same < n &&
		       hosts[i + same].preference == hosts[i].preference)
			same++;
		chosen = i + choose(hosts + i, same);
		one = hosts[chosen];
		hosts[chosen] = hosts[i];
		hosts[i] = one;
		look_up(c, one.host, &one, (unsigned)i);
	}
}

static void
look_for_mx(struct candidates *c)
{
	c->service[0] = '\0';
	c->current.has_mx = c->current.is_srv = false;
	c->mx_query =
	    resolver_ask(c->resolver, RESOLVER_MX, c->current.domain, on_mx, c);
}

/* As if no SRV record had been asked for; false: they were not. */
static bool
fall_back(struct candidates *c, const char *why)
{
	if (c->service[0] == '\0')
		return false;
	log_info("skipping SRV lookup for %s: %s", c->service, why);
	c->lookup_count = 0;
	look_for_mx(c);
	return true;
}

static bool
may_fall_back(const struct settings *set, enum resolver_status status)
{
	return set->allow_srv_lookup_fallback ||
	       (set->ignore_srv_lookup_error &&
		   (status == RESOLVER_TEMPORARY || status == RESOLVER_FAILED));
}

static void
on_srv(void *ctx, const struct resolver_answer *answer)
{
	struct candidates *c = ctx;
	struct resolver_mx hosts[RESOLVER_MX_MAX];
	char text[400];

	c->mx_query = NULL;
	c->lookup_count = 0;
	if (answer->status != RESOLVER_OK) {
		if (may_fall_back(c->set, answer->status) &&
		    fall_back(c, answer->reason))
			return;
		note_answer(c, answer);
		advance(c);
		return;
	}
	if (answer->count == 1 && answer->mx[0].host[0] == '\0') {
		(void)snprintf(text, sizeof(text),
		    "Service %s is not available (null SRV)", c->service);
		if (c->set->allow_srv_lookup_fallback && fall_back(c, text))
			return;
		note_mistake(c, text);
		advance(c);
		return;
	}
	c->current.has_mx = c->current.is_srv = true;
	c->current.mx_origin = answer->origin;
	memcpy(hosts, answer->mx, answer->count * sizeof(hosts[0]));
	look_up_in_turn(c, hosts, answer->count);
}

static bool
is_srv_service(const struct settings *set, const char *port)
{
	struct slice rest = slice_str(set->use_srv_lookup), word;

	while (words_cut(&rest, WORDS_SEPARATORS, &word))
		if (slice_eq_nocase(word, port))
			return true;
	return false;
}

static void
look_for_hosts(struct candidates *c, const char *port)
{
	if (!is_srv_service(c->set, port)) {
		look_for_mx(c);
		return;
	}
	(void)snprintf(c->service, sizeof(c->service), "_%s._tcp.%s", port,
	    c->current.domain);
	c->mx_query =
	    resolver_ask(c->resolver, RESOLVER_SRV, c->service, on_srv, c);
}

static bool
parse_literal(const char *host, struct sockaddr_storage *out)
{
	struct sockaddr_in *sin = (void *)out;
	struct sockaddr_in6 *sin6 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
		out->ss_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1) {
		out->ss_family = AF_INET6;
		return true;
	}
	return false;
}

static void
start_nexthop(struct candidates *c, const struct nexthop *nexthop)
{
	const char *port =
	    nexthop->port[0] != '\0' ? nexthop->port : c->set->smtp_tcp_port;
	struct lookup literal = {.owner = c};
	struct sockaddr_storage sa;
	char text[400];

	c->lookup_count = 0;
	c->service[0] = '\0';
	c->current.has_mx = c->current.is_srv = false;
	(void)snprintf(
	    c->current.domain, sizeof(c->current.domain), "%s", nexthop->host);
	c->current.use_mx = nexthop->use_mx;
	c->current.port = number_of_port(port);
	if (c->current.port == 0) {
		(void)snprintf(
		    text, sizeof(text), "unknown service: %s/tcp", port);
		note_mistake(c, text);
		loop_timer_soon(c->timer);
	} else if (nexthop->is_literal) {
		if (parse_literal(nexthop->host, &sa) &&
		    resolver_has_family(c->resolver, sa.ss_family)) {
			(void)snprintf(literal.host, sizeof(literal.host), "%s",
			    nexthop->host);
			add_address(c, &literal, &sa, NULL);
		} else {
			(void)snprintf(text, sizeof(text),
			    "%s: address family is not in inet_protocols",
			    nexthop->host);
			note_mistake(c, text);
		}
		arrange(c);
		loop_timer_soon(c->timer);
	} else if (nexthop->use_mx && resolver_wants_dns(c->set)) {
		look_for_hosts(c, port);
	} else {
		look_up(c, nexthop->host, NULL, 0);
	}
}

static void
next_nexthop(struct candidates *c)
{
	const char *begin = c->rest.p;
	struct nexthop nexthop;
	const char *error;
	char text[400];

	if (nexthop_next(&c->rest, &nexthop, &error)) {
		c->current.nexthop_number++;
		while (strchr(", \t\r\n", *begin) != NULL)
			begin++;
		(void)snprintf(c->current.nexthop, sizeof(c->current.nexthop),
		    "%.*s", (int)strcspn(begin, ", \t\r\n"), begin);
		start_nexthop(c, &nexthop);
		return;
	}
	if (error != NULL) {
		(void)snprintf(text, sizeof(text),
		    "invalid destination \"%.*s\": %s",
		    (int)strcspn(begin, ", \t\r\n"), begin, error);
		note_mistake(c, text);
		loop_timer_soon(c->timer);
		return;
	}
	while (c->held_at < c->held_count) {
		const struct candidate *next = &c->held[c->held_at++];

		if (next->nexthop_number != c->skip_number) {
			hand_out(c, next);
			return;
		}
	}
	hand_out(c, NULL);
}

struct candidates *
candidates_new(struct loop *loop, struct resolver *resolver,
    const struct settings *set, const struct candidate_rests *rests,
    const char *nexthops, int level, const char *past)
{
	struct candidates *c = mem_zalloc(sizeof(*c));

	c->loop = loop;
	c->resolver = resolver;
	c->set = set;
	c->rests = rests;
	c->text = mem_strdup(nexthops);
	c->level = level;
	c->past = mem_strdup(past);
	c->rest = slice_str(c->text);
	/* Not cleared: together they are 250 kB, of which little is used. */
	c->found = mem_alloc(ADDRS_MAX * sizeof(*c->found));
	c->chosen = mem_alloc(ADDRS_MAX * sizeof(*c->chosen));
	c->held = mem_alloc(HELD_MAX * sizeof(*c->held));
	c->timer = loop_timer_new(loop, advance, c);
	return c;
}

void
candidates_free(struct candidates **candidates)
{
	struct candidates *c = *candidates;

	*candidates = NULL;
	if (c == NULL)
		return;
	resolver_cancel(&c->mx_query);
	for (size_t i = 0; i < c->lookup_count; i++)
		resolver_cancel(&c->lookups[i].query);
	loop_timer_free(&c->timer);
	mem_free(c->found);
	mem_free(c->held);
	mem_free(c->chosen);
	mem_free(c->text);
	mem_free(c->past);
	/* We may be inside of a callback of ours. */
	loop_defer(c->loop, mem_free, c);
}

void
candidates_next(struct candidates *candidates, candidate_fn *fn, void *ctx)
{
	CHECK(candidates->fn == NULL);
	candidates->fn = fn;
	candidates->ctx = ctx;
	loop_timer_soon(candidates->timer);
}

void
candidates_skip_nexthop(struct candidates *candidates, int number)
{
	candidates->skip_number = number;
}

int
candidates_levels(const struct candidates *candidates)
{
	return candidates->levels;
}

int
candidates_alike(const struct candidates *candidates)
{
	return candidates->alike;
}

const struct dsn *
candidates_problem(const struct candidates *candidates)
{
	return candidates->what != CANDIDATES_FINE ? &candidates->problem
						   : NULL;
}

bool
candidates_is_mistake(const struct candidates *candidates)
{
	return candidates->what == CANDIDATES_MISTAKE;
}
