/* Which route a request takes. */
#include "agent/engine/lane_state.h"

#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/words.h"

const char *
lane_nexthops(const struct settings *set, const struct request *req)
{
	if (set->lane_smarthost[0] != '\0')
		return set->lane_smarthost;
	if (set->relayhost[0] != '\0' &&
	    (req->nexthop[0] == '\0' || request_is_to_nexthop(req)))
		return set->relayhost;
	return req->nexthop;
}

static bool
is_given(const char *text)
{
	return text != NULL && *text != '\0';
}

/* REQUIRETLS binds no host; where a table decides which, it may be any. */
static bool
wants_no_tls(const char *policy)
{
	struct slice rest = slice_str(is_given(policy) ? policy : ""), first;

	return words_cut_braced(&rest, &first) &&
	       (slice_eq_nocase(first, "opportunistic") ||
		   slice_eq_nocase(first, "disable"));
}

/* smtp(8) goes on in clear text after a failed handshake at level may with mail
 * that has been deferred before (or a probe), so that the sender's own TLS is
 * not given up for a moment's trouble. Such mail has a route, and sessions, of
 * its own. With logins there is no clear text. */
static bool
may_be_plain(const struct settings *set, const struct request *req)
{
	const struct delay_times *at = &req->times;

	if ((set->smtp_sasl_auth_enable &&
		is_given(set->smtp_sasl_password_maps)) ||
	    (set->requiretls_enable &&
		(req->sendopts & SENDOPT_REQUIRETLS) != 0 &&
		!wants_no_tls(set->smtp_requiretls_policy)))
		return false;
	/* The policy of a host may say so, too, which the dialer looks up. */
	if (!is_given(set->smtp_tls_policy_maps) &&
	    (is_given(set->smtp_tls_security_level)
		    ? strcasecmp(set->smtp_tls_security_level, "may") != 0
		    : !set->smtp_use_tls))
		return false;
	return request_is_probe(req) ||
	       ((int64_t)at->active.tv_sec - at->arrival.tv_sec) * US_PER_S >=
		   set->minimal_backoff_time_us;
}

struct route *
lane_route_for(struct lane *lane, const struct request *req, int64_t now_us)
{
	bool is_plain = may_be_plain(lane->set, req);
	const char *nexthops = lane_nexthops(lane->set, req);
	const char *sender =
	    lane->set->smtp_sender_dependent_authentication ? req->sender : "";

	return lane_first_route(lane, nexthops, sender, is_plain, now_us);
}
