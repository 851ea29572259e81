#include "agent/figures.h"

#include "agent/state/pace_store.h"

enum { SHOW_EVERY_MS = 250 };

static void
add_counter(
    struct figures *f, enum board_counter which, uint64_t now, uint64_t *shown)
{
	if (now == *shown)
		return;
	board_writer_add(f->board, which, now - *shown);
	*shown = now;
}

static void
show_counters(struct figures *f)
{
	const struct lane_figures *now = lane_figures(f->lane);
	struct lane_figures *shown = &f->shown;

	add_counter(f, BOARD_COUNTER_recipients_sent, now->sent, &shown->sent);
	add_counter(f, BOARD_COUNTER_recipients_deferred, now->deferred,
	    &shown->deferred);
	add_counter(
	    f, BOARD_COUNTER_recipients_bounced, now->bounced, &shown->bounced);
	add_counter(
	    f, BOARD_COUNTER_messages_sent, now->messages, &shown->messages);
	add_counter(f, BOARD_COUNTER_in_doubt, now->in_doubt, &shown->in_doubt);
	add_counter(f, BOARD_COUNTER_retries, now->returned, &shown->returned);
	add_counter(f, BOARD_COUNTER_crowd_called_back,
	    requeue_called(f->recall), &f->shown_called);
}

static void
show_gauges(const struct figures *f)
{
	struct board_writer *b = f->board;

	board_writer_set(
	    b, BOARD_GAUGE_requests_waiting, (int64_t)lane_waiting(f->lane));
	board_writer_set(
	    b, BOARD_GAUGE_requests_parked, (int64_t)lane_parked(f->lane));
	board_writer_set(b, BOARD_GAUGE_requests_in_flight,
	    (int64_t)lane_in_flight(f->lane));
	board_writer_set(
	    b, BOARD_GAUGE_reports_pending, (int64_t)report_pending(f->report));
	board_writer_set(
	    b, BOARD_GAUGE_sessions_dialing, (int64_t)lane_dialing(f->lane));
	board_writer_set(b, BOARD_GAUGE_messages_active, f->crowd->count);
	board_writer_set(b, BOARD_GAUGE_crowd_relieving, f->crowd->is_on);
	board_writer_set(
	    b, BOARD_GAUGE_crowd_given_back, (int64_t)requeue_count(f->recall));
}

/* ---- rates -------------------------------------------------------------- */

static void
fill_row(struct board_rate *row, const struct limiter *l, int64_t now_us)
{
	if (l->kind == LIMITER_QUOTA) {
		row->count_milli = (uint64_t)l->quota.limit * 1000;
		row->period_us = (uint64_t)l->quota.period_us;
		row->used = (uint64_t)quota_used(&l->quota, now_us);
	} else {
		row->count_milli = (uint64_t)l->bucket.count_milli;
		row->period_us = (uint64_t)l->bucket.period_us;
		row->burst = (uint64_t)l->bucket.burst;
	}
}

size_t
figures_rates(const struct fairshare *s, enum board_rate_unit unit,
    struct board_rate *rows, size_t max, struct moment now)
{
	int64_t wall_ms =
	    (int64_t)now.wall.tv_sec * 1000 + now.wall.tv_usec / 1000;
	int64_t now_us = now.ms * 1000;
	size_t count = 0;

	for (size_t i = 0; s != NULL && i < FAIRSHARE_LIMITS && count < max;
	     i++) {
		const struct fairshare_limit *limit = &s->limits[i];
		struct board_rate *row = &rows[count];
		int64_t wait_us;

		if (limit->lanes == 0 || limit->limiter.kind == LIMITER_NONE)
			continue;
		*row = (struct board_rate){
		    .unit = (uint64_t)unit + (uint64_t)limit->unit};
		fill_row(row, &limit->limiter, now_us);
		wait_us = limiter_wait_us(&limit->limiter, 1, now_us);
		if (wait_us > 0)
			row->next_wall_ms =
			    (uint64_t)(wall_ms + wait_us / 1000);
		count++;
	}
	return count;
}

static void
store_rates(struct board_rate *to, const struct board_rate *rows)
{
	const uint64_t *from = (const uint64_t *)rows;
	uint64_t *word = (uint64_t *)to;

	for (size_t i = 0; i < BOARD_RATES * BOARD_RATE_WORDS; i++)
		board_store(&word[i], from[i]);
}

static void
show_rates(struct figures *f, struct moment now)
{
	struct board_rate own[BOARD_RATES] = {{0}}, all[BOARD_RATES] = {{0}};
	struct board_account *account = board_writer_account(f->board);
	size_t n;

	if (f->board == NULL || board_writer_is_drained(f->board))
		return;
	(void)figures_rates(
	    lane_rates(f->lane), BOARD_RATE_MESSAGES, own, BOARD_RATES, now);
	store_rates(board_writer_lane(f->board)->rates, own);
	if (account == NULL)
		return;
	n = figures_rates(rate_store_peek(f->rates, NULL), BOARD_RATE_MESSAGES,
	    all, BOARD_RATES, now);
	(void)figures_rates(rate_store_peek_connects(f->rates),
	    BOARD_RATE_CONNECTIONS, all + n, BOARD_RATES - n, now);
	store_rates(account->rates, all);
}

/* ------------------------------------------------------------------------- */

void
figures_show(struct figures *f, struct moment now)
{
	bool is_idle = lane_waiting(f->lane) + lane_in_flight(f->lane) == 0;

	/* The last state before a quiet time is shown whatever the hour. */
	f->is_due = !is_idle && now.ms - f->shown_ms < SHOW_EVERY_MS;
	if (f->is_due)
		return;
	f->shown_ms = now.ms;
	show_counters(f);
	show_gauges(f);
	show_rates(f, now);
	upstreams_show(f->ups);
	pace_store_save(f->board, f->lane, now);
	board_writer_beat(f->board);
}

int64_t
figures_due_ms(const struct figures *f)
{
	return f->is_due ? f->shown_ms + SHOW_EVERY_MS : INT64_MAX;
}

static int64_t
us_between(struct timeval from, struct timeval to)
{
	int64_t us = ((int64_t)to.tv_sec - from.tv_sec) * 1000000 +
		     (to.tv_usec - from.tv_usec);

	return us > 0 ? us : 0;
}

void
figures_observe(struct board_writer *board, const struct request *req,
    const struct verdict *v)
{
	if (v->conn_done.tv_sec == 0 || v->deliver_done.tv_sec == 0)
		return;
	board_writer_observe(board, BOARD_HIST_queue_wait,
	    us_between(req->times.handoff, v->conn_done));
	board_writer_observe(board, BOARD_HIST_wire_time,
	    us_between(v->conn_done, v->deliver_done));
}
