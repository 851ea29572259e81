/* Files that processes share, of any octets: after their repair each function
 * gives a value that can be used, and a second repair finds nothing. The first
 * octet says which: connections of an account, its rates, operators' orders.
 */
#include <stdint.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/limits/fairshare.h"
#include "common/shared/slots.h"
#include "common/shared/steer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 6, COSTS_MAX = 1000, ERROR_SIZE = 200 };

#define NOW_MASK ((INT64_C(1) << 51) - 1) /* beyond any uptime */

static int64_t
moment_of(const uint8_t *data, size_t size)
{
	int64_t now = 0;

	memcpy(&now, data, size < sizeof(now) ? size : sizeof(now));
	return now & NOW_MASK;
}

static void
fill(void *p, size_t n, const uint8_t *data, size_t size)
{
	memset(p, 0, n);
	memcpy(p, data, size < n ? size : n);
}

static void
on_rest(void *ctx, int row)
{
	(void)ctx;
	CHECK(row >= 0 && row < SLOTS_MAX);
}

static void
use_slots(const uint8_t *data, size_t size)
{
	struct slots *s = mem_zalloc(sizeof(*s));
	struct slots_locks *locks = mem_zalloc(sizeof(*locks));
	int64_t now_ms = moment_of(data, size);
	struct slots_sum sum;

	fill(s, sizeof(*s), data, size);
	for (size_t i = 0; i < SLOTS_MAX; i++)
		locks->rows[i] = (data[i % size] & 1) != 0;
	for (size_t i = 0; i < SLOTS_MEMBERS; i++)
		locks->members[i] = (data[i % size] & 2) != 0;
	slots_repair(s);
	CHECK(memchr(s->head.label, '\0', sizeof(s->head.label)) != NULL);
	for (int i = 0; i < SLOTS_MEMBERS; i++)
		CHECK(memchr(s->members[i].name, '\0',
			  sizeof(s->members[i].name)) != NULL);
	for (int i = 0; i < STEPS; i++) {
		int row;

		(void)slots_rest_abandoned(s, locks, now_ms, on_rest, NULL);
		slots_count(s, locks, i % SLOTS_MEMBERS, now_ms, &sum);
		CHECK(sum.held >= 0 && sum.resting >= 0);
		CHECK(sum.held + sum.resting <= SLOTS_MAX);
		CHECK(sum.mine >= 0 && sum.mine <= sum.held);
		row = slots_pick(s, locks, now_ms);
		CHECK(row >= -1 && row < SLOTS_MAX);
		CHECK(row < 0 || !locks->rows[row]);
		(void)slots_why_not(&sum, 3);
		CHECK(slots_rest_ms(s->rows[i].rtt_ms) >= SLOTS_REST_MIN_MS);
		CHECK(slots_rest_ms(s->rows[i].rtt_ms) <= SLOTS_REST_MAX_MS);
		slots_refuse(&s->head, i, now_ms);
		CHECK(slots_limit_now(&s->head, 20, now_ms) >= 1);
		CHECK(slots_limit_now(&s->head, 20, now_ms) <= 20);
		CHECK(slots_limited_ms(&s->head, 20, now_ms) >= 0);
		now_ms += data[(size_t)i % size] * INT64_C(1000);
	}
	mem_free(locks);
	mem_free(s);
}

static void
take_some(struct fairshare *s, int me, const uint8_t *data, size_t size,
    int64_t now_us)
{
	const struct limitset_limit *limit;
	struct limitset_cost cost = {{1, 1, 1000}};
	bool in_use[FAIRSHARE_LANES];

	for (size_t i = 0; i < FAIRSHARE_LANES; i++)
		in_use[i] = (data[i % size] & 1) != 0;
	for (int i = 0; i < STEPS; i++) {
		int64_t wait_us;

		cost.units[1] = data[(size_t)i % size] % COSTS_MAX;
		wait_us = fairshare_wait_us(s, me, &cost, now_us, &limit);
		CHECK(wait_us >= 0);
		if (!fairshare_take(s, me, &cost, now_us))
			fairshare_charge(s, &cost, now_us - 5, now_us);
		fairshare_note_use(s, me, now_us);
		(void)fairshare_tell(s, me, in_use, now_us - 1000, now_us);
		(void)fairshare_is_spent(s, now_us);
		now_us += data[(size_t)i % size] * INT64_C(1000);
	}
	(void)fairshare_pause(s, now_us + 100);
	fairshare_shift(s, -1000000);
	(void)fairshare_quit(s, me);
	/* A file may say that a turn is at the very end of time: what comes
	 * behind is begun anew, once. */
	(void)fairshare_repair(s, now_us);
	CHECK(!fairshare_repair(s, now_us));
}

static void
use_rates(const uint8_t *data, size_t size)
{
	struct limitset_rate rate = {.unit = 1,
	    .rate = {.count_milli = 5000, .period_us = 1000000, .burst = 5}};
	struct fairshare *s = mem_zalloc(sizeof(*s));
	int64_t now_us = moment_of(data, size);
	int me;

	fill(s, sizeof(*s), data, size);
	(void)fairshare_repair(s, now_us);
	CHECK(!fairshare_repair(s, now_us));
	me = fairshare_find(s, 77, NULL);
	CHECK(me >= -1 && me < FAIRSHARE_LANES);
	if (me >= 0) {
		fairshare_join(s, me, 77, 4, (data[0] & 4) != 0, now_us);
		(void)fairshare_configure(
		    s, me, &rate, data[0] & 1, NULL, now_us);
		take_some(s, me, data, size, now_us);
	}
	mem_free(s);
}

static void
use_orders(const uint8_t *data, size_t size)
{
	struct steer *s = mem_zalloc(sizeof(*s)),
		     *again = mem_zalloc(sizeof(*s));
	struct steer_now now = {
	    .wall_s = moment_of(data, size) & UINT32_MAX, .boot = 1};
	char error[ERROR_SIZE];
	struct buf text;

	buf_init(&text, STEER_FILE_MAX * 4);
	if (steer_parse(
		slice_of((const char *)data, size), s, error, sizeof(error))) {
		CHECK(s->count <= STEER_ORDERS_MAX);
		steer_print(s, &text);
		CHECK(
		    steer_parse(buf_slice(&text), again, error, sizeof(error)));
		CHECK(again->count == s->count);
		steer_expire(s, now);
		for (size_t i = 0; i < s->count; i++)
			CHECK(steer_left_ms(&s->orders[i], now) > 0);
	} else {
		CHECK(s->count == 0 && strlen(error) > 0);
	}
	buf_fini(&text);
	mem_free(again);
	mem_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	switch (data[0] % 3) {
	case 0:
		use_slots(data + 1, size - 1);
		break;
	case 1:
		use_rates(data + 1, size - 1);
		break;
	default:
		use_orders(data + 1, size - 1);
		break;
	}
	return 0;
}
