/* alarm: tells the operator that a lane has stopped, and that it goes again.
 *
 *   raise ─► [raised, untold] ─► told: log, lane_alert_url, ..._command
 *   clear ─► [cleared, told]  ─► told likewise
 *
 * An alarm is what is wrong (alarm_kind.h) at which smarthost. It is told at
 * once when it begins and when it ends; while it lasts, and is raised again,
 * once in lane_alert_interval. One that comes back soon after its end waits a
 * little (ALARM_PAUSE_MS), and all alarms together are told ALARM_PER_MINUTE
 * times a minute; what waits is told later if it still holds then, so that the
 * last word is always true. Nothing here blocks.
 *
 * What is known is kept for the lane's next process (alarm_store.h): an alarm
 * is told once, and its end once, whichever process meets it.
 *
 * The URL gets, as application/json:
 *   {"event": "alarm" or "clear", "lane": ..., "smarthost": ..., "what": ...,
 *    "reply": the server's words, "host": myhostname, "time": RFC 3339}
 * The command gets the same in LANE_EVENT, LANE_NAME, LANE_SMARTHOST,
 * LANE_WHAT, LANE_REPLY, LANE_HOST and LANE_TIME. The time is that of the
 * event, however late it is told. Texts are printable UTF-8 and cut.
 */
#ifndef ALARM_H
#define ALARM_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/alarm_kind.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/alarm_store.h"
#include "agent/state/board_writer.h"

enum {
	ALARM_PER_MINUTE = 10,
	ALARM_PAUSE_MS = 300000, /* and at most lane_alert_interval */
	ALARM_COMMAND_MS = 30000, /* then the command is killed */
};

struct alarm;

/* Before a password is in memory: forks the process that runs
 * lane_alert_command, if there is one (runner.h has begin and ctx). False with
 * errno: it cannot be started. */
bool alarm_start_runner(const struct settings *set, bool (*begin)(void *ctx),
    void *ctx, int *fd_out);

/* As root and before chroot: reads the authorities for https. Never NULL; set
 * is borrowed, runner_fd taken. Without URL and command alarms are logged
 * only. */
struct alarm *alarm_new(struct loop *loop, const struct settings *set,
    const char *lane_name, int runner_fd);
void alarm_free(struct alarm **alarm);

/* Goes on from what the lane's last process knew, and keeps what is known from
 * now on. Before anything is raised; as mail_owner, dir as in alarm_store.h. */
void alarm_keep(struct alarm *a, const struct statefile_dir *dir);

/* Raising what is raised, and clearing what is not, is harmless and cheap:
 * call them for every refusal and every success. reply holds no secrets. */
void alarm_raise(struct alarm *a, enum alarm_kind kind, const char *smarthost,
    const char *reply);
void alarm_clear(struct alarm *a, enum alarm_kind kind, const char *smarthost);

/* As alarm_raise(), on the word of another host of the fleet: whoever recalls
 * it has yet to find out whether it holds here. What was raised for what
 * happened here stays so. */
void alarm_doubt(struct alarm *a, enum alarm_kind kind, const char *smarthost,
    const char *reply);

bool alarm_is_raised(
    const struct alarm *a, enum alarm_kind kind, const char *smarthost);
/* ... by alarm_doubt() alone. */
bool alarm_is_doubt(
    const struct alarm *a, enum alarm_kind kind, const char *smarthost);

/* Those that are raised now, up to max; how many. Texts are borrowed, until
 * the next call for the alarm. */
size_t alarm_show(
    const struct alarm *a, struct board_writer_alarm *rows, size_t max);

/* How many are raised now. */
size_t alarm_count(const struct alarm *a);

/* Not yet delivered or given up, by URL and command together. */
size_t alarm_pending(const struct alarm *a);

/* In a forked child that finishes what is under way: alarms are the affair of
 * the process that takes over, nothing is told any more. */
void alarm_drain(struct alarm *a);

#endif
