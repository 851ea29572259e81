/* Asks the resolver that is trusted with DNSSEC as a lane would, for
 * dnssec_probe. */
#include <stdio.h>
#include <string.h>

#include "agent/io/dnsquestion.h"
#include "agent/io/resolvconf.h"
#include "agent/io/resolver.h"
#include "agent/io/trusted_resolver.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

struct asking {
	struct loop *loop;
	struct resolver_query *query;
	char why[RESOLVER_REASON_SIZE]; /* there is no answer; else "" */
};

static void
on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct asking *a = ctx;

	a->query = NULL;
	(void)snprintf(a->why, sizeof(a->why), "%s",
	    answer->status == RESOLVER_OK ? "" : answer->reason);
	loop_stop(a->loop);
}

/* True: it validates, or nobody can say. */
static bool
does_validate(const struct settings *set, struct asking *a)
{
	struct resolver *resolver;
	const char *name;
	unsigned type;
	bool is_good = true;

	if (!dnsquestion_probe(set->dnssec_probe, &type, &name) || type == 0)
		return true;
	a->loop = loop_new();
	resolver = resolver_new_secure(a->loop, set, RESOLVCONF_PATH);
	if (resolver_is_secure(resolver)) {
		a->query = resolver_probe(resolver, type, name, on_answer, a);
		loop_run(a->loop);
		is_good = resolver_has_vouched(resolver);
	}
	resolver_free(&resolver);
	loop_free(&a->loop);
	return is_good;
}

static void
check_lane(struct checkup *c, const struct site_lane *lane)
{
	const struct settings *set = &lane->set;
	struct asking a = {NULL, NULL, ""};

	if (!trusted_resolver_is_wanted(set) || lane->problems.count > 0 ||
	    does_validate(set, &a))
		return;
	findings_add(&c->findings, "DANE-RESOLVER", FINDING_ERROR,
	    lane->opt.service_name,
	    "smtp_tls_dane_resolver = %s: %s \"%s\" (dnssec_probe)%s%s: mail "
	    "at the levels dane and dane-only is deferred where no records "
	    "are found",
	    set->smtp_tls_dane_resolver,
	    *a.why == '\0' ? "does not validate its answer to" : "no answer to",
	    set->dnssec_probe, *a.why != '\0' ? ": " : "", a.why);
	findings_advise(&c->findings,
	    "let a resolver listen there that validates DNSSEC, such as "
	    "unbound with the root's trust anchor, and try: dig +dnssec "
	    "@ADDRESS . NS must show the flag ad");
}

void
checkup_dane(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++)
		check_lane(c, &c->site->lanes[i]);
}
