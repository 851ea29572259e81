#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/logsink.h"
#include "agent/params.h"
#include "common/log.h"
#include "test/unit/scratch.h"

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

	(void)state;
	(void)setenv("POSTLOG_SERVICE", path, 1);
	(void)setenv("POSTLOG_HOSTNAME", "mx.example.com", 1);
	(void)setenv("MAIL_LOGTAG", "postfix-out", 1);
	logsink_open("lane", false);
	log_info("hello");
	expect_line(fd, "mx postfix-out/lane[%ld]: hello", (long)getpid());
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
	logsink_open("lane", false);
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
	logsink_open("lane", false);
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
	    cmocka_unit_test(logsink_knows_the_facilities),
	};

	return cmocka_run_group_tests_name("logsink", tests, setup, teardown);
}
