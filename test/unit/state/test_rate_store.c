#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/engine/pacer.h"
#include "agent/settings/params.h"
#include "agent/state/persist.h"
#include "agent/state/rate_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"
#include "test/support/statedir.h"

#define SECOND INT64_C(1000000)

static const char account[] = "smtp.example.com joe";
static const struct pacer_cost one = {{1, 1, 1}, NULL};

/* What a lane has in its process. */
struct fake_lane {
	struct settings set;
	struct statefile_dir dir;
	struct rate_store *book;
	struct rate_account *account;
	struct pacer pacer;
};

static char last_warning[512];

static void
note_warning(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_WARN)
		(void)snprintf(last_warning, sizeof(last_warning), "%s", line);
}

static void
set(struct settings *set, const char *name, const char *value)
{
	struct problems problems = {0};

	assert_true(params_set(set, params_find(name), value, &problems));
	problems_fini(&problems);
}

static void
set_up_lane(
    struct fake_lane *l, const char *dir, const char *own, const char *shared)
{
	char error[256] = "";

	memset(l, 0, sizeof(*l));
	params_init(&l->set);
	set(&l->set, "lane_message_rate_limit", own);
	set(&l->set, "lane_account_message_rate_limit", shared);
	set(&l->set, "lane_state_directory", dir);
	if (!statefile_dir_open(&l->dir, dir, error, sizeof(error)))
		fail_msg("%s", error);
}

static int64_t
wait_shared(void *ctx, const struct pacer_cost *cost, int64_t now_us,
    struct pacer_limit *why_out)
{
	struct fake_lane *l = ctx;

	return rate_store_wait_us(l->account, cost, now_us, why_out);
}

static bool
take_shared(void *ctx, const struct pacer_cost *cost, int64_t now_us)
{
	return rate_store_take(
	    ((struct fake_lane *)ctx)->account, cost, now_us);
}

static const struct limitset *
peek_shared(void *ctx, struct route *route)
{
	struct fake_lane *l = ctx;

	(void)route;
	return rate_store_peek(l->book, l->account);
}

static void
save_own(void *ctx, const struct limitset *own)
{
	rate_store_store(((struct fake_lane *)ctx)->book, own);
}

static const struct pacer_ops ops = {
    wait_shared, take_shared, peek_shared, save_own};

static void
start(struct fake_lane *l, const char *name)
{
	int64_t now = clock_mono_us();
	char error[256] = "";

	l->book = rate_store_open(&l->set, &l->dir, name, now);
	assert_true(pacer_init(&l->pacer, &l->set, now, error, sizeof(error)));
	pacer_attach(
	    &l->pacer, &l->set, rate_store_load(l->book), &ops, l, now);
	l->account = rate_store_account(l->book, account, now);
	assert_ptr_equal(rate_store_account(l->book, account, now), l->account);
}

static void
stop(struct fake_lane *l)
{
	rate_store_close(&l->book);
}

static void
fini(struct fake_lane *l)
{
	stop(l);
	statefile_dir_close(&l->dir);
	settings_free(&l->set);
}

static int
take_all(struct fake_lane *l, int max)
{
	int n = 0;

	while (n < max &&
	       pacer_wait_us(&l->pacer, &one, clock_mono_us(), NULL) == 0 &&
	       pacer_take(&l->pacer, &one, clock_mono_us()))
		n++;
	return n;
}

static void
ratebook_goes_on_where_the_lane_stopped(void **state)
{
	struct fake_lane l;
	const struct pacer_limit *why = NULL;

	set_up_lane(&l, *state, "100/1d!, 1/1h:50", "70/1d!");
	start(&l, "fast");
	assert_int_equal(pacer_messages_per_s(&l.pacer, clock_mono_us()), 0);
	assert_int_equal(pacer_ready(&l.pacer, &one, 99, clock_mono_us()), 50);
	assert_int_equal(take_all(&l, 99), 50);
	stop(&l);
	start(&l, "fast");
	assert_int_equal(take_all(&l, 99), 0);
	/* Another value: what was taken stays taken, of both. */
	set(&l.set, "lane_message_rate_limit", "120/1d!");
	stop(&l);
	start(&l, "fast");
	assert_int_equal(take_all(&l, 99), 20);
	assert_true(
	    pacer_wait_us(&l.pacer, &one, clock_mono_us(), &why) > SECOND);
	assert_string_equal(
	    pacer_parameter(why), "lane_account_message_rate_limit");
	assert_int_equal(why->rate.count_milli, 70000);
	assert_true(why->rate.is_quota);
	/* A reboot. */
	stop(&l);
	l.dir.boot++;
	set(&l.set, "lane_account_message_rate_limit", "none");
	start(&l, "fast");
	assert_int_equal(take_all(&l, 99), 50);
	fini(&l);
}

static void
take_and_tell(void *ctx, int in, int out)
{
	struct fake_lane *l = ctx;

	start(l, "slow");
	if (take_all(l, 7) != 7)
		statedir_tell(out, 'n');
	/* One more that is kept waiting, and its place with it. */
	statedir_tell(out, 'y');
	(void)statedir_hear(in);
}

static void
ratebook_remembers_what_a_killed_lane_took(void **state)
{
	struct fake_lane l, other;
	struct statedir_child child;

	set_up_lane(&l, *state, "10/1d!", "20/1d!");
	set_up_lane(&other, *state, "none", "20/1d!");
	statedir_fork(&child, take_and_tell, &l);
	assert_int_equal(statedir_hear(child.from), 'y');
	(void)statedir_end(&child, SIGKILL);
	start(&other, "fast");
	assert_int_equal(take_all(&other, 10), 10);
	start(&l, "slow");
	assert_int_equal(take_all(&l, 99), 3);
	assert_int_equal(take_all(&other, 99), 0);
	fini(&l);
	fini(&other);
}

static void
ratebook_limits_of_one_lane_bind_all_that_run(void **state)
{
	struct fake_lane a, b;

	set_up_lane(&a, *state, "none", "none");
	set_up_lane(&b, *state, "none", "5/1d!");
	last_warning[0] = '\0';
	start(&a, "fast");
	assert_int_equal(take_all(&a, 99), 99);
	start(&b, "slow");
	assert_non_null(strstr(last_warning, "disagree"));
	assert_null(strstr(last_warning, "joe"));
	assert_int_equal(take_all(&a, 3), 3);
	assert_int_equal(take_all(&b, 99), 2);
	assert_int_equal(take_all(&a, 99), 0);
	/* Without the lane that asks for it there is no limit, at the next
	 * start of another. */
	stop(&b);
	stop(&a);
	start(&a, "fast");
	assert_int_equal(take_all(&a, 99), 99);
	/* Its count went on meanwhile. */
	start(&b, "slow");
	assert_int_equal(take_all(&b, 99), 0);
	fini(&a);
	fini(&b);
}

static void
drain_child(void *ctx, int in, int out)
{
	struct fake_lane *l = ctx;
	struct pacer_limit why;

	rate_store_drain(l->book);
	statedir_tell(out,
	    rate_store_wait_us(l->account, &one, clock_mono_us(), &why) > 0 &&
		    !rate_store_take(l->account, &one, clock_mono_us()) &&
		    rate_store_peek(l->book, l->account) == NULL
		? 'y'
		: 'n');
	rate_store_idle(l->book);
	(void)statedir_hear(in);
	rate_store_close(&l->book);
}

static void
ratebook_draining_child_makes_way(void **state)
{
	struct fake_lane l, next;
	struct statedir_child child;
	const struct limitset *s;

	set_up_lane(&l, *state, "none", "5/1d!");
	set_up_lane(&next, *state, "none", "5/1d!");
	start(&l, "fast");
	assert_int_equal(take_all(&l, 2), 2);
	statedir_fork(&child, drain_child, &l);
	assert_int_equal(statedir_hear(child.from), 'y');
	start(&next, "fast");
	assert_int_equal(take_all(&next, 99), 3);
	s = rate_store_peek(next.book, next.account);
	assert_int_equal(__builtin_popcountll((uint64_t)s->limits[0].users), 1);
	statedir_tell(child.to, '.');
	assert_true(WIFEXITED(statedir_end(&child, 0)));
	fini(&next);
	fini(&l);
}

static void
stop_with_lock(void *ctx, int in, int out)
{
	struct fake_lane *l = ctx;
	char name[64], error[256];
	struct persist *k;

	(void)snprintf(name, sizeof(name), "rates.%016llx",
	    (unsigned long long)board_hash(account));
	k = persist_open(&l->dir, name, UINT64_C(0x7461722d656e0002),
	    sizeof(struct fairshare), error, sizeof(error));
	statedir_tell(out, *error == '\0' && persist_lock(k, 1000) ? 'y' : 'n');
	(void)statedir_hear(in);
}

static void
ratebook_does_not_hang_on_a_lock(void **state)
{
	struct fake_lane l;
	struct statedir_child child;
	const struct pacer_limit *why = NULL;
	int64_t began, wait;

	set_up_lane(&l, *state, "none", "50/1d!");
	start(&l, "fast");
	assert_int_equal(take_all(&l, 1), 1);
	statedir_fork(&child, stop_with_lock, &l);
	assert_int_equal(statedir_hear(child.from), 'y');
	began = clock_mono_ms();
	wait = pacer_wait_us(&l.pacer, &one, clock_mono_us(), &why);
	assert_true(wait > 0 && wait < SECOND);
	assert_string_equal(
	    pacer_parameter(why), "lane_account_message_rate_limit");
	assert_false(pacer_take(&l.pacer, &one, clock_mono_us()));
	assert_int_equal(pacer_ready(&l.pacer, &one, 99, clock_mono_us()), 49);
	rate_store_idle(l.book);
	assert_true(clock_mono_ms() - began < 1000);
	(void)statedir_end(&child, SIGKILL);
	assert_int_equal(take_all(&l, 99), 49);
	fini(&l);
}

static void
ratebook_counts_connections(void **state)
{
	struct fake_lane a, b;
	int64_t now;

	set_up_lane(&a, *state, "none", "none");
	set_up_lane(&b, *state, "none", "none");
	set(&a.set, "lane_connection_rate_limit", "3/1m:3");
	set(&b.set, "lane_connection_rate_limit", "3/1m:3");
	start(&a, "fast");
	start(&b, "slow");
	now = clock_mono_us();
	assert_int_equal(rate_store_connect_wait_us(a.account, now), 0);
	assert_true(rate_store_connect_take(a.account, now));
	assert_true(rate_store_connect_take(b.account, now));
	assert_true(rate_store_connect_take(a.account, now));
	assert_false(rate_store_connect_take(b.account, now));
	assert_int_equal(
	    rate_store_connect_wait_us(b.account, now), 20 * SECOND);
	/* No more wanted: the other need not leave it the next one. */
	rate_store_idle(b.book);
	assert_true(rate_store_connect_take(a.account, now + 20 * SECOND));
	/* Mail is not counted here. */
	assert_int_equal(take_all(&a, 50), 50);
	fini(&a);
	fini(&b);
}

static void
ratebook_without_directory_counts_alone(void **state)
{
	struct fake_lane a, b;

	set_up_lane(&a, *state, "none", "5/1d!");
	set_up_lane(&b, *state, "none", "5/1d!");
	statefile_dir_close(&a.dir);
	statefile_dir_close(&b.dir);
	last_warning[0] = '\0';
	start(&a, "fast");
	assert_non_null(strstr(last_warning, "this lane alone"));
	start(&b, "slow");
	assert_int_equal(take_all(&a, 99), 5);
	assert_int_equal(take_all(&b, 99), 5);
	fini(&a);
	fini(&b);
}

/* ---- what lanes tell each other ----------------------------------------- */

static void
start_pair(struct fake_lane *fast, struct fake_lane *slow, const char *dir,
    const char *shared)
{
	set_up_lane(fast, dir, "none", shared);
	set_up_lane(slow, dir, "none", shared);
	set(&fast->set, "lane_priority", "urgent");
	set(&slow->set, "lane_priority", "bulk");
	set(&fast->set, "lane_adaptive", "yes");
	set(&slow->set, "lane_adaptive", "yes");
	start(fast, "fast");
	start(slow, "slow");
}

static void
ratebook_less_urgent_lane_is_told_of_a_throttle(void **state)
{
	static const char *const limits[] = {"none", "1000/1s:100"};

	for (size_t i = 0; i < 2; i++) {
		struct fake_lane fast, slow;
		struct rate_store_news news;
		int64_t now;

		start_pair(&fast, &slow, *state, limits[i]);
		assert_int_equal(take_all(&fast, 1), 1);
		assert_int_equal(take_all(&slow, 1), 1);
		assert_false(rate_store_news(slow.account, &news));
		now = clock_mono_us();
		assert_true(rate_store_throttled(fast.account, now - 7, now));
		assert_false(rate_store_news(fast.account, &news));
		assert_true(rate_store_news(slow.account, &news));
		assert_true(news.refused_us == now - 7);
		assert_false(rate_store_news(slow.account, &news));
		/* It has sent nothing since: nothing to give. */
		now = clock_mono_us();
		assert_false(rate_store_throttled(fast.account, now, now));
		/* The first that it sends is known at once. */
		assert_int_equal(take_all(&slow, 1), 1);
		now = clock_mono_us();
		assert_true(rate_store_throttled(fast.account, now, now));
		/* Nobody slows down for one of less weight. */
		assert_false(rate_store_throttled(slow.account, now, now));
		fini(&fast);
		fini(&slow);
	}
}

static void
send_and_wait(void *ctx, int in, int out)
{
	struct fake_lane *l = ctx;

	start(l, "slow");
	statedir_tell(out, take_all(l, 1) == 1 ? 'y' : 'n');
	(void)statedir_hear(in);
}

static void
ratebook_dead_lane_is_not_busy(void **state)
{
	struct fake_lane fast, slow;
	struct statedir_child child;
	int64_t now;

	start_pair(&fast, &slow, *state, "none");
	stop(&slow);
	statedir_fork(&child, send_and_wait, &slow);
	assert_int_equal(statedir_hear(child.from), 'y');
	now = clock_mono_us();
	assert_true(rate_store_throttled(fast.account, now, now));
	(void)statedir_end(&child, SIGKILL);
	statedir_fork(&child, send_and_wait, &slow);
	assert_int_equal(statedir_hear(child.from), 'y');
	(void)statedir_end(&child, SIGKILL);
	now = clock_mono_us();
	assert_false(rate_store_throttled(fast.account, now, now));
	fini(&fast);
	fini(&slow);
}

static void
ratebook_pause_is_told_to_all_and_kept(void **state)
{
	struct fake_lane fast, slow;
	struct rate_store_news news;
	int64_t until = clock_mono_us() + 3600 * SECOND;

	start_pair(&fast, &slow, *state, "none");
	rate_store_pause(slow.account, until);
	rate_store_pause(slow.account, until - SECOND);
	assert_true(rate_store_news(fast.account, &news));
	assert_true(news.pause_until_us == until);
	assert_true(news.refused_us == 0);
	assert_false(rate_store_news(fast.account, &news));
	stop(&fast);
	stop(&slow);
	/* One that starts later learns of it, too. */
	start(&fast, "fast");
	assert_true(rate_store_news(fast.account, &news));
	assert_true(news.pause_until_us == until);
	fini(&fast);
	fini(&slow);
}

/* ---- processes at work -------------------------------------------------- */

enum { RATE = 2000, TAKEN = 400, WORKERS = 3 };

static void
work(void *ctx, int in, int out)
{
	struct fake_lane *l = ctx;
	char name[32];
	int taken = 0;

	(void)snprintf(name, sizeof(name), "lane%d", (int)getpid());
	start(l, name);
	statedir_tell(out, '.');
	(void)statedir_hear(in);
	while (taken < TAKEN) {
		int64_t now = clock_mono_us();
		int64_t wait = pacer_wait_us(&l->pacer, &one, now, NULL);

		if (wait > 0) {
			struct timespec pause = {0, (long)wait * 1000};

			(void)nanosleep(&pause, NULL);
		} else if (pacer_take(&l->pacer, &one, now)) {
			taken++;
		}
	}
	statedir_tell(out, '.');
}

static void
ratebook_processes_share_one_rate_exactly(void **state)
{
	struct fake_lane l;
	struct statedir_child workers[WORKERS];
	int64_t began;
	double most;

	set_up_lane(&l, *state, "none", "2000/1s");
	for (int i = 0; i < WORKERS; i++) {
		statedir_fork(&workers[i], work, &l);
		assert_int_equal(statedir_hear(workers[i].from), '.');
	}
	began = clock_mono_us();
	for (int i = 0; i < WORKERS; i++)
		statedir_tell(workers[i].to, '.');
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(statedir_hear(workers[i].from), '.');
		(void)statedir_end(&workers[i], 0);
	}
	/* Burst 100, and 10 ms of lateness. */
	most = (double)(clock_mono_us() - began) / 1e6 * (double)RATE + 100 +
	       (double)RATE * 0.010;
	if (WORKERS * TAKEN > most)
		fail_msg("%d taken, at most %.0f", WORKERS * TAKEN, most);
	fini(&l);
}

/* The lowest free descriptor. */
static int
free_descriptor(void)
{
	int fd = dup(STDERR_FILENO);

	assert_true(fd >= 0);
	(void)close(fd);
	return fd;
}

static void
ratebook_forgets_an_account_but_not_what_it_took(void **state)
{
	struct fake_lane l;
	struct rate_account *other;
	char name[32];
	int before;

	set_up_lane(&l, *state, "none", "5/1d!");
	start(&l, "fast");
	assert_int_equal(take_all(&l, 3), 3);
	before = free_descriptor();
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "host%d.example", i);
		other = rate_store_account(l.book, name, clock_mono_us());
		rate_store_forget(l.book, &other);
		assert_null(other);
		assert_int_equal(free_descriptor(), before);
	}
	rate_store_forget(l.book, &l.account);
	l.account = rate_store_account(l.book, account, clock_mono_us());
	assert_int_equal(take_all(&l, 99), 2);
	fini(&l);
}

static int
make_dir(void **state)
{
	log_set_sink(note_warning, NULL);
	*state = statedir_make();
	return 0;
}

static int
remove_dir(void **state)
{
	statedir_remove((char **)state);
	return 0;
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
	    TEST(ratebook_goes_on_where_the_lane_stopped),
	    TEST(ratebook_remembers_what_a_killed_lane_took),
	    TEST(ratebook_limits_of_one_lane_bind_all_that_run),
	    TEST(ratebook_draining_child_makes_way),
	    TEST(ratebook_does_not_hang_on_a_lock),
	    TEST(ratebook_counts_connections),
	    TEST(ratebook_without_directory_counts_alone),
	    TEST(ratebook_forgets_an_account_but_not_what_it_took),
	    TEST(ratebook_less_urgent_lane_is_told_of_a_throttle),
	    TEST(ratebook_dead_lane_is_not_busy),
	    TEST(ratebook_pause_is_told_to_all_and_kept),
	    TEST(ratebook_processes_share_one_rate_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
