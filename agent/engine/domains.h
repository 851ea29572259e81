/* domains: limits by recipient domain, lane_domain_rate_limits.
 *
 *   example.com=5/1m  .gmx.de=10/1s recipients:100/1m  hash:/etc/postfix/slow
 *   |------ 1 -----|  |-------------- 2 ------------|  |------ 3 ----------|
 *
 * A domain, "=" and its limits (1); several together (2), in messages or, with
 * "recipients:" or "octets:" before the rate, in these; "none" is no limit. A
 * table's key is the domain, its value the limits (3); it is not read here.
 * example.com is that domain alone, .gmx.de every domain below gmx.de, all
 * under one limit. The longest match counts; what was added first wins.
 *
 * A domain that mail waits for, or that is not back to its full burst, has a
 * state of about 2 kB; it is forgotten by domains_sweep() when neither is so.
 *
 * What was taken of the limits can be kept beyond the process, for DOMAINS_KEPT
 * limits that are not full at the same time: struct domains_kept is a plain
 * value without pointers, see domains_keep().
 *
 * Engine: time is an argument, in monotonic microseconds.
 */
#ifndef DOMAINS_H
#define DOMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/pacer.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/limits/limiter.h"
#include "common/limits/limitset.h"

enum {
	DOMAIN_LIMITS_MAX = 4,
	DOMAIN_NAME_MAX = 255,
	DOMAINS_KEPT = 256,
	DOMAINS_SWEEP_US = 60000000,
	DOMAIN_TEXT_SIZE = 400, /* enough for domain_explain() */
};

struct domains;
struct domain;

/* A limit that was taken from; key 0: none. */
struct domains_slot {
	uint64_t key;
	struct limiter limiter;
};

struct domains_kept {
	struct domains_slot slots[DOMAINS_KEPT];
};

struct domains *domains_new(void);

/* Nobody who holds a domain may use it any more. */
void domains_free(struct domains **d);

/* Adds what an entry of a table says: name, and its limits as text. false: it
 * makes no sense, error says why. */
bool domains_add(struct domains *d, const char *name, const char *limits,
    char *error, size_t error_size);

/* Adds the domains in a value of lane_domain_rate_limits; the names of tables
 * in it go to tables (may be NULL), blanks between. false: see error. */
bool domains_add_list(struct domains *d, const char *text, struct buf *tables,
    char *error, size_t error_size);

/* Goes on from what was kept (damage is forgotten; times are moved by shift_us)
 * and calls store whenever that changes. Before any domain is held. */
void domains_keep(struct domains *d, const struct domains_kept *found,
    int64_t shift_us, int64_t now_us,
    void (*store)(void *ctx, const struct domains_kept *kept), void *ctx);

/* store is not called any more. */
void domains_keep_no_more(struct domains *d);

/* Adds a domain that nothing goes to before until_us (INT64_MAX: without an
 * end); why, "paused by root", is what domain_explain() says. It is in d once,
 * and d has nothing else. */
struct domain *domains_block(
    struct domains *d, const char *name, int64_t until_us, const char *why);
bool domain_is_blocked(const struct domain *dom);
const char *domain_why(const struct domain *dom);

/* No domain has a limit. */
bool domains_are_none(const struct domains *d);

/* The limited domain that a recipient's domain falls under, in any case of
 * letters; NULL: none. */
struct domain *domains_find(struct domains *d, struct slice domain);

const char *domain_name(const struct domain *dom);

/* Whoever has mail for it holds it, and must before any of what follows. */
void domain_hold(struct domain *dom, int64_t now_us);
void domain_release(struct domain *dom);

/* A list head for the holder's use. */
struct list *domain_queues(struct domain *dom);

/* Microseconds until this may go; 0: now; RATE_NEVER. */
int64_t domain_wait_us(
    struct domain *dom, const struct pacer_cost *cost, int64_t now_us);

/* How many like this one may go now; at most max. */
size_t domain_ready(const struct domain *dom, const struct pacer_cost *cost,
    size_t max, int64_t now_us);

/* How many like this one the rates allow in a span of time, apart from bursts
 * and quotas; at most max. */
int64_t domain_expected(const struct domain *dom, const struct pacer_cost *cost,
    int64_t span_us, int64_t max);

/* Takes the tokens; call it when domain_wait_us() said 0. As in pacer.h, what
 * comes within 10 ms after the time it was told counts as of that time. */
void domain_take(
    struct domain *dom, const struct pacer_cost *cost, int64_t now_us);

/* Undoes a take of taken_us: nothing was sent. */
void domain_give_back(
    struct domain *dom, const struct pacer_cost *cost, int64_t taken_us);

/* "lane_domain_rate_limits: example.com=5/1m:1", the limit that holds this
 * back for longest. */
void domain_explain(const struct domain *dom, const struct pacer_cost *cost,
    int64_t now_us, char *out, size_t n);

/* Forgets states that say nothing any more. Looks every DOMAINS_SWEEP_US. */
void domains_sweep(struct domains *d, int64_t now_us);

/* Domains that have a state: held, or not full again. */
size_t domains_live(const struct domains *d);

#endif
