#include "agent/io/resolver_failure.h"

#include <ares.h>
#include <stdio.h>

static void
set_filtered(
    struct resolver_answer *answer, int rc, const char *name, const char *type)
{
	bool is_dropped = rc == FILTER_DROPPED;

	answer->status = is_dropped ? RESOLVER_FILTERED : RESOLVER_TEMPORARY;
	(void)snprintf(answer->reason, sizeof(answer->reason),
	    "Error looking up name=%s type=%s: %s", name, type,
	    is_dropped ? "DNS reply filter drops all results"
		       : "Invalid DNS reply filter syntax");
}

void
resolver_failure_set(struct resolver_answer *answer, int rc, const char *name,
    const char *type, bool by_native)
{
	const char *text = "Host not found, try again";

	if (rc == FILTER_DROPPED || rc == FILTER_FAILED) {
		set_filtered(answer, rc, name, type);
		return;
	}
	answer->status = RESOLVER_TEMPORARY;
	if (rc == ARES_ENOTFOUND || rc == ARES_EBADNAME) {
		answer->status = RESOLVER_NOT_FOUND;
		text = "Host not found";
	} else if (rc == ARES_ENODATA) {
		answer->status = RESOLVER_NOT_FOUND;
		text = "Host found but no data record of requested type";
	} else if (rc == ARES_EFORMERR || rc == ARES_ENOTIMP ||
		   rc == ARES_EREFUSED) {
		answer->status = RESOLVER_FAILED;
		text = "Non-recoverable error";
	} else if (rc == ARES_EBADRESP) {
		text = "Malformed or unexpected name server reply";
	}
	if (!by_native)
		(void)snprintf(answer->reason, sizeof(answer->reason),
		    "Host or domain name not found. Name service error for "
		    "name=%s type=%s: %s",
		    name, type, text);
	else
		(void)snprintf(answer->reason, sizeof(answer->reason),
		    "unable to look up host %s: %s", name,
		    answer->status == RESOLVER_TEMPORARY
			? "Temporary failure in name resolution"
			: "Name or service not known");
}

bool
resolver_failure_is_missing(int rc)
{
	return rc == ARES_ENOTFOUND || rc == ARES_EBADNAME ||
	       rc == ARES_ENODATA;
}

int
resolver_failure_worse(int a, int b)
{
	if (a == ARES_SUCCESS || b == ARES_SUCCESS)
		return a == ARES_SUCCESS ? b : a;
	if (resolver_failure_is_missing(a) != resolver_failure_is_missing(b))
		return resolver_failure_is_missing(a) ? b : a;
	return a == ARES_ENODATA ? a : b;
}
