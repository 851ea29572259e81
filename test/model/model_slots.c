/* model-slots: lanes that share an account, killed, stopped and switched at
 * every call.
 *
 *   model-slots [--long] [--only NAME [--replay CHOICES]]
 *
 * slots: each process opens the account's slots (agent/state/budget), takes up
 * to two, gives one back in order and one without, is perhaps reloaded, and
 * takes another. The provider counts a connection until it has seen its end,
 * which for one that was not closed in order, or whose process was killed, is a
 * second later. At no time are there more than the limit; nobody who asks is
 * left without; and when all are gone each slot can be had again.
 *
 * rates: each process sends as fast as the account's rate allows
 * (agent/state/rate_store). In no span of time is more sent than the rate gives
 * in it and the burst, but for the one message that each process that was
 * stopped had in hand.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/state/budget.h"
#include "agent/state/budget_state.h"
#include "agent/state/rate_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/model/explore.h"
#include "test/model/procs.h"
#include "test/support/statedir.h"

enum {
	CONNS_MAX = 32,
	SENT_MAX = 64,
	SEEN_LATE_MS = SLOTS_REST_MIN_MS, /* an end that was not in order */
	HOLD_TICKS = 2,
	PATIENCE_MS = 60000,
	SENDS = 4, /* of all processes */
};

struct scene {
	const char *name;
	size_t lanes;
	int limit;
	int reserves[PROCS_MAX];
	bool has_reload; /* the second lane is reloaded */
	bool is_rates;
};

static const struct scene scenes[] = {
    {"slots-two-lanes", 2, 2, {0, 0}, false, false},
    {"slots-reserve", 2, 2, {0, 1}, false, false},
    {"slots-reload", 2, 2, {1, 1}, true, false},
    {"slots-one-slot", 2, 1, {0, 0}, true, false},
    {"slots-three-lanes", 3, 2, {1, 0, 1}, false, false},
    {"rates-two-lanes", 2, 0, {0, 0}, false, true},
    {"rates-three-lanes", 3, 0, {0, 0, 0}, false, true},
};

struct connection {
	int64_t until_ms; /* the provider counts it so long */
	size_t owner;
	int slot;
};

static struct world {
	const struct scene *scene;
	char *dir_name;
	struct statefile_dir dir;
	struct settings set;
	struct budget *budgets[PROCS_MAX + 1], *draining[PROCS_MAX];
	struct connection conns[CONNS_MAX];
	size_t conn_count;
	struct rate_store *stores[PROCS_MAX];
	int64_t sent_us[SENT_MAX];
	size_t sent_count;
	char wrong[160];
} w;

static struct explore explore;
static char account[] = "smtp.example.com joe";
static char text_none[] = "none", text_rate[] = "2/1s:2";
static char text_urgent[] = "urgent";

static void wrong(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static void
wrong(const char *format, ...)
{
	va_list ap;

	if (w.wrong[0] != '\0')
		return;
	va_start(ap, format);
	(void)vsnprintf(w.wrong, sizeof(w.wrong), format, ap);
	va_end(ap);
}

/* ---- the provider -------------------------------------------------------
 */

static int
open_connections(void)
{
	int n = 0;

	for (size_t i = 0; i < w.conn_count; i++)
		n += w.conns[i].until_ms > procs_now_ms();
	return n;
}

static void
check_slots(void)
{
	int n = open_connections();

	if (n > w.scene->limit)
		wrong("%d connections, the limit is %d", n, w.scene->limit);
}

static struct connection *
connect_one(size_t owner, int slot)
{
	struct connection *c = &w.conns[w.conn_count];

	CHECK(w.conn_count < CONNS_MAX);
	w.conn_count++;
	*c = (struct connection){
	    .until_ms = INT64_MAX, .owner = owner, .slot = slot};
	check_slots();
	return c;
}

static void
check_rates(void)
{
	for (size_t from = 0; from < w.sent_count; from++)
		for (size_t to = from; to < w.sent_count; to++) {
			int64_t span_us = w.sent_us[to] - w.sent_us[from];
			int64_t most =
			    2 + span_us * 2 / US_PER_S + (int64_t)procs_stops();

			if ((int64_t)(to - from) + 1 > most)
				wrong("%zu messages in %lld ms", to - from + 1,
				    (long long)(span_us / US_PER_MS));
		}
}

static void
check(void *ctx)
{
	(void)ctx;
	if (w.scene->is_rates)
		check_rates();
	else
		check_slots();
}

/* The provider sees the end of a killed process's connections later. */
static void
on_gone(void *ctx, size_t number)
{
	(void)ctx;
	for (size_t i = 0; i < w.conn_count; i++)
		if (w.conns[i].owner == number &&
		    w.conns[i].until_ms == INT64_MAX)
			w.conns[i].until_ms = procs_now_ms() + SEEN_LATE_MS;
	mem_free(w.budgets[number]);
	mem_free(w.draining[number]);
	w.budgets[number] = w.draining[number] = NULL;
}

/* ---- slots --------------------------------------------------------------
 */

static void
on_room(void *ctx)
{
	(void)ctx;
}

static struct budget *
open_budget(const char *name, int reserve)
{
	w.set.lane_connection_reserve = reserve;
	return budget_open(NULL, &w.set, &w.dir, name, account, on_room, NULL);
}

static struct connection *
take(size_t me, bool is_patient)
{
	struct budget_answer answer;

	while (!budget_take(w.budgets[me], procs_now_ms(), &answer)) {
		procs_note("no slot: %s", answer.why);
		if (!is_patient)
			return NULL;
		procs_wait();
		budget_look(w.budgets[me], procs_now_ms());
	}
	procs_note("connected, slot %d", answer.slot);
	return connect_one(me, answer.slot);
}

static void
give_back(struct budget *budget, struct connection *c, bool is_clean)
{
	if (c == NULL)
		return;
	procs_note("closed%s", is_clean ? "" : ", not in order");
	c->until_ms = procs_now_ms() + (is_clean ? 0 : SEEN_LATE_MS);
	budget_release(budget, c->slot, is_clean, 0, procs_now_ms());
}

/* It drains, and the lane's next process begins beside it. */
static void
reload(size_t me, struct connection *held)
{
	struct connection *new;

	w.draining[me] = w.budgets[me];
	w.budgets[me] = NULL;
	budget_drain(w.draining[me]);
	procs_may_stop(false);
	w.budgets[me] = open_budget("reloaded", w.scene->reserves[me]);
	procs_may_stop(true);
	budget_want(w.budgets[me], 1);
	new = take(me, false);
	give_back(w.draining[me], held, true);
	budget_close(&w.draining[me]);
	give_back(w.budgets[me], new, true);
}

static void
run_slots(size_t me)
{
	struct connection *first, *second;
	char name[16];

	(void)snprintf(name, sizeof(name), "lane%zu", me);
	w.budgets[me] = open_budget(name, w.scene->reserves[me]);
	procs_may_stop(true);
	budget_want(w.budgets[me], 2);
	first = take(me, true);
	second = take(me, false);
	budget_want(w.budgets[me], 0);
	for (int i = 0; i < HOLD_TICKS; i++) {
		procs_wait();
		budget_look(w.budgets[me], procs_now_ms());
	}
	give_back(w.budgets[me], second, false);
	if (w.scene->has_reload && me == 1)
		reload(me, first);
	else
		give_back(w.budgets[me], first, true);
	budget_want(w.budgets[me], 1);
	first = take(me, true);
	give_back(w.budgets[me], first, true);
	budget_close(&w.budgets[me]);
}

/* All are gone: every slot can be had again, and no more than that. */
static void
check_all_free(void)
{
	struct budget_answer answer;
	int got = 0;

	w.budgets[PROCS_MAX] = open_budget("last", 0);
	budget_want(w.budgets[PROCS_MAX], w.scene->limit);
	for (int i = 0; i < 100 && got < w.scene->limit; i++) {
		procs_pass(100);
		while (
		    budget_take(w.budgets[PROCS_MAX], procs_now_ms(), &answer))
			got++;
	}
	if (got != w.scene->limit)
		wrong("%d slots can be had when all are gone, not %d: %s", got,
		    w.scene->limit, answer.why);
	budget_close(&w.budgets[PROCS_MAX]);
}

/* ---- rates --------------------------------------------------------------
 */

static void
run_rates(size_t me)
{
	static const struct pacer_cost one = {
	    .units = {[PACER_MESSAGES] = 1, [PACER_RECIPIENTS] = 1}};
	static const char *const names[] = {"one", "two", "three"};
	int64_t now_us = procs_now_ms() * US_PER_MS;
	struct rate_store *store =
	    rate_store_open(&w.set, &w.dir, names[me], now_us);
	struct rate_account *a = rate_store_account(store, account, now_us);
	struct pacer_limit why;

	w.stores[me] = store;
	procs_may_stop(true);
	for (size_t left = SENDS / w.scene->lanes; left > 0;) {
		now_us = procs_now_ms() * US_PER_MS;
		if (rate_store_wait_us(a, &one, now_us, &why) > 0 ||
		    !rate_store_take(a, &one, now_us)) {
			procs_wait();
			continue;
		}
		procs_note("sent");
		CHECK(w.sent_count < SENT_MAX);
		w.sent_us[w.sent_count++] = procs_now_ms() * US_PER_MS;
		left--;
	}
	rate_store_close(&w.stores[me]);
}

static void
run(void *ctx, size_t number)
{
	(void)ctx;
	if (w.scene->is_rates)
		run_rates(number);
	else
		run_slots(number);
}

static const struct procs_ops ops = {run, on_gone, check};

/* ---- runs ---------------------------------------------------------------
 */

static void
set_up(const struct scene *scene)
{
	char error[256];

	w = (struct world){.scene = scene, .dir_name = statedir_make()};
	CHECK(statefile_dir_open(&w.dir, w.dir_name, error, sizeof(error)));
	w.set.lane_state_directory = w.dir_name;
	w.set.lane_account_connection_limit =
	    scene->limit > 0 ? scene->limit : 1;
	w.set.lane_priority = text_urgent;
	w.set.lane_account_message_rate_limit = text_rate;
	w.set.lane_account_recipient_rate_limit = text_none;
	w.set.lane_account_byte_rate_limit = text_none;
	w.set.lane_connection_rate_limit = text_none;
	w.set.lane_message_rate_limit = text_none;
	w.set.lane_recipient_rate_limit = text_none;
	w.set.lane_byte_rate_limit = text_none;
}

/* The directory as new: nobody can have used it before. */
static void
begin_run(void)
{
	char *made = w.dir_name;

	statefile_dir_close(&w.dir);
	statedir_remove(&made);
	set_up(w.scene);
	w.dir.is_new = true;
}

static void
one_run(void)
{
	begin_run();
	procs_begin(&explore, &ops, NULL);
	if (!procs_run(w.scene->lanes, PATIENCE_MS))
		wrong("somebody waits for ever");
	if (!w.scene->is_rates && w.wrong[0] == '\0')
		check_all_free();
}

static void
on_abort(int signo)
{
	(void)signo;
	(void)fprintf(stderr, "%s: a check failed\n    --only %s --replay ",
	    w.scene->name, w.scene->name);
	explore_print(&explore, stderr);
	_exit(1);
}

static void
on_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "%s\n", line);
	else
		procs_note("log: %s", line);
}

static bool
explore_scene(const struct scene *scene, int deviations, const char *replay)
{
	clock_t began = clock();
	char *made;
	bool is_right;

	explore_begin(&explore, deviations);
	if (replay != NULL && !explore_replay(&explore, replay)) {
		(void)fprintf(stderr, "model-slots: malformed: %s\n", replay);
		return false;
	}
	procs_tell(replay != NULL);
	set_up(scene);
	while (w.wrong[0] == '\0' && explore_next(&explore))
		one_run();
	is_right = w.wrong[0] == '\0';
	if (!is_right) {
		(void)fprintf(stderr, "%s: %s\n    --only %s --replay ",
		    scene->name, w.wrong, scene->name);
		explore_print(&explore, stderr);
	}
	(void)printf("%-24s %9llu runs %7.1f s\n", scene->name,
	    (unsigned long long)explore.runs,
	    (double)(clock() - began) / CLOCKS_PER_SEC);
	statefile_dir_close(&w.dir);
	made = w.dir_name;
	statedir_remove(&made);
	return is_right;
}

static bool
explore_all(int deviations, const char *only, const char *replay)
{
	bool is_right = true;
	uint64_t runs = 0, choices = 0;

	for (size_t i = 0; is_right && i < sizeof(scenes) / sizeof(scenes[0]);
	     i++) {
		if (only != NULL && strcmp(only, scenes[i].name) != 0)
			continue;
		is_right =
		    explore_scene(&scenes[i], deviations, replay) && is_right;
		runs += explore.runs;
		choices += explore.choices;
		explore_end(&explore);
	}
	(void)printf("model-slots: %llu runs, %llu choices, %llu calls, "
		     "%.1f s%s\n",
	    (unsigned long long)runs, (unsigned long long)choices,
	    (unsigned long long)procs_calls(), (double)clock() / CLOCKS_PER_SEC,
	    is_right ? "" : ", WRONG");
	return is_right && runs > 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"long", no_argument, NULL, 'l'},
	    {"only", required_argument, NULL, 'o'},
	    {"replay", required_argument, NULL, 'r'},
	    {NULL, 0, NULL, 0},
	};
	const char *env = getenv("POSTLANE_LONG"), *only = NULL;
	const char *replay = NULL;
	bool is_long = env != NULL && *env != '\0';
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l')
			is_long = true;
		else if (c == 'o')
			only = optarg;
		else if (c == 'r')
			replay = optarg;
		else
			return 2;
	}
	(void)signal(SIGABRT, on_abort);
	log_set_sink(on_line, NULL);
	if (!explore_all(is_long ? 2 : 1, only, replay))
		return 1;
	procs_end();
	return 0;
}
