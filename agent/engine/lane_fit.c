/* What one transaction, and one session, may hold by what the server announced
 * in its EHLO (RFC 9422): RCPTMAX recipients of a transaction (section 4.2),
 * RCPTDOMAINMAX domains of recipients in a session (section 4.3). */
#include "agent/engine/lane_state.h"

#include <ctype.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/address.h"

static uint64_t
domain_at(const struct transaction *t, size_t i)
{
	const struct recipient *r = &t->req->rcpts[t->rcpts[i]];
	struct slice domain = address_domain(slice_str(r->address));
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t k = 0; k < domain.n; k++)
		h = (h ^ (uint64_t)tolower((unsigned char)domain.p[k])) *
		    UINT64_C(1099511628211);
	return h;
}

static bool
is_among(const uint64_t *all, size_t count, uint64_t one)
{
	for (size_t i = 0; i < count; i++)
		if (all[i] == one)
			return true;
	return false;
}

bool
lane_fits(const struct lane_session *ls, const struct transaction *t)
{
	if (ls->domain_max == 0 || ls->domain_count < ls->domain_max)
		return true;
	for (size_t i = 0; i < t->count; i++)
		if (is_among(ls->domains, ls->domain_count, domain_at(t, i)))
			return true;
	return false;
}

/* Recipients of t that ls may have in one transaction are its first then; how
 * many these are. */
static size_t
put_first(const struct lane_session *ls, struct transaction *t)
{
	size_t max = ls->rcpt_max > 0 ? ls->rcpt_max : t->count;
	uint64_t *fresh = mem_zarray(t->count, sizeof(*fresh));
	size_t fresh_count = 0, n = 0;

	for (size_t i = 0; i < t->count && n < max; i++) {
		uint64_t domain = domain_at(t, i);
		uint32_t index = t->rcpts[i];

		if (ls->domain_max > 0 &&
		    !is_among(ls->domains, ls->domain_count, domain) &&
		    !is_among(fresh, fresh_count, domain)) {
			if (ls->domain_count + fresh_count >= ls->domain_max)
				continue;
			fresh[fresh_count++] = domain;
		}
		t->rcpts[i] = t->rcpts[n];
		t->rcpts[n++] = index;
	}
	mem_free(fresh);
	return n;
}

struct transaction *
lane_split_off(struct transaction *t, size_t n, int64_t now_us)
{
	struct transaction *rest =
	    transaction_new_part(t->req, t->count - n, t->waiting_since_us);

	while (n + rest->count < t->count) {
		rest->rcpts[rest->count] = t->rcpts[n + rest->count];
		rest->count++;
	}
	t->is_part = true;
	t->count = t->total = n;
	rest->sibling = t->sibling;
	t->sibling = rest;
	rest->route = t->route;
	rest->number = t->number;
	rest->tries = t->tries;
	rest->hosts_met = t->hosts_met;
	rest->is_cautious = t->is_cautious;
	if (t->last_error != NULL)
		transaction_set_error(rest, t->last_error, t->last_peer);
	rest->domain = t->domain;
	if (rest->domain != NULL)
		domain_hold(rest->domain, now_us);
	return rest;
}

bool
lane_fit(struct lane *lane, const struct lane_session *ls,
    struct transaction *t, int64_t now_us)
{
	size_t n;

	if ((ls->rcpt_max == 0 || t->count <= ls->rcpt_max) &&
	    ls->domain_max == 0)
		return false;
	n = put_first(ls, t);
	CHECK(n > 0);
	if (n == t->count)
		return false;
	lane_put_behind(lane, lane_split_off(t, n, now_us), t);
	return true;
}

void
lane_note_domains(struct lane_session *ls, const struct transaction *t)
{
	if (ls->domain_max == 0)
		return;
	for (size_t i = 0; i < t->count; i++) {
		uint64_t domain = domain_at(t, i);

		if (is_among(ls->domains, ls->domain_count, domain))
			continue;
		ls->domains = mem_realloc(ls->domains,
		    (ls->domain_count + 1) * sizeof(ls->domains[0]));
		ls->domains[ls->domain_count++] = domain;
	}
	CHECK(ls->domain_count <= ls->domain_max);
}

void
lane_retire_unfit(struct route *r, const struct transaction *t, int64_t now_us)
{
	list_each_safe (link, &r->sessions) {
		struct lane_session *ls = session_of(link);

		if (!session_is_finishing(ls->session) &&
		    session_load(ls->session) == 0 && !lane_fits(ls, t))
			session_finish(ls->session, FINISH_SPENT, now_us);
	}
}
