/* spawn: runs a program of the operator's, without waiting for it.
 *
 * No shell: the line is split at blanks, its first word is an absolute path.
 * The program gets the environment given and nothing else, /dev/null as 0, 1
 * and 2, no other descriptor, a session of its own and "/" as its directory;
 * it runs as who we are. One at a time, the others wait; one that takes too
 * long is killed with all of its process group. What it returns is logged
 * when it is not 0.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"

enum {
	SPAWN_QUEUE_MAX = 32, /* the oldest that waits is dropped */
	SPAWN_WORDS_MAX = 64, /* of the command; the rest is left out */
};

struct spawn;

/* Before chroot: opens /dev/null. The text is copied. */
struct spawn *spawn_new(
    struct loop *loop, const char *command, int64_t limit_ms);

/* A program that still runs is left alone. */
void spawn_free(struct spawn **spawn);

/* env: "NAME=value" up to a NULL; copied. */
void spawn_run(struct spawn *spawn, const char *const *env);

/* In a forked child: what the parent started is no child of ours. */
void spawn_drain(struct spawn *spawn);

/* Running and waiting. */
size_t spawn_pending(const struct spawn *spawn);

#endif
