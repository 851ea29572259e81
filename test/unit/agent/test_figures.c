#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/figures.h"
#include "common/base/mem.h"
#include "test/support/statedir.h"

enum { ROWS = 8 };

static const struct moment now = {
    .ms = 1000000, .wall = {.tv_sec = 1700000000, .tv_usec = 500000}};

static struct limitset_rate
rate_of(int unit, const char *text)
{
	struct limitset_rate r = {.unit = unit};
	char error[256];

	assert_true(rate_parse(slice_str(text), &r.rate, error, sizeof(error)));
	return r;
}

/* An account with two limits, of which one was just used up. */
static struct limitset *
used_limits(void)
{
	const struct limitset_cost cost = {{1, 3, 0}};
	struct limitset *s = mem_zalloc(sizeof(*s));
	struct limitset_rate rates[] = {
	    rate_of(0, "2/1s"), rate_of(1, "50/1d!")};

	assert_true(limitset_configure(
	    s->limits, LIMITSET_MAX, 1, 0, rates, 2, now.ms * 1000));
	assert_true(
	    limitset_take(s->limits, LIMITSET_MAX, &cost, now.ms * 1000));
	return s;
}

static void
figures_of_limits_say_what_is_used_and_when_more_may_go(void **state)
{
	struct board_rate rows[ROWS] = {{0}};
	struct limitset *s = used_limits();

	(void)state;
	assert_int_equal(
	    figures_rates(s, BOARD_RATE_MESSAGES, rows, ROWS, now), 2);
	assert_int_equal(rows[0].unit, BOARD_RATE_MESSAGES);
	assert_int_equal(rows[0].count_milli, 2000);
	assert_int_equal(rows[0].period_us, 1000000);
	assert_int_equal(rows[0].burst, 1);
	assert_int_equal(rows[0].next_wall_ms, INT64_C(1700000000500) + 500);
	assert_int_equal(rows[1].unit, BOARD_RATE_RECIPIENTS);
	assert_int_equal(rows[1].count_milli, 50000);
	assert_int_equal(rows[1].burst, 0);
	assert_int_equal(rows[1].used, 3);
	assert_int_equal(rows[1].next_wall_ms, 0);
	mem_free(s);
}

static void
figures_of_limits_are_bounded_and_may_be_none(void **state)
{
	struct board_rate rows[ROWS] = {{0}};
	struct limitset *s = used_limits();

	(void)state;
	assert_int_equal(
	    figures_rates(NULL, BOARD_RATE_MESSAGES, rows, ROWS, now), 0);
	assert_int_equal(
	    figures_rates(s, BOARD_RATE_MESSAGES, rows, 1, now), 1);
	assert_int_equal(rows[1].unit, BOARD_RATE_FREE);
	memset(s, 0, sizeof(*s));
	assert_int_equal(
	    figures_rates(s, BOARD_RATE_MESSAGES, rows, ROWS, now), 0);
	mem_free(s);
}

/* ---- what became of recipients ------------------------------------------ */

static struct board_writer *
board_in(void **state)
{
	char error[200] = "";
	struct board_writer *board =
	    board_writer_open(*state, "fast", "fast", error, sizeof(error));

	if (board == NULL)
		fail_msg("board_writer_open: %s", error);
	return board;
}

static uint64_t
counted(struct board_writer *board, enum board_counter which)
{
	return board_writer_lane(board)->counters[which];
}

/* Decides and reports recipients in order, as the agent does. */
static void
report_all(struct board_writer *board, struct request *req)
{
	for (size_t i = 0; i < req->rcpt_count; i++)
		figures_on_decided(board, req, i, 1000);
	for (size_t i = 0; i < req->rcpt_count; i++) {
		req->rcpts[i].state = RCPT_REPORTED;
		figures_on_reported(board, req, i, 4000);
	}
}

static struct verdict *
verdict_of(enum outcome outcome, enum dsn_cause cause, uint16_t code)
{
	struct verdict *v = verdict_new(outcome);

	dsn_set(&v->dsn, "4.0.0", "text");
	v->dsn.cause = cause;
	v->dsn.smtp_code = code;
	return v;
}

static void
figures_count_a_message_once_for_each_outcome(void **state)
{
	struct board_writer *board = board_in(state);
	struct recipient rcpts[] = {
	    {.verdict = verdict_of(OUTCOME_SENT, DSN_CAUSE_NONE, 250)},
	    {.verdict = verdict_of(OUTCOME_SENT, DSN_CAUSE_NONE, 250)},
	    {.verdict = verdict_of(OUTCOME_DEFER, DSN_CAUSE_NONE, 450)},
	    {.verdict = verdict_of(OUTCOME_BOUNCE, DSN_CAUSE_NONE, 550)},
	    {.verdict = verdict_of(OUTCOME_BOUNCE, DSN_CAUSE_LOST, 0)},
	};
	struct request req = {.rcpts = rcpts, .rcpt_count = 5};
	struct request probe = {
	    .rcpts = rcpts, .rcpt_count = 1, .flags = REQUEST_MTA_VRFY};
	const struct board_hist *times;

	req.is_corrupt = true;
	report_all(board, &req);
	assert_int_equal(counted(board, BOARD_COUNTER_messages_sent), 1);
	assert_int_equal(counted(board, BOARD_COUNTER_messages_deferred), 1);
	assert_int_equal(counted(board, BOARD_COUNTER_messages_bounced), 1);
	assert_int_equal(counted(board, BOARD_COUNTER_recipients_sent), 2);
	assert_int_equal(counted(board, BOARD_COUNTER_recipients_deferred), 1);
	assert_int_equal(counted(board, BOARD_COUNTER_recipients_bounced), 2);
	assert_int_equal(counted(board, BOARD_COUNTER_deferred_reply), 1);
	assert_int_equal(counted(board, BOARD_COUNTER_deferred_lost), 0);
	assert_int_equal(counted(board, BOARD_COUNTER_corrupt), 1);
	times = &board_writer_lane(board)->hists[BOARD_HIST_report_time];
	assert_int_equal(times->count, 1);
	assert_int_equal(times->sum, 3000);

	report_all(board, &probe);
	assert_int_equal(counted(board, BOARD_COUNTER_recipients_probed), 1);
	assert_int_equal(counted(board, BOARD_COUNTER_recipients_sent), 2);
	assert_int_equal(counted(board, BOARD_COUNTER_messages_sent), 1);
	for (size_t i = 0; i < 5; i++)
		verdict_free(&rcpts[i].verdict);
	board_writer_close(&board);
}

static void
figures_count_each_deferral_for_one_reason(void **state)
{
	static const struct {
		enum dsn_cause cause;
		uint16_t code;
		enum board_counter counter;
	} causes[] = {
	    {DSN_CAUSE_NONE, 450, BOARD_COUNTER_deferred_reply},
	    {DSN_CAUSE_NONE, 0, BOARD_COUNTER_deferred_local},
	    {DSN_CAUSE_LOST, 0, BOARD_COUNTER_deferred_lost},
	    {DSN_CAUSE_RATE, 0, BOARD_COUNTER_deferred_rate},
	    {DSN_CAUSE_DOMAIN, 0, BOARD_COUNTER_deferred_domain},
	    {DSN_CAUSE_PAUSE, 0, BOARD_COUNTER_deferred_pause},
	    {DSN_CAUSE_WAIT, 0, BOARD_COUNTER_deferred_wait},
	    {DSN_CAUSE_UNREACHABLE, 0, BOARD_COUNTER_deferred_unreachable},
	    {DSN_CAUSE_ALARM, 550, BOARD_COUNTER_deferred_alarm},
	    {DSN_CAUSE_CONFIG, 0, BOARD_COUNTER_deferred_config},
	    {DSN_CAUSE_CROWDED, 0, BOARD_COUNTER_deferred_crowded},
	};
	enum { CAUSES = sizeof(causes) / sizeof(causes[0]) };
	struct board_writer *board = board_in(state);

	for (size_t i = 0; i < CAUSES; i++) {
		struct recipient rcpt = {.verdict = verdict_of(OUTCOME_DEFER,
					     causes[i].cause, causes[i].code)};
		struct request req = {.rcpts = &rcpt, .rcpt_count = 1};

		assert_int_equal(counted(board, causes[i].counter), 0);
		report_all(board, &req);
		assert_int_equal(counted(board, causes[i].counter), 1);
		assert_int_equal(
		    counted(board, BOARD_COUNTER_recipients_deferred), i + 1);
		verdict_free(&rcpt.verdict);
	}
	board_writer_close(&board);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		figures_of_limits_say_what_is_used_and_when_more_may_go),
	    cmocka_unit_test(figures_of_limits_are_bounded_and_may_be_none),
	    IN_STATEDIR(figures_count_a_message_once_for_each_outcome),
	    IN_STATEDIR(figures_count_each_deferral_for_one_reason),
	};

	return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
