/* pacer: how fast a lane may go, in messages, recipients and octets.
 *
 *   pacer --own--> lane_message_rate_limit, ...        this lane alone
 *     \---ops----> lane_account_message_rate_limit, ... shared by all lanes
 *
 * Several limits together; a message goes when all of them let it. Tokens are
 * taken when a message is given to a session, never before a dial, so that a
 * slow connect does not turn into a burst. Engine: time is an argument, in
 * monotonic microseconds; what lies outside the process is struct pacer_ops.
 */
#ifndef PACER_H
#define PACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "common/limits/fairshare.h"
#include "common/limits/limitset.h"
#include "common/limits/rate.h"

struct route;

enum pacer_unit { PACER_MESSAGES, PACER_RECIPIENTS, PACER_OCTETS, PACER_UNITS };

struct pacer_cost {
	uint64_t units[PACER_UNITS];
	struct route *route; /* tells whose account pays; NULL: nobody's */
};

/* The limit that held something back. */
struct pacer_limit {
	enum pacer_unit unit;
	struct rate rate;
	bool is_shared; /* of the account, or the lane's own */
};

/* The account's limits, and the memory of the lane's own. Any may be NULL. */
struct pacer_ops {
	/* As pacer_wait_us(); more than 0 keeps the lane's place. *why_out is
	 * then filled in. */
	int64_t (*wait_us)(void *ctx, const struct pacer_cost *cost,
	    int64_t now_us, struct pacer_limit *why_out);
	/* false: another lane was quicker. */
	bool (*take)(void *ctx, const struct pacer_cost *cost, int64_t now_us);
	/* The account's limits as they are now, valid until the next call;
	 * NULL: none. route NULL: whichever account the lane uses. */
	const struct limitset *(*peek)(void *ctx, struct route *route);
	/* The lane's own state changed. */
	void (*save)(void *ctx, const struct limitset *own);
};

struct pacer {
	struct limitset own;
	int64_t due_us; /* of the latest no; 0: taken since */
	struct pacer_limit why; /* of the last no */
	const struct pacer_ops *ops; /* may be NULL */
	void *ctx;
};

/* From lane_message_rate_limit, lane_recipient_rate_limit and
 * lane_byte_rate_limit. false: a value is wrong, error says which and how. */
bool pacer_init(struct pacer *p, const struct settings *set, int64_t now_us,
    char *error, size_t error_size);

/* Goes on from what an earlier process saved, as far as its limits were these;
 * after pacer_init(). saved may be damaged or zeroed. ops and ctx are used from
 * now on. */
void pacer_attach(struct pacer *p, const struct settings *set,
    const struct limitset *saved, const struct pacer_ops *ops, void *ctx,
    int64_t now_us);

/* From now on these settings, which were checked; what is known to be used
 * counts on where that can be said. Quotas of messages that kept has hold as
 * well, if set names none itself: who asks for another pace does not mean what
 * is bought for a day, and what goes meanwhile counts. */
void pacer_reconfigure(struct pacer *p, const struct settings *set,
    const struct settings *kept, int64_t now_us);

/* Microseconds until a message of this cost may go; 0: now. *why_out (may be
 * NULL) tells the parameter that holds it back, and its value, until the next
 * call. */
int64_t pacer_wait_us(struct pacer *p, const struct pacer_cost *cost,
    int64_t now_us, const struct pacer_limit **why_out);

/* How many messages like this one may go now, counting at most up to max. */
size_t pacer_ready(const struct pacer *p, const struct pacer_cost *cost,
    size_t max, int64_t now_us);

/* Takes the tokens; call it when pacer_wait_us() said 0. What comes within
 * 10 ms after the time it was told counts as of that time. false: another lane
 * took the account's; ask again how long to wait. */
bool pacer_take(struct pacer *p, const struct pacer_cost *cost, int64_t now_us);

/* How many messages like this one the rates allow in a span of time, apart
 * from bursts and quotas; at most max. */
int64_t pacer_expected(const struct pacer *p, const struct pacer_cost *cost,
    int64_t span_us, int64_t max);

/* Messages that can go within the next second (for admission), with one
 * recipient each and apart from a burst; INT64_MAX without a limit. */
int64_t pacer_messages_per_s(const struct pacer *p, int64_t now_us);

const char *pacer_parameter(const struct pacer_limit *limit);

/* ---- for those who implement pacer_ops --------------------------------- */

enum pacer_scope {
	PACER_LANE, /* lane_message_rate_limit, ... */
	PACER_ACCOUNT, /* lane_account_message_rate_limit, ... */
	PACER_CONNECTIONS, /* lane_connection_rate_limit, as unit 0 */
	PACER_SCOPES
};

/* What is configured. false: a value is wrong, error says which and how. */
bool pacer_rates(const struct settings *set, enum pacer_scope scope,
    struct limitset_rate rates[LIMITSET_MAX], size_t *count_out, char *error,
    size_t error_size);

struct limitset_cost pacer_limit_cost(const struct pacer_cost *cost);

void pacer_explain(struct pacer_limit *why, const struct limitset_limit *limit,
    bool is_shared);

/* lane_priority as a weight, 1 to FAIRSHARE_WEIGHT_MAX; 0: it is wrong. */
int pacer_weight(const char *priority);

#endif
