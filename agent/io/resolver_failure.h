/* resolver_failure: why a name gave nothing, in smtp(8)'s words.
 *
 * Statuses are those of c-ares, and two of the filter's.
 */
#ifndef RESOLVER_FAILURE_H
#define RESOLVER_FAILURE_H

#include <stdbool.h>

#include "agent/io/resolver.h"

/* What the filter made of a reply, beside the statuses of c-ares. */
enum { FILTER_DROPPED = 1000, FILTER_FAILED };

/* A name that does not exist, or has no such record. */
bool resolver_failure_is_missing(int rc);

/* What two questions about one name found: something is better than nothing,
 * a trouble that may pass hides whether there is something. */
int resolver_failure_worse(int a, int b);

/* type: of the record, "MX"; by_native: looked for as getaddrinfo(3) does. */
void resolver_failure_set(struct resolver_answer *answer, int rc,
    const char *name, const char *type, bool by_native);

#endif
