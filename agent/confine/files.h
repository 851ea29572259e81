/* files: which files a process may open, make and remove from now on (Landlock,
 * landlock(7)), whatever their permissions say.
 *
 *   begin -> allow ... -> enter
 *
 * What is not allowed fails with EACCES. Names are looked up when they are
 * allowed, as the process sees them then (after chroot); what is open stays
 * open, with the rights it was opened with. Not covered: looking at a file
 * (stat), sockets with a name, changing mode, owner or times. Where the kernel
 * can (5.13 has files; 6.2 truncate, 6.10 ioctls of devices, 6.12 the last),
 * also: no signals to processes outside, no sockets with abstract names of
 * theirs. It holds for children, too, and cannot be taken off.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>

enum files_right {
	FILES_READ = 1 << 0, /* files, names in directories */
	FILES_WRITE = 1 << 1, /* what is there; nothing is cut */
	FILES_MAKE = 1 << 2, /* make, cut, rename and remove files there */
};

struct files;

/* without_tcp: nor is any TCP connection made or waited for but by sockets that
 * are connected or bound already (6.7). NULL with errno: ENOSYS or EOPNOTSUPP:
 * this kernel has no Landlock, or it was not switched on. */
struct files *files_begin(bool without_tcp);

/* A file, or all that is below a directory. True: it is there and allowed. */
bool files_allow(struct files *files, const char *path, unsigned rights);
bool files_allow_fd(struct files *files, int fd, unsigned rights);

/* Reading the directory that a file is really in, when links lead there. */
void files_allow_home_of(struct files *files, const char *path);

/* Frees. 0, or an errno and nothing is limited. Privileges cannot be won any
 * more (PR_SET_NO_NEW_PRIVS). */
int files_enter(struct files **files);

void files_free(struct files **files);

#endif
