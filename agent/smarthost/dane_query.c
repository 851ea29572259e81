#include "agent/smarthost/dane_query.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/io/dnsquestion.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { NAME_SIZE = RESOLVER_HOST_SIZE + 20 };

struct dane_query {
	struct loop *loop;
	struct resolver *resolver;
	const struct settings *set;
	struct candidate at;
	struct resolver_query *question;
	struct loop_timer *timer;
	const char *base; /* of the name in hand: in at */
	struct dane_result result;
	char why[DANE_WHY_SIZE];
	dane_query_fn *fn;
	void *ctx;
};

static void
query_free(struct dane_query *q)
{
	resolver_cancel(&q->question);
	loop_timer_free(&q->timer);
	tlsa_set_free(&q->result.records);
	mem_free(q);
}

static void
deliver(struct dane_query *q)
{
	dane_query_fn *fn = q->fn;
	void *ctx = q->ctx;
	struct dane_result result = q->result;

	q->result.records = NULL;
	result.why = q->why;
	CHECK((result.finding == DANE_FOUND) == (result.records != NULL));
	/* Before the call, which may end the dial; base and why are in it. */
	loop_timer_free(&q->timer);
	fn(ctx, &result);
	tlsa_set_free(&result.records);
	query_free(q);
}

static void
conclude(struct dane_query *q, enum dane_finding finding, const char *why)
{
	q->result.finding = finding;
	(void)snprintf(q->why, sizeof(q->why), "%s", why);
	deliver(q);
}

static void
on_probe(void *ctx, const struct resolver_answer *answer)
{
	struct dane_query *q = ctx;
	char why[DANE_WHY_SIZE];

	q->question = NULL;
	if (resolver_has_vouched(q->resolver)) {
		conclude(q, DANE_NONE, "");
		return;
	}
	(void)snprintf(why, sizeof(why),
	    "DNSSEC validation is not available: dnssec_probe '%s' received %s"
	    "%.250s",
	    q->set->dnssec_probe,
	    answer->status == RESOLVER_OK
		? "a response that is not validated by smtp_tls_dane_resolver"
		: "no response: ",
	    answer->reason);
	conclude(q, DANE_UNKNOWN, why);
}

/* Nothing was found, of a resolver that would have said so? */
static void
conclude_none(struct dane_query *q)
{
	const char *name;
	unsigned type;

	if (resolver_has_vouched(q->resolver) ||
	    *q->set->dnssec_probe == '\0') {
		conclude(q, DANE_NONE, "");
		return;
	}
	if (!dnsquestion_probe(q->set->dnssec_probe, &type, &name)) {
		conclude(q, DANE_UNKNOWN, "malformed dnssec_probe");
		return;
	}
	q->question = resolver_probe(q->resolver, type, name, on_probe, q);
}

static bool
is_alias(const struct dane_query *q)
{
	return *q->at.address_origin.name != '\0' &&
	       strcasecmp(q->at.address_origin.name, q->at.host) != 0;
}

static void ask_tlsa(struct dane_query *q, const char *base);

static void
take_records(struct dane_query *q, const struct resolver_answer *answer)
{
	const struct tlsa_set *set = answer->tlsa;

	if (set->left_out > 0)
		log_warn(
		    "_%u._tcp.%s: %s", (unsigned)q->at.port, q->base, set->why);
	if (set->count == 0) {
		conclude(q, DANE_UNUSABLE, "");
		return;
	}
	q->result.records = tlsa_set_dup(set);
	q->result.base = q->base;
	conclude(q, DANE_FOUND, "");
}

static void
on_tlsa(void *ctx, const struct resolver_answer *answer)
{
	struct dane_query *q = ctx;

	q->question = NULL;
	switch (answer->status) {
	case RESOLVER_OK:
		if (answer->origin.is_secure && answer->tlsa != NULL) {
			take_records(q, answer);
			return;
		}
		break;
	case RESOLVER_NOT_FOUND:
		break;
	case RESOLVER_TEMPORARY:
	case RESOLVER_FAILED:
	case RESOLVER_FILTERED:
		log_warn("DANE TLSA lookup problem: %s", answer->reason);
		conclude(q, DANE_UNKNOWN, answer->reason);
		return;
	}
	if (q->base == q->at.address_origin.name && is_alias(q))
		ask_tlsa(q, q->at.host);
	else
		conclude_none(q);
}

static void
ask_tlsa(struct dane_query *q, const char *base)
{
	char name[NAME_SIZE];

	q->base = base;
	(void)snprintf(
	    name, sizeof(name), "_%u._tcp.%s", (unsigned)q->at.port, base);
	q->question =
	    resolver_ask(q->resolver, RESOLVER_TLSA, name, on_tlsa, q);
}

/* The end of the aliases is not validated; the alias itself may be. */
static void
on_alias(void *ctx, const struct resolver_answer *answer)
{
	struct dane_query *q = ctx;

	q->question = NULL;
	if (answer->status != RESOLVER_OK) {
		log_warn("DNSSEC status lookup error for %s: %s", q->at.host,
		    answer->status == RESOLVER_NOT_FOUND ? "no longer a CNAME"
							 : answer->reason);
		conclude(q, DANE_UNKNOWN, answer->reason);
	} else if (answer->origin.is_secure) {
		ask_tlsa(q, q->at.host);
	} else {
		conclude_none(q);
	}
}

static void
begin(void *ctx)
{
	struct dane_query *q = ctx;
	const struct resolver_origin *origin = &q->at.address_origin;
	bool is_forced = q->set->smtp_tls_force_insecure_host_tlsa_lookup;

	if (!resolver_is_secure(q->resolver))
		conclude(q, DANE_UNKNOWN, "no resolver that validates");
	else if (q->result.finding == DANE_NONE)
		conclude_none(q);
	else if (origin->is_secure)
		ask_tlsa(q, origin->name);
	else if (is_forced)
		ask_tlsa(q, q->at.host);
	else if (is_alias(q))
		q->question = resolver_ask(
		    q->resolver, RESOLVER_CNAME, q->at.host, on_alias, q);
	else
		conclude_none(q);
}

struct dane_query *
dane_query_start(struct loop *loop, struct resolver *resolver,
    const struct settings *set, const struct candidate *at, bool is_wanted,
    dane_query_fn *fn, void *ctx)
{
	struct dane_query *q = mem_zalloc(sizeof(*q));

	CHECK(fn != NULL);
	q->loop = loop;
	q->resolver = resolver;
	q->set = set;
	q->at = *at;
	q->result.finding = is_wanted ? DANE_UNKNOWN : DANE_NONE;
	q->fn = fn;
	q->ctx = ctx;
	q->timer = loop_timer_new(loop, begin, q);
	loop_timer_soon(q->timer);
	return q;
}

void
dane_query_cancel(struct dane_query **query)
{
	struct dane_query *q = *query;

	*query = NULL;
	if (q != NULL)
		query_free(q);
}
