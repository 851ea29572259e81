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
	int64_t fired_ms, due_ms;
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

struct order {
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *timers[3];
	char done[16];
	size_t count;
};

static void
note(struct order *o, char what)
{
	assert_true(o->count < sizeof(o->done) - 1);
	o->done[o->count++] = what;
}

static void
on_third(void *ctx)
{
	note(ctx, '3');
}

static void
on_second(void *ctx)
{
	struct order *o = ctx;

	note(o, '2');
	loop_timer_soon(o->timers[2]);
}

static void
on_first(void *ctx)
{
	note(ctx, '1');
}

static void
on_readable(void *ctx, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	note(ctx, 'r');
}

static void
put_off(void *ctx)
{
	struct order *o = ctx;

	note(o, 'd');
	loop_timer_soon(o->timers[1]);
}

/* What is readable all the time is so in each turn, once. */
static void
on_long_turn(void *ctx)
{
	struct world *w = ctx;
	int64_t began_ms = clock_mono_ms();

	while (clock_mono_ms() < began_ms + 20)
		;
	w->due_ms = clock_mono_ms() + 5;
	loop_timer_at(w->limit, w->due_ms);
}

/* However long the callback has taken that sets it. */
static void
loop_timer_of_a_long_turn_fires_no_sooner(void **state)
{
	struct world *w = *state;
	struct loop_timer *t = loop_timer_new(w->loop, on_long_turn, w);

	loop_timer_at(t, clock_mono_ms() + 1);
	loop_run(w->loop);
	assert_true(w->due_ms > 0);
	assert_true(w->fired_ms >= w->due_ms);
	loop_timer_free(&t);
}

static void
loop_timer_soon_fires_before_the_next_event(void **state)
{
	static loop_fn *const fns[] = {on_first, on_second, on_third};
	struct world *w = *state;
	struct order o = {.loop = w->loop};
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "", 1), 1);
	o.watch = loop_watch(w->loop, fds[0], on_readable, &o);
	loop_want(o.watch, true, false);
	for (int i = 0; i < 3; i++)
		o.timers[i] = loop_timer_new(w->loop, fns[i], &o);
	loop_defer(w->loop, put_off, &o);
	loop_once(w->loop);
	assert_string_equal(o.done, "rd23");
	/* Nor does it wait for an event; who thinks better of it is not
	 * called. */
	loop_want(o.watch, false, false);
	loop_timer_soon(o.timers[0]);
	loop_timer_soon(o.timers[1]);
	loop_timer_cancel(o.timers[0]);
	loop_once(w->loop);
	assert_string_equal(o.done, "rd2323");
	loop_timer_soon(o.timers[0]);
	loop_timer_at(o.timers[0], clock_mono_ms() + 3600000);
	loop_timer_soon(o.timers[1]);
	loop_timer_free(&o.timers[1]);
	loop_defer(w->loop, on_first, &o);
	loop_once(w->loop);
	assert_string_equal(o.done, "rd23231");
	loop_timer_free(&o.timers[0]);
	loop_timer_free(&o.timers[2]);
	loop_unwatch(&o.watch);
	close(fds[0]);
	close(fds[1]);
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
	    cmocka_unit_test_setup_teardown(
		loop_timer_of_a_long_turn_fires_no_sooner, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		loop_timer_soon_fires_before_the_next_event, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
