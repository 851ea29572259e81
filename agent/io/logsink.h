/* logsink: where log lines go: syslog(3), or postlogd(8) as maillog_file says.
 *
 *   syslog      "<22>Aug  5 09:15:00 TAG[PID]: text", to /dev/log, which is
 *               opened at once; one that is no datagram socket is left to
 *               syslog(3), which waits
 *   postlogd    "Aug 05 09:15:00 HOST TAG[PID]: text", one datagram per line,
 *               to public/postlog. When nobody has the socket any more
 *               (postfix stop), the line is appended to maillog_file, which
 *               was opened at start
 *
 * Mail never waits for the log: lines that the receiver does not take are kept,
 * in order, and sent when it does, up to 8 MB (256 kB while there is nobody).
 * What is beyond that is lost, and a line says how many. At exit the receiver
 * gets one more second; then what is for postlogd goes into the file.
 *
 * TAG is syslog_name "/" program word, e.g. postfix/smtp. Before the
 * configuration is read the environment decides (MAIL_LOGTAG,
 * POSTLOG_SERVICE, POSTLOG_HOSTNAME). Opened before chroot. One per process,
 * as log.h has one sink.
 */
#ifndef LOGSINK_H
#define LOGSINK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"

/* From the environment; installs the sink. with_stderr: copies too (-V). */
void logsink_open(
    const char *program, const char *syslog_path, bool with_stderr);

/* Tag, facility and way as configured. Call it with the privileges of start,
 * before chroot. An unknown syslog_facility is a problem of config. */
void logsink_configure(const struct settings *set);

/* From now on the loop looks after lines that are kept; NULL: no more, and
 * before it is freed. Without it each line tries to send those before it. */
void logsink_attach(struct loop *loop);

/* Lines that were lost since logsink_open(). */
uint64_t logsink_lost(void);

/* A fatal line to syslog, in addition: for a process that ends before it knows
 * where its log is. */
void logsink_tell_syslog(const char *text);

/* Waits so long for the receiver to take what is kept. Called at exit. */
void logsink_flush(int wait_ms);

/* SIGTERM, which postlogd got too: the lines of the last seconds would lie
 * unread in its socket, so from now on they go into the file themselves. */
void logsink_bypass(void);

/* Back to log.h's own sink; what is kept is dropped. At exit it is done by
 * itself, and the receiver is waited for before. */
void logsink_close(void);

/* Facility number of a name ("mail", "local0"), -1 if there is none. */
int logsink_facility(const char *name);

#endif
