/* readahead: what OpenSSL reads from a socket, bounded for each turn.
 *
 * How much one call of OpenSSL does is the peer's choice: it loops over
 * messages that carry no data. Therefore it reads through this BIO (bio(7)),
 * which gives it READAHEAD_PER_TURN octets between two calls of
 * readahead_begin() and then says "again". And OpenSSL asks for the five octets
 * of a record's head, then for the rest, then for the next head: the BIO reads
 * ahead for it, and a socket that gave less than it was asked for is empty. A
 * turn makes one system call of three.
 *
 * Octets that were read ahead and not asked for are held here, where no poll
 * sees them: readahead_end() says whether there are any.
 */
#ifndef READAHEAD_H
#define READAHEAD_H

#include <stdbool.h>
#include <stddef.h>

struct ssl_st;

enum { READAHEAD_PER_TURN = 65536 };

struct readahead;

/* fd: of the caller, open while this is used. */
struct readahead *readahead_new(int fd);
/* After SSL_free() of what reads through it. */
void readahead_free(struct readahead **r);

/* ssl reads through it from now on. */
void readahead_attach(struct readahead *r, struct ssl_st *ssl);

/* Until this is called no more is read than is asked for: what follows the
 * handshake stays in the socket, where poll sees it when somebody wants it. */
void readahead_allow(struct readahead *r);

/* A turn begins. is_last: writing has failed; all that the socket has is
 * wanted, also after it seemed to be empty. */
void readahead_begin(struct readahead *r, bool is_last);

/* All that had come was read in this turn and given to OpenSSL. */
bool readahead_is_drained(const struct readahead *r);

/* A turn ends. */
enum readahead_left {
	READAHEAD_NOTHING, /* that poll will not tell */
	READAHEAD_HELD, /* octets that OpenSSL did not ask for */
	READAHEAD_CUT, /* it asked for more than a turn may read */
};
enum readahead_left readahead_end(struct readahead *r);

#endif
