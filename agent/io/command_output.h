/* command_output: runs a Postfix command to its end and keeps what it printed.
 *
 * Blocks, so it is for start only. The child inherits no descriptor but its
 * own 0, 1 and 2; its environment is ours.
 *
 * When the system refuses what a run needs (fork, pipe, a descriptor, memory)
 * or takes away what was printed (a read that fails), nothing is known about
 * the command: the output is dropped, and the process' patience decides whether
 * the run is repeated (patience.h). What the command itself says with its exit
 * status is the caller's. A command that asks others may take for ever:
 * command_output_try() ends it.
 */
#ifndef COMMAND_OUTPUT_H
#define COMMAND_OUTPUT_H

#include "common/base/buf.h"

enum {
	COMMAND_OUTPUT_TIMEOUT_MS = 60000,
	COMMAND_OUTPUT_MAX = 64 << 20,
	COMMAND_OUTPUT_ERROR_MAX = 256 << 10,
};

struct command_output_result {
	struct buf out, err; /* out may hold secrets; what is over is lost */
	int status; /* exit status; -1: killed, timed out, not started */
};

/* argv[0] is the path; argv ends with NULL. Always fills *result, for
 * command_output_fini(). When status is -1 without words of the command, err
 * has ours. */
void command_output_run(
    struct command_output_result *result, const char *const *argv);

/* The same with a limit of its own and no repetition when that was reached:
 * what the command had said is kept in err, and ours follows. stdin_fd: what
 * it reads, -1 nothing. */
void command_output_try(struct command_output_result *result,
    const char *const *argv, int stdin_fd, int limit_ms);

/* Wipes and frees. */
void command_output_fini(struct command_output_result *result);

#endif
