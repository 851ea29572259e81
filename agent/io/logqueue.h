/* logqueue: log lines whose receiver does not take them now.
 *
 *   put -> [ oldest ... newest ] -> first, pop
 *
 * In order, and bounded: what does not fit is dropped and counted, and the
 * count is told in a line of its own, in the place of the lines that are
 * missing. Owns copies of the lines.
 */
#ifndef LOGQUEUE_H
#define LOGQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"

/* Writes the line "N log lines lost" as the receiver wants it, at most size
 * octets; its length. */
typedef size_t logqueue_lost_fn(char *text, size_t size, uint64_t lost);

struct logqueue {
	struct list lines;
	size_t bytes; /* of all lines, with what it takes to keep them */
	uint64_t lost; /* since the last line kept */
	uint64_t lost_total;
	logqueue_lost_fn *tell;
};

void logqueue_init(struct logqueue *q, logqueue_lost_fn *tell);

/* Drops what is left. */
void logqueue_fini(struct logqueue *q);

/* At the end; most: octets to be kept at most, all lines together. */
void logqueue_put(struct logqueue *q, struct slice line, size_t most);

/* The oldest; false: none. Valid until the next call. */
bool logqueue_first(struct logqueue *q, struct slice *out);
/* Forgets it, if there is one. */
void logqueue_pop(struct logqueue *q);

bool logqueue_is_empty(const struct logqueue *q);

#endif
