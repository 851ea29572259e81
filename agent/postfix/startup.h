/* startup: how a program begins that master(8) starts, before it has a loop.
 *
 *   begin (log, descriptors) -> read settings -> open state
 *
 * What the system refuses for the moment (descriptors, processes, memory) may
 * be over in a second or in an hour, and until then master has no better
 * process than this one: it is waited for, with a line each minute, and the
 * process ends when master is gone or wants it gone. All of it runs as root and
 * may block.
 */
#ifndef STARTUP_H
#define STARTUP_H

#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/postfix/master.h"
#include "agent/settings/options.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider_set.h"
#include "agent/state/anonymizer.h"
#include "agent/state/state_directory.h"
#include "agent/state/statefile.h"

struct startup {
	int argc;
	char **argv;
	struct options opt;
	struct problems problems;
	struct settings set;
	struct anonymizer *anonymizer; /* since the settings were read */
	struct master *master;
	struct statefile_dir state; /* its fd is -1: there is none */
	int64_t told_ms; /* why it cannot start yet; 0: not */
};

/* Logs as log_name until the settings say otherwise. argv is borrowed. Ends the
 * process when it is not master's child. */
void startup_begin(
    struct startup *s, const char *log_name, int argc, char **argv);

/* Fills opt, problems, set and *provider (may be NULL), see config_load(). What
 * is wrong with the settings is left in problems; a main.cf that cannot be read
 * at all, which postconf(1) is asked some times, ends the process: not even the
 * queue directory is known then. */
void startup_read_settings(struct startup *s, struct provider_set *provider);

/* For programs that are no lane: log_name is theirs in the log from the next
 * logsink_configure() on, unless an -o says lane_log_name. */
void startup_set_log_name(struct startup *s, const char *log_name);

/* Those from the one numbered `from`, to the log as Postfix words them. The
 * process stays: see problems.h. */
void startup_log_problems(const struct startup *s, size_t from);

/* Makes and opens lane_state_directory. Unless OK, *error_out (caller frees)
 * says why there is none; for want of descriptors or memory it is waited for:
 * a lane without it counts its connections and rates alone for as long as it
 * lives. */
enum state_directory startup_open_state(struct startup *s, char **error_out);

/* The same for programs that do without one: why there is none is a warning. */
void startup_try_state(struct startup *s);

/* For a copy of the process that goes on by itself (runner.h): true when its
 * privileges are those of the program at work. startup: struct startup. */
bool startup_drop_privileges(void *startup);

/* Tells why it cannot start yet, with what errno says, once a minute, and waits
 * a second; ends the process when master is gone or wants it gone. */
void startup_wait(struct startup *s, const char *why);

void startup_fini(struct startup *s);

#endif
