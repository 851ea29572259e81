/* safepath: the way to a directory that root is to make files in.
 *
 * Every component but the last is looked at as it is walked through: a
 * directory belongs to root or to one user, the same all along (mail_owner),
 * and nobody else may write to it, unless it is sticky, as /tmp is; a symbolic
 * link belongs to root. Nobody else can then lead the way elsewhere.
 */
#ifndef SAFEPATH_H
#define SAFEPATH_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

struct safepath {
	int fd; /* O_PATH, of the directory above */
	char last[NAME_MAX + 1]; /* in it; not looked at, may not exist */
	uid_t user; /* who but root owns a part of the way; 0: nobody */
};

/* Fills *out; its fd is the caller's. -1: error, one line of n octets. */
int safepath_walk(
    struct safepath *out, const char *path, char *error, size_t n);

#endif
