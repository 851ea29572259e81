/* logsink: where log lines go: syslog(3), or postlogd(8) as maillog_file says.
 *
 *   syslog      TAG[PID]: text, facility mail, opened at once (LOG_NDELAY)
 *   postlogd    "Aug 05 09:15:00 HOST TAG[PID]: text", one datagram per line,
 *               to public/postlog; a lost datagram is lost. When nobody
 *               has the socket any more (postfix stop), the line is appended
 *               to maillog_file, which was opened at start
 *
 * TAG is syslog_name "/" program word, e.g. postfix/smtp. Before the
 * configuration is read the environment decides (MAIL_LOGTAG,
 * POSTLOG_SERVICE, POSTLOG_HOSTNAME). Opened before chroot. One per process,
 * as log.h has one sink.
 */
#ifndef LOGSINK_H
#define LOGSINK_H

#include <stdbool.h>

#include "agent/settings.h"

/* From the environment; installs the sink. with_stderr: copies too (-V). */
void logsink_open(const char *program, bool with_stderr);

/* Tag, facility and way as configured. Call it with the privileges of start,
 * before chroot. An unknown syslog_facility is a problem of config. */
void logsink_configure(const struct settings *set);

/* SIGTERM, which postlogd got too: the lines of the last seconds would lie
 * unread in its socket, so from now on they go into the file themselves. */
void logsink_bypass(void);

/* Back to log.h's own sink (tests). */
void logsink_close(void);

/* Facility number of a name ("mail", "local0"), -1 if there is none. */
int logsink_facility(const char *name);

#endif
