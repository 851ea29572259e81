/* credentials: login and password for a smarthost, in smtp(8)'s order.
 *
 *   1. the sender, when smtp_sender_dependent_authentication and it is not
 *      empty: user+ext@domain, user@domain, user+ext and user when the domain
 *      is $myorigin, @domain
 *   2. the host's name (of the MX host, or of [host] without brackets)
 *   3. the destination as given, "[host]:port"
 *
 * in smtp_sasl_password_maps; the value is user:password, cut at the first
 * smtp_sasl_password_result_delimiter. Secrets are wiped after use.
 */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include <stdbool.h>

#include "agent/engine/settings.h"
#include "agent/tables/maps.h"

struct credentials;
struct credentials_query;

/* user and password (either may be ""): only if found, valid during the call.
 * error: only on MAPS_ERROR. */
typedef void credentials_fn(void *ctx, enum maps_result result,
    const char *user, const char *password, const char *error);

/* set and maps (of smtp_sasl_password_maps) are borrowed. */
struct credentials *credentials_new(
    const struct settings *set, struct maps *maps);
void credentials_free(struct credentials **credentials);

/* Remembers the answers for a destination known at start ("[host]:port",
 * one or a list); blocks, while still privileged. */
void credentials_preload(struct credentials *credentials, const char *nexthop);

/* sender "" and host "" are skipped; nexthop is one destination as written.
 * MAPS_NOT_FOUND without smtp_sasl_auth_enable. The callback may come from
 * inside this call; then NULL is returned. */
struct credentials_query *credentials_find(struct credentials *credentials,
    const char *sender, const char *host, const char *nexthop,
    credentials_fn *fn, void *ctx);

/* Why credentials_find() with the same words found none: "no login for
 * [host]:2525 in hash:/etc/x (it has: [host]:587)". Names a few keys, those
 * that look like the host first; never a value or an address. NULL without
 * smtp_sasl_auth_enable. To be freed. */
char *credentials_explain(const struct credentials *credentials,
    const char *sender, const char *host, const char *nexthop);

/* At start: logs for which of the destinations ("[host]:port", one or a list)
 * there is no login, a warning where a key is almost right. */
void credentials_check(struct credentials *credentials, const char *nexthops);

/* No callback any more; *query may be NULL. Not from inside its callback. */
void credentials_cancel(struct credentials_query **query);

#endif
