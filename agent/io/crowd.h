/* crowd: many descriptors, each watched for reading until it is closed.
 *
 * loop_unwatch() costs a system call, which is for nothing where close() comes
 * next: the kernel forgets a descriptor that is closed, if no other process has
 * a copy. Those of a crowd are in an epoll set of their own, which the loop
 * watches as one descriptor. Level-triggered, like the loop.
 *
 * fn may add and close any of them; a call may come for nothing.
 */
#ifndef CROWD_H
#define CROWD_H

#include "agent/io/loop.h"

struct crowd;

/* fn(ctx of the descriptor): octets or an end are there to be read. */
struct crowd *crowd_new(struct loop *loop, loop_fn *fn);
/* Not from fn. Descriptors that are still in it stay open. */
void crowd_free(struct crowd **crowd);

/* ctx is not NULL. What the kernel has no memory for is watched by the loop,
 * which tries again. */
void crowd_add(struct crowd *crowd, int fd, void *ctx);

/* Closes *fd, which is in the crowd, and sets it to -1; for -1 nothing. */
void crowd_close(struct crowd *crowd, int *fd);

/* This process was forked and has the descriptors together with its parent, so
 * that closing them is not enough. */
void crowd_share(struct crowd *crowd);

#endif
