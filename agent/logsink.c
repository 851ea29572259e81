#include "agent/logsink.h"

#define SYSLOG_NAMES /* facilitynames[] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
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
	int facility;
	bool with_stderr;
} sink = {.fd = -1, .facility = LOG_MAIL};

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
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	if (sink.fd < 0 && !reconnect())
		return;
	/* postlogd is started anew at its own pace: one more try each line. */
	if (send(sink.fd, text, (size_t)n, MSG_NOSIGNAL) < 0 &&
	    (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTCONN ||
		errno == ECONNRESET) &&
	    reconnect())
		(void)send(sink.fd, text, (size_t)n, MSG_NOSIGNAL);
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

void
logsink_configure(const struct settings *settings)
{
	int facility = logsink_facility(settings->syslog_facility);

	sink.facility = facility >= 0 ? facility : LOG_MAIL;
	set_host(settings->myhostname);
	set(&sink.path, NULL);
	set(&sink.path_in_queue, NULL);
	disconnect();
	if (*settings->maillog_file != '\0') {
		set(&sink.path_in_queue,
		    mem_printf("public/%s", settings->postlog_service_name));
		set(&sink.path, mem_printf("%s/%s", settings->queue_directory,
				    sink.path_in_queue));
		(void)connect_to(sink.path);
	}
	set_tag(settings->syslog_name, settings->lane_log_name);
}

void
logsink_close(void)
{
	log_set_sink(NULL, NULL);
	closelog();
	disconnect();
	set(&sink.tag, NULL);
	set(&sink.host, NULL);
	set(&sink.path, NULL);
	set(&sink.path_in_queue, NULL);
	sink.facility = LOG_MAIL;
	sink.with_stderr = false;
}
