/* Nothing here waits for the receiver. A line it does not take is kept, and all
 * after it behind it:
 *
 *   line ---> [queue] ---> socket     taken at once, when nothing is queued
 *               |   full:  the loop tells when there is room (or a timer)
 *               |   gone:  connect anew; postlogd only: append to the file
 *               '-> bounded: "N log lines lost"
 */
#include "agent/io/logsink.h"

#define SYSLOG_NAMES /* facilitynames[] */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "agent/io/logqueue.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	DATAGRAM_MAX = LOG_LINE_MAX + 512,
	/* Half a minute of a busy lane for a receiver that stands still; for
	 * one that is gone, the time it takes to be started anew. */
	KEPT_FULL_BYTES = 8 << 20,
	KEPT_GONE_BYTES = 256 << 10,
	RETRY_FULL_MS = 20,
	RETRY_GONE_MS = 1000,
	EXIT_WAIT_MS = 1000,
	PANIC_WAIT_MS = 200,
};

enum sent { SENT, FULL, GONE };

/* Belongs to log.h's sink, the one mutable global of the program. */
static struct {
	char *tag; /* syslog(3) keeps the pointer */
	char *host; /* first label, for postlogd */
	char *path; /* of postlogd's socket; NULL: syslog */
	const char *syslog_path;
	bool is_stream; /* a syslogd of old: left to syslog(3) */
	char *path_in_queue; /* "public/postlog" */
	int fd;
	int file_fd; /* maillog_file, for when postlogd is gone; or -1 */
	int facility;
	bool is_direct; /* postlogd is going */
	bool with_stderr;
	bool is_open, has_exit;
	long pid; /* of this process: each line has it */
	time_t stamp_s; /* the time that stamp says; 0: none */
	char stamp[32];
	enum sent last;
	struct logqueue queue;
	struct loop *loop; /* may be NULL: then each line looks again */
	struct loop_fd *watch;
	struct loop_timer *timer;
	int64_t timer_ms; /* when it fires; 0: not set */
} sink = {
    .syslog_path = _PATH_LOG,
    .fd = -1,
    .file_fd = -1,
    .facility = LOG_MAIL,
};

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
	loop_unwatch(&sink.watch);
	if (sink.fd >= 0)
		(void)close(sink.fd);
	sink.fd = -1;
}

static bool
connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int error;

	if (path == NULL || strlen(path) >= sizeof(addr.sun_path))
		return false;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	disconnect();
	sink.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sink.fd < 0)
		return false;
	if (connect(sink.fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return true;
	error = errno;
	disconnect();
	errno = error;
	return false;
}

/* After chroot or for mail_owner only the way from the queue directory, which
 * is the working directory then, may be open. */
static bool
reconnect(void)
{
	if (sink.path == NULL)
		return connect_to(sink.syslog_path);
	return connect_to(sink.path) || connect_to(sink.path_in_queue);
}

static enum sent
send_once(struct slice line)
{
	ssize_t n;

	if (sink.fd < 0)
		return GONE;
	do {
		n = send(sink.fd, line.p, line.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	/* A line too long for the receiver would be so next time. */
	if (n >= 0 || errno == EMSGSIZE)
		return SENT;
	return errno == EAGAIN || errno == ENOBUFS ? FULL : GONE;
}

static bool
to_file(struct slice line)
{
	char newline[] = "\n";
	union {
		const char *in;
		char *out;
	} text = {line.p};
	struct iovec parts[] = {{text.out, line.n}, {newline, 1}};

	return sink.path != NULL && sink.file_fd >= 0 &&
	       writev(sink.file_fd, parts, 2) >= 0;
}

static enum sent
send_line(struct slice line)
{
	enum sent how = GONE;

	if (!(sink.is_direct && sink.file_fd >= 0)) {
		how = send_once(line);
		/* It is started anew at its own pace: one more try. */
		if (how == GONE && reconnect())
			how = send_once(line);
	}
	/* postfix stop: master has taken the socket with it. What is finished
	 * in those last seconds belongs into the log all the same. */
	return how == GONE && to_file(line) ? SENT : how;
}

/* True: some went. */
static bool
send_queued(void)
{
	struct slice line;
	bool is_any = false;

	while (logqueue_first(&sink.queue, &line)) {
		sink.last = send_line(line);
		if (sink.last != SENT)
			break;
		logqueue_pop(&sink.queue);
		is_any = true;
	}
	return is_any;
}

static void on_room(void *ctx, bool readable, bool writable);

/* Never later than it is set already: a busy lane has a new line before it
 * fires, every time. */
static void
set_timer(int64_t wait_ms)
{
	int64_t at_ms = clock_mono_ms() + wait_ms;

	if (sink.timer_ms != 0 && sink.timer_ms <= at_ms)
		return;
	sink.timer_ms = at_ms;
	loop_timer_at(sink.timer, at_ms);
}

/* To be woken up when there may be room. Kernels that call a full socket
 * writable must not keep us busy: then the timer does it. */
static void
look_later(bool may_watch)
{
	if (sink.loop == NULL || logqueue_is_empty(&sink.queue))
		return;
	if (sink.last != FULL || !may_watch || sink.fd < 0) {
		set_timer(sink.last == FULL ? RETRY_FULL_MS : RETRY_GONE_MS);
		return;
	}
	if (sink.watch == NULL)
		sink.watch = loop_watch(sink.loop, sink.fd, on_room, NULL);
	loop_want(sink.watch, false, true);
}

static void
on_room(void *ctx, bool readable, bool writable)
{
	(void)ctx;
	(void)readable;
	(void)writable;
	loop_want(sink.watch, false, false);
	look_later(send_queued());
}

static void
on_retry(void *ctx)
{
	(void)ctx;
	sink.timer_ms = 0;
	(void)send_queued();
	look_later(true);
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

/* A child logs as itself. */
static void
note_pid(void)
{
	sink.pid = (long)getpid();
}

/* "Nov 28 19:35:00", made anew each second. */
static const char *
stamp(void)
{
	struct timeval now = clock_wall();
	struct tm tm;

	if (now.tv_sec == sink.stamp_s)
		return sink.stamp;
	sink.stamp_s = now.tv_sec;
	(void)localtime_r(&now.tv_sec, &tm);
	(void)strftime(sink.stamp, sizeof(sink.stamp),
	    sink.path != NULL ? "%b %d %H:%M:%S" : "%b %e %H:%M:%S", &tm);
	return sink.stamp;
}

/* The line as the receiver wants it; its length. */
static size_t
render(char *text, size_t size, enum log_level level, const char *line)
{
	size_t length = strlen(line), at;
	int n;

	if (sink.path != NULL)
		n = snprintf(text, size, "%s %s %s[%ld]: ", stamp(), sink.host,
		    sink.tag, sink.pid);
	else
		n = snprintf(text, size,
		    "<%d>%s %s[%ld]: ", sink.facility | priority(level),
		    stamp(), sink.tag, sink.pid);
	at = n < (int)size ? (size_t)n : size - 1;
	if (length > size - at)
		length = size - at;
	memcpy(text + at, line, length);
	return at + length;
}

static size_t
render_lost(char *text, size_t size, uint64_t lost)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "warning: %llu log lines lost",
	    (unsigned long long)lost);
	return render(text, size, LOG_LEVEL_WARN, line);
}

static void
keep(struct slice line)
{
	logqueue_put(&sink.queue, line,
	    sink.last == FULL ? KEPT_FULL_BYTES : KEPT_GONE_BYTES);
	/* Without the loop nobody else looks. */
	if (sink.loop == NULL || sink.is_direct)
		(void)send_queued();
	else
		look_later(true);
}

static void
write_line(void *ctx, enum log_level level, const char *line)
{
	char text[DATAGRAM_MAX];
	struct slice whole;

	(void)ctx;
	if (sink.with_stderr)
		(void)fprintf(
		    stderr, "%s[%ld]: %s\n", sink.tag, sink.pid, line);
	if (sink.path == NULL && sink.is_stream) {
		syslog(sink.facility | priority(level), "%s", line);
		return;
	}
	whole = slice_of(text, render(text, sizeof(text), level, line));
	if (!logqueue_is_empty(&sink.queue)) {
		keep(whole);
	} else {
		sink.last = send_line(whole);
		if (sink.last != SENT)
			keep(whole);
	}
	if (level == LOG_LEVEL_PANIC)
		logsink_flush(PANIC_WAIT_MS);
}

void
logsink_flush(int wait_ms)
{
	int64_t end_ms = clock_mono_ms() + wait_ms;
	struct slice line;

	if (!sink.is_open)
		return;
	(void)send_queued();
	while (!logqueue_is_empty(&sink.queue) && sink.last == FULL &&
	       clock_mono_ms() < end_ms) {
		(void)poll(NULL, 0, 1);
		(void)send_queued();
	}
	while (logqueue_first(&sink.queue, &line) && to_file(line))
		logqueue_pop(&sink.queue);
}

static void
end_log(void)
{
	logsink_flush(EXIT_WAIT_MS);
	logsink_close();
}

void
logsink_attach(struct loop *loop)
{
	CHECK(loop == NULL || sink.is_open);
	loop_unwatch(&sink.watch);
	if (sink.loop != NULL)
		loop_timer_free(&sink.timer);
	sink.loop = loop;
	sink.timer_ms = 0;
	if (loop == NULL)
		return;
	sink.timer = loop_timer_new(loop, on_retry, NULL);
	look_later(true);
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
	sink.is_stream = false;
	if (sink.path != NULL || connect_to(sink.syslog_path) ||
	    errno != EPROTOTYPE)
		return;
	sink.is_stream = true;
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
logsink_open(const char *program, const char *syslog_path, bool with_stderr)
{
	const char *tag = getenv("MAIL_LOGTAG");
	const char *service = getenv("POSTLOG_SERVICE");
	const char *host = getenv("POSTLOG_HOSTNAME");

	if (!sink.is_open)
		logqueue_init(&sink.queue, render_lost);
	sink.is_open = true;
	note_pid();
	if (!sink.has_exit &&
	    (atexit(end_log) != 0 || pthread_atfork(NULL, NULL, note_pid) != 0))
		log_fatal("out of memory");
	sink.has_exit = true;
	sink.syslog_path = syslog_path;
	sink.with_stderr = with_stderr;
	tzset();
	sink.stamp_s = 0;
	set_host(host != NULL ? host : "localhost");
	if (service != NULL && *service != '\0') {
		set(&sink.path, mem_strdup(service));
		(void)connect_to(sink.path);
	}
	set_tag(tag != NULL && *tag != '\0' ? tag : "postfix", program);
	log_set_sink(write_line, NULL);
}

uint64_t
logsink_lost(void)
{
	return sink.queue.lost_total;
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

	CHECK(sink.is_open);
	/* What was said so far is worded for the receiver so far. */
	logsink_flush(EXIT_WAIT_MS);
	logqueue_fini(&sink.queue);
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
	sink.stamp_s = 0;
	set_tag(settings->syslog_name, settings->lane_log_name);
}

void
logsink_tell_syslog(const char *text)
{
	/* Otherwise it is there already. */
	if (sink.path == NULL)
		return;
	openlog(sink.tag, LOG_PID | LOG_NDELAY, sink.facility);
	syslog(LOG_CRIT, "fatal: %s", text);
	closelog();
}

void
logsink_bypass(void)
{
	sink.is_direct = true;
	(void)send_queued();
}

void
logsink_close(void)
{
	if (sink.is_open)
		logqueue_fini(&sink.queue);
	sink.is_open = false;
	logsink_attach(NULL);
	sink.is_direct = false;
	sink.is_stream = false;
	sink.last = SENT;
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
