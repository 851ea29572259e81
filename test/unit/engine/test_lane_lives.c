/* A lane's rates over its lives: the real engine and the real files, hours of
 * fake time, and a process that ends every now and then. Every window of what
 * the server saw is judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "agent/state/rate_store.h"
#include "test/support/fixture.h"
#include "test/support/lane_world.h"
#include "test/support/statedir.h"

static struct fixture_random seeded;
static char account[] = "smtp.example.com joe";
static char text_none[] = "none", text_urgent[] = "urgent";

/* What a process has besides the engine. */
struct life {
	char *dir_name;
	struct statefile_dir dir;
	struct rate_store *book;
	struct rate_account *account;
	int lives;
};

static int64_t
wait_shared(void *ctx, const struct pacer_cost *cost, int64_t now_us,
    struct pacer_limit *why_out)
{
	struct life *l = ctx;

	return rate_store_wait_us(l->account, cost, now_us, why_out);
}

static bool
take_shared(void *ctx, const struct pacer_cost *cost, int64_t now_us)
{
	return rate_store_take(((struct life *)ctx)->account, cost, now_us);
}

static const struct limitset *
peek_shared(void *ctx, struct route *route)
{
	struct life *l = ctx;

	(void)route;
	return rate_store_peek(l->book, l->account);
}

static void
save_own(void *ctx, const struct limitset *own)
{
	rate_store_store(((struct life *)ctx)->book, own);
}

static const struct pacer_ops ops = {
    wait_shared, take_shared, peek_shared, save_own};

/* As agent.c does it. */
static void
load_rates(struct world *w)
{
	struct life *l = w->ctx;
	int64_t now_us = w->now.us;

	rate_store_close(&l->book);
	/* Every third time the machine was started anew as well. */
	if (++l->lives % 3 == 0)
		l->dir.boot++;
	l->book = rate_store_open(&w->set, &l->dir, "fast", now_us);
	lane_set_rates(w->lane, rate_store_load(l->book), &ops, l, now_us);
	l->account = rate_store_account(l->book, account, now_us);
}

static void
begin(struct world *w, struct life *l, size_t max)
{
	char error[256] = "";

	*l = (struct life){.dir_name = statedir_make()};
	if (!statefile_dir_open(&l->dir, l->dir_name, error, sizeof(error)))
		fail_msg("%s", error);
	w->set.lane_state_directory = l->dir_name;
	w->set.lane_priority = text_urgent;
	w->set.lane_connection_rate_limit = text_none;
	w->set.lane_account_recipient_rate_limit = text_none;
	w->set.lane_account_byte_rate_limit = text_none;
	w->server.rtt_ms = 10;
	w->on_lane = load_rates;
	w->ctx = l;
	world_open(w, max);
}

static void
end(struct world *w, struct life *l)
{
	world_fini(w);
	rate_store_close(&l->book);
	statefile_dir_close(&l->dir);
	statedir_remove(&l->dir_name);
}

/* The most in any window, beyond what the rate gives in it. Times are whole
 * milliseconds, so a window may be one longer than it seems. */
static double
most_above(const struct world *w, double per_s)
{
	double least = 0, most = 0;

	for (size_t n = 0; n < w->arrival_count; n++) {
		double x = (double)n -
			   per_s *
			       (double)(w->arrivals_ms[n] - w->arrivals_ms[0]) /
			       1000;

		if (n == 0 || x < least)
			least = x;
		if (x + 1 - least > most)
			most = x + 1 - least;
	}
	return most - per_s / 1000;
}

static size_t
most_in_window(const struct world *w, int64_t window_ms)
{
	size_t most = 0;

	for (size_t from = 0, to = 0; from < w->arrival_count; from++) {
		while (to < w->arrival_count &&
		       w->arrivals_ms[to] < w->arrivals_ms[from] + window_ms)
			to++;
		if (to - from > most)
			most = to - from;
	}
	return most;
}

/* Keeps `supply` messages waiting, as seen every look_ms; restarts the lane, if
 * at all, in spans of half to one and a half of every_ms. */
static void
live_on(struct world *w, int64_t ms, size_t supply, int64_t look_ms,
    int64_t every_ms)
{
	int64_t end_ms = world_ms(w) + ms, restart_ms = INT64_MAX;

	if (every_ms > 0)
		restart_ms = world_ms(w) + every_ms;
	while (world_ms(w) < end_ms) {
		int64_t span = look_ms;

		if (w->backlog + lane_waiting(w->lane) < supply)
			world_feed(w, supply);
		if (restart_ms - world_ms(w) < span)
			span = restart_ms - world_ms(w);
		world_run(w, span);
		if (world_ms(w) < restart_ms)
			continue;
		world_restart(w);
		restart_ms =
		    world_ms(w) + every_ms / 2 +
		    (int64_t)fixture_random_below(&seeded, (size_t)every_ms);
	}
}

static void
rate_is_the_same_over_lives(void **state)
{
	static const struct {
		const char *text;
		double per_s, burst;
		int64_t seconds, restart_s;
	} cases[] = {
	    {"0.5/1s", 0.5, 1, 1200, 30},
	    {"14/1s", 14, 1, 150, 20},
	    {"100/1s", 100, 5, 60, 10},
	    {"1000/1s", 1000, 50, 40, 10},
	    {"30/1m", 0.5, 1, 1200, 30},
	    {"30/1m:5", 0.5, 5, 1200, 30},
	};

	(void)state;
	for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t k = i / 4;
		bool is_shared = i % 2 > 0, restarts = i % 4 > 1;
		double burst = cases[k].burst, rate, above;
		size_t from = (size_t)burst;
		struct world w;
		struct life l;
		char text[32];

		(void)snprintf(text, sizeof(text), "%s", cases[k].text);
		world_init(&w);
		w.set.lane_message_rate_limit = is_shared ? text_none : text;
		w.set.lane_account_message_rate_limit =
		    is_shared ? text : text_none;
		begin(&w, &l, 200000);
		live_on(&w, cases[k].seconds * 1000,
		    (size_t)cases[k].per_s * 2 + 10, 1000,
		    restarts ? cases[k].restart_s * 1000 : 0);
		assert_true(w.arrival_count >= 500);
		rate = (double)(w.arrival_count - 1 - from) * 1000 /
		       (double)(w.arrivals_ms[w.arrival_count - 1] -
				w.arrivals_ms[from]);
		above = most_above(&w, cases[k].per_s);
		print_message("%-8s %-8s %3d lives: %7zu messages, "
			      "%9.4f/s, at most %6.2f above the rate\n",
		    text, is_shared ? "account" : "lane", l.lives,
		    w.arrival_count, rate, above);
		assert_true(above <= burst + 1e-6);
		assert_true(rate >= cases[k].per_s * 0.99);
		assert_true(rate <= cases[k].per_s * 1.01);
		end(&w, &l);
	}
}

static void
quota_is_the_same_over_lives(void **state)
{
	enum { HOUR_MS = 3600000, HOURS = 6, QUOTA = 500 };
	static char text[] = "30/1m, 500/1h!";

	(void)state;
	for (int i = 0; i < 4; i++) {
		bool is_shared = i % 2 > 0, restarts = i > 1;
		double above;
		size_t most;
		struct world w;
		struct life l;

		world_init(&w);
		w.set.lane_message_rate_limit = is_shared ? text_none : text;
		w.set.lane_account_message_rate_limit =
		    is_shared ? text : text_none;
		begin(&w, &l, 100000);
		/* What comes while it is used up is deferred at once. */
		live_on(&w, (int64_t)HOURS * HOUR_MS, 20, 20000,
		    restarts ? 180000 : 0);
		above = most_above(&w, 0.5);
		most = most_in_window(&w, HOUR_MS);
		print_message("30/1m and 500/1h! %-8s %3d lives: %zu messages "
			      "in %d h, at most %zu in any hour, %.2f above "
			      "the rate\n",
		    is_shared ? "account" : "lane", l.lives, w.arrival_count,
		    HOURS, most, above);
		assert_true(above <= 1 + 1e-6);
		assert_true(most <= QUOTA);
		/* A slot of 1/59 may be waited for too long each hour. */
		assert_true(w.arrival_count >=
			    QUOTA * (HOURS * 59 / 60 + 1) * 98 / 100);
		end(&w, &l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rate_is_the_same_over_lives),
	    cmocka_unit_test(quota_is_the_same_over_lives),
	};

	fixture_random_init(&seeded);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
