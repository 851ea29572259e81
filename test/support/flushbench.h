/* flushbench: a queue directory with a flush(8) of its own, for those that call
 * mail back.
 */
#ifndef FLUSHBENCH_H
#define FLUSHBENCH_H

#include <stddef.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "test/support/daemon.h"

struct flushbench {
	struct loop *loop;
	struct settings set; /* may be changed */
	struct daemon daemon; /* the flush(8) */
	char warning[200]; /* the last line of the log */
	int home_fd;
	char dir[64];
};

/* Works in the queue directory from now on; back again, and it is removed. */
void flushbench_open(struct flushbench *b);
void flushbench_close(struct flushbench *b);

/* Runs the loop once, some milliseconds at most. */
void flushbench_turn(struct flushbench *b);

/* ... until the daemon was asked so often; fails the test (cmocka) after some
 * seconds. */
void flushbench_wait_requests(struct flushbench *b, size_t count);

/* A file of this name in the deferred queue, which the caller removes. */
void flushbench_put_deferred(const char *id);

#endif
