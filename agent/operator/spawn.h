/* spawn: has the operator's program run, by a runner, without waiting for it.
 *
 * One at a time, the others wait; what a program returns is logged when it is
 * not 0. Goes on as it is in a forked child whose parent has left.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"

enum {
	SPAWN_QUEUE_MAX = 32, /* the oldest that waits is dropped */
};

struct spawn;

/* Takes fd, a runner's (runner.h), or -1: there is none. command, for the log:
 * copied. */
struct spawn *spawn_new(
    struct loop *loop, int fd, const char *command, int64_t limit_ms);

/* A program that still runs is left to its runner. */
void spawn_free(struct spawn **spawn);

/* values: of the runner's variables, up to a NULL; copied. */
void spawn_run(struct spawn *spawn, const char *const *values);

/* Running and waiting. */
size_t spawn_pending(const struct spawn *spawn);

#endif
