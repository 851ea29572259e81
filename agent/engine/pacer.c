#include "agent/engine/pacer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"

static_assert((int)PACER_UNITS == (int)LIMITSET_UNITS, "units");
static_assert((int)PACER_UNITS * RATE_LIST_MAX <= (int)LIMITSET_MAX, "limits");

/* The lane's own limits have one user. */
enum { ME = 1 };

static const char *const parameters[PACER_SCOPES][PACER_UNITS] = {
    [PACER_LANE] =
	{
	    [PACER_MESSAGES] = "lane_message_rate_limit",
	    [PACER_RECIPIENTS] = "lane_recipient_rate_limit",
	    [PACER_OCTETS] = "lane_byte_rate_limit",
	},
    [PACER_ACCOUNT] =
	{
	    [PACER_MESSAGES] = "lane_account_message_rate_limit",
	    [PACER_RECIPIENTS] = "lane_account_recipient_rate_limit",
	    [PACER_OCTETS] = "lane_account_byte_rate_limit",
	},
    [PACER_CONNECTIONS] = {"lane_connection_rate_limit"},
};

bool
pacer_rates(const struct settings *set, enum pacer_scope scope,
    struct limitset_rate rates[LIMITSET_MAX], size_t *count_out, char *error,
    size_t error_size)
{
	const char *texts[PACER_SCOPES][PACER_UNITS] = {
	    [PACER_LANE] = {set->lane_message_rate_limit,
		set->lane_recipient_rate_limit, set->lane_byte_rate_limit},
	    [PACER_ACCOUNT] = {set->lane_account_message_rate_limit,
		set->lane_account_recipient_rate_limit,
		set->lane_account_byte_rate_limit},
	    [PACER_CONNECTIONS] = {set->lane_connection_rate_limit},
	};
	size_t n = 0;

	*count_out = 0;
	for (int unit = 0; unit < PACER_UNITS; unit++) {
		const char *text = texts[scope][unit];
		struct rate list[RATE_LIST_MAX];
		char why[256];
		size_t count = 0;

		if (text == NULL)
			continue;
		if (!rate_list_parse(slice_str(text), list, RATE_LIST_MAX,
			&count, why, sizeof(why))) {
			(void)snprintf(error, error_size,
			    "bad parameter: %s = %s: %s",
			    parameters[scope][unit], text, why);
			return false;
		}
		for (size_t i = 0; i < count; i++)
			rates[n++] = (struct limitset_rate){unit, list[i]};
	}
	*count_out = n;
	return true;
}

bool
pacer_init(struct pacer *p, const struct settings *set, int64_t now_us,
    char *error, size_t error_size)
{
	struct limitset_rate rates[LIMITSET_MAX];
	size_t count;

	memset(p, 0, sizeof(*p));
	if (!pacer_rates(set, PACER_LANE, rates, &count, error, error_size))
		return false;
	CHECK(limitset_configure(
	    p->own.limits, LIMITSET_MAX, ME, 0, rates, count, now_us));
	return true;
}

/* Moves quotas of messages to the front; how many there are. */
static size_t
quotas_first(struct limitset_rate *rates, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		struct limitset_rate rate = rates[i];

		if (rate.unit != PACER_MESSAGES || !rate.rate.is_quota)
			continue;
		rates[i] = rates[n];
		rates[n++] = rate;
	}
	return n;
}

void
pacer_reconfigure(struct pacer *p, const struct settings *set,
    const struct settings *kept, int64_t now_us)
{
	struct limitset_rate rates[2 * LIMITSET_MAX], others[LIMITSET_MAX];
	size_t count, n;
	char error[256];

	CHECK(pacer_rates(kept, PACER_LANE, others, &n, error, sizeof(error)));
	n = quotas_first(others, n);
	CHECK(
	    pacer_rates(set, PACER_LANE, rates, &count, error, sizeof(error)));
	if (quotas_first(rates, count) == 0) {
		memcpy(rates + count, others, n * sizeof(rates[0]));
		count += n;
		(void)quotas_first(rates, count);
	}
	/* Of more than there is room for, quotas are not what is left out. */
	if (count > LIMITSET_MAX)
		count = LIMITSET_MAX;
	CHECK(limitset_configure(
	    p->own.limits, LIMITSET_MAX, ME, 0, rates, count, now_us));
}

void
pacer_attach(struct pacer *p, const struct settings *set,
    const struct limitset *saved, const struct pacer_ops *ops, void *ctx,
    int64_t now_us)
{
	p->ops = ops;
	p->ctx = ctx;
	p->own = *saved;
	(void)limitset_repair(p->own.limits, LIMITSET_MAX, ME, now_us);
	pacer_reconfigure(p, set, set, now_us);
}

struct limitset_cost
pacer_limit_cost(const struct pacer_cost *cost)
{
	struct limitset_cost c;

	memcpy(c.units, cost->units, sizeof(c.units));
	return c;
}

void
pacer_explain(
    struct pacer_limit *why, const struct limitset_limit *limit, bool is_shared)
{
	const struct bucket *b = &limit->limiter.bucket;
	const struct quota *q = &limit->limiter.quota;

	why->unit = (enum pacer_unit)limit->unit;
	why->is_shared = is_shared;
	if (limit->limiter.kind == LIMITER_QUOTA)
		why->rate = (struct rate){
		    .count_milli = q->limit * 1000,
		    .period_us = q->period_us,
		    .is_quota = true,
		};
	else
		why->rate = (struct rate){
		    .count_milli = b->count_milli,
		    .period_us = b->period_us,
		    .burst = b->burst,
		};
}

int64_t
pacer_wait_us(struct pacer *p, const struct pacer_cost *cost, int64_t now_us,
    const struct pacer_limit **why_out)
{
	struct limitset_cost c = pacer_limit_cost(cost);
	const struct limitset_limit *limit = NULL;
	int64_t wait = limitset_wait_us(
	    p->own.limits, LIMITSET_MAX, &c, false, now_us, &limit);

	/* A place among the lanes is only for who could use it. */
	if (wait > 0) {
		pacer_explain(&p->why, limit, false);
		p->due_us = wait == RATE_NEVER ? 0 : now_us + wait;
	}
	if (wait == 0 && p->ops != NULL && p->ops->wait_us != NULL)
		wait = p->ops->wait_us(p->ctx, cost, now_us, &p->why);
	if (wait > 0 && why_out != NULL)
		*why_out = &p->why;
	return wait;
}

static const struct limitset *
peek(const struct pacer *p, struct route *route)
{
	if (p->ops == NULL || p->ops->peek == NULL)
		return NULL;
	return p->ops->peek(p->ctx, route);
}

size_t
pacer_ready(const struct pacer *p, const struct pacer_cost *cost, size_t max,
    int64_t now_us)
{
	struct limitset_cost c = pacer_limit_cost(cost);
	const struct limitset *shared;

	max = limitset_ready(p->own.limits, LIMITSET_MAX, &c, max, now_us);
	shared = max > 0 ? peek(p, cost->route) : NULL;
	return shared != NULL ? limitset_ready(shared->limits, LIMITSET_MAX, &c,
				    max, now_us)
			      : max;
}

bool
pacer_take(struct pacer *p, const struct pacer_cost *cost, int64_t now_us)
{
	struct limitset_cost c = pacer_limit_cost(cost);

	if (p->ops != NULL && p->ops->take != NULL &&
	    !p->ops->take(p->ctx, cost, now_us))
		return false;
	CHECK(limitset_take(p->own.limits, LIMITSET_MAX, &c,
	    limitset_time_of_take(
		p->own.limits, LIMITSET_MAX, &c, false, p->due_us, now_us)));
	p->due_us = 0;
	if (p->ops != NULL && p->ops->save != NULL &&
	    limitset_is_limited(p->own.limits, LIMITSET_MAX))
		p->ops->save(p->ctx, &p->own);
	return true;
}

int64_t
pacer_expected(const struct pacer *p, const struct pacer_cost *cost,
    int64_t span_us, int64_t max)
{
	struct limitset_cost c = pacer_limit_cost(cost);
	const struct limitset *shared = peek(p, cost->route);

	max = limitset_expected(p->own.limits, LIMITSET_MAX, &c, span_us, max);
	return shared != NULL ? limitset_expected(shared->limits, LIMITSET_MAX,
				    &c, span_us, max)
			      : max;
}

static int64_t
messages_per_s(const struct limitset *s, int64_t now_us)
{
	int64_t messages =
	    limitset_per_s(s->limits, LIMITSET_MAX, PACER_MESSAGES, now_us);
	int64_t recipients =
	    limitset_per_s(s->limits, LIMITSET_MAX, PACER_RECIPIENTS, now_us);

	return messages < recipients ? messages : recipients;
}

int64_t
pacer_messages_per_s(const struct pacer *p, int64_t now_us)
{
	int64_t own = messages_per_s(&p->own, now_us), all = INT64_MAX;
	const struct limitset *shared = peek(p, NULL);

	if (shared != NULL)
		all = messages_per_s(shared, now_us);
	return own < all ? own : all;
}

const char *
pacer_parameter(const struct pacer_limit *limit)
{
	return parameters[limit->is_shared ? PACER_ACCOUNT : PACER_LANE]
			 [limit->unit];
}

int
pacer_weight(const char *priority)
{
	static const struct {
		const char *name;
		int weight;
	} names[] = {{"urgent", 16}, {"normal", 4}, {"bulk", 1}};
	int weight = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(priority, names[i].name) == 0)
			return names[i].weight;
	for (const char *p = priority; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		weight = weight * 10 + (*p - '0');
		if (weight > FAIRSHARE_WEIGHT_MAX)
			return 0;
	}
	return weight;
}
