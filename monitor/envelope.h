/* envelope: what a queue file says before and behind its content.
 *
 * Read without a lock and without disturbing whoever has the file: a message
 * may be delivered while it is looked at. Records as record.h has them; the
 * types of the envelope are those of Postfix's src/global/rec_type.h.
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENVELOPE_RCPTS = 50 }; /* kept; of more the number is known */

struct envelope {
	int64_t arrival_wall_ms; /* 0: it does not say */
	int64_t next_try_wall_ms; /* of a deferred message: the file's time */
	char *sender;
	char *filter; /* "transport:nexthop", or NULL */
	char *rcpts[ENVELOPE_RCPTS]; /* that are still to be delivered to */
	size_t rcpt_count; /* how many are kept; */
	size_t rcpts_left, rcpts_done; /* how many there are */
	size_t size; /* octets of content */
};

/* A file below the directory dir_fd. False: it is gone, or is no queue file. */
bool envelope_read(struct envelope *e, int dir_fd, const char *name);
void envelope_fini(struct envelope *e);

#endif
