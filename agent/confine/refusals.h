/* refusals: system calls that this process was not allowed, told in its log.
 *
 * A call that is refused ends in SIGSYS (seccomp(2), SECCOMP_RET_TRAP). The
 * handler lets the call fail with EPERM, or with ENOSYS where the call is newer
 * than what the filter has names for, since libc then falls back to an older
 * one, and notes its number. The line comes from the loop:
 *
 *   warning: sandbox: system call NAME was refused
 *
 * once for each call in the life of a process. There is one for the process.
 */
#ifndef REFUSALS_H
#define REFUSALS_H

#include <stdbool.h>

#include "agent/io/loop.h"

/* A handler can only let a call fail where we know the register that it
 * returns in; elsewhere the filter itself must answer, and the kernel's log
 * tells. */
bool refusals_can_answer(void);

/* Before the filter. newest: the highest number that has a name. False, with
 * errno, when there is no descriptor for it. Without a loop the numbers are
 * kept for refusals_next(). */
bool refusals_catch(struct loop *loop, int newest);

/* The next call that was refused and not told yet; -1: none. */
int refusals_next(void);

/* Before the loop's end. The filter stays; what it refuses is not told. */
void refusals_forget(void);

#endif
