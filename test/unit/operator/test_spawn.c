#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/operator/runner.h"
#include "agent/operator/spawn.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/scratch.h"

enum { LIMIT_MS = 5000, SOON_MS = 50 };

static struct loop *loop;
static struct spawn *spawn;
static char logged[8192], found[8192];
static const char *const names[] = {"LANE_REPLY", NULL};
static const char *const no_reply[] = {"", NULL};
static int kept_fd; /* the lane's end of the runner's socket */

static void
keep(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	(void)ctx;
	(void)level;
	(void)snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static int
set_up(void **state)
{
	(void)state;
	logged[0] = '\0';
	log_set_sink(keep, NULL);
	loop = loop_new();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	spawn_free(&spawn);
	loop_free(&loop);
	(void)unlink(scratch_path("out"));
	log_set_sink(NULL, NULL);
	return 0;
}

static void
run_by_runner(const char *command, int64_t limit_ms)
{
	struct runner_plan plan = {
	    .command = command, .names = names, .limit_ms = limit_ms};

	kept_fd = runner_start(&plan);
	assert_true(kept_fd >= 0);
	spawn = spawn_new(loop, kept_fd, command, limit_ms);
}

/* A script of this text becomes the program; "arguments" follow its name. */
static void
open_spawn(const char *script, const char *arguments, int64_t limit_ms)
{
	char line[512];

	scratch_write("program", script);
	assert_int_equal(chmod(scratch_path("program"), 0700), 0);
	(void)snprintf(
	    line, sizeof(line), "%s %s", scratch_path("program"), arguments);
	run_by_runner(line, limit_ms);
}

static void
on_late(void *ctx)
{
	*(bool *)ctx = true;
}

static void
wait_done(void)
{
	bool is_late = false;
	struct loop_timer *t = loop_timer_new(loop, on_late, &is_late);

	loop_timer_at(t, clock_mono_ms() + 10000);
	while (spawn_pending(spawn) > 0 && !is_late)
		loop_once(loop);
	loop_timer_free(&t);
	assert_false(is_late);
}

/* What the program wrote to "out". */
static const char *
output(void)
{
	int fd = open(scratch_path("out"), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	found[0] = '\0';
	if (fd < 0)
		return found;
	n = read(fd, found, sizeof(found) - 1);
	found[n > 0 ? n : 0] = '\0';
	(void)close(fd);
	return found;
}

static void
spawn_passes_words_and_environment_as_they_are(void **state)
{
	static const char *const values[] = {
	    "550 $(id) `id`; rm \"x\" 'y'", NULL};
	char script[256];

	(void)state;
	(void)snprintf(script, sizeof(script),
	    "#!/bin/sh\nprintf '%%s|' \"$@\" \"$LANE_REPLY\" \"$HOME\" $PWD "
	    ">%s\n",
	    scratch_path("out"));
	open_spawn(script, " --to  $HOME\t*;id ", LIMIT_MS);
	(void)setenv("HOME", "/somewhere", 1);
	spawn_run(spawn, values);
	wait_done();
	assert_string_equal(
	    output(), "--to|$HOME|*;id|550 $(id) `id`; rm \"x\" 'y'||/|");
	assert_string_equal(logged, "");
}

static void
spawn_closes_all_descriptors(void **state)
{
	char script[256];
	int fd = open("/", O_RDONLY | O_DIRECTORY); /* not close-on-exec */

	(void)state;
	(void)snprintf(script, sizeof(script),
	    "#!/bin/sh\nexec 9>%s\nfor i in 0 1 2; do "
	    "readlink /proc/self/fd/$i; done >&9\n"
	    "for i in 3 4 5 6 7 8; do [ -e /proc/$$/fd/$i ] && echo open:$i; "
	    "done >&9\nexit 0\n",
	    scratch_path("out"));
	assert_true(fd >= 3 && fd < 9);
	open_spawn(script, "", LIMIT_MS);
	spawn_run(spawn, no_reply);
	wait_done();
	(void)close(fd);
	/* readlink's own 1 is the file */
	assert_non_null(strstr(output(), "/dev/null\n"));
	assert_null(strstr(found, "open:"));
}

static void
spawn_runs_one_at_a_time(void **state)
{
	static const char *const first[] = {"1", NULL};
	static const char *const second[] = {"2", NULL};
	char script[256];

	(void)state;
	(void)snprintf(script, sizeof(script),
	    "#!/bin/sh\necho begin $LANE_REPLY >>%s\n"
	    "read x </dev/null\necho end $LANE_REPLY >>%s\n",
	    scratch_path("out"), scratch_path("out"));
	open_spawn(script, "", LIMIT_MS);
	spawn_run(spawn, first);
	spawn_run(spawn, second);
	assert_int_equal(spawn_pending(spawn), 2);
	wait_done();
	assert_string_equal(output(), "begin 1\nend 1\nbegin 2\nend 2\n");
}

static void
spawn_kills_what_takes_too_long_with_its_children(void **state)
{
	int64_t began_ms = clock_mono_ms();
	char *end;
	pid_t child;

	(void)state;
	scratch_write("fifo-is-made-here", "");
	assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
	/* Opening a fifo that nobody writes to waits for ever. */
	open_spawn("#!/bin/sh\ncd ${0%/*}\ncat fifo &\necho $! >out\nwait\n",
	    "", SOON_MS);
	spawn_run(spawn, no_reply);
	while (strchr(output(), '\n') == NULL &&
	       clock_mono_ms() - began_ms < 10000 && spawn_pending(spawn) > 0)
		loop_once(loop);
	wait_done();
	assert_true(clock_mono_ms() - began_ms < LIMIT_MS);
	assert_non_null(strstr(logged, "killed"));
	/* Killed before it wrote, or its child is dead as well. */
	child = (pid_t)strtol(output(), &end, 10);
	while (child > 0 && kill(child, 0) == 0 &&
	       clock_mono_ms() - began_ms < 10000) {
		char path[64], what[64] = "";
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		(void)!read(fd, what, sizeof(what) - 1);
		(void)close(fd);
		if (strstr(what, ") Z ") != NULL)
			break;
	}
	assert_true(clock_mono_ms() - began_ms < 10000);
	(void)unlink(scratch_path("fifo"));
}

static void
spawn_says_what_a_program_returned(void **state)
{
	(void)state;
	open_spawn("#!/bin/sh\nexit 3\n", "", LIMIT_MS);
	spawn_run(spawn, no_reply);
	wait_done();
	assert_non_null(strstr(logged, "exit status 3"));
}

static void
spawn_says_when_there_is_no_such_program(void **state)
{
	(void)state;
	run_by_runner("/no/such/program with words", LIMIT_MS);
	spawn_run(spawn, no_reply);
	wait_done();
	assert_non_null(strstr(logged, "cannot run /no/such/program: No such"));
}

static void
spawn_drops_the_oldest_of_too_many(void **state)
{
	(void)state;
	open_spawn("#!/bin/sh\nexit 0\n", "", LIMIT_MS);
	for (int i = 0; i < SPAWN_QUEUE_MAX + 4; i++)
		spawn_run(spawn, no_reply);
	assert_int_equal(spawn_pending(spawn), SPAWN_QUEUE_MAX + 1);
	assert_non_null(strstr(logged, "one is dropped"));
	wait_done();
}

/* The parent of a draining lane leaves at once: the answer is the child's. */
static void
spawn_goes_on_in_a_forked_child(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	open_spawn("#!/bin/sh\necho x >>${0%/*}/out\n", "", LIMIT_MS);
	spawn_run(spawn, no_reply);
	pid = loop_fork(loop);
	assert_true(pid >= 0);
	if (pid == 0) {
		spawn_run(spawn, no_reply);
		while (spawn_pending(spawn) > 0)
			loop_once(loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(output(), "x\nx\n");
}

static void
spawn_tells_that_its_runner_is_gone(void **state)
{
	(void)state;
	open_spawn("#!/bin/sh\nkill -9 $PPID\n", "", LIMIT_MS);
	spawn_run(spawn, no_reply);
	spawn_run(spawn, no_reply);
	wait_done();
	assert_non_null(strstr(logged, "the process that runs "));
	logged[0] = '\0';
	spawn_run(spawn, no_reply);
	assert_int_equal(spawn_pending(spawn), 0);
	assert_non_null(strstr(logged, "there is no process for it"));
}

/* What a lane that is not its own any more may try. */
static void
runner_refuses_other_variables_and_no_text(void **state)
{
	static const char *const requests[] = {"a\0LD_PRELOAD=/x", "a"};
	static const size_t sizes[] = {17, 1};
	struct runner_result result;

	(void)state;
	open_spawn("#!/bin/sh\necho $LD_PRELOAD >${0%/*}/out\n", "", LIMIT_MS);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
		    send(kept_fd, requests[i], sizes[i], 0), sizes[i]);
		assert_int_equal(
		    recv(kept_fd, &result, sizeof(result), 0), sizeof(result));
		assert_int_equal(result.end, RUNNER_FAILED);
		assert_int_equal(result.value, EBADMSG);
	}
	assert_string_equal(output(), "");
}

static void
runner_does_not_take_a_text_that_is_too_long(void **state)
{
	static char text[RUNNER_REQUEST_MAX + 1];
	const char *values[] = {text, NULL};

	(void)state;
	open_spawn("#!/bin/sh\nexit 0\n", "", LIMIT_MS);
	memset(text, 'x', sizeof(text) - 1);
	assert_false(runner_ask(kept_fd, values));
	assert_int_equal(errno, EMSGSIZE);
}

static void
runner_ends_with_those_it_works_for_and_not_by_a_signal(void **state)
{
	char octet;

	(void)state;
	/* The shell's parent is the runner. */
	open_spawn(
	    "#!/bin/sh\nkill -TERM $PPID\nkill -INT $PPID\n", "", LIMIT_MS);
	spawn_run(spawn, no_reply);
	wait_done();
	spawn_run(spawn, no_reply);
	wait_done();
	assert_string_equal(logged, "");
	assert_int_equal(shutdown(kept_fd, SHUT_WR), 0);
	assert_int_equal(recv(kept_fd, &octet, 1, 0), 0);
}

static bool
refuse(void *ctx)
{
	(void)ctx;
	return false;
}

static void
runner_that_cannot_give_up_its_rights_runs_nothing(void **state)
{
	struct runner_plan plan = {.command = "/bin/true",
	    .names = names,
	    .limit_ms = LIMIT_MS,
	    .begin = refuse};

	(void)state;
	spawn = spawn_new(loop, runner_start(&plan), plan.command, LIMIT_MS);
	spawn_run(spawn, no_reply);
	wait_done();
	assert_non_null(strstr(logged, "lane_alert_command: "));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(spawn_passes_words_and_environment_as_they_are),
	    TEST(spawn_closes_all_descriptors),
	    TEST(spawn_runs_one_at_a_time),
	    TEST(spawn_kills_what_takes_too_long_with_its_children),
	    TEST(spawn_says_what_a_program_returned),
	    TEST(spawn_says_when_there_is_no_such_program),
	    TEST(spawn_drops_the_oldest_of_too_many),
	    TEST(spawn_goes_on_in_a_forked_child),
	    TEST(spawn_tells_that_its_runner_is_gone),
	    TEST(runner_refuses_other_variables_and_no_text),
	    TEST(runner_does_not_take_a_text_that_is_too_long),
	    TEST(runner_ends_with_those_it_works_for_and_not_by_a_signal),
	    TEST(runner_that_cannot_give_up_its_rights_runs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
