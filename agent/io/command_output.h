/* command_output: runs a Postfix command to its end and keeps what it printed.
 *
 * Blocks, so it is for start only. The child inherits no descriptor but its
 * own 0, 1 and 2; its environment is ours.
 */
#ifndef COMMAND_OUTPUT_H
#define COMMAND_OUTPUT_H

#include <stdbool.h>

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

/* Wipes and frees. */
void command_output_fini(struct command_output_result *result);

#endif
