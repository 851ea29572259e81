/* state_directory: lane_state_directory, made and judged before it is used.
 *
 * Names of files in it tell of accounts, and what is in them is believed: it
 * must be mail_owner's, and nobody else may write to it or to what leads there.
 */
#ifndef STATE_DIRECTORY_H
#define STATE_DIRECTORY_H

#include "agent/engine/settings.h"

enum state_directory {
	STATE_DIRECTORY_OK,
	/* The lane goes on without what is kept there. */
	STATE_DIRECTORY_UNUSABLE,
	/* Somebody else's: the parameter is wrong. */
	STATE_DIRECTORY_FOREIGN,
};

/* As root: makes lane_state_directory, 0700 and owned by mail_owner, by a way
 * that only root and mail_owner can change (safepath.h), and checks it. Of one
 * that was there, owner and mode are changed only when it is empty and was
 * root's alone. Unless OK, a line in *error_out (caller frees). */
enum state_directory state_directory_make(
    const struct settings *set, char **error_out);

#endif
