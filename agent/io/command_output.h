/* helper: runs a Postfix command to its end and keeps what it printed.
 *
 * Blocks, so it is for start only. The child inherits no descriptor but its
 * own 0, 1 and 2; its environment is ours.
 */
#ifndef COMMAND_OUTPUT_H
#define COMMAND_OUTPUT_H

#include <stdbool.h>

#include "common/base/buf.h"

enum {
	HELPER_TIMEOUT_MS = 60000,
	HELPER_OUTPUT_MAX = 64 << 20,
	HELPER_ERROR_MAX = 256 << 10,
};

struct helper_result {
	struct buf out, err; /* out may hold secrets; what is over is lost */
	int status; /* exit status; -1: killed, timed out, not started */
};

/* argv[0] is the path; argv ends with NULL. Always fills *result, for
 * helper_fini(). When status is -1 without words of the command, err has
 * ours. */
void helper_run(struct helper_result *result, const char *const *argv);

/* Wipes and frees. */
void helper_fini(struct helper_result *result);

#endif
