/* queueid: queue names, queue ids, and where the file of one is.
 *
 * Whatever names a file on behalf of a peer passes these checks first: ASCII
 * letters and digits (and `_` in an id), so no path can be walked out of.
 *
 *   short id  usec (5 hex digits) inode (hex)           4F69BA7A8B9
 *   long id   sec (6+) usec (4) 'z' inode, base 52/51   4jX4kb4dGYz1bpKt
 *
 * A queue named in hash_queue_names keeps its files hash_queue_depth
 * directories deep, one hex digit of the microseconds each.
 *
 * Source: Postfix src/global/mail_queue.c, mail_queue.h, dir_forest.c.
 */
#ifndef QUEUEID_H
#define QUEUEID_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum {
	QUEUEID_MAX = 255,
	QUEUEID_QUEUE_NAME_MAX = 100,
	QUEUEID_DEPTH_MAX = 100,
};

bool queueid_is_valid(struct slice id);
bool queueid_queue_name_is_valid(struct slice name);

/* Appends the path relative to the queue directory, "active/4F69BA7A8B9".
 * hash_queue_names: names separated by commas or white space, case ignored.
 * false: a name, an id or a depth (1..QUEUEID_DEPTH_MAX) that is not valid, or
 * out is full; something may have been appended only in the last case. */
bool queueid_path(struct buf *out, const char *queue_name, const char *id,
    const char *hash_queue_names, int hash_queue_depth)
    __attribute__((warn_unused_result));

/* When its message came: the microseconds of that second, below 1,000,000 (the
 * seconds of a long id are UTC, which a log's need not be). False: no id of
 * Postfix's, or of a release that makes others. */
bool queueid_usec(const char *id, uint32_t *usec);

#endif
