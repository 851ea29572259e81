/* queuefile: the file of one message in the queue, open and share-locked.
 *
 *   active/4F69BA7A8B9   regular, owner rwx (x: complete), flock LOCK_SH
 *
 * The shared lock says that a delivery is under way: whoever wants to remove
 * the message, or a second agent that is to deliver it after a reload, sees
 * it. It lasts until the last copy of the descriptor is closed, forks
 * included. The path is relative: the process runs in the queue directory,
 * chrooted or not.
 *
 * Source: Postfix src/global/mail_open_ok.c, deliver_completed.c,
 * mark_corrupt.c.
 */
#ifndef QUEUEFILE_H
#define QUEUEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { QUEUEFILE_HEAD_MAX = 2048 };

struct queuefile {
	int fd; /* -1: not open */
	/* What was read on the way to the content, octet by octet: may a
	 * recipient begin there? It is locked, so nobody else marks it. */
	size_t head;
	uint8_t is_rcpt[QUEUEFILE_HEAD_MAX / 8];
};

enum queuefile_result {
	QUEUEFILE_OK,
	QUEUEFILE_MISSING, /* removed meanwhile */
	QUEUEFILE_UNSOUND, /* no regular file, or not owner rwx */
	QUEUEFILE_LOCKED, /* somebody holds it exclusively */
	QUEUEFILE_ERROR, /* anything else; errno is kept */
};

/* Opens for reading and marking, without ever waiting. *size_out: octets. */
enum queuefile_result queuefile_open(struct queuefile *file, const char *path,
    int64_t *size_out) __attribute__((warn_unused_result));

/* Closes; the lock falls unless a forked process holds a copy. */
void queuefile_close(struct queuefile *file);

/* record_source's read_at; ctx is a struct queuefile. */
ssize_t queuefile_read_at(void *ctx, char *p, size_t n, int64_t off);

/* R -> D at off. NULL: done; else why not: damage, or the system's words. */
const char *queuefile_mark(struct queuefile *file, int64_t off)
    __attribute__((warn_unused_result));

/* Owner read only: the queue manager moves such a file to corrupt/. Answers as
 * queuefile_mark() does. */
const char *queuefile_mark_corrupt(struct queuefile *file)
    __attribute__((warn_unused_result));

/* For a log line. */
const char *queuefile_result_text(enum queuefile_result result);

#endif
