/* queue_source: a record_source over memory, with the moods of a real file.
 *
 * One buf holds the file; queue_put() composes one by hand. With `random` set
 * reads come back short at random; at and after fail_at they fail; after
 * cut_at (0: never) the file has shrunk since its size was taken.
 */
#ifndef QUEUE_SOURCE_H
#define QUEUE_SOURCE_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/postfix/record.h"
#include "test/support/fixture.h"

struct queue_source {
	struct slice file;
	struct fixture_random *random; /* NULL: whole reads */
	int64_t fail_at; /* -1: never */
	int64_t cut_at;
	size_t reads;
};

/* No moods. The octets must outlive the source. */
void queue_source_init(struct queue_source *s, struct slice file);

/* To hand to a record_reader or a message; s must stay where it is. */
struct record_source queue_source_of(struct queue_source *s);

/* Appends a record; returns the file offset of its type octet. */
int64_t queue_put(struct buf *file, char type, struct slice data);
int64_t queue_put_str(struct buf *file, char type, const char *data);

/* A pointer record, and how to change its target later. */
int64_t queue_put_pointer(struct buf *file, int64_t to);
void queue_set_pointer(struct buf *file, int64_t at, int64_t to);

/* `offset` of the request that belongs to a captured queue file; -1 when there
 * is no such request. */
int64_t queue_content_offset(const char *name);

#endif
