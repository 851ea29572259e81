/* buf: a growing byte buffer with a hard maximum, used as a FIFO of octets.
 *
 *   data            off            len            cap          max
 *    |   consumed    |    content   |  free now    | may grow   |
 *
 * Content is data[off .. len). Appending past max octets of content stores
 * nothing and sets the sticky `overflow`; check it once at the end with
 * buf_ok(). A zeroed struct is not valid: use buf_init(). Growth never fails
 * (mem.h), so max is what bounds a peer.
 */
#ifndef BUF_H
#define BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

struct buf {
	char *data;
	size_t off, len, cap, max;
	bool overflow;
	bool has_secret; /* wiped when it grows, is emptied or freed */
};

/* Empty buffer that may hold at most max octets; allocates nothing yet. */
void buf_init(struct buf *b, size_t max);

/* Frees the storage and leaves an empty, usable buffer of the same max. */
void buf_fini(struct buf *b);

/* As buf_fini, wiping the storage first (it held a secret). */
void buf_fini_secret(struct buf *b);

/* Overwrites all storage and empties it. */
void buf_wipe(struct buf *b);

/* Empties the buffer and clears overflow; the storage is kept. */
void buf_reset(struct buf *b);

static inline size_t
buf_len(const struct buf *b)
{
	return b->len - b->off;
}

static inline bool
buf_ok(const struct buf *b)
{
	return !b->overflow;
}

/* The content; valid until the buffer is changed. */
static inline struct slice
buf_slice(const struct buf *b)
{
	return slice_of(b->data ? b->data + b->off : "", b->len - b->off);
}

/* The content as a NUL-terminated string (embedded NULs stay); valid until
 * the buffer is changed. */
const char *buf_str(struct buf *b);

/* Append; false when it would exceed max (nothing was stored). */
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_add_str(struct buf *b, const char *s);
bool buf_add_slice(struct buf *b, struct slice s);
bool buf_add_char(struct buf *b, char c);
bool buf_add_number(struct buf *b, uint64_t number); /* decimal */
bool buf_addf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As buf_add_slice: of what the storage held from then on nothing stays in
 * memory when it is moved, consumed to its end, emptied or freed. */
bool buf_add_secret(struct buf *b, struct slice s);

/* Room for up to n octets to be filled in place (n <= max - content, else
 * NULL); commit what was really filled with buf_commit(). */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* Drops n octets (n <= buf_len) from the front. */
void buf_consume(struct buf *b, size_t n);

#endif
