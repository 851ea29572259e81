/* statefile: opening and locking the files that lanes share.
 *
 * They live in lane_state_directory, which belongs to mail_owner, but nothing
 * found there is trusted: no symbolic link is followed, a file must be a
 * regular one of ours that nobody else may write. Locks are those of the open
 * file description (F_OFD_SETLK): a forked child shares its parent's, they
 * fall with the last descriptor, and two open()s in one process exclude each
 * other. Errors are values: -1 or false, with one line of text in error.
 */
#ifndef STATEFILE_H
#define STATEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The directory as it was found at start: after chroot its path leads
 * nowhere, and what the system tells of this boot is out of reach. */
struct statefile_dir {
	int fd;
	uint64_t boot; /* statefile_boot() */
	bool is_new; /* made so lately that nobody can have used it before */
};

/* False with fd -1: error. */
bool statefile_dir_open(
    struct statefile_dir *d, const char *dir, char *error, size_t n);
void statefile_dir_close(struct statefile_dir *d);

/* The directory: ours or root's, not writable by others, by a way that is safe
 * (safepath.h). Root may use any user's, and acts as that user then. -1:
 * error. */
int statefile_open_dir(const char *dir, char *error, size_t n);

/* Opens, or makes, a file of the directory; mode 0600, close-on-exec. It
 * must be ours; for root, the directory's owner's. */
int statefile_open(int dir_fd, const char *name, char *error, size_t n);

/* False: the name leads to another file by now, or to none. */
bool statefile_is_named(int dir_fd, const char *name, int fd);

/* Removes a file that was not changed for age_s and that nobody has open (by
 * statefile_open(), forked children included), if may() says yes (NULL: yes).
 * Who opens it at the same time has it before, or gets a new one. */
bool statefile_remove_if(int dir_fd, const char *name, int64_t age_s,
    bool (*may)(void *ctx, int fd), void *ctx);

/* Gives an empty file its size and its blocks at once: a full disk is an
 * error here and not a SIGBUS later. */
bool statefile_allocate(int fd, size_t size, char *error, size_t n);

/* A write lock on one octet. wait_ms 0: only try. Waiting is bounded, since
 * the holder may be stopped. */
bool statefile_lock(int fd, off_t octet, int wait_ms);
void statefile_unlock(int fd, off_t octet);

/* Sets map[i] for each octet from + i below end that somebody else holds,
 * and leaves the others as they are. */
void statefile_locked_map(int fd, off_t from, off_t end, bool *map);
bool statefile_is_locked(int fd, off_t octet);

bool statefile_read(int fd, void *p, size_t n, off_t at);
bool statefile_write(int fd, const void *p, size_t n, off_t at);
/* Why the last of these two failed: damage, or the system's words. */
const char *statefile_why(void);

/* Names this boot of the machine: monotonic times mean nothing in another. */
uint64_t statefile_boot(void);

#endif
