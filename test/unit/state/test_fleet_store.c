/* What lanes of a host may use of an account that a fleet shares: two lanes, a
 * state directory, and the engine's twin in C. */
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

static void
note_warning(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)snprintf(w.line, sizeof(w.line), "%s", line);
	if (level >= LOG_LEVEL_WARN)
		(void)snprintf(w.warning, sizeof(w.warning), "%s", line);
}

static void
put(struct settings *set, const char *name, const char *value)
{
	struct problems problems = {0};

	assert_true(params_set(set, params_find(name), value, &problems));
	problems_fini(&problems);
}

static int64_t
in_use(void *ctx, const struct fleet_limit *limit, int64_t now_us)
{
	const struct lane *l = ctx;

	(void)now_us;
	return limit->kind == FLEET_CONNECTIONS ? l->in_use : 0;
}

static void
on_share(void *ctx)
{
	((struct lane *)ctx)->changes++;
}

static void
learned(void *ctx, struct fleet_lesson out[FLEET_LESSONS], int64_t now_us)
{
	const struct lane *l = ctx;

	if (l->pause_us > now_us)
		out[FLEET_PAUSE].left_us = l->pause_us - now_us;
}

static int64_t
blocked(void *ctx)
{
	return ((const struct lane *)ctx)->blocked;
}

static const struct fleet_account_ops ops = {
    in_use, on_share, learned, blocked};

static void
set_up(struct lane *l, const char *host)
{
	params_init(&l->set);
	put(&l->set, "lane_fleet", "127.0.0.1:6379");
	put(&l->set, "lane_fleet_name", host);
	put(&l->set, "lane_account_message_rate_limit", "100/1s:20");
}

static void
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

static void
close_lane(struct lane *l)
{
	fleet_account_close(&l->a);
	fleet_store_close(&l->store);
	statefile_dir_close(&l->dir);
	settings_free(&l->set);
}

static int64_t
share(struct lane *l)
{
	return fleet_account_share(l->a, 0, w.now_us);
}

static void
go_on(int64_t s)
{
	w.now_us += s * US_PER_S;
}

static void
begin(void)
{
	w = (struct world){.now_us = clock_mono_us()};
	log_set_sink(note_warning, NULL);
}

/* A question of each limit, and the engine's answer to one of them: one engine,
 * one limit. */
static enum fleet_word
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

static enum fleet_word
speak(struct lane *l)
{
	return speak_of(l, 0);
}

/* Another host's next question, the first is number 0. */
static void
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
static void
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

/* ---- tests ------------------------------------------------------------------
 */

static void
limits_have_their_names(void **state)
{
	static const char *const units[] = {"connections", "messages/2s",
	    "messages/1d!", "recipients/1m", "octets/1h!", "dials/1s"};
	struct lane l = {.in_use = 0};

	begin();
	set_up(&l, "h1");
	put(&l.set, "lane_account_message_rate_limit", "100/2s, 50000/1d!");
	put(&l.set, "lane_account_recipient_rate_limit", "30/1m:5, 20/60s:5");
	put(&l.set, "lane_account_byte_rate_limit", "1000000/1h!");
	put(&l.set, "lane_connection_rate_limit", "5/1s");
	l.store = fleet_store_open(&l.set, NULL, "fast");
	l.a = fleet_store_account(l.store, account, w.now_us);
	assert_int_equal(fleet_account_count(l.a), 6);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(
		    fleet_account_limit(l.a, i)->unit, units[i]);
	assert_int_equal(fleet_account_limit(l.a, 1)->terms.limit, 99998);
	assert_int_equal(fleet_account_limit(l.a, 2)->terms.limit, 50000);
	assert_true(
	    fleet_account_limit(l.a, 2)->terms.linger_us > 86400 * US_PER_S);
	assert_int_equal(fleet_account_limit(l.a, 2)->terms.minimum, 2500);
	/* Without a file the base, at once and for good; and nobody speaks. */
	assert_int_equal(share(&l), BASE);
	assert_int_equal(fleet_account_share(l.a, 2, w.now_us), 25000);
	assert_false(fleet_account_speak(l.a, 7, w.now_us));
	(void)state;
	close_lane(&l);
}

static void
host_without_memory_waits_for_its_base(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	assert_int_equal(share(&l), 0);
	go_on(TTL_S);
	assert_int_equal(share(&l), 0);
	go_on(GUARD_S);
	assert_int_equal(share(&l), BASE);
	close_lane(&l);
}

static void
answer_is_for_all_lanes_and_ends(void **state)
{
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	borrow_all(&one);
	assert_int_equal(share(&two), LIMIT);
	fleet_account_tell(two.a, w.now_us);
	assert_true(two.changes > 0);
	/* Three quarters of a lease are left of a loan, without a word. */
	go_on(TTL_S * 3 / 4 - 2);
	assert_int_equal(share(&two), LIMIT);
	go_on(2);
	assert_int_equal(share(&two), BASE);
	close_lane(&one);
	close_lane(&two);
}

static void
lane_that_dies_is_followed_by_another_one(void **state)
{
	struct lane one, two;
	int64_t epoch;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	borrow_all(&one);
	epoch = fleet_account_epoch(one.a);
	assert_false(fleet_account_speak(two.a, 8, w.now_us));
	close_lane(&one);
	assert_true(fleet_account_speak(two.a, 8, w.now_us));
	assert_int_equal(fleet_account_epoch(two.a), epoch + 1);
	assert_int_equal(share(&two), LIMIT); /* what was lent goes on */
	fleet_account_connections(two.a, 0, LIMIT, w.now_us);
	fleet_account_tell(two.a, w.now_us);
	assert_int_equal(speak(&two), FLEET_OK);
	assert_int_equal(share(&two), LIMIT);
	close_lane(&two);
}

static void
host_wants_what_its_lanes_want(void **state)
{
	struct fleet_question q[FLEET_LIMITS];
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	fleet_account_connections(one.a, 2, 1, w.now_us);
	fleet_account_connections(two.a, 0, 4, w.now_us);
	fleet_account_take(two.a, 1, 10, w.now_us);
	fleet_account_tell(one.a, w.now_us);
	fleet_account_tell(two.a, w.now_us);
	one.in_use = 3;
	assert_true(fleet_account_speak(one.a, 7, w.now_us));
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].want, 7);
	assert_int_equal(q[0].in_use, 3);
	assert_string_equal(q[0].host, "h1");
	/* Twice of ten in a second, and a two-hundredth of a base. */
	assert_int_equal(q[1].want, 20000 + 250);
	/* A lane that is gone wants nothing; one that told nothing for a while
	 * is stopped. */
	close_lane(&two);
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].want, 3);
	go_on(10);
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].want, 0);
	close_lane(&one);
}

/* Who could take meanwhile has the lower share by then. */
static void
share_shrinks_before_it_is_told(void **state)
{
	struct fleet_question q[FLEET_LIMITS];
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	borrow_all(&one);
	fleet_account_connections(one.a, 0, 3, w.now_us);
	fleet_account_tell(one.a, w.now_us);
	one.in_use = 5;
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].cap, 5);
	assert_int_equal(share(&two), 5);
	close_lane(&one);
	close_lane(&two);
}

static void
stored_lease_is_kept_by_the_next_process(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	close_lane(&l);
	open_lane(&l, *state, "fast");
	assert_int_equal(share(&l), LIMIT);
	close_lane(&l);
}

static void
damaged_file_is_none(void **state)
{
	char path[512], octet;
	struct lane l;
	int fd;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	close_lane(&l);
	(void)snprintf(path, sizeof(path), "%s/fleet.%016llx", (char *)*state,
	    (unsigned long long)board_hash(account));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	/* In both copies, in the middle of the first row's lease. */
	for (int copy = 0; copy < 2; copy++) {
		off_t at = 128 +
			   copy * (16 + (off_t)sizeof(struct fleet_file)) + 16 +
			   (off_t)offsetof(struct fleet_file, rows) +
			   (off_t)offsetof(struct fleet_row, share.share);

		assert_int_equal(pread(fd, &octet, 1, at), 1);
		octet++;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
	}
	(void)close(fd);
	open_lane(&l, *state, "fast");
	assert_non_null(strstr(w.warning, "begins without memory"));
	assert_int_equal(share(&l), 0);
	close_lane(&l);
}

/* Of another name it is another host's lease. */
static void
renamed_host_has_no_memory(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	close_lane(&l);
	l = (struct lane){.in_use = 0};
	set_up(&l, "h3");
	assert_true(
	    statefile_dir_open(&l.dir, *state, w.warning, sizeof(w.warning)));
	l.store = fleet_store_open(&l.set, &l.dir, "fast");
	l.a = fleet_store_account(l.store, account, w.now_us);
	assert_int_equal(share(&l), 0);
	close_lane(&l);
}

/* After a reboot clocks may say anything: what is borrowed is given up, what is
 * lent waited for. */
static void
lease_of_another_boot_ends_as_late_as_it_can(void **state)
{
	struct fleet_file f = {.name = 1};
	const struct fleet_terms terms = {
	    .size = 2, .limit = LIMIT, .ttl_us = TTL_S * US_PER_S};
	struct fleet_row *r;
	int64_t now_us = 1000 * US_PER_S;

	(void)state;
	r = fleet_file_row(&f, "connections", &terms, now_us);
	r->share.share = LIMIT;
	r->share.end_us = now_us + 5 * US_PER_S;
	r->share.answered_us = now_us;
	f.sum = fleet_file_sum(&f);
	assert_true(fleet_file_repair(&f, -900 * US_PER_S, 50 * US_PER_S));
	assert_int_equal(r->share.share, BASE);
	assert_int_equal(r->share.end_us, (50 + TTL_S) * US_PER_S);
	assert_int_equal(r->share.answered_us, 50 * US_PER_S);
	r->share.share = 3;
	f.sum = fleet_file_sum(&f);
	assert_true(fleet_file_repair(&f, 7, 60 * US_PER_S));
	assert_int_equal(r->share.share, 3);
	assert_int_equal(fleet_file_share(r, (60 + TTL_S) * US_PER_S), 3);
}

static void
name_that_two_have_is_told(void **state)
{
	struct fleet_question q;
	struct fleet_answer answer;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	/* The clone has the memory of this one, and begins later. */
	q = (struct fleet_question){
	    .host = "h1", .nonce = 99, .epoch = 50, .number = 1, .want = 5};
	fleet_engine_renew(&w.engine, &fleet_account_limit(l.a, 0)->terms,
	    "run", &q, w.now_us, &answer);
	assert_int_equal(answer.word, FLEET_OK);
	assert_int_equal(speak(&l), FLEET_STALE);
	assert_non_null(strstr(w.warning, "two hosts call themselves h1"));
	assert_int_equal(share(&l), 0);
	close_lane(&l);
}

/* ---- who obeys -------------------------------------------------------------
 */

static int
take_all(struct budget *b, int *slots)
{
	struct budget_answer answer;
	int n = 0;

	while (n < LIMIT && budget_take(b, clock_mono_ms(), &answer))
		slots[n++] = answer.slot;
	return n;
}

/* ... and has them. The clock is not ours here: an answer just now. */
static void
want_four(struct lane *l)
{
	fleet_account_connections(l->a, 0, 4, w.now_us);
	fleet_account_tell(l->a, w.now_us);
	assert_int_equal(speak(l), FLEET_OK);
	w.engine.learn = 0;
	assert_int_equal(speak(l), FLEET_OK);
}

static void
slots_are_the_hosts_share(void **state)
{
	int slots[LIMIT];
	struct budget_answer answer;
	struct budget *b;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	b = budget_open(NULL, &l.set, &l.dir, "fast", account, on_share, &l);
	budget_set_fleet(b, l.a);
	assert_false(budget_take(b, clock_mono_ms(), &answer));
	assert_non_null(strstr(answer.why, "this host's share"));
	want_four(&l);
	assert_int_equal(share(&l), 4);
	assert_int_equal(take_all(b, slots), 4);
	assert_int_equal(budget_in_use(b, clock_mono_ms()), 4);
	assert_int_equal(budget_excess(b), 0);
	/* It wants less, says so, and two are too many. */
	fleet_account_connections(l.a, 0, 2, w.now_us);
	fleet_account_tell(l.a, w.now_us);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_int_equal(share(&l), 2);
	budget_look(b, clock_mono_ms());
	assert_int_equal(budget_excess(b), 2);
	assert_false(budget_take(b, clock_mono_ms(), &answer));
	budget_release(b, slots[0], true, 0, clock_mono_ms());
	budget_release(b, slots[1], true, 0, clock_mono_ms());
	budget_look(b, clock_mono_ms());
	assert_int_equal(budget_excess(b), 0);
	budget_close(&b);
	close_lane(&l);
}

/* A share is nothing that the provider said: what it does say is news. */
static void
refusal_below_the_limit_is_told_within_a_share(void **state)
{
	int slots[LIMIT];
	struct budget *b;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	b = budget_open(NULL, &l.set, &l.dir, "fast", account, on_share, &l);
	budget_set_fleet(b, l.a);
	want_four(&l);
	assert_int_equal(take_all(b, slots), 4);
	budget_refused(b, 4, clock_mono_ms());
	assert_non_null(strstr(w.line, "limit now 4 of 20"));
	budget_close(&b);
	close_lane(&l);
}

/* ---- who does not wait for the next second --------------------------------
 */

/* What the other host wants, by the question of that number. */
static void
other_wants(int64_t number, int64_t want, int64_t cap)
{
	struct fleet_question q = {.host = "h2",
	    .epoch = 1,
	    .number = number,
	    .want = want,
	    .cap = cap,
	    .left_us = TTL_S * US_PER_S};
	const struct fleet_terms terms = {.size = 2,
	    .limit = LIMIT,
	    .minimum = 1,
	    .ttl_us = TTL_S * US_PER_S};
	struct fleet_answer answer;

	fleet_engine_renew(&w.engine, &terms, "run", &q, w.now_us, &answer);
	assert_int_equal(answer.word, FLEET_OK);
}

/* All limits but connections are answered as they ask. */
static void
answer_others(struct lane *l, const struct fleet_question *q)
{
	for (size_t i = 1; i < fleet_account_count(l->a); i++) {
		struct fleet_answer all = {.word = FLEET_OK,
		    .share = q[i].want,
		    .target = q[i].want,
		    .at = w.now_us,
		    .end = w.now_us + TTL_S * US_PER_S};

		assert_int_equal(
		    fleet_account_answer(l->a, i, q[i].number, &all, w.now_us),
		    FLEET_TAKEN);
	}
}

static void
speak_of_all(struct lane *l)
{
	struct fleet_question q[FLEET_LIMITS];
	const struct fleet_limit *limit = fleet_account_limit(l->a, 0);
	struct fleet_answer answer;

	assert_true(fleet_account_speak(l->a, 7, w.now_us));
	assert_true(fleet_account_ask(l->a, w.now_us, q));
	/* Nobody asks while an answer is on its way. */
	assert_false(fleet_account_hurry(l->a, w.now_us));
	answer_others(l, q);
	fleet_engine_renew(
	    &w.engine, &limit->terms, "run", &q[0], w.now_us, &answer);
	assert_int_equal(
	    fleet_account_answer(l->a, 0, q[0].number, &answer, w.now_us),
	    FLEET_TAKEN);
}

static void
whoever_wants_more_asks_at_once(void **state)
{
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	fleet_account_tell(one.a, w.now_us);
	fleet_account_tell(two.a, w.now_us);
	speak_of_all(&one);
	w.engine.learn = 0;
	speak_of_all(&one);
	assert_false(fleet_account_hurry(one.a, w.now_us));
	/* Its own lane, or another one, which does not speak. */
	fleet_account_connections(one.a, 0, 4, w.now_us);
	assert_true(fleet_account_hurry(one.a, w.now_us));
	speak_of_all(&one);
	assert_int_equal(share(&one), 4);
	assert_false(fleet_account_hurry(one.a, w.now_us));
	fleet_account_connections(two.a, 0, 5, w.now_us);
	assert_false(fleet_account_hurry(two.a, w.now_us));
	assert_true(fleet_account_hurry(one.a, w.now_us));
	speak_of_all(&one);
	assert_int_equal(share(&one), 9);
	assert_false(fleet_account_hurry(one.a, w.now_us));
	close_lane(&one);
	close_lane(&two);
}

static void
host_that_has_less_tells_at_once(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	other_host_wants(TTL_S + 5, LIMIT);
	speak_of_all(&l);
	assert_int_equal(share(&l), BASE);
	assert_true(fleet_account_hurry(l.a, w.now_us));
	speak_of_all(&l);
	assert_false(fleet_account_hurry(l.a, w.now_us));
	close_lane(&l);
}

/* The other one does not give back what it has. */
static void
wish_is_repeated_so_often(void **state)
{
	struct lane l;
	int n = 0;

	begin();
	open_lane(&l, *state, "fast");
	other_wants(1, LIMIT, LIMIT);
	w.engine.learn = 0;
	fleet_account_connections(l.a, 0, LIMIT, w.now_us);
	fleet_account_tell(l.a, w.now_us);
	speak_of_all(&l);
	assert_int_equal(share(&l), 0);
	while (n < 100 && fleet_account_hurry(l.a, w.now_us)) {
		w.now_us += US_PER_S / 4;
		speak_of_all(&l);
		n++;
	}
	assert_in_range(n, 8, 20);
	close_lane(&l);
}

/* ---- lessons ----------------------------------------------------------------
 */

static const struct fleet_terms of_two = {
    .size = 2, .limit = LIMIT, .minimum = 1, .ttl_us = TTL_S * US_PER_S};

/* The other host tells this; what it is told. */
static struct fleet_answer
other_tells(int64_t number, size_t kind, int64_t left_us, int64_t value)
{
	struct fleet_question q = {.host = "h2", .epoch = 1, .number = number};
	struct fleet_answer answer;

	q.lessons[kind] =
	    (struct fleet_lesson){.left_us = left_us, .value = value};
	fleet_engine_renew(&w.engine, &of_two, "run", &q, w.now_us, &answer);
	assert_int_equal(answer.word, FLEET_OK);
	return answer;
}

static const struct fleet_heard *
heard(struct lane *l, enum fleet_lesson_kind kind)
{
	return fleet_account_heard(l->a, kind, w.now_us);
}

static void
lesson_of_another_host_reaches_all_lanes(void **state)
{
	struct board_fleet shown = {.size = 0};
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	(void)other_tells(1, FLEET_PAUSE, 60 * US_PER_S, 0);
	assert_null(heard(&two, FLEET_PAUSE));
	two.changes = 0;
	assert_int_equal(speak(&one), FLEET_OK);
	assert_non_null(heard(&two, FLEET_PAUSE));
	assert_string_equal(heard(&two, FLEET_PAUSE)->host, "h2");
	assert_true(
	    heard(&two, FLEET_PAUSE)->until_us == w.now_us + 60 * US_PER_S);
	fleet_account_tell(two.a, w.now_us);
	assert_true(two.changes > 0);
	fleet_account_show(two.a, &shown, w.now_us);
	assert_string_equal(shown.heard[FLEET_PAUSE].host, "h2");
	assert_true(shown.heard[FLEET_PAUSE].until_wall_ms > 0);
	assert_int_equal(shown.heard[FLEET_FEWER].until_wall_ms, 0);
	/* What was heard is not told: it would never end. */
	w.now_us += US_PER_S;
	assert_int_equal(speak(&one), FLEET_OK);
	assert_int_equal(
	    other_tells(2, FLEET_PAUSE, 0, 0).lessons[FLEET_PAUSE].left_us, 0);
	/* It is taken back. */
	assert_int_equal(speak(&one), FLEET_OK);
	assert_null(heard(&two, FLEET_PAUSE));
	close_lane(&one);
	close_lane(&two);
}

/* ... without the engine, and without the lane that heard it. */
static void
lesson_ends_by_itself(void **state)
{
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	(void)other_tells(1, FLEET_PAUSE, 60 * US_PER_S, 0);
	assert_int_equal(speak(&one), FLEET_OK);
	close_lane(&one);
	go_on(59);
	assert_non_null(heard(&two, FLEET_PAUSE));
	go_on(1);
	assert_null(heard(&two, FLEET_PAUSE));
	close_lane(&two);
}

static void
lessons_of_all_lanes_are_told(void **state)
{
	const struct fleet_lesson *l;
	struct fleet_answer answer;
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	one.pause_us = w.now_us + 30 * US_PER_S;
	two.blocked = 550571;
	fleet_account_tell(two.a, w.now_us);
	assert_int_equal(speak(&one), FLEET_OK);
	answer = other_tells(1, FLEET_FEWER, 0, 0);
	l = &answer.lessons[FLEET_PAUSE];
	assert_true(l->left_us == 30 * US_PER_S);
	assert_string_equal(l->host, "h1");
	l = &answer.lessons[FLEET_BLOCKED];
	assert_true(l->left_us > 0);
	assert_int_equal(l->value, 550571);
	/* It is over, or the lane is. */
	go_on(1);
	two.blocked = 0;
	fleet_account_tell(two.a, w.now_us);
	assert_int_equal(speak(&one), FLEET_OK);
	answer = other_tells(2, FLEET_FEWER, 0, 0);
	assert_int_equal(answer.lessons[FLEET_BLOCKED].left_us, 0);
	two.blocked = 550571;
	fleet_account_tell(two.a, w.now_us);
	close_lane(&two);
	assert_int_equal(speak(&one), FLEET_OK);
	answer = other_tells(3, FLEET_FEWER, 0, 0);
	assert_int_equal(answer.lessons[FLEET_BLOCKED].left_us, 0);
	close_lane(&one);
}

static void
what_is_not_known_is_told_once(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	(void)other_tells(1, FLEET_LESSONS - 1, 60 * US_PER_S, 7);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_non_null(strstr(w.warning, "h2 learned something"));
	w.warning[0] = '\0';
	go_on(1);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_string_equal(w.warning, "");
	close_lane(&l);
}

static void
refused_connection_of_another_host_is_fewer_here(void **state)
{
	int slots[LIMIT];
	struct budget_answer answer;
	struct budget *b;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	b = budget_open(NULL, &l.set, &l.dir, "fast", account, on_share, &l);
	budget_set_fleet(b, l.a);
	want_four(&l);
	/* It has 6, and 2 are in use here; it may have 16. */
	l.in_use = 2;
	assert_int_equal(speak(&l), FLEET_OK);
	(void)other_tells(1, FLEET_FEWER, 60 * US_PER_S, 6);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_int_equal(share(&l), 4);
	assert_int_equal(fleet_account_connection_limit(l.a, w.now_us), 2);
	assert_int_equal(take_all(b, slots), 2);
	assert_false(budget_take(b, clock_mono_ms(), &answer));
	assert_non_null(strstr(answer.why, "refused another host"));
	assert_int_equal(budget_excess(b), 0);
	budget_close(&b);
	close_lane(&l);
}

/* Nobody has to store the rates anew for that. */
static void
rates_follow_the_share(void **state)
{
	const struct pacer_cost one = {{1, 1, 1}, NULL};
	struct pacer_limit why;
	struct rate_account *rates;
	struct rate_store *store;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	store = rate_store_open(&l.set, &l.dir, "fast", w.now_us);
	rate_store_set_fleet(store, l.store);
	rates = rate_store_account(store, account, w.now_us);
	assert_true(rate_store_take(rates, &one, w.now_us));
	fleet_account_short(l.a, 1, w.now_us);
	fleet_account_tell(l.a, w.now_us);
	assert_int_equal(speak_of(&l, 1), FLEET_OK);
	w.engine.learn = 0;
	assert_int_equal(speak_of(&l, 1), FLEET_OK);
	assert_true(fleet_account_share(l.a, 1, w.now_us) > 1);
	(void)rate_store_wait_us(rates, &one, w.now_us, &why);
	assert_int_equal(
	    why.rate.count_milli, fleet_account_share(l.a, 1, w.now_us) + 1);
	rate_store_close(&store);
	close_lane(&l);
}

static void
rates_are_the_hosts_share(void **state)
{
	const struct pacer_cost one = {{1, 1, 1}, NULL};
	struct pacer_limit why;
	struct rate_account *rates;
	struct rate_store *store;
	struct lane l;
	int n = 0;

	begin();
	open_lane(&l, *state, "fast");
	store = rate_store_open(&l.set, &l.dir, "fast", w.now_us);
	rate_store_set_fleet(store, l.store);
	rates = rate_store_account(store, account, w.now_us);
	/* Without memory a thousandth, and one at once. */
	while (n < 100 && rate_store_take(rates, &one, w.now_us))
		n++;
	assert_int_equal(n, 1);
	/* It may be more in a moment: nobody is told to wait for long. */
	assert_in_range(
	    rate_store_wait_us(rates, &one, w.now_us, &why), 1, US_PER_S);
	assert_int_equal(why.rate.count_milli, 1);
	rate_store_close(&store);
	close_lane(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(limits_have_their_names),
	    IN_STATEDIR(host_without_memory_waits_for_its_base),
	    IN_STATEDIR(answer_is_for_all_lanes_and_ends),
	    IN_STATEDIR(lane_that_dies_is_followed_by_another_one),
	    IN_STATEDIR(host_wants_what_its_lanes_want),
	    IN_STATEDIR(share_shrinks_before_it_is_told),
	    IN_STATEDIR(stored_lease_is_kept_by_the_next_process),
	    IN_STATEDIR(damaged_file_is_none),
	    IN_STATEDIR(renamed_host_has_no_memory),
	    IN_STATEDIR(lease_of_another_boot_ends_as_late_as_it_can),
	    IN_STATEDIR(name_that_two_have_is_told),
	    IN_STATEDIR(slots_are_the_hosts_share),
	    IN_STATEDIR(refusal_below_the_limit_is_told_within_a_share),
	    IN_STATEDIR(whoever_wants_more_asks_at_once),
	    IN_STATEDIR(host_that_has_less_tells_at_once),
	    IN_STATEDIR(wish_is_repeated_so_often),
	    IN_STATEDIR(lesson_of_another_host_reaches_all_lanes),
	    IN_STATEDIR(lesson_ends_by_itself),
	    IN_STATEDIR(lessons_of_all_lanes_are_told),
	    IN_STATEDIR(what_is_not_known_is_told_once),
	    IN_STATEDIR(refused_connection_of_another_host_is_fewer_here),
	    IN_STATEDIR(rates_are_the_hosts_share),
	    IN_STATEDIR(rates_follow_the_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
