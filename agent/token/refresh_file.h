/* refresh_file: the refresh token of one NAME, kept through whatever happens.
 *
 *   slot 0 of 16,384 octets | slot 1 of 16,384 octets
 *   "refresh-token SERIAL DIGEST TOKEN" LF, blanks up to the end of the slot
 *
 * A server that gives another refresh token with each answer may take back the
 * old one at once, so the new one is on the disk before the access token that
 * came with it is used. It is written to the slot that does not hold, and
 * fsync()ed; the slot with the higher serial whose digest (SHA-256 of serial
 * and token) is right holds. Killed at any instant, by a signal or by a failing
 * power supply, the file has the old token or the new one, whole.
 *
 * A file of one line that is a token and nothing else is one that an
 * administrator wrote; it is taken as slot 0 with serial 0.
 *
 * Written in place and not by rename(): who opened it as root can write when
 * the privileges are gone, no directory must be writable for that, no process
 * has to stay root, and, as the slots are allocated when it is opened, a full
 * disk cannot lose a token.
 *
 * The descriptor is locked (flock) while it is read or written, since
 * "lane token NAME --login" writes, too. From the question to the storing of
 * its answer it is held (a lock of another kind): of two processes that follow
 * each other at a reload, one would use up the other's token.
 */
#ifndef TOKEN_REFRESH_FILE_H
#define TOKEN_REFRESH_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum { REFRESH_SLOT = 16384, REFRESH_TOKEN_MAX = 16000 };

enum refresh_result {
	REFRESH_OK,
	REFRESH_NONE, /* nothing was stored yet */
	REFRESH_BAD, /* errno says why; EILSEQ: what is there is no token */
	REFRESH_REPLACED, /* the name leads to another file by now */
};

/* Opens, or makes, the file: 0600, of the caller. -1: errno. EPERM: it is not
 * the caller's own, or others may read it. */
int refresh_file_open(int dir_fd, const char *path);

/* Until released, or closed with all its copies. False: another process holds
 * it (EAGAIN), or errno. */
bool refresh_file_hold(int fd);
void refresh_file_release(int fd);

/* *token_out is to be wiped and freed; only if OK. */
enum refresh_result refresh_file_read(int fd, char **token_out);

/* False: errno; what was stored before still holds. */
bool refresh_file_write(int fd, const char *token);

#endif
