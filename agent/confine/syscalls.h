/* syscalls: the system calls that are left to a process (seccomp(2), by
 * libseccomp, which knows the numbers of each architecture).
 *
 * Two lists, by name. *Denied* are calls that no part of this program makes,
 * and that have led out of other programs: tracing and other processes' memory,
 * mounts, namespaces, keys, modules, bpf, io_uring, userfaultfd, user and group
 * ids, new programs (execve). *Allowed* are those that its work takes,
 * some with limits on their arguments; all that is in neither list is new or of
 * no use here.
 *
 *   SYSCALLS_ALLOWED  what is not allowed fails with EPERM, and is told in
 *                     the log (refusals.h)
 *   SYSCALLS_DENIED   what is denied fails so; what is in neither list is
 *                     done, and the kernel's log tells (auditctl -m, dmesg:
 *                     "type=1326 ... syscall=NUMBER")
 *
 * A call of another architecture (int 0x80 on x86_64) fails in both. Filters
 * hold for threads, children and whatever they execute, and cannot be taken
 * off.
 */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <stdbool.h>

#include "agent/io/loop.h"

enum syscalls_mode { SYSCALLS_ALLOWED, SYSCALLS_DENIED };

/* What a process needs beyond files, clocks, memory and sockets it has. */
enum syscalls_need {
	SYSCALLS_INET = 1 << 0, /* sockets of IPv4 and IPv6 of its own */
	SYSCALLS_FORK = 1 << 1, /* a copy of itself, not a program */
	SYSCALLS_THREADS = 1 << 2, /* libcurl looks names up in one */
	SYSCALLS_MAKE_FILES = 1 << 3, /* rename, fchmod, fchown (of root) */
};

struct syscalls;

/* The filter, made by a child that lives for a moment. needs: of enum
 * syscalls_need. NULL, with errno, when it cannot be made; EAGAIN: the child
 * died. */
struct syscalls *syscalls_compile(enum syscalls_mode mode, unsigned needs);

/* From here on it holds, and privileges cannot be won (PR_SET_NO_NEW_PRIVS).
 * Takes the filter. loop: tells refusals; may be NULL. 0, or an errno: ENOSYS:
 * the kernel has no filters. */
int syscalls_enter(struct syscalls **syscalls, struct loop *loop);

#endif
