/* fleet_lanes: two lanes of a host in a fleet, with a state directory, and the
 * engine's twin in C, for tests of what these lanes may use and what they tell.
 * Before a test begin(). */
#ifndef FLEET_LANES_H
#define FLEET_LANES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/fleet_engine.h"
#include "agent/settings/params.h"
#include "agent/state/budget.h"
#include "agent/state/fleet_store.h"
#include "agent/state/rate_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/slots.h"
#include "test/support/statedir.h"

static const char account[] = "smtp.example.com joe";

enum { TTL_S = 30, LIMIT = 20, BASE = 10, GUARD_S = 3 };

struct lane {
	struct settings set;
	struct statefile_dir dir;
	struct fleet_store *store;
	struct fleet_account *a;
	int64_t in_use;
	int changes;
	int64_t pause_us, blocked; /* what it learned */
};

static struct world {
	struct fleet_engine engine;
	int64_t now_us;
	char warning[512], line[512];
} w;

static inline void
note_warning(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)snprintf(w.line, sizeof(w.line), "%s", line);
	if (level >= LOG_LEVEL_WARN)
		(void)snprintf(w.warning, sizeof(w.warning), "%s", line);
}

static inline void
put(struct settings *set, const char *name, const char *value)
{
	struct problems problems = {0};

	assert_true(params_set(set, params_find(name), value, &problems));
	problems_fini(&problems);
}

static inline int64_t
in_use(void *ctx, const struct fleet_limit *limit, int64_t now_us)
{
	const struct lane *l = ctx;

	(void)now_us;
	return limit->kind == FLEET_CONNECTIONS ? l->in_use : 0;
}

static inline void
on_share(void *ctx)
{
	((struct lane *)ctx)->changes++;
}

static inline void
learned(void *ctx, struct fleet_lesson out[FLEET_LESSONS], int64_t now_us)
{
	const struct lane *l = ctx;

	if (l->pause_us > now_us)
		out[FLEET_PAUSE].left_us = l->pause_us - now_us;
}

static inline int64_t
blocked(void *ctx)
{
	return ((const struct lane *)ctx)->blocked;
}

static const struct fleet_account_ops ops = {
    in_use, on_share, learned, blocked};

static inline void
set_up(struct lane *l, const char *host)
{
	params_init(&l->set);
	put(&l->set, "lane_fleet", "127.0.0.1:6379");
	put(&l->set, "lane_fleet_name", host);
	put(&l->set, "lane_account_message_rate_limit", "100/1s:20");
}

static inline void
open_lane(struct lane *l, const char *dir, const char *name)
{
	char error[256];

	*l = (struct lane){.in_use = 0};
	set_up(l, "h1");
	assert_true(statefile_dir_open(&l->dir, dir, error, sizeof(error)));
	l->store = fleet_store_open(&l->set, &l->dir, name);
	l->a = fleet_store_account(l->store, account, w.now_us);
	fleet_account_set_ops(l->a, &ops, l);
}

static inline void
close_lane(struct lane *l)
{
	fleet_account_close(&l->a);
	fleet_store_close(&l->store);
	statefile_dir_close(&l->dir);
	settings_free(&l->set);
}

static inline int64_t
share(struct lane *l)
{
	return fleet_account_share(l->a, 0, w.now_us);
}

static inline void
go_on(int64_t s)
{
	w.now_us += s * US_PER_S;
}

static inline void
begin(void)
{
	w = (struct world){.now_us = clock_mono_us()};
	log_set_sink(note_warning, NULL);
}

/* A question of each limit, and the engine's answer to one of them: one engine,
 * one limit. */
static inline enum fleet_word
speak_of(struct lane *l, size_t i)
{
	struct fleet_question q[FLEET_LIMITS];
	const struct fleet_limit *limit = fleet_account_limit(l->a, i);
	struct fleet_answer answer;

	assert_true(fleet_account_speak(l->a, 7, w.now_us));
	assert_true(fleet_account_ask(l->a, w.now_us, q));
	fleet_engine_renew(
	    &w.engine, &limit->terms, "run", &q[i], w.now_us, &answer);
	assert_int_equal(
	    fleet_account_answer(l->a, i, q[i].number, &answer, w.now_us),
	    FLEET_TAKEN);
	return answer.word;
}

static inline enum fleet_word
speak(struct lane *l)
{
	return speak_of(l, 0);
}

/* Another host's next question, the first is number 0. */
static inline void
other_host_wants(int64_t number, int64_t want)
{
	const struct fleet_terms terms = {.size = 2,
	    .limit = LIMIT,
	    .minimum = 1,
	    .ttl_us = TTL_S * US_PER_S};
	static struct fleet_share other;
	struct fleet_question q;
	struct fleet_answer answer;

	if (number == 0) {
		fleet_share_init(&other, &terms, w.now_us);
		fleet_share_begin(&other, 9);
	}
	fleet_share_ask(&other, &terms, want, 0, w.now_us, &q);
	(void)snprintf(q.host, sizeof(q.host), "h2");
	fleet_engine_renew(&w.engine, &terms, "run", &q, w.now_us, &answer);
	(void)fleet_share_answer(&other, &terms, q.number, &answer, w.now_us);
}

/* All of it is lent to this host. */
static inline void
borrow_all(struct lane *l)
{
	fleet_account_connections(l->a, 0, LIMIT, w.now_us);
	for (int64_t i = 0; i < TTL_S + 5; i++) {
		fleet_account_tell(l->a, w.now_us);
		/* until the engine has learned */
		other_host_wants(i, 0);
		assert_int_equal(speak(l), FLEET_OK);
		go_on(1);
	}
	assert_int_equal(share(l), LIMIT);
}

static inline int
take_all(struct budget *b, int *slots)
{
	struct budget_answer answer;
	int n = 0;

	while (n < LIMIT && budget_take(b, clock_mono_ms(), &answer))
		slots[n++] = answer.slot;
	return n;
}

static inline void
want_four(struct lane *l)
{
	fleet_account_connections(l->a, 0, 4, w.now_us);
	fleet_account_tell(l->a, w.now_us);
	assert_int_equal(speak(l), FLEET_OK);
	w.engine.learn = 0;
	assert_int_equal(speak(l), FLEET_OK);
}

#endif
