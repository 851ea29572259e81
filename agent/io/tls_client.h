/* tls_client: TLS to a server that has to prove its name, on a connected
 * socket.
 *
 *   file of authorities --> tls_authorities
 *   socket, name        --> tls_client: greet until it is DONE, then read and
 *                           write, as recv() and send()
 *
 * For what is no SMTP: TLS 1.2 at least, and the certificate is always
 * verified, by one of the authorities and for the name that was dialed; an
 * address has to be named by it as one. The socket may block or not. A
 * connection that is gone is an error, never SIGPIPE.
 */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include <stddef.h>
#include <sys/types.h>

enum { TLS_CLIENT_WHY_SIZE = 256 };

struct tls_authorities;
struct tls_client;

/* Blocks on the disk. NULL: why says what is wrong with the file. */
struct tls_authorities *tls_authorities_read(
    const char *file, char *why, size_t n);
void tls_authorities_free(struct tls_authorities **authorities);

/* fd is borrowed, and connected. */
struct tls_client *tls_client_begin(
    const struct tls_authorities *authorities, int fd, const char *host);
void tls_client_free(struct tls_client **client);

enum tls_step {
	TLS_STEP_DONE,
	TLS_STEP_READ, /* call again when it is readable, */
	TLS_STEP_WRITE, /* ... or writable */
	TLS_STEP_FAILED,
};

enum tls_step tls_client_greet(struct tls_client *client);

/* 0: the end. -1 with EAGAIN: nothing now; else tls_client_why(). What was read
 * from the socket may be more: read until EAGAIN. */
ssize_t tls_client_read(struct tls_client *client, char *p, size_t n);

/* Part of it, maybe. -1 with EAGAIN: the same again, or more of it, later. */
ssize_t tls_client_write(struct tls_client *client, const char *p, size_t n);

/* Of the last failure. */
const char *tls_client_why(const struct tls_client *client);

#endif
