/* master: what master(8) expects of its child.
 *
 *   fd 3, 4   flow control pipe of cleanup and qmgr: not ours, closed
 *   fd 5      status channel; end of file: reload, stop, or master is gone
 *   fd 6...   listening sockets, one for a unix service, non-blocking
 *
 * A status message is 12 octets in host byte order: pid, generation (octal in
 * the environment's GENERATION), 0 taken or 1 available. One process with
 * limit 1 sends both once, after its first accept: master then counts a use
 * and does not throttle the service should the process die.
 */
#ifndef MASTER_H
#define MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/settings/options.h"

enum {
	MASTER_FLOW_READ = 3,
	MASTER_FLOW_WRITE = 4,
	MASTER_STATUS_FD = 5,
	MASTER_LISTEN_FD = 6,
};

enum master_state { MASTER_TAKEN = 0, MASTER_AVAIL = 1 };

struct master_status {
	int32_t pid;
	uint32_t generation;
	int32_t state;
};

struct master;

/* Checks what was inherited and sets close-on-exec on all of it. NULL when
 * this process was not started by master; *error_out (caller frees) then
 * says so, and nothing was closed. Nothing is written yet. */
struct master *master_open(const struct options *opt, char **error_out);

/* Frees the object; the descriptors stay open. */
void master_close(struct master **master);

/* First listening socket. */
int master_listen_fd(const struct master *master);

/* Tells master; errors are logged, there is nothing else to do. */
void master_taken(struct master *master);
void master_avail(struct master *master);

/* Calls fn once, from the loop, when the status channel is closed. */
void master_watch(
    struct master *master, struct loop *loop, loop_fn *fn, void *ctx);

/* After fork, in the draining child: closes status channel and listening
 * sockets, and forgets about them. */
void master_detach(struct master *master);

/* For a start that has to be tried again: waits so long. False, at once, when
 * master is gone or wants this process gone. */
bool master_pause(int wait_ms);

/* Passwords are in memory, from the first table on: nobody but root may look,
 * and no core file is to hold them. */
void master_hide_memory(void);

/* Raises the soft limit of descriptors to the hard one. */
void master_raise_limits(void);

/* chdir to queue_directory, umask 077, chroot with -c, mail_owner with -u;
 * every path is relative to the queue directory afterwards. With -u nothing
 * executed later has more privileges (no_new_privs, no capabilities). On error
 * false, a line in *error_out (caller frees), and the process must exit. */
bool master_drop_privileges(
    const struct settings *set, const struct options *opt, char **error_out);

#endif
