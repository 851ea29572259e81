/* What becomes of two looks at a lane: a sample, and what is worth telling. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "monitor/health.h"
#include "monitor/lanestat/recorder.h"
#include "test/support/statedir.h"

#define NOW_S INT64_C(1700000040)

struct world {
	int dir_fd;
	struct model m;
	struct model_board board;
	struct model_account account;
	struct model_lane *lane;
	struct site_lane site;
	struct backlog backlog;
	struct backlog_share share;
	struct history *history;
	struct recorder *recorder;
	int64_t at_s;
};

static void
look(struct world *w)
{
	w->m.now.wall.tv_sec = w->at_s;
	w->lane->beat_wall_ms = w->at_s * 1000;
	recorder_note(w->recorder, &w->m, &w->backlog, POSTFIX_RUNS);
	w->at_s++;
}

static struct world *
open_world(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	w->dir_fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->lane = mem_zalloc(sizeof(*w->lane));
	(void)snprintf(w->lane->name, sizeof(w->lane->name), "fast");
	w->lane->site = &w->site;
	w->lane->process = MODEL_RUNNING;
	w->lane->started_wall_ms = 5000;
	w->account.key = 77;
	w->account.limit = w->account.limit_now = 20;
	(void)snprintf(
	    w->account.label, sizeof(w->account.label), "mx.example");
	w->m = (struct model){
	    .boards = &w->board,
	    .board_count = 1,
	    .accounts = &w->account,
	    .account_count = 1,
	    .lanes = w->lane,
	    .lane_count = 1,
	};
	w->backlog = (struct backlog){.is_known = true,
	    .is_exact = true,
	    .lanes = &w->share,
	    .lane_count = 1};
	w->at_s = NOW_S;
	w->history = history_open(w->dir_fd, NOW_S);
	w->recorder = recorder_new(w->history);
	look(w);
	return w;
}

static void
close_world(struct world *w)
{
	recorder_free(&w->recorder);
	history_close(&w->history);
	(void)close(w->dir_fd);
	mem_free(w->lane);
	mem_free(w);
}

static const struct history_sample *
sample(const struct world *w, int64_t at_s)
{
	return history_second(w->history, "fast", at_s);
}

/* The newest event; NULL: fewer than count, or more. */
static const struct history_event *
event(const struct world *w, size_t count)
{
	const struct history_event *events[HISTORY_EVENTS];
	size_t n = history_events(w->history, events, HISTORY_EVENTS);

	assert_int_equal(n, count);
	return n > 0 ? events[0] : NULL;
}

static void
recorder_takes_what_grew(void **state)
{
	struct world *w = open_world(state);
	const struct history_sample *s;

	/* The first look is where it begins. */
	assert_null(sample(w, NOW_S));
	w->lane->counters[BOARD_COUNTER_messages_sent] = 5;
	w->lane->counters[BOARD_COUNTER_recipients_deferred] = 2;
	w->lane->counters[BOARD_COUNTER_recipients_bounced] = 1;
	w->lane->counters[BOARD_COUNTER_throttled] = 3;
	w->lane->counters[BOARD_COUNTER_replies_421] = 4;
	w->lane->gauges[BOARD_GAUGE_rate_milli] = 2500;
	w->lane->gauges[BOARD_GAUGE_requests_waiting] = 9;
	w->lane->rates[0] = (struct model_rate){.unit = "messages", .per_s = 5};
	w->lane->rate_count = 1;
	w->share.messages[BACKLOG_INCOMING] = 10;
	w->share.messages[BACKLOG_ACTIVE] = 30;
	w->share.messages[BACKLOG_DEFERRED] = 500;
	w->lane->waits = BOARD_WAIT_PACE;
	board_hist_add(&w->lane->hists[BOARD_HIST_wire_time], 50000);
	look(w);
	s = sample(w, NOW_S + 1);
	assert_int_equal(s->sent, 5);
	assert_int_equal(s->deferred, 2);
	assert_int_equal(s->bounced, 1);
	assert_int_equal(s->slowed, 7);
	assert_int_equal(s->learned_milli, 2500);
	assert_int_equal(s->limit_milli, 5000);
	assert_int_equal(s->waiting, 9);
	assert_int_equal(s->backlog, 40);
	assert_int_equal(s->waits, BOARD_WAIT_PACE);
	assert_int_equal(s->health, HEALTH_SLOWED);
	assert_in_range(s->wire_p95, 500, 570);
	assert_int_equal(s->lane_p95, 0);

	/* Only what is new, and nothing of a board that was made anew. */
	board_hist_add(&w->lane->hists[BOARD_HIST_wire_time], 200000);
	w->lane->counters[BOARD_COUNTER_messages_sent] = 3;
	w->backlog.is_known = false;
	look(w);
	s = sample(w, NOW_S + 2);
	assert_int_equal(s->sent, 0);
	assert_int_equal(s->backlog, UINT32_MAX);
	assert_in_range(s->wire_p95, 2000, 2300);
	w->lane->counters[BOARD_COUNTER_messages_sent] = 4;
	look(w);
	assert_int_equal(sample(w, NOW_S + 3)->sent, 1);
	close_world(w);
}

static void
recorder_spreads_what_happened_in_a_gap(void **state)
{
	struct world *w = open_world(state);

	w->at_s = NOW_S + 4;
	w->lane->counters[BOARD_COUNTER_messages_sent] = 11;
	look(w);
	assert_int_equal(sample(w, NOW_S + 1)->sent, 2);
	assert_int_equal(sample(w, NOW_S + 3)->sent, 2);
	assert_int_equal(sample(w, NOW_S + 4)->sent, 5);
	/* One that is too long is a gap. */
	w->at_s += RECORDER_GAP_S + 10;
	w->lane->counters[BOARD_COUNTER_messages_sent] = 99;
	look(w);
	assert_null(sample(w, NOW_S + 5));
	assert_null(sample(w, w->at_s - 1));
	look(w);
	assert_int_equal(sample(w, w->at_s - 1)->sent, 0);
	close_world(w);
}

static void
recorder_tells_of_health_when_it_has_settled(void **state)
{
	struct world *w = open_world(state);
	const struct history_event *e;

	w->lane->waits = BOARD_WAIT_PACE;
	look(w);
	w->lane->waits = BOARD_WAIT_NOTHING;
	look(w);
	(void)event(w, 0);
	w->lane->waits = BOARD_WAIT_PACE;
	for (int i = 0; i <= RECORDER_SETTLE_S; i++)
		look(w);
	e = event(w, 1);
	assert_int_equal(e->health, HEALTH_SLOWED);
	assert_string_equal(e->lane, "fast");
	assert_non_null(strstr(e->text, "slowed: the smarthost takes "));
	/* Somebody has to act: at once. */
	w->lane->alarm_count = 1;
	(void)snprintf(w->lane->alarms[0].what, sizeof(w->lane->alarms[0].what),
	    "blocked");
	look(w);
	e = event(w, 2);
	assert_int_equal(e->health, HEALTH_ALARM);
	assert_int_equal(e->at_wall_ms, (w->at_s - 1) * 1000);
	/* The next process tells the end of it, too. */
	recorder_free(&w->recorder);
	w->recorder = recorder_new(w->history);
	w->lane->alarm_count = 0;
	w->lane->waits = BOARD_WAIT_NOTHING;
	for (int i = 0; i <= RECORDER_SETTLE_S + 1; i++)
		look(w);
	assert_string_equal(event(w, 3)->text, "well: idle, nothing waits");
	close_world(w);
}

static void
recorder_tells_of_trouble_orders_and_processes(void **state)
{
	struct world *w = open_world(state);
	struct model_lane *lane = w->lane;

	lane->trouble_wall_ms = 1;
	(void)snprintf(lane->trouble, sizeof(lane->trouble), "450 later");
	w->at_s += RECORDER_TROUBLE_S;
	look(w);
	assert_string_equal(event(w, 1)->text, "trouble: 450 later");
	/* The same again is told seldom, another one soon. */
	lane->trouble_wall_ms = 2;
	w->at_s += RECORDER_TROUBLE_S;
	look(w);
	(void)event(w, 1);
	(void)snprintf(lane->trouble, sizeof(lane->trouble), "451 busy");
	look(w);
	assert_string_equal(event(w, 2)->text, "trouble: 451 busy");

	lane->orders[0] = (struct steer_order){
	    .verb = STEER_RATE, .value = "2/1s", .who = "root", .at_s = 1};
	lane->order_count = 1;
	look(w);
	assert_string_equal(event(w, 3)->text, "rate 2/1s asked for by root");
	look(w);
	lane->order_count = 0;
	look(w);
	assert_string_equal(event(w, 4)->text, "rate 2/1s is over");

	lane->started_wall_ms = 9000;
	lane->pid = 1234;
	look(w);
	assert_string_equal(event(w, 5)->text, "process 1234 started");
	close_world(w);
}

static void
recorder_tells_of_connections_that_are_refused(void **state)
{
	struct world *w = open_world(state);
	struct model_account *a = &w->account;

	a->refusals = 1;
	a->limit_now = 12;
	(void)snprintf(a->refusal, sizeof(a->refusal), "421 too many");
	look(w);
	assert_string_equal(event(w, 1)->text,
	    "12 of 20 connections from now on, the provider refused more: 421 "
	    "too many");
	assert_string_equal(event(w, 1)->lane, "mx.example");
	a->limit_now = 20;
	look(w);
	assert_string_equal(event(w, 2)->text, "all 20 connections again");
	close_world(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(recorder_takes_what_grew),
	    IN_STATEDIR(recorder_spreads_what_happened_in_a_gap),
	    IN_STATEDIR(recorder_tells_of_health_when_it_has_settled),
	    IN_STATEDIR(recorder_tells_of_trouble_orders_and_processes),
	    IN_STATEDIR(recorder_tells_of_connections_that_are_refused),
	};

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
