/* Timers, deferred work and signals of the loop, and the fork that keeps
 * them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/io/loop.h"
#include "common/base/clock.h"

struct world {
	struct loop *loop;
	struct loop_timer *limit;
	int signals;
	int64_t fired_ms;
};

static void
on_signal(void *ctx)
{
	struct world *w = ctx;

	w->signals++;
	loop_stop(w->loop);
}

static void
on_timer(void *ctx)
{
	struct world *w = ctx;

	w->fired_ms = clock_mono_ms();
	loop_stop(w->loop);
}

static int
setup(void **state)
{
	static struct world w;

	w = (struct world){.loop = loop_new()};
	w.limit = loop_timer_new(w.loop, on_timer, &w);
	loop_on_signal(w.loop, SIGTERM, on_signal, &w);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	loop_timer_free(&w->limit);
	loop_free(&w->loop);
	return 0;
}

/* How often the child was told of the signal within two seconds. */
static int
signals_of_child(struct world *w, const sigset_t *mask)
{
	pid_t pid = loop_fork(w->loop);
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (mask != NULL)
			(void)sigprocmask(SIG_SETMASK, mask, NULL);
		loop_timer_at(w->limit, clock_mono_ms() + 2000);
		if (w->signals == 0)
			loop_run(w->loop);
		_exit(w->signals);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
loop_fork_hands_out_a_signal_that_was_caught_before(void **state)
{
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(signals_of_child(*state, NULL), 1);
}

static void
loop_fork_passes_on_a_signal_that_is_pending(void **state)
{
	struct world *w = *state;
	sigset_t term, before;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	/* stands for one that arrives just before the fork */
	(void)sigprocmask(SIG_BLOCK, &term, &before);
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(signals_of_child(w, &before), 1);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	loop_run(w->loop);
	assert_int_equal(w->signals, 1);
}

static void
loop_in_a_forked_child_keeps_timers_and_signals(void **state)
{
	struct world *w = *state;
	int status = 0;
	pid_t pid;

	loop_timer_at(w->limit, clock_mono_ms() + 20);
	pid = loop_fork(w->loop);
	assert_true(pid >= 0);
	if (pid == 0) {
		loop_run(w->loop);
		_exit(w->fired_ms > 0 ? 7 : 8);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void
loop_timer_never_fires_before_its_time(void **state)
{
	struct world *w = *state;
	int64_t due = clock_mono_ms() + 15;

	loop_timer_at(w->limit, due);
	loop_run(w->loop);
	assert_true(w->fired_ms >= due);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		loop_fork_hands_out_a_signal_that_was_caught_before, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(
		loop_fork_passes_on_a_signal_that_is_pending, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		loop_in_a_forked_child_keeps_timers_and_signals, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(
		loop_timer_never_fires_before_its_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
