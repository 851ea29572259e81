#include "agent/logsink.h"

#define SYSLOG_NAMES /* facilitynames[] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

enum { DATAGRAM_MAX = LOG_LINE_MAX + 512 };

/* Belongs to log.h's sink, the one mutable global of the program. */
static struct {
	char *tag; /* syslog(3) keeps the pointer */
	char *host; /* first label, for postlogd */
	char *path; /* of postlogd's socket; NULL: syslog */
	char *path_in_queue; /* "public/postlog" */
	int fd;
	int file_fd; /* maillog_file, for when postlogd is gone; or -1 */
	int facility;
	bool is_direct; /* postlogd is going */
	bool with_stderr;
} sink = {.fd = -1, .file_fd = -1, .facility = LOG_MAIL};

int
logsink_facility(const char *name)
{
	for (const CODE *c = facilitynames; c->c_name != NULL; c++)
		if (strcmp(c->c_name, name) == 0 && c->c_val != INTERNAL_MARK)
			return c->c_val;
	return -1;
}

static void
disconnect(void)
{
	if (sink.fd >= 0)
		(void)close(sink.fd);
	sink.fd = -1;
}

static bool
connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (path == NULL || strlen(path) >= sizeof(addr.sun_path))
		return false;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	disconnect();
	sink.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sink.fd < 0)
		return false;
	if (connect(sink.fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return true;
	disconnect();
	return false;
}

/* After chroot or for mail_owner only the way from the queue directory, which
 * is the working directory then, may be open. */
static bool
reconnect(void)
{
	return connect_to(sink.path) || connect_to(sink.path_in_queue);
}

static bool
send_line(const char *text, size_t n)
{
	return sink.fd >= 0 && send(sink.fd, text, n, MSG_NOSIGNAL) >= 0;
}

static void
to_postlogd(const char *line)
{
	char text[DATAGRAM_MAX], stamp[32];
	struct timeval now = clock_wall();
	struct tm tm;
	int n;

	(void)localtime_r(&now.tv_sec, &tm);
	(void)strftime(stamp, sizeof(stamp), "%b %d %H:%M:%S", &tm);
	n = snprintf(text, sizeof(text), "%s %s %s[%ld]: %s", stamp, sink.host,
	    sink.tag, (long)getpid(), line);
	if (n >= (int)sizeof(text) - 1)
		n = (int)sizeof(text) - 2;
	/* postlogd is started anew at its own pace: one more try each line. */
	if (!(sink.is_direct && sink.file_fd >= 0) &&
	    (send_line(text, (size_t)n) ||
		(reconnect() && send_line(text, (size_t)n))))
		return;
	/* postfix stop: master has taken the socket with it. What is finished
	 * in those last seconds belongs into the log all the same. */
	text[n] = '\n';
	if (sink.file_fd >= 0)
		(void)!write(sink.file_fd, text, (size_t)n + 1);
}

static int
priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_DEBUG:
	case LOG_LEVEL_INFO:
		return LOG_INFO;
	case LOG_LEVEL_WARN:
		return LOG_WARNING;
	case LOG_LEVEL_ERROR:
		return LOG_ERR;
	case LOG_LEVEL_FATAL:
	case LOG_LEVEL_PANIC:
		break;
	}
	return LOG_CRIT;
}

static void
write_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (sink.with_stderr)
		(void)fprintf(
		    stderr, "%s[%ld]: %s\n", sink.tag, (long)getpid(), line);
	if (sink.path != NULL)
		to_postlogd(line);
	else
		syslog(sink.facility | priority(level), "%s", line);
}

/* Replaces *to by text, owned; NULL allowed. */
static void
set(char **to, char *text)
{
	mem_free(*to);
	*to = text;
}

static void
set_host(const char *name)
{
	set(&sink.host, mem_strndup(name, strcspn(name, ".")));
}

/* Opens syslog at once: /dev/log is out of reach after chroot. */
static void
open_syslog(void)
{
	closelog();
	openlog(sink.tag, LOG_PID | LOG_NDELAY, sink.facility);
}

/* syslog(3) keeps the old pointer until it is opened again. */
static void
set_tag(const char *name, const char *program)
{
	char *old = sink.tag;

	sink.tag = mem_printf("%s/%s", name, program);
	open_syslog();
	mem_free(old);
}

void
logsink_open(const char *program, bool with_stderr)
{
	const char *tag = getenv("MAIL_LOGTAG");
	const char *service = getenv("POSTLOG_SERVICE");
	const char *host = getenv("POSTLOG_HOSTNAME");

	sink.with_stderr = with_stderr;
	tzset();
	set_host(host != NULL ? host : "localhost");
	if (service != NULL && *service != '\0') {
		set(&sink.path, mem_strdup(service));
		(void)connect_to(sink.path);
	}
	set_tag(tag != NULL && *tag != '\0' ? tag : "postfix", program);
	log_set_sink(write_line, NULL);
}

/* A log that is there and is a file: not /dev/stdout, which is not ours. */
static int
open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static void
close_file(void)
{
	if (sink.file_fd >= 0)
		(void)close(sink.file_fd);
	sink.file_fd = -1;
}

void
logsink_configure(const struct settings *settings)
{
	int facility = logsink_facility(settings->syslog_facility);

	sink.facility = facility >= 0 ? facility : LOG_MAIL;
	set_host(settings->myhostname);
	set(&sink.path, NULL);
	set(&sink.path_in_queue, NULL);
	disconnect();
	close_file();
	if (*settings->maillog_file != '\0') {
		set(&sink.path_in_queue,
		    mem_printf("public/%s", settings->postlog_service_name));
		set(&sink.path, mem_printf("%s/%s", settings->queue_directory,
				    sink.path_in_queue));
		(void)connect_to(sink.path);
		sink.file_fd = open_file(settings->maillog_file);
	}
	set_tag(settings->syslog_name, settings->lane_log_name);
}

void
logsink_bypass(void)
{
	sink.is_direct = true;
}

void
logsink_close(void)
{
	sink.is_direct = false;
	log_set_sink(NULL, NULL);
	closelog();
	disconnect();
	close_file();
	set(&sink.tag, NULL);
	set(&sink.host, NULL);
	set(&sink.path, NULL);
	set(&sink.path_in_queue, NULL);
	sink.facility = LOG_MAIL;
	sink.with_stderr = false;
}
