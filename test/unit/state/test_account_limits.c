#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/settings/params.h"
#include "agent/state/account_limits.h"
#include "agent/state/fairshare_file.h"
#include "agent/state/persist.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"
#include "test/support/fixture.h"
#include "test/support/statedir.h"

#define SECOND INT64_C(1000000)

/* of a keepfile */
enum { HEAD = 128, COPY = 16 };

static const char account[] = "smtp.example.com joe";
static const struct limitset_cost one = {{1, 1, 1}};

struct world {
	struct settings set;
	struct statefile_dir dir;
	struct account_limits_env fast, slow;
	int warnings;
};

static void
count_warnings(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;

	(void)line;
	w->warnings += level >= LOG_LEVEL_WARN;
}

static void
set_up(struct world *w, const char *dir, const char *rate)
{
	char error[256];

	memset(w, 0, sizeof(*w));
	params_init(&w->set);
	assert_true(params_set(&w->set,
	    params_find("lane_account_message_rate_limit"), rate, NULL));
	assert_true(statefile_dir_open(&w->dir, dir, error, sizeof(error)));
	w->fast = (struct account_limits_env){
	    &w->set, &w->dir, "fast", 16, NULL, NULL};
	w->slow = (struct account_limits_env){
	    &w->set, &w->dir, "slow", 4, NULL, NULL};
	log_set_sink(count_warnings, w);
}

static void
tear_down(struct world *w)
{
	log_set_sink(NULL, NULL);
	statefile_dir_close(&w->dir);
	settings_free(&w->set);
}

static struct account_limits *
open_of(const struct account_limits_env *env, int64_t now_us)
{
	char error[256];
	struct account_limits *f = account_limits_open(
	    env, "rates", account, PACER_ACCOUNT, now_us, error, sizeof(error));

	assert_string_equal(error, "");
	return f;
}

/* Takes at every millisecond of a span. */
static int
take_for(struct account_limits *f, int64_t *now_us, int64_t span_us)
{
	const struct limitset_limit *why;
	int64_t end = *now_us + span_us;
	int count = 0;

	for (; *now_us < end; *now_us += 1000)
		while (account_limits_wait_us(f, &one, *now_us, &why) == 0 &&
		       account_limits_take(f, &one, *now_us))
			count++;
	return count;
}

/* Another process's hold on the file, such as that of one that is stopped. */
static struct persist *
hold(const struct world *w)
{
	char error[256];
	struct persist *k = fairshare_file_open(
	    &w->dir, "rates", account, error, sizeof(error));

	assert_string_equal(error, "");
	assert_true(persist_lock(k, 0));
	return k;
}

static void
sharefile_stopped_lane_leaves_the_others_their_part(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	struct persist *holder;
	int64_t now = clock_mono_us(), began = now;
	int count;

	set_up(&w, *state, "100/1s:1");
	fast = open_of(&w.fast, now);
	slow = open_of(&w.slow, now);
	assert_in_range(take_for(slow, &now, SECOND), 99, 102);
	holder = hold(&w);
	/* It may yet go on: nothing for two seconds, and no waiting. */
	assert_int_equal(take_for(slow, &now, 2 * SECOND), 0);
	assert_int_equal(w.warnings, 0);
	/* weights of 16 and 4 */
	count = take_for(slow, &now, 10 * SECOND);
	assert_in_range(count, 190, 205);
	assert_int_equal(w.warnings, 1);
	persist_close(&holder);
	assert_in_range(take_for(slow, &now, SECOND), 95, 105);
	assert_true(clock_mono_us() - began < 30 * SECOND);
	account_limits_close(&fast);
	account_limits_close(&slow);
	tear_down(&w);
}

static void
sharefile_part_taken_alone_counts_for_the_quota(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	struct persist *holder;
	int64_t now = clock_mono_us();

	set_up(&w, *state, "50/1d!");
	fast = open_of(&w.fast, now);
	slow = open_of(&w.slow, now);
	assert_int_equal(take_for(slow, &now, 1000), 50);
	now += 86400 * SECOND * 2;
	holder = hold(&w);
	/* a fifth of it */
	assert_int_equal(take_for(slow, &now, 5 * SECOND), 10);
	persist_close(&holder);
	assert_int_equal(take_for(slow, &now, SECOND), 40);
	/* also when it ends before it could tell */
	now += 86400 * SECOND * 2;
	holder = hold(&w);
	assert_int_equal(take_for(slow, &now, 5 * SECOND), 10);
	persist_close(&holder);
	account_limits_close(&slow);
	assert_int_equal(take_for(fast, &now, SECOND), 40);
	account_limits_close(&fast);
	tear_down(&w);
}

static void
sharefile_opened_while_locked_joins_later(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	struct persist *holder;
	const struct limitset_limit *why;
	int64_t now = clock_mono_us();

	set_up(&w, *state, "100/1s:1");
	fast = open_of(&w.fast, now);
	holder = hold(&w);
	slow = open_of(&w.slow, now);
	/* Not without limits in the meantime. */
	assert_true(account_limits_is_limited(slow));
	assert_true(account_limits_wait_us(slow, &one, now, &why) > 0);
	assert_non_null(why);
	assert_in_range(take_for(slow, &now, 7 * SECOND), 90, 110);
	persist_close(&holder);
	now += 2 * SECOND;
	assert_in_range(take_for(slow, &now, SECOND), 90, 102);
	account_limits_close(&fast);
	account_limits_close(&slow);
	tear_down(&w);
}

/* One that was stopped in the middle of a turn has the time from before. */
static void
sharefile_lane_that_slept_moves_nobodys_time(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	const struct limitset_limit *why;
	int64_t now = clock_mono_us(), slept = now - 20 * SECOND;

	set_up(&w, *state, "50/1m!");
	slow = open_of(&w.slow, slept);
	fast = open_of(&w.fast, slept);
	assert_int_equal(take_for(fast, &now, 1000), 50);
	assert_true(account_limits_wait_us(slow, &one, slept, &why) > 0);
	assert_false(account_limits_take(slow, &one, slept));
	now += 59 * SECOND;
	assert_int_equal(take_for(fast, &now, 1000), 0);
	assert_int_equal(w.warnings, 0);
	account_limits_close(&fast);
	account_limits_close(&slow);
	tear_down(&w);
}

static void
sharefile_survives_any_octets_in_its_file(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	struct fixture_random random;
	char name[64], error[128];
	uint64_t junk[(2 * sizeof(struct fairshare) + 4096) / 8];
	int64_t now = clock_mono_us(), refused, pause;
	int fd;

	set_up(&w, *state, "100/1s:5, 9000/1d!");
	fixture_random_init(&random);
	fast = open_of(&w.fast, now);
	slow = open_of(&w.slow, now);
	(void)snprintf(name, sizeof(name), "rates.%016llx",
	    (unsigned long long)board_hash(account));
	fd = statefile_open(w.dir.fd, name, error, sizeof(error));
	assert_true(fd >= 0);
	for (int round = 0; round < 1000; round++) {
		const struct limitset_limit *why;

		now += SECOND / 7;
		for (size_t i = 0; i < sizeof(junk) / 8; i++) {
			size_t shift = fixture_random_below(&random, 64);

			junk[i] = random.state >> shift;
		}
		/* all behind the magic number and size, or both copies'
		 * values; never longer than the file */
		if (round % 2 == 0) {
			assert_true(statefile_write(fd, junk,
			    HEAD - 16 + 2 * (COPY + sizeof(struct fairshare)),
			    16));
		} else {
			assert_true(statefile_write(
			    fd, junk, sizeof(struct fairshare), HEAD + COPY));
			assert_true(statefile_write(fd, junk,
			    sizeof(struct fairshare),
			    HEAD + 2 * COPY + (off_t)sizeof(struct fairshare)));
		}
		(void)account_limits_is_limited(slow);
		if (account_limits_wait_us(slow, &one, now, &why) == 0)
			(void)account_limits_take(slow, &one, now);
		assert_true(account_limits_is_limited(slow));
		(void)account_limits_peek(slow);
		account_limits_note_use(slow, now);
		(void)account_limits_tell(fast, now, now);
		account_limits_pause(fast, now + SECOND);
		(void)account_limits_news(slow, &refused, &pause);
		account_limits_quit(slow);
		if (round % 10 == 0) {
			account_limits_close(&fast);
			fast = open_of(&w.fast, now);
		}
	}
	/* and it works again */
	now += 60 * SECOND;
	(void)take_for(slow, &now, SECOND);
	now += SECOND;
	assert_in_range(take_for(slow, &now, SECOND), 90, 106);
	assert_true(w.warnings > 0);
	(void)close(fd);
	account_limits_close(&fast);
	account_limits_close(&slow);
	tear_down(&w);
}

/* Whatever other lanes store: the next turn sees it. */
static void
sharefile_is_looked_at_once_in_a_turn(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	struct loop *loop = loop_new();
	struct loop_timer *tick = loop_timer_new(loop, mem_free, NULL);
	int64_t now = clock_mono_us();

	set_up(&w, *state, "none");
	w.slow.loop = loop;
	slow = open_of(&w.slow, now);
	assert_false(account_limits_is_limited(slow));
	assert_true(params_set(&w.set,
	    params_find("lane_account_message_rate_limit"), "100/1s", NULL));
	fast = open_of(&w.fast, now);
	assert_true(account_limits_is_limited(fast));
	assert_false(account_limits_is_limited(slow));
	loop_timer_at(tick, clock_mono_ms() + 1);
	loop_once(loop);
	assert_true(account_limits_is_limited(slow));
	account_limits_close(&fast);
	account_limits_close(&slow);
	loop_timer_free(&tick);
	loop_free(&loop);
	tear_down(&w);
}

/* However lately it was looked at: whoever hears "now" takes. */
static void
sharefile_says_now_by_what_others_have_taken(void **state)
{
	struct world w;
	struct account_limits *fast, *slow;
	const struct limitset_limit *why;
	struct loop *loop = loop_new();
	int64_t now = clock_mono_us();

	set_up(&w, *state, "1/1s:1");
	w.slow.loop = loop;
	fast = open_of(&w.fast, now);
	slow = open_of(&w.slow, now);
	(void)account_limits_peek(slow);
	assert_true(account_limits_take(fast, &one, now));
	assert_in_range(
	    account_limits_wait_us(slow, &one, now, &why), 1, 2 * SECOND);
	account_limits_close(&fast);
	account_limits_close(&slow);
	loop_free(&loop);
	tear_down(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(sharefile_stopped_lane_leaves_the_others_their_part),
	    IN_STATEDIR(sharefile_part_taken_alone_counts_for_the_quota),
	    IN_STATEDIR(sharefile_opened_while_locked_joins_later),
	    IN_STATEDIR(sharefile_lane_that_slept_moves_nobodys_time),
	    IN_STATEDIR(sharefile_survives_any_octets_in_its_file),
	    IN_STATEDIR(sharefile_is_looked_at_once_in_a_turn),
	    IN_STATEDIR(sharefile_says_now_by_what_others_have_taken),
	};

	return cmocka_run_group_tests_name("sharefile", tests, NULL, NULL);
}
