/* procs: processes that share state files, switched, stopped and killed at any
 * of their calls.
 *
 * Each process is a coroutine of this one, and runs the real code on real
 * files: locks of open file descriptions tell them apart as they tell real
 * processes. The program is linked so that the functions of
 * agent/state/statefile, close() and the monotonic clock are those of procs.c,
 * which call the real ones and make a choice before: the process goes on, is
 * killed there (its descriptors are closed, and nothing else is done), is
 * stopped for some seconds, or another goes on first. Time passes only while
 * all of them wait.
 */
#ifndef PROCS_H
#define PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/model/explore.h"

enum { PROCS_MAX = 3 };

struct procs_ops {
	void (*run)(void *ctx, size_t number); /* what the process does */
	/* It ended, or was killed: its descriptors are closed. */
	void (*on_gone)(void *ctx, size_t number);
	void (*check)(void *ctx); /* after each call of a process */
};

void procs_begin(struct explore *x, const struct procs_ops *ops, void *ctx);
void procs_end(void);

/* Runs so many processes until each has ended or was killed; false: they
 * waited for longer than patience_ms. */
bool procs_run(size_t count, int64_t patience_ms);

/* Within a process: it waits for something, and looks again when the others
 * have done what they can, and time has passed if all wait. */
void procs_wait(void);

/* Within a process: may it be stopped from now on? Not while it makes a file
 * that the others need to begin: they say so, and count for themselves. */
void procs_may_stop(bool may);

/* Between calls of the process. */
void procs_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void procs_tell(bool is_told);

/* How often one was stopped in this run. */
size_t procs_stops(void);

int64_t procs_now_ms(void);
void procs_pass(int64_t ms);

/* How many calls were made in all runs. */
uint64_t procs_calls(void);

#endif
