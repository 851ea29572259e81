/* provider: what is known about one provider, as data: limits and reply rules.
 *
 *   provider ses
 *   about Amazon SES, SMTP interface
 *   host email-smtp.*.amazonaws.com
 *   source A1 2026-08 docs.aws.amazon.com/ses/latest/dg/quotas.html
 *   limit recipients-per-message 50 per message published A1
 *   limit recipients 1/1s per account plan A1 # sandbox; production differs
 *   note what an administrator should know
 *   reply eod 454 * /sending rate exceeded/ slow
 *
 *   host NAME                         one of its hosts; * is any one label
 *   limit UNIT VALUE per SCOPE STANDING SOURCE [# remark]
 *
 * UNIT      messages, recipients, octets, connects (new connections): VALUE is
 *           one rate or quota as in common/limits/rate.h; several lines,
 * several windows connections, messages-per-connection, connection-age (s),
 *           recipients-per-message, message-size (octets): a whole number, K
 *           or M (1024) or s, m, h behind it
 * SCOPE     account, mailbox, ip, server, session, message: whom it is for
 * STANDING  published   by the provider
 *           observed    by users, in the provider's replies
 *           plan        true for some accounts only
 *           disputed    published, but the provider says otherwise elsewhere
 *           unverified  from memory or hearsay
 * SOURCE    the name in a source line, which says when it was read; - for
 *           unverified
 *
 * Published and observed limits become the values of parameters that nobody
 * set; the others never do, they are shown. Of several counts for one
 * parameter the smallest counts; rates and quotas are all in force together.
 *
 * Pure: text in, values out. A line that is wrong is an error of the file, and
 * the others count all the same.
 */
#ifndef PROVIDER_H
#define PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/rules.h"
#include "common/base/buf.h"
#include "common/base/slice.h"
#include "common/limits/rate.h"

enum provider_unit {
	PROVIDER_MESSAGES,
	PROVIDER_RECIPIENTS,
	PROVIDER_OCTETS,
	PROVIDER_CONNECTS,
	PROVIDER_CONNECTIONS,
	PROVIDER_MESSAGES_PER_CONNECTION,
	PROVIDER_CONNECTION_AGE,
	PROVIDER_RECIPIENTS_PER_MESSAGE,
	PROVIDER_MESSAGE_SIZE,
	PROVIDER_UNITS
};

enum provider_scope {
	PROVIDER_ACCOUNT,
	PROVIDER_MAILBOX,
	PROVIDER_IP,
	PROVIDER_SERVER,
	PROVIDER_SESSION,
	PROVIDER_MESSAGE,
	PROVIDER_SCOPES
};

enum provider_standing {
	PROVIDER_PUBLISHED,
	PROVIDER_OBSERVED,
	PROVIDER_PLAN,
	PROVIDER_DISPUTED,
	PROVIDER_UNVERIFIED,
	PROVIDER_STANDINGS
};

enum { PROVIDER_ITEMS_MAX = 200 /* limits, sources, hosts, notes: of each */ };

struct provider_source {
	char *name, *read_on, *where;
};

struct provider_limit {
	enum provider_unit unit;
	enum provider_scope scope;
	enum provider_standing standing;
	struct rate rate; /* of the first four units */
	int64_t count; /* of the others; s, or octets */
	char *value; /* as written */
	char *source; /* its name, or "-" */
	char *remark; /* or "" */
	int line;
};

struct provider {
	char *file; /* as given */
	char *name, *about; /* "" when the file does not say */
	struct provider_source *sources;
	struct provider_limit *limits;
	char **notes, **hosts;
	size_t source_count, limit_count, note_count, host_count;
};

/* Fills *provider, always; its reply lines are added to rules. false: some
 * lines were wrong, errors has "FILE:LINE: ..." and LF for each. */
bool provider_parse(struct provider *provider, const char *file,
    struct slice text, struct rules *rules, struct buf *errors);
void provider_fini(struct provider *provider);

/* A limit of this standing becomes a parameter's value. */
bool provider_is_applied(const struct provider_limit *limit);

/* The parameter such a limit is for; NULL when it is for none of lane's. */
const char *provider_parameter(const struct provider_limit *limit);

/* The value the provider has for a parameter; false: none. *from_out (may be
 * NULL) is the limit it comes from, the first when several are joined. */
bool provider_value(const struct provider *provider, const char *parameter,
    char *out, size_t n, const struct provider_limit **from_out);

/* One of its host lines is for this name, in whatever case. */
bool provider_has_host(const struct provider *provider, const char *host);

/* NULL when the file has no such source. */
const struct provider_source *provider_find_source(
    const struct provider *provider, const char *name);

const char *provider_unit_name(enum provider_unit unit);
const char *provider_scope_name(enum provider_scope scope);
const char *provider_standing_name(enum provider_standing standing);

/* A name a file may have: letters, digits, - and _. */
bool provider_name_is_valid(const char *name);

#endif
