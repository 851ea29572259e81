#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/figures.h"
#include "common/base/mem.h"
#include "test/support/statedir.h"

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

/* By the ring, with this second. */
static uint64_t
sent_lately(struct board_writer *board)
{
	return board_ring_sum(&board_writer_lane(board)->sent, 60,
	    (uint64_t)clock_wall().tv_sec + 1);
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
	assert_int_equal(sent_lately(board), 1);
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

static void
figures_keep_the_last_trouble_but_not_what_is_no_trouble(void **state)
{
	struct board_writer *board = board_in(state);
	const struct board_trouble *last = &board_writer_lane(board)->trouble;
	static const struct {
		enum outcome outcome;
		enum dsn_cause cause;
		const char *text, *last;
	} rows[] = {
	    {OUTCOME_SENT, DSN_CAUSE_NONE, "250 taken", ""},
	    {OUTCOME_DEFER, DSN_CAUSE_NONE, "450 later", "450 later"},
	    {OUTCOME_BOUNCE, DSN_CAUSE_NONE, "550 unknown", "450 later"},
	    {OUTCOME_DEFER, DSN_CAUSE_CROWDED, "crowded", "450 later"},
	    {OUTCOME_DEFER, DSN_CAUSE_LOST, "lost", "lost"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct recipient rcpt = {
		    .verdict = verdict_of(rows[i].outcome, rows[i].cause, 0)};
		struct request req = {.rcpts = &rcpt, .rcpt_count = 1};

		(void)snprintf(rcpt.verdict->dsn.text,
		    sizeof(rcpt.verdict->dsn.text), "%s", rows[i].text);
		report_all(board, &req);
		assert_string_equal(last->text, rows[i].last);
		assert_int_equal(last->wall_ms != 0, rows[i].last[0] != '\0');
		verdict_free(&rcpt.verdict);
	}
	board_writer_close(&board);
}

/* A message that is deferred comes again with the same time of arrival. */
static void
figures_take_the_wait_in_postfix_once_for_a_message(void **state)
{
	struct board_writer *board = board_in(state);
	const struct board_hist *waits =
	    &board_writer_lane(board)->hists[BOARD_HIST_postfix_wait];
	static const struct {
		enum outcome outcome;
		int flags;
		uint64_t count;
	} rows[] = {
	    {OUTCOME_DEFER, 0, 0},
	    {OUTCOME_SENT, REQUEST_MTA_VRFY, 0},
	    {OUTCOME_SENT, 0, 1},
	    {OUTCOME_BOUNCE, 0, 2},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct recipient rcpt = {
		    .verdict = verdict_of(rows[i].outcome, DSN_CAUSE_NONE, 0)};
		struct request req = {.rcpts = &rcpt,
		    .rcpt_count = 1,
		    .flags = rows[i].flags,
		    .times = {.arrival = {1000, 0}, .handoff = {1002, 500000}}};

		rcpt.verdict->conn_done = (struct timeval){1003, 0};
		rcpt.verdict->deliver_done = (struct timeval){1004, 0};
		report_all(board, &req);
		assert_int_equal(waits->count, rows[i].count);
		assert_int_equal(waits->sum, rows[i].count * 2500000);
		verdict_free(&rcpt.verdict);
	}
	board_writer_close(&board);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(figures_count_a_message_once_for_each_outcome),
	    IN_STATEDIR(figures_count_each_deferral_for_one_reason),
	    IN_STATEDIR(
		figures_keep_the_last_trouble_but_not_what_is_no_trouble),
	    IN_STATEDIR(figures_take_the_wait_in_postfix_once_for_a_message),
	};

	return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
