/* confine: after its start a process can do what its work needs, and nothing
 * else, whoever may have got hold of it meanwhile.
 *
 * lane_sandbox says how far that goes:
 *
 *   yes  files: Landlock, with the list that was made between begin and enter;
 *        system calls: the list of those allowed (syscalls.h)
 *   log  files as before; system calls: those denied fail, what is not
 *        allowed is done, and in the kernel's log
 *   no   neither. mail_owner, no_new_privs and no capabilities hold always:
 *        postfix/master.
 *
 * What the kernel cannot do is told in one line, and the rest is done. What
 * memory, descriptors or processes were short for while the lists are made is
 * tried again (agent/io/patience); without patience, and later, it ends the
 * process: none goes on for that with less of a sandbox.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

#include "agent/confine/files.h"
#include "agent/confine/syscalls.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"

struct confine {
	const struct settings *set;
	struct loop *loop;
	struct files *files; /* NULL: no rules are needed */
	struct syscalls *syscalls; /* NULL: likewise */
};

/* Allows reading what libraries open when they need it: /etc, /usr, where
 * resolv.conf and its like are, the kernel's files that libc looks at. set and
 * loop are borrowed. needs: enum syscalls_need. After chroot, and while a
 * process may still be started: the filter of system calls is made here. */
void confine_begin(struct confine *c, const struct settings *set,
    struct loop *loop, unsigned needs);

/* More. False: it is not there. Without c->files nothing is to be done. */
bool confine_allow(struct confine *c, const char *path, unsigned rights);
void confine_allow_fd(struct confine *c, int fd, unsigned rights);

/* Reading the directory that a file is really in. */
void confine_allow_home_of(struct confine *c, const char *path);

/* A directory of certificates, which are links as a rule: reading it, and the
 * directories that the links lead to. */
void confine_allow_links(struct confine *c, const char *path);

/* Logs what cannot be had. */
void confine_enter(struct confine *c);

/* Before the loop's end: what is refused from then on is not told. */
void confine_end(void);

#endif
