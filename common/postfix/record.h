/* record: reads the typed records of a Postfix queue file.
 *
 *   type (1 octet) | length (1-4 groups of 7 bits, low first) | data
 *   envelope .. M  content (N, L) .. X  extracted .. E  [heap of edits]
 *
 * The reader walks the file as a delivery agent must: it follows pointer
 * records `p` into the heap and back (0 is a dummy, read over), skips the
 * padding `w`, and stops after `E`. Types are handed out as they are; what
 * they mean is for the caller.
 *
 * Octets come from a callback with the manners of pread(2), through one window
 * of RECORD_WINDOW octets that is allocated when first needed and can be given
 * back between any two records. A record that does not fit in the window is
 * assembled in a buffer of its own until the next call.
 *
 * RECORD_CORRUPT: a length of more than RECORD_DATA_MAX, a record that goes
 * past the end of the file, a pointer that is no number or leads outside, more
 * than RECORD_BACKWARD_MAX jumps that do not lead forward, or a walk longer
 * than the file. The last is how every loop ends: a sound file is never walked
 * over twice at any octet. RECORD_IO_ERROR: read_at() returned -1. Both, and
 * RECORD_EOF (the end of the file between two records, or `E` was read), are
 * repeated until the reader is initialised again.
 *
 * Source: Postfix src/global/record.c, rec_type.h.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum {
	RECORD_WINDOW = 32768,
	RECORD_DATA_MAX = 1048576,
	RECORD_BACKWARD_MAX = 10000, /* as Postfix */
};

enum record_type {
	RECORD_TYPE_NORM = 'N', /* content: a line, or the end of one */
	RECORD_TYPE_CONT = 'L', /* content: piece of a line, more follows */
	RECORD_TYPE_XTRA = 'X', /* the only valid end of content */
	RECORD_TYPE_MESG = 'M', /* content follows */
	RECORD_TYPE_RCPT = 'R', /* recipient to be delivered to */
	RECORD_TYPE_DONE = 'D', /* recipient finished with */
	RECORD_TYPE_PTR = 'p',
	RECORD_TYPE_DTXT = 'w',
	RECORD_TYPE_END = 'E',
};

/* A file of `size` octets. read_at() fills p with 1..n octets from offset off
 * and returns how many; 0 at the end of the file; -1 on an error. Short reads
 * are welcome. */
struct record_source {
	ssize_t (*read_at)(void *ctx, char *p, size_t n, int64_t off);
	void *ctx;
	int64_t size;
};

/* data is valid until the reader is used again. off: the type octet's place. */
struct record {
	char type;
	struct slice data;
	int64_t off;
};

enum record_result { RECORD_OK, RECORD_EOF, RECORD_CORRUPT, RECORD_IO_ERROR };

struct record_reader {
	struct record_source source;
	int64_t off; /* of the record that is read next */
	int64_t last_off; /* of the record handed out last */
	int64_t last_walked, walked; /* octets of records read so far */
	int64_t jump_to; /* target of the last jump */
	int backward_count;
	enum record_result result; /* RECORD_OK while the walk goes on */
	bool is_ended; /* `E` was read */
	char *window;
	int64_t window_off; /* file offset of window[0] */
	size_t window_len;
	struct buf large; /* a record larger than the window */
};

/* Ready to read the record at off; allocates nothing. The source (its ctx)
 * must outlive the reader. */
void record_reader_init(
    struct record_reader *r, struct record_source source, int64_t off);

/* Frees all storage. */
void record_reader_fini(struct record_reader *r);

/* Frees all storage; the place in the file is kept and reading goes on. */
void record_reader_release(struct record_reader *r);

enum record_result record_reader_next(struct record_reader *r,
    struct record *out) __attribute__((warn_unused_result));

/* The record that was handed out last will be handed out once more. Only after
 * RECORD_OK, and not twice in a row. */
void record_reader_again(struct record_reader *r);

#endif
