#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/io/logsink.h"
#include "agent/settings/params.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/scratch.h"

static struct settings set;

static void
set_by_name(const char *name, const char *text)
{
	assert_true(params_set(&set, params_find(name), text, NULL));
}

/* What postlogd(8) does: a datagram socket of that name. */
static int
postlogd(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)unlink(path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Receives one line and checks all but the time: "Mmm dd hh:mm:ss REST". */
static void expect_line(int fd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
expect_line(int fd, const char *format, ...)
{
	char line[4096], rest[4096];
	struct tm tm = {.tm_mday = 0};
	ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	va_list ap;

	assert_true(n > 16);
	line[n] = '\0';
	assert_ptr_equal(strptime(line, "%b %d %H:%M:%S", &tm), line + 15);
	assert_true(line[4] >= '0' && line[4] <= '3');
	va_start(ap, format);
	(void)vsnprintf(rest, sizeof(rest), format, ap);
	va_end(ap);
	assert_string_equal(line + 16, rest);
}

/* The last line of maillog_file. */
static void
expect_end_of_file(const char *text)
{
	char have[4096], want[256];
	FILE *file = fopen(scratch_path("maillog"), "r");
	size_t got, n;

	assert_non_null(file);
	if (fseek(file, -2000, SEEK_END) != 0)
		rewind(file);
	got = fread(have, 1, sizeof(have) - 1, file);
	(void)fclose(file);
	have[got] = '\0';
	(void)snprintf(want, sizeof(want), " host postfix/fast/smtp[%ld]: %s\n",
	    (long)getpid(), text);
	n = strlen(want);
	assert_true(got > n + 15);
	assert_string_equal(have + got - n, want);
	/* a line of its own */
	assert_int_equal(have[got - n - 16], '\n');
}

static void
expect_silence(int fd)
{
	char line[64];

	assert_int_equal(recv(fd, line, sizeof(line), MSG_DONTWAIT), -1);
}

static void
logsink_environment_decides_before_the_configuration(void **state)
{
	const char *path = scratch_path("early");
	int fd = postlogd(path);
	pid_t child;

	(void)state;
	(void)setenv("POSTLOG_SERVICE", path, 1);
	(void)setenv("POSTLOG_HOSTNAME", "mx.example.com", 1);
	(void)setenv("MAIL_LOGTAG", "postfix-out", 1);
	logsink_open("lane", _PATH_LOG, false);
	log_info("hello");
	expect_line(fd, "mx postfix-out/lane[%ld]: hello", (long)getpid());
	/* a lane that drains after a reload */
	child = fork();
	if (child == 0) {
		log_info("a child");
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	expect_line(fd, "mx postfix-out/lane[%ld]: a child", (long)child);
	logsink_close();
	(void)unsetenv("POSTLOG_SERVICE");
	(void)unsetenv("POSTLOG_HOSTNAME");
	(void)unsetenv("MAIL_LOGTAG");
	(void)close(fd);
}

static void
logsink_maillog_file_means_datagrams_to_postlogd(void **state)
{
	long pid = (long)getpid();
	int fd;

	(void)state;
	scratch_write("queue/x", "");
	scratch_write("queue/public/x", "");
	fd = postlogd(scratch_path("queue/public/postlog"));
	logsink_open("lane", _PATH_LOG, false);
	set_by_name("queue_directory", scratch_path("queue"));
	set_by_name("myhostname", "host.example.org");
	set_by_name("syslog_name", "postfix/fast");
	scratch_write("maillog", "first\n");
	set_by_name("maillog_file", scratch_path("maillog"));
	logsink_configure(&set);
	log_info("a line");
	expect_line(fd, "host postfix/fast/smtp[%ld]: a line", pid);
	log_warn("careful");
	expect_line(fd, "host postfix/fast/smtp[%ld]: warning: careful", pid);
	log_error("wrong");
	expect_line(fd, "host postfix/fast/smtp[%ld]: error: wrong", pid);
	expect_silence(fd);

	/* postlogd is started anew under the same name. */
	(void)close(fd);
	(void)unlink(scratch_path("queue/public/postlog"));
	log_info("direct");
	expect_end_of_file("direct");
	fd = postlogd(scratch_path("queue/public/postlog"));
	log_info("found");
	expect_line(fd, "host postfix/fast/smtp[%ld]: found", pid);
	expect_end_of_file("direct");

	/* It is there, but will read no more. */
	logsink_bypass();
	log_info("last");
	expect_silence(fd);
	expect_end_of_file("last");
	logsink_close();
	(void)close(fd);
}

static void
logsink_reconnects_from_the_queue_directory(void **state)
{
	char *old = getcwd(NULL, 0);
	int fd;

	(void)state;
	assert_non_null(old);
	fd = postlogd(scratch_path("queue/public/postlog"));
	logsink_open("lane", _PATH_LOG, false);
	logsink_configure(&set);
	(void)close(fd);
	/* As after chroot: the old path leads nowhere. */
	assert_int_equal(
	    rename(scratch_path("queue"), scratch_path("moved")), 0);
	assert_int_equal(chdir(scratch_path("moved")), 0);
	fd = postlogd("public/postlog");
	log_info("again");
	expect_line(fd, "host postfix/fast/smtp[%ld]: again", (long)getpid());
	logsink_close();
	(void)close(fd);
	assert_int_equal(chdir(old), 0);
	free(old);
}

/* The lines of a receiver that did not read: all, in order. */
static void
expect_numbers(int fd, struct loop *loop, int count)
{
	for (int i = 0; i < count; i++) {
		char line[256];
		const char *at;
		ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

		if (n < 0) {
			loop_once(loop);
			i--;
			continue;
		}
		line[n] = '\0';
		at = strstr(line, "]: ");
		assert_non_null(at);
		assert_int_equal(strtol(at + 3, NULL, 10), i);
	}
}

static void
log_numbers(int from, int count)
{
	for (int i = from; i < from + count; i++)
		log_info("%d", i);
}

static void
logsink_does_not_wait_for_a_receiver_that_stands_still(void **state)
{
	struct loop *loop = loop_new();
	int fd;

	(void)state;
	fd = postlogd(scratch_path("moved/public/postlog"));
	logsink_open("lane", _PATH_LOG, false);
	set_by_name("queue_directory", scratch_path("moved"));
	logsink_configure(&set);
	log_numbers(0, 500);
	logsink_attach(loop);
	log_numbers(500, 3000);
	expect_numbers(fd, loop, 3500);
	expect_silence(fd);
	/* and goes on without the queue */
	log_info("direct");
	expect_line(fd, "host postfix/fast/smtp[%ld]: direct", (long)getpid());
	logsink_attach(NULL);
	logsink_close();
	loop_free(&loop);
	(void)close(fd);
}

static void
logsink_says_at_exit_in_the_file_what_nobody_took(void **state)
{
	int fd;

	(void)state;
	fd = postlogd(scratch_path("moved/public/postlog"));
	logsink_open("lane", _PATH_LOG, false);
	logsink_configure(&set);
	log_numbers(0, 1000);
	log_info("the end");
	logsink_flush(10);
	expect_end_of_file("the end");
	logsink_close();
	(void)close(fd);
}

/* The line behind "<PRI>Mmm dd hh:mm:ss ". */
static void
expect_syslog(int fd, const char *want_priority, const char *want)
{
	char line[512];
	ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	size_t at = strlen(want_priority);

	assert_true(n > (ssize_t)at + 16);
	line[n] = '\0';
	assert_memory_equal(line, want_priority, at);
	assert_string_equal(line + at + 16, want);
}

/* From a child for which /dev/log is the socket of that directory. */
static pid_t
tell_syslog(const char *dev, const char *text)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (unshare(CLONE_NEWNS) != 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount(dev, "/dev", NULL, MS_BIND, NULL) != 0)
			_exit(1);
		logsink_tell_syslog(text);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return child;
}

static void
logsink_tells_syslog_what_postlogd_may_not_have(void **state)
{
	char want[128];
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	scratch_write("dev/x", "");
	fd = postlogd(scratch_path("dev/log"));
	set_by_name("maillog_file", scratch_path("maillog"));
	logsink_open("lane", _PATH_LOG, false);
	logsink_configure(&set);
	(void)snprintf(want, sizeof(want),
	    "postfix/fast/smtp[%ld]: fatal: no such directory",
	    (long)tell_syslog(scratch_path("dev"), "no such directory"));
	expect_syslog(fd, "<18>", want);
	/* Where lines go to syslog at any rate, one is enough. */
	logsink_close();
	set_by_name("maillog_file", "");
	logsink_open("lane", scratch_path("dev/log"), false);
	logsink_configure(&set);
	(void)tell_syslog(scratch_path("dev"), "no such directory");
	expect_silence(fd);
	logsink_close();
	(void)close(fd);
}

static void
logsink_speaks_to_syslog_without_waiting(void **state)
{
	struct loop *loop = loop_new();
	const char *path = scratch_path("log");
	char want[128];
	int fd = postlogd(path);

	(void)state;
	set_by_name("maillog_file", "");
	logsink_open("lane", path, false);
	logsink_configure(&set);
	log_warn("careful");
	(void)snprintf(want, sizeof(want),
	    "postfix/fast/smtp[%ld]: warning: careful", (long)getpid());
	expect_syslog(fd, "<20>", want);
	logsink_attach(loop);
	log_numbers(0, 1000);
	expect_numbers(fd, loop, 1000);

	/* It is started anew: what was said meanwhile is not lost. */
	(void)close(fd);
	(void)unlink(path);
	log_numbers(0, 3);
	fd = postlogd(path);
	expect_numbers(fd, loop, 3);
	logsink_attach(NULL);
	logsink_close();
	loop_free(&loop);
	(void)close(fd);
}

/* A busy lane: one more line every few milliseconds. */
struct talker {
	struct loop_timer *timer;
	int count;
};

static void
talk(void *ctx)
{
	struct talker *t = ctx;

	log_info("%d", t->count++);
	loop_timer_at(t->timer, clock_mono_ms() + 5);
}

static void
logsink_finds_its_receiver_again_however_much_is_said(void **state)
{
	struct loop *loop = loop_new();
	const char *path = scratch_path("log");
	struct talker t = {loop_timer_new(loop, talk, &t), 0};
	char line[256];
	int fd;

	(void)state;
	logsink_open("lane", path, false);
	logsink_configure(&set);
	logsink_attach(loop);
	(void)unlink(path);
	talk(&t);
	fd = postlogd(path);
	while (recv(fd, line, sizeof(line), MSG_DONTWAIT) < 0) {
		loop_once(loop);
		assert_true(t.count < 2000);
	}
	assert_non_null(strstr(line, "]: 0"));
	loop_timer_free(&t.timer);
	logsink_attach(NULL);
	logsink_close();
	loop_free(&loop);
	(void)close(fd);
}

static void
logsink_knows_the_facilities(void **state)
{
	(void)state;
	assert_int_equal(logsink_facility("mail"), LOG_MAIL);
	assert_int_equal(logsink_facility("local7"), LOG_LOCAL7);
	assert_int_equal(logsink_facility("mark"), -1);
	assert_int_equal(logsink_facility(""), -1);
}

static int
setup(void **state)
{
	(void)state;
	params_init(&set);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		logsink_environment_decides_before_the_configuration),
	    cmocka_unit_test(logsink_maillog_file_means_datagrams_to_postlogd),
	    cmocka_unit_test(logsink_reconnects_from_the_queue_directory),
	    cmocka_unit_test(
		logsink_does_not_wait_for_a_receiver_that_stands_still),
	    cmocka_unit_test(logsink_says_at_exit_in_the_file_what_nobody_took),
	    cmocka_unit_test(logsink_speaks_to_syslog_without_waiting),
	    cmocka_unit_test(logsink_tells_syslog_what_postlogd_may_not_have),
	    cmocka_unit_test(
		logsink_finds_its_receiver_again_however_much_is_said),
	    cmocka_unit_test(logsink_knows_the_facilities),
	};

	return cmocka_run_group_tests_name("logsink", tests, setup, teardown);
}
