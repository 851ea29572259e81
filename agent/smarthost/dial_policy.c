#include "agent/smarthost/dial_policy.h"

#include <stdio.h>
#include <string.h>

#include "agent/smarthost/trust_anchors.h"
#include "agent/tables/requiretls_table.h"
#include "common/base/log.h"

/* The last thing that is done here. */
static void
conclude(struct dial *dial, bool is_ready)
{
	dial_policy_fn *on_end = dial->on_policy_end;

	CHECK(on_end != NULL);
	dial->on_policy_end = NULL;
	on_end(dial, is_ready);
}

/* No other host of the nexthop has another policy, but for what DANE makes of
 * it. */
static void
fail_config(struct dial *dial, const char *status, const char *detail)
{
	dial_fail(dial, DIAL_CONFIG, status,
	    "client TLS configuration problem: %s", detail);
	candidates_skip_nexthop(dial->candidates, dial->at.nexthop_number);
	conclude(dial, false);
}

static void
fail_policy(struct dial *dial, const char *detail)
{
	fail_config(dial, "4.7.5", detail);
}

static const char *
must_encrypt(const struct dial *dial)
{
	return dial->dialer->set->smtp_tls_wrappermode
		   ? "smtp_tls_wrappermode requires "
		     "\"smtp_tls_security_level = encrypt\" (or stronger)"
		   : "lane_tls_wrappermode_ports has this port, which requires "
		     "\"smtp_tls_security_level = encrypt\" (or stronger)";
}

/* Those of the policy are read when they are needed, as by smtp(8). false: why
 * not. */
static bool
find_anchors(struct dial *dial, char *why, size_t size)
{
	struct tlspolicy *policy = &dial->policy;
	const char *at_start = NULL;

	trust_anchors_free(&dial->anchors);
	policy->anchors = NULL;
	if (!tls_level_has_issuer(policy->level))
		return true;
	if (policy->tafiles[0] == '\0') {
		policy->anchors = tls_anchors(dial->dialer->tls, &at_start);
		(void)snprintf(
		    why, size, "%s", at_start != NULL ? at_start : "");
		return at_start == NULL;
	}
	dial->anchors = trust_anchors_load(policy->tafiles, "\n", why, size);
	policy->anchors = dial->anchors;
	return dial->anchors != NULL;
}

/* What DANE makes of this host says nothing of another one. */
static void
fail_wrapped(struct dial *dial)
{
	if (dial->policy.level == dial->asked_level) {
		fail_policy(dial, must_encrypt(dial));
		return;
	}
	dial_fail(dial, DIAL_DANE, "4.7.5",
	    "client TLS configuration problem: %s, and level %s comes to %s: "
	    "%s",
	    must_encrypt(dial), tls_level_name(dial->asked_level),
	    tls_level_name(dial->policy.level), dial->dane_why);
	conclude(dial, false);
}

/* The level is what it is for this host. */
static void
check_level(struct dial *dial)
{
	struct dialer *d = dial->dialer;
	enum tls_level level = dial->policy.level;
	char why[DSN_TEXT_MAX], name[DIAL_LEVEL_SIZE];

	if (dial_is_wrapped(dial) && level < TLS_LEVEL_ENCRYPT) {
		fail_wrapped(dial);
		return;
	}
	if (level > TLS_LEVEL_NONE && tls_error(d->tls) != NULL) {
		fail_config(dial, "4.3.5", tls_error(d->tls));
		return;
	}
	if (!find_anchors(dial, why, sizeof(why))) {
		fail_policy(dial, why);
		return;
	}
	dial_level_text(dial, name);
	(void)snprintf(dial->result.peer.tls, sizeof(dial->result.peer.tls),
	    level == TLS_LEVEL_NONE ? "%s" : "%s?", name);
	if (d->requiretls != NULL)
		dial->result.peer.requiretls =
		    requiretls_table_find(d->requiretls, dial->at.domain);
	conclude(dial, true);
}

/* Another host of the nexthop may do. */
static void
fail_dane(struct dial *dial, enum dane_finding finding, const char *detail)
{
	bool is_unknown = finding == DANE_UNKNOWN;

	dial_fail(dial, DIAL_DANE, "4.7.5", "%s%s%s", dial->dane_why,
	    is_unknown ? ": " : "", is_unknown ? detail : "");
	dial->result.is_transport = is_unknown;
	conclude(dial, false);
}

static void
on_dane(void *ctx, struct dane_result *result)
{
	struct dial *dial = ctx;
	struct dialer *d = dial->dialer;
	enum tls_level level;
	enum dane_finding finding = result->finding;

	dial->dane_query = NULL;
	if (finding == DANE_FOUND && tls_are_useless(d->tls, result->records))
		finding = DANE_UNUSABLE;
	if (!dane_decide(&dial->at, dial->policy.level, d->set, finding, &level,
		dial->dane_why, sizeof(dial->dane_why))) {
		fail_dane(dial, finding, result->why);
		return;
	}
	if (level != dial->policy.level)
		log_debug("%s: level %s comes to %s: %s", dial->at.host,
		    tls_level_name(dial->policy.level), tls_level_name(level),
		    dial->dane_why);
	tlspolicy_change_level(&dial->policy, d->set, level);
	if (tls_level_is_dane(level)) {
		CHECK(finding == DANE_FOUND);
		dial->dane.records = result->records;
		result->records = NULL;
		dane_set_names(&dial->dane, result->base, &dial->at);
		dial->policy.dane = &dial->dane;
	}
	check_level(dial);
}

static void
check_policy(struct dial *dial)
{
	struct dialer *d = dial->dialer;
	enum tls_level level = dial->policy.level;

	dane_fini(&dial->dane);
	dial->policy.dane = NULL;
	dial->asked_level = level;
	*dial->dane_why = '\0';
	if (!tls_level_is_dane(level))
		check_level(dial);
	else if (tls_error(d->tls) != NULL)
		fail_config(dial, "4.3.5", tls_error(d->tls));
	else
		dial->dane_query =
		    dane_query_start(d->loop, d->resolver, d->set, &dial->at,
			dane_wants_records(&dial->at, level, d->set), on_dane,
			dial);
}

/* A bare domain's policy may be given for its parents, ".example.com". */
static const char *
next_policy_key(struct dial *dial)
{
	const char *dot;

	if (!dial->at.use_mx || strcmp(dial->at.nexthop, dial->at.domain) != 0)
		return NULL;
	dot = strchr(dial->policy_key + (*dial->policy_key == '.'), '.');
	return dot;
}

static void look_up_policy(struct dial *dial);

static void
on_policy(
    void *ctx, enum maps_result result, const char *value, const char *error)
{
	struct dial *dial = ctx;
	struct dialer *d = dial->dialer;
	char why[TLSPOLICY_ERROR_SIZE], text[DSN_TEXT_MAX];

	dial->policy_query = NULL;
	switch (result) {
	case MAPS_FOUND:
		if (tlspolicy_parse(
			&dial->policy, d->set, value, why, sizeof(why))) {
			check_policy(dial);
			return;
		}
		(void)snprintf(text, sizeof(text),
		    "smtp_tls_policy_maps, \"%s\": %s", dial->policy_key, why);
		fail_policy(dial, text);
		return;
	case MAPS_ERROR:
		(void)snprintf(text, sizeof(text), "smtp_tls_policy_maps: %s",
		    error != NULL ? error : "lookup error");
		fail_policy(dial, text);
		return;
	case MAPS_NOT_FOUND:
		break;
	}
	dial->policy_key = next_policy_key(dial);
	if (dial->policy_key != NULL) {
		look_up_policy(dial);
		return;
	}
	dial->policy = d->policy;
	if (d->policy_error[0] != '\0')
		fail_policy(dial, d->policy_error);
	else
		check_policy(dial);
}

static void
look_up_policy(struct dial *dial)
{
	struct dialer *d = dial->dialer;
	struct maps_query *query;

	if (d->tls_policy == NULL) {
		on_policy(dial, MAPS_NOT_FOUND, NULL, NULL);
		return;
	}
	/* NULL: answered, and what followed may have asked anew. */
	query = maps_find(d->tls_policy, dial->policy_key, on_policy, dial);
	if (query != NULL)
		dial->policy_query = query;
}

void
dial_policy_find(struct dial *dial, dial_policy_fn *on_end)
{
	CHECK(on_end != NULL && dial->on_policy_end == NULL);
	dial->on_policy_end = on_end;
	dial->policy_key = dial->at.nexthop;
	look_up_policy(dial);
}
