#include "common/shared/slots.h"

#include <stddef.h>

_Static_assert(sizeof(struct slots_row) == 32, "row");
_Static_assert(sizeof(struct slots_member) == 128, "member");
_Static_assert(sizeof(struct slots_head) == 256, "head");
_Static_assert(offsetof(struct slots, rows) == 4352, "rows");
_Static_assert(sizeof(struct slots) == 37120, "slots");

static int
min_int(int a, int b)
{
	return a < b ? a : b;
}

static int
max_int(int a, int b)
{
	return a > b ? a : b;
}

bool
slots_is_other_version(const struct slots_head *head)
{
	return head->magic == SLOTS_MAGIC && head->version != SLOTS_VERSION;
}

void
slots_repair(struct slots *s)
{
	s->head.label[sizeof(s->head.label) - 1] = '\0';
	for (int m = 0; m < SLOTS_MEMBERS; m++) {
		struct slots_member *member = &s->members[m];

		member->name[sizeof(member->name) - 1] = '\0';
	}
}

int64_t
slots_rest_ms(int64_t rtt_ms)
{
	if (rtt_ms > SLOTS_REST_MAX_MS / 2)
		return SLOTS_REST_MAX_MS;
	return rtt_ms > SLOTS_REST_MIN_MS / 2 ? 2 * rtt_ms : SLOTS_REST_MIN_MS;
}

static bool
is_resting(const struct slots_row *row, int64_t now_ms)
{
	return row->state == SLOTS_RESTING && row->at_ms > now_ms &&
	       row->at_ms - SLOTS_REST_MAX_MS <= now_ms;
}

int
slots_rest_abandoned(struct slots *s, const struct slots_locks *locks,
    int64_t now_ms, slots_changed_fn *changed, void *ctx)
{
	int count = 0;

	for (int i = 0; i < SLOTS_MAX; i++) {
		struct slots_row *row = &s->rows[i];

		if (locks->rows[i] || row->state != SLOTS_HELD)
			continue;
		row->state = SLOTS_RESTING;
		row->at_ms = now_ms + slots_rest_ms(row->rtt_ms);
		changed(ctx, i);
		count++;
	}
	return count;
}

/* The member a locked row counts for; -1: none (its lane is draining). */
static int
owner(const struct slots *s, const struct slots_locks *locks,
    const struct slots_row *row)
{
	if (row->state != SLOTS_HELD || row->member >= SLOTS_MEMBERS ||
	    !locks->members[row->member] ||
	    s->members[row->member].generation != row->generation)
		return -1;
	return (int)row->member;
}

static void
count_rows(const struct slots *s, const struct slots_locks *locks,
    int64_t now_ms, int held[SLOTS_MEMBERS], struct slots_sum *out)
{
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct slots_row *row = &s->rows[i];

		if (locks->rows[i]) {
			int m = owner(s, locks, row);

			out->held++;
			if (m >= 0)
				held[m]++;
		} else if (row->state == SLOTS_HELD) {
			out->resting++;
		} else if (is_resting(row, now_ms)) {
			out->resting++;
			if (row->at_ms < out->rest_over_ms)
				out->rest_over_ms = row->at_ms;
		}
	}
}

void
slots_count(const struct slots *s, const struct slots_locks *locks, int me,
    int64_t now_ms, struct slots_sum *out)
{
	int held[SLOTS_MEMBERS] = {0};

	*out = (struct slots_sum){
	    .rest_over_ms = INT64_MAX, .limit = s->members[me].limit};
	count_rows(s, locks, now_ms, held, out);
	out->mine = held[me];
	for (int m = 0; m < SLOTS_MEMBERS; m++) {
		const struct slots_member *member = &s->members[m];

		if (m == me || !locks->members[m])
			continue;
		if (member->limit > 0)
			out->limit = min_int(out->limit, member->limit);
		/* what a file says may be anything */
		out->others_want +=
		    max_int(0, min_int(member->wants, SLOTS_MAX));
		out->unfilled += max_int(0,
		    max_int(0, min_int(member->reserve, SLOTS_MAX)) - held[m]);
	}
	out->limit = max_int(1, min_int(out->limit, SLOTS_MAX));
	out->limit_now = slots_limit_now(&s->head, out->limit, now_ms);
}

const char *
slots_why_not(const struct slots_sum *sum, int my_reserve)
{
	int free = sum->limit_now - sum->held - sum->resting;

	if (free <= 0) {
		if (sum->limit_now > sum->held)
			return "a slot rests after a connection broke off";
		if (sum->limit_now < sum->limit)
			return "the server allows no more connections";
		return "account connection limit reached";
	}
	if (sum->mine < my_reserve)
		return NULL;
	if (free > min_int(sum->unfilled, sum->limit_now - 1))
		return NULL;
	return "the free slots are reserved for another lane";
}

int
slots_pick(
    const struct slots *s, const struct slots_locks *locks, int64_t now_ms)
{
	for (int i = 0; i < SLOTS_MAX; i++)
		if (!locks->rows[i] && s->rows[i].state != SLOTS_HELD &&
		    !is_resting(&s->rows[i], now_ms))
			return i;
	return -1;
}

/* A clock before the refusal's is another boot's. */
static bool
has_refusal(const struct slots_head *head, int64_t now_ms)
{
	return head->refused_to > 0 && head->refused_to < SLOTS_MAX &&
	       head->refused_at_ms >= 0 && head->refused_at_ms <= now_ms;
}

/* What a file says may be anything. */
static int64_t
refused_hold_ms(const struct slots_head *head)
{
	int64_t ms = head->refused_hold_ms;

	if (ms < SLOTS_REFUSED_HOLD_MS)
		return SLOTS_REFUSED_HOLD_MS;
	return ms < SLOTS_REFUSED_HOLD_MAX_MS ? ms : SLOTS_REFUSED_HOLD_MAX_MS;
}

int
slots_limit_now(const struct slots_head *head, int limit, int64_t now_ms)
{
	int64_t over_ms, now;

	if (!has_refusal(head, now_ms))
		return limit;
	over_ms = now_ms - head->refused_at_ms - refused_hold_ms(head);
	now = head->refused_to;
	if (over_ms >= 0)
		now += 1 + over_ms / SLOTS_REFUSED_STEP_MS;
	return now < limit ? (int)now : limit;
}

int64_t
slots_limited_ms(const struct slots_head *head, int limit, int64_t now_ms)
{
	int64_t end_ms;

	if (!has_refusal(head, now_ms) || head->refused_to >= limit)
		return 0;
	end_ms = head->refused_at_ms + refused_hold_ms(head) +
		 (limit - head->refused_to - 1) * SLOTS_REFUSED_STEP_MS;
	return end_ms > now_ms ? end_ms - now_ms : 0;
}

void
slots_refuse(struct slots_head *head, int open_count, int64_t now_ms)
{
	int now = slots_limit_now(head, SLOTS_MAX, now_ms);
	/* Old sessions above a limit already lowered prove nothing. */
	int to = min_int(max_int(1, open_count), now);
	int64_t hold_ms = refused_hold_ms(head);

	if (!has_refusal(head, now_ms))
		hold_ms = SLOTS_REFUSED_HOLD_MS;
	else if (now_ms - head->refused_at_ms >= hold_ms)
		/* One more was tried. */
		hold_ms = to == head->refused_to ? 2 * hold_ms
						 : SLOTS_REFUSED_HOLD_MS;
	if (hold_ms > SLOTS_REFUSED_HOLD_MAX_MS)
		hold_ms = SLOTS_REFUSED_HOLD_MAX_MS;
	head->refused_hold_ms = hold_ms;
	head->refused_to = to;
	head->refused_at_ms = now_ms;
	head->refusals++;
}
